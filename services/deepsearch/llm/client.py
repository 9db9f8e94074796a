"""Asks a model over HTTP: deadlines, few retries, caps, and a count of every token.

It refuses to believe a server in what costs money: a usage that is missing or absurd is replaced
by our own count. What it raises never names the server's address, its key or its words.
"""

import asyncio
import io
import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson

from services import wire
from services.deepsearch.account import Step
from services.deepsearch.llm.answers import BrokenError, Events, Said, whole
from services.deepsearch.research.mind import MindError
from services.deepsearch.tools import BudgetSpent
from services.tokenizer import Tokenizer

LOGGER: Final = "sluice.deepsearch"
ATTEMPTS: Final = 3
# Asked to wait longer than this, we say that the model is busy.
WAIT_MOST_S: Final = 10.0
BACK_OFF_S: Final = 0.4
IDLE_S: Final = 30.0
ANSWER_BYTES: Final = 4 * 1024 * 1024
CHUNK_BYTES: Final = 64 * 1024
PASSING: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
# A server that counts other tokens than we do may differ so much; beyond it is not believed.
USAGE_FACTOR: Final = 4
USAGE_MARGIN: Final = 4_000
NEARLY_S: Final = 0.05
SMALL_CHARACTERS: Final = 32_768

Message = Mapping[str, Any]


class ModelError(MindError):
    """The model gives no answer; the text is fit for a client."""


class RefusedError(ModelError):
    """The model does not take this request, and will not take it later."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for. `stream`: as events, for answers that take long."""

    messages: Sequence[Message]
    max_tokens: int
    stream: bool = False


@dataclass(frozen=True, slots=True)
class _Again:
    """An attempt that may be made again, after `wait_s`; None: as we see fit."""

    why: str
    wait_s: float | None = None


class Model:
    """The server at `url`, an OpenAI base address such as http://host/v1."""

    def __init__(
        self, url: str, key: str, name: str, timeout_ms: int, tokenizer: Tokenizer
    ) -> None:
        self._url = f"{url}/chat/completions"
        self._key = key
        self._name = name or "default"
        self._timeout_s = timeout_ms / 1_000
        self._tokenizer = tokenizer
        self._session: aiohttp.ClientSession | None = None
        # Newer models know the bound under another name, and say so.
        self._bound = "max_tokens"

    async def close(self) -> None:
        """Ends all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def count(self, text: str) -> int:
        """Tokens of a short text, by our own count."""
        return self._tokenizer.count(text)

    async def ask(self, wish: Wish, step: Step, deadline_s: float) -> Said:
        """The answer; every attempt that brought words is in `step`.

        Raises ModelError, and BudgetSpent at the deadline.
        """
        prompt_tokens = await self._prompt_tokens(wish.messages)
        why = "it takes too long"
        for attempt in range(ATTEMPTS):
            found = await self._attempt(wish, step, prompt_tokens, deadline_s)
            if isinstance(found, Said):
                return found
            why = found.why
            wait_s = found.wait_s
            if wait_s is None:
                wait_s = BACK_OFF_S * 2**attempt * (0.5 + random.random() / 2)
            if wait_s > WAIT_MOST_S or time.monotonic() + wait_s >= deadline_s:
                break
            if attempt + 1 < ATTEMPTS:
                await asyncio.sleep(wait_s)
        step.outcome = why
        if time.monotonic() >= deadline_s - NEARLY_S:
            # Not the model's fault: the time is up, and what is known must do.
            raise BudgetSpent
        raise ModelError(f"The model behind this service cannot be used now: {why}")

    async def _attempt(
        self, wish: Wish, step: Step, prompt_tokens: int, deadline_s: float
    ) -> Said | _Again:
        left_s = min(self._timeout_s, deadline_s - time.monotonic())
        if left_s <= 0:
            return _Again("it takes too long", WAIT_MOST_S * 2)
        before = (step.prompt_tokens, step.completion_tokens)
        meter = _Meter(step, self._tokenizer, before, prompt_tokens)
        try:
            async with asyncio.timeout(left_s):
                return await self._once(wish, meter)
        except TimeoutError:
            return _Again("it takes too long")
        except BrokenError as fault:
            logging.getLogger(LOGGER).warning("the model's answer is of no use: %s", fault)
            return _Again(f"its answer is of no use ({fault})")
        except (aiohttp.ClientError, OSError) as fault:
            logging.getLogger(LOGGER).warning("the model: %s", type(fault).__name__)
            return _Again("it cannot be reached")

    async def _once(self, wish: Wish, meter: "_Meter") -> Said | _Again:
        fields = {
            "model": self._name,
            "messages": list(wish.messages),
            self._bound: wish.max_tokens,
            "stream": wish.stream,
        }
        if wish.stream:
            fields["stream_options"] = {"include_usage": True}
        async with self._connected().post(
            self._url,
            data=io.BytesIO(orjson.dumps(fields)),
            headers=self._headers(),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_read=IDLE_S),
        ) as answer:
            if answer.status != 200:
                return await self._not_now(answer)
            meter.sent()
            kind = answer.headers.get("Content-Type", "").lower()
            if "text/event-stream" in kind:
                said = await _streamed(answer, meter)
            else:
                said = whole(await _body(answer))
            meter.ended(said, wish.max_tokens)
            return said

    async def _not_now(self, answer: aiohttp.ClientResponse) -> _Again:
        """What a status that is not 200 means. Raises RefusedError."""
        status = answer.status
        logging.getLogger(LOGGER).warning("the model answered %d", status)
        if status in PASSING:
            return _Again("it is busy" if status in (429, 503) else "it fails", _wait_s(answer))
        words = (await _body(answer)).decode("utf-8", "replace") if status == 400 else ""
        if "max_completion_tokens" in words and self._bound == "max_tokens":
            self._bound = "max_completion_tokens"
            return _Again("it wants other words", 0.0)
        if status in (401, 403):
            raise RefusedError("The model behind this service does not accept our key")
        raise RefusedError(f"The model behind this service refused the request ({status})")

    async def _prompt_tokens(self, messages: Sequence[Message]) -> int:
        text = "\n".join(part for message in messages for part in _texts(message))
        if len(text) <= SMALL_CHARACTERS:
            return self._tokenizer.count(text)
        return await asyncio.to_thread(self._tokenizer.count, text)

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": wire.JSON_TYPE, "Accept": "application/json, text/event-stream"}
        return {**headers, "Authorization": f"Bearer {self._key}"} if self._key else headers


@dataclass(slots=True)
class _Meter:
    """Counts one attempt into its step, on top of the attempts before it."""

    step: Step
    tokenizer: Tokenizer
    before: tuple[int, int]
    prompt_tokens: int

    def sent(self) -> None:
        """The server has begun to answer, so it has read the prompt."""
        self._put(self.prompt_tokens, 0)

    def received(self, characters: int) -> None:
        """So much has come; exact once it is over."""
        self._put(self.prompt_tokens, -(-characters // 4))

    def ended(self, said: Said, max_tokens: int) -> None:
        """The server's own count, as far as it can be believed."""
        counted = self.tokenizer.count(said.text)
        prompt, completion = said.usage or (self.prompt_tokens, counted)
        if prompt > self.prompt_tokens * USAGE_FACTOR + USAGE_MARGIN:
            prompt = self.prompt_tokens
        # Thoughts that are not shown are within what was allowed.
        if completion > max(counted, max_tokens) * USAGE_FACTOR + USAGE_MARGIN:
            completion = counted
        self._put(prompt, completion)

    def _put(self, prompt: int, completion: int) -> None:
        self.step.cost(self.before[0] + prompt, self.before[1] + completion)


async def _streamed(answer: aiohttp.ClientResponse, meter: _Meter) -> Said:
    events = Events()
    size = 0
    async for part in answer.content.iter_any():
        size += len(part)
        events.feed(part)
        meter.received(events.characters)
        if size > ANSWER_BYTES:
            raise BrokenError("a stream without an end")
        if events.ended:
            break
    return events.said()


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    parts = []
    size = 0
    async for part in answer.content.iter_chunked(CHUNK_BYTES):
        size += len(part)
        if size > ANSWER_BYTES:
            raise BrokenError("too long")
        parts.append(part)
    return b"".join(parts)


def _wait_s(answer: aiohttp.ClientResponse) -> float | None:
    """Retry-After in seconds, also with a fraction; dates are nobody's habit here."""
    try:
        wait_s = float(answer.headers.get("Retry-After", ""))
    except ValueError:
        return None
    return wait_s if 0 <= wait_s < 1e6 else None


def _texts(message: Message) -> list[str]:
    content = message.get("content")
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, list) else []
    return [part["text"] for part in parts if isinstance(part.get("text"), str)]

"""A model behind another server, which speaks the embeddings API of OpenAI or that of TEI.

It refuses to wait without a deadline and to believe an answer of the wrong shape. What the server
does to us is a 502, what it has no room or time for a 503, what it refuses of the input a 400.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import aiohttp
import numpy as np
import orjson

from services.models.faults import NotOffered, RemoteFailed
from services.models.local import Passages
from services.models.registry import Remote
from services.models.windows import Floats, normalised

# TEI takes no more at once by default; OpenAI-compatible servers take at least as many.
BATCH: Final = 32
ANSWER_BYTES: Final = 64 * 1024 * 1024
COUNTED: Final = "x-compute-tokens"
FAILED: Final = 502
UNAVAILABLE: Final = 503


class RemoteText:
    """Texts to vectors, by asking. Connections are opened when they are needed."""

    def __init__(self, entry: Remote) -> None:
        self._entry = entry
        self._session: aiohttp.ClientSession | None = None
        self.dimension = entry.dimension

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def passages(self, texts: Sequence[str], truncate: bool) -> Passages:
        """Every text as one passage: cutting is the server's business. Raises ModelFault."""
        found: list[Floats] = []
        counts: list[int] = []
        try:
            async with asyncio.timeout(self._entry.deadline_ms / 1000):
                for begin in range(0, len(texts), BATCH):
                    vectors, tokens = await self._ask(texts[begin : begin + BATCH], truncate)
                    found.append(vectors)
                    counts += _shared(tokens, len(vectors))
        except TimeoutError as fault:
            raise self._fault(UNAVAILABLE, "did not answer in time") from fault
        except (aiohttp.ClientError, OSError) as fault:
            raise self._fault(UNAVAILABLE, f"cannot be asked: {type(fault).__name__}") from fault
        owners = list(range(len(texts)))
        return Passages(normalised(np.concatenate(found)), owners, [1] * len(texts), counts)

    async def _ask(self, texts: Sequence[str], truncate: bool) -> tuple[Floats, int]:
        entry = self._entry
        if entry.protocol == "openai":
            path = "/v1/embeddings"
            body: dict[str, Any] = {
                "model": entry.remote_model,
                "input": list(texts),
                "encoding_format": "float",
            }
        else:
            path = "/embed"
            body = {"inputs": list(texts), "normalize": True, "truncate": truncate}
        async with self._opened().post(
            entry.url + path, data=orjson.dumps(body), allow_redirects=False
        ) as response:
            raw = await self._read(response)
            if response.status != 200:
                raise self._refused(response.status, raw)
            return self._parsed(raw, len(texts), response.headers.get(COUNTED, ""))

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        pieces: list[bytes] = []
        size = 0
        async for piece in response.content.iter_any():
            pieces.append(piece)
            size += len(piece)
            if size > ANSWER_BYTES:
                raise self._fault(FAILED, "gave an answer that is too large")
        return b"".join(pieces)

    def _parsed(self, raw: bytes, count: int, counted: str) -> tuple[Floats, int]:
        try:
            found = orjson.loads(raw)
            if self._entry.protocol == "openai":
                entries = sorted(found["data"], key=lambda entry: int(entry["index"]))
                rows = [entry["embedding"] for entry in entries]
                tokens = int(found["usage"]["total_tokens"])
            else:
                rows = found
                tokens = int(counted)
            vectors = np.array(rows, np.float32)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as fault:
            raise self._fault(FAILED, "gave an answer of another shape") from fault
        if vectors.shape != (count, self.dimension) or not np.isfinite(vectors).all():
            shape = " x ".join(map(str, vectors.shape))
            raise self._fault(FAILED, f"gave {shape} numbers, not {count} x {self.dimension}")
        return vectors, max(tokens, 0)

    def _refused(self, status: int, raw: bytes) -> NotOffered | RemoteFailed:
        if status in (400, 413, 422):
            said = raw[:300].decode("utf-8", "replace")
            return NotOffered(f"The model {self._entry.name} refused the input: {said}")
        if status in (429, 503):
            return self._fault(UNAVAILABLE, f"is busy ({status})")
        return self._fault(FAILED, f"answered {status}")

    def _fault(self, status: int, why: str) -> RemoteFailed:
        return RemoteFailed(self._entry.name, status, why)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"Content-Type": "application/json"}
            if self._entry.api_key is not None:
                headers["Authorization"] = f"Bearer {self._entry.api_key}"
            self._session = aiohttp.ClientSession(
                headers=headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session


def _shared(tokens: int, count: int) -> list[int]:
    """A sum that was given for several texts, spread over them."""
    return [tokens * (at + 1) // count - tokens * at // count for at in range(count)]

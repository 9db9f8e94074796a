"""Writes one answer: as events while it is thought about, or whole.

When the client goes away, the work ends with the handler. It refuses to be silent for long: a
comment goes out every few seconds, so that no proxy cuts the stream.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from services import wire
from services.deepsearch import forms
from services.deepsearch.account import Account
from services.deepsearch.forms import Head, Outcome, Usage
from services.deepsearch.thoughts import Silent, Thoughts
from services.deepsearch.tools import Progress

# Proxies cut after 30 to 60 s of silence; the gateway learns what was used so far just as often.
HEARTBEAT_S: Final = 5.0
# Words written at once; more would hold the loop when many streams think at the same time.
TOGETHER: Final = 64

Work = Callable[[Progress], Awaitable[Outcome]]


async def whole(head: Head, account: Account, work: Work) -> web.Response:
    """The answer at once; a failure is one too, and void."""
    outcome = await work(Silent())
    usage = _usage(account)
    headers = (
        wire.void_headers() if outcome.is_error else {wire.USAGE_TOKENS: str(usage.total_tokens)}
    )
    return web.Response(
        body=forms.whole(head, outcome, usage), content_type=wire.JSON_TYPE, headers=headers
    )


class Stream:
    """One answer as events. `done`: it ends with [DONE]."""

    def __init__(self, head: Head, account: Account, *, done: bool) -> None:
        self._head = head
        self._account = account
        self._done = done
        self._thoughts = Thoughts()
        self._told_tokens = 0
        account.heard = self._thoughts.wake

    async def write(self, request: web.Request, work: Work) -> web.StreamResponse:
        """Everything, to the last event; raises what ended the handler."""
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream; charset=utf-8",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        await response.prepare(request)
        await response.write(forms.chunk(self._head, forms.BEGIN))
        thinking = asyncio.create_task(_run(work, self._thoughts))
        thinking.add_done_callback(lambda _: self._thoughts.wake())
        try:
            while not thinking.done():
                await self._wait()
                await self._tell(response)
            outcome = thinking.result()
        finally:
            thinking.cancel()
            await asyncio.gather(thinking, return_exceptions=True)
        await self._tell(response)
        last = forms.last_chunks(self._head, outcome, _usage(self._account))
        await response.write(last + (forms.DONE if self._done else b""))
        return response

    async def _wait(self) -> None:
        """Until there is something to tell, or it has been silent for long."""
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await self._thoughts.heard.wait()
        except TimeoutError:
            self._told_tokens = -1

    async def _tell(self, response: web.StreamResponse) -> None:
        deltas = self._thoughts.take()
        for at in range(0, len(deltas), TOGETHER):
            part = deltas[at : at + TOGETHER]
            await response.write(b"".join(forms.chunk(self._head, delta) for delta in part))
            await asyncio.sleep(0)
        total = self._account.total_tokens
        if total != self._told_tokens:
            silent = self._told_tokens < 0 and not total
            self._told_tokens = total
            await response.write(forms.thinking() if silent else forms.running(total))


async def _run(work: Work, thoughts: Thoughts) -> Outcome:
    return await work(thoughts)


def _usage(account: Account) -> Usage:
    return Usage(account.prompt_tokens, account.completion_tokens)

"""The steps of a request, kept for its owner for a week: kinds, times, tokens, outcomes.

It refuses to be in the way: an answer waits a moment for its trace, then it is written behind it;
what cannot be written at all is lost and logged. It never holds a key, an answer, or a page's text.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson

from services.deepsearch.account import Account
from services.postgres import Postgres, RefusedError, UnavailableError

ROLE: Final = "sluice_deepsearch"
LOGGER: Final = "sluice.deepsearch"
DEADLINE_MS: Final = 2_000
# So long the end of an answer waits, so that who asks for the trace at once finds it.
PATIENCE_S: Final = 0.3
# Traces that wait to be written; more means that PostgreSQL is away.
WAITING_MOST: Final = 1_000
AGE: Final = timedelta(days=7)
DROP_EVERY_S: Final = 600.0
DROP_MOST: Final = 5_000


@dataclass(frozen=True, slots=True)
class Trace:
    """How one request ended, beside its account."""

    request_id: UUID
    subject: str
    model: str
    began_at: datetime
    finish: str


class Traces:
    """All traces; without a database there are none."""

    def __init__(self, postgres: Postgres | None, queries: Mapping[str, str]) -> None:
        self._postgres = postgres
        self._queries = queries
        self._writing: set[asyncio.Task[None]] = set()

    async def keep(self, trace: Trace, account: Account, took_ms: int) -> None:
        """Writes it down, or says in the log that it could not."""
        if self._postgres is None:
            return
        if len(self._writing) >= WAITING_MOST:
            logging.getLogger(LOGGER).warning("a trace is lost: too many wait to be written")
            return
        task = asyncio.create_task(self._write(self._postgres, trace, account, took_ms))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        await asyncio.wait({task}, timeout=PATIENCE_S)

    async def _write(
        self, postgres: Postgres, trace: Trace, account: Account, took_ms: int
    ) -> None:
        steps = [_step(each) for each in document(account)]
        try:
            await postgres.rows(
                self._queries["keep_trace"],
                trace.request_id,
                trace.subject,
                trace.model,
                trace.began_at,
                trace.finish,
                took_ms,
                account.budget_tokens,
                account.prompt_tokens,
                account.completion_tokens,
                orjson.dumps(steps).decode(),
            )
        except (UnavailableError, RefusedError) as fault:
            logging.getLogger(LOGGER).warning("a trace is lost: %s", fault)

    async def find(self, request_id: UUID, subject: str) -> dict[str, Any] | None:
        """The trace as its owner sees it; None if he has none. Raises UnavailableError."""
        if self._postgres is None:
            raise UnavailableError("this service was started without SLUICE_DATABASE_URL")
        row = await self._postgres.row(self._queries["find_trace"], request_id, subject)
        if row is None:
            return None
        return {
            "request_id": str(row["request_id"]),
            "model": row["model"],
            "began_at": row["began_at"].isoformat(),
            "took_ms": row["took_ms"],
            "finish": row["finish"],
            "budget_tokens": row["budget_tokens"],
            "usage": {
                "prompt_tokens": row["prompt_tokens"],
                "completion_tokens": row["completion_tokens"],
                "total_tokens": row["prompt_tokens"] + row["completion_tokens"],
            },
            "steps": orjson.loads(row["steps"]),
        }

    async def forget_old(self) -> None:
        """Drops what is older than a week, now and then, for as long as it runs."""
        while self._postgres is not None:
            try:
                gone = await self._postgres.value(self._queries["drop_traces"], AGE, DROP_MOST)
            except (UnavailableError, RefusedError) as fault:
                logging.getLogger(LOGGER).info("old traces stay for now: %s", fault)
                gone = 0
            if gone < DROP_MOST:
                await asyncio.sleep(DROP_EVERY_S)

    async def close(self) -> None:
        """Writes what waits, and ends the connections."""
        if self._writing:
            await asyncio.wait(self._writing, timeout=DEADLINE_MS / 1_000)
        if self._postgres is not None:
            await self._postgres.close()


def document(account: Account) -> list[dict[str, Any]]:
    """The steps as they are written."""
    return [
        {
            "kind": step.kind,
            "detail": step.detail,
            "start_ms": step.start_ms,
            "end_ms": step.end_ms,
            "prompt_tokens": step.prompt_tokens,
            "completion_tokens": step.completion_tokens,
            "tokens": step.tokens,
            "outcome": step.outcome,
        }
        for step in account.steps
    ]


def _step(fields: dict[str, Any]) -> dict[str, Any]:
    """As PostgreSQL takes it: jsonb has no NUL."""
    return {n: v.replace("\0", " ") if isinstance(v, str) else v for n, v in fields.items()}

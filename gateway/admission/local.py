"""The limiter of this process alone, for requests without a key while Redis does not answer.

Refuses requests with a key, and to remember more than `MAX_SUBJECTS` windows: the one that was
used longest ago goes first.
"""

from typing import Final

from gateway.admission.ask import Ask, Code, Decision
from gateway.admission.model import CONCURRENCY_RETRY_MS, KEY
from gateway.admission.window import View, Window, ms_up
from gateway.products.product import Limits

MAX_SUBJECTS: Final = 20_000


class LocalLimiter:
    """Lets through this process's share: every limit divided by `shares`, but at least one."""

    def __init__(self, span_us: int, shares: int) -> None:
        assert shares >= 1
        self._span_us = span_us
        self._shares = shares
        self._windows: dict[tuple[str, str], Window] = {}
        self._open: dict[tuple[str, str], set[str]] = {}

    def admit(self, ask: Ask, time_us: int) -> Decision:
        """Decide at this time; `time_us` is of any clock that does not run backwards."""
        assert not ask.keyed, "money is not decided without Redis"
        at = (ask.subject, ask.product)
        window = self._window(at)
        limits = self._share(ask.limits_key)
        running = self._open.get(at, set())
        view = window.look(time_us)
        code, retry_after_ms = Code.ADMITTED, 0
        if ask.limits_key.rpm < 1 or ask.limits_key.concurrency < 1:
            code = Code.NEVER_FITS
        elif ask.request_id in running:
            code = Code.ALREADY_HELD
        elif wait_us := window.wait_us(view, 1, limits.rpm):
            code, retry_after_ms = Code.RPM, ms_up(wait_us)
        elif len(running) >= limits.concurrency:
            code, retry_after_ms = Code.CONCURRENCY, CONCURRENCY_RETRY_MS
        else:
            window.record(view, 1)
            self._open.setdefault(at, set()).add(ask.request_id)
            view = window.look(time_us)
        return self._answer(code, retry_after_ms, limits, window, view)

    def decided(self, subject: str, product: str, request_id: str) -> None:
        """The request has ended. Harmless when it was not admitted here."""
        running = self._open.get((subject, product))
        if running is None:
            return
        running.discard(request_id)
        if not running:
            del self._open[subject, product]

    def _window(self, at: tuple[str, str]) -> Window:
        window = self._windows.pop(at, None) or Window(self._span_us)
        if len(self._windows) >= MAX_SUBJECTS:
            del self._windows[next(iter(self._windows))]
        self._windows[at] = window
        return window

    def _share(self, limits: Limits) -> Limits:
        return Limits(
            max(1, limits.rpm // self._shares),
            None,
            max(1, limits.concurrency // self._shares),
        )

    def _answer(
        self, code: Code, retry_after_ms: int, limits: Limits, window: Window, view: View
    ) -> Decision:
        return Decision(
            code,
            retry_after_ms,
            limits.rpm,
            max(0, limits.rpm - view.total),
            None,
            0,
            0,
            window.reset_ms(view),
            0,
            view.clock_us,
            KEY,
            degraded=True,
        )

"""Asks providers in order until one has hits; each gets its share of the time, none a second try.

It refuses with a sentence when a named provider is not to be had here, and when all of them failed:
nobody pays for either.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.reader.refusals import Refusal, not_available
from services.search.hits import Hit, Kind, Question
from services.search.providers.port import Provider, ProviderError

LOGGER: Final = "sluice.search"
# With less than this left a provider is not asked at all.
LEAST_MS: Final = 20


@dataclass(frozen=True, slots=True)
class Found:
    """Hits, best first, and by whom; `is_bing` where the price is that of Bing."""

    hits: tuple[Hit, ...]
    provider: str = ""
    is_bing: bool = False


class Chain:
    """The providers of this deployment; `order` is how they are asked when none is named."""

    def __init__(
        self, providers: Sequence[Provider], order: Sequence[str], provider_ms: int
    ) -> None:
        self._by_name: Mapping[str, Provider] = {each.name: each for each in providers}
        self._order = tuple(order)
        self._provider_ms = provider_ms

    async def find(self, question: Question, named: str, deadline_s: float) -> Found | Refusal:
        """The hits of the first provider that has any; none if all that answered had none."""
        if named and named not in self._by_name:
            return not_available("provider", f"The provider {named!r}")
        asked = [self._by_name[name] for name in ([named] if named else self._for(question))]
        answered = ""
        for provider in asked:
            left_ms = int((deadline_s - time.monotonic()) * 1000)
            if left_ms < LEAST_MS:
                break
            try:
                hits = await provider.find(question, min(left_ms, self._provider_ms))
            except ProviderError as fault:
                logging.getLogger(LOGGER).warning("%s: %s", provider.name, fault)
                continue
            answered = answered or provider.name
            if hits:
                is_bing = provider.name == "searxng" and question.engine == "bing"
                return Found(tuple(hits[: question.count]), provider.name, is_bing)
        if not answered:
            return Refusal(
                42205,
                "DownstreamServiceFailureError",
                "No search provider answered in time, please try again",
            )
        return Found((), answered)

    def _for(self, question: Question) -> list[str]:
        """The order, beginning with who serves the engine that the client named."""
        first = {"google": ("serper", "searxng"), "bing": ("searxng",)}.get(question.engine, ())
        preferred = [name for name in first if name in self._order]
        rest = [name for name in self._order if name not in preferred]
        if question.kind is Kind.IMAGES:
            # Neither has pictures; asking would only cost time.
            rest = [name for name in rest if name not in ("arxiv", "local")] or rest
        return preferred + rest

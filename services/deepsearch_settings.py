"""The knobs of the deepsearch service, read by `services.settings` from the one environment.

It refuses nothing itself: every mistake goes to the source, which reports all of them at once.
"""

from dataclasses import dataclass, field
from typing import Final

from services.search_settings import Source, address, switch

# The gateway waits 600 s for the first byte of an answer that is not streamed; what is left after
# the thinking is for the answer from what is known by then.
TIMEOUT_MS: Final = 540_000
# One attachment of 10 MiB is 13.4 MiB in base64; the rest is for the conversation.
BODY_BYTES: Final = 16 * 1024 * 1024
LLM_TIMEOUT_MS: Final = 60_000
# What small self-hosted models take; larger ones are named by the setting.
LLM_CONTEXT_TOKENS: Final = 32_768


@dataclass(frozen=True, slots=True)
class DeepsearchSettings:
    """Times in milliseconds, sizes in bytes; an empty URL means: not to be had.

    Without `llm_url` the built-in extractive reasoner answers. `done`: streams end with [DONE].
    """

    search_url: str
    reader_url: str
    embeddings_url: str
    rerank_url: str
    llm_url: str
    llm_key: str = field(repr=False)
    llm_model: str
    llm_timeout_ms: int
    llm_context_tokens: int
    timeout_ms: int
    body_bytes: int
    done: bool


def read(source: Source) -> DeepsearchSettings:
    """The knobs; wrong ones are told to the source and stand at their default."""
    return DeepsearchSettings(
        search_url=address(source, "SERVICE_SEARCH_URL", "", unix=True),
        reader_url=address(source, "SERVICE_READER_URL", "", unix=True),
        embeddings_url=address(source, "SERVICE_EMBEDDINGS_URL", "", unix=True),
        rerank_url=address(source, "SERVICE_RERANK_URL", "", unix=True),
        llm_url=address(source, "LLM_BASE_URL", ""),
        llm_key=source.word("LLM_API_KEY", ""),
        llm_model=source.word("LLM_MODEL", ""),
        llm_timeout_ms=source.number("LLM_TIMEOUT_MS", LLM_TIMEOUT_MS, 100, 600_000),
        llm_context_tokens=source.number(
            "LLM_CONTEXT_TOKENS", LLM_CONTEXT_TOKENS, 2_048, 10_000_000
        ),
        timeout_ms=source.number("DEEPSEARCH_TIMEOUT_MS", TIMEOUT_MS, 100, 3_600_000),
        body_bytes=source.number("DEEPSEARCH_BODY_BYTES", BODY_BYTES, 64 * 1024, 1024**3),
        done=switch(source, "DEEPSEARCH_DONE"),
    )

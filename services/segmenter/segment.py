"""The answer to one request: count, tokens, chunks. Pure but for the vocabularies it is given.

It refuses nothing: what reaches it was checked.
"""

from collections.abc import Mapping
from typing import Any

from services.segmenter.ask import Ask
from services.segmenter.chunker import Span, chunks
from services.tokenizer import Tokenizer


def segment(ask: Ask, tokenizers: Mapping[str, Tokenizer]) -> dict[str, Any]:
    """The fields of the answer, in the order of the wire contract.

    With `head` or `tail` the content is cut to that many tokens first, and those tokens are part
    of the answer; chunk positions stay those of the whole content. Without chunks the tokens are
    one list; with chunks there is one list per chunk, each chunk tokenized by itself.
    """
    vocabulary = tokenizers[ask.tokenizer]
    cut = ask.head_tokens is not None or ask.tail_tokens is not None
    if not cut and not ask.return_tokens:
        tokens, count = [], vocabulary.count(ask.content)
    else:
        tokens = _kept(vocabulary.encode(ask.content), ask)
        count = len(tokens)
    answer: dict[str, Any] = {
        "num_tokens": count,
        "tokenizer": ask.tokenizer,
        "usage": {"tokens": 0},
    }
    text, offset = _cut_text(ask, vocabulary, tokens) if cut else (ask.content, 0)
    spans: list[Span] = []
    if ask.return_chunks:
        spans = chunks(text, ask.max_chunk_characters)
        answer["num_chunks"] = len(spans)
        answer["chunk_positions"] = [[start + offset, end + offset] for start, end in spans]
    if (ask.return_tokens or cut) and not ask.return_chunks:
        answer["tokens"] = [vocabulary.pieces(tokens)]
    elif ask.return_tokens or cut:
        answer["tokens"] = [
            vocabulary.pieces(vocabulary.encode(text[start:end])) for start, end in spans
        ]
    if ask.return_chunks:
        answer["chunks"] = [text[start:end] for start, end in spans]
    return answer


def _kept(tokens: list[int], ask: Ask) -> list[int]:
    if ask.head_tokens is not None:
        return tokens[: ask.head_tokens]
    if ask.tail_tokens is not None:
        return tokens[-ask.tail_tokens :]
    return tokens


def _cut_text(ask: Ask, vocabulary: Tokenizer, tokens: list[int]) -> tuple[str, int]:
    """The whole characters that `tokens` cover, and where they begin in the content."""
    covered = vocabulary.to_bytes(tokens).decode("utf-8", "ignore")
    if ask.head_tokens is not None:
        return covered, 0
    return covered, len(ask.content) - len(covered)

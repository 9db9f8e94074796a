"""The passages of a page that bear on a question: contiguous pieces of its own text.

A short page is one passage. A longer one is cut at sentences and its pieces are embedded together
(late chunking), so that each knows what the page is about; the nearest to the question are kept.
Everything over a few thousand characters is done in a thread. It refuses nothing.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from services.deepsearch.research.text import content_words, sentences
from services.deepsearch.tools import Page, Tools
from services.rerank.words import terms

# Up to here a page is one passage; about 400 tokens.
WHOLE_CHARACTERS: Final = 1_600
PIECE_CHARACTERS: Final = 700
# Of one page, so many pieces are embedded, chosen by their words, and so many are kept.
# A model reads a few thousand tokens a second here, so words come first: with 32 pieces one round
# over long pages took half a minute on a busy machine, and found the same passages.
PIECES_EMBEDDED: Final = 6
PIECES_KEPT: Final = 2
# Of a page, so much is looked at: a book of 100 pages.
LOOKED_AT_CHARACTERS: Final = 400_000
# Worked through on the loop up to here, a millisecond or two.
SMALL_CHARACTERS: Final = 4_000


async def relevant(tools: Tools, asked: str, page: Page, vector: Sequence[float]) -> list[str]:
    """The passages of the page that are nearest to the question, in the order of the page.

    `asked` is the question, and the query that found the page; `vector` is the question's; without
    one the words alone decide.
    """
    text = page.text
    if len(text) <= WHOLE_CHARACTERS:
        return [text.strip()] if text.strip() else []
    if len(text) <= SMALL_CHARACTERS:
        found = promising(asked, text)
    else:
        found = await asyncio.to_thread(promising, asked, text)
    if len(found) <= PIECES_KEPT or not len(vector):
        return found[:PIECES_KEPT]
    vectors = await tools.embed(found, task="retrieval.passage", late_chunking=True)
    order = await asyncio.to_thread(_nearest, vector, vectors)
    return [found[place] for place in sorted(order[:PIECES_KEPT])]


def _nearest(vector: Sequence[float], vectors: Sequence[Sequence[float]]) -> list[int]:
    scores = np.asarray(vectors, np.float32) @ np.asarray(vector, np.float32)
    return [int(place) for place in np.argsort(-scores, kind="stable")]


def promising(asked: str, text: str) -> list[str]:
    """Pieces of the text in order: all, or of many those that share most with what is asked."""
    cut = pieces(text[:LOOKED_AT_CHARACTERS])
    if len(cut) <= PIECES_EMBEDDED:
        return cut
    wanted = set(content_words(asked))
    shared = [wanted.intersection(terms(piece)) for piece in cut]
    # A word that every piece has tells none from another.
    counts = Counter(word for words in shared for word in words)
    worth = {word: math.log(1 + len(cut) / count) for word, count in counts.items()}
    shares = [sum(worth[word] for word in words) for words in shared]
    order = sorted(range(len(cut)), key=lambda place: (-shares[place], place))
    return [cut[place] for place in sorted(order[:PIECES_EMBEDDED])]


def pieces(text: str) -> list[str]:
    """The text in contiguous pieces of whole sentences."""
    found: list[str] = []
    start = end = -1
    for left, right in sentences(text):
        if start >= 0 and right - start > PIECE_CHARACTERS:
            found.append(text[start:end])
            start = -1
        start = left if start < 0 else start
        end = right
    if start >= 0:
        found.append(text[start:end])
    return found

"""A model of this machine: a tokenizer and ONNX graphs in one folder, run by lanes of threads.

It refuses what the graphs cannot do: pictures without a vision graph, vectors of single tokens
where a graph gives only whole texts.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from services.models.batches import Job, Piece
from services.models.faults import InputTooLarge, InputTooLong, ModelUnavailable, NotOffered
from services.models.lanes import Lanes, in_thread
from services.models.registry import Local
from services.models.session import Session
from services.models.tokens import SHORT_CHARACTERS, Ids, Tokens
from services.models.windows import Floats, Span, cuts, overlapping, pooled

TEXT_GRAPHS: Final = ("model.onnx", "text_model.onnx")
POOLED: Final = ("pooled", "sentence_embedding", "text_embeds", "embeddings")
TOKENS: Final = ("token_vectors", "last_hidden_state", "token_embeddings")
# Prepared on the loop; more are prepared in a thread.
FEW_PIECES: Final = 128
# Texts of a request that one thread counts before others have their turn.
UNIT_CHARACTERS: Final = 131_072
# Longer than any text of 8,192 tokens: a word of a hundred letters is one token at least. What has
# more characters consists of blanks, marks or one endless word, and would be counted for seconds.
MOST_CHARACTERS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Passages:
    """Vectors of the windows of several texts, not normalised; `owners` are the texts' numbers."""

    vectors: Floats
    owners: list[int]
    weights: list[int]
    tokens: list[int]


class LocalText:
    """Texts to vectors. Loads its graph in the constructor, which blocks for a tenth of a second.

    `tokenizing` and `running` are thread pools that are shared with other models.
    """

    def __init__(
        self, entry: Local, folder: Path, tokenizing: Executor, running: Executor, lanes: int
    ) -> None:
        self._entry = entry
        self._tokenizing = tokenizing
        self._session = Session(entry.name, _graph(entry.name, folder))
        self._tokens = Tokens(entry.name, folder / "tokenizer.json")
        shapes = self._session.shapes
        self._pooled = next((name for name in POOLED if name in shapes), None)
        self._by_token = next((name for name in TOKENS if name in shapes), None)
        shown = self._pooled or self._by_token
        if shown is None or not isinstance(shapes[shown][-1], int):
            raise ModelUnavailable(entry.name, "its graph has no output of a known name and width")
        self.dimension: int = shapes[shown][-1]
        self._window = entry.window_tokens - self._tokens.specials
        self._lanes = Lanes(self._compute, running, lanes)

    async def counts(
        self, texts: Sequence[str], truncate: bool, *, late_chunking: bool = False
    ) -> list[int]:
        """The tokens of every text as `passages` or `late` would count them."""
        contents = await self._contents(texts, truncate)
        return self._counts(self._together(contents, truncate) if late_chunking else contents)

    async def passages(self, texts: Sequence[str], truncate: bool) -> Passages:
        """Every text as its windows. Raises InputTooLong."""
        contents = await self._contents(texts, truncate)
        places = [
            (owner, begin, end)
            for owner, ids in enumerate(contents)
            for begin, end in cuts(len(ids), self._window)
        ]

        def pieces(job: Job) -> list[Piece]:
            return [
                Piece(job, at, self._sequence(contents[owner][begin:end]))
                for at, (owner, begin, end) in enumerate(places)
            ]

        vectors = await self._lanes.run(pieces, False, self._aside(len(places)))
        return Passages(
            vectors,
            [owner for owner, _, _ in places],
            [end - begin + self._tokens.specials for _, begin, end in places],
            self._counts(contents),
        )

    async def late(self, texts: Sequence[str], truncate: bool) -> tuple[Floats, list[int]]:
        """One vector per text, pooled from the token vectors of all texts read as one.

        Together they may be as long as one input; with `truncate` what comes later is not read,
        and a text that is not read at all is given the vector of its own.
        """
        if self._by_token is None:
            raise NotOffered(f"late_chunking is not offered by the model {self._entry.name}")
        contents = await self._contents(texts, truncate)
        contents = self._together(contents, truncate)
        whole = np.concatenate(contents)
        ends = np.cumsum([len(ids) for ids in contents])
        bounds = [(int(end) - len(ids), int(end)) for ids, end in zip(contents, ends, strict=True)]
        places = overlapping(len(whole), self._window)
        lead = len(self._tokens.before)

        def pieces(job: Job) -> list[Piece]:
            return [
                Piece(
                    job,
                    at,
                    self._sequence(whole[begin:end]),
                    _spans(bounds, first, last, lead - begin),
                )
                for at, (begin, end, first, last) in enumerate(places)
            ]

        found = await self._lanes.run(pieces, True, self._aside(len(texts)))
        spans = [span for _, _, first, last in places for span in _spans(bounds, first, last, 0)]
        vectors = pooled(
            found,
            [span.owner for span in spans],
            [span.end - span.start for span in spans],
            len(texts),
        )
        await self._fill(vectors, texts)
        return vectors, self._counts(contents)

    def _aside(self, count: int) -> Executor | None:
        """Where to prepare so many pieces: a few on the loop, which takes a millisecond at most."""
        return None if count <= FEW_PIECES else self._tokenizing

    async def _fill(self, vectors: Floats, texts: Sequence[str]) -> None:
        """Gives texts without a token of their own (blank, or cut off) a vector nevertheless."""
        empty = [at for at, vector in enumerate(vectors) if not vector.any()]
        if empty:
            alone = await self.passages([texts[at] for at in empty], truncate=True)
            vectors[empty] = pooled(alone.vectors, alone.owners, alone.weights, len(empty))

    def _together(self, contents: list[Ids], truncate: bool) -> list[Ids]:
        room = self._entry.max_tokens - self._tokens.specials
        kept = []
        for index, ids in enumerate(contents):
            if len(ids) > room and not truncate:
                total = sum(map(len, contents)) + self._tokens.specials
                raise InputTooLong(index, total, self._entry.max_tokens)
            kept.append(ids[:room])
            room -= len(kept[-1])
        return kept

    async def _contents(self, texts: Sequence[str], truncate: bool) -> list[Ids]:
        """The content of every text as ids; long ones are counted in a thread, in turns."""
        room = self._entry.max_tokens - self._tokens.specials
        if sum(map(len, texts)) <= SHORT_CHARACTERS:
            return self._counted(texts, 0, room, truncate)
        found: list[Ids] = []
        while len(found) < len(texts):
            unit = _unit(texts, len(found))
            found += await in_thread(
                self._tokenizing, self._counted, unit, len(found), room, truncate
            )
        return found

    def _counted(self, texts: Sequence[str], begin: int, room: int, truncate: bool) -> list[Ids]:
        found = []
        for index, text in enumerate(texts, begin):
            if len(text) > MOST_CHARACTERS and not truncate:
                raise InputTooLarge(index, len(text), MOST_CHARACTERS)
            ids = self._tokens.ids(text[:MOST_CHARACTERS], room)
            if len(ids) > room and not truncate:
                tokens = len(ids) + self._tokens.specials
                raise InputTooLong(index, tokens, self._entry.max_tokens)
            found.append(ids[:room])
        return found

    def _counts(self, contents: Sequence[Ids]) -> list[int]:
        return [len(ids) + self._tokens.specials for ids in contents]

    def _sequence(self, content: Ids) -> Ids:
        return np.concatenate(
            [
                np.array(self._tokens.before, np.int64),
                content,
                np.array(self._tokens.after, np.int64),
            ]
        )

    def _compute(self, batch: Sequence[Piece]) -> list[Floats]:
        """Runs in a thread: pads, runs, pools."""
        length = max(len(piece.ids) for piece in batch)
        ids = np.zeros((len(batch), length), np.int64)
        mask = np.zeros((len(batch), length), np.int64)
        for row, piece in enumerate(batch):
            ids[row, : len(piece.ids)] = piece.ids
            mask[row, : len(piece.ids)] = 1
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        feeds = {name: value for name, value in feeds.items() if name in self._session.inputs}
        if batch[0].job.by_spans:
            assert self._by_token is not None
            [vectors] = self._session.run([self._by_token], feeds)
            return [_by_spans(vectors[row], piece.spans) for row, piece in enumerate(batch)]
        if self._pooled is not None:
            [vectors] = self._session.run([self._pooled], feeds)
            return [vectors[row : row + 1] for row in range(len(batch))]
        assert self._by_token is not None
        [vectors] = self._session.run([self._by_token], feeds)
        return [self._one(vectors[row], len(piece.ids)) for row, piece in enumerate(batch)]

    def _one(self, vectors: Floats, length: int) -> Floats:
        if self._entry.pooling == "first":
            return vectors[:1]
        found: Floats = vectors[:length].mean(axis=0, keepdims=True)
        return found


def _graph(model: str, folder: Path) -> Path:
    for name in TEXT_GRAPHS:
        if (folder / name).is_file():
            return folder / name
    raise ModelUnavailable(model, f"its folder has none of {', '.join(TEXT_GRAPHS)}")


def _unit(texts: Sequence[str], begin: int) -> Sequence[str]:
    """The texts from `begin` on that one thread counts at once; at least one."""
    end, characters = begin, 0
    while end < len(texts) and (end == begin or characters + len(texts[end]) <= UNIT_CHARACTERS):
        characters += len(texts[end])
        end += 1
    return texts[begin:end]


def _spans(bounds: Sequence[tuple[int, int]], first: int, last: int, shift: int) -> list[Span]:
    """What of every text lies between `first` and `last`, moved by `shift`."""
    return [
        Span(owner, max(start, first) + shift, min(end, last) + shift)
        for owner, (start, end) in enumerate(bounds)
        if max(start, first) < min(end, last)
    ]


def _by_spans(vectors: Floats, spans: Sequence[Span]) -> Floats:
    if not spans:
        return np.empty((0, vectors.shape[1]), np.float32)
    return np.stack([vectors[span.start : span.end].mean(axis=0) for span in spans])

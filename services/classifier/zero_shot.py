"""Labels as text: their vectors, remembered, and what the inputs make of them.

It refuses to remember without bound: what was not asked for longest goes first.

TEMPERATURE was chosen on 188 hand-written sentences of three sets (tests/services/classifier) and
1,200 docstrings of the standard library by their package: at 0.04 the mean negative log likelihood
is least (0.587 nats; 0.75 at 0.02, 0.62 at 0.06) and the mean score of the winner (0.785) is next
to how often it is right (0.82). Pictures against texts: 1/100, which CLIP is trained with.

Short labels are read inside a few sentences, because the models were trained on sentences: 82 %
right on those sets, against 79 % for bare labels. Labels of many words are sentences already.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.classifier.ask import Labels
from services.classifier.fitting import softmax
from services.classifier.sums import Doubles, Floats

TEMPERATURE: Final = 0.04
PICTURE_TEMPERATURE: Final = 0.01
FRAMES: Final = ("This text is about {}.", "{} topic")
FRAMED_WORDS: Final = 4
MEMORY_BYTES: Final = 32 * 1024 * 1024
# What an entry costs besides its vector and its text.
ENTRY_BYTES: Final = 300


@dataclass(frozen=True, slots=True)
class LabelVector:
    """`tokens` are those of the label alone, however it was framed."""

    vector: Floats
    tokens: int


# Vectors [n, d] of texts, and the tokens of each.
EmbedTexts = Callable[[Sequence[str]], Awaitable[tuple[Floats, Sequence[int]]]]
Key = tuple[str, bool, str]


class LabelVectors:
    """The vectors of labels by model, framing and text; those used last are remembered."""

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self._most_bytes = memory_bytes
        self._bytes = 0
        self._known: OrderedDict[Key, LabelVector] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    async def of(
        self, model: str, labels: Sequence[str], framed: bool, embed: EmbedTexts
    ) -> dict[str, LabelVector]:
        """Every label's vector; `embed` is only asked for those that are not remembered."""
        found: dict[str, LabelVector] = {}
        unknown = []
        for label in labels:
            known = self._known.get((model, framed, label))
            if known is None:
                unknown.append(label)
            else:
                self._known.move_to_end((model, framed, label))
                found[label] = known
        if unknown:
            for label, vector in zip(unknown, await _embedded(unknown, framed, embed), strict=True):
                found[label] = vector
                self._remember((model, framed, label), vector)
        return found

    def _remember(self, key: Key, vector: LabelVector) -> None:
        old = self._known.pop(key, None)
        if old is not None:
            self._bytes -= _size(key, old)
        self._known[key] = vector
        self._bytes += _size(key, vector)
        while self._bytes > self._most_bytes:
            self._bytes -= _size(*self._known.popitem(last=False))


def is_framed(groups: Mapping[str | None, Labels]) -> bool:
    """Whether all labels are names: a frame around some of them would favour those."""
    return all(len(label.split()) <= FRAMED_WORDS for group in groups.values() for label in group)


def temperatures(pictured: NDArray[np.bool_]) -> Doubles:
    """[n, 1]: one for every input, by whether it is a picture."""
    found: Doubles = np.where(pictured, PICTURE_TEMPERATURE, TEMPERATURE)
    return found[:, None]


def scores(inputs: Floats, labels: Floats, temperature: Doubles) -> Doubles:
    """[n, C] probabilities of unit vectors; each row sums to 1."""
    return softmax((inputs @ labels.T).astype(np.float64) / temperature)


async def _embedded(
    labels: Sequence[str], framed: bool, embed: EmbedTexts
) -> Sequence[LabelVector]:
    frames = FRAMES if framed else ()
    texts = [*labels, *(frame.format(label) for frame in frames for label in labels)]
    vectors, tokens = await embed(texts)
    size = len(labels)
    if not frames:
        means = vectors
    else:
        means = vectors[size:].reshape(len(frames), size, -1).mean(axis=0)
        lengths = np.linalg.norm(means, axis=1, keepdims=True)
        means = means / np.maximum(lengths, np.finfo(np.float32).tiny)
    return [
        LabelVector(np.array(mean, np.float32), count)
        for mean, count in zip(means, tokens[:size], strict=True)
    ]


def _size(key: Key, vector: LabelVector) -> int:
    return ENTRY_BYTES + 4 * len(key[2]) + vector.vector.nbytes

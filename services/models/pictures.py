"""Opens pictures and runs them through a vision graph; the only place that knows Pillow.

It refuses what is no picture and what is too large to be opened, from its head, before a pixel is
decoded: a few kilobytes of PNG can stand for gigabytes.
"""

import io
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from PIL import Image, UnidentifiedImageError

from services.models.faults import BadPicture, ModelUnavailable
from services.models.lanes import in_thread
from services.models.registry import Local
from services.models.session import Session
from services.models.windows import Floats

GRAPH: Final = "vision_model.onnx"
CONFIG: Final = "preprocessor_config.json"
POOLED: Final = ("image_embeds", "pooled", "embeddings")
# Formats of the web. Others have decoders that are rarely used and rarely looked after.
FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
# What CLIP was trained with.
MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
DEVIATION: Final = (0.26862954, 0.26130258, 0.27577711)
EDGE: Final = 224
# Longer than this a line of pixels is no picture; the resized one would be as absurd.
MOST_RATIO: Final = 200
BROKEN: Final = (
    OSError,
    ValueError,
    SyntaxError,  # Pillow's word for a PNG with a broken chunk
)
# Pillow's own limit, far above ours: it looks first.
BOMBS: Final = (Image.DecompressionBombError, Image.DecompressionBombWarning)


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file as it came. `source_bytes` is how much of the request stood for it."""

    content: bytes
    source_bytes: int


class Vision:
    """Pictures to vectors. Loads its graph in the constructor, which blocks."""

    def __init__(self, entry: Local, folder: Path, running: Executor, pixels: int) -> None:
        self._entry = entry
        self._running = running
        self._pixels = pixels
        self._session = Session(entry.name, folder / GRAPH)
        self._output = next((name for name in POOLED if name in self._session.shapes), "")
        if not self._output or self._session.inputs != {"pixel_values"}:
            message = f"{GRAPH} must take pixel_values and give one of {', '.join(POOLED)}"
            raise ModelUnavailable(entry.name, message)
        width = self._session.shapes[self._output][-1]
        if not isinstance(width, int):
            raise ModelUnavailable(entry.name, f"{GRAPH} has an output of unknown width")
        self.dimension: int = width
        self._shape = _shape(entry.name, folder / CONFIG)

    def tokens(self, picture: Picture) -> int:
        """What a picture costs: never more than the bytes that stood for it in the request,

        because those are what the gateway has set aside.
        """
        return min(self._entry.image_tokens, picture.source_bytes)

    async def embed(self, index: int, picture: Picture) -> Floats:
        """The vector of the picture, as one row. Raises BadPicture with `index`."""
        return await in_thread(self._running, self._embed, index, picture)

    def _embed(self, index: int, picture: Picture) -> Floats:
        pixels = self._shape.tensor(_opened(index, picture.content, self._pixels))
        [vectors] = self._session.run([self._output], {"pixel_values": pixels[None]})
        return np.asarray(vectors, np.float32)


@dataclass(frozen=True, slots=True)
class _Shape:
    """How a picture becomes a tensor: the shortest edge scaled, the middle cut out, normalised."""

    edge: int
    height: int
    width: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def tensor(self, image: Image.Image) -> Floats:
        wide, high = image.size
        scale = max(self.edge / min(wide, high), self.width / wide, self.height / high)
        size = max(self.width, round(wide * scale)), max(self.height, round(high * scale))
        # Only the middle is kept, so only the middle is scaled.
        left, top = (size[0] - self.width) / 2 / scale, (size[1] - self.height) / 2 / scale
        box = (
            left,
            top,
            min(wide, left + self.width / scale),
            min(high, top + self.height / scale),
        )
        middle = image.resize((self.width, self.height), Image.Resampling.BICUBIC, box=box)
        values = np.asarray(middle, np.float32) / 255.0
        normal = (values - np.array(self.mean, np.float32)) / np.array(self.deviation, np.float32)
        return np.ascontiguousarray(normal.transpose(2, 0, 1), dtype=np.float32)


def _opened(index: int, content: bytes, pixels: int) -> Image.Image:
    """The picture in RGB; its first frame if it moves."""
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        wide, high = image.size
        if wide * high > pixels:
            message = f"the image has {wide} x {high} pixels; at most {pixels} are taken"
            raise BadPicture(index, message)
        if min(wide, high) < 1 or max(wide, high) > MOST_RATIO * min(wide, high):
            raise BadPicture(index, f"an image of {wide} x {high} pixels is not taken")
        return image.convert("RGB")
    except UnidentifiedImageError as fault:
        listed = ", ".join(FORMATS)
        raise BadPicture(index, f"the bytes are no image of these kinds: {listed}") from fault
    except BOMBS as fault:
        raise BadPicture(index, f"the image has more than {pixels} pixels") from fault
    except BROKEN as fault:
        raise BadPicture(index, f"the image is damaged: {type(fault).__name__}") from fault


def _shape(model: str, path: Path) -> _Shape:
    """The shape in a `preprocessor_config.json` as it comes with such models."""
    try:
        config = orjson.loads(path.read_bytes())
        size = config.get("size", EDGE)
        crop = config.get("crop_size", size)
        edges = _edges(crop)
        return _Shape(
            edge=min(_edges(size)),
            height=edges[0],
            width=edges[1],
            mean=_triple(config.get("image_mean", MEAN)),
            deviation=_triple(config.get("image_std", DEVIATION)),
        )
    except (OSError, orjson.JSONDecodeError, AttributeError, TypeError, ValueError) as fault:
        raise ModelUnavailable(model, f"{path.name} cannot be used: {fault}") from fault


def _edges(size: Any) -> tuple[int, int]:
    """Height and width, however they are written."""
    if isinstance(size, Mapping):
        if "shortest_edge" in size:
            size = size["shortest_edge"]
        else:
            return _edge(size.get("height")), _edge(size.get("width"))
    return _edge(size), _edge(size)


def _edge(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 4096:
        raise ValueError(f"{value!r} is no size of an image")
    return value


def _triple(values: Any) -> tuple[float, ...]:
    found = tuple(float(value) for value in values)
    if len(found) != 3:
        raise ValueError(f"{values!r} is not one number for each colour")
    return found

"""The size and kind of an image, from its head. Owner of pillow; it runs in a worker process.

It never decodes pixels, so that no image can cost more than its head. It refuses what is no image.
"""

import io

from PIL import Image, UnidentifiedImageError


class PictureError(ValueError):
    """Bytes that are no image of a known kind."""


def describe(body: bytes) -> str:
    """Kind and size in pixels, such as `PNG, 640x480`. Raises PictureError."""
    try:
        with Image.open(io.BytesIO(body)) as picture:
            return f"{picture.format}, {picture.width}x{picture.height}"
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        OSError,
        SyntaxError,
        ValueError,
    ) as fault:
        raise PictureError("no image that can be read") from fault

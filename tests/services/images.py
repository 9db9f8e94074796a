"""Pictures for the tests: small, moving, and such as stand for far more than they weigh."""

import base64
import io
import struct
import zlib

from PIL import Image

COLOURS = {"red": (255, 0, 0), "blue": (0, 0, 255), "green": (0, 128, 0)}


def solid(colour: str, size: tuple[int, int] = (40, 30), kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, COLOURS[colour]).save(file, kind)
    return file.getvalue()


def moving() -> bytes:
    file = io.BytesIO()
    frames = [Image.new("RGB", (20, 20), COLOURS[name]) for name in ("red", "blue")]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def bomb(wide: int, high: int) -> bytes:
    """A PNG of a few hundred bytes that says it has so many pixels."""
    head = struct.pack(">IIBBBBB", wide, high, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 4096)
    chunks = ((b"IHDR", head), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()

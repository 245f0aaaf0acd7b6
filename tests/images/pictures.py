"""Small real images, made with Pillow, for the tests of this folder."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from typing import Any

from PIL import Image, JpegImagePlugin

from imagegen.config.job import Encoding
from imagegen.images.encode import encode
from imagegen.images.formats import Chunk
from imagegen.images.image_file import read_image
from imagegen.images.provenance import Provenance, read_provenance

FORMATS = ("png", "webp", "jpeg", "avif")

FIELDS: dict[str, Any] = {
    "backend": "comfyui",
    "model": "dreamshaper_8.safetensors",
    "prompt": "a lighthouse at dusk",
    "negative": "blurry",
    "width": 512,
    "height": 768,
    "steps": 20,
    "cfg": 7.0,
    "sampler": "euler",
    "scheduler": "normal",
    "seed": 42,
}


def provenance(*, generated: bool = True, digest: str | None = "ab" * 32, **changes: Any) -> Provenance:
    return Provenance({**FIELDS, **changes}, digest, "1", generated)


def gradient(mode: str = "RGB", size: tuple[int, int] = (16, 12)) -> Image.Image:
    """No two of its pixels are alike, so that a moved or dropped one shows."""
    image = Image.new("RGBA", size)
    for x in range(size[0]):
        for y in range(size[1]):
            image.putpixel((x, y), (x * 15 % 256, y * 20 % 256, (x * y * 7) % 256, (x * 16 + y) % 256))
    return image.convert(mode)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind.upper(), **options)
    return file.getvalue()


def picture(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    return saved(gradient(mode), kind, **options)


def embed(data: bytes, p: Provenance | None) -> bytes:
    """The image with this provenance, in its own format; a PNG is not encoded again."""
    file = read_image(data)
    return encode(file, Encoding(file.format, 90, "full"), p)


def read(data: bytes) -> dict[str, Any] | None:
    """The record in an image file."""
    return read_provenance(read_image(data))


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def pixels(data: bytes) -> tuple[str, tuple[int, int], bytes]:
    image = opened(data)
    return image.mode, image.size, image.tobytes()


def write_webp(chunks: Iterable[Chunk]) -> bytes:
    """A WebP file of these chunks, in this order."""
    body = b"".join(kind + struct.pack("<I", len(one)) + one + b"\0" * (len(one) % 2) for kind, one in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def xmp_of(data: bytes) -> str:
    """The XMP packet as Pillow finds it, whose older releases keep it under other names."""
    image = opened(data)
    found = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        header = b"http://ns.adobe.com/xap/1.0/\0"
        packets = [content for _, content in image.applist if content.startswith(header)]
        found = packets[0].removeprefix(header) if packets else b""
    return found.decode("utf-8") if isinstance(found, bytes) else str(found)


def profile(space: bytes) -> bytes:
    """As much of an ICC profile as anybody here looks at: its colour space, and a length of its own."""
    return bytes(16) + space + bytes(200)

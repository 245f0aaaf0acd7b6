"""Images that mean harm: each is taken or refused within so much memory and so much time."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imagegen.images.formats import Chunk, read_png, write_png
from tests.faults.bounded import MB, bounded
from tests.marks import all_but_long

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the address space is not limited so")

IEND = (b"IEND", b"")


def header(width: int, height: int, *, depth: int = 8, colour: int = 2) -> Chunk:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)


def zeros(size: int) -> bytes:
    """Compressed: a thousandth of that."""
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(bytes(MB)) for _ in range(size // MB)), packer.flush()])


def picture(kind: str, size: tuple[int, int] = (64, 64), **options: Any) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(file, kind, **options)
    return file.getvalue()


def with_chunks(*chunks: Chunk) -> bytes:
    """A sound picture with these after its header."""
    first, *rest = read_png(picture("PNG"))
    return write_png([first, *chunks, *rest])


def progressive(scans: int, side: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    data = picture("JPEG", (side, side), progressive=True, quality=10)
    at = data.rindex(b"\xff\xda")
    return data[:at] + data[at:-2] * scans + b"\xff\xd9"


def riff(chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def with_parts(items: int) -> bytes:
    """An AVIF that lists so many items of 65,535 parts each, which take no byte."""
    data = picture("AVIF")
    meta, at = data.index(b"meta"), data.index(b"iloc")
    entries = struct.pack(">HHHH", 1, 1, 0, 65_535) * items
    box = b"iloc" + bytes([1, 0, 0, 0, 0, 0]) + struct.pack(">H", items) + entries
    (length,), (before,) = struct.unpack_from(">I", data, meta - 4), struct.unpack_from(">I", data, at - 4)
    content = (
        data[meta + 4 : at - 4] + struct.pack(">I", len(box) + 4) + box + data[at - 4 + before : meta - 4 + length]
    )
    return data[: meta - 4] + struct.pack(">I", len(content) + 8) + b"meta" + content + data[meta - 4 + length :]


IMAGES: dict[str, Callable[[], bytes]] = {
    "50,000×50,000 in the header": lambda: write_png([header(50_000, 50_000), (b"IDAT", zeros(10 * MB)), IEND]),
    "2^31 wide in the header": lambda: write_png([header(2**31 - 1, 1), (b"IDAT", zeros(MB)), IEND]),
    "64 pixels that unpack to 100 MB": lambda: write_png([header(8, 8), (b"IDAT", zeros(100 * MB)), IEND]),
    "text that unpacks to 100 MB": lambda: with_chunks((b"zTXt", b"Comment\0\0" + zeros(100 * MB))),
    "a profile that unpacks to 100 MB": lambda: with_chunks((b"iCCP", b"p\0\0" + zeros(100 * MB))),
    "100 MB of text": lambda: with_chunks((b"tEXt", b"Comment\0" + b"x" * (100 * MB))),
    "500,000 chunks of PNG": lambda: with_chunks(*[(b"teXt", b"")] * 500_000),
    "2 million segments of JPEG": lambda: b"\xff\xd8" + b"\xff\xe5\0\2" * 2_000_000 + picture("JPEG")[2:],
    "100 MB of fill bytes in a JPEG": lambda: b"\xff\xd8" + b"\xff" * (100 * MB) + picture("JPEG")[2:],
    "5,000 scans of JPEG": lambda: progressive(5_000, 2048),
    "100 scans of JPEG": lambda: progressive(90, 2048),
    "2 million chunks of WebP": lambda: riff(picture("WEBP")[12:] + b"teXt\0\0\0\0" * 2_000_000),
    "2 million boxes of AVIF": lambda: picture("AVIF") + b"\0\0\0\x08free" * 2_000_000,
    "an AVIF of 4 thousand million parts": lambda: with_parts(65_535),
    "200 MB after the image": lambda: picture("PNG") + bytes(200 * MB),
}
LARGE: dict[str, Callable[[], bytes]] = {
    "64 pixels that unpack to 1 GB": lambda: write_png([header(8, 8), (b"IDAT", zeros(1024 * MB)), IEND]),
    "the most pixels there may be": lambda: write_png(
        [header(8192, 8192, depth=16, colour=6), (b"IDAT", zeros(513 * MB)), IEND]
    ),
}
SHORT = (
    "50,000×50,000 in the header",
    "500,000 chunks of PNG",
    "2 million segments of JPEG",
    "5,000 scans of JPEG",
    "2 million chunks of WebP",
    "an AVIF of 4 thousand million parts",
)
VERIFY = """
import time
from pathlib import Path
from imagegen.images.formats import BadImage
from imagegen.images.image_file import verify
from imagegen.images.encode import encode
from imagegen.images.provenance import Provenance
from imagegen.config.job import Encoding
data = Path(file).read_bytes()
began = time.process_time()
try:
    info = verify(data, may_be_flat=False)
    said = f"taken: {info.width}x{info.height}"
    provenance = Provenance({"backend": "comfyui", "model": "m", "prompt": "p"}, None, "1", True)
    said += f", {len(encode(info, Encoding('png', 100, 'full'), provenance))} bytes"
except BadImage as error:
    said = str(error)
said = [said, time.process_time() - began]
"""


@pytest.mark.parametrize("what", all_but_long(IMAGES | LARGE, SHORT))
def test_an_image_of_any_kind_takes_no_more_than_so_much_memory_and_time(what: str, tmp_path: Path) -> None:
    file = tmp_path / "image"
    file.write_bytes((IMAGES | LARGE)[what]())
    size = file.stat().st_size
    took = bounded(VERIFY, memory=3 * 1024 * MB, seconds=60, file=str(file))
    said, seconds = took.said
    print(f"{what}: {size // MB} MB, {took.peak // MB} MB, {seconds:.1f} s: {said}")
    assert took.peak < 700 * MB
    assert seconds < 15

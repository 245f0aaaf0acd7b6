from __future__ import annotations

import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from imagegen.images.formats import BadImage, Chunk, read_jpeg, read_png, read_webp, write_jpeg, write_png
from imagegen.images.image_file import MAX_PIXELS, ImageFile, read_image, verify

from .pictures import FORMATS, gradient, picture, pixels, profile, saved, write_webp


def described(file: ImageFile) -> tuple[str, int, int, bool]:
    return file.format, file.width, file.height, file.lossless


def what(data: bytes, width: int | None = None, height: int | None = None) -> str:
    with pytest.raises(BadImage) as caught:
        verify(data, width, height)
    return caught.value.what


@pytest.mark.parametrize(
    ("data", "format_", "lossless"),
    [
        (picture("png"), "png", True),
        (picture("png", "P"), "png", True),
        (picture("jpeg"), "jpeg", False),
        (picture("jpeg", "CMYK"), "jpeg", False),
        (picture("jpeg", progressive=True), "jpeg", False),
        (picture("webp"), "webp", False),
        (picture("webp", "RGBA"), "webp", False),
        (picture("webp", lossless=True), "webp", True),
        (picture("webp", "RGBA", lossless=True), "webp", True),
    ],
)
def test_a_sound_image_is_described(data: bytes, format_: str, lossless: bool) -> None:
    assert described(verify(data, 16, 12)) == (format_, 16, 12, lossless)


@pytest.mark.parametrize(
    "data",
    [
        picture("png"),
        picture("jpeg"),
        picture("jpeg", progressive=True, exif=b"Exif\0\0MM\0*\xff\xd9\xff\xd9"),
        picture("webp"),
        picture("webp", lossless=True),
        picture("webp", "RGBA", xmp=b"<x/>"),
    ],
)
def test_every_cut_is_refused(data: bytes) -> None:
    assert verify(data)
    for cut in range(len(data)):
        assert what(data[:cut])


@pytest.mark.parametrize("kind", FORMATS)
def test_what_follows_the_image_is_refused(kind: str) -> None:
    assert "followed by 3 bytes" in what(picture(kind) + b"\0\0\0")


def test_every_flipped_bit_of_a_png_is_refused() -> None:
    data = picture("png")
    for at in range(len(data)):
        assert what(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


def test_png_pixels_that_end_early_are_refused_though_every_chunk_is_sound() -> None:
    chunks = read_png(picture("png"))
    half = [(kind, payload[: len(payload) // 2] if kind == b"IDAT" else payload) for kind, payload in chunks]
    header_only = [chunk for chunk in chunks if chunk[0] != b"IDAT"]

    assert what(write_png(half)).startswith("the image is corrupt: ")
    assert what(write_png(header_only)).startswith("the image is corrupt: ")


def test_webp_pixels_that_end_early_are_refused_though_every_size_is_right() -> None:
    for lossless in (True, False):
        ((kind, payload),) = read_webp(picture("webp", lossless=lossless))

        assert what(write_webp([(kind, payload[:30])])).startswith("the image is corrupt: ")


def test_what_is_no_image_is_shown_by_its_start_with_control_characters_escaped() -> None:
    assert what(b"") == "not an image (it is empty)"
    assert what(b"<!DOCTYPE html") == "not a PNG, WebP, AVIF or JPEG image (it starts with '<!DOCTYPE html')"
    assert what(b"\x1b[2J" * 20).startswith("not a PNG, WebP, AVIF or JPEG image (it starts with '\\x1b[2J")
    assert what(saved(gradient("P"), "gif")) == "not a PNG, WebP, AVIF or JPEG image, but a GIF image"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC image"),
        (saved(gradient(), "bmp"), "a BMP image"),
        (saved(gradient(), "tiff"), "a TIFF or raw camera image"),
        (b"\xff\x0a\xfa\x7f", "a JPEG XL image"),
        (b"8BPS\0\x01", "a Photoshop document"),
        (b'<?xml version="1.0"?>\n<svg xmlns="x"/>', "an SVG image"),
    ],
)
def test_another_kind_of_picture_is_called_by_its_name(data: bytes, name: str) -> None:
    assert what(data) == f"not a PNG, WebP, AVIF or JPEG image, but {name}"


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("more", [b"\n", b"\0" * 4096, b"\xff\xd8\xff\xe0 another picture \xff\xd9"])
def test_what_comes_after_an_image_is_refused_unless_it_may(kind: str, more: bytes) -> None:
    data = picture(kind) + more
    with pytest.raises(BadImage, match="followed by"):
        verify(data)
    found, alone = verify(data, may_be_followed=True), verify(picture(kind))
    assert described(found) == described(alone)
    assert found.picture.tobytes() == alone.picture.tobytes()


@pytest.mark.parametrize("kind", FORMATS)
def test_another_size_than_asked_for_is_refused(kind: str) -> None:
    data = picture(kind)

    assert what(data, 70, 70) == "the image is 16×12, not the 70×70 asked for"
    assert what(data, width=17) == "the image is 16×12, not the 17×12 asked for"
    assert what(data, height=11) == "the image is 16×12, not the 16×11 asked for"
    assert verify(data, width=16)


def with_header(width: int, height: int) -> bytes:
    (_, header), *rest = read_png(picture("png"))
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return write_png([(b"IHDR", size + header[8:]), *rest])


def test_the_size_is_told_by_the_header_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def decoded(*_args: object, **_options: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Image, "open", decoded)

    assert what(with_header(40, 30), 41, 30) == "the image is 40×30, not the 41×30 asked for"
    assert what(with_header(8193, 8192)) == f"the image is 8193×8192, which is more than {MAX_PIXELS} pixels"
    assert what(with_header(0, 30)) == "the image is corrupt: its header gives no size"


def test_the_bound_stays_below_the_size_at_which_pillow_warns() -> None:
    assert Image.MAX_IMAGE_PIXELS is not None
    assert MAX_PIXELS <= Image.MAX_IMAGE_PIXELS


def test_a_header_that_is_not_that_of_the_content_is_refused() -> None:
    chunks = read_webp(picture("webp", "RGBA"))
    lying = (b"VP8X", chunks[0][1][:4] + b"\x1f\0\0\x1f\0\0")

    assert what(write_webp([lying, *chunks[1:]])).startswith("the image is corrupt: ")


def test_compressed_text_is_not_expanded() -> None:
    header, *rest = read_png(picture("png"))
    bomb = zlib.compress(bytes(80_000_000))
    data = write_png([header, *[(b"zTXt", b"a\0\0" + bomb)] * 3, (b"iTXt", b"b\0\1\0\0\0" + bomb), *rest])

    assert described(verify(data)) == ("png", 16, 12, True)


def test_damaged_metadata_and_animation_headers_make_no_warning() -> None:
    header, *rest = read_png(picture("png"))
    broken_exif = b"II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x05\0\xff\xff\0\0\xff\xff\xff\x7f" * 3
    broken_mpf = (b"\xe2", b"MPF\0II*\0\x08\0\0\0\x01\0\x00\xb0\7\0\4\0\0\x000100\0\0\0\0")
    jfif, *others = read_jpeg(picture("jpeg"))

    assert verify(write_png([header, (b"acTL", bytes(8)), (b"eXIf", broken_exif), *rest]))
    assert verify(write_jpeg([jfif, broken_mpf, (b"\xe1", b"Exif\0\0" + broken_exif), *others]))
    assert verify(picture("webp", exif=broken_exif))


def test_of_an_animation_the_first_frame_is_decoded() -> None:
    frames: dict[str, Any] = {"save_all": True, "append_images": [gradient().rotate(180)]}

    for kind in ("png", "webp"):
        assert verify(picture(kind, **frames), 16, 12)


def test_threads_verify_at_once() -> None:
    images = [picture(kind) for kind in FORMATS] * 20

    with ThreadPoolExecutor(8) as pool:
        assert [info.format for info in pool.map(verify, images)] == list(FORMATS) * 20


def test_importing_the_room_does_not_import_pillow() -> None:
    folder = Path(verify.__code__.co_filename).parent
    modules = ", ".join(f"imagegen.images.{path.stem}" for path in folder.glob("*.py") if path.stem != "__init__")
    code = f"import sys, {modules}; sys.exit('PIL' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], cwd=folder.parents[1], check=False).returncode == 0


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
def test_one_flat_colour_is_refused_only_where_it_is_not_meant(mode: str) -> None:
    flat = Image.new("RGB", (16, 16))
    verify(saved(flat.convert(mode), "png"))
    with pytest.raises(BadImage, match="of one flat colour, #000000"):
        verify(saved(flat.convert(mode), "png"), may_be_flat=False)
    flat.putpixel((3, 4), (255, 255, 255))
    verify(saved(flat.convert(mode), "png"), may_be_flat=False)


def test_of_a_jpeg_the_profile_is_kept_and_what_only_tells_is_not_decoded() -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    data = picture("jpeg", comment=b"hello", icc_profile=profile(b"RGB "), exif=exif)

    file = read_image(data)

    assert file.picture.info == {"icc_profile": profile(b"RGB ")}
    assert pixels(data) == (file.picture.mode, file.picture.size, file.picture.tobytes())
    assert file.texts == {"Comment": "hello"}


@pytest.mark.parametrize("kind", FORMATS)
def test_exif_and_xmp_are_found_in_each_format(kind: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    options: dict[str, Any] = {"exif": exif, "xmp": b"<x/>"}
    if kind == "png":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", "<x/>")
        options = {"exif": exif, "pnginfo": info}

    file = read_image(picture(kind, **options))

    assert b"a camera" in file.exif
    assert file.exif[:2] in (b"II", b"MM")
    assert file.xmp == b"<x/>"
    assert (read_image(picture(kind)).exif, read_image(picture(kind)).xmp) == (b"", b"")


def test_exif_that_a_webp_holds_with_a_jpegs_header_is_read() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    header, *others = read_webp(picture("webp", exif=exif))
    with_header: list[Chunk] = [(kind, exif.tobytes() if kind == b"EXIF" else content) for kind, content in others]
    assert exif.tobytes().startswith(b"Exif")

    assert read_image(write_webp([header, *with_header])).upright.size == (12, 16)


def test_a_jpeg_is_decoded_to_a_fraction_that_fills_the_box() -> None:
    jpeg, png = (read_image(saved(Image.new("RGB", (800, 600), "teal"), kind)) for kind in ("jpeg", "png"))
    assert jpeg.picture_for((200, 200)).size == (200, 150)
    assert jpeg.picture_for((201, 900)).size == (400, 300)
    assert jpeg.picture_for((900, 900)).size == jpeg.picture.size == (800, 600)
    assert png.picture_for((200, 200)).size == (800, 600)

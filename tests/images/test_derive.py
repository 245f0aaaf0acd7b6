"""Pictures made of pictures: sizes, crops, formats."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageChops, ImageOps

from imagegen.config.job import Encoding
from imagegen.config.schema import Format
from imagegen.images.derive import picture
from imagegen.images.formats import BadImage
from imagegen.images.image_file import ImageFile, read_image, verify
from imagegen.images.provenance import Provenance, inherit_provenance
from imagegen.images.reshape import Shape
from imagegen.images.sheet import Grid, draw_grid

from .pictures import embed, read

PNG = Encoding("png", 100, "none")
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def file(image: Image.Image, kind: str = "png") -> ImageFile:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return read_image(buffer.getvalue())


def thirds(width: int = 300, height: int = 100) -> Image.Image:
    """Red, green and blue, side by side."""
    image = Image.new("RGB", (width, height), GREEN)
    image.paste(RED, (0, 0, width // 3, height))
    image.paste(BLUE, (width - width // 3, 0, width, height))
    return image


def opened(data: bytes) -> Image.Image:
    verify(data)
    return Image.open(io.BytesIO(data))


def turned(kind: str, orientation: int) -> bytes:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "webp" else {"quality": 100, "subsampling": 0} if kind == "jpeg" else {}
    thirds().save(buffer, kind, exif=exif, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_stands_as_viewers_show_it(kind: str, orientation: int) -> None:
    data = turned(kind, orientation)
    whole = read_image(data)
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    made = opened(picture(whole, Shape(), PNG)).convert("RGB")
    assert made.size == shown.size == ((100, 300) if orientation > 4 else (300, 100))
    assert ImageChops.difference(made, shown).getbbox() is None
    on_sheet = opened(draw_grid([whole], 1, Grid(1, 300), PNG))
    assert on_sheet.getchannel("A").getbbox() == ((100, 0, 200, 300) if orientation > 4 else (0, 100, 300, 200))


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        (Shape(), (300, 100)),
        (Shape(width=150), (150, 50)),
        (Shape(height=10), (30, 10)),
        (Shape(width=60, height=60), (60, 20)),
        (Shape(width=60, height=60, crop="centre"), (60, 60)),
        (Shape(width=300, height=100, crop="centre"), (300, 100)),
        (Shape(width=7, height=1), (3, 1)),
        (Shape(width=1), (1, 1)),
        (Shape(width=600, enlarge=True), (600, 200)),
    ],
)
def test_an_image_is_brought_to_the_size_asked_for(shape: Shape, size: tuple[int, int]) -> None:
    assert opened(picture(file(thirds()), shape, PNG)).size == size


@pytest.mark.parametrize(
    "shape", [Shape(width=301), Shape(height=101), Shape(width=10, height=101, crop="top"), Shape(301, 101)]
)
def test_an_image_is_never_enlarged_unless_that_is_asked_for(shape: Shape) -> None:
    with pytest.raises(BadImage, match=r"300×100, too small for .* pixels"):
        picture(file(thirds()), shape, PNG)


@pytest.mark.parametrize(("crop", "colour"), [("left", RED), ("centre", GREEN), ("top", GREEN), ("bottom-right", BLUE)])
def test_a_crop_keeps_the_side_that_it_names(crop: str, colour: tuple[int, int, int]) -> None:
    found = opened(picture(file(thirds()), Shape(50, 50, crop), PNG))
    assert found.convert("RGB").getpixel((25, 25)) == colour
    upright = picture(file(thirds().transpose(Image.Transpose.ROTATE_270)), Shape(50, 50, "top"), PNG)
    assert opened(upright).convert("RGB").getpixel((25, 25)) == RED


@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
def test_it_is_written_in_the_format_asked_for_and_always_with_the_same_bytes(kind: Format) -> None:
    encoding = Encoding(kind, 100 if kind == "png" else 80, "none")
    data = picture(file(thirds()), Shape(width=150), encoding)
    assert verify(data).format == kind
    assert data == picture(file(thirds()), Shape(width=150), encoding)


def test_transparency_stays_and_no_colour_bleeds_into_what_is_seen() -> None:
    image = Image.new("RGBA", (100, 100), (0, 255, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 50, 100))
    found = opened(picture(file(image), Shape(width=10), PNG)).convert("RGBA")
    assert found.getpixel((9, 5)) == (0, 0, 0, 0)
    assert found.getpixel((0, 5)) == (255, 0, 0, 255)
    assert all(found.getpixel((x, 5))[1] < 3 for x in range(10) if found.getpixel((x, 5))[3] > 9)  # type: ignore[index]


@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
@pytest.mark.parametrize("generated", [True, False])
def test_what_the_image_says_of_its_making_goes_along(kind: str, generated: bool) -> None:
    p = Provenance({"backend": "b", "prompt": "a raven", "steps": 20}, "ab" * 32, "1", generated)
    source = read_image(embed(file(thirds(), kind).data, p))
    made = picture(source, Shape(width=150), Encoding("webp", 80, "full"))
    assert inherit_provenance(source) == inherit_provenance(read_image(made)) == p
    assert read(picture(source, Shape(width=150), Encoding("webp", 80, "none"))) is None


def test_an_image_that_says_nothing_has_nothing_to_hand_on() -> None:
    assert inherit_provenance(file(thirds())) is None
    assert read(picture(file(thirds()), Shape(width=150), Encoding("png", 100, "full"))) is None


def test_what_no_format_holds_is_refused() -> None:
    with pytest.raises(BadImage, match="webp holds no more than 16383 pixels a side"):
        picture(file(Image.new("L", (16_400, 2))), Shape(), Encoding("webp", 80, "none"))

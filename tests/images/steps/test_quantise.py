"""Pictures of few colours, and palette files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imagegen.images.formats import BadImage
from imagegen.images.steps import check_file
from imagegen.images.steps.palette import read_palette

from ..pictures import gradient, saved
from .pictures import apply, colour, drawn, png

RED, GREEN, DARK = (255, 0, 0), (0, 255, 0), (16, 32, 48)
GPL = b"GIMP Palette\nName: three\nColumns: 3\n# made by hand\n255   0   0\tred\n  0 255 0 green\n16 32 48\n"
JASC = b"JASC-PAL\r\n0100\r\n3\r\n255 0 0\r\n0 255 0\r\n16 32 48\r\n"
HEX = b"ff0000\n00FF00\n102030\n"


def colours(picture: Image.Image) -> set[tuple[int, ...]]:
    data = picture.convert("RGB").tobytes()
    return {tuple(data[at : at + 3]) for at in range(0, len(data), 3)}


@given(count=st.integers(2, 40), dither=st.booleans(), mode=st.sampled_from(["L", "RGB"]))
def test_there_are_no_more_colours_than_asked_for(count: int, *, dither: bool, mode: str) -> None:
    found = apply(gradient(mode, (20, 20)), {"quantise": {"colours": count, "dither": dither}})
    assert 2 <= len(colours(found)) <= count


def test_a_picture_with_few_colours_stays_as_it_is() -> None:
    picture = drawn("RaG", "RaB", a=(1, 1, 2, 255))
    assert apply(picture, {"quantise": 4}).tobytes() == picture.tobytes()
    assert apply(picture, {"quantise": 4}, {"quantise": 4}).tobytes() == picture.tobytes()


@pytest.mark.parametrize("dither", [False, True])
def test_transparency_stays_as_it_is(*, dither: bool) -> None:
    picture = gradient("RGBA", (20, 20))
    found = apply(picture, {"quantise": {"colours": 4, "dither": dither}})
    assert found.getchannel("A").tobytes() == picture.getchannel("A").tobytes()


def test_hard_edges_are_opaque_or_not_there_and_take_none_of_the_colours() -> None:
    picture = drawn("RxyG", x=(0, 0, 255, 128), y=(9, 9, 9, 127))
    found = apply(picture, {"quantise": {"colours": 3, "hard": True}})
    assert [colour(found, x, 0) for x in range(4)] == [(*RED, 255), (0, 0, 255, 255), (9, 9, 9, 0), (*GREEN, 255)]
    assert picture.getpixel((1, 0)) == (0, 0, 255, 128)


def test_what_cannot_be_seen_takes_none_of_the_colours() -> None:
    picture = Image.new("RGBA", (40, 40), (0, 0, 255, 0))
    picture.paste(drawn("RGRG", "GRGR"), (4, 4))
    found = apply(picture, {"quantise": 2})
    assert {colour(found, x, 4) for x in range(4, 8)} == {(*RED, 255), (*GREEN, 255)}


@pytest.mark.parametrize("dither", [False, True])
@pytest.mark.parametrize("data", [GPL, JASC, HEX, b"\xef\xbb\xbf" + HEX, b"; Lospec\n#ff0000\n#00ff00\n#102030"])
def test_with_a_palette_every_pixel_is_of_one_of_its_colours(data: bytes, *, dither: bool) -> None:
    files = {"p.gpl": data}
    assert read_palette(data) == [RED, GREEN, DARK]
    found = apply(gradient("RGB", (30, 30)), {"quantise": {"palette": "p.gpl", "dither": dither}}, files=files)
    assert colours(found) <= {RED, GREEN, DARK}
    assert len(colours(found)) > 1
    assert colours(apply(Image.new("L", (3, 3), 20), {"quantise": "p.gpl"}, files=files)) == {DARK}


def test_dithering_mixes_two_colours_for_one_between_them() -> None:
    files = {"p.hex": b"000000\nffffff"}
    grey = Image.new("L", (20, 20), 128)
    assert len(colours(apply(grey, {"quantise": "p.hex"}, files=files))) == 1
    mixed = apply(grey, {"quantise": {"palette": "p.hex", "dither": True}}, files=files)
    assert abs(sum(mixed.convert("L").tobytes()) / 400 - 128) < 6


def test_an_images_colours_are_a_palette() -> None:
    assert set(read_palette(png(drawn("RG.", "aaa", a=(16, 32, 48, 255))))) == {RED, GREEN, DARK}
    assert set(read_palette(saved(drawn("RG", mode="RGB"), "webp", lossless=True))) == {RED, GREEN}


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "it has 0 colours; a palette has 1 to 256"),
        (b"hello\n", "it is not a palette: 'hello' is not a colour"),
        (b"GIMP Palette\n1 2\n", "'1 2' is not a colour"),
        (b"GIMP Palette\n1 2 256\n", "'1 2 256' is not a colour"),
        (b"GIMP Palette\n", "it has 0 colours"),
        (b"JASC-PAL\n0100\n1\nred\n", "'red' is not a colour"),
        ("\n".join(f"{n:06x}" for n in range(257)).encode(), "it has 257 colours"),
        (b"RIFF\x10\0\0\0PAL data", "a palette of Microsoft's format"),
        (png(gradient("RGB", (40, 40))), "it has more than 256 colours"),
        (png(drawn("..")), "it is fully transparent"),
        (png(drawn("RG"))[:-15], "cut off"),
        (b"\0" * 20, "not a PNG"),
    ],
)
def test_what_is_not_a_palette_is_refused(data: bytes, what: str) -> None:
    with pytest.raises(BadImage, match=what):
        check_file("quantise", {"palette": "art/p.gpl"}, data)

"""Packed sheets: every picture can be restored from its page and the index."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from imagegen.images.image_file import ImageFile, read_image
from imagegen.images.packed_sheet import DoesNotFit, Part, draw_page, measure, write_packed_index, write_page_index
from imagegen.images.packing import Packing

from .test_derive import PNG, RED, file, opened

RULES = Packing(padding=2, extrude=0, max_size=64, power_of_two=False)


@st.composite
def pictures(draw: st.DrawFn) -> Image.Image:
    """A picture of coloured pixels, often with transparent ones at its edges, or all over it."""
    width, height = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    mode = draw(st.sampled_from(["RGBA", "RGBA", "RGB", "L"]))
    image = Image.frombytes(
        mode, (width, height), draw(st.binary(min_size=width * height * len(mode), max_size=width * height * len(mode)))
    )
    if mode == "RGBA" and draw(st.booleans()):
        image.paste((9, 9, 9, 0), (0, 0, draw(st.integers(0, width)), height))
        image.paste((9, 9, 9, 0), (0, 0, width, draw(st.integers(0, height))))
    return image


def index_of(files: dict[str, ImageFile], rules: Packing, *, trim: bool = True, pages: int = 1, **more: Any) -> bytes:
    images = ["sheet.png", *(f"sheet-{page}.png" for page in range(2, pages + 1))]
    return write_packed_index({name: measure(one, trim=trim) for name, one in files.items()}, rules, images, **more)


@settings(max_examples=60, deadline=None)
@given(
    images=st.lists(pictures(), min_size=1, max_size=8),
    rules=st.builds(Packing, st.integers(0, 3), st.integers(0, 2), st.just(40), st.booleans()),
    trim=st.booleans(),
)
def test_each_picture_is_restored_from_its_frame(images: list[Image.Image], rules: Packing, trim: bool) -> None:
    files = {f"n{number}": file(image) for number, image in enumerate(images)}
    index = index_of(files, rules, trim=trim, pages=8)
    assert index == index_of(files, rules, trim=trim, pages=8)
    said = json.loads(index)
    assert [write_page_index(index, n) for n in (2, 3)] == [
        (json.dumps(page, indent=1, ensure_ascii=False) + "\n").encode() for page in said["pages"][:2]
    ]
    seen = []
    for number, page in enumerate([said, *said["pages"]], 1):
        drawn = opened(draw_page(index, number, files.__getitem__, PNG)).convert("RGBA")
        assert drawn.size == (page["meta"]["size"]["w"], page["meta"]["size"]["h"])
        covered = Image.new("L", drawn.size, 0)
        for name, frame in page["frames"].items():
            at, source, size = (frame[key] for key in ("frame", "spriteSourceSize", "sourceSize"))
            box = (at["x"], at["y"], at["x"] + at["w"], at["y"] + at["h"])
            part, original = drawn.crop(box), files[name].upright.convert("RGBA")
            trimmed = (source["x"], source["y"], source["x"] + source["w"], source["y"] + source["h"])
            assert part.tobytes() == original.crop(trimmed).tobytes(), "the pixels of the frame are those of the part"
            assert (size["w"], size["h"]) == original.size
            assert frame["trimmed"] == (part.size != original.size)
            whole = Image.new("RGBA", original.size)
            whole.paste(part, trimmed[:2])
            assert whole.getchannel("A").tobytes() == original.getchannel("A").tobytes(), "nothing else could be seen"
            around = tuple(edge + rules.extrude * (-1 if n < 2 else 1) for n, edge in enumerate(box))
            for x in range(around[0], around[2]):
                for y in range(around[1], around[3]):
                    nearest = (min(max(x, box[0]), box[2] - 1), min(max(y, box[1]), box[3] - 1))
                    assert drawn.getpixel((x, y)) == drawn.getpixel(nearest), "the edges are repeated"
            covered.paste(255, around)
            seen.append(name)
        rest = drawn.getchannel("A")
        assert ImageChops.multiply(rest, ImageChops.invert(covered)).getbbox() is None, "all else is transparent"
    assert seen == [*files], "they are in order"


def test_what_is_not_transparent_is_not_trimmed_and_nothing_is_a_pixel() -> None:
    assert measure(file(Image.new("RGB", (5, 4))), trim=True) == Part(5, 4, (0, 0, 5, 4))
    assert measure(file(Image.new("RGBA", (5, 4))), trim=True) == Part(5, 4, (0, 0, 1, 1))
    assert measure(file(Image.new("RGBA", (5, 4))), trim=False) == Part(5, 4, (0, 0, 5, 4))


def test_a_picture_is_measured_as_viewers_show_it() -> None:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (5, 4)).save(buffer, "jpeg", exif=exif)
    assert measure(read_image(buffer.getvalue()), trim=True) == Part(4, 5, (0, 0, 4, 5))


def squares(count: int, side: int = 30) -> dict[str, Part]:
    return {f"n{number}": Part(side, side, (0, 0, side, side)) for number in range(count)}


@pytest.mark.parametrize(
    ("parts", "rules", "animations", "what", "hint"),
    [
        (squares(1, 65), RULES, {}, "n0 has 65×65 pixels, and a page at most 64 a side", "raise sheet.max_size"),
        (squares(1, 63), Packing(0, 1, 64, False), {}, "n0 has 63×63 pixels with 1 more around them", "raise"),
        ({"n": Part(99, 99, (0, 0, 99, 9))}, RULES, {}, "n has 99×9 pixels, trimmed, and a page at most 64", "raise"),
        (squares(9), RULES, {}, "9 pictures do not fit on 1 page of 64×64 pixels; they need 3", "pages: 3"),
        (squares(5), RULES, {"walk": [*squares(5)]}, "the 5 frames of the animation walk do not fit on one page of 64", "shorter"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(
    parts: dict[str, Part], rules: Packing, animations: Any, what: str, hint: str
) -> None:
    with pytest.raises(DoesNotFit) as caught:
        write_packed_index(parts, rules, ["sheet.png"], animations, 12)
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_an_animation_is_in_the_index_of_the_page_that_has_its_frames() -> None:
    animations = {"even": ["n0", "n2", "n4"], "odd": ["n1", "n3"]}
    said = json.loads(write_packed_index(squares(5), RULES, ["a.png", "a-2.png", "a-3.png"], animations, 8.0))
    assert (said["animations"], [*said["frames"]]) == ({"even": animations["even"]}, animations["even"])
    assert (said["pages"][0]["animations"], [*said["pages"][0]["frames"]]) == ({"odd": ["n1", "n3"]}, ["n1", "n3"])
    assert said["meta"]["related_multi_packs"] == ["a-2.json", "a-3.json"]
    assert (said["meta"]["fps"], said["pages"][0]["meta"]["fps"]) == (8, 8)
    # a page that is not needed is as small as a picture can be
    assert said["pages"][1]["frames"] == {}
    assert said["pages"][1]["meta"]["size"] == {"w": 1, "h": 1}


def test_a_picture_without_transparency_can_be_a_jpeg() -> None:
    files = {"a": file(Image.new("RGB", (20, 20), RED))}
    index = index_of(files, RULES)
    data = draw_page(index, 1, files.__getitem__, type(PNG)("jpeg", 90, "none"))
    assert opened(data).format == "JPEG"

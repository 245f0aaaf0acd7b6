"""A sheet's index is somebody's file once it was edited: what is wrong is found, and nothing fails on the rest."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imagegen.config.job import Encoding
from imagegen.errors import ImagegenError
from imagegen.images.atlas import WRITERS, convert_index
from imagegen.images.image_file import read_image
from imagegen.images.index_check import check_index
from imagegen.images.packed_sheet import Part, draw_page, write_packed_index, write_page_index
from imagegen.images.packing import Packing

PARTS = {"a": Part(8, 8, (1, 1, 7, 7)), "b": Part(8, 8, (0, 0, 8, 8)), "c": Part(8, 8, (0, 0, 8, 8))}
MADE = write_packed_index(
    PARTS, Packing(1, 1, 16, False), ["s.png", "s-2.png", "s-3.png"], {"x": ["a"], "y": ["b"], "z": ["c"]}, 8
)
INDEX: dict[str, Any] = json.loads(MADE)
RULES: dict[str, Any] = {"least_pages": 3, "most_pages": 3, "max_size": 16}


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA", (8, 8), "red").save(buffer, "PNG")
    return buffer.getvalue()


FILE = read_image(picture())


def use(index: bytes) -> None:
    """Make all that can be made from an index."""
    for name in WRITERS:
        if name != "texturepacker-array":
            convert_index(name, index, "job")
    for page in (1, 2, 3):
        draw_page(index, page, dict.fromkeys(PARTS, FILE).__getitem__, Encoding("png", 100, "none"))
    write_page_index(index, 3)


def places(said: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    inner = said.items() if isinstance(said, dict) else enumerate(said) if isinstance(said, list) else ()
    for key, value in inner:
        yield from places(value, (*at, key))


def changed(at: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    whole = copy.deepcopy({"": INDEX})
    inner: Any = whole
    for key in ("", *at)[:-1]:
        inner = inner[key]
    change(inner, ("", *at)[-1])
    return whole.get("", {})


def test_an_index_as_it_is_made_is_right() -> None:
    check_index("s.json", MADE, PARTS, **RULES)
    use(MADE)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 20) | st.floats() | st.sampled_from(["a", "", 10**30, "\ud800"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abxwh"), inner, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from([*places(INDEX)]), json_values, st.booleans())
def test_what_is_not_refused_can_be_used(at: tuple[Any, ...], value: Any, is_removed: bool) -> None:
    said = changed(at, lambda inner, key: inner.pop(key) if is_removed else inner.__setitem__(key, value))
    data = json.dumps(said).encode()
    try:
        check_index("s.json", data, PARTS, **RULES)
    except ImagegenError as error:
        assert all(problem.where.startswith("s.json") for problem in error.problems)
        return
    use(data)


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        ((), [], "1:1: an index must be a mapping"),
        ((), {**INDEX, "frames": {}, "animations": {}}, "2:2: 'frames' has no 'a', which is an image of the sheet"),
        (("frames", "d"), INDEX["frames"]["a"], "the sheet has no image 'd'"),
        (("pages",), [], "1:1: it has 1 page, and the sheet has 3"),
        (("pages", 0, "frames", "a"), INDEX["frames"]["a"], "'a' is on another page too"),
        (("meta", "size", "w"), 17, "the page is 17×8 pixels, and sheet.max_size is 16"),
        (("frames", "a", "frame", "x"), 8, "'frame' reaches over the edge of the page, which is 8×8"),
        (("frames", "a", "frame", "x"), "1", "'x' must be a whole number"),
        (("animations", "x"), ["b"], "'frames' of this page has no 'b'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(at: tuple[Any, ...], value: Any, said: str) -> None:
    data = json.dumps(changed(at, lambda inner, key: inner.__setitem__(key, value)), indent=1).encode()
    with pytest.raises(ImagegenError) as caught:
        check_index("s.json", data, PARTS, **RULES)
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["{", "", "{}}", "[" * 5000, '{"a": "\\ud800"}', "\x00"])
def test_what_is_not_json_is_said_with_its_place(text: str) -> None:
    with pytest.raises(ImagegenError, match=r"^s\.json"):
        check_index("s.json", text.encode())

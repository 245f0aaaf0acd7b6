"""Packed sheets: an index that says where each trimmed picture goes, and the pages that follow from it.

Equal inputs give equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from posixpath import splitext
from typing import TYPE_CHECKING, Any

from imagegen.config.job import Encoding
from imagegen.images.atlas.atlas import PIXELS, Frame, describe_frame
from imagegen.images.encode import encode_picture
from imagegen.images.image_file import ImageFile
from imagegen.images.packing import Packing, Page, TooLargeGroup, pack
from imagegen.images.sheet import NO_ANIMATIONS, add_animations, write_index

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["DoesNotFit", "Part", "draw_page", "measure", "write_packed_index", "write_page_index"]


class DoesNotFit(Exception):  # noqa: N818 - it is worded by who raises the error
    """The pictures do not fit on the pages: why, and what would help."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


@dataclass(frozen=True)
class Part:
    """The part of a picture that goes on a sheet: all of it, or what is not transparent. In pixels."""

    width: int  # of the picture
    height: int
    box: tuple[int, int, int, int]  # left, top, right, bottom

    @property
    def size(self) -> tuple[int, int]:
        """Return its own width and height."""
        left, top, right, bottom = self.box
        return right - left, bottom - top

    @property
    def is_trimmed(self) -> bool:
        """Whether something of the picture is left out."""
        return self.size != (self.width, self.height)


def measure(file: ImageFile, *, trim: bool) -> Part:
    """Return the part of a picture that goes on a sheet; of one with nothing to see, a pixel. Raises BadImage."""
    picture = file.upright
    box = (0, 0, *picture.size)
    if trim and picture.mode == "RGBA":
        box = picture.getchannel("A").getbbox() or (0, 0, 1, 1)
    return Part(*picture.size, box)


def write_packed_index(
    parts: Mapping[str, Part],
    rules: Packing,
    images: Sequence[str],
    animations: Mapping[str, Sequence[str]] = NO_ANIMATIONS,
    fps: float = 0,
) -> bytes:
    """Return where each picture goes: JSON, as TexturePacker writes it ("hash") and game engines read it.

    `frames` are those of the first page. The indexes of the others are in `pages`. An animation is on one page.

    Args:
        parts: of the pictures, by name, in their order.
        rules: for the pages.
        images: the name of each page's file.
        animations: the pictures of each, in order.
        fps: frames a second.

    Raises:
        DoesNotFit: they need more pages than there are names for, or larger ones.

    """
    for name, part in parts.items():
        if max(part.size) + 2 * rules.extrude > rules.max_size:
            size, trimmed = "×".join(map(str, part.size)), ", trimmed" if part.is_trimmed else ""
            around = f" with {rules.extrude} more around them" if rules.extrude else ""
            what = f"{name} has {size} pixels{trimmed}{around}, and a page at most {rules.max_size} a side"
            raise DoesNotFit(what, "raise sheet.max_size, or make it smaller: derive, and sheet: {of: …}")
    pages = _pack(parts, rules, images, animations)
    found = [_describe_page(page, image, parts, rules) for page, image in zip(pages, images, strict=True)]
    for of_page in found:
        add_animations(of_page, animations, fps)
    first, *others = found
    if others:
        first["meta"]["related_multi_packs"] = [f"{splitext(image)[0]}.json" for image in images[1:]]
        first["pages"] = others
    return write_index(first)


def _pack(
    parts: Mapping[str, Part], rules: Packing, images: Sequence[str], animations: Mapping[str, Sequence[str]]
) -> list[Page]:
    """Return a page for each of the images; the last ones may be empty. Raises DoesNotFit."""
    numbers = {name: number for number, name in enumerate(parts)}
    groups = [[numbers[name] for name in frames] for frames in animations.values()]
    groups = sorted(groups) if groups else [[number] for number in numbers.values()]
    try:
        pages = pack([part.size for part in parts.values()], groups, rules)
    except TooLargeGroup as error:
        frames = groups[error.group]
        first = [*parts][frames[0]]
        name = next((name for name, frames in animations.items() if first in frames), first)
        what = f"the {len(frames)} frames of the animation {name} do not fit on one page of {rules.max_size} a side"
        hint = "raise sheet.max_size, make them smaller, or let sheet.animations make shorter ones"
        raise DoesNotFit(what, hint) from None
    if len(pages) > len(images):
        has = f"{len(images)} page{'' if len(images) == 1 else 's'} of {rules.max_size}×{rules.max_size} pixels"
        what = f"{len(parts)} pictures do not fit on {has}; they need {len(pages)}"
        hint = f"sheet: {{pages: {len(pages)}}}, a larger max_size, or smaller pictures: derive, and sheet: {{of: …}}"
        raise DoesNotFit(what, hint)
    return [*pages, *[Page(1, 1, {})] * (len(images) - len(pages))]


def _describe_page(page: Page, image: str, parts: Mapping[str, Part], rules: Packing) -> dict[str, Any]:
    named = list(parts.items())
    frames = {}
    for number, (x, y) in page.corners.items():
        name, part = named[number]
        frames[name] = describe_frame(Frame(name, x, y, *part.size, *part.box[:2], part.width, part.height))
    size = {"w": page.width, "h": page.height}
    meta = {"image": image, "format": PIXELS, "size": size, "scale": "1"}
    return {"frames": frames, "meta": {**meta, "padding": rules.padding, "extrude": rules.extrude}}


def write_page_index(index: bytes, page: int) -> bytes:
    """Return the index of one page, by the index of all. page: 2 or more."""
    return write_index(json.loads(index)["pages"][page - 2])


def draw_page(index: bytes, page: int, read: Callable[[str], ImageFile], encoding: Encoding) -> bytes:
    """Return a page of a packed sheet.

    Args:
        index: what `write_packed_index` returned for these pictures, or one that `check_index` accepts.
        page: its number, from 1.
        read: returns a picture's file by its name. One at a time is held in memory.
        encoding: of the page.

    """
    from PIL import Image

    said = json.loads(index)
    said = said if page == 1 else said["pages"][page - 2]
    meta = said["meta"]
    extrude = meta.get("extrude", 0)
    whole = Image.new("RGBA", (meta["size"]["w"], meta["size"]["h"]))
    for name, frame in said["frames"].items():
        at, source = frame["frame"], frame.get("spriteSourceSize", _UNTRIMMED)
        box = (source["x"], source["y"], source["x"] + at["w"], source["y"] + at["h"])
        part = _extrude(read(name).upright.crop(box).convert("RGBA"), extrude)
        whole.paste(part, (at["x"] - extrude, at["y"] - extrude))
    return encode_picture(whole, encoding, None)


_UNTRIMMED = {"x": 0, "y": 0}


def _extrude(picture: Picture, pixels: int) -> Picture:
    """Repeat the pixels at the edges around a picture."""
    from PIL import Image

    if not pixels:
        return picture
    width, height = picture.size
    larger = Image.new("RGBA", (width + 2 * pixels, height + 2 * pixels))
    larger.paste(picture, (pixels, pixels))
    for x, column in ((0, 0), (pixels + width, width - 1)):
        edge = picture.crop((column, 0, column + 1, height))
        larger.paste(edge.resize((pixels, height), Image.Resampling.NEAREST), (x, pixels))
    for y, row in ((0, pixels), (pixels + height, pixels + height - 1)):
        edge = larger.crop((0, row, larger.width, row + 1))
        larger.paste(edge.resize((larger.width, pixels), Image.Resampling.NEAREST), (0, y))
    return larger

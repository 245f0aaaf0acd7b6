"""CSS sprites: a class for each frame and each animation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from imagegen.images.atlas.atlas import Atlas, Frame, Page

__all__ = ["write_css"]


def write_css(atlas: Atlas, name: str) -> str:
    """Return the rules of `.NAME-FRAME` and `.NAME--ANIMATION`, each an element as large as its picture.

    What was trimmed is the element's padding, where the background is not drawn. An animation is on one page.
    """
    name = _identify(name)
    return "".join(rule for page in atlas.pages for rule in _describe_page(page, name, atlas.animations, atlas.fps))


def _describe_page(page: Page, name: str, animations: Mapping[str, Sequence[str]], fps: float) -> Iterator[str]:
    known = {frame.name: frame for frame in page.frames}
    animated = {f"{name}--{_identify(one)}": frames for one, frames in animations.items() if frames[0] in known}
    classes = [*(f".{name}-{_identify(frame)}" for frame in known), *(f".{one}" for one in animated)]
    yield ",\n".join(classes)
    yield ' {\n  display: inline-block;\n  box-sizing: border-box;\n  background: url("'
    yield page.image.replace("\\", "\\\\").replace('"', '\\"')
    yield '") no-repeat content-box;\n}\n'
    for frame in page.frames:
        yield f".{name}-{_identify(frame.name)} {{ {_describe(frame)} }}\n"
    for animation, frames in animated.items():
        yield f"@keyframes {animation} {{\n"
        for number, frame_name in enumerate(frames):
            yield f"  {100 * number / len(frames):.4g}% {{ {_describe(known[frame_name])} }}\n"
        yield f"}}\n.{animation} {{ animation: {animation} {len(frames) / fps:.4g}s step-end infinite }}\n"


def _describe(frame: Frame) -> str:
    sides = (frame.top, frame.right, frame.bottom, frame.left)
    padding = " ".join(map(_pixels, sides)) if any(sides) else "0"
    size = f"width: {_pixels(frame.source_width)}; height: {_pixels(frame.source_height)}; padding: {padding}"
    return f"background-position: {_pixels(-frame.x)} {_pixels(-frame.y)}; {size}"


def _pixels(number: int) -> str:
    return f"{number}px" if number else "0"


def _identify(name: str) -> str:
    """Return a name as part of a class: https://drafts.csswg.org/cssom/#serialize-an-identifier."""
    found = re.sub(r"[^\w-]", lambda match: f"\\{match[0]}", name)
    return f"\\3{found[0]} {found[1:]}" if found[:1].isdigit() and found[0].isascii() else found

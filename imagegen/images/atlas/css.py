"""CSS sprites: a class for each frame and each animation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from imagegen.images.atlas.atlas import Atlas, Frame, Page

__all__ = ["write_css"]


def write_css(atlas: Atlas, name: str) -> str:
    """Return the rules of `.NAME-FRAME` and `.NAME--ANIMATION`, each an element as large as its picture.

    What was trimmed is the element's padding, where the background is not drawn.
    """
    name = _identify(name)
    known = {frame.name: (page, frame) for page, frame in atlas.frames}
    classes = [
        *(f".{name}-{_identify(frame)}" for frame in known),
        *(f".{name}--{_identify(animation)}" for animation in atlas.animations),
    ]
    rules = [
        f"{_list(classes)} {{\n"
        "  display: inline-block;\n  box-sizing: border-box;\n  background-repeat: no-repeat;\n"
        "  background-origin: content-box;\n  background-clip: content-box;\n}"
    ]
    for page, frame in known.values():
        rules.append(f".{name}-{_identify(frame.name)} {{\n{''.join(_describe(page, frame, '  '))}}}")
    for animation, frames in atlas.animations.items():
        rules += _animate(f"{name}--{_identify(animation)}", [known[frame] for frame in frames], atlas.fps)
    return "\n".join(rules) + "\n"


def _describe(page: Page, frame: Frame, indent: str) -> Iterator[str]:
    yield f'{indent}background-image: url("{_escape(page.image)}");\n'
    yield f"{indent}background-position: {_pixels(-frame.x)} {_pixels(-frame.y)};\n"
    yield f"{indent}width: {_pixels(frame.source_width)};\n"
    yield f"{indent}height: {_pixels(frame.source_height)};\n"
    sides = (frame.top, frame.right, frame.bottom, frame.left)
    yield f"{indent}padding: {' '.join(map(_pixels, sides))};\n"


def _animate(name: str, frames: Sequence[tuple[Page, Frame]], fps: float) -> Iterator[str]:
    steps = []
    for number, (page, frame) in enumerate(frames):
        steps.append(f"  {100 * number / len(frames):.4g}% {{\n{''.join(_describe(page, frame, '    '))}  }}\n")
    yield f"@keyframes {name} {{\n{''.join(steps)}}}"
    yield f".{name} {{\n  animation: {name} {len(frames) / fps:.4g}s step-end infinite;\n}}"


def _list(classes: Sequence[str]) -> str:
    return ",\n".join(classes)


def _pixels(number: int) -> str:
    return f"{number}px" if number else "0"


def _identify(name: str) -> str:
    """Return a name as part of an identifier that does not begin with it.

    https://drafts.csswg.org/cssom/#serialize-an-identifier
    """
    found = re.sub(r"[^\w-]", lambda match: f"\\{match[0]}", name)
    return f"\\3{found[0]} {found[1:]}" if found[:1].isdigit() and found[0].isascii() else found


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')

"""The gallery's one page, with all that it needs in it: template, style, script and data."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import posixpath
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagegen.errors import NotBegunError, Problem
from imagegen.plan.remark import MARKS
from imagegen.report.gallery.picture import STATES, Group, Picture

if TYPE_CHECKING:
    from imagegen.report.gallery.folder import Thumbnail

__all__ = [
    "EARLIER",
    "ORIGINALS",
    "THUMBS",
    "Files",
    "LivePage",
    "Page",
    "digest",
    "digest_of",
    "page_data",
    "picture_data",
    "read_part",
    "render",
]

THUMBS, EARLIER, ORIGINALS = "thumbs", "earlier", "originals"
"""The page's folders: thumbnails, earlier versions, and copies of images that lie outside of the project."""
_HERE = Path(__file__).parent / "page"
_MARK = '<meta name="imagegen-gallery" content="'
_ALT_LENGTH = 160
UNMARKED = "unmarked"


@dataclass(frozen=True)
class LivePage:
    """What `doit review` adds to the page: its own style, script, and data for that, as JSON values."""

    style: str
    script: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Page:
    """A whole page, and its Content-Security-Policy, which is in it too."""

    html: bytes
    policy: str


@dataclass(frozen=True)
class Files:
    """What lies beside the page: thumbnails and earlier versions by sha256, names of copies by the output's path.

    candidates: their addresses by sha256; a page that is a file has none. wrong: why images cannot be shown, by sha256.
    """

    thumbs: Mapping[str, Thumbnail]
    earlier: Mapping[str, Thumbnail]
    originals: Mapping[str, str]
    candidates: Mapping[str, str] = field(default_factory=dict)
    wrong: Mapping[str, str] = field(default_factory=dict)


def page_data(groups: Sequence[Group], files: Files, folder: str) -> dict[str, Any]:
    """Return all that the page shows, as JSON values: each group's and picture's own fields, and where its files are.

    folder: of the page, relative to the project.
    """
    return {
        "groups": [
            {**vars(group), "pictures": [picture_data(picture, files, folder) for picture in group.pictures]}
            for group in groups
        ]
    }


@functools.cache
def read_part(path: Path) -> str:
    """Return a file of the page, as it was when it was first read: all of a page is of one version of this package."""
    return path.read_text("utf-8")


def digest(data: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of all that decides the page's bytes."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    parts = [text, *(read_part(_HERE / name) for name in ("page.html", "page.css", "page.js"))]
    return hashlib.sha256("\0".join(parts).encode("utf-8")).hexdigest()


def digest_of(page: Path) -> str | None:
    """Return the digest that the page was written with; empty if it is not ours, None if there is none."""
    try:
        with page.open("rb") as file:
            head = file.read(4096).decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    return head.partition(_MARK)[2].partition('"')[0]


def render(data: Mapping[str, Any], of: str = "", live: LivePage | None = None) -> Page:
    """Return the page of the data, always the same bytes. Raises ImagegenError without jinja2.

    Args:
        data: of `page_data`.
        of: its digest.
        live: what a page has besides that is served and not a file.
    """
    try:
        import jinja2
        from markupsafe import Markup
    except ImportError:
        what = "the gallery is written with jinja2, which is not installed"
        raise NotBegunError(Problem("", what, f"{sys.executable} -m pip install jinja2")) from None
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # so that no text of a job ends the script that holds it, tojson writes < > & ' as \u003c and so on
    environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "separators": (",", ":")}
    pictures = [picture for group in data["groups"] for picture in group["pictures"]]
    sizes = {(picture["width"], picture["height"]) for picture in pictures}
    script = read_part(_HERE / "page.js") + (live.script if live else "")
    style = read_part(_HERE / "page.css") + (live.style if live else "")
    style += "".join(_ratio(*size) for size in sorted(sizes))
    policy = _policy(script, style, live is not None)
    text = environment.from_string(read_part(_HERE / "page.html")).render(
        digest=of,
        # Markup: they are this package's own
        script=Markup(script),  # noqa: S704
        style=Markup(style),  # noqa: S704
        policy=Markup(policy),  # noqa: S704
        live=live,
        groups=data["groups"],
        pictures=pictures,
        states=STATES,
        marks=(*MARKS, UNMARKED) if live or any(picture["mark"] for picture in pictures) else (),
        counts=Counter(state for picture in pictures for state in picture["states"]),
        choices={
            "job": _choices(group["name"] for group in data["groups"]),
            "backend": _choices(picture["backend"] for picture in pictures),
            "model": _choices(picture["model"] for picture in pictures),
        },
    )
    return Page(text.encode("utf-8"), policy)


def _policy(script: str, style: str, is_served: bool) -> str:
    """Return the page's Content-Security-Policy: its own script and style, and images from where it is."""
    allowed = {
        "default-src": "'none'",
        "script-src": f"'{_hash(script)}'",
        "style-src": f"'{_hash(style)}'",
        "img-src": "'self' data:" if is_served else "'self' file: data:",
        **({"connect-src": "'self'"} if is_served else {}),
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
    }
    return "; ".join(f"{name} {value}" for name, value in allowed.items())


def picture_data(picture: Picture, files: Files, folder: str) -> dict[str, Any]:
    """Return all that the page shows of one picture: see `page_data`."""
    thumb = files.thumbs.get(picture.sha256)
    width, height = (thumb.width, thumb.height) if thumb else (picture.width, picture.height)
    fields = {name: value for name, value in vars(picture).items() if name != "provenance"}
    return {
        **fields,
        **vars(picture.provenance),
        "why": [*picture.why, *_why_not_shown(picture, files)],
        "wanted": [vars(change) for change in picture.wanted],
        "job": picture.task.partition(":")[0],
        "alt": _alt(picture),
        "width": width,
        "height": height,
        "thumb": f"{THUMBS}/{thumb.name}" if thumb else "",
        "href": _href(picture.path, files, folder) if picture.sha256 else "",
        "derived": [
            {
                **vars(one),
                "thumb": f"{THUMBS}/{files.thumbs[one.sha256].name}" if one.sha256 in files.thumbs else "",
                "href": _href(one.path, files, folder),
            }
            for one in picture.derived
        ],
        "candidates": [
            {
                "number": one.number,
                "sha256": one.sha256,
                "thumb": f"{THUMBS}/{one.sha256}.webp",
                "href": files.candidates[one.sha256],
                **vars(one.provenance),
            }
            for one in picture.candidates
            if one.sha256 in files.candidates
        ],
        "frames": [vars(frame) for frame in picture.frames],
        "mark": vars(picture.mark) if picture.mark else None,
        "note": vars(picture.note) if picture.note else None,
        "marked": _marked(picture),
        "said": _said(picture),
        "states": list(dict.fromkeys([picture.state, *(one.state for one in picture.derived)])),
        "badge": _badge(picture),
        "earlier": [
            {
                "sha256": version.sha256,
                "image": f"{EARLIER}/{image.name}",
                "width": image.width,
                "height": image.height,
                **vars(version.provenance),
            }
            for version in picture.earlier
            if (image := files.earlier.get(version.sha256))
        ],
    }


def _marked(picture: Picture) -> str:
    """Return by which mark the page finds the picture: one that was given to another version of it doesn't count."""
    if picture.is_given:
        return ""
    return picture.mark.value if picture.mark and picture.mark.is_current else UNMARKED


def _said(picture: Picture) -> str:
    """Return in words what the card shows of marks and notes."""
    mark, note = picture.mark, picture.note
    said = [f"marked {mark.value}" + ("" if mark.is_current else " in another version")] if mark else []
    return ", ".join([*said, *(["has a note"] if note else [])])


def _why_not_shown(picture: Picture, files: Files) -> list[str]:
    wrong = files.wrong.get(picture.sha256)
    return [f"the image cannot be shown: {wrong}"] if wrong else []


def _badge(picture: Picture) -> dict[str, str]:
    """Return what the card says beside the name: the picture's state, or else that of a file derived from it."""
    if picture.state != "fresh":
        return {"state": picture.state, "text": picture.state}
    worst = max(picture.derived, key=lambda one: STATES.index(one.state), default=None)
    return {"state": worst.state, "text": f"{worst.name} {worst.state}"} if worst and worst.state != "fresh" else {}


def _href(path: str, files: Files, folder: str) -> str:
    """Return the address from the page to an image, not escaped; empty if it is outside of the project."""
    if copy := files.originals.get(path):
        return f"{ORIGINALS}/{copy}"
    if path.startswith("../"):
        return ""
    inside, _, name = path.rpartition("/")
    return posixpath.join(_leading(inside or ".", folder), name)


_leading = functools.cache(posixpath.relpath)
"""The way from one folder to another: few folders have all of the images."""


def _alt(picture: Picture) -> str:
    prompt = " ".join(picture.provenance.prompt.split())
    prompt = prompt if len(prompt) <= _ALT_LENGTH else f"{prompt[: _ALT_LENGTH - 1]}…"
    named = " ".join(filter(None, (picture.name, picture.part)))
    return f"{named}: {prompt}" if prompt else named


def _choices(found: Any) -> list[str]:
    return sorted(set(filter(None, found)))


def _ratio(width: int, height: int) -> str:
    """Return the rule for pictures of one size; extremes are shown within a calmer frame."""
    return f".s{width}x{height}{{--ratio:{min(max(width / height, 0.4), 3.2):.4f}}}\n"


def _hash(text: str) -> str:
    """Return how a Content-Security-Policy names an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")

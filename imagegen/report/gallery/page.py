"""The gallery's one page, with all that it needs in it: template, style, script and data."""

from __future__ import annotations

import base64
import hashlib
import json
import posixpath
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagegen.errors import ImagegenError, Problem
from imagegen.report.gallery.contents import STATES, Group, Making, Picture

if TYPE_CHECKING:
    from imagegen.report.gallery.folder import Thumbnail

__all__ = ["EARLIER", "ORIGINALS", "THUMBS", "Files", "digest", "digest_of", "page_data", "render"]

THUMBS, EARLIER, ORIGINALS = "thumbs", "earlier", "originals"
"""The page's folders: thumbnails, earlier versions, and copies of images that lie outside of the project."""
_HERE = Path(__file__).parent / "page"
_MARK = '<meta name="imagegen-gallery" content="'
_ALT_LENGTH = 160


@dataclass(frozen=True)
class Files:
    """What is beside the page. thumbs, earlier: by sha256. originals: name of the copy, by the output's path."""

    thumbs: Mapping[str, Thumbnail]
    earlier: Mapping[str, Thumbnail]
    originals: Mapping[str, str]


def page_data(groups: Sequence[Group], files: Files, folder: str) -> dict[str, Any]:
    """All that the page shows, as JSON values. folder: of the page, relative to the project."""
    return {
        "groups": [
            {
                "name": group.name,
                "doc": group.doc,
                "file": group.file,
                "problems": group.problems,
                "pictures": [_picture(picture, files, folder) for picture in group.pictures],
            }
            for group in groups
        ]
    }


def digest(data: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of all that decides the page's bytes."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    parts = [text, *((_HERE / name).read_text("utf-8") for name in ("page.html", "page.css", "page.js"))]
    return hashlib.sha256("\0".join(parts).encode("utf-8")).hexdigest()


def digest_of(page: Path) -> str | None:
    """The digest that the page was written with; empty where it is no gallery, None where there is no file."""
    try:
        with page.open("rb") as file:
            head = file.read(4096).decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    return head.partition(_MARK)[2].partition('"')[0]


def render(data: Mapping[str, Any], of: str) -> bytes:
    """The page, the same bytes for the same data. of: its digest. Raises ImagegenError where jinja2 is missing."""
    try:
        import jinja2
        from markupsafe import Markup
    except ImportError:
        what = "the gallery is written with jinja2, which is not installed"
        raise ImagegenError(Problem("", what, f"{sys.executable} -m pip install jinja2")) from None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
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
    script = (_HERE / "page.js").read_text("utf-8")
    style = (_HERE / "page.css").read_text("utf-8") + "".join(_ratio(*size) for size in sorted(sizes))
    text = environment.get_template("page.html").render(
        digest=of,
        # Markup: they are this package's own
        script=Markup(script),  # noqa: S704
        style=Markup(style),  # noqa: S704
        script_hash=_hash(script),
        style_hash=_hash(style),
        groups=data["groups"],
        pictures=pictures,
        states=STATES,
        choices={
            "job": _choices(group["name"] for group in data["groups"]),
            "backend": _choices(picture["backend"] for picture in pictures),
            "model": _choices(picture["model"] for picture in pictures),
        },
    )
    return text.encode("utf-8")


def _picture(picture: Picture, files: Files, folder: str) -> dict[str, Any]:
    thumb = files.thumbs.get(picture.sha256)
    width, height = (thumb.width, thumb.height) if thumb else (picture.width, picture.height)
    shown: dict[str, Any] = {
        "task": picture.task,
        "job": picture.task.partition(":")[0],
        "name": picture.name,
        "part": picture.part,
        "path": picture.path,
        "state": picture.state,
        "why": picture.why,
        "wanted": [asdict(wanted) for wanted in picture.wanted],
        "failure": picture.failure,
        "alt": _alt(picture),
        "width": width,
        "height": height,
        "size": picture.size,
        "sha256": picture.sha256,
        "thumb": f"{THUMBS}/{thumb.name}" if thumb else "",
        "href": _href(picture, files, folder) if picture.sha256 else "",
        "derived": [
            {"name": name, "path": path, "href": "" if path.startswith("../") else posixpath.relpath(path, folder)}
            for name, path in picture.derived
        ],
        "rerolls": picture.rerolls,
        "pick": picture.pick,
        **_making(picture.making),
    }
    versions = [(version, files.earlier.get(version.sha256)) for version in picture.earlier]
    shown["earlier"] = [
        {"image": f"{EARLIER}/{image.name}", "width": image.width, "height": image.height, **_making(version.making)}
        for version, image in versions
        if image is not None
    ]
    return shown


def _making(making: Making) -> dict[str, Any]:
    return {
        "prompt": making.prompt,
        "negative": making.negative,
        "seed": making.seed,
        "backend": making.backend,
        "model": making.model,
        "parameters": making.parameters,
        "version": making.backend_version,
        "digest": making.model_digest,
        "seconds": making.seconds,
        "time": making.time,
    }


def _href(picture: Picture, files: Files, folder: str) -> str:
    """From the page to the image; not escaped."""
    copy = files.originals.get(picture.path)
    return f"{ORIGINALS}/{copy}" if copy else posixpath.relpath(picture.path, folder)


def _alt(picture: Picture) -> str:
    prompt = " ".join(picture.making.prompt.split())
    prompt = prompt if len(prompt) <= _ALT_LENGTH else f"{prompt[: _ALT_LENGTH - 1]}…"
    named = " ".join(filter(None, (picture.name, picture.part)))
    return f"{named}: {prompt}" if prompt else named


def _choices(found: Any) -> list[str]:
    return sorted(set(filter(None, found)))


def _ratio(width: int, height: int) -> str:
    """The rule for pictures of one size; extremes are shown within a calmer frame."""
    return f".s{width}x{height}{{--ratio:{min(max(width / height, 0.4), 3.2):.4f}}}\n"


def _hash(text: str) -> str:
    """As a Content-Security-Policy names an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")

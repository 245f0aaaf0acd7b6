"""Items that are files: `items: {folder: art/scans/*.png}`.

A pattern is a path from the project's folder, in which `*` and `?` stand for a part of a name, and `**` for any number
of folders. Names that begin with a dot are left alone, and upper and lower case make no difference: a scanner's
`OLD.PNG` is a PNG too. A folder stands for the images in it.
"""

from __future__ import annotations

import functools
import posixpath
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from imagegen.config.job import FORMATS, Item, Job
from imagegen.errors import Problem
from imagegen.plan.freshness import PLACEHOLDER
from imagegen.plan.naming import make_slug
from imagegen.plan.output import Output

__all__ = [
    "FILE",
    "IMAGE_SUFFIXES",
    "FilePattern",
    "check_file_use",
    "check_folder",
    "check_no_file",
    "find_same_names",
    "link_files",
    "name_item",
    "parse_pattern",
    "put_file",
    "sort_key",
    "uses_file",
]

FILE = "{file}"
"""Stands for an item's file in the options of a backend."""
IMAGE_SUFFIXES = (*FORMATS.values(), ".jpeg")
_WILD = frozenset("*?")
_PRIVATE = frozenset({".git", ".imagegen"})
_NAME = r"(?!\.)[^/]+"
_FOLDERS = rf"(?:{_NAME}/)*"


@dataclass(frozen=True)
class FilePattern:
    """Which files are items."""

    prefix: str  # the folder before the first wildcard, `.` for the project's; or a file
    depth: int | None  # of the files below it, at most; None: any
    rest: str  # the parts after the prefix; empty: the prefix is a folder, or may be one file
    _regex: str

    def matches(self, path: str) -> bool:
        """Whether a path, relative to the project, matches."""
        return re.fullmatch(self._regex, _fold(path)) is not None


@functools.lru_cache(maxsize=64)
def parse_pattern(text: str) -> FilePattern:
    """Return the pattern of a text. Raises ValueError, which says what is wrong with it."""
    if "\\" in text:
        raise ValueError("use / between folders")
    if text.startswith("~"):
        raise ValueError("~ does not mean the home folder here")
    if text.startswith("/"):
        raise ValueError("write the path from the project's folder")
    is_folder = text.endswith("/")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    fixed = next((at for at, part in enumerate(parts) if _is_wild(part)), len(parts))
    for part in parts[fixed:]:
        if "**" in part and part != "**":
            raise ValueError(f"** stands for folders, and must be a whole part of the path: '{part}' is not")
        if part == "..":
            raise ValueError(".. must come before the first * or ?")
    if _PRIVATE & {part.casefold() for part in parts}:
        raise ValueError("this folder is not for images")
    prefix = posixpath.normpath("/".join(parts[:fixed]) or ".")
    wild = parts[fixed:]
    if is_folder or wild[-1:] == ["**"]:
        wild.append("*")
    start = "" if prefix == "." else f"{re.escape(_fold(prefix))}/"
    regex = start + _translate(wild)
    if not wild:
        regex = f"{_NAME}" if prefix == "." else rf"{start[:-1]}(?:/{_NAME})?"
    depth = None if "**" in wild else max(1, len(wild))
    return FilePattern(prefix, depth, "/".join(wild), regex)


def _is_wild(part: str) -> bool:
    return bool(_WILD & set(part))


def _translate(parts: Sequence[str]) -> str:
    """Return the regular expression of the parts of a pattern from its first wildcard on."""
    found = ""
    for at, part in enumerate(parts, 1):
        end = "" if at == len(parts) else "/"
        if part == "**":
            found += _FOLDERS
        else:
            signs = {"*": "[^/]*", "?": "[^/]"}
            name = "".join(signs.get(sign) or re.escape(sign) for sign in _fold(part))
            found += (r"(?!\.)(?=[^/])" if part[0] in _WILD else "") + name + end
    return found


def _fold(text: str) -> str:
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", text).casefold()


def sort_key(path: str) -> tuple[list[list[str | int]], str]:
    """Return by what files are sorted: as people count, on every system alike.

    walk comes before walk-2, and that before walk-10: so folder by folder, and without the suffix.
    """
    parts = posixpath.splitext(_fold(path))[0].split("/")
    # texts and numbers take turns, so that only equal kinds are compared
    pieces = [re.split(r"(\d+)", part, flags=re.ASCII) for part in parts]
    return [[int(one) if at % 2 else one for at, one in enumerate(split)] for split in pieces], path


def name_item(path: str) -> str:
    """Return the name of a file's item."""
    return unicodedata.normalize("NFC", posixpath.splitext(posixpath.basename(path))[0])


def check_folder(job: Job) -> Iterator[Problem]:
    """Yield what a job whose items are files must not have, or lacks."""
    if job.folder is None:
        return
    if where := job.where.get("source"):
        yield Problem(where, "source: cannot be combined with items.folder", "make it a job of its own")
    if not job.has_pictures:
        return
    for key in ("backend", "generate", "prompt", "matrix", "variants", *job.sections):
        if where := job.where.get(key):
            what = f"{key}: has no effect, because nothing is generated from the files of items.folder"
            hint = f"remove {key} ({key}: null, if a base has it); to generate images from them, add items.prompt"
            yield Problem(where, what, hint)
    if not job.derive and job.sheet is None:
        hint = "add derive: {thumb: {width: 256}} or sheet: {}; to generate images from them, add items.prompt"
        yield Problem(_where(job), "items.folder: nothing is made from these files", hint)


def _where(job: Job) -> str:
    return job.where.get("items.folder", job.file)


def find_same_names(job: Job, items: Iterable[Item]) -> Iterator[Problem]:
    """Yield a problem for each two files that give one name."""
    first: dict[str, Item] = {}
    for item in items:
        slug = make_slug(item.name) or item.name
        other = first.setdefault(slug, item)
        if other is not item:
            what = f"items.folder: {other.file} and {item.file} would both be named '{slug}'"
            yield Problem(_where(job), what, "rename one of them, or name the folder more narrowly")


def check_file_use(job: Job, backend: str, options: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem if images are to be generated from files, and no option of the backend says how.

    options: the schema of the backend's section.
    """
    used = [name for name, section in job.sections.items() if uses_file(section)]
    if job.folder is None or backend in used or (used and backend == PLACEHOLDER):
        return
    what = f"items.folder: no option of {backend} has {FILE} in it, so all files would give the same image"
    images = options.get("images")
    if images is None:
        hint = "choose a backend that takes images, such as sd, a1111 or comfyui; or remove items.prompt"
    elif "init" in images.get("schema", ()) or "init" in images.get("keysrules", {}).get("regex", ""):
        hint = f'add {backend}: {{images: {{init: "{FILE}"}}}}'
    else:
        hint = f'add {backend}: {{images: {{"10.image": "{FILE}"}}}}, with the input of your own workflow'
    yield Problem(_where(job), what, hint)


def check_no_file(job: Job, items: Iterable[Item]) -> Iterator[Problem]:
    """Yield a problem for each option with `{file}` in it, if the items of the job are not files."""
    if job.folder is not None:
        return
    own = [(item.sections, item.where) for item in items]
    for sections, where in [(job.sections, ""), *own]:
        for key in _list_uses(sections):
            what = f"{key}: {FILE} stands for a file of items.folder, which this job does not have"
            hint = "write items: {folder: …, prompt: …}, or the path of one file"
            yield Problem(where or job.where.get(key, job.file), what, hint)


def _list_uses(value: object, key: str = "") -> Iterator[str]:
    """Yield the key of each text that has `{file}` in it, such as `sd.images.init`."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _list_uses(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _list_uses(inner, f"{key}[{index}]")
    elif isinstance(value, str) and FILE in value:
        yield key


def uses_file(value: object) -> bool:
    """Whether `{file}` is anywhere in the options of a backend."""
    return next(_list_uses(value), None) is not None


def put_file(value: Any, path: str) -> Any:
    """Return the options of a backend with an item's file in place of `{file}`."""
    if isinstance(value, Mapping):
        return {key: put_file(one, path) for key, one in value.items()}
    if isinstance(value, list):
        return [put_file(one, path) for one in value]
    return value.replace(FILE, path) if isinstance(value, str) else value


def link_files(derived: Sequence[Output], files: Mapping[str, str]) -> list[Output]:
    """Return derived outputs with files as their origins, in place of images that nobody generates.

    files: by the task that such an image would have.
    """
    found = []
    for output in derived:
        origins = [replace(one, task="", path=files[one.task]) if one.task in files else one for one in output.origins]
        found.append(output.with_decisions(origins=origins))
    return found

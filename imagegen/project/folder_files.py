"""The files of a job's folder: which ones there are, and whether each is an image at first sight."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from imagegen.errors import ImagegenError, InputError, Problem, did_you_mean
from imagegen.images.formats import BadImage, format_of
from imagegen.plan.folder_items import IMAGE_SUFFIXES, FilePattern, name_item, parse_pattern, sort_key
from imagegen.project.inputs import Inputs
from imagegen.state.hashes import pointer_sha256

__all__ = ["HEAD", "NO_FILES", "FolderFiles", "ItemMatcher", "check_image_file", "list_files"]

_JUNK = frozenset({"thumbs.db", "desktop.ini"})
"""What Windows puts into folders, and hides."""
_USUAL = ", ".join(sorted(IMAGE_SUFFIXES))
_NAMED = 5
"""Files that a note names."""
HEAD = 512
"""Bytes that tell an image, or a Git LFS pointer."""


class FolderFiles(NamedTuple):
    """What a pattern matches, by paths relative to the project."""

    images: list[str]  # by their suffix, in order
    others: list[str]  # files and links to folders that are left out
    folders: list[str]  # that were looked into

    @property
    def items(self) -> list[Mapping[str, str]]:
        """Return the items, as a job file would say them if it could."""
        return [{"name": name_item(path), "file": path} for path in self.images]

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what to report once."""
        if not self.others:
            return ()
        more = f" and {len(self.others) - _NAMED} more" if len(self.others) > _NAMED else ""
        return (f"items.folder leaves out {', '.join(self.others[:_NAMED])}{more}: images end in {_USUAL}",)


NO_FILES = FolderFiles([], [], [])
"""Of a job that names no folder."""


class ItemMatcher:
    """Tells which files are items of a folder, or would be if they were written. Links are followed."""

    def __init__(self, root: Path, text: str) -> None:
        self._root = os.path.realpath(root)
        pattern = parse_pattern(text)
        self._pattern = parse_pattern("/".join(filter(None, [self._find_real(pattern.prefix), pattern.rest])))
        self._real: dict[str, str] = {}

    def matches(self, path: str) -> bool:
        """Whether a file at this path, relative to the project, is an item."""
        folder, _, name = path.rpartition("/")
        if folder not in self._real:
            self._real[folder] = self._find_real(folder)
        return self._pattern.matches(f"{self._real[folder]}/{name}".removeprefix("./"))

    def _find_real(self, path: str) -> str:
        real = os.path.realpath(os.path.join(self._root, path))  # noqa: PTH118 - texts
        return Path(os.path.relpath(real, self._root)).as_posix()


def list_files(inputs: Inputs, text: str) -> FolderFiles:
    """Return the files that a pattern matches. Their folders are watched from now on.

    Raises ImagegenError, without a location, also if no image is among them.
    """
    try:
        pattern = parse_pattern(text)
    except ValueError as error:
        raise _problem(f"'{text}': {error}") from None
    found: list[str] = []
    others: list[str] = []
    folders: list[str] = []
    for path in _walk(inputs, pattern, others, folders):
        (found if path.lower().endswith(IMAGE_SUFFIXES) else others).append(path)
    if not found:
        raise _no_images(inputs, text, pattern, others)
    for path in found:
        try:
            path.encode("utf-8")
        except UnicodeEncodeError:
            raise _problem(f"{path}: its name is not valid UTF-8", "rename the file") from None
    return FolderFiles(sorted(found, key=sort_key), sorted(others, key=sort_key), folders)


def _walk(inputs: Inputs, pattern: FilePattern, others: list[str], folders: list[str]) -> Iterator[str]:
    """Yield the files that match.

    Args:
        inputs: reads the folders.
        pattern: of the files.
        others: gets links to folders, which are not followed.
        folders: gets those that were looked into.

    """
    if problem := inputs.why_unreadable(pattern.prefix):
        raise _problem(problem)
    prefix = inputs.find_path(pattern.prefix)
    waiting = [("" if prefix == "." else f"{prefix}/", pattern.depth)]
    if not pattern.rest and (inputs.root / prefix).is_file():
        yield prefix
        return
    while waiting:
        folder, depth = waiting.pop()
        folders.append(folder.rstrip("/") or ".")
        for entry in inputs.entries(folders[-1]):
            path = folder + entry.name
            if entry.name.startswith(".") or entry.name.lower() in _JUNK:
                continue
            if entry.is_dir(follow_symlinks=False):
                if depth is None or depth > 1:
                    waiting.append((f"{path}/", depth and depth - 1))
            elif entry.is_dir():
                if depth is None or depth > 1:
                    others.append(f"{path} (a link to a folder)")
            elif pattern.matches(path):
                _check_entry(inputs, entry, path)
                yield path


def _check_entry(inputs: Inputs, entry: os.DirEntry[str], path: str) -> None:
    """Check what is no plain file. Raises ImagegenError."""
    if entry.is_file(follow_symlinks=False):
        return
    if entry.is_symlink():
        if problem := inputs.why_unreadable(path):
            raise _problem(f"{path} is a link: {problem}")
        if not entry.is_file():
            raise _problem(f"{path} is a link that leads nowhere", "fix the link, or delete it")
    elif path.lower().endswith(IMAGE_SUFFIXES):
        raise _problem(f"{path} cannot be read: it is not a file")


def _no_images(inputs: Inputs, text: str, pattern: FilePattern, others: list[str]) -> ImagegenError:
    if others:
        what = f"'{text}' matches no image, but {', '.join(others[:3])}{' and others' if len(others) > 3 else ''}"
        return _problem(what, f"images are files whose names end in {_USUAL}")
    if not (inputs.root / pattern.prefix).exists():
        parent, _, name = pattern.prefix.rpartition("/")
        near = inputs.root / parent
        known = [one.name for one in os.scandir(near)] if near.is_dir() else []
        kind = "folder" if pattern.rest else "file or folder"
        what = f"there is no {kind} '{pattern.prefix}'{did_you_mean(name, known)}"
        return _problem(what, _explain_signs(text) or "the path starts in the project's folder")
    hint = (
        f"put images there ({_USUAL}); art/scans/ takes the images in a folder, art/scans/** those in its folders too"
    )
    return _problem(f"'{text}' matches no file", _explain_signs(text) or hint)


def _explain_signs(text: str) -> str:
    """Return a hint about signs that mean something to a shell; empty if the pattern has none."""
    signs = next((pair for pair in ("[]", "{}") if pair[0] in text and pair[1] in text), "")
    return f"{signs[0]} and {signs[1]} stand for themselves; only *, ? and ** stand for other names" if signs else ""


def check_image_file(inputs: Inputs, path: str) -> str:
    """Return why a file is not an image, by its first bytes; empty if it is one, or a Git LFS pointer to one.

    It is watched from now on.
    """
    try:
        head = inputs.read_head(path, HEAD)
        if pointer_sha256(head) is None:
            format_of(head)
    except ImagegenError as error:
        return f"{path}: {error.problems[0].what}"
    except BadImage as error:
        return f"{path}: {error.what}"
    return ""


def _problem(what: str, hint: str = "") -> ImagegenError:
    return InputError(Problem("", f"items.folder: {what}", hint))

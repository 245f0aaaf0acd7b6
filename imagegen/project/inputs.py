"""The files that a project is planned from: jobs, what they extend, prompt sources, folders, wildcards, workflows."""

from __future__ import annotations

import contextlib
import os
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath

from imagegen.config.document import MAX_BYTES, Document, read_document
from imagegen.config.job_files import JOB_SUFFIXES
from imagegen.config.paths import check_path
from imagegen.errors import ImagegenError, InputError, Problem, did_you_mean
from imagegen.plan.wildcards import WILDCARD_FOLDER
from imagegen.state.hashes import NEVER, StatKey, is_conclusive, stat_key

__all__ = ["Inputs"]


class Inputs:
    """Reads the files, and keeps how each stood: the next run compares that to know that nothing has changed.

    root: the project's folder, absolute. allow_outside: folders outside it that may be read.
    """

    def __init__(self, root: Path, allow_outside: Collection[str]) -> None:
        self.root = root
        self.stats: dict[str, StatKey | None] = {}
        """How each file stood before it was read, by path; None if there was none, NEVER if it has changed since."""
        self.named: set[str] = set()
        """Files that other files name: more than one output may depend on them."""
        self.instead: Mapping[str, bytes] = {}
        """Contents to read in place of those on disk, by path: what a file may become."""
        self._allow_outside = allow_outside

    def why_unreadable(self, path: str) -> str:
        """Return why nothing may be read there; empty if it may."""
        return check_path(self.root, path, self._allow_outside, writes=False)

    def read(self, name: str) -> bytes:
        """Read a job file, at most a byte more than a document may have. Raises ImagegenError, located at the file."""
        if name in self.instead:
            return self.instead[name]
        path = self.root / name
        try:
            if self._note(name) and not path.is_file():  # a pipe would be waited for
                raise InputError(Problem(name, "cannot be read: it is not a file"))
            with path.open("rb") as file:
                return file.read(MAX_BYTES + 1)  # one more: whoever reads it says that it is too large
        except FileNotFoundError:
            other = self._find_normalised_path(name)
            if other not in ("", name) and not self.why_unreadable(other):
                return self.read(other)
            import shlex

            hint = f"put it there, or name another file; if git has it: git restore {shlex.quote(name)}"
            raise InputError(Problem(name, "there is no such file", hint)) from None
        except OSError as error:
            raise InputError(Problem(name, f"cannot be read: {error.strerror}")) from None

    def read_for_section(self, name: str) -> bytes:
        """Read a file that a backend's section names. Raises ImagegenError, without a location if it leads out."""
        with contextlib.suppress(OSError):  # watched even if it may not be read: that may change
            self._note(name)
        if problem := self.why_unreadable(name):
            raise InputError(Problem("", problem))
        return self._read_named(name)

    def may_look_at(self, name: str) -> bool:
        """Whether something is there that a section names by a path from the root, and that may be read."""
        with contextlib.suppress(OSError):
            if self._note(name) and not os.path.isabs(name) and not self.why_unreadable(name):  # noqa: PTH117
                self.named.add(name)
                return True
        return False

    def read_base(self, name: str, where: str) -> Document:
        """Read what the job at `where` extends. Raises ImagegenError."""
        file = f"jobs/{name}"
        if problem := self.why_unreadable(file):
            raise InputError(Problem(where, f"extends: {problem}"))
        try:
            data = self._read_named(file)
        except ImagegenError as error:
            folder = self.root / "jobs"
            known = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in JOB_SUFFIXES]
            what = f"extends: {file}: {error.problems[0].what}{_suggest_file(name, known)}"
            raise InputError(Problem(where, what, error.problems[0].hint)) from None
        return read_document(file, data)

    def read_source(self, source: str, where: str) -> bytes:
        """Read the prompt source that the job names at `where`. Raises ImagegenError."""
        if problem := self.why_unreadable(source):
            raise InputError(Problem(where, f"source: {problem}"))
        try:
            return self._read_named(source)
        except ImagegenError as error:
            folder = (self.root / source).parent
            meant = ""
            if not (self.root / source).exists() and folder.is_dir():
                meant = _suggest_file(Path(source).name, [path.name for path in folder.iterdir()])
            problems = (Problem(where, f"source: {p.where}: {p.what}{meant}", p.hint) for p in error.problems)
            raise InputError(*problems) from None

    def read_wildcard(self, file: str) -> bytes:
        """Read a wildcard file. Raises ImagegenError."""
        if problem := self.why_unreadable(file):
            raise InputError(Problem(file, problem))
        return self._read_named(file)

    def entries(self, folder: str) -> list[os.DirEntry[str]]:
        """Return what a folder holds; nothing if it is not there. It is watched from now on. Raises ImagegenError."""
        try:
            self._note(folder)
            with os.scandir(self.root / folder) as found:
                return list(found)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise InputError(Problem(folder, f"{folder}: cannot be read: {error.strerror}")) from None

    def find_path(self, path: str) -> str:
        """Return a path as it is on disk, where letters such as é may be split."""
        return path if (self.root / path).exists() else self._find_normalised_path(path) or path

    def read_head(self, name: str, size: int) -> bytes:
        """Read the first bytes of a file, which is watched from now on. Raises ImagegenError."""
        try:
            self._note(name)
            with open(self.root / name, "rb", buffering=0) as file:  # noqa: PTH123 - there may be thousands
                return file.read(size)
        except OSError as error:
            raise InputError(Problem(name, f"cannot be read: {error.strerror}")) from None

    def wildcard_names(self) -> tuple[str, ...]:
        """Return the names of all wildcard files, without suffix. Their folders are watched from now on."""
        folder = self.root / WILDCARD_FOLDER
        for path in (folder, *sorted(path for path in folder.rglob("*") if path.is_dir())):
            with contextlib.suppress(OSError):
                self._note(path.relative_to(self.root).as_posix())
        found = (path.relative_to(folder).with_suffix("") for path in sorted(folder.rglob("*.txt")))
        return tuple(unicodedata.normalize("NFC", path.as_posix()) for path in found)

    def unread_wildcards(self) -> tuple[str, ...]:
        """Return files that somebody may take for wildcards, which are only the `.txt` files."""
        folder = self.root / WILDCARD_FOLDER
        return tuple(
            path.relative_to(folder).as_posix()
            for path in sorted(folder.rglob("*"))
            if path.suffix.lower() in (".yaml", ".yml", ".json", ".txt") and path.suffix != ".txt"
        )

    def _find_normalised_path(self, name: str) -> str:
        """Return the path with letters such as é composed as on disk (macOS splits them); empty if it is missing."""
        if name.isascii():
            return ""
        found = self.root
        for part in Path(name).parts:
            wanted = unicodedata.normalize("NFC", part)
            try:
                names = [part] if (found / part).exists() else [entry.name for entry in found.iterdir()]
            except OSError:
                return ""
            same = next((one for one in names if unicodedata.normalize("NFC", one) == wanted), None)
            if same is None:
                return ""
            found /= same
        return found.relative_to(self.root).as_posix() if found.is_relative_to(self.root) else ""

    def _note(self, name: str) -> StatKey | None:
        """Note how a file stands now, and return that. Raises OSError.

        NEVER is noted if the plan may be based on an earlier content, or the file can still change unnoticed.
        """
        found = stat_key(self.root / name)
        is_other = self.stats.get(name, found) != found
        self.stats[name] = NEVER if is_other or (found and not is_conclusive(found)) else found
        return found

    def _read_named(self, name: str) -> bytes:
        self.named.add(name)
        return self.read(name)


def _suggest_file(name: str, names: Iterable[str]) -> str:
    """Return `; did you mean 'kin.md'?`: a file that only has the same suffix is not near."""
    stem = PurePosixPath(name).with_suffix("").as_posix()
    near = [one for one in names if did_you_mean(stem, [PurePosixPath(one).with_suffix("").as_posix()])]
    return did_you_mean(name, near)

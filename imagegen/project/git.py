"""Asks git about a project: attributes, rules that ignore files, and files that git has. Changes nothing."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from imagegen.errors import ImagegenError, Problem, printable
from imagegen.state.hashes import pointer_sha256

__all__ = [
    "CommittedFiles",
    "IgnoreRule",
    "committed_file",
    "committed_paths",
    "git_attribute",
    "git_top",
    "has_undecided_files",
    "ignore_rules",
    "user_name",
]

_TIMEOUT_S = 10


@dataclass(frozen=True)
class IgnoreRule:
    """A line of a `.gitignore`, of `.git/info/exclude` or of the user's own excludes file.

    hint: what makes git see the file again that this rule ignores.
    """

    file: str
    line: str
    pattern: str
    hint: str

    def __str__(self) -> str:
        """For example `'*.lock' (.gitignore:3)`."""
        return printable(f"'{self.pattern}' ({self.file}:{self.line})")


def git_top(root: Path) -> Path | None:
    """Return the git working tree that the folder is in, if any."""
    return next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), None)


def has_undecided_files(root: Path) -> bool:
    """Whether a file in conflict is still as our side has it: git leaves an image so until somebody chooses a side.

    False if git cannot be asked.
    """
    top = git_top(root)
    entries = _ask(root, "ls-files", "-u", "-z", "--full-name", ":/") if top else None
    for entry in entries or ():
        facts, _, path = entry.partition("\t")
        _, blob, stage = facts.split()
        with contextlib.suppress(OSError):
            if top and stage == "2" and _blob_name((top / path).read_bytes(), len(blob)) == blob:
                return True
    return False


def _blob_name(data: bytes, digits: int) -> str:
    """Return the name that git gives this content, in a repository whose names have so many digits."""
    content = b"blob %d\0%b" % (len(data), data)
    return (hashlib.sha1(content, usedforsecurity=False) if digits == 40 else hashlib.sha256(content)).hexdigest()


def git_attribute(root: Path, attribute: str, path: str) -> str | None:
    """Return the attribute's value for a path, in git's words; None if git cannot be asked."""
    answer = _ask(root, "check-attr", "-z", attribute, "--", path)
    return answer[2] if answer else None


def user_name(root: Path) -> str:
    """Return the name that git puts on commits made here; empty if git has none, or cannot be asked."""
    return (_run(root, "config", "user.name") or b"").decode("utf-8", "replace").strip()


def ignore_rules(root: Path, paths: Iterable[str]) -> dict[str, IgnoreRule] | None:
    """Return the rule that ignores each of the ignored paths; None if git cannot be asked.

    A file that git tracks is not ignored, whatever the rules say. A path that leaves the project, also by a
    symbolic link or into a submodule, is left out: git has nothing to say of it.
    """
    top = git_top(root)
    by_folder: dict[str, list[str]] = defaultdict(list)
    for path in dict.fromkeys(paths):
        by_folder[path[: path.rfind("/") + 1]].append(path)
    by_folder = {folder: held for folder, held in by_folder.items() if _is_inside(root, Path(folder))}
    inside = [path for held in by_folder.values() for path in held]
    # with its index, git would compare each of these paths with every file that it tracks
    answer = _ask(root, "check-ignore", "--no-index", "-v", "-z", "--stdin", asked=[*inside, *_folders(inside)])
    if answer is None or top is None:
        return None
    found = {path: rule for *rule, path in zip(*[iter(answer)] * 4, strict=False) if not rule[2].startswith("!")}
    if found:
        files = _ask(root, "ls-files", "-z") or []
        tracked = _folders(files).union(files)
        found = {path: rule for path, rule in found.items() if path not in tracked}
    rules = {}
    for path in inside:
        if path in found:
            source, line, pattern = found[path]
            # git says it from the top of the working tree, or absolute
            file = source if Path(source).is_absolute() else Path(os.path.relpath(top / source, root)).as_posix()
            hides_folder = any(folder in found for folder in _parents(path))
            rules[path] = IgnoreRule(file, line, pattern, _hint(path, file, line, hides_folder=hides_folder))
    return rules


def _hint(path: str, file: str, line: str, *, hides_folder: bool) -> str:
    folder, _, name = path.rpartition("/")
    kind = f"{folder}/*{Path(name).suffix}" if folder and Path(name).suffix else path
    # no later rule brings back what lies in an ignored folder, and none of a folder above is stronger
    if hides_folder or (folder and file.startswith(f"{folder}/")):
        return f"edit line {line} of {file} so that it leaves {kind} alone"
    return f"add this line at the end of .gitignore: !{kind if folder else f'/{name}'}"


def _folders(paths: Iterable[str]) -> set[str]:
    """Return all folders that these files are in, as `_parents` does."""
    one_of_each = {path.rpartition("/")[0]: path for path in paths}
    return {parent for path in one_of_each.values() for parent in _parents(path)}


def _parents(path: str) -> list[str]:
    return [f"{parent.as_posix()}/" for parent in Path(path).parents if parent.name]


def _is_inside(root: Path, folder: Path) -> bool:
    if folder.is_absolute() or ".." in folder.parts:
        return False
    is_submodule = any((root / part / ".git").exists() for part in (folder, *folder.parents) if part.name)
    real = Path(os.path.realpath(root))
    return not is_submodule and Path(os.path.realpath(root / folder)) == real / folder


def committed_paths(root: Path, folder: str) -> set[str]:
    """Return the files in a folder of the project that git has: staged, or in the last commit."""
    if git_top(root) is None:
        return set()
    staged = _ask(root, "ls-files", "-z", "--", folder) or []
    return {*staged, *(_ask(root, "ls-tree", "-r", "-z", "--name-only", "HEAD", "--", folder) or [])}


def committed_file(root: Path, path: str) -> tuple[str, bytes] | None:
    """Return the command that brings back a file, and its content, if git has it: staged, or else committed."""
    if git_top(root) is None:
        return None
    for name, command in ((f":./{path}", "git restore"), (f"HEAD:./{path}", "git restore --staged --worktree")):
        data = _run(root, "cat-file", "blob", name)
        if data is not None:
            return f"{command} {path}", data
    return None


class CommittedFiles:
    """The files of a project that git has: staged, or in the last commit. Nothing is fetched for it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, path: str, sha256: str) -> bytes | None:
        """Return the content of that hash that git has for the file at the path, if any.

        Raises ImagegenError if git has the file, but not its content here.
        """
        for blob in dict.fromkeys(self._blobs.get(path, ())):
            data = _run(self._root, "cat-file", "blob", blob)
            if data is None:
                raise _elsewhere(path, "a partial clone")
            if hashlib.sha256(data).hexdigest() == sha256:
                return data
            if pointer_sha256(data) == sha256:
                return self._large(path, sha256)
        return None

    @cached_property
    def _blobs(self) -> dict[str, list[str]]:
        """Git's names of each file's contents, by path relative to the project. Git is asked once."""
        found: dict[str, list[str]] = defaultdict(list)
        if git_top(self._root) is not None:
            listed = (_ask(self._root, "ls-files", "-s", "-z"), _ask(self._root, "ls-tree", "-r", "-z", "HEAD"))
            for fields, blob in zip(listed, (1, 2), strict=True):
                for entry in fields or ():
                    facts, _, path = entry.partition("\t")
                    found[path].append(facts.split()[blob])
        return found

    def _large(self, path: str, sha256: str) -> bytes:
        """Return the content that Git LFS has for the Git LFS pointer that git has."""
        answer = _run(self._root, "rev-parse", "--git-common-dir")
        if answer is not None:
            folder = self._root / os.fsdecode(answer.rstrip(b"\n"))
            with contextlib.suppress(OSError):
                data = (folder / "lfs/objects" / sha256[:2] / sha256[2:4] / sha256).read_bytes()
                if hashlib.sha256(data).hexdigest() == sha256:
                    return data
        raise _elsewhere(path, "Git LFS")


def _elsewhere(path: str, what: str) -> ImagegenError:
    return ImagegenError(
        Problem("", f"git has {path}, but not its content here ({what})", f"bring it back: git checkout HEAD -- {path}")
    )


def _ask(root: Path, *arguments: str, asked: Iterable[str] = ()) -> list[str] | None:
    """Return the fields of git's answer; None if there is none."""
    answer = _run(root, *arguments, data=b"".join(os.fsencode(path) + b"\0" for path in asked))
    return None if answer is None else os.fsdecode(answer).split("\0")[:-1]


def _run(root: Path, *arguments: str, data: bytes = b"") -> bytes | None:
    """Run git and return its answer; None if there is none."""
    program = shutil.which("git")
    if program is None:
        return None
    environment = {**os.environ, "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    try:
        answer = subprocess.run(
            [program, *arguments], cwd=root, input=data, capture_output=True, timeout=_TIMEOUT_S, env=environment
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout if answer.returncode in (0, 1) else None  # 1: check-ignore found nothing

"""The files of a new project. All are planned before the first is written, so a problem with one writes nothing."""

from __future__ import annotations

import ast
import codecs
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from imagegen.config.job_files import find_job_files
from imagegen.config.json_schema import WRITTEN_BY
from imagegen.errors import ImagegenError, Problem, not_written
from imagegen.project.backends import schema_text
from imagegen.state.atomic import replace_file
from imagegen.state.lockfile import ATTRIBUTES
from imagegen.state.review_file import REVIEW_ATTRIBUTES

__all__ = [
    "ATTRIBUTE_LINES",
    "DODO",
    "FIRST_JOB",
    "IGNORE_RULES",
    "STAR_IMPORT",
    "Step",
    "append_lines",
    "find_missing_attributes",
    "find_missing_rules",
    "plan_files",
    "takes_our_tasks",
    "write_files",
]


_SCHEMA = "job.schema.json"
_AGENTS = "AGENTS.md"
_NAMES = ("icons", "first-icons")
"""Of the first job: the second one if the first is taken."""


@dataclass(frozen=True)
class Step:
    """What happens to one file."""

    path: str
    state: Literal["created", "completed", "already there", "left"]
    note: str = ""
    data: bytes = b""  # to write, or to append

    @property
    def writes(self) -> bool:
        """Whether it changes anything."""
        return self.state in ("created", "completed")


def plan_files(root: Path, agents: str) -> list[Step]:
    """Return what `imagegen init` does in a folder.

    Args:
        root: the folder.
        agents: the text of AGENTS.md.

    Raises:
        ImagegenError: with every problem.
        OSError: what is there cannot be read.
    """
    if problems := list(_find_obstacles(root)):
        raise ImagegenError(*problems)
    steps = [_plan_dodo(root), _plan_first_job(root), _plan_schema(root), _plan_agents(root, agents)]
    steps += [_plan_attributes(root), _plan_ignore(root)]
    if problems := list(_find_read_only(root, [step.path for step in steps if step.writes])):
        raise ImagegenError(*problems)
    return steps


def write_files(root: Path, steps: Sequence[Step]) -> None:
    """Write what was planned. Raises ImagegenError; what was written before it stays."""
    for step in steps:
        path = root / step.path
        try:
            if step.state == "created":
                replace_file(path, step.data, path.parent)
            elif step.state == "completed":
                with path.open("ab") as file:
                    file.write(step.data)
        except OSError as error:
            raise ImagegenError(not_written(error, path=step.path)) from None


def _find_obstacles(root: Path) -> Iterator[Problem]:
    """Yield what is in the way: folders instead of files, or a file instead of the folder for jobs."""
    if (root / "jobs").is_symlink() and not (root / "jobs").exists():
        yield Problem("jobs", "is a symbolic link that leads nowhere", "remove it, or create the folder that it names")
    elif (root / "jobs").exists() and not (root / "jobs").is_dir():
        yield Problem("jobs", "is a file, but job files go into a folder of that name", "rename the file")
    for name in ("dodo.py", _SCHEMA, _AGENTS, ".gitattributes", ".gitignore"):
        path = root / name
        if path.is_dir():
            yield Problem(name, "is a folder, but a file of that name is needed", "rename the folder")
        elif path.is_symlink() and not path.exists():
            yield Problem(name, "is a symbolic link that leads nowhere", "remove it, or create the file that it names")
        elif path.exists() and not path.is_file():
            yield Problem(name, "is not a regular file", "move it away")


def _find_read_only(root: Path, names: Sequence[str]) -> Iterator[Problem]:
    blocked: dict[Path, list[str]] = {}
    for name in names:
        path = root / name
        target = path if path.exists() else next(folder for folder in path.parents if folder.exists())
        if not os.access(target, os.W_OK if target.is_file() else os.W_OK | os.X_OK):
            blocked.setdefault(target, []).append(name)
    for target, held in blocked.items():
        shown = "this folder" if target == root else target.relative_to(root).as_posix()
        what = f"{shown} is read-only" + ("" if held == [shown] else f", and {', '.join(held)} would go there")
        yield Problem("", what, f"make {shown} writable, then try again")


def _plan_dodo(root: Path) -> Step:
    path = root / "dodo.py"
    if not path.exists():
        return Step("dodo.py", "created", "gives doit the tasks of imagegen", DODO.encode("utf-8"))
    try:
        if takes_our_tasks(path):
            return Step("dodo.py", "already there")
    except SyntaxError as error:
        place = ":".join(map(str, filter(None, [error.filename, error.lineno])))
        note = f"{place} is not valid Python: correct it; dodo.py needs the line: {STAR_IMPORT}"
        return Step("dodo.py", "left", note)
    return Step("dodo.py", "left", f"it doesn't import imagegen's tasks: add the line: {STAR_IMPORT}")


def takes_our_tasks(dodo: Path) -> bool:
    """Return whether a dodo.py imports our tasks, or at least what doit needs for jobs, itself or through a module.

    Raises:
        SyntaxError: if a file is not valid Python, with its name.
        OSError: if one cannot be read.
    """
    pending, seen = [dodo], {dodo}
    while pending:
        names: set[str] = set()
        for module, imported in _walk_imports(pending.pop()):
            if module == "imagegen.tasks":
                names |= imported
            stem = dodo.parent.joinpath(*module.split("."))
            found = {path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()} - seen
            pending += found
            seen |= found
        if "*" in names or names >= {"DOIT_CONFIG", "task_jobs"}:
            return True
    return False


def _walk_imports(path: Path) -> Iterator[tuple[str, set[str]]]:
    """Yield each module that a file imports, with the imported names. Raises SyntaxError, OSError.

    If it imports our tasks as a module, these are all names that it sets itself; `*` if it updates `globals()`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the user's code
            tree = ast.parse(path.read_bytes(), path.name)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SyntaxError(str(error), (path.name, getattr(error, "lineno", 0), 0, "")) from None
    nodes = list(ast.walk(tree))
    set_here = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    if any(isinstance(node, ast.Name) and node.id == "globals" for node in nodes):
        set_here.add("*")
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            imported = {alias.name for alias in node.names}
            is_ours = node.module == "imagegen" and "tasks" in imported
            yield from [("imagegen.tasks", set_here)] if is_ours else [(node.module, imported)]
        elif isinstance(node, ast.Import):
            yield from ((alias.name, set_here) for alias in node.names)


def _plan_first_job(root: Path) -> Step:
    if jobs := find_job_files(root):
        count = "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"
        return Step("jobs/", "already there", f"{count}, so no first job is added")
    if (root / "jobs").is_symlink():
        return Step("jobs/", "left", "a symbolic link: write your first job there yourself")
    name = next((name for name in _NAMES if _is_free(root, name)), None)
    if name is None:
        return Step("jobs/", "left", f"the names {' and '.join(_NAMES)} are taken: write your first job yourself")
    text = FIRST_JOB.format(name=name)
    return Step(f"jobs/{name}.yaml", "created", "your first job: two icons", text.encode("utf-8"))


def _is_free(root: Path, name: str) -> bool:
    """Whether a job can have a name: no earlier job, images or task of the project's dodo.py has it."""
    dodo = root / "dodo.py"
    is_task = dodo.exists() and f"task_{name}".encode() in dodo.read_bytes()
    names = os.listdir(root / "jobs") if (root / "jobs").exists() else []  # noqa: PTH208 - names
    is_file = any(found.casefold().startswith(f"{name}.") for found in names)  # some systems take icons.YAML for it
    return not (is_task or is_file or os.path.lexists(root / "assets" / name))


def _plan_schema(root: Path) -> Step:
    path, text = root / _SCHEMA, schema_text()
    if not path.exists():
        return Step(_SCHEMA, "created", "lets your editor complete and check job files", text.encode("utf-8"))
    there = path.read_text("utf-8", "replace")
    if there == text:
        return Step(_SCHEMA, "already there")
    if WRITTEN_BY in there:
        return Step(_SCHEMA, "left", "another version of imagegen wrote it: doit schema brings it up to date")
    return Step(_SCHEMA, "left", "not written by imagegen: doit schema --out PATH writes ours elsewhere")


def _plan_agents(root: Path, text: str) -> Step:
    path = root / _AGENTS
    if not path.exists():
        return Step(
            _AGENTS, "created", "says to coding agents how to change images, and what never to do", text.encode()
        )
    if "imagegen" in path.read_text("utf-8", "replace"):
        return Step(_AGENTS, "already there")
    return Step(_AGENTS, "left", "it says nothing of imagegen: python -m imagegen skill writes what agents should know")


def _plan_attributes(root: Path) -> Step:
    note = "merges lock files and review files without conflicts"
    return _plan_completion(root, ".gitattributes", ATTRIBUTE_LINES, find_missing_attributes, note)


def _plan_ignore(root: Path) -> Step:
    return _plan_completion(root, ".gitignore", IGNORE_RULES, find_missing_rules, "keeps local files out of git")


def _plan_completion(
    root: Path, name: str, lines: Sequence[str], missing: Callable[[str, Sequence[str]], list[str]], note: str
) -> Step:
    path = root / name
    if not path.exists():
        return Step(name, "created", note, append_lines(b"", lines))
    data = path.read_bytes()
    if b"\0" in data or data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return Step(name, "left", f"git can't read it, since it is not UTF-8: save it as UTF-8, then {_AGAIN}")
    added = missing(data.decode("utf-8", "replace"), lines)
    if not added:
        return Step(name, "already there")
    if path.is_symlink():
        return Step(name, "left", f"a symbolic link, which git does not follow here: make it a file, then {_AGAIN}")
    return Step(name, "completed", f"+ {', '.join(added)}", append_lines(data, added))


_AGAIN = "run imagegen init again"


_TOKEN = re.compile(r"\*\*/|/\*\*$|\*+|\?|\[[!^]?\]?[^]]*\]|\\.|.", re.DOTALL)
_MACROS = {"binary": ["-diff", "-merge", "-text"]}


def find_missing_rules(text: str, rules: Sequence[str]) -> list[str]:
    """Return the rules that a `.gitignore` lacks: it neither ignores their files nor excludes them with `!`."""
    written = [line for line in map(_strip_spaces, text.splitlines()) if line and not line.startswith("#")]
    return [rule for rule in rules if not any(_matches(line.removeprefix("!"), _make_sample(rule)) for line in written)]


def find_missing_attributes(text: str, lines: Sequence[str]) -> list[str]:
    """Return the lines that a `.gitattributes` lacks: they set an attribute, except `text`, to another value."""
    missing = []
    for line in lines:
        pattern, *wanted = line.split()
        found = _read_attributes(text, pattern.replace("*", "x"))
        if any(found.get(name) != value for name, value in _parse_settings(wanted) if name != "text"):
            missing.append(line)
    return missing


def append_lines(data: bytes, lines: Sequence[str]) -> bytes:
    """Return what to append to a file so that it has the lines too, with the line ends that it has."""
    end = b"\r\n" if b"\r\n" in data else b"\n"
    head = b"" if not data or data.endswith(b"\n") else end
    return head + b"".join(line.encode("utf-8") + end for line in lines)


def _make_sample(rule: str) -> str:
    """Return a realistic path that a rule ignores: `*.pyc` is as good as `__pycache__/`."""
    name = rule.replace("*", "")
    if not name.endswith("/"):
        return name
    return f"{name}dodo.pyc" if name == "__pycache__/" else f"{name}x"


def _read_attributes(text: str, path: str) -> dict[str, str | bool]:
    found: dict[str, str | bool] = {}
    for line in text.splitlines():
        match = re.match(r'\s*(?:"([^"]+)"|([^\s#]\S*))\s+(.*)', line)
        if match and _matches_file(match[1] or match[2], path):
            found.update(_parse_settings(match[3].split()))
    return found


def _parse_settings(words: Sequence[str]) -> Iterator[tuple[str, str | bool]]:
    for word in words:
        yield from _parse_settings(_MACROS.get(word, []))
        name, has_value, value = word.lstrip("-!").partition("=")
        yield name, value if has_value else not word.startswith(("-", "!"))


def _matches(pattern: str, path: str) -> bool:
    """Whether the pattern of an ignore rule matches a file, or a folder that it is in."""
    folders = [parent.as_posix() for parent in PurePosixPath(path).parents if parent.name]
    if pattern.endswith("/"):
        return any(_matches_file(pattern.rstrip("/"), folder) for folder in folders)
    return any(_matches_file(pattern, one) for one in (path, *folders))


def _matches_file(pattern: str, path: str) -> bool:
    prefix = "" if "/" in pattern else "(?:.*/)?"
    try:
        return re.fullmatch(prefix + _TOKEN.sub(_to_regex, pattern.removeprefix("/")), path) is not None
    except re.error:  # not a valid pattern for git either
        return False


def _to_regex(token: re.Match[str]) -> str:
    text = token[0]
    if text == "**/":
        return "(?:.*/)?"
    if text == "/**":
        return "/.*"
    if text.startswith("*"):
        return "[^/]*"
    if text == "?":
        return "[^/]"
    if len(text) > 2 and text.startswith("["):
        return "[" + ("^" if text[1] in "!^" else "") + re.escape(text[1:-1].lstrip("!^")).replace(r"\-", "-") + "]"
    return re.escape(text[1:] if len(text) == 2 and text.startswith("\\") else text)


def _strip_spaces(line: str) -> str:
    """Remove trailing spaces, which git ignores unless they follow a backslash."""
    return re.sub(r"(?<!\\)[ \t]+$", "", line.lstrip("\ufeff"))


STAR_IMPORT = "from imagegen.tasks import *"
DODO = f"""\
# `doit` builds this repository's images: see jobs/
{STAR_IMPORT}  # noqa: F403
"""
FIRST_JOB = """\
# yaml-language-server: $schema=../job.schema.json
# Two icons, assets/{name}/rope.png and assets/{name}/lantern.png. Edit a prompt: `doit why` shows what `doit` will do.
# It names no backend: pyproject.toml's is used, or else placeholder, whose pictures are labels. For real ones:
# `doit sd:setup`, then `doit backend=sd`.
description: Icons for the inventory

generate: {{width: 512, height: 512}}
prompt: {{suffix: "game icon, centred, plain background"}}

items:
  - name: Rope
    prompt: a coil of hemp rope
  - name: Lantern
    prompt: a lit brass lantern
"""
"""`name` is the job's own."""
ATTRIBUTE_LINES = [ATTRIBUTES, REVIEW_ATTRIBUTES]
IGNORE_RULES = [
    ".imagegen/",
    ".doit.db*",
    ".venv/",
    "__pycache__/",
    "assets/gallery/",
    "tools/ComfyUI/",
    "tools/models/",
    "tools/ollama/",
    "tools/.ollama-*/",
    "tools/sd/",
    "tools/.sd-*/",
]

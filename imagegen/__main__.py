"""The command `imagegen`, which makes a repository ready. Commands that build images are doit's: `doit help`."""

from __future__ import annotations

import argparse
import io
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from imagegen.errors import ImagegenError, InputError, NotBegunError, Problem, did_you_mean, not_written, printable

if TYPE_CHECKING:
    from imagegen.starter import Step

__all__ = ["main"]

_INIT = """\
Make the current folder ready for imagegen. Creates what is missing of

  dodo.py           gives doit the tasks of imagegen
  jobs/icons.yaml   a first job, if there is no job yet
  job.schema.json   lets an editor complete and check job files
  AGENTS.md         says to coding agents how to change images, and what never to do
  .gitattributes    merges lock files and review files without conflicts
  .gitignore        keeps local files out of git

Existing files are never overwritten. .gitattributes and .gitignore get the lines they lack.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    parser = _parser()
    try:
        words = parser.parse_args(_known(list(sys.argv[1:] if arguments is None else arguments), parser))
        if words.command == _MCP:
            return _serve(words)
        if words.command == _SKILL:
            return _write_skill(words.out, force=words.force)
        code = _version() if words.version else _COMMANDS.get(words.command, lambda: _help(parser))()
        sys.stdout.flush()
    except ImagegenError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except BrokenPipeError:  # what reads our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # of what we print to
        sys.stderr.write(f"{not_written(error, doing='write the output')}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    about = "Make for generated art. This command makes a repository ready; `doit` builds its images."
    parser = argparse.ArgumentParser("imagegen", description=about, epilog="example: imagegen init && doit")
    parser.add_argument("--version", action="store_true", help="say which imagegen this is, and where it is installed")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    commands.add_parser(
        "init",
        help="make the current folder ready: dodo.py, jobs/, job.schema.json, AGENTS.md, .gitattributes, .gitignore",
        description=_INIT,
        epilog="example: mkdir game-art && cd game-art && git init && imagegen init && doit",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    importer = "print the C# script that imports sheets with index: unity into Unity"
    example = "example: imagegen unity-importer > Assets/Editor/ImagegenSheets.cs"
    commands.add_parser(_IMPORTER, help=importer, description=importer.capitalize(), epilog=example)
    _add_skill(commands.add_parser(_SKILL, help="write what agents should know as a skill file", description=_KNOW))
    _add_mcp(commands.add_parser(_MCP, help="serve an agent over MCP: docs/agents.md", description=_SERVE))
    return parser


def _add_mcp(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "An agent starts it, as `python -m imagegen mcp --project FOLDER`: docs/agents.md"
    parser.add_argument("--project", default=".", metavar="FOLDER", help="the project [default: the current folder]")
    parser.add_argument("--allow-build", action="store_true", help="offer what changes the project, too")


def _add_skill(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "example: python -m imagegen skill --out .claude/skills"
    out = f"the file, or a folder of skills; - prints it [default: {_SKILL_OUT}]"
    parser.add_argument("--out", default=_SKILL_OUT, metavar="PATH", help=out)
    parser.add_argument("--force", action="store_true", help="replace a file that says something else")


def _known(words: list[str], parser: argparse.ArgumentParser) -> list[str]:
    """Return the words, where they begin with a command of ours; else end with what to type instead."""
    command, *others = [*[word for word in words if not word.startswith("-")], ""]
    if command == "help":
        return ["--help"]
    if command in (_IMPORTER, _SKILL, _MCP):
        return words
    if command not in ("", "init"):
        hint = (
            did_you_mean(command, ["init", _IMPORTER, _SKILL, _MCP])
            or "; the commands that build images are doit's: doit help lists them"
        )
        parser.error(f"unknown command '{printable(command)}'{hint}")
    if others[:1] == ["."]:
        words.remove(".")
    elif folder := "".join(others[:1]):
        there = f"mkdir -p {shlex.quote(folder)} && cd {shlex.quote(folder)} && imagegen init"
        parser.error(f"init works in the current folder. For '{printable(folder)}': {printable(there)}")
    return words


def _help(parser: argparse.ArgumentParser) -> int:
    parser.print_help(sys.stderr)
    return 2


def _version() -> int:
    from imagegen.report.doctor import describe_installation

    print(f"imagegen {describe_installation()}")
    return 0


def _init() -> int:
    from imagegen.guide.agents import agents_page
    from imagegen.starter import plan_files, write_files

    root = _folder()
    try:
        steps = plan_files(root, agents_page())
    except OSError as error:
        raise ImagegenError(not_written(error, doing="read")) from None
    write_files(root, steps)
    print("\n".join(_init_lines(root, steps)))
    return 0


def _print_importer() -> int:
    from imagegen.images.atlas.unity import read_importer

    print(read_importer(), end="")
    return 0


def _serve(words: argparse.Namespace) -> int:
    """Serve an agent. Raises ImagegenError if there is no such folder, or no SDK."""
    project = Path(words.project)
    if not project.is_dir():
        raise InputError(Problem("--project", f"there is no folder {project}", "name the folder that has dodo.py"))
    try:
        from imagegen.agents.server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("mcp", "mcp_types"):
            raise
        what = "the MCP server needs the package 'mcp' from version 2 on, which is not installed"
        raise NotBegunError(Problem("", what, f"{sys.executable} -m pip install 'mcp>=2'")) from None
    serve(project.resolve(), allows_build=words.allow_build)
    return 0


def _write_skill(out: str, *, force: bool) -> int:
    from imagegen.guide.agents import NAME, skill_page
    from imagegen.state.atomic import find_target, rewrite_file

    text = skill_page()
    if out == "-":
        print(text, end="")
        return 0
    path = Path(out)
    if path.name == "skills":
        path /= NAME  # a skill is called as its folder
    if path.suffix != ".md":
        path /= "SKILL.md"
    target = find_target(Path.cwd(), path, f"--out={out}", new_folders=2)  # of the skill, and of all skills
    if target.exists() and target.read_text("utf-8", "replace") == text:
        print(f"already there  {path}")
        return 0
    if target.exists() and not force:
        hint = "python -m imagegen skill --force replaces it; --out - only prints the text"
        raise NotBegunError(Problem(str(path), "is there already, and says something else", hint))
    rewrite_file(target, text.encode("utf-8"), target.parent)
    print(f"written  {path}")
    return 0


_SKILL = "skill"
_SKILL_OUT = ".agents/skills/imagegen/SKILL.md"
_KNOW = """\
Write what an agent should know of imagegen as a skill file: how to change a picture, what never to do, every command.
Several agents find it in .agents/skills; Claude Code looks in .claude/skills.
"""
_IMPORTER = "unity-importer"
_MCP = "mcp"
_SERVE = """\
Serve one agent over MCP, on stdin and stdout. Each of its calls is a doit of its own in the project.
"""
_COMMANDS = {"init": _init, _IMPORTER: _print_importer}


def _folder() -> Path:
    """Return the current folder. Raises ImagegenError where that is the home folder, surely by mistake."""
    try:
        root = Path.cwd()
    except FileNotFoundError:
        raise ImagegenError(Problem("", "the current folder does not exist any more", "change to another")) from None
    home = Path(os.path.expanduser("~")).resolve()  # noqa: PTH111 - it never fails
    if root in (home, Path(root.anchor)) and not any((root / name).exists() for name in (".git", "dodo.py")):
        what = f"{root} is {'your home folder' if root == home else 'the root of the file system'}"
        hint = "change to your project's folder first; if this is it: git init, then imagegen init again"
        raise InputError(Problem("", what, hint))
    return root


def _init_lines(root: Path, steps: Sequence[Step]) -> list[str]:
    """Return one line per file, what git will keep out of a clone, and the next command to type."""
    from imagegen.report.console import table

    lines = table([(step.state, step.path, step.note) for step in steps])
    if warnings := list(_warnings(root, steps)):
        lines += ["", *warnings]
    done = "" if any(step.writes for step in steps) else "Nothing to add. "
    return [*lines, "", f"{done}Next: {_next(root, steps)}"]


def _warnings(root: Path, steps: Sequence[Step]) -> Iterator[str]:
    from imagegen.project.git import git_top, ignore_rules

    if git_top(root) is None:
        yield "This folder is not in a git repository yet. Run git init to keep jobs, images and lock files together."
        return
    if above := _project_above(root, steps):
        yield f"{above} is a project already; this folder is now a second, separate one."
    (job,) = (step.path for step in steps if step.path.startswith("jobs/"))
    name = "x" if job == "jobs/" else Path(job).stem
    lock, image = f"jobs/{name}.lock", f"assets/{name}/x.png"
    paths = [step.path for step in steps if step.path != "jobs/"]
    rules = ignore_rules(root, [*paths, f"jobs/{name}.yaml", lock, image]) or {}
    of_image = rules.pop(image, None)
    for path, rule in rules.items():
        what = f"{path}: git ignores it by the rule {rule}"
        if path == lock and of_image:  # as doctor says it
            what = f"jobs/*.lock: git ignores lock files by the rule {rule}, and images too: a clone generates its own"
        elif path == lock:
            what = (
                f"jobs/*.lock: git ignores lock files by the rule {rule}, and a clone can't tell what made its images"
            )
        yield f"{what}\n    {rule.hint}"


def _project_above(root: Path, steps: Sequence[Step]) -> str:
    """Return the dodo.py with our tasks in a folder above, where this folder got one of its own; else empty."""
    from imagegen.project.git import git_top
    from imagegen.starter import takes_our_tasks

    top = git_top(root)
    if top is None or not any(step.path == "dodo.py" and step.state == "created" for step in steps):
        return ""
    above = [folder / "dodo.py" for folder in root.parents if folder.is_relative_to(top)]
    with suppress(SyntaxError, OSError):
        return next((os.path.relpath(path, root) for path in above if path.is_file() and takes_our_tasks(path)), "")
    return ""


def _next(root: Path, steps: Sequence[Step]) -> str:
    dodo = next(step for step in steps if step.path == "dodo.py")
    if dodo.state == "left":
        return f"correct dodo.py as above, then: {_doit(root)}"
    return _doit(root)


def _doit(root: Path) -> str:
    """Return how to call this Python's doit: by its path where another or none is found first."""
    own = shutil.which("doit", path=str(Path(sys.executable).parent))
    if own is None:
        return f"{shlex.quote(sys.executable)} -m doit"
    found = shutil.which("doit")
    if found and os.path.realpath(found) == os.path.realpath(own):
        return "doit"
    inside = Path(own).is_relative_to(root)
    return shlex.quote(os.path.relpath(own, root) if inside else own)


if __name__ == "__main__":
    sys.exit(main())

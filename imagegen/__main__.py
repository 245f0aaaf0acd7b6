"""The command `imagegen`: makes a repository ready. All that builds images is doit's: `doit help`."""

from __future__ import annotations

import argparse
import io
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from imagegen.errors import ImagegenError, Problem, did_you_mean, not_written, printable

__all__ = ["main"]

_INIT = """\
Make the current folder ready for imagegen. Creates what is missing of

  dodo.py           gives doit the tasks of imagegen
  jobs/icons.yaml   a first job, if there is no job yet
  job.schema.json   lets an editor complete and check job files
  .gitattributes    merges lock files without conflicts
  .gitignore        keeps local files out of git

Existing files are never overwritten. .gitattributes and .gitignore get the lines they lack.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    parser = _parser()
    try:
        words = parser.parse_args(_known(list(sys.argv[1:] if arguments is None else arguments), parser))
        code = _version() if words.version else _init() if words.command else _help(parser)
        sys.stdout.flush()
    except ImagegenError as error:
        sys.stderr.write(f"{error}\n")
        return 1
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
        help="make the current folder ready: dodo.py, jobs/, job.schema.json, .gitattributes, .gitignore",
        description=_INIT,
        epilog="example: mkdir game-art && cd game-art && git init && imagegen init && doit",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def _known(words: list[str], parser: argparse.ArgumentParser) -> list[str]:
    """The words, where they begin with a command of ours; else the program ends with what to type instead."""
    command, *others = [*[word for word in words if not word.startswith("-")], ""]
    if command == "help":
        return ["--help"]
    if command not in ("", "init"):
        hint = did_you_mean(command, ["init"]) or "; the commands that build images are doit's: doit help lists them"
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
    from imagegen.report.doctor import installed_as

    print(f"imagegen {installed_as()}")
    return 0


def _init() -> int:
    from imagegen.report.starter import init_lines
    from imagegen.starter import plan_files, write_files

    root = _folder()
    try:
        steps = plan_files(root)
    except OSError as error:
        raise ImagegenError(not_written(error, doing="read")) from None
    write_files(root, steps)
    print("\n".join(init_lines(root, steps)))
    return 0


def _folder() -> Path:
    """The current folder. Raises ImagegenError in the home folder, where hardly anybody wants jobs and ignore rules."""
    try:
        root = Path.cwd()
    except FileNotFoundError:
        raise ImagegenError(Problem("", "the current folder does not exist any more", "change to another")) from None
    home = Path(os.path.expanduser("~")).resolve()  # noqa: PTH111 - it never fails
    if root in (home, Path(root.anchor)) and not any((root / name).exists() for name in (".git", "dodo.py")):
        what = f"{root} is {'your home folder' if root == home else 'the root of the file system'}"
        hint = "change to your project's folder first; if this is it: git init, then imagegen init again"
        raise ImagegenError(Problem("", what, hint))
    return root


if __name__ == "__main__":
    sys.exit(main())

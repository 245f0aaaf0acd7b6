"""What a command is: its name, options and help page, and the function that does its work.

Declaring one with `command` is all it takes: doit's tasks, the reserved names and `doit help` follow from COMMANDS.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagegen.errors import DONE, ImagegenError, NotBegunError, Problem

if TYPE_CHECKING:
    from imagegen.backends.base import Progress
    from imagegen.commands.build import Build

__all__ = [
    "AS_JSON",
    "COMMANDS",
    "GO_AHEAD",
    "OURS",
    "YES",
    "Answer",
    "Command",
    "UnfinishedError",
    "answer_even_if_it_fails",
    "command",
    "confirm",
    "option",
    "report_setup",
    "require",
    "spell",
]

GO_AHEAD = "to go ahead without the question: "

OURS = "imagegen"
"""The key in a task's `meta` that marks it as one of this project's, which reports for itself."""

COMMANDS: dict[str, Command] = {}
"""Each command by its name. Complete once `imagegen.commands` is imported."""

Work = Callable[..., "Answer"]
"""Gets the build, then the options by their names and, where the command takes words, these as `words`.

Raises ImagegenError and OSError, which are printed.
"""


@dataclass(frozen=True)
class Answer:
    """What a command answers, to a program and to a person.

    Attributes:
        result: a dataclass, of the class that the command declares as its `result`.
        lines: the same for a person. They are printed, unless a program asked.
        exit_code: FAILED if it did its work and found or met a failure, STOPPED after Ctrl-C. What was done until
            then is in the result.
        problems: that it met on its way. They are printed after the lines.
        shown_problems: that were printed while it worked: those of images that failed.
    """

    result: object
    lines: Iterable[str] = ()
    exit_code: int = DONE
    problems: Sequence[Problem] = ()
    shown_problems: Sequence[Problem] = ()


class UnfinishedError(Exception):
    """A command did part of its work, and then failed as `__cause__` says.

    Attributes:
        result: of that part.
    """

    def __init__(self, result: object) -> None:
        super().__init__("the command is not finished")
        self.result = result


@contextmanager
def answer_even_if_it_fails(result: Callable[[], object]) -> Iterator[None]:
    """Have a program get what was done before something here fails, or is stopped.

    result: returns what was done until then; None if that is nothing.
    """
    try:
        yield
    except (ImagegenError, OSError, ModuleNotFoundError, SystemExit, KeyboardInterrupt) as error:
        raise UnfinishedError(result()) from error


def option(
    name: str, kind: type, default: Any, text: str, short: str = "", *, value: str = "", choices: Sequence[str] = ()
) -> dict[str, Any]:
    """Return an option of a command, in doit's form.

    Args:
        name: what follows the two dashes.
        kind: bool for a switch, list for what may be given several times.
        default: the value if it is not given.
        text: its line of help.
        short: one letter.
        value: what help calls its value.
        choices: all the values there are; empty if there are others.

    """
    return {
        "name": name.replace("-", "_"),
        "long": name,
        "short": short,
        "type": kind,
        "default": default,
        "help": text,
        "metavar": value or {int: "N", float: "N"}.get(kind, "TEXT"),
        "choices": [(choice, "") for choice in choices],
    }


AS_JSON = option("json", bool, False, "print a line of JSON, for a program: docs/scripting.md")
YES = option("yes", bool, False, "do not ask", "y")


@dataclass(frozen=True)
class Command:
    """A command, `doit NAME`. See `command` for what each field means."""

    name: str
    summary: str
    examples: Mapping[str, str]
    options: tuple[dict[str, Any], ...]
    words: str
    work: Work
    result_name: str
    needs_settings: bool = True
    needs_jobs: bool = True
    jobs: Callable[[Build], list[str]] | None = None

    @property
    def result(self) -> type:
        """The dataclass of what it answers. A run with nothing to do needs none of them."""
        import pkgutil

        found: type = pkgutil.resolve_name(self.result_name)
        return found

    @property
    def text_options(self) -> list[dict[str, Any]]:
        """The options that may be given several times; a word without an option is likely meant for one of them."""
        return [one for one in self.options if one["type"] is list]

    @property
    def help(self) -> str:
        """Its help page."""
        import textwrap

        usage = " ".join(filter(None, ["doit", self.name, "[options]" if self.options else "", self.words]))
        lines = [f"Usage: {usage}", "", *textwrap.wrap(self.summary, 100), ""]
        if self.options:
            lines += ["Options:", *(line for one in self.options for line in _option_lines(one)), ""]
        lines += ["Examples:"]
        width = max(map(len, self.examples))
        lines += [f"  {line:<{width}}  {does}".rstrip() for line, does in self.examples.items()]
        return "\n".join(lines)


def command(
    name: str,
    summary: str,
    examples: Mapping[str, str],
    options: Sequence[dict[str, Any]] = (),
    words: str = "",
    *,
    result: str,
    needs_settings: bool = True,
    needs_jobs: bool = True,
    jobs: Callable[[Build], list[str]] | None = None,
) -> Callable[[Work], Work]:
    """Declare the decorated function to be the work of a new command.

    Args:
        name: `verify`, or `server:start` for one of several that belong together.
        summary: one line, for `doit list` and `doit help`.
        examples: command lines, each with what it does.
        options: what `option` returns.
        words: what may follow besides, as help shows it; empty for nothing.
        result: the dataclass of what it answers (see `Answer`), as `imagegen.report.results.pages:GalleryPage`: its
            module is loaded only where it is used.
        needs_settings: whether it fails if the settings are not valid.
        needs_jobs: whether it looks at any job; if not, none is read and planned for it.
        jobs: returns the jobs to build once its work is done.

    """

    def declare(work: Work) -> Work:
        every = (*options, AS_JSON)
        COMMANDS[name] = Command(name, summary, examples, every, words, work, result, needs_settings, needs_jobs, jobs)
        return work

    return declare


def confirm(question: str, otherwise: str, confirmed: str) -> bool:
    """Return whether the user agrees.

    Args:
        question: what to ask.
        otherwise: what did not happen without consent: `nothing was removed`.
        confirmed: the command line that does not ask.

    Raises:
        ImagegenError: there is no terminal to ask on.

    """
    from imagegen.report.json_output import json_output

    if json_output() or not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
        hint = f"{GO_AHEAD}{confirmed}"
        raise NotBegunError(Problem("", f"{otherwise}: there is no terminal to ask on", hint))
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:
        answer = ""
    return answer.strip().lower() in ("y", "yes")


def require(question: str, otherwise: str, confirmed: str) -> None:
    """Ask as `confirm` does. Raises ImagegenError also if the user does not agree."""
    if not confirm(question, otherwise, confirmed):
        raise NotBegunError(Problem("", otherwise))


@contextmanager
def report_setup(build: Build, line: str) -> Iterator[Progress]:
    """Show what a set-up reports, while no other doit works here; it may start or stop the server that a run uses.

    Args:
        line: the command line that goes on after Ctrl-C.
    """
    import math
    import threading

    from imagegen.execute.worker import ImageProgress
    from imagegen.report.console import StatusLine
    from imagegen.report.json_output import json_output
    from imagegen.state.mutex import hold

    try:
        with hold(build.root / ".imagegen", build.settings.wait_s), StatusLine() as status:

            def on_event(name: str, facts: dict[str, Any]) -> None:
                text = str(facts.get("text", ""))
                if name == "note":
                    status.note(text)
                elif status.is_terminal or json_output():
                    status.show(text)

            yield ImageProgress(math.inf, threading.Event(), on_event=on_event)
    except KeyboardInterrupt:
        print(f"stopped; what was downloaded stays, and {line} goes on from there", flush=True)
        raise SystemExit(130) from None


def spell(param: Mapping[str, Any], value: str | None = None) -> str:
    """Return how an option is written, with a value or what stands for one: `--width=N`, `--json`."""
    import shlex

    if param["type"] is bool:
        return f"--{param['long']}"
    shown = param.get("metavar", "TEXT") if value is None else shlex.quote(value)
    return f"--{param['long']}={shown}"


def _option_lines(param: Mapping[str, Any]) -> list[str]:
    import textwrap

    short = f"-{param['short']}, " if param["short"] else ""
    head = f"  {short}{spell(param)}"
    text = param["help"]
    if choices := ", ".join(choice for choice, _ in param["choices"]):
        text += f"; one of {choices}"
    if param["type"] is list:
        text += " (may be given several times)"
    if param["default"] not in (None, False, "", []):
        text += f" [default: {param['default']}]"
    first, *others = textwrap.wrap(text, 80)
    return [f"{head:<24}  {first}", *(" " * 26 + line for line in others)]

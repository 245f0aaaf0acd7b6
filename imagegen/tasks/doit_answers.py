"""doit's own commands with `--json`: what they answer, from doit's tasks and from what they do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from doit.cmd_base import Command as DoitCommand
from doit.exceptions import InvalidCommand
from doit.task import Task

from imagegen.commands.build import Build, current_build
from imagegen.commands.command import COMMANDS, OURS, Command
from imagegen.commands.command_line import is_ignored
from imagegen.errors import did_you_mean
from imagegen.report.doit_results import (
    CleanedFile,
    CommandHelp,
    HelpPages,
    ListedTask,
    OptionHelp,
    TaskInfo,
    TaskList,
)
from imagegen.report.run_summary import find_source

__all__ = ["describe_commands", "describe_task", "list_tasks", "preview_clean"]


def list_tasks(tasks: Iterable[Task]) -> TaskList:
    """Return what `doit list` answers of these tasks."""
    build = current_build()
    return TaskList(tuple(ListedTask(**_describe(build, task)) for task in tasks))


def describe_task(task: Task) -> TaskInfo:
    """Return what `doit info` answers."""
    build = current_build()
    meta = (task.meta or {}).get(OURS, {})
    return TaskInfo(
        **_describe(build, task),
        needs=tuple(task.task_dep),
        request=dict(sorted(meta["request"].items())) if "request" in meta else None,
        fingerprint=meta.get("fingerprint"),
        workflow=tuple(meta.get("workflow", ())),
    )


def _describe(build: Build, task: Task) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "task": task.name,
        "kind": "other",
        "job": None,
        "source": None,
        "path": None,
        "state": None,
        "why": (),
        "is_ignored": is_ignored(task.name),
        "doc": task.doc or "",
    }
    if not (task.meta and OURS in task.meta):
        return shown
    if task.name in COMMANDS:
        return shown | {"kind": "command"}
    if planned := build.planned.get(task.name):
        verdict = planned.verdict
        why = (*map(str, verdict.reasons), *filter(None, [verdict.note]))
        path, job, source = planned.output.path, planned.output.job, find_source(build.find_place(planned.output))
        kind = "derived" if planned.output.is_derived else "image"
        of_image = {"kind": kind, "job": job, "source": source, "path": path, "state": verdict.state, "why": why}
        return shown | of_image
    return shown | _describe_job(build, task)


def _describe_job(build: Build, task: Task) -> dict[str, Any]:
    plan = next(one for one in build.plans if one.task == task.name.partition(":")[0])
    job = {"kind": "job", "job": plan.name, "source": find_source(plan.file), "path": plan.file}
    if plan.problems:  # which images it has is not known: each that is named stands for it
        return job | {"state": "broken", "why": tuple(problem.what for problem in plan.problems)}
    states = [build.planned[output.task].verdict.state for output in plan.outputs]
    return job | {"state": "stale" if "stale" in states else "kept" if "kept" in states else "fresh"}


def preview_clean(tasks: Iterable[Task]) -> Iterator[CleanedFile]:
    """Yield what cleaning does to each file of these tasks. Raises OSError."""
    from imagegen.execute.prune import preview_clean

    build = current_build()
    named = dict.fromkeys(name for task in tasks for action in task.clean_actions for name in _cleaned(action))
    for name in named:
        output = build.planned[name].output
        removal = preview_clean(build.project, output)
        yield CleanedFile(name, output.path, removal.removes, removal.said)


def _cleaned(action: object) -> Sequence[str]:
    name = getattr(action, "cleans", None)
    return [name] if isinstance(name, str) else []


def describe_commands(
    theirs: Mapping[str, type[DoitCommand]], ours: Iterable[Command], words: Sequence[str]
) -> HelpPages:
    """Return the help pages of these commands.

    Args:
        theirs: doit's own commands, by name.
        ours: those of the project.
        words: names of commands, or of what several have before a colon; none for all.

    Raises:
        InvalidCommand: a word names no command.
    """
    pages = [*(_their_help(name, one) for name, one in sorted(theirs.items())), *map(_our_help, ours)]
    found = [one for one in pages if not words or {one.name, one.name.partition(":")[0]} & {*words}]
    names = [one.name for one in pages]
    for word in words:
        if not any(word in (name, name.partition(":")[0]) for name in names):
            raise InvalidCommand(f"'{word}' is not a command{did_you_mean(word, names)}\n    doit help lists them")
    return HelpPages(tuple(found))


def _our_help(command: Command) -> CommandHelp:
    options = tuple(map(_option_help, command.options))
    return CommandHelp(command.name, False, command.summary, command.words, options, command.examples)


def _their_help(name: str, command: type[DoitCommand]) -> CommandHelp:
    options = tuple(_option_help(one) for one in command.cmd_options if one.get("long") or one.get("short"))
    return CommandHelp(name, True, command.doc_purpose, command.doc_usage, options, {})


def _option_help(option: Mapping[str, Any]) -> OptionHelp:
    long, short = option.get("long"), option.get("short")
    default = option.get("default")
    return OptionHelp(
        name=f"--{long}" if long else f"-{short}",
        short=f"-{short}" if short else "",
        value="" if option.get("type") is bool else str(option.get("metavar", "VALUE")),
        default="" if default in (None, False, "", []) else str(default),
        choices=tuple(choice for choice, _ in option.get("choices", ())),
        is_repeatable=option.get("type") is list,
        help=" ".join(str(option.get("help", "")).replace("%(default)s", str(default)).split()),
    )

"""What doit's own commands answer with `--json`: `doit list`, `info`, `clean`, `forget`, `ignore` and `help`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from imagegen.report.run_summary import Source

__all__ = [
    "DOIT_RESULTS",
    "CleanedFile",
    "CleanedTasks",
    "CommandHelp",
    "HelpPages",
    "ListedTask",
    "NamedTasks",
    "OptionHelp",
    "TaskInfo",
    "TaskList",
]

TaskKind = Literal["job", "image", "derived", "command", "other"]


@dataclass(frozen=True)
class ListedTask:
    """A task of doit.

    Attributes:
        task: name of the task, such as `portraits:mallsing`.
        kind: kind of task; `derived`: a file derived from images, such as a thumbnail or a sheet; `other`: a task
            of the dodo file's own.
        job: job that it is or belongs to; null for others.
        source: place of the output's item, or of the rule that derives it; the file of a job; null for others.
        path: path of the output's file, or of the job file; null for others.
        state: state of an output or a job; `broken` if the job cannot be read; null for others.
        why: reasons for its state and further remarks.
        is_ignored: whether `doit ignore` named it.
        doc: line in `doit list`.
    """

    task: str
    kind: TaskKind
    job: str | None
    source: Source | None
    path: str | None
    state: Literal["fresh", "kept", "stale", "broken"] | None
    why: tuple[str, ...]
    is_ignored: bool
    doc: str


@dataclass(frozen=True)
class TaskList:
    """What `doit list` shows; with `--all`, all images too.

    Attributes:
        tasks: tasks in the order of `doit list`.
    """

    tasks: tuple[ListedTask, ...]


@dataclass(frozen=True)
class TaskInfo(ListedTask):
    """What is known of one task.

    Attributes:
        needs: tasks that come before it; for a job, those of its images that have tasks.
        request: everything that decides the pixels of an image; null for others.
        fingerprint: fingerprint of the request; empty while part of it is not decided; null for others.
        workflow: how its backend generates it, one line each.
    """

    needs: tuple[str, ...]
    request: Mapping[str, Any] | None
    fingerprint: str | None
    workflow: tuple[str, ...]


@dataclass(frozen=True)
class CleanedFile:
    """What `doit clean` does to a file.

    Attributes:
        task: name of the task that the file is an output of.
        path: path of the file, relative to the project.
        is_removed: whether the file is removed, or would be.
        message: what becomes of the file, in words.
    """

    task: str
    path: str
    is_removed: bool
    message: str


@dataclass(frozen=True)
class CleanedTasks:
    """What `doit clean` removes.

    Attributes:
        is_dry_run: whether nothing was removed, because of `-n`.
        files: files of images; those of other tasks are listed on stderr.
    """

    is_dry_run: bool
    files: tuple[CleanedFile, ...]


@dataclass(frozen=True)
class NamedTasks:
    """The tasks that `doit ignore` or `doit forget` dealt with.

    Attributes:
        tasks: names of the tasks.
    """

    tasks: tuple[str, ...]


@dataclass(frozen=True)
class OptionHelp:
    """An option of a command.

    Attributes:
        name: long form such as `--json`, or the short one if there is no other.
        short: short form such as `-y`; empty if there is none.
        value: placeholder for its value; empty for a switch.
        default: default value as text; empty if there is none.
        choices: all values it accepts; empty if it accepts others too.
        is_repeatable: whether it may be given several times.
        help: what the option does.
    """

    name: str
    short: str
    value: str
    default: str
    choices: tuple[str, ...]
    is_repeatable: bool
    help: str


@dataclass(frozen=True)
class CommandHelp:
    """A command.

    Attributes:
        name: name of the command, as it follows `doit`.
        is_of_doit: whether it is doit's own command, whose options come before names.
        summary: what the command does.
        words: words that may follow besides options, such as `[JOB|IMAGE...]`; empty if there are none.
        options: options of the command.
        examples: what each example does, by its command line.
    """

    name: str
    is_of_doit: bool
    summary: str
    words: str
    options: tuple[OptionHelp, ...]
    examples: Mapping[str, str]


@dataclass(frozen=True)
class HelpPages:
    """What `doit help` shows.

    Attributes:
        commands: the named commands, or all of them if none was named.
    """

    commands: tuple[CommandHelp, ...]


DOIT_RESULTS: Mapping[str, type] = {
    "list": TaskList,
    "info": TaskInfo,
    "clean": CleanedTasks,
    "forget": NamedTasks,
    "ignore": NamedTasks,
    "help": HelpPages,
}
"""By the name of the command. Other commands of doit's have no `--json`."""

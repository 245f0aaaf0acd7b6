"""What doit's own commands answer with `--json`: `doit list`, `info`, `clean`, `forget`, `ignore` and `help`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

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

TaskKind = Literal["job", "image", "command", "other"]


@dataclass(frozen=True)
class ListedTask:
    """A task of doit.

    Attributes:
        task: its name, `portraits:mallsing`.
        kind: a job, an image or another output of it, a command, or a task of the dodo file's own (other).
        job: the job that it is or belongs to; null of others.
        path: its file: of a job, the job file; null of others.
        state: fresh, kept or stale; broken for a job that cannot be read; null of others.
        why: the reasons, and what else there is to say of its state.
        is_ignored: whether `doit ignore` named it.
        doc: its line in `doit list`.
    """

    task: str
    kind: TaskKind
    job: str | None
    path: str | None
    state: Literal["fresh", "kept", "stale", "broken"] | None
    why: tuple[str, ...]
    is_ignored: bool
    doc: str


@dataclass(frozen=True)
class TaskList:
    """What `doit list` shows; with `--all`, all images too.

    Attributes:
        tasks: in the order of `doit list`.
    """

    tasks: tuple[ListedTask, ...]


@dataclass(frozen=True)
class TaskInfo(ListedTask):
    """What is known of one task.

    Attributes:
        task: its name, `portraits:mallsing`.
        kind: a job, an image or another output of it, a command, or a task of the dodo file's own (other).
        job: the job that it is or belongs to; null of others.
        path: its file: of a job, the job file; null of others.
        state: fresh, kept or stale; broken for a job that cannot be read; null of others.
        why: the reasons, and what else there is to say of its state.
        is_ignored: whether `doit ignore` named it.
        doc: its line in `doit list`.
        needs: tasks that come before it: of a job, its images as far as they have tasks.
        request: of an image: all that decides its pixels; null of others.
        fingerprint: of the request; empty while something of it is not decided; null of others.
        workflow: what its backend says of how it generates it, a line each.
    """

    needs: tuple[str, ...]
    request: Mapping[str, Any] | None
    fingerprint: str | None
    workflow: tuple[str, ...]


@dataclass(frozen=True)
class CleanedFile:
    """What `doit clean` does to a file.

    Attributes:
        task: its output.
        path: the file.
        is_removed: whether it is removed, or would be.
        said: what becomes of it, in words.
    """

    task: str
    path: str
    is_removed: bool
    said: str


@dataclass(frozen=True)
class CleanedTasks:
    """What `doit clean` removes.

    Attributes:
        is_dry_run: whether nothing was removed: `doit clean -n`.
        files: of images; what other tasks remove is on stderr.
    """

    is_dry_run: bool
    files: tuple[CleanedFile, ...]


@dataclass(frozen=True)
class NamedTasks:
    """The tasks that `doit ignore` or `doit forget` dealt with.

    Attributes:
        tasks: their names.
    """

    tasks: tuple[str, ...]


@dataclass(frozen=True)
class OptionHelp:
    """An option of a command.

    Attributes:
        name: `--json`, or only `-n` where there is no long one.
        short: `-y`; empty if there is none.
        value: what stands for its value; empty for a switch.
        default: as text; empty if there is none.
        choices: all values there are; empty if there are others.
        is_repeatable: whether it may be given several times.
        help: what it does.
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
        name: what follows `doit`.
        is_of_doit: whether it is doit's own: its options then come before names.
        summary: what it does.
        words: what may follow it besides options, as `[JOB|IMAGE...]`; empty for nothing.
        options: that it takes.
        examples: command lines, each with what it does.
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
        commands: all of them, or those that were named.
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

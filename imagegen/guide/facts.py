"""The facts that every guide has: the commands in groups, what becomes of them, what never to do, exit codes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import imagegen.commands  # noqa: F401 - it declares them
from imagegen.commands.command import COMMANDS, Command
from imagegen.errors import BAD_INPUT, DONE, FAILED, NOT_BEGUN, STOPPED

__all__ = ["ANSWER", "EXIT_CODES", "NEVER", "OF_DOIT", "OF_IMAGEGEN", "grouped", "table"]

EXIT_CODES = {
    DONE: "done",
    FAILED: "something failed, or a check found something: an image, a file, a server",
    BAD_INPUT: "bad input: an option, a name or a setting is wrong, and nothing was done; or a job file is, and `doit` "
    "built only the other jobs",
    NOT_BEGUN: "not begun: a question needs `--yes`, another `doit` is at work here, or something is not installed",
    STOPPED: "stopped by Ctrl-C (143 by SIGTERM)",
}

ANSWER = {
    "event": "`result`",
    "version": "of this format",
    "command": "its name; `run` for images",
    "exit_code": "what the command ends with",
    "problems": "what is wrong, each with `where`, `file`, `line`, `column`, `what`, and `hint`: what to do about it",
    "result": "what it did or found; null if it did not get so far",
}
"""Fields of the last line that a command prints with `--json`."""

NEVER = {
    "Never write, move or delete the files that jobs write": "They are in `assets/` unless a job says otherwise. "
    "Change the job instead",
    "Never edit or delete `jobs/*.lock` and `jobs/*.review`": "They record what made each image, and what people "
    "decided. If one is gone or damaged, `git restore` it before you build anything",
    "Never change anything in `.imagegen/`": "It has the earlier versions of pictures, and what is needed to go on "
    "after a crash",
    "Never run `doit -a` or `doit reroll` without being asked": "They replace pictures that are as they should be",
    "Never spend money without being asked": "If the `total` of `doit why --json JOB` has a `price` above 0, or images "
    "that are `unpriced`, ask first, also before a preview. Then build with a budget: `doit budget=0.50 JOB:IMAGE`",
    "Never decide for a person": "Without being asked, answer no question with `--yes`, and raise no limit: not "
    "`budget` or `allow_outside` in `pyproject.toml`, nor `overwrite` in a job",
}
"""What never to do, and why, or what to do instead."""

OF_DOIT = {
    "doit": "build everything that is stale",
    "doit JOB · doit JOB:IMAGE · doit 'JOB:m*'": "build only that, and what it is made from",
    "doit list --all --status": "list all jobs and images; `R` marks the stale ones",
    "doit info JOB:IMAGE": "show an image's final prompt, its settings and its file",
    "doit clean JOB": "remove the images of a job, except those that somebody changed (`-n` only shows them)",
    "doit ignore JOB:IMAGE": "leave an image out of every build from now on",
    "doit forget JOB:IMAGE": "take `doit ignore` back",
    "doit help · doit help NAME": "list all commands, or explain one",
}
"""Command lines of doit's own commands."""

OF_IMAGEGEN = {
    "imagegen init": "make the current folder ready: `dodo.py`, `jobs/`, `job.schema.json`, `AGENTS.md`, git's files",
    "imagegen skill": "write what an agent has to know of imagegen as a skill file",
    "imagegen mcp": "serve an agent over MCP: see [agents.md](agents.md)",
    "imagegen unity-importer": "print the C# script that imports sheets with `index: unity` into Unity",
    "imagegen --version": "say which imagegen this is, and where it is installed",
}
"""Command lines of `imagegen`, or `python -m imagegen`."""

_GROUPS = {
    "Build": ("watch", "preview"),
    "Look": ("why", "gallery", "review", "disclosure", "doctor", "settings"),
    "Choose the right image": ("pick", "reroll", "restore", "mark", "accept", "verify", "prune"),
    "Try something without a job": ("image",),
    "Set up": (
        *("sd:setup", "sd:update", "comfyui", "comfyui:setup", "comfyui:update", "ollama:setup"),
        *("server:start", "server:status", "server:stop", "models", "models:pull", "presets", "schema"),
    ),
    "Share": ("store:push",),
}


def grouped() -> Mapping[str, list[Command]]:
    """Return the commands in groups, by their titles; those of no group come last."""
    groups = {title: [COMMANDS[name] for name in names if name in COMMANDS] for title, names in _GROUPS.items()}
    known = {command.name for commands in groups.values() for command in commands}
    others = [command for name, command in COMMANDS.items() if name not in known]
    return groups | ({"Others": others} if others else {})


def table(head: tuple[str, ...], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table in Markdown."""
    return [
        f"| {' | '.join(head)} |",
        "|" + "---|" * len(head),
        *(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows),
    ]

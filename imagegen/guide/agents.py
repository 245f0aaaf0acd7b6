"""What an agent has to know to work with a repository's images: AGENTS.md in short, and the skill file in full."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from imagegen.commands.command import COMMANDS, Command, spell
from imagegen.guide.facts import ANSWER, EXIT_CODES, NEVER, OF_DOIT, grouped, table

__all__ = ["NAME", "agents_page", "skill_page"]

NAME = "imagegen"
"""Of the skill: its folder has to be called so too."""
_WIDTH = 120
_DESCRIPTION = (
    "Change, check and build the images of a repository that has a folder jobs/ and is built with imagegen (doit). "
    "Use when asked to add or change a picture, a prompt or a setting in jobs/, to find out why an image is stale or "
    "failed, to choose between versions of a picture, or before touching any file that a job writes."
)
_INTRO = """\
The pictures here are described by job files in `jobs/` and built from them by imagegen. `doit` builds what is out of
date and leaves the rest alone. To change a picture, change its job.

Run commands in the folder of `dodo.py`. If there is no `doit`, look in the virtual environment: `.venv/bin/doit`, on
Windows `.venv\\Scripts\\doit`. With `--json`, every command prints lines of JSON; the last one is the result.

A picture that is only a label is a placeholder, which the default backend draws. It is not a fault.
"""
_SHORT = ("why", "reroll", "restore", "pick", "verify", "doctor")
"""Commands that AGENTS.md names."""
_JOB = """\
```yaml
# jobs/portraits.yaml → assets/portraits/mallsing.png and assets/portraits/yrr.png
generate: {width: 768, height: 1024, steps: 28}
prompt: {suffix: "painterly fantasy illustration"}
items:
  - name: Mallsing
    prompt: a tall figure in a green cloak
  - {name: Yrr, prompt: a small figure with a lantern, seed: 7}
```
"""


def agents_page() -> str:
    """Return the text of AGENTS.md."""
    lines = ["# Pictures in this repository", "", _INTRO, "## To change a picture", "", *_steps(), ""]
    lines += ["## Never", "", *_never(), "", "## Commands", ""]
    named = [COMMANDS[name] for name in _SHORT]
    rows = [*list(OF_DOIT.items())[:3], *((_usage(one), _lower(one.summary)) for one in named)]
    lines += [*_list(rows), "", "## When something is wrong", "", *_wrong(), ""]
    lines += _wrap(
        "More: `doit help`, `doit NAME --help`, and `python -m imagegen skill --out -`, which prints all of it."
    )
    return "\n".join(lines) + "\n"


def skill_page() -> str:
    """Return the text of the skill file."""
    lines = [
        "---",
        f"name: {NAME}",
        "description: >-",
        *textwrap.wrap(_DESCRIPTION, _WIDTH - 2, initial_indent="  ", subsequent_indent="  "),
        "---",
        "",
    ]
    lines += ["# Work with the pictures of a repository", "", _INTRO, "## A job", "", _JOB]
    lines += _wrap(
        "`doit portraits` builds this job, `doit portraits:mallsing` one picture of it. Items can also come from a "
        "Markdown page or a CSV table that the job names as `source`, and `extends` names a file in `jobs/` with keys "
        "that several jobs share. `job.schema.json` describes every key. A job that says nothing of a `backend` is "
        "built with that of `pyproject.toml`; `placeholder`, the built-in one, draws labels instead of pictures."
    )
    lines += ["", "## To change a picture", "", *_steps(), "", "## To choose between pictures", ""]
    lines += _wrap(
        "A picture follows from its prompt, its settings and its seed. `doit reroll JOB:IMAGE` takes another seed. "
        "A job with `variants: 3` makes three pictures of each item, and `doit pick JOB:IMAGE --variant 2` makes one "
        "of them the picture. Nothing is lost: `doit restore JOB:IMAGE --list` shows the earlier versions, and "
        "`doit restore JOB:IMAGE --to 3` goes back. Leave the choice to a person unless you were asked to make it."
    )
    lines += ["", "## Never", "", *_never(), "", "## When something is wrong", "", *_wrong(), ""]
    lines += ["## Results", "", "The last line of a command with `--json`:", ""]
    lines += [*table(("field", "what it is"), [(f"`{name}`", does) for name, does in ANSWER.items()]), ""]
    lines += _wrap("`doit schema --results` writes the JSON Schema of every line. Two that you need most:")
    lines += [
        "",
        *_list(
            [
                (
                    "doit why --json",
                    "`result.images` has each image that is not fresh, with its `act` (`generate`, `restore`, "
                    "`fail`, …) and its `reasons`; `result.total` has the `seconds`, the `price` and how many are "
                    "`unpriced`",
                ),
                (
                    "doit --json",
                    "`result.images` has each image that was not fresh, with its `path`, its `state` "
                    "(`generated`, `restored`, `kept`, `failed`, …) and its `problems`; `result.cost` has what was "
                    "`spent`",
                ),
            ]
        ),
        "",
        "## Commands",
        "",
        *_list(OF_DOIT.items()),
        "",
    ]
    for title, commands in grouped().items():
        lines += [f"### {title}", "", *_list([(_usage(one), _details(one)) for one in commands]), ""]
    return "\n".join(lines).rstrip() + "\n"


def _steps() -> list[str]:
    steps = [
        "Among the lines of `doit list --all`, each `JOB:IMAGE` is an image, with its file. `doit info JOB:IMAGE` "
        "shows its final prompt and settings.",
        "Edit `jobs/JOB.yaml`, or the prompt source that the job names.",
        "`doit why --json` checks all jobs, and says what is stale, why, how long it takes and what it costs. It "
        "builds nothing. If `problems` is not empty, fix those first.",
        "`doit preview JOB:IMAGE` draws it small and with few steps, apart from the images. Look at it.",
        "`doit --limit 1 JOB` builds the first stale image of the job. Look at the file.",
        "`doit` builds the rest. Then `doit why --check` ends with 0: everything is up to date.",
        "Commit the job, the images and `jobs/*.lock` together: the lock file records what made each image.",
    ]
    return [line for number, step in enumerate(steps, 1) for line in _wrap(step, f"{number}. ")]


def _never() -> list[str]:
    return [line for what, why in NEVER.items() for line in _wrap(f"**{what}.** {why}.", "- ")]


def _wrong() -> list[str]:
    lines = _wrap(
        "A message has three parts: where (`jobs/portraits.yaml:12:5`, or `JOB:IMAGE`), what happened, and below it "
        "what to do about it. With `--json` they are the `where`, `what` and `hint` of each of the `problems`. Follow "
        "the hint; don't work around it. Exit codes:"
    )
    return [*lines, "", *_list([(str(code), does) for code, does in EXIT_CODES.items()])]


def _usage(command: Command) -> str:
    return " ".join(filter(None, ["doit", command.name, command.words]))


def _details(command: Command) -> str:
    options = [f"`{spell(one)}` ({one['help']})" for one in command.options if one["long"] != "json"]
    return _lower(command.summary) + (f". Options: {'; '.join(options)}" if options else "")


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")


def _list(rows: Iterable[tuple[str, str]]) -> list[str]:
    return [line for name, does in rows for line in _wrap(f"{_code(name)}: {does}", "- ")]


def _code(words: str) -> str:
    return f"`{words}`".replace(" · ", "`, `")


def _wrap(text: str, head: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )

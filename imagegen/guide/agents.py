"""What an agent has to know to work with a repository's images: AGENTS.md in short, and the skill file in full."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from imagegen.commands.command import COMMANDS, Command, spell
from imagegen.guide.facts import ANSWER, EXIT_CODES, NEVER, OF_DOIT, grouped, table
from imagegen.run_options import RUN_OPTIONS

__all__ = ["NAME", "agents_page", "skill_page"]

NAME = "imagegen"
"""Of the skill: its folder has to be called so too."""
_WIDTH = 120
_SHORT_HELP = 90
_NO_BREAK = "\N{NO-BREAK SPACE}"
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
_SHORT = ("reroll", "pick", "verify", "doctor")
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
    lines += ["## To go back", "", *_back(), "", "## Never", "", *_never(), "", "## More commands", ""]
    named = [COMMANDS[name] for name in _SHORT]
    lines += _list((_usage(one), _lower(one.summary)) for one in named)
    lines += ["", "## When something is wrong", "", *_wrong(), ""]
    lines += _wrap(
        "More: `doit help`, `doit NAME --help`, and `.venv/bin/python -m imagegen skill --out -`, which prints it all."
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
        "of them the picture, under the item's own name. Leave the choice to a person unless you were asked to make it."
    )
    lines += ["", "## To go back", "", *_back()]
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
        *_wrap("`doit NAME --help` explains a command with all its options."),
        "",
        *_list(OF_DOIT.items()),
        "",
        *_wrap(
            f"Options of these: {_options(RUN_OPTIONS)}. `limit=N` and `budget=DOLLARS` are also settings of a run."
        ),
        "",
    ]
    for title, commands in grouped().items():
        lines += [f"### {title}", "", *_list([(_usage(one), _details(one)) for one in commands]), ""]
    return "\n".join(lines).rstrip() + "\n"


def _steps() -> list[str]:
    steps = [
        "`doit list --all JOB` shows a job's images as `JOB:IMAGE`, each with its file; `doit info --json JOB:IMAGE` "
        "one with its final prompt and settings. If an item has variants, `JOB:IMAGE` names all of them, and "
        "`JOB:IMAGE-v2` the second.",
        "Edit `jobs/JOB.yaml`, or the prompt source that the job names.",
        "`doit why --json JOB` checks the job, and says what is stale, why, how long it takes and what it costs. It "
        "builds nothing. If `problems` is not empty, fix those first.",
        "`doit preview JOB:IMAGE` draws it small and with few steps, apart from the images. Look at the file that it "
        "names. To try another size or number of steps, leave this out: a preview has its own.",
        "`doit JOB:IMAGE` builds this image alone. After a change of the whole job, too, try one first. Look at the "
        "file.",
        "`doit JOB` builds the rest of the job, `doit` that of every job. Then `doit why --check JOB` ends with 0. "
        "With `--summary summary.md`, a build writes a page with the new pictures, to show to a person.",
        "Commit the job, the images and `jobs/*.lock` together: the lock file records what made each image.",
    ]
    return [line for number, step in enumerate(steps, 1) for line in _wrap(step, f"{number}. ")]


def _back() -> list[str]:
    ways = [
        "The prompt or a setting was changed: change it back, and `doit JOB:IMAGE` takes the earlier picture from "
        "the store. That generates nothing.",
        "Only the seed is another: `doit restore JOB:IMAGE` goes back to the picture that was generated before this "
        "one, `--to 3` to another. `doit restore JOB:IMAGE --list --json` numbers all there are, each with the `path` "
        "of a file to look at: copy it to one that ends in `.png`.",
        "A file was edited by hand: `doit accept JOB:IMAGE` keeps it as the image. If the edit is to go, `doit restore "
        "JOB:IMAGE` after that goes back, and the edit stays in the list.",
    ]
    return [line for way in ways for line in _wrap(way, "- ")]


def _never() -> list[str]:
    return [line for what, why in NEVER.items() for line in _wrap(f"**{what}.** {why}.", "- ")]


def _wrong() -> list[str]:
    said = _wrap(
        "A message has three parts: where (`jobs/portraits.yaml:12:5`, or `JOB:IMAGE`), what happened, and below it "
        "what to do about it. With `--json` they are the `where`, `what` and `hint` of each of the `problems`. Follow "
        "the hint, unless it is something that you never do: then ask a person."
    )
    kept = "An image that is `kept` was changed by somebody, and nothing replaces it. Leave it so, and say that it is."
    codes = "; ".join(f"`{code}` {does}" for code, does in EXIT_CODES.items())
    return [*said, "", *_wrap(kept), "", *_wrap(f"Exit codes: {codes}.")]


def _usage(command: Command) -> str:
    return " ".join(filter(None, ["doit", command.name, command.words]))


def _details(command: Command) -> str:
    options = _options(one for one in command.options if one["long"] != "json")
    return _lower(command.summary) + (f". Options: {options}" if options else "")


def _options(options: Iterable[Mapping[str, Any]]) -> str:
    """Return options in a line, each with what it does if that is short."""
    return "; ".join(f"`{spell(one)}`" + (f" ({one['help']})" * (len(one["help"]) <= _SHORT_HELP)) for one in options)


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")


def _list(rows: Iterable[tuple[str, str]]) -> list[str]:
    return [line for name, does in rows for line in _wrap(f"{_code(name)}: {does}", "- ")]


def _code(words: str) -> str:
    return f"`{words}`".replace(" · ", "`, `")


def _wrap(text: str, head: str = "") -> list[str]:
    whole = re.sub(r"`[^`]+`", lambda code: code[0].replace(" ", _NO_BREAK), text)  # no command over two lines
    lines = textwrap.wrap(
        whole,
        _WIDTH,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_NO_BREAK, " ") for line in lines]

"""The lists of commands in the documentation against the commands that there are."""

from __future__ import annotations

import re

import imagegen.tasks  # noqa: F401 - it defines all commands
from imagegen.commands.command import COMMANDS
from tests.docs.pages import table
from tests.wheels import ROOT


def test_the_readme_describes_every_command() -> None:
    cells = " ".join(row[0] for row in table("README.md", "command"))
    described = set(re.findall(r"`(?:doit )?(?:-\S+ )*([a-z]+(?::[a-z]+)?)\b", cells))
    assert set(COMMANDS) - described == set()


def test_the_page_on_jobs_lists_the_names_that_commands_have() -> None:
    text = (ROOT / "docs/jobs.md").read_text("utf-8")
    sentence = text[text.index("It can't be the name of a doit") :].partition("\n\n")[0]
    listed = re.findall(r"`([a-z]+)`", sentence.partition("one of these")[2])
    assert listed == sorted({name.partition(":")[0] for name in COMMANDS})

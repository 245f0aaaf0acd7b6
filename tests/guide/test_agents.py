"""What agents are given to read."""

from __future__ import annotations

import re

import pytest
import yaml

from imagegen.commands.command import COMMANDS
from imagegen.guide.agents import NAME, agents_page, skill_page


def test_the_page_for_agents_is_short() -> None:
    lines = agents_page().splitlines()
    assert len(lines) <= 70
    assert max(map(len, lines)) <= 120


def test_the_skill_has_the_head_that_agents_look_for() -> None:
    _, head, text = skill_page().split("---\n", 2)
    said = yaml.safe_load(head)
    assert said["name"] == NAME
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", NAME)
    assert len(said["description"]) <= 1024, "the longest that the format allows"
    assert len(text.splitlines()) <= 500


@pytest.mark.parametrize("page", [agents_page, skill_page])
def test_every_command_that_is_named_exists_with_its_options(page: object) -> None:
    assert callable(page)
    for words in re.findall(r"`doit ([^`]+)`", page()):
        name, *rest = words.split()
        if name in COMMANDS:
            options = {one["long"] for one in COMMANDS[name].options}
            given = {word[2:].partition("=")[0] for word in rest if word.startswith("--")}
            assert given <= options | {"help"}, words


def test_the_skill_names_every_command() -> None:
    assert [name for name in COMMANDS if f"`doit {name}" not in skill_page()] == []

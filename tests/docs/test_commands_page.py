"""docs/commands.md: what tools/commands_page.py writes."""

from __future__ import annotations

from imagegen.guide.commands_page import commands_page
from imagegen.guide.facts import EXIT_CODES, OF_IMAGEGEN, grouped
from tests.docs.pages import table
from tests.wheels import ROOT


def test_the_page_is_up_to_date() -> None:
    page = (ROOT / "docs/commands.md").read_text("utf-8")
    assert page == commands_page(), "run tools/commands_page.py"


def test_every_command_has_its_group() -> None:
    assert [one.name for one in grouped().get("Others", [])] == []


def test_exit_codes_are_the_same_in_the_guide_and_in_the_page_for_programs() -> None:
    rows = table("docs/scripting.md", "code")
    assert [(str(code), meaning) for code, meaning in EXIT_CODES.items()] == [(code, meaning) for code, meaning in rows]


def test_every_command_of_imagegen_itself_is_there() -> None:
    from imagegen.__main__ import _parser

    listed = {line.split()[1] for line in OF_IMAGEGEN}
    (commands,) = (one.choices for one in _parser()._subparsers._group_actions)  # type: ignore[union-attr]
    assert commands is not None
    assert listed == {*commands, "--version"}

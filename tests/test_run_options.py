"""Our options of doit's own commands, wherever they stand among names."""

from __future__ import annotations

import pytest

from imagegen.run_options import is_json_asked, put_first

NAMES = frozenset({"pick", "server"})


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("portraits --json", "--json portraits"),
        ("-a portraits --limit 3 icons --json", "--limit 3 --json -a portraits icons"),
        ("portraits --limit=3 --summary s.md", "--limit=3 --summary s.md portraits"),
        ("portraits pick icons:rope --json", "portraits pick icons:rope --json"),
        ("--summary pick portraits --json", "--summary pick --json portraits"),
        ("server:start --json", "server:start --json"),
        ("portraits -- --json", "portraits -- --json"),
        ("portraits --foo --limit", "portraits --foo --limit"),
    ],
)
def test_they_come_first_but_for_those_of_a_command_of_ours(words: str, expected: str) -> None:
    assert put_first("run", words.split(), NAMES) == expected.split()


@pytest.mark.parametrize(
    ("words", "is_asked"),
    [("--json", True), ("why portraits --jso", True), ("-- --json", False), ("-j --jason --", False)],
)
def test_json_is_asked_for_as_getopt_reads_it(words: str, is_asked: bool) -> None:
    assert is_json_asked(words.split()) is is_asked


def test_each_command_of_doit_has_its_own() -> None:
    assert put_first("list", ["portraits", "--limit", "3", "--json"], NAMES) == ["--json", "portraits", "--limit", "3"]
    assert put_first("dumpdb", ["x", "--json"], NAMES) == ["x", "--json"]

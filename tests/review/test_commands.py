"""Which commands a page may ask for, and what becomes of everything else."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.review.commands import read_command

__all__ = []

KNOWN = frozenset(
    {"portraits", "portraits:yrr", "portraits:mallsing", "tall one:a b", "öde:ärger", "-a", "x=y:z", "a\nb"}
)


def asked(command: Any, *images: Any, **options: Any) -> Any:
    return read_command({"command": command, "images": list(images), **options}, KNOWN)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (("build", "portraits:yrr", {}), "doit portraits:yrr"),
        (("build", {}), "doit"),
        (("build", "portraits", {"always": True}), "doit -a portraits"),
        (("build", "portraits", {"always": False}), "doit portraits"),
        (("build", "tall one:a b", "öde:ärger", {}), "doit 'tall one:a b' 'öde:ärger'"),
        (("pick", "portraits:yrr", {"variant": 0}), "doit pick portraits:yrr --variant 0"),
        (("reroll", "portraits:yrr", {"count": 4}), "doit reroll portraits:yrr --count 4"),
        (("reroll", "portraits", {"count": 2, "yes": True}), "doit reroll portraits --count 2 --yes"),
        (("accept", "portraits:yrr", "portraits:yrr", {}), "doit accept portraits:yrr"),
        (("accept", "portraits:yrr", {"undo": True}), "doit accept portraits:yrr --undo"),
        (("restore", "portraits:yrr", {}), "doit restore portraits:yrr"),
        (("restore", "portraits:yrr", {"to": "3"}), "doit restore portraits:yrr --to 3"),
        (("mark", "portraits:yrr", {"as": "keep"}), "doit mark portraits:yrr --as keep"),
        (("mark", "portraits:yrr", {"note": "a = b"}), "doit mark portraits:yrr '--note=a = b'"),
    ],
)
def test_what_a_page_asks_for_is_what_one_types(body: tuple[Any, ...], line: str) -> None:
    *words, options = body
    commands = asked(*words, **options)
    assert [shlex.join(["doit", *words]) for words in commands] == [line]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({}, "there is no command None"),
        ({"command": "prune", "images": ["portraits"]}, "there is no command 'prune'"),
        ({"command": ["build"], "images": []}, "there is no command ['build']"),
        ({"command": "reroll"}, "it names no images"),
        ({"command": "reroll", "images": []}, "it names no images"),
        ({"command": "build", "images": "portraits"}, "it names no images"),
        ({"command": "build", "images": [["portraits"]]}, "it names no images"),
        ({"command": "build", "images": [7]}, "it names no images"),
        ({"command": "build", "images": ["portraits:okka"]}, "there is no image or job 'portraits:okka' any more"),
        ({"command": "build", "images": ["portraits:*"]}, "there is no image or job 'portraits:*' any more"),
        ({"command": "build", "images": ["-a"]}, "'-a' cannot be written on a command line: rename it"),
        ({"command": "build", "images": ["x=y:z"]}, "'x=y:z' cannot be written on a command line: rename it"),
        ({"command": "build", "images": ["a\nb"]}, "'a\\nb' cannot be written on a command line: rename it"),
        ({"command": "build", "images": [], "budget": "none"}, "it has no option 'budget'"),
        ({"command": "build", "images": [], "always": "yes"}, "always is not valid: 'yes'"),
        ({"command": "pick", "images": ["portraits:yrr"], "variant": -1}, "variant is not valid: -1"),
        ({"command": "pick", "images": ["portraits:yrr"], "variant": True}, "variant is not valid: True"),
        ({"command": "pick", "images": ["portraits:yrr"], "variant": "1"}, "variant is not valid: '1'"),
        (
            {"command": "pick", "images": ["portraits:yrr", "portraits:mallsing"]},
            "it names 2 images, and the command takes one",
        ),
        ({"command": "reroll", "images": ["portraits"], "count": 0}, "count is not valid: 0"),
        ({"command": "reroll", "images": ["portraits"], "count": 33}, "count is not valid: 33"),
        ({"command": "reroll", "images": ["portraits"], "count": 2.0}, "count is not valid: 2.0"),
        ({"command": "restore", "images": ["portraits:yrr"], "to": "-1"}, "to is not valid: '-1'"),
        ({"command": "restore", "images": ["portraits:yrr"], "to": 2}, "to is not valid: 2"),
        ({"command": "mark", "images": ["portraits:yrr"], "as": "great"}, "as is not valid: 'great'"),
        ({"command": "mark", "images": ["portraits:yrr"], "note": "a\x1bb"}, "note is not valid: 'a\\x1bb'"),
    ],
)
def test_anything_else_is_refused(body: dict[str, Any], problem: str) -> None:
    assert read_command(body, KNOWN) == problem


def test_a_long_selection_becomes_several_command_lines_that_every_system_takes() -> None:
    images = [f"portraits:a-rather-long-name-of-an-image-{number}" for number in range(2000)]
    commands = read_command({"command": "reroll", "images": images, "count": 2}, frozenset(images))
    assert not isinstance(commands, str)
    assert [name for words in commands for name in words[1:-2]] == images
    assert all(words[0] == "reroll" and words[-2:] == ["--count", "2"] for words in commands)
    assert 1 < len(commands) < 5
    assert all(len(shlex.join(["doit", *words])) < 25_000 for words in commands)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["command", "images", "count", "to", "variant", "always", "x"]), _VALUES))
def test_whatever_is_sent_it_is_refused_in_words(body: dict[str, Any]) -> None:
    assert isinstance(read_command(body, KNOWN), str)

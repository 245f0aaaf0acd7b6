"""A source that git left with a conflict in it is refused by that name, and never generated from."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagegen.config.document import CONFLICT, decode
from imagegen.config.settings import read_settings
from imagegen.errors import ImagegenError

OURS, BASE, SPLIT, THEIRS = "<<<<<<< HEAD", "||||||| 1a2b3c4", "=======", ">>>>>>> their-branch"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"a\n{OURS}\nb\n{SPLIT}\nc\n{THEIRS}\n", 2),
        (f"{OURS}\nb\n{BASE}\nx\n{SPLIT}\nc\n{THEIRS}\n", 1),
        (f"a\r\nb\r\n{OURS}\r\nb\r\n", 3),
        (f"a\n    {OURS}\n", 2),
        (f"a\nb\nc\n{THEIRS}", 4),
        ("a\n<<<<<<<\nb\n", 2),
        ("<<<<<<< Updated upstream\n", 1),
        ("<<<<<<< .mine\n", 1),
        (f"a\r\n{BASE}\r\nb\r\n", 2),
    ],
)
@pytest.mark.parametrize("name", ["jobs/a.yaml", "jobs/a.json", "k.md", "k.csv", "jobs/wildcards/hair.txt"])
def test_merge_conflict_markers_are_refused_at_their_line(name: str, text: str, line: int) -> None:
    with pytest.raises(ImagegenError) as caught:
        decode(name, text.encode())
    (problem,) = caught.value.problems
    assert problem.where.startswith(f"{name}:{line}:")
    assert problem.what == CONFLICT
    assert "choose one side" in problem.hint


@pytest.mark.parametrize(
    "text", ["Kin\n=======\n", "a <<<<<<< b\n", "<<<<<<<<<<<<\n", ">>> x\n", "| a | b |\n|||||||\n", "x >>>>>>> y\n"]
)
def test_what_only_looks_like_a_marker_is_read(text: str) -> None:
    assert decode("k.md", text.encode()) == text


@pytest.mark.parametrize("name", ["jobs/a.yaml", "jobs/a.json", "k.csv", "jobs/wildcards/hair.txt"])
def test_the_line_between_the_sides_is_a_marker_where_it_underlines_no_heading(name: str) -> None:
    with pytest.raises(ImagegenError, match=f"{name}:2:1: {CONFLICT}"):
        decode(name, b"a\n=======\nb\n")


def test_markers_in_pyproject_are_refused_by_that_name(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[tool.imagegen]\n{OURS}\nbackend = "ollama"\n{SPLIT}\n{THEIRS}\n')
    with pytest.raises(ImagegenError, match=f"pyproject.toml:2:1: {CONFLICT}"):
        read_settings(tmp_path, {}, {})

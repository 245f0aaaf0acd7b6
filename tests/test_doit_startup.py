"""What stops doit before it reads dodo.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from doit.cmdparse import CmdParseError
from doit.doit_cmd import DoitMain

from imagegen.doit_startup import explain
from tests.project_folder import ProjectFolder


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[tool.imagegen\n", "pyproject.toml:1:15: not valid TOML: "),
        (b'[project]\nname = "caf\xe9"\n', "pyproject.toml:2: not UTF-8: byte 0xe9\n    save it as UTF-8"),
        (
            b"[a]\n<<<<<<< ours\nx = 1\n=======\nx = 2\n>>>>>>> theirs\n",
            "pyproject.toml:2:1: has unresolved merge-conflict markers",
        ),
        (b"[tool]\ndoit = 3\n", "pyproject.toml: [tool.doit] is not as doit expects it: "),
    ],
    ids=["TOML", "encoding", "conflict", "doit's table"],
)
def test_a_pyproject_that_doit_cannot_read_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    (tmp_path / "pyproject.toml").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - doit raises what its libraries raise
        DoitMain().run(["list"])
    assert str(explain(caught.value)).startswith(message)


def test_an_option_of_doit_with_a_value_it_does_not_take_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "doit.cfg").write_text("[GLOBAL]\nverbosity = abc\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CmdParseError) as caught:
        DoitMain().run(["run"])
    message = "doit.cfg or [tool.doit] of pyproject.toml: verbosity: invalid literal for int() with base 10: 'abc'"
    assert str(explain(caught.value)).startswith(message)


def test_a_folder_in_the_place_of_pyproject_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError) as caught:  # noqa: PT011 - another one on Windows
        DoitMain().run(["list"])
    assert str(explain(caught.value)).startswith("pyproject.toml: cannot be read: ")


def test_an_empty_word_is_explained() -> None:
    with pytest.raises(IndexError) as caught:
        DoitMain().process_args(["image", "--prompt", ""])
    assert "an argument is empty" in str(explain(caught.value))


def test_a_fault_of_another_kind_is_left_alone() -> None:
    assert explain(IndexError("of somebody else's")) is None


def test_doit_says_it_in_words_and_exits_with_the_code_of_bad_input(project: ProjectFolder) -> None:
    run = project.doit("image", "--prompt", "")
    assert (run.code, "an argument is empty" in run.err) == (2, True)
    project.write("pyproject.toml", "[tool.imagegen\n")
    run = project.doit("why", "--check")
    assert (run.code, "pyproject.toml:1:15: not valid TOML" in run.err) == (2, True)


@pytest.fixture
def project(tmp_path: Path) -> ProjectFolder:
    return ProjectFolder(tmp_path / "project")

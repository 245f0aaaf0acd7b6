"""The command `imagegen`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from imagegen import DISTRIBUTION, __version__
from imagegen.__main__ import main
from imagegen.errors import BAD_INPUT, NOT_BEGUN


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_main(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        code = main(arguments)
    except SystemExit as end:
        code = int(str(end.code))
    out, err = capsys.readouterr()
    return code, out, err


def test_the_importer_for_unity_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run_main(capsys, "unity-importer")
    assert (code, err) == (0, "")
    assert "class SheetImporter : AssetPostprocessor" in out
    assert out.isascii(), "any shell can write it to a file"


def test_init_has_an_aligned_line_a_file_and_the_next_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run_main(capsys, "init")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert [line.split()[:2] for line in lines[:6]] == [
        ["created", name]
        for name in ("dodo.py", "jobs/icons.yaml", "job.schema.json", "AGENTS.md", ".gitattributes", ".gitignore")
    ]
    assert {line.index("  ", 9) > 0 for line in lines[:6]} == {True}
    assert "This folder is not in a git repository yet. Run git init" in out
    assert lines[-1].startswith("Next: ")
    assert lines[-1].endswith("doit")
    assert sorted(path.name for path in folder.iterdir()) == [".gitattributes", ".gitignore", "AGENTS.md", "dodo.py", "job.schema.json", "jobs"]  # fmt: skip


def test_a_second_init_says_that_there_is_nothing_to_add(capsys: pytest.CaptureFixture[str]) -> None:
    run_main(capsys, "init")
    code, out, _ = run_main(capsys, "init")
    assert code == 0
    assert [line.split("  ")[0] for line in out.splitlines()[:6]] == ["already there"] * 6
    assert out.splitlines()[-1].startswith("Nothing to add. Next: ")


def test_the_current_folder_can_be_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(capsys, "init", ".")[0] == 0
    assert (folder / "dodo.py").exists()


def test_init_says_the_line_for_another_dodo_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "dodo.py").write_text("x = 1\n")
    code, out, _ = run_main(capsys, "init")
    assert code == 0
    assert (
        "left     dodo.py          it doesn't import imagegen's tasks: add the line: from imagegen.tasks import *"
        in out
    )
    assert "Next: correct dodo.py as above, then: " in out


def test_init_says_what_git_ignores(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    (folder / ".gitignore").write_text("*.lock\n*.json")
    _, out, _ = run_main(capsys, "init")
    assert "jobs/*.lock: git ignores lock files by the rule '*.lock' (.gitignore:1)" in out
    assert "    add this line at the end of .gitignore: !jobs/*.lock" in out
    assert "job.schema.json: git ignores it by the rule '*.json' (.gitignore:2)" in out


def test_init_says_as_doctor_does_that_a_clone_without_images_and_lock_files_generates_its_own(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    (folder / ".gitignore").write_text("*.lock\nassets/\n")
    _, out, _ = run_main(capsys, "init")
    assert "and images too: a clone generates its own" in out
    assert "can't tell" not in out


@pytest.mark.parametrize("dodo", ["from imagegen.tasks import *\n", "x = 1\n", "def x(:\n"])
def test_init_below_another_project_says_so(folder: Path, capsys: pytest.CaptureFixture[str], dodo: str, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    (folder / "dodo.py").write_text(dodo)
    (folder / "a/b").mkdir(parents=True)
    monkeypatch.chdir("a/b")
    code, out, _ = run_main(capsys, "init")
    assert code == 0
    assert ("../../dodo.py is a project already" in out) == ("imagegen" in dodo)


def test_what_is_in_the_way_ends_in_an_error_and_nothing_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    (folder / "jobs").touch()
    assert run_main(capsys, "init")[::2] == (1, "jobs: is a file, but job files go into a folder of that name\n    rename the file\n")  # fmt: skip
    assert os.listdir(folder) == ["jobs"]  # noqa: PTH208


def test_the_home_folder_is_made_a_project_only_where_it_is_a_repository(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    code, _, err = run_main(capsys, "init")
    assert (code, list(folder.iterdir())) == (2, [])
    assert "is your home folder" in err
    (folder / ".git").mkdir()
    assert run_main(capsys, "init")[0] == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "usage: imagegen"),
        (["inti"], "unknown command 'inti'; did you mean 'init'?"),
        (["doctor", "--json"], "unknown command 'doctor'; the commands that build images are doit's: doit help"),
        (["init", "a b"], "init works in the current folder. For 'a b': mkdir -p 'a b' && cd 'a b' && imagegen init"),
        (["init", "--force"], "unrecognized arguments: --force"),
        (["--vershun"], "unrecognized arguments: --vershun"),
    ],
)
def test_a_wrong_command_line_ends_with_what_to_type(folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: str) -> None:  # fmt: skip
    code, out, err = run_main(capsys, *words)
    assert (code, out) == (2, "")
    assert expected in err
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("words", [["--help"], ["help"], ["init", "--help"]])
def test_help_has_an_example(folder: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    code, out, _ = run_main(capsys, *words)
    assert code == 0
    assert "example: " in out
    assert list(folder.iterdir()) == []


def test_a_skill_is_written_where_agents_look_and_never_over_another(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, text, _ = run_main(capsys, "skill", "--out", "-")
    paths = [folder / ".agents/skills/imagegen/SKILL.md", folder / ".claude/skills/imagegen/SKILL.md", folder / "x.md"]
    for words, path in zip(([], ["--out=.claude/skills"], ["--out=x.md"]), paths, strict=True):
        assert run_main(capsys, "skill", *words) == (0, f"written  {path.relative_to(folder)}\n", "")
        assert path.read_text("utf-8") == text
    assert run_main(capsys, "skill")[:2] == (0, f"already there  {paths[0].relative_to(folder)}\n")
    paths[0].write_text("by hand")
    code, _, err = run_main(capsys, "skill")
    assert (code, paths[0].read_text()) == (3, "by hand")
    assert "is there already, and says something else\n    python -m imagegen skill --force" in err
    assert run_main(capsys, "skill", "--force")[0] == 0
    assert paths[0].read_text("utf-8") == text
    home, game = folder / "home", folder / "game"
    skills = home / "skills"
    game.mkdir()
    monkeypatch.chdir(game)
    code, _, err = run_main(capsys, "skill", f"--out={skills}")
    assert (code, f"there is no folder {home}" in err) == (BAD_INPUT, True)
    home.mkdir()
    assert run_main(capsys, "skill", f"--out={skills}")[0] == 0
    assert (skills / "imagegen/SKILL.md").read_text("utf-8") == text


def test_the_version_has_the_distribution_and_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run_main(capsys, "--version")
    assert code == 0
    assert out.startswith(f"imagegen {__version__} ({DISTRIBUTION}")
    assert out.endswith(f", in {Path(sys.modules['imagegen'].__path__[0])})\n")


def test_the_module_can_be_run_and_its_output_cut_off(tmp_path: Path) -> None:
    command = f"'{sys.executable}' -m imagegen init | head -1; cat dodo.py"
    run = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)  # noqa: S602
    assert run.stdout.startswith("created  dodo.py")
    assert (run.stderr, "import *" in run.stdout) == ("", True)


def test_a_server_for_agents_says_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run_main(capsys, "mcp", "--project", "nowhere")
    assert (code, out) == (BAD_INPUT, "")
    assert err.startswith("--project: there is no folder nowhere")
    for name in {"mcp", *(name for name in sys.modules if name.startswith("mcp."))}:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "imagegen.agents.server", raising=False)
    code, out, err = run_main(capsys, "mcp")
    assert (code, out) == (NOT_BEGUN, "")
    assert "needs the package 'mcp'" in err
    assert "-m pip install 'mcp>=2'" in err


@pytest.mark.parametrize(("options", "allows_build"), [([], False), (["--allow-build"], True)])
def test_a_server_for_agents_acts_only_if_allowed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], allows_build: bool
) -> None:
    served = []
    monkeypatch.setattr("imagegen.agents.server.serve", lambda *given, **named: served.append((given, named)))
    assert main(["mcp", *options]) == 0
    assert served == [((folder.resolve(),), {"allows_build": allows_build})]

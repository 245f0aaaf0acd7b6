"""`doit mark`: what is marked, what is refused, and how two people's marks come together."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from imagegen.backends.placeholder import PlaceholderBackend
from imagegen.commands.build import Build
from imagegen.commands.command import COMMANDS
from imagegen.commands.command_line import read_invocation
from imagegen.plan.remark import MARKS
from imagegen.starter import ATTRIBUTE_LINES
from imagegen.tasks.commands import run_and_report
from tests.project_folder import SMALL_JOB, ProjectFolder

SHEET = {"derive": {"small": {"width": 16}}, "sheet": {"columns": 2}}


class Marked(ProjectFolder):
    """A project that is built, and `doit mark` in this process."""

    def __init__(self, root: Path, **job: Any) -> None:
        super().__init__(root, {**SMALL_JOB, "backend": "placeholder"})
        self.backends["placeholder"] = PlaceholderBackend
        if job.pop("is_new", True):
            self.job(**job)
            self.build()

    def run(self, *words: str) -> tuple[str, bool]:
        """What it prints, and whether it succeeds."""
        invocation = read_invocation(["mark", *words])
        (call,) = invocation.calls
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            for problem in invocation.problems:
                print(problem)
            options = {one["name"]: one["default"] for one in call.command.options} | call.options
            failed = invocation.problems or run_and_report(
                Build(self.root, invocation), call.command, {**options, "words": call.names}
            )
        return printed.getvalue(), not failed

    def mark(self, *words: str) -> list[str]:
        """What it prints if it succeeds."""
        said, is_done = self.run(*words)
        assert is_done, said
        return said.splitlines()

    def listed(self, *words: str) -> list[list[str]]:
        """What it lists: mark, image and note; without the times."""
        return [re.split("  (?:mark )?20", line)[0].split(None, 2) for line in self.run(*words)[0].splitlines()]

    def refused(self, *words: str) -> str:
        """What it says; nothing is written."""
        before = {path.name: path.read_bytes() for path in self.root.glob("jobs/*.review")}
        said, is_done = self.run(*words)
        assert not is_done
        assert {path.name: path.read_bytes() for path in self.root.glob("jobs/*.review")} == before
        return said


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Marked:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "no-name"))
    return Marked(tmp_path / "project")


def test_marks_and_notes_are_listed_until_they_are_taken_back(project: Marked) -> None:
    assert project.listed() == [["no", "marks", "and no notes"]]
    assert project.mark("portraits:mallsing", "--as", "keep", "--note", "a = b\nc") == [
        "marked     portraits:mallsing  keep",
        "noted      portraits:mallsing  a = b c",
    ]
    assert project.mark("portraits", "--as=later") == [
        "marked     portraits:mallsing  later",
        "marked     portraits:yrr  later",
        "2 changed",
    ]
    assert project.listed() == [["later", "portraits:mallsing", "a = b c"], ["later", "portraits:yrr"]]
    assert project.doit().out.splitlines()[0].startswith("2 fresh, nothing to do"), "no stray file, nothing stale"
    assert project.mark("portraits:mallsing", "--as=none", "--note=") == [
        "unmarked   portraits:mallsing",
        "unnoted    portraits:mallsing",
    ]
    assert project.mark("portraits", "--as=none") == ["unmarked   portraits:yrr", "1 changed, 1 as before"]
    assert project.listed() == [["no", "marks", "and no notes"]]


def test_a_mark_is_about_the_picture_that_was_looked_at(project: Marked) -> None:
    project.mark("portraits:mallsing", "--as=keep")
    before = project.image("mallsing").read_bytes()
    project.touch_up("mallsing")
    assert "(mark for another version)" in project.run()[0]
    assert project.listed() == [["(keep)", "portraits:mallsing"]]
    project.image("mallsing").write_bytes(before)
    assert "another version" not in project.run()[0]


def test_a_pick_keeps_marks_and_a_sheet_has_its_own(tmp_path: Path) -> None:
    project = Marked(tmp_path / "project", variants=2)
    project.job("icons", **SHEET)
    project.build()
    project.mark("portraits:yrr-v2", "--as=keep")
    project.mark("portraits:yrr-v1", "--as=reject")
    assert project.mark("icons", "--as=later")[-1] == "3 changed", "two images and their sheet"
    project.pick("yrr", 2)
    assert project.listed("portraits") == [["keep", "portraits:yrr"]]
    said = project.refused("icons:yrr:small", "--as=keep")
    assert "icons:yrr:small: it is derived, and has no mark of its own" in said
    assert "doit mark icons:yrr …" in said


def test_an_image_that_is_not_there_can_have_a_note_and_no_mark(project: Marked) -> None:
    project.image("yrr").unlink()
    said = project.refused("portraits:yrr", "portraits:mallsing", "--as=keep")
    assert "portraits:yrr: there is no image assets/portraits/yrr.png to mark" in said
    assert project.mark("portraits", "--as=keep")[-1] == "1 changed, 1 without an image"
    project.mark("portraits:yrr", "--note=taller")
    project.build()
    assert project.listed() == [["keep", "portraits:mallsing"], ["-", "portraits:yrr", "taller"]]


def test_what_is_wrong_is_said_before_anything_is_written(project: Marked) -> None:
    project.mark("portraits:yrr", "--as=keep")
    assert "did you mean 'portraits:yrr'?" in project.refused("portraits:yr", "portraits:mallsing", "--as=keep")
    assert "expected one of keep, reject, later, none" in project.refused("portraits:yrr", "--as=kept")
    assert "name what to mark" in project.refused("--as=keep")
    assert "its picture has changed since it was looked at" in project.refused(
        "portraits", "--as=reject", "--seen=00000000"
    )
    for seen in (",", "1", "0000000g"):
        assert "does not begin a sha256" in project.refused("portraits:yrr", "--as=reject", f"--seen={seen}")
    assert "at most 4000 are kept" in project.refused("portraits:yrr", f"--note={'x' * 4001}")
    project.write("jobs/portraits.review", "<<<<<<< ours\n")
    assert "jobs/portraits.review:1: has unresolved merge-conflict markers" in project.refused("portraits", "--as=keep")
    assert "jobs/portraits.review:1" in project.refused()


def test_a_git_lfs_pointer_stands_for_its_picture(project: Marked) -> None:
    (line, _) = project.lines()
    project.mark("portraits:mallsing", "--as=keep")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{line['sha256']}\nsize {line['size']}\n"
    project.image("mallsing").write_text(pointer)
    assert project.listed() == [["keep", "portraits:mallsing"]]
    assert project.mark("portraits:mallsing", "--as=keep") == ["0 changed, 1 as before"]


def test_two_peoples_marks_and_notes_come_together(project: Marked, tmp_path: Path) -> None:
    project.git("init", "-q", "-b", "main")
    project.write(".gitattributes", "\n".join(ATTRIBUTE_LINES) + "\n")
    project.write(".gitignore", ".imagegen/\n.doit.db*\n")
    project.git("config", "user.name", "Anna")
    project.mark("portraits", "--as=later")
    project.git("add", "--all")
    project.git("commit", "-qm", "work")
    project.git("clone", "-q", ".", str(tmp_path / "clone"))
    other = Marked(tmp_path / "clone", is_new=False)
    project.mark("portraits:mallsing", "--as=keep")
    project.mark("portraits:yrr", "--as=reject")
    other.mark("portraits:mallsing", "--note", "lighter eyes")
    other.mark("portraits:yrr", "--as=none")
    for person in (project, other):
        person.git("commit", "-qam", "marks")
    for person, from_ in ((project, other), (other, project)):
        person.git("fetch", "-q", str(from_.root), "main")
        person.git("merge", "-q", "--no-edit", "FETCH_HEAD")
        assert person.listed() == [["keep", "portraits:mallsing", "lighter eyes"]]
        assert person.git("status", "--porcelain") == ""
    assert '"by":"Anna"' in (project.root / "jobs/portraits.review").read_text("utf-8")
    assert other.mark("portraits:mallsing", "--as=keep", "--note", "lighter eyes") == ["0 changed, 1 as before"]
    assert other.git("status", "--porcelain") == "", "nothing was said that was not known"


def test_the_marks_of_a_job_that_is_gone_are_reported_and_left_alone(project: Marked) -> None:
    project.mark("portraits:mallsing", "--as=keep")
    shutil.move(project.root / "jobs/portraits.yaml", project.root / "jobs/people.yaml")
    said = project.doit().out
    assert "git mv jobs/portraits.lock jobs/people.lock && git mv jobs/portraits.review jobs/people.review" in said
    shutil.move(project.root / "jobs/portraits.lock", project.root / "jobs/people.lock")
    for said in (project.run()[0], project.doit("doctor").out):
        assert "there is no job 'portraits', so nobody sees these marks and notes" in said
        assert "rename this file too" in said
    assert project.doit("prune", "--yes").code == 0
    assert (project.root / "jobs/portraits.review").exists()


def test_a_mark_of_an_earlier_picture_names_it(tmp_path: Path) -> None:
    marked = Marked(tmp_path)
    earlier = "5f" * 32
    marked.mark("portraits:yrr", "portraits:mallsing", "--of", earlier, "--of", "none", "--as", "keep", "--by=Ada")
    text = marked.root.joinpath("jobs/portraits.review").read_text("utf-8")
    assert f'"mark":"keep","sha256":"{earlier}"' in text.replace(": ", ":").replace(", ", ",")
    assert text.count("Ada") == 2
    assert [line[0] for line in marked.listed()] == ["keep", "(keep)"]
    marked.mark("portraits:mallsing", "--note", "taller", "--by=agent")
    [line] = [one for one in marked.run()[0].splitlines() if "taller" in one]
    assert re.search(r"  mark 20\S+ \S+ Ada, note 20\S+ \S+ agent", line)
    assert "there are 2 images and 1 --of" in marked.refused(
        "portraits:yrr", "portraits:mallsing", "--of", earlier, "--note=x"
    )
    assert "is not a sha256" in marked.refused("portraits:yrr", "--of", "5f0c1a2b", "--as", "keep")


def test_there_is_a_value_of_as_for_each_mark() -> None:
    choices = next(one["choices"] for one in COMMANDS["mark"].options if one["long"] == "as")
    assert [value for value, _ in choices] == [*MARKS, "none"]

"""Files that steps name: looked at once, compared by their content, and never a pointer's."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imagegen.execute.events import Event, Outcome
from imagegen.execute.run import run
from imagegen.images import steps
from imagegen.project.inputs import Inputs
from tests.project_folder import SMALL_JOB, ProjectFolder

PALETTE = "GIMP Palette\nName: two\n255 0 0\n0 255 0\n"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"


@pytest.fixture
def project(tmp_path: Path) -> ProjectFolder:
    project = ProjectFolder(tmp_path, SMALL_JOB)
    project.write("art/p.gpl", PALETTE)
    ring = Image.new("RGBA", (32, 32))
    ring.paste("gold", (0, 0, 32, 4))
    ring.save(project.root / "art/ring.png")
    return project


def token(*steps: Any) -> dict[str, Any]:
    return {"token": {"steps": list(steps)}, "other": {"steps": list(steps)}}


def test_a_file_is_checked_once_and_read_again_only_if_it_changed(
    project: ProjectFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    check = steps.check_file

    def note(name: str, *others: Any) -> None:
        checked.append(name)
        check(name, *others)

    monkeypatch.setattr(steps, "check_file", note)
    for name in ("one", "two", "three"):
        project.job(name, derive=token({"frame": "art/ring.png"}, {"quantise": "art/p.gpl"}, {"mask": "art/ring.png"}))
    for path in (project.root / "art").iterdir():
        os.utime(path, (10**9, 10**9))
    found = project.project()
    outputs = [output for plan in found.plans() for output in plan.outputs]
    assert len(outputs) == 18
    assert sorted(checked) == ["frame", "mask", "quantise"]
    found.hashes.save(found.temporary)
    monkeypatch.setattr("imagegen.state.hashes._read_state", None)
    again = [output for plan in project.project().plans() for output in plan.outputs]
    assert again == outputs


def test_what_is_wrong_with_a_file_is_said_of_each_step_that_names_it(
    project: ProjectFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("art/ring.png", "not an image")
    project.job("one", derive=token({"frame": "art/ring.png"}))
    (plan,) = project.project().plans()
    assert [problem.what.partition(":")[0] for problem in plan.problems] == [
        "derive.token.steps[0].frame",
        "derive.other.steps[0].frame",
    ]
    monkeypatch.setattr("imagegen.project.step_files.MAX_BYTES", 8)
    monkeypatch.setattr(Inputs, "read_for_section", None)  # it isn't read to find out
    (plan,) = project.project().plans()
    assert "art/ring.png: is larger than 0 MiB" in plan.problems[0].what


def test_line_ends_of_a_palette_decide_nothing(project: ProjectFolder) -> None:
    project.job(derive=token({"quantise": "art/p.gpl"}))
    project.build()
    (project.root / "art/p.gpl").write_bytes(PALETTE.replace("\n", "\r\n").encode())
    assert project.build() == {}
    for name in ("token", "other"):  # of the same content: one could be restored from the other
        (project.root / f"assets/portraits/yrr-{name}.png").unlink()
    project.project().store.folder.rename(project.root / "gone")
    found = project.build()
    assert "derived" in (found["portraits:yrr:token"], found["portraits:yrr:other"])
    project.write("art/p.gpl", PALETTE + "0 0 255\n")
    found = project.build()
    assert "derived" in (found["portraits:yrr:token"], found["portraits:yrr:other"])


def test_of_a_pointer_nothing_becomes_stale_and_only_what_needs_its_content_fails(project: ProjectFolder) -> None:
    project.job(derive=token({"frame": "art/ring.png"}, {"quantise": "art/p.gpl"}))
    project.build()
    for path in (project.root / "art").iterdir():
        data = path.read_bytes()
        path.write_text(POINTER.format(hashlib.sha256(data).hexdigest(), len(data)))
    assert project.build() == {}
    project.job(
        derive=token({"frame": "art/ring.png"}, {"quantise": "art/p.gpl"})
        | {"thumb": {"width": 8}, "new": {"steps": [{"frame": "art/ring.png"}]}}
    )
    found = project.build()
    assert {task for task, state in found.items() if state == "failed"} == {
        "portraits:mallsing:new",
        "portraits:yrr:new",
    }
    assert found["portraits:yrr:thumb"] == "derived"
    problem = project.problems["portraits:yrr:new"]
    assert problem.what == "art/ring.png is a Git LFS pointer, whose content is not here"
    assert problem.hint == "git lfs pull"


def test_a_file_whose_name_has_split_letters_is_found(project: ProjectFolder) -> None:
    name = unicodedata.normalize("NFD", "art/r\u00e9ng.png")
    (project.root / "art/ring.png").rename(project.root / name)
    project.job(derive=token({"frame": unicodedata.normalize("NFC", name)}))
    found = project.build()
    assert "derived" in (found["portraits:yrr:token"], found["portraits:yrr:other"])
    assert project.build() == {}


def test_a_file_that_goes_during_the_run_is_named(project: ProjectFolder) -> None:
    project.job(derive=token({"frame": "art/ring.png"}))
    in_run = project.project()
    outputs = project.outputs(in_run)
    (project.root / "art/ring.png").unlink()
    events: list[Event] = []
    run(in_run, [*outputs.values()], events.append)
    found = [event.problem for event in events if isinstance(event, Outcome) and event.problem]
    assert {problem.what for problem in found} == {"art/ring.png cannot be read: No such file or directory"}

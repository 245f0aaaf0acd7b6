"""Derived files and sheets: made of images with no backend, recorded, protected, and never out of step."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.project_folder import DODO, ProjectFolder

DERIVE = {"thumb": {"width": 32, "format": "webp"}}
ALL = ["portraits:mallsing", "portraits:okka", "portraits:yrr"]
THUMBS = [f"{task}:thumb" for task in ALL]
SHEET = ["portraits:sheet", "portraits:sheet:index"]


def items(**prompts: str) -> list[dict[str, Any]]:
    found = {"Mallsing": "a tall figure", "Yrr": "a small figure", "Okka": "a broad figure"} | prompts
    return [{"name": name, "prompt": prompt} for name, prompt in found.items()]


def built(project: ProjectFolder, **keys: Any) -> ProjectFolder:
    project.build_job(derive=DERIVE, **keys)
    return project


def test_one_command_makes_all_of_it_and_the_next_one_nothing(project: ProjectFolder) -> None:
    run = project.build_job(derive=DERIVE, sheet={"cell": 32})
    assert (run.tasks("generated"), run.tasks("derived")) == (ALL, [*THUMBS[:2], *SHEET, THUMBS[2]])
    with Image.open(project.image("yrr-thumb", ".webp")) as image:
        assert (image.format, image.size) == ("WEBP", (32, 32))
    index = json.loads(project.image("sheet", ".json").read_text("utf-8"))
    assert list(index["frames"]) == ["mallsing", "yrr", "okka"]
    assert {line["output"] for line in project.lines()} >= {"yrr", "yrr:thumb", "sheet", "sheet:index"}
    assert "8 fresh, nothing to do" in project.doit().closing
    assert "8 fresh, nothing to do" in project.doit("portraits:*").closing
    assert "3 images with scripted and 5 derived files: 8 fresh" in project.doit("doctor").out
    out = project.doit("list", "--all", "--status").out
    assert "U portraits:yrr:thumb " in out
    assert "U portraits:sheet " in out
    project.job(items=items(Yrr="something else"), derive=DERIVE, sheet={"cell": 32})
    out = project.doit("list", "--all", "--status").out
    assert "R portraits:yrr:thumb " in out
    assert "U portraits:okka:thumb " in out
    run = project.doit()
    assert run.tasks("generated") == ["portraits:yrr"]
    assert run.tasks("derived") == [*SHEET, "portraits:yrr:thumb"]
    assert run.out.count("(portraits:yrr changed)") == 3
    assert "8 fresh, nothing to do" in project.doit().closing


@pytest.mark.long
def test_images_derived_files_and_sheets_may_be_avif(project: ProjectFolder) -> None:
    derive = {"thumb": {"width": 16}, "web": {"format": "webp"}}
    run = project.build_job(output={"format": "avif"}, derive=derive, sheet={"cell": 16, "format": "avif"})
    assert len(run.tasks("derived")) == 8
    for name, size in (("yrr", (64, 64)), ("yrr-thumb", (16, 16)), ("sheet", (32, 32))):
        with Image.open(project.image(name, ".avif")) as image:
            assert (image.format, image.size) == ("AVIF", size)
    assert project.doit("verify").out.startswith("11 intact")
    project.image("yrr", ".avif").unlink()
    assert project.doit().tasks("restored") == ["portraits:yrr"]
    assert "11 fresh, nothing to do" in project.doit().closing
    project.build_job(output={"format": "avif", "quality": 60}, derive=derive, sheet={"cell": 16, "format": "avif"})
    assert project.doit("gallery").code == 0


@pytest.mark.parametrize(
    ("selection", "generated", "derived"),
    [
        (["portraits:yrr"], ["portraits:yrr"], []),
        (["portraits:yrr:thumb"], ["portraits:yrr"], ["portraits:yrr:thumb"]),
        pytest.param(["portraits:yrr*"], ["portraits:yrr"], ["portraits:yrr:thumb"], marks=pytest.mark.long),
        pytest.param(
            ["assets/portraits/yrr-thumb.webp"], ["portraits:yrr"], ["portraits:yrr:thumb"], marks=pytest.mark.long
        ),
        (["portraits:sheet"], ALL, SHEET),
    ],
)
@pytest.mark.parametrize(
    "how",
    [[], pytest.param(["-r", "json"], marks=pytest.mark.long), pytest.param(["-n", "2", "-r", "json"], marks=pytest.mark.long)],
    ids=["ours", "json", "workers"],
)  # fmt: skip
def test_a_task_builds_what_it_is_made_from_and_no_more(
    project: ProjectFolder, selection: list[str], generated: list[str], derived: list[str], how: list[str]
) -> None:
    project.job(derive=DERIVE, sheet={})
    run = project.doit("run", *how, *selection)
    assert run.code == 0, run.out + run.err
    assert sorted(f"portraits:{name.lower()}" for name in project.calls()) == generated
    assert (
        sorted(f"portraits:{line['output']}" for line in project.lines() if line["request"]["backend"] == "derive")
        == derived
    )


def test_a_clone_is_fresh_and_what_it_misses_is_made_of_its_image(project: ProjectFolder) -> None:
    built(project, sheet={"cell": 32})
    lock = (project.root / "jobs/portraits.lock").read_bytes()
    thumb = project.image("yrr-thumb", ".webp").read_bytes()
    shutil.rmtree(project.root / ".imagegen")
    assert "8 fresh, nothing to do" in project.doit().closing
    assert (project.root / "jobs/portraits.lock").read_bytes() == lock
    project.image("yrr-thumb", ".webp").unlink()
    project.image("sheet", ".json").unlink()
    calls = len(project.calls())
    run = project.doit()
    assert run.tasks("derived") == ["portraits:sheet:index", "portraits:yrr:thumb"]
    assert len(project.calls()) == calls
    assert project.image("yrr-thumb", ".webp").read_bytes() == thumb
    # and where it was made here, it is just put back
    project.image("yrr-thumb", ".webp").unlink()
    assert project.doit().tasks("restored") == ["portraits:yrr:thumb"]


def test_a_change_and_back_is_restored_and_leaves_git_clean(project: ProjectFolder) -> None:
    built(project)
    lock = (project.root / "jobs/portraits.lock").read_bytes()
    project.job(derive={"thumb": {"width": 16, "format": "webp"}})
    run = project.doit()
    assert (run.tasks("generated"), run.tasks("derived")) == ([], THUMBS)
    assert "width 32 → 16" in run.out
    project.job(derive=DERIVE)
    run = project.doit()
    assert (run.tasks("derived"), run.tasks("restored")) == ([], THUMBS)
    assert (project.root / "jobs/portraits.lock").read_bytes() == lock


def test_a_hand_edit_is_kept_and_never_written_over(project: ProjectFolder) -> None:
    built(project)
    thumb = project.image("yrr-thumb", ".webp")
    thumb.write_bytes(b"touched up")
    run = project.doit()
    assert (run.code, run.tasks("kept")) == (0, ["portraits:yrr:thumb"])
    project.job(items=items(Yrr="something else"), derive=DERIVE)
    run = project.doit()
    assert (run.code, run.tasks("generated"), run.tasks("failed")) == (1, ["portraits:yrr"], ["portraits:yrr:thumb"])
    assert "assets/portraits/yrr-thumb.webp is not replaced: changed since it was generated" in run.out
    assert thumb.read_bytes() == b"touched up"
    assert (
        "keep assets/portraits/yrr-thumb.webp: changed since it was generated, by hand or by git"
        in project.doit("clean", "portraits").out
    )
    assert sorted(file.name for file in thumb.parent.iterdir()) == ["yrr-thumb.webp"]


def test_a_touched_up_image_is_kept_and_its_thumbnail_shows_it(project: ProjectFolder) -> None:
    built(project)
    Image.new("RGB", (64, 64), "red").save(project.image("yrr"))
    run = project.doit()
    assert (run.code, run.tasks("kept"), run.tasks("derived")) == (0, ["portraits:yrr"], ["portraits:yrr:thumb"])
    with Image.open(project.image("yrr-thumb", ".webp")) as image:
        assert image.convert("RGB").getpixel((9, 9))[0] > 240


def test_what_follows_a_failed_image_fails_with_one_line_and_the_others_go_on(project: ProjectFolder) -> None:
    project.script(acts={"Yrr": [{"error": "no luck"}], "Okka": [{"error": "no luck"}]})
    project.job(derive=DERIVE, sheet={})
    run = project.doit()
    assert run.code != 0
    assert (run.tasks("generated"), run.tasks("derived")) == (["portraits:mallsing"], ["portraits:mallsing:thumb"])
    assert "portraits:yrr:thumb, portraits:okka:thumb: not built, because its image failed" in run.out
    assert run.out.count("portraits:sheet, portraits:sheet:index: not built, because portraits:yrr failed") == 1
    assert "1 generated, 1 derived, 6 failed" in run.closing
    assert "Unmet" not in run.out + run.err


@pytest.mark.long
def test_an_image_that_is_too_small_is_told_and_not_blown_up(project: ProjectFolder) -> None:
    project.job(derive={"big": {"width": 512}})
    run = project.doit()
    assert (run.code, len(run.tasks("generated")), len(run.tasks("failed"))) == (1, 3, 3)
    assert "the image is 64×64, too small for 512 pixels" in run.out
    assert "enlarge: true" in run.out
    project.job(derive={"big": {"width": 512, "enlarge": True}})
    assert "3 derived, 3 fresh" in project.doit().closing


def test_what_would_be_one_file_is_refused(project: ProjectFolder) -> None:
    project.job(items=[*items(), {"name": "Yrr thumb", "prompt": "x"}], derive={"thumb": {"width": 32}})
    run = project.doit()
    assert run.code != 0
    assert "'portraits:yrr-thumb' and 'portraits:yrr:thumb' would both be written to" in run.out
    assert not (project.root / "assets").exists()


def test_what_an_entry_leaves_behind_is_told(project: ProjectFolder) -> None:
    built(project)
    project.job(derive={"small": {"width": 32, "format": "webp"}})
    run = project.doit()
    assert run.tasks("restored") == [f"{task}:small" for task in ALL]
    assert "3 earlier images no longer belong to any item and stay: assets/portraits/mallsing-thumb.webp" in run.out


def test_with_a_all_is_made_anew_and_only_what_is_named(project: ProjectFolder) -> None:
    built(project)
    calls = len(project.calls())
    run = project.doit("-a", "portraits:yrr:thumb")
    assert (run.tasks("generated"), run.tasks("derived")) == ([], ["portraits:yrr:thumb"])
    run = project.doit("-a")
    assert (run.tasks("generated"), run.tasks("derived")) == (ALL, THUMBS)
    assert len(project.calls()) == calls + 3


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="/proc says which files are open")
@pytest.mark.parametrize("place", [pytest.param(p, marks=[] if p == 8 else pytest.mark.long) for p in range(12)])
def test_a_kill_between_any_two_steps_loses_nothing(project: ProjectFolder, place: int) -> None:
    """Of the last twelve steps: those of the only thumbnail, and of folding the lock file."""
    shutil.copy(Path(__file__).with_name("faults.py"), project.root / "faults.py")
    project.write("dodo.py", f"import faults  # noqa: F401\n{DODO}")
    project.build_job(items=items()[:1])
    project.job(items=items()[:1], derive=DERIVE)
    trace = project.root / "trace"
    assert project.doit(FAULT_TRACE=str(trace)).code == 0
    steps = trace.read_text().splitlines()
    at = max(number for number, line in enumerate(steps, start=1) if line.endswith("jobs/portraits.lock")) - place
    thumb = project.image("mallsing-thumb", ".webp")
    data, lock = thumb.read_bytes(), (project.root / "jobs/portraits.lock").read_bytes()
    project.doit("clean", "portraits:mallsing:thumb")
    shutil.rmtree(project.root / ".imagegen/store")
    process = project.start(FAULT_AT=str(at), FAULT_HOW="before")
    process.communicate(timeout=60)
    assert process.returncode == -9
    run = project.doit()
    assert run.code == 0, run.out + run.err
    assert thumb.read_bytes() == data
    found = [{**line, "time": "", "seconds": 0} for line in project.lines()]
    assert found == [{**json.loads(line), "time": "", "seconds": 0} for line in lock.splitlines()]
    assert len(project.calls()) == 1

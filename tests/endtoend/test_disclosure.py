"""`doit disclosure`, by the real doit."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from imagegen.errors import BAD_INPUT, FAILED
from tests.project_folder import ProjectFolder, picture


def test_a_project_without_images_says_that_none_is_recorded(project: ProjectFolder) -> None:
    project.job()
    run = project.doit("disclosure")
    said = "No image is recorded: there are no lock files (jobs/*.lock)."
    assert (run.code, run.out.splitlines()[-1]) == (0, said)
    assert not (project.root / ".imagegen/store").exists()
    assert "no image is recorded: there are no lock files (jobs/*.lock)" in project.doit("disclosure", "gone").out


def test_without_its_lock_file_the_files_of_a_job_are_of_unknown_making(project: ProjectFolder) -> None:
    project.build_job()
    project.job("others")
    project.doit("others")
    (project.root / "jobs/portraits.lock").unlink()
    page = project.doit("disclosure").out
    assert "\n- `assets/portraits/okka.png`\n" in page
    assert "imagegen does not know how 3 images were made (in `assets/portraits`)." in page
    assert "| portraits | 3 | 0 | 0 | 3 | 0 |" in page
    (project.root / "jobs/others.lock").unlink()
    assert "images that imagegen recorded" not in project.doit("disclosure").out


def test_it_states_what_was_made_and_what_was_touched(project: ProjectFolder) -> None:
    project.script(digest="abcd")
    project.job(derive={"thumb": {"width": 16}}, scripted={"model": "m2", "script": "script.json"})
    assert project.doit().code == 0
    project.doit("image", "--prompt", "a raven", "--backend", "placeholder", "--width", "32", "--height", "32")
    project.image("yrr").write_bytes(picture("blue"))
    (project.root / "jobs/portraits.yaml").unlink()  # what was made stays recorded
    run = project.doit("disclosure", "--format", "json")
    found = json.loads(run.out)
    assert run.code == 0
    assert found["jobs"] == ["image", "portraits"]
    assert {key: count for key, count in found["summary"].items() if count} == {
        "images": 7, "generated": 3, "derived_from_generated": 3, "without_ai": 1, "by_ai": 6, "by_hand": 1,
        "marked": 5, "mark_unknown": 1, "licence_unknown": 3,
    }  # fmt: skip
    statement = project.doit("disclosure", "--json").result["statement"]
    images = [{"image": image.pop("task"), **image} for image in statement["images"]]
    assert {"imagegen_disclosure": 1, **statement, "images": images} == found
    (model,) = found["models"]
    assert (model["model"], model["digest"], model["licence"], model["images"]) == ("m2", "abcd", None, 3)
    assert "`assets/portraits/yrr.png`: generated, then changed or replaced\n" in project.doit("disclosure").out
    assert "Nothing" not in project.doit("disclosure", "portraits").out


def test_pictures_that_are_already_there_are_of_unknown_making(project: ProjectFolder) -> None:
    (project.root / "art").mkdir()
    for name in ("map", "key"):
        (project.root / f"art/{name}.png").write_bytes(picture("blue"))
    project.write(
        "jobs/scans.yaml",
        "items: {folder: art/*.png}\nderive: {small: {width: 8}}\nsheet: {layout: packed, of: small, index: [css]}\n",
    )
    assert project.doit("scans").code == 0
    found = json.loads(project.doit("disclosure", "--format=json").out)
    assert {key: count for key, count in found["summary"].items() if count} == {
        "images": 3, "unknown_origin": 3, "from_files": 3
    }  # fmt: skip
    origins = {image["image"]: image["origins"] for image in found["images"]}
    assert origins["scans:map:small"] == ["scans:map"]
    assert origins["scans:sheet"] == ["scans:key:small", "scans:map:small"]


def test_it_is_written_into_a_file_and_into_no_other(project: ProjectFolder, tmp_path: Path) -> None:
    project.build_job()
    words = ("disclosure", "--format=csv", "--out=ai.csv")
    assert project.doit(*words).out == "ai.csv: written\n"
    assert project.doit(*words).out == "ai.csv: up to date\n"
    text = (project.root / "ai.csv").read_bytes()
    assert text.startswith(b"\xef\xbb\xbfimage,path,")
    assert len(list(csv.reader(io.StringIO(text.decode("utf-8-sig"))))) == 4
    project.write("notes.md", "# mine\n")
    run = project.doit("disclosure", "--out=notes.md")
    assert run.code == BAD_INPUT
    assert "notes.md: was not written by doit disclosure" in run.out
    assert (project.root / "notes.md").read_text() == "# mine\n"
    run = project.doit("disclosure", "--out=notes.md/AI.md")
    assert run.code == FAILED
    assert "cannot write: " in run.out
    run = project.doit("disclosure", "--out=../nowhere/AI.md")
    assert (run.code, "../nowhere/AI.md: there is no folder" in run.out) == (BAD_INPUT, True)
    assert not (project.root.parent / "nowhere").exists()
    assert project.doit("disclosure", f"--out={tmp_path}/AI.md").code == 0
    assert (tmp_path / "AI.md").exists()
    run = project.doit("disclosure", "--format=json", "--out=jobs/ai.json")
    assert "jobs/ai.json: would be read as a job" in run.out


def test_what_it_cannot_say_is_an_error_with_its_place(project: ProjectFolder) -> None:
    project.build_job()
    run = project.doit("disclosure", "portrait")
    assert (run.code != 0, "'portrait' is not a job; did you mean 'portraits'?" in run.out) == (True, True)
    lock = project.root / "jobs/portraits.lock"
    lock.write_text("{}\n" + lock.read_text())
    run = project.doit("disclosure", "--out=AI.md")
    assert run.code != 0
    assert "jobs/portraits.lock:1" in run.out
    assert "Traceback" not in run.out + run.err
    assert not (project.root / "AI.md").exists()

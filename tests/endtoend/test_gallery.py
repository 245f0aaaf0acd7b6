"""`doit gallery`, by the real doit; tests/report/gallery has its parts, and the page in a browser."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.marks import long
from tests.project_folder import DODO, ProjectFolder

PAGE = "assets/gallery/index.html"


def pictures(project: ProjectFolder) -> dict[str, dict[str, Any]]:
    page = (project.root / PAGE).read_text("utf-8")
    found = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    return {picture["task"]: picture for picture in found}


def test_it_is_written_where_something_changed_and_fresh_else(project: ProjectFolder) -> None:
    project.job()
    run = project.doit("gallery")
    assert (run.code, run.out.split("\n")[0]) == (0, f"written    {PAGE}  3 images")
    assert {picture["state"] for picture in pictures(project).values()} == {"missing"}
    assert project.doit("portraits:yrr", "gallery").out.count(f"written    {PAGE}  3 images, 1 new thumbnail") == 1
    assert pictures(project)["portraits:yrr"]["state"] == "fresh"
    before = (project.root / PAGE).stat().st_ino
    assert project.doit("gallery").out == f"fresh      {PAGE}  3 images\n"
    assert (project.root / PAGE).stat().st_ino == before
    project.doit()
    assert "nothing to do" in project.doit().closing, "the gallery is no part of a plain doit"


def test_what_failed_in_the_last_run_is_failed_until_it_is_made(project: ProjectFolder) -> None:
    project.script(acts={"Yrr": [{"error": "out of memory"}]})
    project.job()
    project.doit()
    project.doit("gallery")
    picture = pictures(project)["portraits:yrr"]
    assert (picture["state"], picture["failure"][0]) == ("failed", "out of memory")
    assert pictures(project)["portraits:okka"]["state"] == "fresh"
    project.script()
    project.doit()
    project.doit("gallery")
    assert {picture["state"] for picture in pictures(project).values()} == {"fresh"}


def test_without_jinja2_it_says_how_to_have_it_and_leaves_the_earlier_one(project: ProjectFolder) -> None:
    project.write("none/jinja2.py", "raise ModuleNotFoundError(name='jinja2')\n")
    project.build_job()
    path = {"PYTHONPATH": f"{project.root / 'none'}:{Path(__file__).parents[2]}"}
    run = project.doit("gallery", **path)
    assert run.code != 0
    assert "not installed" in run.out
    assert "-m pip install jinja2" in run.out
    assert not (project.root / PAGE).exists()
    project.doit("gallery")
    assert project.doit("gallery", **path).out.startswith("fresh "), "where nothing changed it is not needed"


def test_a_job_that_is_broken_is_shown_so_and_settings_that_are_wrong_are_refused(project: ProjectFolder) -> None:
    project.build_job()
    project.write("jobs/portraits.yaml", "items: [{name: Yrr, promt: x}]\n")
    run = project.doit("gallery")
    assert (run.code, run.out.splitlines()[1:]) == (
        0,
        ["1 broken job, shown as last recorded: portraits  (doit doctor)"],
    )
    assert "did you mean &#39;prompt&#39;?" in (project.root / PAGE).read_text("utf-8")
    project.write("pyproject.toml", "[tool.imagegen]\nbackend = 3\n")
    before = (project.root / PAGE).read_bytes()
    run = project.doit("gallery")
    assert run.code != 0
    assert "backend" in run.out
    assert (project.root / PAGE).read_bytes() == before


def test_without_a_job_there_is_nothing_to_show(project: ProjectFolder) -> None:
    run = project.doit("gallery")
    assert run.code == 0
    assert "no job files in jobs" in run.out
    assert not (project.root / "assets").exists()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="/proc says which files are open")
@pytest.mark.parametrize("places", [1, long(3)])
def test_a_kill_at_any_step_leaves_a_gallery_that_is_whole(tmp_path: Path, places: int) -> None:
    first = ProjectFolder(tmp_path / "first")
    shutil.copy(Path(__file__).with_name("faults.py"), first.root / "faults.py")
    first.write("dodo.py", f"import faults  # noqa: F401\n{DODO}")
    first.build_job(items=[{"name": name, "prompt": f"a {name}"} for name in ("Mallsing", "Yrr")])
    first.doit("gallery")
    # one image changed: its thumbnail comes, the page is replaced, the thumbnail before it goes
    first.job(items=[{"name": "Mallsing", "prompt": "another"}, {"name": "Yrr", "prompt": "a Yrr"}])
    first.doit()
    shutil.copytree(first.root, tmp_path / "before")

    trace = tmp_path / "trace"
    assert first.doit("gallery", FAULT_TRACE=str(trace)).out.startswith("written")
    steps = trace.read_text().splitlines()
    ours = [number for number, step in enumerate(steps, start=1) if "gallery" in step]
    for what in ("thumbs", "earlier", "index.html", "unlink assets/gallery/thumbs"):
        assert any(what in steps[number - 1] for number in ours), steps
    page = max(number for number in ours if "index.html" in steps[number - 1])

    last = max(number for number in ours if steps[number - 1].startswith("unlink assets"))
    for number in (page, ours[1], last)[:places]:
        second = ProjectFolder(tmp_path / f"killed at {number}")
        shutil.rmtree(second.root)
        shutil.copytree(tmp_path / "before", second.root)
        process = second.start("gallery", FAULT_AT=str(number), FAULT_HOW="half")
        process.communicate(timeout=60)
        assert process.returncode == -9, steps[number - 1]
        whole(second)
        assert second.doit("gallery").code == 0
        assert (second.root / PAGE).read_bytes() == (first.root / PAGE).read_bytes()
        assert files(second) == files(first)


def whole(project: ProjectFolder) -> None:
    """The page ends where it should, and every image that it names is there and sound."""
    page = (project.root / PAGE).read_text("utf-8")
    assert page.endswith("</html>\n")
    names = set(re.findall(r'(?:thumbs|earlier)/[^"]+', page))
    assert len(names) >= 2
    for name in names:
        with Image.open(project.root / "assets/gallery" / name) as image:
            image.load()


def files(project: ProjectFolder) -> set[str]:
    folder = project.root / "assets/gallery"
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}

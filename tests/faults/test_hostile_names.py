"""Names that mean harm: every output lies in its folder, is portable and its own; or the job is refused with a line."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.backends.placeholder import PlaceholderBackend
from imagegen.config.settings import Settings
from imagegen.plan.naming import fold_path
from imagegen.project import JobPlan, Project
from tests.faults.names import HOSTILE, SEPARATE
from tests.faults.portable import file_key, same_files, why_not_portable
from tests.marks import long

ITEM = {"name": "A", "prompt": "a"}


def planned(root: Path, **jobs: dict[str, Any]) -> list[JobPlan]:
    (root / "jobs").mkdir(exist_ok=True)
    for name, job in jobs.items():
        (root / f"jobs/{name}.json").write_text(json.dumps(job), "utf-8")
    return Project(root, Settings(), {"placeholder": PlaceholderBackend}).plans()


def check(root: Path, plans: list[JobPlan]) -> None:
    """What holds of every project, whatever its jobs say."""
    paths = [output.path for plan in plans for output in plan.outputs]
    assert [why for path in paths if (why := why_not_portable(path))] == []
    assert same_files(paths) == []
    assert all(Path(os.path.realpath(root / path)).is_relative_to(os.path.realpath(root)) for path in paths)
    for plan in plans:
        assert bool(plan.outputs) != bool(plan.problems)
        for problem in plan.problems:
            assert problem.where.startswith("jobs/")
            message = str(problem)
            assert len(message) < 5000
            assert not [sign for sign in message if sign not in "\n\t" and unicodedata.category(sign) == "Cc"], ascii(
                message
            )


@pytest.mark.parametrize("place", ["item", "value", "dir", "name", "thumb", "sheet"])
def test_a_hostile_name_makes_a_portable_path_or_is_refused_in_its_place(tmp_path: Path, place: str) -> None:
    for name in HOSTILE:
        job: dict[str, Any] = {"items": [ITEM]}
        if place == "item":
            job["items"] = [{"name": name, "prompt": "a"}]
        elif place == "value":
            job |= {"items": [{"name": "A", "prompt": "{m}"}], "matrix": {"m": {name: "x"}}}
        elif place == "dir":
            job["output"] = {"dir": f"assets/{name}"}
        elif place == "name":
            job["output"] = {"name": name}
        elif place == "thumb":
            job["derive"] = {"thumb": {"width": 8, "dir": f"thumbs/{name}/x"}}
        else:
            job["sheet"] = {"dir": name}
        check(tmp_path, planned(tmp_path, job=job))


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("a\u200bb", "has U+200B in it, which is invisible"),
        ("\u202egnp", "'\\u202egnp' has U+202E in it"),
        (".g\u200cit", "has U+200C in it"),
        ("雪" * 90, "has a name of 270 bytes in it"),
        ("GIT~1", "may be the short name that Windows gives another file"),
        ("com¹", "Windows reserves the name 'com¹' for a device"),
        ("nul .x", "Windows reserves the name 'nul .x' for a device"),
        (".GIT/hooks", "is not for images"),
        ("/".join(["long"] * 60), "has 305 characters, at most 240 are portable"),
        ("a\nb", "has the control character 0x0a in it"),
    ],
)
def test_what_no_folder_can_be_called_everywhere_is_told(tmp_path: Path, folder: str, message: str) -> None:
    (plan,) = planned(tmp_path, job={"items": [ITEM], "output": {"dir": folder}})
    assert message in plan.problems[0].what
    assert plan.problems[0].where.startswith("jobs/job.json:1:")


@pytest.mark.parametrize(("one", "other"), SEPARATE)
def test_names_that_some_system_takes_for_one_are_never_two_files(tmp_path: Path, one: str, other: str) -> None:
    check(tmp_path, planned(tmp_path, job={"items": [{"name": name, "prompt": "a"} for name in (one, other)]}))
    jobs = {f"j{at}": {"items": [ITEM], "output": {"dir": f"assets/{name}"}} for at, name in enumerate((one, other))}
    check(tmp_path, planned(tmp_path, **jobs))


def test_no_output_lies_in_another_ones_file(tmp_path: Path) -> None:
    one = {"items": [ITEM], "output": {"dir": "x"}}
    first, second = planned(tmp_path, one=one, two={"items": [ITEM], "output": {"dir": "x/A.PNG/y"}})
    assert first.outputs
    assert second.problems[0].what == "'two:a' would be written to x/A.PNG/y/a.png, but x/a.png is the file of 'one:a'"


@pytest.mark.parametrize("folder", ["jobs", "JOBS/", "jobs/deeper", "link"])
def test_no_index_of_a_sheet_is_written_where_it_would_be_a_job(tmp_path: Path, folder: str) -> None:
    (tmp_path / "link").symlink_to("jobs")
    (plan,) = planned(tmp_path, job={"items": [ITEM], "sheet": {"dir": folder, "name": "x"}})
    assert "would be read as a job" in plan.problems[0].what


@pytest.mark.parametrize(
    "file", ["\x1b[2Jx.yaml", "a\nb.json", "\udcff.yaml", *map(long, ("\u202ex.yml", "-rf.yaml", "é.json"))]
)
def test_a_job_file_of_a_hostile_name_is_refused_and_steers_no_terminal(tmp_path: Path, file: str) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / file).write_text("{}")
    (plan,) = planned(tmp_path)
    assert "is not a valid job name" in plan.problems[0].what
    for text in (plan.task, plan.doc, str(plan.problems[0])):
        assert text.encode("utf-8")
        assert not {"\x1b", "\u202e"} & set(text)
    assert "\n" not in plan.task + plan.doc


def test_no_description_steers_the_terminal_of_doit_list(tmp_path: Path) -> None:
    (plan,) = planned(tmp_path, job={"items": [ITEM], "description": "a\u202e b\nc\td"})
    assert plan.doc == "a\\u202e b c d"


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_two_paths_that_are_one_file_somewhere_have_one_key(path: str) -> None:
    forms = [unicodedata.normalize(form, path) for form in ("NFC", "NFD")]
    assert len({fold_path(one) for one in (path, *forms)}) == 1
    assert file_key(path) == file_key(fold_path(path))

"""A broken job: told with its place, generates nothing, holds up no other, and never shows a traceback."""

from __future__ import annotations

import pytest

from tests.marks import long
from tests.project_folder import ProjectFolder

BROKEN = "generate:\n  stepz: 20\n  cfg: high\nitems:\n  - {name: A, prompt: a}\n"


def test_every_problem_of_every_job_is_told_at_once_and_the_others_are_built(project: ProjectFolder) -> None:
    project.job()
    project.write("jobs/bad.yaml", BROKEN)
    project.write("jobs/worse.json", '{"items": [}')
    run = project.doit()
    assert run.code != 0
    assert "jobs/bad.yaml:2:3: generate.stepz: unknown key; did you mean 'steps'?\n" in run.out
    assert "jobs/bad.yaml:3:3: generate.cfg: expected a number, found the text 'high'\n" in run.out
    assert "jobs/worse.json:1:12: not valid JSON" in run.out
    assert len(run.tasks("generated")) == 3
    assert run.closing.startswith("3 generated, 2 broken jobs")


def test_list_and_doctor_work_and_show_it(project: ProjectFolder) -> None:
    project.write("jobs/bad.yaml", BROKEN)
    listed = project.doit("list")
    assert (listed.code, "BROKEN: 2 problems in jobs/bad.yaml" in listed.out) == (2, True)
    doctor = project.doit("doctor")
    assert doctor.code != 0
    assert "generate.stepz" in doctor.out


def test_clean_says_that_it_leaves_a_broken_job_alone_and_cleans_the_others(project: ProjectFolder) -> None:
    project.build_job()
    project.write("jobs/bad.yaml", BROKEN)
    assert "keep every image of jobs/bad.yaml: the job is broken" in project.doit("clean", "-n", "bad").out
    run = project.doit("clean")
    assert run.code == 2
    assert "jobs/bad.yaml:2:3: generate.stepz: unknown key; did you mean 'steps'?\n" in run.err
    assert run.err.endswith("jobs/bad.yaml is broken, and none of its images was removed: fix it, then clean again\n")
    assert not project.image("yrr").exists()
    assert not (project.root / "jobs/portraits.lock").exists()


@pytest.mark.parametrize("selection", [["bad"], ["bad:a"]])
def test_naming_a_broken_job_or_an_image_of_it_says_what_is_wrong(project: ProjectFolder, selection: list[str]) -> None:
    project.job()
    project.write("jobs/bad.yaml", BROKEN)
    run = project.doit(*selection)
    assert run.code != 0
    assert "generate.stepz" in run.out
    assert run.tasks("generated") == []


@pytest.mark.parametrize(
    "name", ["run", "gallery", *map(long, ("list", "clean", "doctor", "image", "schema", "settings", "help"))]
)
def test_a_job_named_like_a_command_or_task_is_refused(project: ProjectFolder, name: str) -> None:
    project.job()
    project.job(name)
    run = project.doit()
    assert run.code != 0
    assert f"jobs/{name}.yaml: '{name}' is the name of a command or task" in run.out
    assert len(run.tasks("generated")) == 3
    assert f"jobs/{name}.yaml" in project.doit("list").out


@pytest.mark.parametrize("file", ["a=b.yaml", *map(long, ("a b.yaml", "a:b.yml", "ä.json"))])
def test_a_job_whose_name_doit_cannot_take_is_refused(project: ProjectFolder, file: str) -> None:
    project.job()
    project.write(f"jobs/{file}", "{}")
    run = project.doit()
    assert (run.code != 0, "is not a valid job name" in run.out) == (True, True)
    assert project.doit("list").code == 2


def test_two_files_of_one_name_are_refused(project: ProjectFolder) -> None:
    project.job()
    (project.root / "jobs/portraits.yml").write_bytes((project.root / "jobs/portraits.yaml").read_bytes())
    run = project.doit()
    assert "another job file has the name 'portraits' too" in run.out
    assert len(run.tasks("generated")) == 3


def test_two_jobs_with_one_output_are_refused_also_by_case(project: ProjectFolder) -> None:
    project.job(output={"dir": "assets/One"})
    project.job("zebra", output={"dir": "assets/one"})
    run = project.doit()
    assert "'portraits:yrr' and 'zebra:yrr' would both be written to assets/one/yrr.png" in run.out
    assert len(run.tasks("generated")) == 3


def test_output_folders_outside_the_project_need_leave(project: ProjectFolder) -> None:
    project.job(output={"dir": "../art"})
    run = project.doit()
    assert "jobs/portraits.yaml" in run.out
    assert "output.dir: '../art' is outside the project" in run.out
    assert not (project.root.parent / "art").exists()
    project.write("pyproject.toml", '[tool.imagegen]\nallow_outside = ["../art"]\n')
    assert len(project.doit().tasks("generated")) == 3
    assert (project.root.parent / "art/yrr.png").exists()
    assert "3 fresh" in project.doit().closing


def test_a_symlink_out_of_the_project_needs_leave(project: ProjectFolder) -> None:
    (project.root.parent / "art").mkdir()
    (project.root / "assets").symlink_to(project.root.parent / "art")
    project.job()
    assert "is outside the project" in project.doit().out
    assert list((project.root.parent / "art").iterdir()) == []


def test_the_problems_of_a_prompt_source_are_told_in_its_own_lines(project: ProjectFolder) -> None:
    project.write("docs/kin.md", "## A\n\n```\na\n```\n\n```yaml\nstepz: 3\nwidth: 12\n```\n\n## B\n\ntext\n")
    project.job(source="docs/kin.md", items=[{"name": "C", "prompt": "c"}])
    run = project.doit()
    assert "docs/kin.md:12:1: 'B' has no prompt" in run.out
    project.write("docs/kin.md", "## A\n\n```\na\n```\n\n```yaml\nstepz: 3\nwidth: 12\n```\n")
    run = project.doit()
    assert "docs/kin.md:8:1: stepz: unknown key; did you mean 'steps'?" in run.out
    assert "docs/kin.md:9:1: width: 12 is too small: at least 16" in run.out
    project.write("docs/kin.md", "## A\n\n```\na\n```\n")
    assert project.doit().tasks("generated") == ["portraits:a", "portraits:c"]


def test_the_problems_of_a_table_of_prompts_are_told_in_its_own_cells(project: ProjectFolder) -> None:
    project.write("docs/items.csv", "name;prompt;steps;sampler\nRope;a rope;012;no\nKey;a key;40000;\n")
    project.job(source="docs/items.csv", items=[{"name": "C", "prompt": "c"}])
    run = project.doit()
    assert "docs/items.csv:2:3: steps: expected a whole number, found the text '012'" in run.out
    assert "docs/items.csv:3:3: steps: 40000 is too large: at most 10000" in run.out
    assert run.out.count("docs/items.csv:") == 2
    project.write("docs/items.csv", "name;prompt;steps;sampler\nRope;a rope;12;no\n")
    assert project.doit().tasks("generated") == ["portraits:c", "portraits:rope"]


def test_a_source_of_another_kind_is_refused_with_the_choices(project: ProjectFolder) -> None:
    project.job(source="docs/items.txt")
    run = project.doit()
    assert (
        "source: 'docs/items.txt' is not a prompt source by its suffix: use Markdown (.md, .markdown) or CSV" in run.out
    )


def test_a_missing_prompt_source_is_told(project: ProjectFolder) -> None:
    project.job(source="docs/kin.md")
    run = project.doit()
    assert "source: docs/kin.md: there is no such file" in run.out
    assert run.code != 0


def test_a_conflicted_lock_file_stops_its_job_only_and_says_the_mend(project: ProjectFolder) -> None:
    project.build_job()
    project.job("other", items=[{"name": "X", "prompt": "x"}])
    lock = project.root / "jobs/portraits.lock"
    whole = lock.read_bytes()
    lock.write_bytes(b"<<<<<<< HEAD\n" + whole)
    run = project.doit()
    assert "jobs/portraits.lock:1: has unresolved merge-conflict markers" in run.out
    assert "delete the marker lines" in run.out
    assert run.tasks("generated") == ["other:x"]
    assert lock.read_bytes() == b"<<<<<<< HEAD\n" + whole
    lock.write_bytes(whole)
    assert "4 fresh" in project.doit().closing


def test_settings_that_are_wrong_break_every_job_and_are_told_once(project: ProjectFolder) -> None:
    project.job()
    project.job("other")
    project.write("pyproject.toml", "[tool.imagegen]\nbakend = 'x'\n")
    run = project.doit()
    assert run.code != 0
    assert run.out.count("bakend: unknown key; did you mean 'backend'?") == 1
    assert project.doit("list").code == 2


def test_a_file_in_jobs_that_is_not_built_is_named_when_it_comes(project: ProjectFolder) -> None:
    project.build_job()
    project.doit()
    project.write("jobs/Icons.YAML", "items: [{name: a, prompt: b}]")
    assert "jobs/Icons.YAML: is not built: its ending is not in lower case" in project.doit().out
    assert "jobs/Icons.YAML: is not built" in project.doit("why").out
    assert "jobs/Icons.YAML" in project.doit("doctor").out

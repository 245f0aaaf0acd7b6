"""`doit schema`: the JSON Schema for editors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

from imagegen.config.schema import GenerateFields
from imagegen.errors import BAD_INPUT
from tests.project_folder import JOB, ProjectFolder

REPOSITORY = Path(__file__).parents[2]


def test_it_is_written_once_and_says_where(project: ProjectFolder) -> None:
    assert project.doit("schema").out == "job.schema.json: written\n"
    file = project.root / "job.schema.json"
    before = file.stat().st_mtime_ns
    assert project.doit("schema").out == "job.schema.json: up to date\n"
    assert file.stat().st_mtime_ns == before
    file.write_text(file.read_text("utf-8").replace("8192", "4096"), encoding="utf-8")
    assert project.doit("schema").out == "job.schema.json: written\n"
    assert list(project.root.rglob("*.tmp")) == []


def test_it_can_be_printed_or_go_elsewhere(project: ProjectFolder) -> None:
    printed = project.doit("schema", "--out", "-").out
    assert not (project.root / "job.schema.json").exists()
    assert project.doit("schema", "--out", "docs/job.json").code == 0
    assert (project.root / "docs/job.json").read_text("utf-8") == printed


def test_bases_have_a_schema_of_their_own(project: ProjectFolder) -> None:
    assert project.doit("schema", "--base").out == "base.schema.json: written\n"
    assert Draft7Validator(json.loads((project.root / "base.schema.json").read_text("utf-8"))).is_valid({"variants": 2})


def test_it_knows_every_backends_section_and_every_default(project: ProjectFolder) -> None:
    schema = json.loads(project.doit("schema", "--out", "-").out)
    assert Draft7Validator(schema).is_valid(JOB)
    fields = schema["properties"]["generate"]["properties"]
    defaults = {key: found["default"] for key, found in fields.items() if "default" in found}
    assert defaults == {**vars(GenerateFields()), "timeout_s": 600}
    assert schema["properties"]["ollama"]["properties"]["model"]["default"] == "x/z-image-turbo"


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("mine.json", "was not written by doit schema"),
        ("jobs/schema.json", "would be read as a job"),
        ("docs", "docs: is a folder"),
    ],
)
def test_nothing_else_is_replaced_and_no_job_made(project: ProjectFolder, out: str, message: str) -> None:
    project.write("mine.json", "{}")
    project.write("docs/x.md", "")
    run = project.doit("schema", "--out", out)
    assert run.code == BAD_INPUT
    assert message in run.out
    assert (project.root / "mine.json").read_text() == "{}"
    assert not (project.root / "jobs/schema.json").exists()


def test_a_broken_job_does_not_hold_it_up(project: ProjectFolder) -> None:
    project.write("jobs/bad.yaml", "generate: {stepz: 1}")
    assert project.doit("schema").code == 0


def test_this_repositorys_own_is_up_to_date(project: ProjectFolder) -> None:
    assert (REPOSITORY / "job.schema.json").read_text("utf-8") == project.doit(
        "schema", "--out", "-", PYTHONPATH=""
    ).out


@pytest.mark.parametrize("job", sorted((REPOSITORY / "jobs").glob("*.yaml")), ids=lambda job: job.stem)
def test_this_repositorys_jobs_name_it_and_hold_to_it(job: Path) -> None:
    text = job.read_text("utf-8")
    assert text.startswith("# yaml-language-server: $schema=../job.schema.json\n")
    Draft7Validator(json.loads((REPOSITORY / "job.schema.json").read_text("utf-8"))).validate(yaml.safe_load(text))

"""`doit settings`: every value, with where it came from."""

from __future__ import annotations

import re

from tests.project_folder import ProjectFolder


def row(out: str, setting: str) -> list[str]:
    """The cells of a setting's line."""
    (line,) = [line for line in out.splitlines() if line.startswith(f"{setting} ")]
    return re.split(" {2,}", line)


def test_each_setting_is_shown_with_where_it_came_from(project: ProjectFolder) -> None:
    project.write("pyproject.toml", '[tool.imagegen]\nstore_size = "1.5 GB"\n')
    run = project.doit("settings", "wait=9", IMAGEGEN_BACKEND="scripted")
    assert run.code == 0
    assert row(run.out, "backend")[1:3] == ["scripted", "environment variable IMAGEGEN_BACKEND"]
    assert row(run.out, "store_size")[1:3] == ["1.5 GB", "pyproject.toml: [tool.imagegen]"]
    assert row(run.out, "wait_s")[1:3] == ["9", "command line"]
    assert row(run.out, "comfyui.server.url")[1:3] == ["http://127.0.0.1:8188", "built-in"]


def test_a_job_that_names_its_backend_is_listed_and_the_command_line_is_stronger(project: ProjectFolder) -> None:
    project.job()
    assert row(project.doit("settings").out, "job portraits")[1:3] == ["scripted", "jobs/portraits.yaml"]
    forced = project.doit("settings", "backend=placeholder").out
    assert row(forced, "job portraits")[1:] == ["placeholder", "command line", "jobs/portraits.yaml names scripted"]


def test_secrets_are_shown_as_set_or_not_set_and_kept_nowhere(project: ProjectFolder) -> None:
    project.job()
    secrets = {"HF_TOKEN": "hush-hush", "COMFYUI_AUTH": ""}
    runs = [project.doit(*words, **secrets) for words in ([], ["settings"])]
    assert row(runs[1].out, "hf_token")[1:3] == ["set", "environment variable HF_TOKEN"]
    assert row(runs[1].out, "comfyui.auth")[1] == "not set"
    reported = "".join(run.out + run.err for run in runs)
    files = [path.read_bytes() for path in project.root.rglob("*") if path.is_file()]
    assert "hush-hush" not in reported
    assert not any(b"hush-hush" in data for data in files)


def test_json_is_the_same_as_data_and_nothing_else(project: ProjectFolder) -> None:
    project.job()
    project.environment |= {"HF_TOKEN": "hush-hush"}
    run = project.doit("settings", "--json")
    assert (run.code, len(run.events), run.problems) == (0, 1, [])
    values = {row["name"]: (row["value"], row["source"]) for row in run.result["settings"]}
    assert values["backend"] == ("placeholder", "built-in")
    assert values["hf_token"] == (True, "environment variable HF_TOKEN")
    assert (values["budget"][0], values["wait_s"][0], values["store_writes"][0]) == (None, 0.0, True)
    assert values["comfyui.server.url"][0] == ["http://127.0.0.1:8188"]
    named = {"job": "portraits", "backend": "scripted", "source": "jobs/portraits.yaml"}
    assert run.result["jobs"] == [{**named, "help": "the backend that the job names"}]
    assert "hush-hush" not in run.out + run.err


def test_a_value_that_cannot_be_is_told_with_its_source(project: ProjectFolder) -> None:
    project.job()
    message = "environment variable IMAGEGEN_BACKEND: there is no backend 'ollamma'; did you mean 'ollama'?"
    for words in (["settings"], []):
        run = project.doit(*words, IMAGEGEN_BACKEND="ollamma")
        assert (run.code != 0, run.out.count(message)) == (True, 1)
    run = project.doit("settings", "--json", IMAGEGEN_BACKEND="ollamma")
    assert (run.code != 0, len(run.problems)) == (True, 1)


def test_digests_are_shown_short_and_kept_whole_in_the_data(project: ProjectFolder) -> None:
    digest = "0123456789ab" + "c" * 52
    project.write("pyproject.toml", f"[tool.imagegen]\nsd.archive_sha256 = '{digest}'\n")
    assert row(project.doit("settings").out, "sd.archive_sha256")[1] == "0123456789ab…"
    found = project.doit("settings", "--json").result["settings"]
    assert {one["name"]: one["value"] for one in found}["sd.archive_sha256"] == digest

"""`doit why`: what the next `doit` would do, and why, without doing it."""

from __future__ import annotations

import re

import pytest

from tests.project_folder import JOB, ProjectFolder

MALLSING = {"name": "Mallsing", "prompt": "a tall figure in a grey cloak"}
GREEN = {"name": "Mallsing", "prompt": "a tall figure in a green cloak", "seed": 5}


def touched(project: ProjectFolder) -> dict[str, int]:
    """Every file of the project but doit's own database, with its time."""
    found = (path for path in project.root.rglob("*") if path.is_file() and path.name != "doit.json")
    return {str(path): path.stat().st_mtime_ns for path in found}


def test_it_says_what_the_next_run_does_and_why_and_does_nothing(project: ProjectFolder) -> None:
    project.build_job(items=[MALLSING, *JOB["items"][1:], {"name": "Tharn", "prompt": "a thin figure"}])
    project.job(items=[GREEN, *JOB["items"][1:], {"name": "Tharn", "prompt": "a thin figure"}])
    project.image("yrr").unlink()
    project.image("okka").write_bytes(b"touched up")
    before, seed = touched(project), project.lines()[0]["request"]["seed"]
    run = project.doit("why")
    assert (run.code, run.err) == (0, "")
    assert run.out.splitlines() == [
        "generate  portraits:mallsing  assets/portraits/mallsing.png  under 1 s",
        "    prompt: a tall figure in a [-grey-] {+green+} cloak",
        f"    seed: {seed} → 5",
        "restore   portraits:yrr  assets/portraits/yrr.png  from the store  (missing)",
        "keep      portraits:okka  assets/portraits/okka.png: changed since it was generated, by hand or by git",
        "1 to generate (under 1 s), 1 to restore, 1 kept, 1 fresh",
    ]
    found = {one["path"]: one for one in project.doit("why", "--json").result["images"]}
    yrr, okka = found["assets/portraits/yrr.png"], found["assets/portraits/okka.png"]
    assert (yrr["act"], yrr["restored_from"], yrr["reasons"][0]["kind"]) == ("restore", "the store", "missing")
    assert (okka["act"], okka["restored_from"]) == ("keep", None)
    assert okka["note"] == "changed since it was generated, by hand or by git"
    assert touched(project) == before
    assert len(project.calls()) == 4


def test_the_data_is_the_same(project: ProjectFolder) -> None:
    project.build_job(items=[MALLSING])
    project.job(items=[GREEN])
    project.write("jobs/broken.yaml", "items: [{name: a}]")
    run = project.doit("why", "--json")
    assert (run.code, len(run.events)) == (2, 1)
    found = run.result
    (image,) = found["images"]
    assert (image["task"], image["act"], image["seed"]) == ("portraits:mallsing", "generate", 5)
    prompt = {"kind": "changed", "field": "prompt", "old": MALLSING["prompt"], "new": GREEN["prompt"]}
    assert image["reasons"][0] == {"text": "prompt changed", **prompt}
    assert found["total"]["counts"]["generate"] == 1
    assert 0 <= found["total"]["seconds"] < 60
    broken = next(job for job in found["jobs"] if job["job"] == "broken")
    assert broken["problems"] == run.problems
    assert (run.problems[0]["what"], run.problems[0]["line"]) == ("items[0].prompt: is missing", 1)


def test_words_choose_and_a_fresh_image_named_by_itself_is_told(project: ProjectFolder) -> None:
    project.build_job()
    (line,) = [line for line in project.lines() if line["output"] == "yrr"]
    when = line["time"][:16].replace("T", " ")
    of_yrr = (
        f"fresh     portraits:yrr  assets/portraits/yrr.png  since {when} UTC, "
        f"seed {line['request']['seed']}, model colours"
    )
    for word in ("portraits:yrr", "assets/portraits/yrr.png"):
        assert project.doit("why", word).out.splitlines() == [of_yrr, "1 fresh, nothing to do"]
    assert project.doit("why", "portraits:*").out == "3 fresh, nothing to do\n"
    assert project.doit("why", "portraits").out == "3 fresh, nothing to do\n"


def test_what_is_made_from_others_is_derived_or_may_follow(project: ProjectFolder) -> None:
    derive = {"thumb": {"width": 16}, "small": {"width": 8}}
    project.build_job(items=[MALLSING], derive=derive, sheet={"cell": 16})
    project.job(items=[GREEN], derive=derive | {"small": {"width": 9}}, sheet={"cell": 16})
    run = project.doit("why", "portraits", "--json")
    found = run.result
    assert {image["task"].partition(":")[2]: image["act"] for image in found["images"]} == {
        "mallsing": "generate",
        "mallsing:thumb": "follow",
        "mallsing:small": "derive",
        "sheet": "follow",
        "sheet:index": "follow",
    }
    lines = project.doit("why").out.splitlines()
    assert lines[3:6] == [
        "follow    portraits:mallsing:thumb  assets/portraits/mallsing-thumb.png  (may change with portraits:mallsing)",
        "derive    portraits:mallsing:small  assets/portraits/mallsing-small.png  (may change with portraits:mallsing)",
        "    width: 8 → 9",
    ]
    assert lines[-1] == "1 to generate (under 1 s), 1 to derive, 3 may follow"


def test_a_derived_file_that_somebody_changed_is_kept_while_its_image_is_stale(project: ProjectFolder) -> None:
    project.build_job(items=[MALLSING], derive={"thumb": {"width": 16}})
    project.touch_up("mallsing-thumb")
    project.job(items=[GREEN], derive={"thumb": {"width": 16}})
    assert project.doit("why").out.splitlines()[-2:] == [
        "keep      portraits:mallsing:thumb  assets/portraits/mallsing-thumb.png: changed since it was generated, by hand"
        " or by git; if portraits:mallsing changes, the run does not replace it, and fails",
        "1 to generate (under 1 s), 1 kept",
    ]
    run = project.doit()
    assert (run.tasks("generated"), run.tasks("failed")) == (["portraits:mallsing"], ["portraits:mallsing:thumb"])


def test_the_name_of_an_item_stands_for_all_its_variants(project: ProjectFolder) -> None:
    project.job(items=[MALLSING, *JOB["items"][1:]], variants=2)
    assert project.doit("why", "portraits:mallsing").out.splitlines()[-1].startswith("2 to generate")


def test_a_word_that_names_nothing_is_told_with_the_nearest(project: ProjectFolder) -> None:
    project.job()
    run = project.doit("why", "portraits:yr", "portraits:x*", "portraits")
    assert run.code == 2
    assert "'portraits:yr' is not a job, an image or a derived file; did you mean 'portraits:yrr'?" in run.out
    assert "no job or image has a name like 'portraits:x*'" in run.out
    assert "generate" not in run.out


def test_what_is_wrong_with_a_job_is_told_beside_the_others(project: ProjectFolder) -> None:
    project.job()
    project.write("jobs/broken.yaml", "items: [{name: a}]")
    run = project.doit("why")
    assert run.code == 2
    assert "jobs/broken.yaml:1:9: items[0].prompt: is missing" in run.out
    assert "generate  portraits:mallsing" in run.out
    assert run.closing == "3 to generate (time unknown), 1 broken job"
    assert project.doit("why", "broken:a").closing == "1 broken job"
    assert "broken" not in project.doit("why", "portraits").out
    run = project.doit("why", "backend=placehodler")
    assert (run.code, run.out.count("did you mean 'placeholder'?")) == (2, 1)
    (project.root / "jobs/portraits.yaml").unlink()
    for word in ("wait=1", "backend=placehodler"):  # a job, or a setting: what the run would do is not known
        found = project.doit("why", word, "--json").result
        assert (found["is_stale"], found["total"]["is_budget_enough"]) == (True, None)


def test_a_check_answers_with_its_exit_code(project: ProjectFolder) -> None:
    def code(*words: str) -> int:
        return project.doit("why", "--check", *words).code

    project.job()
    assert code() == 1
    assert project.doit().code == 0
    assert code("--json") == 0
    project.write("jobs/broken.yaml", "items: [{name: a}]")
    assert code("--json") == 2
    assert code("portraits") == 0
    project.image("yrr").unlink()
    before = touched(project)
    assert code("portraits", "--json") == 1
    assert code("portraits:okka") == 0
    assert code("portraits:ok") == 2
    assert project.doit("why", "portraits", "--check", "backend=placehodler").code == 2
    assert touched(project) == before


def test_what_must_not_be_replaced_or_is_ignored_is_told(project: ProjectFolder) -> None:
    project.build_job()
    project.image("yrr").write_bytes(b"touched up")
    project.job(generate={"width": 64, "height": 64, "steps": 3})
    project.doit("ignore", "portraits:okka")
    run = project.doit("why")
    message = "fail      portraits:yrr  assets/portraits/yrr.png is not replaced: changed since it was generated, by hand or by git\n"
    assert f"{message}    steps: 20 → 3\n" in run.out
    assert (
        "ignore    portraits:okka  assets/portraits/okka.png: left alone, until doit forget portraits:okka" in run.out
    )
    assert run.out.count("output: {overwrite: always}") == 1
    assert run.closing == "1 to generate (under 1 s), 1 to fail, 1 ignored"
    ignored = [one["ignored_by"] for one in project.doit("why", "--json").result["images"]]
    assert sorted(filter(None, ignored)) == ["portraits:okka"]


@pytest.mark.parametrize("backend", ["ollama", "comfyui"])
def test_no_server_is_asked(project: ProjectFolder, backend: str) -> None:
    project.job(backend=backend, scripted={})
    # nothing listens there, and no ollama is on PATH
    run = project.doit("why", COMFYUI_URL="http://127.0.0.1:9", OLLAMA_HOST="127.0.0.1:9", PATH="")
    assert run.code == 0
    assert "3 to generate (time unknown)" in run.out


def test_what_is_not_decided_yet_is_said(project: ProjectFolder) -> None:
    project.job(backend="comfyui", scripted={}, items=JOB["items"][:1], generate={"seed": {"mode": "random"}})
    run = project.doit("why")
    assert "its seed is chosen then, no checkpoint or model is set: the server's is used, if it has only one" in run.out
    assert not (project.root / "jobs/portraits.lock").exists()


def test_of_sd_no_server_is_said_to_have_the_model(project: ProjectFolder) -> None:
    project.job(backend="sd", scripted={}, items=[{"name": "Yrr", "prompt": "a figure"}])
    run = project.doit("why")
    assert "no model is set: the only checkpoint is used, or what a server of your own has; " in run.out
    assert "if there is none: doit sd:setup" in run.out


def test_what_a_named_one_is_made_from_and_doit_makes_first_is_told(project: ProjectFolder) -> None:
    project.job(derive={"thumb": {"width": 32}})
    child = {"name": "Child", "prompt": "a child", "scripted": {"images": {"face": "portraits:mallsing:thumb"}}}
    project.job("children", items=[child])
    run = project.doit("why", "children:child")
    acts = [line.split()[:2] for line in run.out.splitlines()[:-1]]
    assert acts == [
        ["generate", "portraits:mallsing"],
        ["derive", "portraits:mallsing:thumb"],
        ["generate", "children:child"],
    ]
    run = project.doit("children:child")
    assert run.tasks("generated") == ["children:child", "portraits:mallsing"]
    assert run.tasks("derived") == ["portraits:mallsing:thumb"]


def test_a_digest_is_told_by_its_first_digits(project: ProjectFolder) -> None:
    project.write("face.png", "a face")
    project.build_job(scripted={"script": "script.json", "images": {"face": "face.png"}})
    project.job()
    line = project.doit("why").out.splitlines()[1]
    assert re.fullmatch(r"    images\.face: [0-9a-f]{12}… → none", line), line

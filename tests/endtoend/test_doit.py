"""doit's own commands and options, as its users know them."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time

import pytest

from tests.marks import long
from tests.project_folder import DODO, ProjectFolder, press_ctrl_c

ALL = ["portraits:mallsing", "portraits:okka", "portraits:yrr"]


def test_list_shows_jobs_and_tasks_with_a_line_of_help(project: ProjectFolder) -> None:
    project.job(description="The three")
    out = project.doit("list").out
    comfyui = ["comfyui", "comfyui:setup", "comfyui:update"]
    server = ["server:start", "server:status", "server:stop"]
    shown = [
        "accept",
        *comfyui,
        "disclosure",
        "doctor",
        "gallery",
        "image",
        "mark",
        "models",
        "models:pull",
        "ollama:setup",
        "pick",
        "portraits",
        "presets",
        "preview",
        "prune",
        "reroll",
        "restore",
        "review",
        "schema",
        "sd:setup",
        "sd:update",
        *server,
        "settings",
        "store:push",
        "verify",
        "watch",
        "why",
    ]
    assert [line.split()[0] for line in out.splitlines()] == shown
    assert "The three" in out
    assert "assets/portraits/yrr.png" in project.doit("list", "--all").out
    assert not (project.root / "assets").exists()


def test_list_status_marks_what_is_stale_and_its_job_and_no_command(project: ProjectFolder) -> None:
    project.job()
    assert "R portraits:yrr" in project.doit("list", "--all", "--status").out
    project.doit()
    project.image("yrr").unlink()
    out = project.doit("list", "--all", "--status").out
    assert "U portraits:okka" in out
    assert [line.split()[1] for line in out.splitlines() if line.startswith("R ")] == ["portraits", "portraits:yrr"]
    project.doit()
    assert "U portraits " in project.doit("list", "--status").out


@pytest.mark.parametrize(
    ("reporter", "selection", "expected"),
    [
        ([], ["portraits:m*"], ["portraits:mallsing"]),
        ([], ["portraits"], ALL),
        ([], ["assets/portraits/okka.png"], ["portraits:okka"]),
        ([], ["portraits:yrr", "portraits:okka"], ["portraits:okka", "portraits:yrr"]),
        (["-r", "json"], ["portraits:mallsing"], ["portraits:mallsing"]),
        long([], ["portraits:mallsing"], ["portraits:mallsing"]),
        long([], ["portraits:*"], ALL),
        long(["-r", "json"], ["portraits:*"], ALL),
        long(["-r", "json"], ["assets/portraits/okka.png"], ["portraits:okka"]),
    ],
)
def test_only_what_is_selected_is_made(
    project: ProjectFolder, reporter: list[str], selection: list[str], expected: list[str]
) -> None:
    project.job()
    assert project.doit("run", *reporter, *selection).code == 0
    assert sorted(f"portraits:{name.lower()}" for name in project.calls()) == expected


def test_only_what_is_selected_is_preflighted(project: ProjectFolder) -> None:
    project.script(problems={"Yrr": "no such checkpoint"})
    project.job()
    assert project.doit("portraits:mallsing").tasks("generated") == ["portraits:mallsing"]
    run = project.doit()
    assert (run.tasks("generated"), run.tasks("failed")) == ([], ["portraits:okka", "portraits:yrr"])
    assert run.out.count("no such checkpoint") == 1
    assert run.code != 0


def test_each_cause_of_failure_is_told_once_with_whom_it_hit(project: ProjectFolder) -> None:
    project.script(acts={"*": [{"error": "out of memory"}]})
    project.job()
    run = project.doit()
    assert run.code != 0
    assert run.out.count("out of memory") == 1
    assert "portraits:mallsing, portraits:yrr, portraits:okka: out of memory" in run.out
    assert run.closing.startswith("3 failed (")
    assert "UnmetDependency" not in run.out + run.err


def test_info_shows_the_request_and_why_it_is_stale(project: ProjectFolder) -> None:
    project.build_job()
    assert "up-to-date" in project.doit("info", "portraits:yrr").out
    unknown = project.doit("info", "portraits:yr")
    assert unknown.code == 2
    assert "'portraits:yr' is not an image of the job portraits; did you mean 'portraits:yrr'?" in unknown.err
    project.job(generate={"width": 64, "height": 64, "steps": 33})
    out = project.doit("info", "portraits:yrr").out
    assert "steps 20 → 33" in out
    assert "a small figure" in out


def test_clean_removes_what_is_ours_and_unchanged_and_says_what_it_kept(project: ProjectFolder) -> None:
    project.build_job()
    project.image("yrr").write_bytes(b"touched up")
    dry = project.doit("clean", "-n", "portraits").out
    assert "would remove assets/portraits/okka.png" in dry
    assert project.image("okka").exists()
    run = project.doit("clean", "portraits")
    assert run.code == 0
    assert "remove assets/portraits/okka.png" in run.out
    assert "keep assets/portraits/yrr.png: changed since it was generated, by hand or by git" in run.out
    assert [project.image(name).exists() for name in ("mallsing", "okka", "yrr")] == [False, False, True]
    assert [line["output"] for line in project.lines()] == ["yrr"]
    assert project.doit().tasks("restored") == ["portraits:mallsing", "portraits:okka"]


@pytest.mark.long
def test_clean_of_one_image_and_of_all(project: ProjectFolder) -> None:
    project.build_job()
    project.doit("clean", "portraits:okka")
    assert [line["output"] for line in project.lines()] == ["mallsing", "yrr"]
    project.doit("clean")
    assert not (project.root / "jobs/portraits.lock").exists()
    assert not project.image("yrr").exists()


@pytest.mark.long
def test_clean_in_a_clone_loses_nothing(project: ProjectFolder) -> None:
    project.build_job()
    for path in (project.root / ".imagegen/store").rglob("*"):
        if path.is_file():
            path.unlink()
    project.doit("clean", "portraits")
    run = project.doit()
    assert (run.tasks("generated"), run.tasks("restored")) == ([], ALL)


def test_clean_keeps_decisions(project: ProjectFolder) -> None:
    project.build_job(generate={"width": 64, "height": 64, "seed": {"mode": "random"}})
    seeds = {line["output"]: line["value"] for line in project.lines() if "decision" in line}
    project.doit("clean")
    assert {line["output"]: line["value"] for line in project.lines()} == seeds
    assert project.doit().tasks("restored") == ALL


def test_what_doit_ignores_is_left_alone(project: ProjectFolder) -> None:
    project.build_job()
    project.image("yrr").unlink()
    project.doit("ignore", "portraits:yrr")
    run = project.doit()
    assert (run.code, run.tasks("restored"), project.image("yrr").exists()) == (0, [], False)
    assert run.out.splitlines()[0] == "ignored    portraits:yrr: left alone, until doit forget portraits:yrr"
    assert run.closing.startswith("1 ignored, 2 fresh (")
    project.doit("forget", "portraits:yrr")
    assert project.doit().tasks("restored") == ["portraits:yrr"]


def test_forget_says_what_decides_here(project: ProjectFolder) -> None:
    project.build_job()
    run = project.doit("forget", "portraits")
    assert run.code == 0
    assert "doit -a JOB:IMAGE" in run.err
    assert "3 fresh" in project.doit().closing


@pytest.mark.parametrize("how", [["-n", "4"], ["-n", "4", "-P", "thread"]], ids=["process", "thread"])
@pytest.mark.parametrize("reporter", [[], ["-r", "json"]], ids=["ours", "json"])
@pytest.mark.parametrize("always", [[], pytest.param(["-a"], marks=pytest.mark.long)], ids=["stale", "all"])
def test_doits_own_workers_make_each_image_once(
    project: ProjectFolder, how: list[str], reporter: list[str], always: list[str]
) -> None:
    project.script(acts={"*": [{"delay_s": 0.05}]})
    project.job()
    run = project.doit(*always, *how, *reporter)
    assert run.code == 0, run.out + run.err
    assert sorted(project.calls()) == ["Mallsing", "Okka", "Yrr"]
    assert "3 fresh" in project.doit().closing


def test_workers_that_are_spawned_serve_too(project: ProjectFolder) -> None:
    project.write("dodo.py", f"import multiprocessing\nmultiprocessing.set_start_method('spawn', force=True)\n{DODO}")
    project.job()
    run = project.doit("-n", "2")
    assert run.code == 0, run.out + run.err
    assert sorted(project.calls()) == ["Mallsing", "Okka", "Yrr"]


def test_the_json_reporter_tells_failures(project: ProjectFolder) -> None:
    project.script(acts={"Yrr": [{"error": "no luck"}]})
    project.job()
    run = project.doit("-r", "json")
    results = {task["name"]: task for task in json.loads(run.out)["tasks"]}
    assert run.code != 0
    assert results["portraits:mallsing"]["result"] == "success"
    assert "no luck" in results["portraits:yrr"]["error"]


def test_doit_fails_with_an_image_of_a_whole_job_and_gets_no_task_for_the_others(project: ProjectFolder) -> None:
    project.job()
    project.script(acts={"Okka": [{"error": "no"}], "Yrr": [{"error": "no"}]})
    assert project.doit().code == 1
    assert not [name for name in json.loads((project.root / ".imagegen/doit.json").read_text()) if ":" in name]


def test_v0_is_quiet_unless_something_fails(project: ProjectFolder) -> None:
    project.job()
    assert project.doit("-v0").out == ""
    project.script(acts={"Yrr": [{"error": "no luck"}]})
    assert "no luck" in project.doit("-v0", "-a").out


def test_the_backend_of_the_command_line_is_stronger_than_a_jobs(project: ProjectFolder) -> None:
    project.job()
    assert project.doit("backend=placeholder").tasks("generated") == ALL
    assert project.calls() == []
    assert {line["request"]["backend"] for line in project.lines()} == {"placeholder"}


def test_an_unknown_backend_is_told_once_with_the_choices(project: ProjectFolder) -> None:
    project.job()
    project.job("other")
    run = project.doit("backend=placehodler")
    assert run.code != 0
    assert run.err.count("on the command line: there is no backend 'placehodler'; did you mean 'placeholder'?") == 1
    assert "broken" not in run.out


def test_without_jobs_there_is_nothing_to_do(project: ProjectFolder) -> None:
    run = project.doit()
    assert (run.code, run.out) == (0, "no job files in jobs/: nothing to do (imagegen init adds a first one)\n")
    assert project.doit("why").out == "no job files in jobs/: nothing to do\n"
    assert project.doit("list").code == 0
    assert project.doit("doctor").code == 0


def test_random_seeds_are_drawn_once_recorded_and_told(project: ProjectFolder) -> None:
    project.job(generate={"width": 64, "height": 64, "seed": {"mode": "random"}})
    project.doit("list", "--all")
    assert not (project.root / "jobs/portraits.lock").exists()
    run = project.doit()
    drawn = {line["output"]: line["value"] for line in project.lines() if "decision" in line}
    made = {line["output"]: line["request"]["seed"] for line in project.lines() if "decision" not in line}
    assert drawn == made
    assert len(set(drawn.values())) == 3
    for seed in drawn.values():
        assert f"seed {seed}" in run.out
    assert "3 fresh" in project.doit().closing
    project.doit("-a")
    assert {line["output"]: line["value"] for line in project.lines() if "decision" in line} == drawn


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_finishes_what_runs_and_leaves_the_rest(project: ProjectFolder) -> None:
    project.script(acts={"*": [{"delay_s": 1}]})
    project.job()
    process = project.start()
    while not project.calls("started"):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in out + err
    assert "1 generated, 2 not built" in out
    assert "cancelled  " not in out
    assert out.startswith("stopping when 1 image is done; Ctrl-C again cancels it\n")
    project.script()
    run = project.doit()
    assert (run.code, len(run.tasks("generated"))) == (0, 2)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_twice_cancels(project: ProjectFolder) -> None:
    project.script(acts={"*": [{"hang": True}]})
    project.job()
    process = project.start()
    while not project.calls("started"):
        time.sleep(0.02)
    first = press_ctrl_c(process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    out = first + out
    assert process.returncode == 130
    assert "Traceback" not in out + err
    assert "3 not built" in out
    assert len(re.findall("^cancelled  portraits:", out, re.MULTILINE)) == 1, "the one that was begun"
    assert out.count("stopping") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_build_whose_output_nobody_reads_any_more_goes_on(project: ProjectFolder) -> None:
    project.job()
    with project.start() as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline().startswith("generated")
        process.stdout.close()
        assert (process.stderr.read(), process.wait(60)) == ("", 0)
    assert "3 fresh" in project.doit().closing


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_while_planning_shows_no_traceback(project: ProjectFolder) -> None:
    slow = "\n\ndef task_slow():\n    import time\n    print('planning', flush=True)\n    time.sleep(30)\n"
    project.write("dodo.py", DODO + slow)
    process = project.start()
    assert process.stdout is not None
    assert process.stdout.readline() == "planning\n"
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert "Traceback" not in out + err
    assert "stopped" in err
    assert process.returncode != 0


def test_a_spoilt_database_of_doits_stops_nobody(project: ProjectFolder) -> None:
    project.build_job()
    (project.root / ".imagegen/doit.json").write_text('{"portraits:yrr": {"_val')
    assert "3 fresh" in project.doit().closing


def test_a_lost_lock_file_is_mended_from_the_store_without_generating(project: ProjectFolder) -> None:
    project.build_job()
    lock = (project.root / "jobs/portraits.lock").read_bytes()
    (project.root / "jobs/portraits.lock").unlink()
    run = project.doit()
    assert (run.code, run.tasks("generated")) == (0, [])
    assert (project.root / "jobs/portraits.lock").read_bytes() == lock
    assert "3 fresh" in project.doit().closing


def test_git_lfs_pointers_with_the_recorded_content_are_fresh(project: ProjectFolder) -> None:
    project.build_job()
    for line in project.lines():
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{line['sha256']}\nsize {line['size']}\n"
        (project.root / line["path"]).write_text(pointer)
    assert "3 fresh" in project.doit().closing


def test_a_dodo_file_of_earlier_versions_which_names_each_task_works(project: ProjectFolder) -> None:
    tasks = "DOIT_CONFIG, task_doctor, task_jobs, task_verify"
    project.write("dodo.py", f"from imagegen.tasks import {tasks}\n")
    project.job()
    assert project.doit("portraits:mallsing", "verify").code == 0
    assert "the dodo file does not take 'prune' from imagegen" in project.doit("prune").err

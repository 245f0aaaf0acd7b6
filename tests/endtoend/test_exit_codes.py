"""The exit codes of docs/scripting.md, with and without `--json`; the result and its problems say the same."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from imagegen.errors import BAD_INPUT, DONE, FAILED, NOT_BEGUN
from imagegen.state.mutex import hold
from tests.project_folder import DODO, SMALL_JOB, ProjectFolder, Run
from tests.valid_results import check_events, check_lines

BROKEN = "backend: scripted\nitems:\n  - {name: a, prompt: x, colour: red}\n"
OWN = f"""{DODO}
def task_fails():
    return {{"actions": ["exit 7"]}}

def task_errs():  # doit ends with 2 for it
    return {{"actions": ["exit 126"]}}

def end():
    raise SystemExit(5)

def task_ends():
    return {{"actions": [end]}}

def stop():
    import os, signal
    os.kill(os.getpid(), signal.SIGINT)

def task_stops():
    return {{"actions": [stop]}}
"""
STOPPED_WHILE_IT_WRITES = f"""{DODO}
def task_x():
    try:
        raise KeyboardInterrupt
    finally:
        y
"""


@dataclass(frozen=True)
class Case:
    """A command line, the code that it ends with, and the files that are written or removed before."""

    line: str
    code: int
    files: Mapping[str, str | None] = field(default_factory=dict)
    problem: Mapping[str, Any] | None = None
    """How the fields of its first problem begin, with `--json`; None: it is tried without."""


LOOKING = ("why", "list", "info {}", "doctor")
SETTING = {"file": "pyproject.toml", "line": 2, "column": 1, "what": "budget: "}
CASES = [
    # a job and its images
    Case("", DONE),
    Case("", DONE),
    Case("-a portraits:yrr", FAILED, {"script.json": '{"acts": {"Yrr": [{"error": "out of memory"}]}}'}),
    Case("-a portraits", FAILED, {"script.json": '{"acts": {"Yrr": [{"error": "out of memory"}]}}'}),
    Case("-a -n 2 -P thread", FAILED, {"script.json": '{"acts": {"Yrr": [{"error": "out of memory"}]}}'}),
    Case("", DONE, {"script.json": "{}"}),
    Case("", BAD_INPUT, {"jobs/broken.yaml": BROKEN}, {"file": "jobs/broken.yaml", "line": 3}),
    Case("portraits", DONE),
    *(Case(line.format("broken"), BAD_INPUT, {}, {"file": "jobs/broken.yaml", "line": 3}) for line in LOOKING),
    *(Case(f"{line} portraits", DONE) for line in ("why", "list", "info")),
    Case("-r console", BAD_INPUT),
    Case("broken:a", BAD_INPUT, {}, {"file": "jobs/broken.yaml", "line": 3}),
    Case("broken verify", BAD_INPUT),
    Case("clean broken", BAD_INPUT),
    # words, options, variables
    Case("portraits:nobody", BAD_INPUT, {}, {"what": "'portraits:nobody' is not an image of the job portraits"}),
    Case("'p*:z*'", BAD_INPUT, {}, {"what": "no task has a name like 'p*:z*'"}),
    Case("--stpes", BAD_INPUT),
    Case("backnd=x", BAD_INPUT, {}, {"what": "there is no setting 'backnd'"}),
    Case("backend=nothing", BAD_INPUT),
    Case("why nobody", BAD_INPUT),
    Case("-n 2 why nobody", BAD_INPUT, {}, {"what": "'nobody' is not"}),
    Case("why --stpes", BAD_INPUT, {}, {"where": "doit why"}),
    Case("''", BAD_INPUT, {}, {"what": "an argument is empty"}),
    Case("list nobody", BAD_INPUT, {}, {"what": "'nobody' is not"}),
    Case("ignore nobody", BAD_INPUT),
    *(Case(f"{name} --json", BAD_INPUT) for name in ("dumpdb", "reset-dep", "strace", "tabcompletion")),
    Case("--summary --json", BAD_INPUT, {}, {"what": "--summary has no value: '--json' follows it"}),
    Case("-o FILE", BAD_INPUT, {}, {"what": "-o has nothing to write"}),
    Case("-r zero", BAD_INPUT, {}, {"what": "another reporter is chosen"}),
    Case("-r zero why --json portraits", DONE),
    Case("-n x", BAD_INPUT, {}, {"what": "--process=x: expected a whole number"}),
    Case("list --sort x", BAD_INPUT, {}, {"what": "--sort=x: expected one of name, definition"}),
    Case("info", BAD_INPUT, {}, {"what": "name one job, image or task"}),
    Case("-d nowhere", BAD_INPUT, {}, {"what": "--dir=nowhere: there is no such folder"}),
    # what is not begun, and what a check finds
    Case("reroll portraits", NOT_BEGUN, {"jobs/broken.yaml": None}, {"what": "nothing was rerolled"}),
    Case("verify", FAILED, {"assets/portraits/yrr.png": "not an image"}),
    Case("info portraits:yrr", DONE, {"assets/portraits/yrr.png": None}),
    Case("accept portraits:yrr", FAILED, {}, {"what": "there is no file"}),
    Case("mark portraits:yrr --as keep", FAILED, {}, {"what": "there is no image"}),
    Case("mark portraits:yrr:index --as keep", BAD_INPUT),
    # a dodo file
    Case("fails", FAILED, {"dodo.py": OWN}, {"where": "fails"}),
    Case("errs", FAILED, {}, {"where": "errs"}),
    Case("-n 2 errs", FAILED),
    Case("ends", FAILED, {}, {"file": "dodo.py", "line": 10, "what": "it ends doit: sys.exit(5)"}),
    Case("fails why", FAILED, {}, {"where": "fails"}),
    Case("-n 2 fails why", FAILED, {}, {"where": "fails"}),
    Case("", BAD_INPUT, {"dodo.py": f"{DODO}exit(5)\n"}, {"file": "dodo.py", "line": 2}),
    Case("", BAD_INPUT, {"dodo.py": f"{DODO}x = (\n"}, {"file": "dodo.py", "line": 2, "column": 5}),
    Case("list", BAD_INPUT, {"dodo.py": f"{DODO}import nothing\n"}, {"file": "dodo.py", "line": 2}),
    Case("why", BAD_INPUT, {"dodo.py": f"{DODO}def task_x():\n    return y\n"}, {"file": "dodo.py", "line": 3}),
    Case("", BAD_INPUT, {"dodo.py": f"{DODO}def task_x():\n    return {{'actions': 5}}\n"}),
    # settings
    Case("", BAD_INPUT, {"dodo.py": DODO, "pyproject.toml": "[tool.imagegen]\nbudget = 'x'\n"}, SETTING),
    *(Case(line.format("portraits"), BAD_INPUT, {}, SETTING) for line in (*LOOKING, "verify", "settings")),
    Case("", BAD_INPUT, {"pyproject.toml": "[tool.imagegen\n"}, {"file": "pyproject.toml", "line": 1, "column": 15}),
    Case("", BAD_INPUT, {"pyproject.toml": "", "doit.cfg": "verbosity = 1\n"}, {"where": "doit.cfg"}),
    Case("", NOT_BEGUN, {"doit.cfg": None, "dodo.py": None}, {"what": "there is no dodo.py in this folder"}),
    Case("list", NOT_BEGUN, {}, {"what": "there is no dodo.py"}),
]


@pytest.fixture
def project(tmp_path: Path) -> ProjectFolder:
    project = ProjectFolder(tmp_path / "project", SMALL_JOB)
    project.job(scripted={"script": "script.json"})
    return project


def test_every_end_has_its_exit_code(project: ProjectFolder) -> None:
    for case in CASES:
        for path, text in case.files.items():
            (project.root / path).unlink() if text is None else project.write(path, text)
        words = shlex.split(case.line)
        if case.problem is None:
            run = project.doit(*words)
            assert run.code == case.code, f"doit {case.line}: {run}"
            continue
        _, answer = _answer(project, words, case)
        first = answer["problems"][0]
        assert all(str(first[key]).startswith(str(value)) for key, value in case.problem.items()), answer


def test_another_doit_at_work_keeps_this_one_from_its_work(project: ProjectFolder) -> None:
    with hold(project.root / ".imagegen", 0):
        for line in ("", "portraits:yrr", "image --prompt x", "preview"):
            run, answer = _answer(project, shlex.split(line), Case(line, NOT_BEGUN))
            assert answer["problems"][0]["what"].startswith("another doit is running here")
            assert (answer["result"], [line for line in run.events if line["event"] == "outcome"]) == (None, [])
        assert project.doit("-r", "console").code == NOT_BEGUN
    assert not (project.root / ".imagegen/cache/failures.json").exists(), "no image has failed"
    assert project.doit().code == DONE


def test_what_a_person_would_read_never_gets_among_the_json(project: ProjectFolder) -> None:
    project.write("dodo.py", f"print('loaded')\n{OWN}")
    command = shlex.join([sys.executable, "-m", "doit", "--json", "nobody"])
    environment = project.process_environment()
    for line, code in ((f"{command} 2>&-", BAD_INPUT), (f"{command} 2>/dev/full", BAD_INPUT)):
        done = subprocess.run(["sh", "-c", line], cwd=project.root, env=environment, stdout=-1, check=False)
        assert (done.returncode, json.loads(done.stdout)["exit_code"]) == (code, code), line


@pytest.mark.parametrize("dodo", [OWN, STOPPED_WHILE_IT_WRITES])
def test_ctrl_c_is_in_the_result_whenever_it_comes(project: ProjectFolder, dodo: str) -> None:
    project.write("dodo.py", dodo)
    run = project.doit("--json", "stops")
    *_, answer = check_lines(run)
    assert (run.code, answer["exit_code"]) == (-signal.SIGINT, 130)


def _answer(project: ProjectFolder, words: list[str], case: Case) -> tuple[Run, dict[str, Any]]:
    """Return what it prints with `--json`, and the last line of that."""
    own = {"list", "clean", "info", "forget", "ignore"}
    run = project.doit(*([words[0], "--json", *words[1:]] if words and words[0] in own else ["--json", *words]))
    *_, answer = check_lines(run)
    assert run.code == case.code, f"doit {case.line} --json: {run}"
    return run, answer


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")
def test_what_sigterm_ends_writes_its_result_before(project: ProjectFolder) -> None:
    project.script(acts={"*": [{"hang": True}]})
    with project.start("--json") as process:
        assert process.stdout
        lines = [json.loads(process.stdout.readline())]
        while lines[-1]["event"] != "started":
            lines.append(json.loads(process.stdout.readline()))
        process.send_signal(signal.SIGTERM)
        lines += [json.loads(line) for line in process.stdout]
    assert process.returncode == -signal.SIGTERM  # which a shell shows as 143
    check_events(lines)
    assert (lines[-1]["event"], lines[-1]["exit_code"], lines[-1]["result"]["stopped"]) == ("result", 143, True)
    assert [one["state"] for one in lines if one["event"] == "outcome"] == ["cancelled", "cancelled"]

"""With `--json`, every command prints what `doit schema --results` says, and nothing else on stdout."""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from imagegen.commands.command import COMMANDS
from imagegen.commands.schema import results_text
from imagegen.errors import BAD_INPUT, FAILED, NOT_BEGUN
from imagegen.report.doit_results import DOIT_RESULTS
from tests.project_folder import SMALL_JOB, ProjectFolder
from tests.valid_results import check_lines


@dataclass(frozen=True)
class Call:
    """A command line without `--json`, its exit code, and some of what its result has."""

    line: str
    code: int = 0
    has: Mapping[str, Any] = field(default_factory=dict)


# in this order, each on what the others left: a command that is declared needs a line
CALLS = [
    Call("", has={"left": 0, "stopped": False}),
    Call("verify"),
    Call("pick towers:keep --variant 2"),
    Call("reroll portraits:yrr"),
    Call("restore portraits:yrr --list"),
    Call("restore portraits:yrr"),
    Call("accept portraits:yrr"),
    Call("mark portraits:yrr --as keep --note fine"),
    Call("mark"),
    Call("image --prompt 'a raven' --width 32 --height 32"),
    Call("preview portraits:yrr"),
    Call("gallery"),
    Call("prune -n"),
    Call("schema --base --out=-"),
    Call("review --host=nowhere.invalid", BAD_INPUT),
    Call("watch nobody", BAD_INPUT),
    Call("why"),
    Call("doctor"),
    Call("settings"),
    Call("presets icon-godot"),
    Call("disclosure"),
    Call("models"),
    Call("models:pull"),
    Call("store:push", BAD_INPUT),
    Call("server:start", NOT_BEGUN),
    Call("server:status", FAILED),
    Call("server:stop"),
    Call("list"),
    Call("info portraits:yrr"),
    Call("ignore portraits:yrr"),
    Call("forget portraits:yrr"),
    Call("clean -n"),
    Call("help"),
]
NOT_HERE = ["comfyui", "comfyui:setup", "comfyui:update", "ollama:setup", "sd:setup", "sd:update"]
"""These need a server, a network or much time: here, the settings are not valid. Where they are tried: valid_results."""


@pytest.fixture
def project(tmp_path: Path) -> ProjectFolder:
    project = ProjectFolder(tmp_path / "project", SMALL_JOB | {"backend": "placeholder"})
    project.job()
    project.job("towers", variants=2, items=[{"name": "Keep", "prompt": "a keep"}])
    return project


def test_every_command_answers_as_the_schema_says(project: ProjectFolder) -> None:
    answered = {_try(project, call)["command"] for call in CALLS}
    project.write("pyproject.toml", "[tool.imagegen]\nwait_s = 'never'\n")
    for name in NOT_HERE:
        answer = _try(project, Call(name, BAD_INPUT))
        assert all("pyproject.toml" in one["where"] for one in answer["problems"])
        answered.add(answer["command"])
    assert answered == {"run", *DOIT_RESULTS, *COMMANDS}, "each needs a line in CALLS"
    assert json.loads(project.doit("schema", "--results", "--out=-").out) == json.loads(results_text())
    (project.root / "pyproject.toml").unlink()
    answers = check_lines(project.doit("--json", "models", "settings", "portraits"))
    assert [one["command"] for one in answers] == ["models", "settings", "run"]


def _try(project: ProjectFolder, call: Call) -> dict[str, Any]:
    """Return what a command answers. It is the last line, and there is nothing else but events."""
    words = shlex.split(call.line)
    run = project.doit(*words[:1], "--json", *words[1:])
    (answer,) = check_lines(run)
    assert run.code == call.code, f"doit {call.line}: {answer}\n{run.err}"
    assert call.has.items() <= (answer["result"] or {}).items(), f"doit {call.line}: {answer}"
    return answer


def test_a_process_that_nothing_was_imported_in_prints_json_alone(project: ProjectFolder) -> None:
    project.imports_count = True
    run = project.doit("verify", "--json")
    (answer,) = map(json.loads, run.out.splitlines())
    assert (answer["command"], answer["exit_code"]) == ("verify", run.code)


def test_a_page_that_is_served_says_its_address_at_once_and_answers_at_the_end(project: ProjectFolder) -> None:
    process = project.start("review", "--no-open", "--json")
    assert process.stdout
    serving = json.loads(process.stdout.readline())
    assert (serving["event"], len(serving["urls"])) == ("serving", 1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=project.patience_s)
    answer = json.loads(out)
    assert (answer["command"], answer["exit_code"], process.returncode) == ("review", 0, 0), err
    assert answer["result"] == {"urls": serving["urls"], "is_for_other_machines": False}

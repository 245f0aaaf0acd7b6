"""With `--json`, every command prints what `doit schema --results` says, and nothing else on stdout."""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import imagegen.commands  # noqa: F401 - declares them
from imagegen.commands.command import COMMANDS
from imagegen.errors import BAD_INPUT, FAILED
from tests.forked_doit import ForkedDoit, forked_doit
from tests.project_folder import SMALL_JOB, ProjectFolder


@dataclass(frozen=True)
class Call:
    """A command line without `--json`, its exit code, and some of what its result has."""

    line: str
    code: int = 0
    has: Mapping[str, Any] = field(default_factory=dict)


# in this order, each on what the others left: a command that is declared needs a line
CALLS = [
    Call("", has={"counts": {"generated": 4}}),
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
    Call("server:status", FAILED),
    Call("server:stop"),
]
NOT_HERE = ["comfyui", "comfyui:setup", "comfyui:update", "ollama:setup", "sd:setup", "sd:update", "server:start"]
"""These need a server, a network or much time, and are tried with settings that are not valid."""


@pytest.fixture
def project(tmp_path: Path) -> ProjectFolder:
    project = ProjectFolder(tmp_path / "project", SMALL_JOB)
    project.job()
    project.job("towers", variants=2, items=[{"name": "Keep", "prompt": "a keep"}])
    return project


@pytest.fixture
def doit(project: ProjectFolder) -> Iterator[ForkedDoit]:
    with forked_doit(project) as run:
        yield run


def test_every_command_answers_as_the_schema_says(project: ProjectFolder, doit: ForkedDoit) -> None:
    schema = json.loads(doit("schema", "--results", "--out=-").out)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(_strict(schema))
    answered = {_try(doit, validator, call)["command"] for call in CALLS}
    project.write("pyproject.toml", "[tool.imagegen]\nwait_s = 'never'\n")
    for name in NOT_HERE:
        answer = _try(doit, validator, Call(name, BAD_INPUT))
        assert all("pyproject.toml" in one["where"] for one in answer["problems"])
        answered.add(answer["command"])
    assert answered == {"run", *COMMANDS}, "each needs a line in CALLS"


def _try(doit: ForkedDoit, validator: Draft202012Validator, call: Call) -> dict[str, Any]:
    """Return what a command answers. It is the last line, and there is nothing else but events."""
    run = doit(*shlex.split(call.line), "--json")
    lines: list[dict[str, Any]] = [json.loads(line) for line in run.out.splitlines()]
    for line in lines:
        problem = next(iter(validator.iter_errors(line)), None)
        assert problem is None, f"doit {call.line}: {line}\n{problem}"
    *events, answer = lines
    assert answer["event"] == "result", call.line
    assert not any(one["event"] == "result" for one in events), call.line
    assert (run.code, answer["exit_code"]) == (call.code, call.code), f"doit {call.line}: {answer}\n{run.err}"
    assert call.has.items() <= (answer["result"] or {}).items(), f"doit {call.line}: {answer}"
    return answer


def _strict(schema: Any) -> Any:
    """Return the schema without room for fields that it does not name, which a program has to leave room for."""
    if isinstance(schema, list):
        return list(map(_strict, schema))
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    is_event = "enum" in schema.get("properties", {}).get("event", {})
    return strict | {"additionalProperties": False} if "properties" in schema and not is_event else strict


def test_a_command_line_of_its_own_prints_json_alone(project: ProjectFolder) -> None:
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

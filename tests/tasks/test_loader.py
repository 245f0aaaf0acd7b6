from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from doit.cmd_base import NamespaceTaskLoader
from doit.control import TaskControl
from doit.doit_cmd import DoitMain
from doit.exceptions import InvalidDodoFile
from doit.task import Task, dict_to_task

import imagegen.tasks
from imagegen.commands.command import COMMANDS
from imagegen.commands.command_line import read_invocation, reserved_names
from imagegen.tasks import loader
from imagegen.tasks.loader import refuse_equal_names, takes_our_tasks

ITEMS = {"icons:rope": ["icons:rope"], "icons:crown": ["icons:crown-v1", "icons:crown-v2"]}
DOIT = sorted(command.get_name() for command in DoitMain.DOIT_CMDS)


def tasks(*own: dict[str, Any]) -> list[Task]:
    commands: list[dict[str, Any]] = [
        {"name": name, "actions": ["true"], **({"pos_arg": "words"} if one.words else {})}
        for name, one in COMMANDS.items()
    ]
    images: list[dict[str, Any]] = [
        {"name": f"icons:{name}", "actions": ["true"], "targets": [f"assets/icons/{name}.png"]}
        for name in ("rope", "sword", "crown-v1", "crown-v2")
    ]
    jobs: list[dict[str, Any]] = [{"name": "icons", "actions": ["true"]}, {"name": "portraits", "actions": ["true"]}]
    return [dict_to_task(dict(one)) for one in (*commands, *jobs, *images, *own)]


def refused(*line: str, own: tuple[dict[str, Any], ...] = ()) -> str:
    read = read_invocation(line)
    found = [*loader.check_variables(read), *loader.check_words(read, tasks(*own), DOIT, ITEMS)]
    return "\n".join(map(str, found))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("icns", "'icns' is not a task, job, image or command; did you mean 'icons'?"),
        ("init", "'init' is not a task, job, image or command\n    did you mean imagegen init?"),
        ("rope", "'rope' is not a task, job, image or command\n    did you mean icons:rope?"),
        ("jobs/icons.yaml", "did you mean icons?"),
        ("icons:rop", "'icons:rop' is not an image of the job icons; did you mean 'icons:rope'?"),
        (
            "info icons:crown",
            "'icons:crown' has 2 variants, and info is of one\n    for example: doit info icons:crown-v1",
        ),
        ("icons:rope-v2", "'icons:rope-v2' is not an image now: another variant is picked\n    name icons:rope"),
        ("assets/icons/rop.png", "did you mean 'assets/icons/rope.png'?"),
        ("lsit", "did you mean 'list'?"),
        ("galery", "did you mean 'gallery'?"),
        ("server", "there is no command 'server'\n    did you mean server:start, server:stop or server:status?"),
        ("store", "there is no command 'store'\n    did you mean store:push?"),
        ("server start", "there is no command 'server'\n    did you mean server:start, server:stop or server:status?"),
        ("image a raven", "did you mean --prompt='a raven'?"),
        ("server:restart", "did you mean 'server:start'?"),
        ("comfyui:nosuch", "the commands are comfyui, comfyui:setup and comfyui:update"),
        ("icons -a", "-a comes after a task\n    options of doit come first: doit -a TASK"),
        ("icons --stpes", "unknown option --stpes"),
        ("zz*", "no task has a name like 'zz*'"),
        ("serv*", "a pattern never runs a command"),
        ("image raven", "did you mean --prompt=raven?"),
        ("image --prompt=a raven", "put a text with spaces in quotes: --prompt='a raven'"),
        ("image --prompt=raven --negative=ugly hands", "put a text with spaces in quotes: --negative='ugly hands'"),
        ("image --negative=ugly --prompt=a raven", "put a text with spaces in quotes: --prompt='a raven'"),
        ("image --prompt=raven --width=64 hands", "did you mean --prompt=hands?"),
        ("image --prompt a black raven", "in quotes: --prompt='a black raven'"),
        ("=x", "there is no setting ''"),
        ("doctor icns", "did you mean 'icons'?"),
        ("clean nosuch", "'nosuch' is not a task"),
        ("info icons:rop", "did you mean 'icons:rope'?"),
        ("forget icns", "did you mean 'icons'?"),
        ("ignore icns", "did you mean 'icons'?"),
        ("list icns", "did you mean 'icons'?"),
        ("list icons --all", "--all comes after a name\n    options come first: doit list --all NAME"),
        ("help icns", "did you mean 'icons'?"),
        ("backnd=placeholder", "there is no setting 'backnd'; did you mean 'backend'?"),
        ("Backend=x", "did you mean 'backend'?"),
        ("steps=30", "steps belongs under generate: in a job"),
        ("model=x", "doit image --model=x"),
        ("backend=", "backend= has no value"),
        ("backend=a backend=b", "backend= is given twice"),
        ("comfyui.checkpoint=x", "write checkpoint=…"),
        ("COMFYUI_URL=x", "the environment variable COMFYUI_URL, ahead of doit"),
        ("list backnd=x", "did you mean 'backend'?"),
        ("why backnd=x", "did you mean 'backend'?"),
        ("image prompt=raven width=64", "write --prompt=raven"),
        ("image prompt=raven width=64", "write --width=64"),
        ("image a=b", "if it is the text, write --prompt=a=b"),
    ],
)
def test_what_nothing_understands_is_refused_with_what_there_is(line: str, message: str) -> None:
    assert message in refused(*line.split())


@pytest.mark.parametrize(
    "line",
    [
        "icons icons:rope assets/icons/sword.png",
        "icons* icons:*",
        "-a icons backend=placeholder",
        "clean icons*",
        "icons:crown",
        "list icons:crown assets/icons/rope.png",
        "help run",
        "help task",
        "why anything",
        "image --prompt=x icons",
        "own --what else",
        "backend=placeholder backend=placeholder",
    ],
)
def test_what_is_understood_is_not(line: str) -> None:
    own: dict[str, Any] = {
        "name": "own",
        "actions": ["true"],
        "params": [{"name": "what", "long": "what", "default": ""}],
    }
    assert refused(*line.split(), own=(own,)) == ""


@pytest.mark.parametrize("command", ["run", "list", "ignore"])
def test_an_item_stands_for_its_variants_and_a_file_for_its_image(command: str) -> None:
    read = read_invocation([command, "icons:crown", "assets/icons/rope.png"])
    words = list(read.seen)
    loader.pass_words(read, tasks(), words, ITEMS)
    assert words == ["icons:crown-v1", "icons:crown-v2", "icons:rope"]


def test_a_variable_that_a_dodo_file_asks_for_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "asking_dodo.py").write_text(f"{'_'.join(('get', 'var'))} = dict\nNAMES = ['quality']\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "asking_dodo", importlib.import_module("asking_dodo"))
    assert refused("quality=1") == ""
    assert "there is no setting 'qualities'" in refused("qualities=1")


def test_a_pattern_stands_for_no_command_and_doit_gets_no_options_of_ours() -> None:
    read = read_invocation(["s*", "icons:*", "image", "--prompt", "a=b", "icons"])
    known = tasks({"name": "sprites", "actions": ["true"]})
    words = list(read.seen)
    loader.pass_words(read, known, words, ITEMS)
    images = ["icons:rope", "icons:sword", "icons:crown-v1", "icons:crown-v2"]
    assert words == ["sprites", *images, "image", "icons"]
    assert next(task for task in known if task.name == "image").options["prompt"] == ["a=b"]
    control = TaskControl(known)
    control.process(words)
    assert control.selected_tasks == words


def test_only_a_dodo_file_that_takes_our_tasks_is_checked() -> None:
    assert takes_our_tasks({"task_why": imagegen.tasks.task_why})
    assert takes_our_tasks({"task_jobs": lambda: None})
    assert not takes_our_tasks({"task_own": lambda: None, "imagegen": imagegen})


def test_a_dodo_files_own_configuration_completes_ours() -> None:
    loader = NamespaceTaskLoader()
    loader.namespace = {"task_jobs": imagegen.tasks.task_jobs, "DOIT_CONFIG": {"verbosity": 2}}
    assert loader.load_doit_config() == {**imagegen.tasks.DOIT_CONFIG, "verbosity": 2}
    loader.namespace["DOIT_CONFIG"] = {"default_tasks": None}  # every task, as doit has it
    assert loader.load_doit_config() == imagegen.tasks.DOIT_CONFIG
    loader.namespace = {"DOIT_CONFIG": {"verbosity": 2}}
    assert loader.load_doit_config() == {"verbosity": 2}


def test_a_task_with_the_name_of_a_job_is_refused_in_plain_words() -> None:
    refuse_equal_names(tasks())
    with pytest.raises(InvalidDodoFile, match="it has a task 'icons' of its own"):
        refuse_equal_names(tasks({"name": "icons", "actions": ["true"]}))


def test_every_command_is_reserved_and_a_task() -> None:
    groups = {re.sub(":.*", "", name) for name in COMMANDS}
    assert groups | {"list", "run"} <= reserved_names()
    assert {f"task_{name}" for name in groups} | {"DOIT_CONFIG", "task_jobs"} == set(imagegen.tasks.__all__)
    assert all(callable(getattr(imagegen.tasks, f"task_{name}")) for name in groups)

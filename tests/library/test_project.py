"""`imagegen.Project`: real projects, built in this process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import imagegen
from imagegen import BuildResult, ImagegenError, ImageOutcome, InputError, NotBegunError, Project
from imagegen.commands.command_line import reserved_names
from imagegen.config.settings import SETTINGS
from imagegen.library.reserved_names import RESERVED_NAMES
from imagegen.state.mutex import hold
from tests.project_folder import SMALL_JOB, ProjectFolder, items
from tests.valid_results import occurring

TASKS = ["portraits:mallsing", "portraits:yrr"]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in SETTINGS:
        if setting.environment:
            monkeypatch.delenv(setting.environment, raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> ProjectFolder:
    return make_folder(tmp_path)


def make_folder(root: Path) -> ProjectFolder:
    """A project whose script is found from any folder."""
    script = {"script": str(root / "script.json")}
    found = ProjectFolder(root, {**SMALL_JOB, "scripted": script})
    found.job()
    return found


def files(root: Path) -> dict[str, int]:
    """Every file, and when it was last written."""
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.rglob("*")}


def states(result: BuildResult) -> dict[str, str]:
    return {image.task: image.state for image in result.images}


def wait_for(is_so: Any) -> None:
    while not is_so():
        time.sleep(0.005)


# the plan


def test_a_plan_is_what_doit_why_says_and_a_build_what_doit_does(folder: ProjectFolder) -> None:
    folder.job(derive={"thumb": {"width": 16}})
    project = Project(folder.root)
    plan = project.plan()
    why = folder.doit("why", "--json").result
    assert plan.total.counts == why["total"]["counts"]
    assert [(one.task, one.act, one.path, one.seed) for one in plan.images] == [
        (one["task"], one["act"], one["path"], one["seed"]) for one in why["images"]
    ]
    assert plan.requests["portraits:yrr"]["prompt"] == "a small figure"
    result = project.build()
    assert (result.exit_code, occurring(result.counts)) == (0, {"generated": 2, "derived": 2})
    assert "4 fresh, nothing to do" in folder.doit().closing
    assert (project.plan().stale, project.plan().is_stale) == ((), False)
    assert len(project.plan().images) == 4


def test_a_plan_writes_nothing(folder: ProjectFolder) -> None:
    before = files(folder.root)
    Project(folder.root).plan()
    assert files(folder.root) == before
    assert folder.calls("preflight") == []


def test_broken_jobs_are_problems_with_their_place_and_the_others_are_built(folder: ProjectFolder) -> None:
    folder.write("jobs/arms.yaml", "itms: []\n")
    project = Project(folder.root)
    (problem, *_) = project.plan().problems
    assert problem.where.startswith("jobs/arms.yaml:1:")
    result = project.build()
    assert states(result) == dict.fromkeys(TASKS, "generated")
    assert (result.exit_code, problem in result.problems) == (2, True)
    assert project.plan().is_stale
    with pytest.raises(InputError, match="itms"):
        result.raise_for_failures()


# what is named


@pytest.mark.parametrize(
    ("selection", "tasks"),
    [
        (None, TASKS),
        ("portraits", TASKS),
        ("portraits:yrr", TASKS[1:]),
        (["portraits:y*", "portraits:mallsing"], TASKS),
        ("assets/portraits/yrr.png", TASKS[1:]),
        (Path("assets/portraits/yrr.png"), TASKS[1:]),
        ([], []),
    ],
)
def test_words_name_what_they_name_on_the_command_line(folder: ProjectFolder, selection: Any, tasks: list[str]) -> None:
    assert [image.task for image in Project(folder.root).plan(selection).images] == tasks


def test_an_absolute_path_names_its_image(folder: ProjectFolder) -> None:
    plan = Project(folder.root).plan(folder.image("yrr"))
    assert [image.task for image in plan.images] == TASKS[1:]


def test_a_word_that_names_nothing_is_an_error_with_the_nearest(folder: ProjectFolder) -> None:
    for ask in (Project(folder.root).plan, Project(folder.root).build):
        with pytest.raises(InputError, match="did you mean 'portraits'"):
            ask("portrait")


@pytest.mark.parametrize("selection", [3, [3], b"portraits", ["portraits", None]])
def test_a_selection_that_names_nothing_is_of_a_wrong_type(folder: ProjectFolder, selection: Any) -> None:
    project = Project(folder.root)
    for ask in (project.plan, project.build):
        with pytest.raises(TypeError, match="selection is a name, a path or a pattern"):
            ask(selection)


def test_the_names_that_no_job_may_have_are_those_of_the_command_line() -> None:
    assert reserved_names() == RESERVED_NAMES


# settings


def test_settings_are_stronger_than_the_projects_own(folder: ProjectFolder) -> None:
    folder.write("pyproject.toml", '[tool.imagegen]\nbackend = "nobody"\n')
    folder.write("jobs/portraits.yaml", "items: [{name: Yrr, prompt: a small figure}]\n")
    assert {image.backend for image in Project(folder.root, backend="placeholder").plan().images} == {"placeholder"}
    with pytest.raises(InputError, match="nobody"):
        Project(folder.root).plan()


def test_what_is_wrong_with_a_setting_is_an_error(folder: ProjectFolder) -> None:
    with pytest.raises(InputError, match=r"^imagegen\.Project: budget="):
        Project(folder.root, budget="much").build()


@pytest.mark.parametrize(
    "given",
    [{"budget": 0.1 + 0.2}, {"budget": 1e-05}, {"budget": Decimal("0.04")}, {"store_writes": False}, {"wait": 0}],
)
def test_settings_may_be_what_python_has_for_them(folder: ProjectFolder, given: Any) -> None:
    assert len(Project(folder.root, **given).plan().images) == 2


def test_an_empty_setting_is_an_error(folder: ProjectFolder) -> None:
    with pytest.raises(InputError, match="store is empty"):
        Project(folder.root, store="")


def test_a_budget_is_kept(folder: ProjectFolder) -> None:
    folder.script(prices={"*": "0.04"})
    project = Project(folder.root, budget=0.05)
    assert (project.plan().total.price, project.plan().total.is_budget_enough) == (0.08, False)
    result = project.build()
    assert (occurring(result.counts), result.cost.spent) == ({"generated": 1, "failed": 1}, 0.04)
    assert occurring(project.build(budget="none").counts) == {"fresh": 1, "generated": 1}


def test_a_limit_leaves_the_others_stale(folder: ProjectFolder) -> None:
    project = Project(folder.root, limit=1)
    assert [image.task for image in project.plan().stale] == TASKS[:1]
    result = project.build()
    assert (states(result), result.left) == ({TASKS[0]: "generated"}, 1)
    assert occurring(project.build(limit="none").counts) == {"fresh": 1, "generated": 1}


def test_every_setting_of_the_command_line_is_an_argument() -> None:
    named = {setting.command_line for setting in SETTINGS if setting.command_line}
    arguments = set(Project.__init__.__kwdefaults__ or ())
    assert named == arguments


def test_a_folder_without_a_project_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="imagegen init"):
        Project(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"imagegen\.Project: path is empty"):
        Project("")


def test_a_tilde_is_the_home_folder(folder: ProjectFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(folder.root.parent))
    assert Project(f"~/{folder.root.name}").root == folder.root
    with pytest.raises(InputError, match="there is no project in ~/nowhere"):
        Project("~/nowhere")


# a build


def test_only_what_is_named_is_generated_again(folder: ProjectFolder) -> None:
    project = Project(folder.root)
    project.build()
    assert occurring(project.build("portraits:yrr", force=True).counts) == {"generated": 1}
    assert occurring(project.build().counts) == {"fresh": 2}


def test_events_come_in_order_and_end_in_the_outcomes_of_the_result(folder: ProjectFolder) -> None:
    folder.script(acts={"Yrr": [{"steps": 2, "waiting": "for its turn"}]})
    events: list[imagegen.Event] = []
    result = Project(folder.root).build("portraits:yrr", on_event=events.append)
    assert events[:3] == [
        imagegen.Begun(1),
        imagegen.Started("portraits:yrr", "assets/portraits/yrr.png"),
        imagegen.Note("portraits:yrr", "portraits", "for its turn"),
    ]
    assert events[3:5] == [imagegen.Steps("portraits:yrr", done, 2) for done in (1, 2)]
    assert events[5:] == [imagegen.Arrived("portraits:yrr", "assets/portraits/yrr.png"), *result.images]


def test_the_run_begins_with_how_many_images_there_will_be_an_outcome_of(folder: ProjectFolder) -> None:
    folder.job(derive={"thumb": {"width": 16}})
    project = Project(folder.root)
    project.build()
    folder.job(derive={"thumb": {"width": 8}}, items=items(Yrr="a figure"))
    events: list[imagegen.Event] = []
    result = project.build(on_event=events.append)
    outcomes = [event for event in events if isinstance(event, ImageOutcome)]
    assert events[0] == imagegen.Begun(len(outcomes))
    assert outcomes == list(result.images)


def test_an_empty_list_builds_nothing(folder: ProjectFolder) -> None:
    result = Project(folder.root).build([])
    assert (occurring(result.counts), result.exit_code, folder.calls("started")) == ({}, 0, [])


def test_plans_and_results_can_be_written_as_json(folder: ProjectFolder) -> None:
    project = Project(folder.root)
    plan, result = project.plan(), project.build()
    assert json.loads(json.dumps(asdict(plan)))["requests"]["portraits:yrr"]["width"] == 32
    assert json.loads(json.dumps(asdict(result)))["images"][0]["state"] == "generated"


def test_an_image_that_fails_is_in_the_result_with_its_problem(folder: ProjectFolder) -> None:
    folder.script(acts={"Yrr": [{"error": "no colour is left"}]})
    result = Project(folder.root).build()
    assert states(result) == {TASKS[0]: "generated", TASKS[1]: "failed"}
    assert [problem.what for problem in result.failed[0].problems] == ["no colour is left"]
    with pytest.raises(ImagegenError, match="no colour is left"):
        result.raise_for_failures()


def test_nothing_is_printed_and_the_working_directory_stays(
    folder: ProjectFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path.parent)
    Project(tmp_path.name).build()
    assert Path.cwd() == tmp_path.parent
    assert capfd.readouterr() == ("", "")
    assert folder.image("yrr").exists()


def test_a_build_while_another_one_is_at_work_is_not_begun(folder: ProjectFolder) -> None:
    with hold(folder.root / ".imagegen", 0), pytest.raises(NotBegunError, match=r"wait=600") as refused:
        Project(folder.root).build()
    assert "imagegen.Project(" in refused.value.problems[0].hint
    assert folder.calls("started") == []
    assert occurring(Project(folder.root).build().counts) == {"generated": 2}


def test_a_build_that_waits_for_another_one_can_be_cancelled(folder: ProjectFolder) -> None:
    project = Project(folder.root, wait=900_000)
    with hold(folder.root / ".imagegen", 0), ThreadPoolExecutor(1) as pool:
        building = pool.submit(project.build, on_event=lambda _: project.cancel())
        assert states(building.result()) == dict.fromkeys(TASKS, "cancelled")


def test_others_are_told_which_program_is_at_work(folder: ProjectFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tools/pipeline.py", "--all"])
    with (
        hold(folder.root / ".imagegen", 0),
        pytest.raises(NotBegunError, match=rf"\(process {os.getpid()}: 'pipeline.py', since "),
    ):
        Project(folder.root).build()


# what ends it early


def test_what_on_event_raises_is_raised_once_all_is_in_order(folder: ProjectFolder) -> None:
    class NoMoreError(Exception):
        pass

    def stop(event: imagegen.Event) -> None:
        if isinstance(event, imagegen.Started):
            raise NoMoreError

    folder.script(acts={"*": [{"steps": 3}]})
    with pytest.raises(NoMoreError):
        Project(folder.root).build(on_event=stop)
    done = folder.calls()
    assert done
    assert occurring(Project(folder.root).build().counts) == {
        "fresh": len(done),
        **({"generated": 1} if len(done) == 1 else {}),
    }


def test_a_build_can_be_cancelled_from_another_thread_and_gone_on_with(folder: ProjectFolder) -> None:
    folder.script(acts={"Mallsing": [{"hang": True}, {}]})
    project = Project(folder.root)
    with ThreadPoolExecutor(1) as pool:
        building = pool.submit(project.build)
        wait_for(lambda: "Mallsing" in folder.calls("started"))
        project.cancel(now=True)
        result = building.result()
    assert (result.stopped, result.exit_code) == (True, 130)
    assert states(result)["portraits:mallsing"] == "cancelled"
    folder.script()
    assert project.build().exit_code == 0


def test_on_event_may_cancel(folder: ProjectFolder) -> None:
    project = Project(folder.root)
    result = project.build(on_event=lambda _: project.cancel())
    assert states(result) == dict.fromkeys(TASKS, "cancelled")
    assert folder.calls("started") == []
    with pytest.raises(ImagegenError, match=r"was cancelled; 2 images left"):
        result.raise_for_failures()


def test_ctrl_c_is_raised_once_what_is_generated_is_stored(folder: ProjectFolder) -> None:
    def press(event: imagegen.Event) -> None:
        if isinstance(event, imagegen.Started):
            os.kill(os.getpid(), 2)

    with pytest.raises(KeyboardInterrupt):
        Project(folder.root).build("portraits:yrr", on_event=press)
    assert folder.calls() == ["Yrr"]
    assert occurring(Project(folder.root).build("portraits:yrr").counts) == {"fresh": 1}


@contextmanager
def handler(number: int, handle: Callable[[], object]) -> Iterator[None]:
    """Have this process handle a signal in its own way."""
    before = signal.signal(number, lambda *_: handle())
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_handler_of_the_programs_own_stays_and_may_cancel(folder: ProjectFolder, number: int) -> None:
    project = Project(folder.root)
    with handler(number, project.cancel):
        result = project.build(on_event=lambda _: signal.raise_signal(number))
    assert (result.stopped, states(result)) == (True, dict.fromkeys(TASKS, "cancelled"))


# several at once


def test_projects_are_built_side_by_side_in_threads(tmp_path: Path) -> None:
    folders = [make_folder(tmp_path / name) for name in ("one", "two")]
    both = threading.Barrier(2, timeout=100)

    def build(folder: ProjectFolder) -> list[str]:
        outcomes: list[str] = []

        def on_event(event: imagegen.Event) -> None:
            if isinstance(event, imagegen.Started) and not outcomes:
                both.wait()  # both are at work now
            if isinstance(event, ImageOutcome):
                outcomes.append(event.path)

        Project(folder.root).build(on_event=on_event)
        return sorted(outcomes)

    stdout = sys.stdout
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(build, folders)) == [["assets/portraits/mallsing.png", "assets/portraits/yrr.png"]] * 2
        plans = list(pool.map(lambda folder: Project(folder.root).plan(), folders * 2))
    assert [plan.stale for plan in plans] == [()] * 4
    assert sys.stdout is stdout


# loading it


def test_importing_imagegen_loads_nothing_of_it_and_every_name_is_there() -> None:
    code = "import sys, imagegen; print(*[name for name in sys.modules if name.startswith('imagegen.')])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
    assert [name for name in imagegen.__all__ if getattr(imagegen, name, None) is None] == []
    assert set(imagegen.__all__) <= set(dir(imagegen))
    with pytest.raises(AttributeError, match="Projct"):
        imagegen.Projct  # type: ignore[attr-defined]  # noqa: B018

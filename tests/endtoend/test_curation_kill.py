"""Decisions killed with SIGKILL between any two steps of writing: nothing is lost, generated or in the way."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.endtoend.project import DODO, ProjectFolder
from tests.execute.workshop import Workshop

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the places are told by /proc")

ITEM = {"name": "A", "prompt": "a figure"}
TASK = "portraits:a"


@dataclass(frozen=True)
class Case:
    """prepare: up to the command. command: doit's. again: the same in this process, if it is not done yet."""

    prepare: Callable[[Workshop], object]
    command: list[str]
    again: Callable[[Workshop], object]


def variants(workshop: Workshop) -> None:
    """Three variants, of which the third was changed by hand."""
    workshop.job(items=[ITEM], variants=3)
    workshop.build()
    workshop.touch_up("a-v3")


def one_picked(workshop: Workshop) -> None:
    variants(workshop)
    workshop.pick("a", 3)


def two_prompts(workshop: Workshop) -> None:
    for prompt in ("a figure", "another figure"):
        workshop.job(items=[ITEM | {"prompt": prompt}])
        workshop.build()


def two_seeds(workshop: Workshop) -> None:
    workshop.job(items=[ITEM])
    workshop.build()
    workshop.reroll(TASK)
    workshop.build()


def edited(workshop: Workshop) -> None:
    workshop.job(items=[ITEM])
    workshop.build()
    workshop.touch_up("a")


def back(workshop: Workshop) -> None:
    oldest = len(workshop.list_versions(TASK))
    if not workshop.list_versions(TASK)[-1].is_now:
        workshop.restore(TASK, oldest)


PICK = ["pick", TASK, "--variant"]
CASES = {
    "pick": Case(variants, [*PICK, "3"], lambda workshop: workshop.pick("a", 3)),
    "pick another": Case(one_picked, [*PICK, "1"], lambda workshop: workshop.pick("a", 1)),
    "pick none": Case(one_picked, [*PICK, "0"], lambda workshop: workshop.pick("a", 0)),
    "restore by accepting": Case(two_prompts, ["restore", TASK], back),
    "restore by seed": Case(two_seeds, ["restore", TASK], back),
    "accept": Case(edited, ["accept", TASK], lambda workshop: workshop.accept(TASK)),
}


@dataclass(frozen=True)
class Traced:
    """A project up to a command, the file operations of that, and the images after it."""

    root: Path
    operations: list[str]
    after: dict[str, bytes]


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Traced]:
    """Each case is traced once, when it is first asked for."""
    known: dict[str, Traced] = {}

    def trace(name: str) -> Traced:
        if name not in known:
            folder = tmp_path_factory.mktemp("traced")
            CASES[name].prepare(prepared(folder / "before"))
            shutil.copytree(folder / "before", folder / "after")
            run = killable(folder / "after").doit(*CASES[name].command, FAULT_TRACE=str(folder / "trace"))
            assert run.code == 0, run.out + run.err
            operations = (folder / "trace").read_text().splitlines()
            known[name] = Traced(folder / "before", operations, Workshop(folder / "after").files())
        return known[name]

    return trace


def prepared(root: Path) -> Workshop:
    workshop = Workshop(root)
    shutil.copy(Path(__file__).with_name("faults.py"), root / "faults.py")
    (root / "dodo.py").write_text(f"import faults  # noqa: F401\n{DODO}")
    return workshop


def killable(root: Path) -> ProjectFolder:
    project = object.__new__(ProjectFolder)
    project.root, project.log, project.environment = root, root / "calls.jsonl", {}
    return project


SHORT = {
    "pick": ("→ .imagegen/candidates", "unlink assets"),
    "pick another": ("→ assets",),
    "pick none": ("→ jobs/portraits.lock",),
    "restore by accepting": ("→ assets",),
    "accept": ("write jobs/portraits.lock",),
}
"""The steps that the short form is killed at: before the last of each."""


@pytest.mark.parametrize(("name", "step"), [(name, step) for name, steps in SHORT.items() for step in steps])
def test_a_kill_before_each_kind_of_step_loses_nothing(
    traced: Callable[[str], Traced], tmp_path: Path, name: str, step: str
) -> None:
    found = [number for number, line in enumerate(traced(name).operations, start=1) if step in line]
    kill_and_recover(name, traced(name), tmp_path / "project", found[-1])


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_a_kill_between_any_two_steps_of_a_decision_loses_nothing(
    traced: Callable[[str], Traced], tmp_path: Path, name: str
) -> None:
    for at in range(1, len(traced(name).operations) + 1):
        kill_and_recover(name, traced(name), tmp_path / str(at), at)


def kill_and_recover(name: str, before: Traced, root: Path, at: int) -> None:
    where = (name, at, before.operations[at - 1])
    shutil.copytree(before.root, root)
    process = killable(root).start(*CASES[name].command, FAULT_AT=str(at), FAULT_HOW="before")
    out, err = process.communicate(timeout=60)
    assert process.returncode == -9, (where, out, err)

    workshop = Workshop(root)
    for path, data in Workshop(before.root).files().items():
        assert workshop.is_kept(data), (where, path)
    # an edit that is not moved away yet is not replaced, until the same command is given again
    assert set(workshop.build().values()) <= {"restored", "kept", "failed"}, where
    for path, data in Workshop(before.root).files().items():
        assert workshop.is_kept(data), (where, path)

    CASES[name].again(workshop)
    assert workshop.files() == before.after, where
    assert set(workshop.states().values()) <= {"fresh", "kept"}, where
    assert set(workshop.build().values()) <= {"kept"}, where
    assert workshop.calls() == 0, where

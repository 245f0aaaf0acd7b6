"""Decisions killed with SIGKILL between any two steps of writing: nothing is lost, generated or in the way."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.project_folder import DODO, SMALL_JOB, ProjectFolder

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="/proc says which files are open")

ITEM = {"name": "A", "prompt": "a figure"}
TASK = "portraits:a"


@dataclass(frozen=True)
class Case:
    """prepare: up to the command. command: doit's. again: the same in this process, if it is not done yet."""

    prepare: Callable[[ProjectFolder], object]
    command: list[str]
    again: Callable[[ProjectFolder], object]


def variants(folder: ProjectFolder) -> None:
    """Three variants, of which the third was changed by hand."""
    folder.job(items=[ITEM], variants=3)
    folder.build()
    folder.touch_up("a-v3")


def one_picked(folder: ProjectFolder) -> None:
    variants(folder)
    folder.pick("a", 3)


def two_prompts(folder: ProjectFolder) -> None:
    for prompt in ("a figure", "another figure"):
        folder.job(items=[ITEM | {"prompt": prompt}])
        folder.build()


def two_seeds(folder: ProjectFolder) -> None:
    folder.job(items=[ITEM])
    folder.build()
    folder.reroll(TASK)
    folder.build()


def edited(folder: ProjectFolder) -> None:
    folder.job(items=[ITEM])
    folder.build()
    folder.touch_up("a")


def back(folder: ProjectFolder) -> None:
    oldest = len(folder.list_versions(TASK))
    if not folder.list_versions(TASK)[-1].is_now:
        folder.restore(TASK, oldest)


PICK = ["pick", TASK, "--variant"]
CASES = {
    "pick": Case(variants, [*PICK, "3"], lambda folder: folder.pick("a", 3)),
    "pick another": Case(one_picked, [*PICK, "1"], lambda folder: folder.pick("a", 1)),
    "pick none": Case(one_picked, [*PICK, "0"], lambda folder: folder.pick("a", 0)),
    "restore by accepting": Case(two_prompts, ["restore", TASK], back),
    "restore by seed": Case(two_seeds, ["restore", TASK], back),
    "accept": Case(edited, ["accept", TASK], lambda folder: folder.accept(TASK)),
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
            after = ProjectFolder(folder / "after", SMALL_JOB)
            run = after.doit(*CASES[name].command, FAULT_TRACE=str(folder / "trace"))
            assert run.code == 0, run.out + run.err
            operations = (folder / "trace").read_text().splitlines()
            known[name] = Traced(folder / "before", operations, after.files())
        return known[name]

    return trace


def prepared(root: Path) -> ProjectFolder:
    folder = ProjectFolder(root, SMALL_JOB)
    shutil.copy(Path(__file__).with_name("faults.py"), root / "faults.py")
    (root / "dodo.py").write_text(f"import faults  # noqa: F401\n{DODO}")
    return folder


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
    folder = ProjectFolder(root, SMALL_JOB)
    process = folder.start(*CASES[name].command, FAULT_AT=str(at), FAULT_HOW="before")
    out, err = process.communicate(timeout=60)
    assert process.returncode == -9, (where, out, err)

    for path, data in ProjectFolder(before.root, SMALL_JOB).files().items():
        assert folder.is_kept(data), (where, path)
    # an edit that is not moved away yet is not replaced, until the same command is given again
    assert set(folder.build().values()) <= {"restored", "kept", "failed"}, where
    for path, data in ProjectFolder(before.root, SMALL_JOB).files().items():
        assert folder.is_kept(data), (where, path)

    CASES[name].again(folder)
    assert folder.files() == before.after, where
    assert set(folder.states().values()) <= {"fresh", "kept"}, where
    assert set(folder.build().values()) <= {"kept"}, where
    assert len(folder.calls()) == 0, where

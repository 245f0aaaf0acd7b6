"""A store that several share: what one generated, the others restore."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.endtoend.test_kill import stored
from tests.marks import long
from tests.project_folder import DODO, ProjectFolder

NAMES = ["portraits:mallsing", "portraits:okka", "portraits:yrr"]


@pytest.fixture
def team(project: ProjectFolder) -> Path:
    """The shared folder; the project uses it."""
    folder = project.root.parent / "team"
    folder.mkdir()
    project.environment["IMAGEGEN_STORE"] = f"file://{folder.as_posix()}"
    project.job()
    return folder


def clone(project: ProjectFolder, name: str = "clone") -> ProjectFolder:
    """A checkout of what is committed: the jobs, and where there are any, the lock files; no images."""
    if not (project.root / ".git").exists():
        project.write(".gitignore", ".imagegen/\nassets/\ncalls.jsonl\n.doit*\n__pycache__/\n")
        project.git("init", "-q")
    project.git("add", "-A")
    project.git("commit", "-qm", "images", "--allow-empty")
    root = project.root.parent / name
    subprocess.run(["git", "clone", "-q", str(project.root), str(root)], check=True)
    other = ProjectFolder(root)
    other.environment = dict(project.environment)
    other.script()
    return other


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def shared(folder: Path) -> tuple[int, int]:
    """How many images and entries are there."""
    return tuple(len([path for path in (folder / kind).rglob("*") if path.is_file()]) for kind in ("blobs", "index"))  # type: ignore[return-value]


def test_what_one_generated_the_other_restores_without_generating(project: ProjectFolder, team: Path) -> None:
    assert project.doit().tasks("generated") == NAMES
    assert shared(team) == (3, 3)
    other = clone(project)
    run = other.doit()
    assert (run.code, run.tasks("restored"), run.tasks("generated")) == (0, NAMES, [])
    assert run.out.count("; from the shared store)") == 3
    assert other.calls() == []
    assert files(other.root / "assets") == files(project.root / "assets")
    assert other.lines() == project.lines()
    assert other.git("status", "--porcelain") == " M script.json\n"
    assert "3 fresh, nothing to do" in other.doit().closing


@pytest.mark.long  # tests/execute/test_shared_store.py has each way by itself
def test_it_goes_both_ways_and_through_the_local_store(project: ProjectFolder, team: Path) -> None:
    project.doit()
    other = clone(project)
    other.job(generate={"width": 32, "height": 32})
    assert other.doit().tasks("generated") == NAMES
    project.job(generate={"width": 32, "height": 32})
    assert project.doit().tasks("restored") == NAMES
    assert shared(team) == (6, 6)
    shutil.rmtree(team)  # by now it is all here
    project.job()
    assert "shared store" not in (run := project.doit()).out
    assert run.tasks("restored") == NAMES


def test_who_may_only_read_writes_nothing(project: ProjectFolder, team: Path) -> None:
    project.doit()
    before = files(team)
    other = clone(project)
    other.environment["IMAGEGEN_STORE_WRITES"] = "false"
    other.job(items=[{"name": "Mallsing", "prompt": "a tall figure"}, {"name": "Tharn", "prompt": "new"}])
    run = other.doit()
    assert (run.tasks("restored"), run.tasks("generated")) == (["portraits:mallsing"], ["portraits:tharn"])
    assert files(team) == before
    assert "shared store" not in run.out.replace("from the shared store", "")
    assert not (other.root / ".imagegen/pending.txt").exists()


def test_one_that_is_gone_costs_one_line_and_gets_what_was_made_once_it_is_back(
    project: ProjectFolder, team: Path
) -> None:
    team.rmdir()
    run = project.doit()
    assert (run.code, run.tasks("generated")) == (0, NAMES)
    (line,) = [line for line in run.out.splitlines() if "shared store" in line]
    assert line == (
        f"the shared store file://{team} cannot be reached: No such file or directory: {team}; this run continues without it; "
        "new images are kept here, and a later run uploads them"
    )
    assert not team.exists()
    assert "3 images to upload" in project.doit("doctor").out
    run = project.doit()
    assert run.code == 0
    assert run.out.startswith(
        f"3 images still have to be uploaded to the shared store file://{team}, which cannot be reached: No such file or "
        f"directory: {team}; later runs continue, or doit store:push does it now\n"
    )
    assert "shared store" not in project.doit().out  # not again so soon
    run = project.doit("store:push")
    assert (run.code, run.out.count("cannot be reached")) == (1, 1)
    run = project.doit("store:push", "--json")
    assert (run.code, run.result["images"], run.result["unsent"]) == (1, 3, 3)
    assert "cannot be reached" in " ".join(run.result["notes"])
    team.mkdir()
    run = project.doit("store:push")
    assert (run.code, run.out.splitlines()) == (
        0,
        [
            f"uploaded 3 images of earlier runs to the shared store file://{team}",
            f"the shared store file://{team} has every image that can be shared: 3 images "
            "(placeholders, one-off images and derived files are not shared)",
        ],
    )
    assert shared(team) == (3, 3)
    assert "shared" not in project.doit().out
    assert clone(project).doit().tasks("restored") == NAMES


@pytest.mark.parametrize(
    "words",
    [
        ["why"],
        *map(
            long, (["list", "--all", "--status"], ["info", "portraits:yrr"], ["settings"], ["verify"], ["clean", "-n"])
        ),
    ],
    ids=" ".join,
)
def test_what_only_plans_does_not_ask_it(project: ProjectFolder, team: Path, words: list[str]) -> None:
    team.rmdir()
    assert "cannot be reached" not in project.doit(*words).out


def test_a_run_that_has_all_it_needs_here_does_not_ask_it(project: ProjectFolder, team: Path) -> None:
    seen = "import atexit, sys\natexit.register(lambda: print('imported:', *{'fsspec', 'imagegen.execute'} & set(sys.modules)))\n"
    project.write("dodo.py", DODO + seen)
    project.imports_count = True
    project.doit()
    shutil.rmtree(team)
    run = project.doit()
    assert "cannot be reached" not in run.out
    assert run.closing == "imported:"
    project.image("yrr").unlink()
    run = project.doit()
    assert run.tasks("restored") == ["portraits:yrr"]
    assert "cannot be reached" not in run.out


def test_the_doctor_has_a_row_for_it(project: ProjectFolder, team: Path) -> None:
    row = next(row for row in project.doit("doctor", "--json").result["checks"] if row["what"] == "shared store")
    assert (row["state"], row["blocks"]) == ("ok", False)
    assert row["found"].endswith("read and written to")
    team.rmdir()
    row = next(row for row in project.doit("doctor", "--json").result["checks"] if row["what"] == "shared store")
    assert (row["state"], row["blocks"]) == ("wrong", False)
    assert "cannot be reached: No such file or directory" in row["found"]


def test_an_image_that_has_gone_bad_there_is_generated_and_mended(project: ProjectFolder, team: Path) -> None:
    project.doit()
    for blob in (team / "blobs").rglob("*"):
        if blob.is_file():
            blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    other = clone(project)
    run = other.doit()
    assert run.tasks("generated") == NAMES
    assert "has files that cannot be used, and were skipped: the image " in run.out
    assert "(and 2 more)" in run.out
    assert files(other.root / "assets") == files(project.root / "assets")
    assert not [path for path, data in files(team / "blobs").items() if data.endswith(b"x")]


def test_one_off_images_and_stand_ins_do_not_go_up(project: ProjectFolder, team: Path) -> None:
    assert project.doit("image", "--prompt", "a raven", "--backend", "scripted").code == 0
    assert project.doit("backend=placeholder").code == 0
    assert files(team) == {}


def test_a_password_is_told_nowhere(project: ProjectFolder, team: Path) -> None:
    address = f"ssh://mia:hush-hush@nas{team}"
    runs = [project.doit(f"store={address}"), project.doit("doctor", IMAGEGEN_STORE=address)]
    assert all("without a password" in run.out + run.err for run in runs)
    assert "hush" not in "".join(run.out + run.err for run in runs)
    assert not [path for path, data in files(project.root).items() if b"hush" in data]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="it hangs as a pipe does")
@pytest.mark.long
def test_one_that_hangs_costs_a_line_and_ten_seconds(project: ProjectFolder, team: Path) -> None:
    project.doit()
    for entry in (team / "index").rglob("*.json"):
        entry.unlink()
        os.mkfifo(entry)  # to open it waits for a writer, for ever
    other = clone(project)
    start = time.monotonic()
    run = other.doit()
    assert 10 <= time.monotonic() - start < 20
    assert (run.code, run.tasks("generated")) == (0, NAMES)
    assert run.out.count("shared store") == 1
    assert "cannot be reached: no answer within 10 s; this run continues without it" in run.out


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="/proc says which files are open")
@pytest.mark.parametrize(
    "place",
    [
        "→ ../team/blobs",
        *map(
            long,
            (
                "write .imagegen/pending.txt",
                "write .imagegen/store/index",
                "write jobs/portraits.lock",
                "→ ../team/index",
                "unlink .imagegen/pending.txt",
            ),
        ),
    ],
)
def test_a_kill_before_it_is_up_loses_nothing_and_it_goes_up_later(
    project: ProjectFolder, team: Path, place: str
) -> None:
    shutil.copy(Path(__file__).with_name("faults.py"), project.root / "faults.py")
    project.write("dodo.py", f"import faults  # noqa: F401\n{DODO}")
    process = project.start(FAULT_ON=place)
    out, err = process.communicate(timeout=60)
    assert process.returncode == -9, out + err
    reached, calls = stored(project), len(project.calls())
    run = project.doit()
    assert run.code == 0, run.out + run.err
    assert len(project.calls()) - calls == 3 - len(reached), run.out
    assert shared(team) == (3, 3)
    other = clone(project)
    assert other.doit().tasks("restored") == NAMES
    assert other.calls() == []

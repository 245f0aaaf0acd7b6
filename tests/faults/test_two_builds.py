"""Two at once on one checkout: whatever is started beside a build, nothing is lost, made twice, or told as a traceback.

The build is stopped (SIGSTOP) in the middle of an image, so that what is beside it is beside it for certain.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagegen.execute.events import Event, Outcome
from imagegen.execute.run import run
from imagegen.images.image_file import verify
from imagegen.state.lockfile import read_lock_file
from tests.marks import long
from tests.project_folder import DODO, SMALL_JOB, ProjectFolder, Run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

ITEMS = [{"name": name, "prompt": name} for name in ("Ask", "Birk", "Eik")]
WRITERS = {
    "doit": [],
    "clean": ["clean", "portraits:eik-v1"],
    "pick": ["pick", "portraits:ask", "--variant", "2"],
    "reroll": ["reroll", "portraits:birk-v1"],
    "restore": ["restore", "portraits:birk-v2"],
    "accept": ["accept", "portraits:eik-v2"],
    "prune": ["prune", "--yes"],
    "image": [
        "image",
        "--prompt",
        "a one-off",
        "--width",
        "32",
        "--height",
        "32",
        "--backend",
        "scripted",
        "--name",
        "one",
    ],
}
READERS = {
    "verify": ["verify", "portraits"],
    "gallery": ["gallery"],
    "why": ["why"],
    "doctor": ["doctor"],
    "dry prune": ["prune", "-n"],
    "restore --list": ["restore", "portraits:birk-v2", "--list"],
}


class Yard:
    """A project in which there is something to do for every command, and every file that ever was is remembered."""

    def __init__(self, root: Path, *, slow: bool = False) -> None:
        self.project = project = ProjectFolder(root)
        if slow:
            shutil.copy(Path(__file__).with_name("slow.py"), root / "slow.py")
            project.write("dodo.py", f"import slow  # noqa: F401\n{DODO}")
        self.job(steps=1)
        project.job("gone", items=[{"name": "Gone", "prompt": "gone"}])
        assert project.doit().code == 0
        project.job("gone", items=[{"name": "Other", "prompt": "other"}])  # for prune
        self.job(steps=2)
        assert project.doit().code == 0
        self.touched = project.image("eik-v2")  # for accept
        self.touched.write_bytes(project.image("ask-v1").read_bytes())
        self.ever = self.images()
        self.job(steps=3)

    def job(self, steps: int) -> None:
        self.project.job(variants=2, items=ITEMS, generate={"width": 32, "height": 32, "steps": steps})

    def images(self) -> set[bytes]:
        return {path.read_bytes() for path in (self.project.root / "assets").rglob("*.png")}

    def tree(self) -> dict[str, bytes]:
        """All that counts: images, lock files, the store; not the gallery, nor what only saves time."""
        found: dict[str, bytes] = {}
        for folder in ("assets", "jobs", ".imagegen/store", ".imagegen/candidates"):
            paths = [path for path in (self.project.root / folder).rglob("*") if path.is_file()]
            found |= {str(path): path.read_bytes() for path in paths if "gallery" not in path.parts}
        return found

    @contextlib.contextmanager
    def stopped_build(self, **environment: str) -> Iterator[subprocess.Popen[str]]:
        """A build that stands still in the middle of its second image, and goes on when this is left."""
        before = len(self.project.calls("started"))
        self.project.script(acts={"*": [{"delay_s": 0.4}]})
        process = self.project.start("portraits", **environment)
        while len(self.project.calls("started")) < before + 2 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)
        assert process.poll() is None
        self.project.script()
        try:
            yield process
        except BaseException:
            process.kill()
            process.communicate()
            raise
        process.send_signal(signal.SIGCONT)

    def end(self, process: subprocess.Popen[str]) -> Run:
        out, err = process.communicate(timeout=120)
        assert "Traceback" not in out + err, out + err
        assert "a fault in imagegen" not in out + err, out + err
        return Run(process.returncode, out, err)

    def is_right(self) -> None:
        """After all of it: nothing is lost, nothing was made twice, every record is sound, and doit is right."""
        run = self.project.doit()
        assert "a fault in imagegen" not in run.out
        assert not [task for task in run.tasks("failed") if task != "portraits:eik-v2"], run.out
        made = Counter(entry["fingerprint"] for entry in self.entries() if not entry.get("by_hand"))
        calls = sum(made.values())
        assert len(self.project.calls()) <= calls, "what was drawn is in the store"
        assert max(made.values()) == 1, "nothing is made twice"
        kept = {
            path.read_bytes() for path in (self.project.root / ".imagegen/store/blobs").rglob("*") if path.is_file()
        }
        assert self.ever <= kept | self.images(), "nothing is lost"
        for name in ("portraits", "gone"):
            lock = read_lock_file(f"jobs/{name}.lock", self.project.root / f"jobs/{name}.lock")
            assert not lock.needs_compaction
        for data in self.images():
            verify(data)
        assert not list(self.project.root.rglob("*.tmp"))
        self.touched.unlink(missing_ok=True)
        assert self.project.doit().code == 0
        assert self.project.doit("prune", "--yes").code == 0
        found = self.project.doit("verify")
        assert found.code == 0, found.out

    def entries(self) -> list[dict[str, Any]]:
        """What the store tells of what a backend returned."""
        files = (self.project.root / ".imagegen/store/index").rglob("*.jsonl")
        lines = [json.loads(line) for file in files for line in file.read_bytes().splitlines()]
        return [line for line in lines if "encoding" not in line]


@pytest.mark.parametrize(
    ("writers", "readers"),
    [(("clean", "image"), ("verify", "gallery")), long(tuple(WRITERS), tuple(READERS))],
    ids=["some", "all"],
)
def test_beside_a_build_others_are_told_or_wait_and_what_only_reads_goes_on(
    tmp_path: Path, writers: tuple[str, ...], readers: tuple[str, ...]
) -> None:
    yard = Yard(tmp_path / "project")
    with yard.stopped_build() as build:
        before = yard.tree()
        processes = {name: yard.project.start(*(WRITERS | READERS)[name]) for name in (*writers, *readers)}
        runs = {name: yard.end(process) for name, process in processes.items()}
        assert yard.tree() == before
        waiting = [yard.project.start(*WRITERS[name], "wait=100") for name in writers]
        time.sleep(1)
    for name in writers:
        message = runs[name].out + runs[name].err
        assert f"another doit is running here (process {build.pid}: 'doit portraits', since " in message, (
            name,
            message,
        )
        assert "wait=600" in message
        assert runs[name].code != 0, name
    for name in readers:
        assert "another doit" not in runs[name].out + runs[name].err, name
    assert "7 images" in runs["gallery"].out
    assert yard.end(build).tasks("failed") == ["portraits:eik-v2"]  # somebody changed it
    for process in waiting:
        yard.end(process)
    yard.is_right()


@pytest.mark.long
def test_many_times_while_all_writing_takes_its_time(tmp_path: Path) -> None:
    for number in range(20):
        yard = Yard(tmp_path / str(number), slow=True)
        with yard.stopped_build(SLOW="0.002") as build:
            waiting = [yard.project.start(*words, "wait=100", SLOW="0.002") for words in WRITERS.values()]
            time.sleep(1)
        for process in (build, *waiting):
            yard.end(process)
        yard.is_right()


def test_who_waited_makes_what_is_an_image_by_then(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path, SMALL_JOB)
    folder.job(variants=2)
    folder.build()
    folder.job(variants=2, generate={"width": 32, "height": 32, "steps": 9})
    waiting = folder.project()
    wanted = list(folder.outputs(waiting).values())
    folder.pick("mallsing", 2)
    reported: list[Event] = []
    run(waiting, wanted, reported.append)
    states = {event.output.task: event.state for event in reported if isinstance(event, Outcome)}
    gone = {"portraits:mallsing-v1": "failed", "portraits:mallsing-v2": "failed"}
    assert states == gone | {"portraits:yrr-v1": "generated", "portraits:yrr-v2": "generated"}
    assert sorted(path.name for path in (tmp_path / "assets/portraits").iterdir()) == [
        "mallsing.png",
        "yrr-v1.png",
        "yrr-v2.png",
    ]
    assert folder.build() == {"portraits:mallsing": "generated"}

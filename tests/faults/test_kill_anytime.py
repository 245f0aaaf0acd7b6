"""Killed at any instant of a run over many images, again and again: nothing is lost, and nothing recorded is made twice."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from imagegen.images.image_file import verify
from imagegen.state.lockfile import read_lock_file
from tests.project_folder import DODO, ProjectFolder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

SLOW_S = 0.002
"""The most that one file operation takes."""


@dataclass
class Tally:
    """What was hit. recorded: images with a record when the signal came. again: made once more, having none."""

    kills: int = 0
    too_late: int = 0
    recorded: int = 0
    again: int = 0
    ends: Counter[int] = field(default_factory=Counter)


class Gauntlet:
    """A project whose images are all stale before each run, and killed in the middle of it."""

    def __init__(self, root: Path, images: int, seed: int) -> None:
        self.project = ProjectFolder(root)
        self.random = random.Random(seed)  # noqa: S311 - no secret
        self.tally = Tally()
        self.rounds = 0
        self.count = images
        shutil.copy(Path(__file__).with_name("slow.py"), root / "slow.py")
        self.project.write("dodo.py", f"import slow  # noqa: F401\n{DODO}")
        self.next_round()
        started = time.monotonic()
        assert self.project.doit(SLOW=str(SLOW_S)).code == 0
        self.takes_s = time.monotonic() - started
        assert len(self.images()) == self.count

    def next_round(self) -> None:
        self.rounds += 1
        items = [{"name": f"i{number:03}", "prompt": f"image {number}"} for number in range(self.count)]
        self.project.job(generate={"width": 32, "height": 32, "seed": self.rounds}, items=items)
        self.project.log.unlink(missing_ok=True)

    def images(self) -> dict[str, bytes]:
        folder = self.project.root / "assets"
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def finished(self) -> Counter[str]:
        """How often each image was generated in this round."""
        return Counter(self.project.calls())

    def strike(self, number: signal.Signals) -> None:
        before = self.images()
        kept = {path.name for path in (self.project.root / ".imagegen/store/blobs").rglob("*")}
        self.next_round()
        process = self.project.start(SLOW=str(SLOW_S))
        time.sleep(self.random.uniform(0.2, self.takes_s))
        process.send_signal(number)
        process.communicate(timeout=60)
        self.tally.ends[process.returncode] += 1
        self.tally.kills += process.returncode != 0
        self.tally.too_late += process.returncode == 0
        lock = read_lock_file("jobs/portraits.lock", self.project.root / "jobs/portraits.lock")
        assert len(lock.lines) == self.count
        now = self.images()
        assert now.keys() == before.keys(), "no file of another name"
        for data in now.values():
            verify(data, 32, 32)
        recorded = self.fingerprints()
        made = self.finished()

        run = self.project.doit()
        assert run.code == 0, run.out + run.err
        lock = read_lock_file("jobs/portraits.lock", self.project.root / "jobs/portraits.lock")
        by_item = {lines[-1].output: lines[-1].fingerprint for lines in lock.lines.values()}
        twice = {name for name, count in self.finished().items() if count > 1}
        assert not {by_item[name] for name in twice} & recorded, "what was recorded is not made again"
        assert max(self.finished().values()) <= 2
        self.tally.recorded += sum(fingerprint in recorded for fingerprint in by_item.values())
        self.tally.again += len(twice)
        assert len(made) <= self.count
        blobs = {path.name for path in (self.project.root / ".imagegen/store/blobs").rglob("*")}
        assert kept <= blobs, "what was kept stays"
        for path, lines in lock.lines.items():
            state = self.project.root / path
            assert len(lines) == 1
            verify(state.read_bytes(), 32, 32)
        assert f"{self.count} fresh, nothing to do" in self.project.doit().closing
        assert not [path for path in self.project.root.rglob("*.tmp") if path.parent.name != "tmp"]

    def fingerprints(self) -> set[str]:
        """Of all images that have a record in the store."""
        found = set()
        for path in (self.project.root / ".imagegen/store/index").rglob("*.jsonl"):
            for line in path.read_bytes().splitlines():
                with contextlib.suppress(ValueError):
                    found.add(json.loads(line)["fingerprint"])
        return found


def test_a_kill_at_any_instant_loses_nothing(tmp_path: Path) -> None:
    gauntlet = Gauntlet(tmp_path / "project", 25, seed=1)
    for number in (signal.SIGKILL, signal.SIGTERM):
        gauntlet.strike(number)


@pytest.mark.long
@pytest.mark.parametrize(("number", "times"), [(signal.SIGKILL, 200), (signal.SIGTERM, 40), (signal.SIGINT, 40)])
def test_kills_at_many_instants_lose_nothing(tmp_path: Path, number: signal.Signals, times: int) -> None:
    gauntlet = Gauntlet(tmp_path / "project", 100, seed=number)
    while gauntlet.tally.kills < times:
        gauntlet.strike(number)
    print(f"\n{number.name}: {gauntlet.tally}")

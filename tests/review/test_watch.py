"""Changes are noticed, however quickly one comes after another."""

from __future__ import annotations

import os
import time
from pathlib import Path

from imagegen.review.watch import Watch


def write(path: Path, text: str) -> None:
    """Write a file as a file system does that keeps whole seconds."""
    path.write_text(text)
    now_ns = time.time_ns() // 10**9 * 10**9
    os.utime(path, ns=(now_ns, now_ns))


def test_a_file_that_changes_twice_within_a_tick_is_not_unchanged(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    write(job, "one")
    watch = Watch(tmp_path)
    watch.follow({}, ["job.yaml"], [])
    write(job, "two")
    assert not watch.is_unchanged()
    assert watch.has_changed()
    assert watch.find_changed() == {"job.yaml"}


def test_what_has_long_been_as_it_is_is_unchanged(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text("one")
    os.utime(job, ns=(10**18, 10**18))
    watch = Watch(tmp_path)
    watch.follow({}, ["job.yaml"], ["gone.yaml"])
    assert watch.is_unchanged()
    assert not watch.has_changed()
    assert watch.find_changed() == set()
    job.unlink()
    assert not watch.is_unchanged()
    assert watch.find_changed() == {"job.yaml"}

"""A small disk of its own, mounted where no other process sees it: for what only a real file system does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["Disk", "needs_mounts", "small_disk"]

_UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]


def _can_mount() -> bool:
    if sys.platform != "linux" or not shutil.which("unshare") or not shutil.which("nsenter"):
        return False
    tried = [*_UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


needs_mounts = pytest.mark.skipif(not _can_mount(), reason="this system lets nobody mount a disk of their own")


class Disk:
    """path: where it is mounted, for commands that run `inside`."""

    def __init__(self, path: Path, holder: int) -> None:
        self.path = path
        self._holder = holder

    def inside(self, *command: str) -> list[str]:
        """The command line that runs a command where the disk is seen, in its folder."""
        inner = ["sh", "-c", 'cd "$0" && exec "$@"', str(self.path), *command]
        return ["nsenter", "--target", str(self._holder), "--user", "--mount", "--preserve-credentials", *inner]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.inside(*command), capture_output=True, text=True, check=False, timeout=120)

    def fill(self) -> None:
        """Until not one byte more finds room."""
        self.run("sh", "-c", "cat /dev/zero > filler; cat /dev/zero > filler.2")

    def free(self) -> None:
        self.run("rm", "-f", "filler", "filler.2")

    def remount(self, option: str) -> None:
        """`ro` or `rw`."""
        done = self.run("mount", "-o", f"remount,{option}", str(self.path))
        assert done.returncode == 0, done.stderr


@contextmanager
def small_disk(path: Path, kilobytes: int) -> Iterator[Disk]:
    path.mkdir()
    script = f'mount -t tmpfs -o size={kilobytes}k none "$0" && echo mounted && exec cat'
    holder = subprocess.Popen(
        [*_UNSHARE, "sh", "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "mounted\n"
        yield Disk(path, holder.pid)
    finally:
        holder.communicate("")

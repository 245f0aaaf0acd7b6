"""Measure what a git repository grows by when one image changes, and how much of that is the lock file.

    python tools/bench/git_growth.py [--images 10000] [--commits 100] [--against DOIT] [--keep FOLDER]

Each commit changes the prompt of another item, builds it, and commits the job, its lock file and its images of 16×16
pixels. The first project is one job of so many images; the second is a job of a tenth as many, with a thumbnail of each
and a sheet of all. Git packs everything before the first commit that counts and after the last one. The table has
kilobytes for each commit, in brackets the share of the lock file:

- loose: the new objects as `git commit` writes them, each compressed by itself
- packed: what the repository has grown by once `git gc` has packed them
- pushed: the pack that a push of this one commit sends
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import projects
from projects import JOB, LOG
from runs import PRODUCT, arguments, build, counts, measure, products, row, table, workplace

LOCK = "jobs/portraits.lock"
IGNORED = f".imagegen/\n.doit.db*\n/{LOG}\nfirst-run.json\n__pycache__/\n"


def one_job(folder: Path, count: int) -> None:
    """One job."""
    projects.one_job(folder, count)
    projects.write(folder, ".gitignore", IGNORED)


def with_sheet(folder: Path, count: int) -> None:
    """One job of a tenth as many images, with thumbnails and a sheet."""
    one_job(folder, count // 10)
    projects.write(folder, JOB, f"derive: {{thumb: {{width: 8}}}}\nsheet: {{cell: 8}}\n{(folder / JOB).read_text()}")


PROJECTS: dict[str, Callable[[Path, int], None]] = {"one job": one_job, "thumbnails and a sheet": with_sheet}


@dataclass(frozen=True)
class Size:
    """Bytes: of everything, and of the versions of the lock file."""

    all: float
    lock: float

    def __sub__(self, other: Size) -> Size:
        return Size(self.all - other.all, self.lock - other.lock)

    def __truediv__(self, count: int) -> Size:
        return Size(self.all / count, self.lock / count)

    def __str__(self) -> str:
        return f"{self.all / 1000:.1f} ({self.lock / 1000:.1f})"


def git(folder: Path, *words: str, given: str = "") -> bytes:
    """Run git, which packs nothing by itself, and return what it prints."""
    who = ["-c", "user.name=bench", "-c", "user.email=bench@example.org", "-c", "gc.auto=0", "-c", "maintenance.auto=0"]
    return subprocess.run(
        ["git", *who, *words], cwd=folder, input=given.encode(), check=True, capture_output=True
    ).stdout


def objects(folder: Path, *revisions: str) -> list[str]:
    """Return the ids of objects, those of the lock file's versions with its name: all, or those of some commits."""
    return git(folder, "rev-list", "--objects", *(revisions or ("HEAD",))).decode().splitlines()


def size_on_disk(folder: Path, *revisions: str) -> Size:
    """Return what these objects take in the repository now."""
    found = objects(folder, *revisions)
    ids = "".join(f"{line.split()[0]}\n" for line in found)
    sizes = [int(size) for size in git(folder, "cat-file", "--batch-check=%(objectsize:disk)", given=ids).split()]
    return Size(sum(sizes), sum(size for line, size in zip(found, sizes, strict=True) if line.endswith(f" {LOCK}")))


def size_of_push(folder: Path, commit: str) -> Size:
    """Return the size of the pack that sends this commit to a server that has the one before."""
    options = ("pack-objects", "--stdout", "--delta-base-offset", "-q")
    everything = git(folder, *options, "--revs", "--thin", given=f"{commit}\n^{commit}~\n")
    (lock,) = (line for line in objects(folder, commit, f"^{commit}~") if line.endswith(f" {LOCK}"))
    known = git(folder, "rev-parse", f"{commit}~").decode()
    return Size(len(everything), len(git(folder, *options, given=f"-{known}{lock}\n")))


def commit_changes(folder: Path, doit: str, commits: int) -> None:
    """Commit the built project, and then one changed image in each of so many commits."""
    git(folder, "init", "--initial-branch", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "all images")
    git(folder, "tag", "first")
    git(folder, "gc", "--prune=now")
    for number in range(commits):
        text = (folder / JOB).read_text()
        projects.write(folder, JOB, text.replace(f"person {number} ", f"changed person {number} ", 1))
        measure([doit], folder)
        git(folder, "add", ".")
        git(folder, "commit", "-m", f"change {number}")


def grow(folder: Path, doit: str, commits: int) -> tuple[float, Sequence[Size]]:
    """Return the bytes of the lock file, and what each commit adds: loose, packed and pushed."""
    shutil.rmtree(folder / ".git", ignore_errors=True)
    commit_changes(folder, doit, commits)
    before = size_on_disk(folder, "first")
    loose = size_on_disk(folder, "first..HEAD")
    ids = git(folder, "rev-list", "first..HEAD").decode().split()
    pushes = [size_of_push(folder, one) for one in ids]
    git(folder, "gc", "--prune=now")
    packed = size_on_disk(folder) - before
    pushed = Size(statistics.median(one.all for one in pushes), statistics.median(one.lock for one in pushes))
    return (folder / LOCK).stat().st_size, (loose / commits, packed / commits, pushed)


def main() -> None:
    """Print the table."""
    parser = arguments(__doc__, "10000", 1)
    parser.add_argument("--commits", type=int, default=100, help="of one changed image each (default: %(default)s)")
    options = parser.parse_args()
    with workplace(options.keep) as root:
        for count in counts(options.images):
            table(f"KB a commit of one image, {count} images", "lock file, KB", "loose", "packed", "pushed")
            for what, write in PROJECTS.items():
                for name, doit in products(options.against).items():
                    folder = root / f"{write.__name__}-{count}-{name}"
                    build(folder, partial(write, folder, count), [doit])
                    lock, sizes = grow(folder, doit, options.commits)
                    row(what if name == PRODUCT else f"{what}, {name}", f"{lock / 1000:.0f}", *sizes)


if __name__ == "__main__":
    main()

"""The projects that the benchmarks build: images of 16×16 pixels by the tests' `scripted` backend, which takes no time.

Each function writes a project with so many outputs into a folder. Item 77 is `item 77` everywhere.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

JOB = "jobs/portraits.yaml"
WILDCARD = "jobs/wildcards/hat.txt"
LOG = "log"
"""What the backend did: see `tests/scripted.py`."""
_HEAD = "backend: scripted\nscripted: {script: script.json}\ngenerate: {width: 16, height: 16}\n"


def write(folder: Path, path: str, text: str) -> None:
    """Write a file of a project."""
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(text, encoding="utf-8")


def prompt(number: int) -> str:
    """Return the prompt of an item."""
    return f"a portrait of person {number} with a hat"


def items(numbers: range, more: str = "") -> str:
    """Return the items of a job. more: further keys of each, in which `#` is its number."""
    lines = (
        f"  - {{name: item {number}, prompt: {prompt(number)}{more.replace('#', str(number))}}}\n" for number in numbers
    )
    return "items:\n" + "".join(lines)


def start(folder: Path, **script: object) -> None:
    """Write what all have."""
    write(folder, "dodo.py", "from imagegen.tasks import *\n")
    write(folder, "script.json", json.dumps({"log": str(folder / LOG), **script}))


def shares(count: int, jobs: int) -> Iterator[tuple[str, range]]:
    """Yield the name of each of so many jobs, and the numbers of its items."""
    for job in range(jobs):
        yield f"job{job}", range(count * job // jobs, count * (job + 1) // jobs)


def one_job(folder: Path, count: int) -> None:
    """One job, its items in YAML."""
    start(folder)
    write(folder, JOB, _HEAD + items(range(count)))


def small_jobs(folder: Path, count: int) -> None:
    """Jobs of ten images each."""
    start(folder)
    for name, numbers in shares(count, count // 10):
        write(folder, f"jobs/{name}.yaml", _HEAD + items(numbers))


def markdown(numbers: range) -> str:
    """Return a Markdown page."""
    return "".join(f"## item {number}\n\n```\n{prompt(number)}\n```\n\n" for number in numbers)


def csv(numbers: range) -> str:
    """Return a CSV table."""
    return "name,prompt\n" + "".join(f"item {number},{prompt(number)}\n" for number in numbers)


def from_sources(page: Callable[[range], str], suffix: str, jobs_in_10000: int) -> Callable[[Path, int], None]:
    """Return what writes jobs that each have a source of their own; at least one job."""

    def prepare(folder: Path, count: int) -> None:
        start(folder)
        for name, numbers in shares(count, max(1, count * jobs_in_10000 // 10_000)):
            write(folder, f"docs/{name}.{suffix}", page(numbers))
            write(folder, f"jobs/{name}.yaml", f"{_HEAD}source: docs/{name}.{suffix}\n")

    return prepare


def references(folder: Path, count: int) -> None:
    """Half of the images have one of the other half as their reference image."""
    start(folder)
    half = range(count // 2)
    write(folder, JOB, _HEAD + items(half))
    write(folder, "jobs/children.yaml", _HEAD + items(half, ", scripted: {images: {face: 'portraits:item-#'}}"))


def derived(folder: Path, count: int) -> None:
    """Half of the outputs are thumbnails of the other half."""
    start(folder)
    write(folder, JOB, _HEAD + "derive: {thumb: {width: 8}}\n" + items(range(count // 2)))


def tokens(folder: Path, count: int) -> None:
    """Half of the outputs are tokens of the other half, made in steps and packed on one sheet with two indexes."""
    start(folder)
    steps = "derive: {token: {steps: [{mask: circle}, trim]}}\n"
    sheet = "sheet: {of: token, layout: packed, max_size: 4096, index: [libgdx, css]}\n"
    write(folder, JOB, _HEAD + steps + sheet + items(range(count // 2)))


def pictures(folder: Path, count: int) -> None:
    """All outputs are derived from pictures that are there already."""
    start(folder)
    folder.joinpath("art").mkdir(exist_ok=True)
    for number in range(count):
        Image.new("RGB", (8, 8), (number % 256, number // 256 % 256, 99)).save(folder / f"art/item {number}.png")
    write(folder, JOB, "items: {folder: art/*.png}\nderive: {small: {width: 4}}\n")


def sheets(folder: Path, count: int) -> None:
    """Jobs of 99 images and their sheet."""
    start(folder)
    jobs = max(1, count // 100)
    for name, numbers in shares(count - jobs, jobs):
        write(folder, f"jobs/{name}.yaml", _HEAD + "sheet: {cell: 8}\n" + items(numbers))


def variants(folder: Path, count: int) -> None:
    """Ten variants of each item."""
    start(folder)
    write(folder, JOB, _HEAD + "variants: 10\n" + items(range(count // 10)))


def failing(folder: Path, count: int) -> None:
    """One job, one of whose images fails each time."""
    one_job(folder, count)
    start(folder, acts={"item 77": [{"error": "out of memory"}]})


def extended(folder: Path, count: int) -> None:
    """Ten jobs, the first of which extends another file."""
    start(folder)
    write(folder, "jobs/_base.yaml", base(0))
    for name, numbers in shares(count, 10):
        extends = "extends: _base.yaml\n" if name == "job0" else ""
        write(folder, f"jobs/{name}.yaml", extends + _HEAD + items(numbers))


def framed(folder: Path, count: int) -> None:
    """Jobs of five images and their tokens, all with one ring. One job of ten extends another file."""
    start(folder)
    write(folder, "jobs/_base.yaml", base(0))
    folder.joinpath("art").mkdir(exist_ok=True)
    Image.radial_gradient("L").convert("LA").save(folder / "art/ring.png")
    steps = "derive: {token: {steps: [{mask: circle}, {frame: {image: art/ring.png, place: under}}]}}\n"
    for name, numbers in shares(count // 2, max(1, count // 10)):
        extends = "extends: _base.yaml\n" if name.endswith("0") else ""
        write(folder, f"jobs/{name}.yaml", extends + _HEAD + steps + items(numbers))


def base(number: int) -> str:
    """Return the file that these extend, changed for the so many-th time."""
    return f"prompt: {{suffix: 'in style {number}'}}\n"


def wildcards(folder: Path, count: int) -> None:
    """One job, of whose items one of a hundred has its hat from a wildcard file."""
    start(folder)
    lines = items(range(count)).splitlines(keepends=True)
    lines[1::100] = [line.replace("a hat", "__hat__") for line in lines[1::100]]
    write(folder, JOB, _HEAD + "".join(lines))
    write(folder, WILDCARD, "a hat\n")


def edit(folder: Path, path: str) -> None:
    """Edit the prompt of item 7 in this file, to one that it never had."""
    text = (folder / path).read_text()
    write(folder, path, re.sub(r"person 7( edited \d+)? ", f"person 7 edited {time.time_ns()} ", text, count=1))

"""Documents that mean harm are refused with a line, before they take much time or memory."""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imagegen.backends.placeholder import PlaceholderBackend
from imagegen.config.document import MAX_BYTES
from imagegen.config.settings import Settings
from imagegen.errors import LONGEST, ImagegenError, Problem
from imagegen.project import JobPlan, Project
from imagegen.project.job_plan import MAX_PROBLEMS
from imagegen.prompts.csv import read_csv
from imagegen.prompts.markdown import read_markdown
from tests.marks import long

SECONDS = 60
"""Of CPU, for one file of 16 MiB: many times what it takes, since nothing may be timed on a busy machine."""
MEGABYTES = 1500
ITEM = {"name": "A", "prompt": "a"}


def planned(root: Path, name: str, data: bytes) -> JobPlan:
    (root / "jobs").mkdir()
    (root / "jobs" / name).write_bytes(data)
    (plan,) = Project(root, Settings(), {"placeholder": PlaceholderBackend}).plans()
    return plan


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("j.yaml", b"a: !!python/object/apply:os.system [id]", "jobs/j.yaml:1:4: has the tag"),
        ("j.yaml", b"a: &a [x]\n" + b"".join(b"%c: &%c [%s]\n" % (n, n, b",".join([b"*%c" % (n - 1)] * 9)) for n in range(98, 106)), "aliases make more than 10000"),
        ("j.yaml", b"[" * 9999, "nested more than 32"),
        ("j.json", b'{"a":' * 9999, "nested more than 32"),
        ("j.yaml", b"items: \xff", "jobs/j.yaml:1:8: is not UTF-8"),
        ("j.yaml", "items: []".encode("utf-16"), "jobs/j.yaml:1:1: is UTF-16"),
        ("j.json", b'{"items": [{"name": "a\\u0000"}]}', "jobs/j.json:1:21: has the control character U+0000"),
        ("j.json", b'{"' + b"k" * 501 + b'": 1}', "jobs/j.json:1:2: has a key of 501 characters"),
        ("j.yaml", b"? " + b"k" * 501 + b"\n: 1", "jobs/j.yaml:1:3: has a key of 501 characters"),
        ("j.yaml", b"\n" * 1_000_001, "jobs/j.yaml: has more than 1000000 lines"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("j.") else "",
)  # fmt: skip
def test_a_hostile_document_is_refused_in_its_place(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    assert message in str(planned(tmp_path, name, data).problems[0])


def test_a_file_of_100_megabytes_is_not_read_whole(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    with (tmp_path / "jobs/j.yaml").open("wb") as file:
        file.truncate(100 * 1024**2)
    (plan,) = Project(tmp_path, Settings(), {}).plans()
    assert [str(problem) for problem in plan.problems] == ["jobs/j.yaml: is larger than 16 MiB\n    split the file"]


def test_a_pipe_is_no_prompt_source_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.md")
    plan = planned(tmp_path, "j.json", b'{"source": "p.md"}')
    assert "cannot be read: it is not a file" in plan.problems[0].what


def test_thousands_of_problems_are_found_at_once_and_the_first_are_told(tmp_path: Path) -> None:
    """Three thousand took half a minute."""
    start = time.process_time()
    plan = planned(tmp_path, "j.json", json.dumps({"items": [{"name": "a"}] * 3000}).encode())
    assert len(plan.problems) == MAX_PROBLEMS + 1
    assert plan.problems[0].where == "jobs/j.json:1:12"
    assert plan.problems[-1].what.endswith("more problems")
    assert time.process_time() - start < 10


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ({"variants": 1000, "prompt": {"prefix": "x" * 9000}, "items": [{**ITEM, "name": f"a{n}"} for n in range(20)]}, "characters in all, more than 100000000"),
        ({"matrix": {f"a{n}": ["x"] for n in range(61)}}, "has 61 axes, and at most 60"),
        ({"matrix": {"m": {f"v{n}": "" for n in range(4000)}, "exclude": [{"m": f"v{n}"} for n in range(4000)]}}, "4000 entries are too many"),
        ({"variants": 1000, "derive": {f"d{n}": {"width": 8} for n in range(200)}}, "makes 1000 images and 200000 files of them"),
    ],
)  # fmt: skip
def test_a_short_job_that_asks_for_gigabytes_is_refused_before_it_is_planned(
    tmp_path: Path, job: dict[str, Any], message: str
) -> None:
    plan = planned(tmp_path, "j.json", json.dumps({"items": [ITEM], **job}).encode())
    assert message in plan.problems[0].what


def test_what_a_problem_quotes_is_cut_and_steers_no_terminal() -> None:
    message = str(Problem("w", "x" * 10**6, "\x1b[2J\udcff"))
    assert len(message) < LONGEST + 100
    assert message.endswith("\\x1b[2J\\udcff")


PROMPTS: list[tuple[Callable[..., object], bytes, str]] = [
    (read_markdown, b"## " + b"![" * 10**6, "this heading has 2000000 characters"),
    (read_markdown, b"## a\n" * 200_001, "more than 200000 lines"),
    (read_csv, b"name,prompt" + b",x" * 99, "has 101 columns"),
    (read_csv, b"name,prompt\n" + b"a,b\n" * 200_002, "more than 200000 items"),
]


@pytest.mark.parametrize(("read", "data", "message"), PROMPTS, ids=["heading", "lines", "columns", "rows"])
def test_a_hostile_prompt_source_is_refused(read: Callable[[str, bytes], object], data: bytes, message: str) -> None:
    with pytest.raises(ImagegenError, match=message):
        read("p", data)


BOMBS: list[tuple[str, bytes, bytes, bytes]] = [
    ("j.yaml", b"", b"- a\n", b""), ("j.yaml", b"[", b"{},", b"a]"), ("j.yaml", b"", b"a: \n", b""), ("j.yaml", b"", b"- !a\n", b""),
    ("j.yaml", b"a: 1", b":59", b""), ("j.yaml", b"a: 1", b"0", b""), ("j.yaml", b"a: ", b"x ", b""), ("j.yaml", b'a: "', b"\\n", b'"'),
    ("j.json", b"[", b"1,", b"1]"), ("j.json", b"{", b'"":1,', b'"a":1}'), ("j.json", b"[", b"1", b"]"), ("j.json", b"[", b" ", b"]"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "head", "unit", "tail"), [long(*bomb) for bomb in BOMBS], ids=map(str, range(len(BOMBS)))
)
def test_the_largest_files_stay_within_their_bounds(
    tmp_path: Path, name: str, head: bytes, unit: bytes, tail: bytes
) -> None:
    data = head + unit * ((MAX_BYTES - len(head) - len(tail)) // len(unit)) + tail
    start = time.process_time()
    assert planned(tmp_path, name, data).problems
    assert time.process_time() - start < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 < MEGABYTES

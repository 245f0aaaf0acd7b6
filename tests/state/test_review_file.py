"""Marks and notes: the union of any lines says the same everywhere, and what cannot be read is located."""

from __future__ import annotations

import json
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.errors import ImagegenError
from imagegen.plan.remark import MARKS, Kind, Remark
from imagegen.state import review_file
from imagegen.state.review_file import read_review_file, write_remarks

NAME = "jobs/portraits.review"
LINE = b'{"image":"a","mark":"keep","sha256":"aa","time":"2026-11-29T21:00:00.000Z","v":1}\n'

LAST = LINE.replace(b'"a"', b'"b"').rstrip()

times = st.sampled_from([f"2026-11-29T21:00:0{second}.000Z" for second in range(4)])
shas = st.none() | st.sampled_from(["aa", "bb"])
people = st.sampled_from(["", "Anna", "Björn"])
images = st.sampled_from(["a", "b-v1"])
remarks = st.builds(
    Remark, images, st.just("mark"), st.none() | st.sampled_from(MARKS), shas, times, people
) | st.builds(
    Remark,
    images,
    st.just("note"),
    st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    shas,
    times,
    people,
)


def given_by(image: str, kind: str, value: str | None, sha256: str | None = "aa") -> Remark:
    return Remark(image, "mark" if kind == "mark" else "note", value, sha256)


class Clone:
    """A review file in a folder of its own."""

    def __init__(self, root: Path) -> None:
        self.path = root / NAME
        self.state = root / ".imagegen"
        self.path.parent.mkdir(parents=True)

    def say(self, *remarks: Remark) -> list[Remark]:
        return write_remarks(NAME, self.path, remarks, self.state, 0)

    def read(self) -> dict[tuple[str, str], str | None]:
        return {key: one.value for key, one in read_review_file(NAME, self.path).remarks.items()}


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


@given(remarks)
def test_what_is_written_is_read_again(remark: Remark) -> None:
    line = review_file._dump(remark)
    assert b"\n" not in line
    assert review_file._parse(line) == remark


@given(st.lists(remarks, max_size=8), st.lists(remarks, max_size=8), st.randoms(use_true_random=False))
def test_the_union_of_two_branches_says_the_same_in_any_order(
    ours: list[Remark], theirs: list[Remark], shuffle: random.Random
) -> None:
    def read(lines: list[Remark]) -> dict[tuple[str, Kind], Remark]:
        file = review_file.ReviewFile()
        for line in lines:
            file.add(line)
        return file.remarks

    merged = [*read(ours).values(), *read(theirs).values()]
    shuffle.shuffle(merged)
    assert read(merged) == read([*theirs, *ours, *ours]) == read([*ours, *theirs])


def test_each_line_says_one_thing_and_they_are_sorted(clone: Clone) -> None:
    clone.say(given_by("b", "note", "ü\n=?"), given_by("b", "mark", "later"))
    clone.say(given_by("a", "mark", "keep"))
    lines = [json.loads(line) for line in clone.path.read_bytes().splitlines()]
    assert [(line["image"], line.get("mark"), line.get("note")) for line in lines] == [
        ("a", "keep", None),
        ("b", "later", None),
        ("b", None, "ü\n=?"),
    ]
    assert {(line["v"], line["sha256"]) for line in lines} == {(1, "aa")}


def test_saying_the_same_again_leaves_the_file_as_it_is(clone: Clone) -> None:
    clone.say(given_by("a", "mark", "keep"), given_by("a", "note", "x"))
    before = clone.path.stat()
    assert clone.say(given_by("a", "mark", "keep"), given_by("a", "note", "x"), given_by("b", "mark", None)) == []
    assert clone.path.stat() == before
    assert len(clone.say(given_by("a", "mark", "keep", "bb"))) == 1, "another picture"


def test_nothing_is_lost_of_what_several_say_at_once(clone: Clone) -> None:
    begin = threading.Barrier(6)

    def say(number: int) -> None:
        begin.wait()
        for step in range(4):
            clone.say(given_by(f"{number}-{step}", "mark", "keep"))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(say, range(6)))
    assert len(clone.read()) == 24


def test_what_is_taken_back_stays_so_through_a_merge(clone: Clone) -> None:
    clone.say(given_by("a", "mark", "keep"))
    branch = clone.path.read_bytes()
    clone.say(given_by("a", "mark", None))
    clone.path.write_bytes(branch + clone.path.read_bytes() + branch)
    assert clone.read() == {("a", "mark"): None}


def test_a_remark_is_later_than_that_of_a_clock_that_is_ahead(clone: Clone) -> None:
    clone.path.write_bytes(LINE.replace(b"2026", b"2999"))
    clone.say(given_by("a", "mark", "reject"))
    clone.path.write_bytes(clone.path.read_bytes() + LINE.replace(b"2026", b"2999"))
    assert clone.read() == {("a", "mark"): "reject"}


@pytest.mark.parametrize("end", [1, 20, len(LAST)])
def test_a_last_line_that_was_cut_off_is_left_out_when_something_is_added(clone: Clone, end: int) -> None:
    clone.path.write_bytes(LINE + LAST[:end])
    is_whole = end == len(LAST)
    assert set(clone.read()) == {("a", "mark"), *([("b", "mark")] if is_whole else [])}
    clone.say(given_by("c", "mark", "later"))
    assert len(clone.path.read_bytes().splitlines()) == 2 + is_whole
    assert clone.path.read_bytes().startswith(LINE)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"<<<<<<< HEAD", "has unresolved merge-conflict markers"),
        (LINE.replace(b'"v":1', b'"v":2'), "written by a newer imagegen (line format 2, this one reads up to 1)"),
        (LINE.replace(b'"keep"', b'"maybe"'), "not a line of a review file: its mark, "),
        (LINE.replace(b'"mark":"keep",', b""), "it has neither a mark nor a note"),
        (LINE.replace(b'"mark"', b'"note":"","mark"'), "it has both a mark and a note"),
        (LINE.replace(b"T21:00:00.000Z", b""), "'time'"),
        (LINE.replace(b'"sha256":"aa",', b""), "it has no 'sha256'"),
        (b"[]", "it is not a JSON object"),
        (b"{", "it is not valid JSON"),
        (b'"\xff"', "it is not UTF-8"),
    ],
)
def test_a_line_that_cannot_be_read_is_located_and_nothing_is_written(clone: Clone, line: bytes, said: str) -> None:
    clone.path.write_bytes(LINE + line.rstrip(b"\n") + b"\n")
    before = clone.path.read_bytes()
    with pytest.raises(ImagegenError) as raised:
        clone.say(given_by("a", "mark", "reject"))
    (problem,) = raised.value.problems
    assert problem.where == f"{NAME}:2"
    assert said in problem.what
    assert problem.hint
    assert clone.path.read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="without permissions")
def test_a_file_that_cannot_be_read_is_a_problem(clone: Clone) -> None:
    clone.path.mkdir()
    with pytest.raises(ImagegenError, match="cannot be read"):
        clone.read()

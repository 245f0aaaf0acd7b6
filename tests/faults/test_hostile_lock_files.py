"""Whatever is in a lock file: it is refused with its line, or all that is read can be written and read again."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagegen.config.job import Encoding
from imagegen.errors import ImagegenError
from imagegen.plan.record import Decision, OutputLine
from imagegen.plan.request import Request
from imagegen.state.lockfile import LockFile, read_lock_file

LINE = OutputLine("a/b.png", "b", "f", Encoding(), {}, "s", 4, None, "1", 0.1, "2026-01-01T00:00:00Z")
TEXTS = st.text(st.characters(codec="utf-8"), max_size=9)
KEYS = TEXTS.filter(lambda key: key not in Request.__dataclass_fields__)  # whose types are checked
VALUES = st.recursive(
    TEXTS | st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
HASHES = st.from_regex(r"[0-9a-f]{1,64}", fullmatch=True)
SLUGS = st.from_regex(r"[a-c]{1,2}(:t)?", fullmatch=True)
TIMES = st.from_regex(r"2026-0[1-3]-01T00:00:00Z", fullmatch=True)
LINES = st.builds(
    OutputLine,
    path=st.from_regex(r"[ab]/[a-cé]{1,2}\.png", fullmatch=True),
    output=SLUGS,
    fingerprint=HASHES,
    encoding=st.builds(Encoding, st.sampled_from(["png", "webp"]), st.integers(1, 100), TEXTS),
    request=st.dictionaries(KEYS, VALUES, max_size=3),
    sha256=HASHES,
    size=st.integers(0, 2**40),
    model_digest=st.none() | TEXTS,
    backend_version=TEXTS,
    seconds=st.floats(0, 1e9),
    time=TIMES,
)
DECISIONS = st.builds(Decision, st.just("of a later release"), TEXTS, VALUES, TIMES)


def read(path: Path) -> LockFile:
    return read_lock_file("jobs/j.lock", path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(LINES | DECISIONS, max_size=6), st.randoms(use_true_random=False))
def test_a_lock_file_read_back_is_what_was_written(tmp_path: Path, entries: list[Any], shuffle: Any) -> None:
    file = tmp_path / "j.lock"
    file.unlink(missing_ok=True)
    written = read(file)
    for entry in entries:
        written.append(entry)
    again = read(file)
    assert (again.lines, again.decisions) == (written.lines, written.decisions)
    newest = {path: [line] for path in again.lines if (line := again.line_of(path, None))}
    again.compact(lambda _: None, tmp_path / "tmp")
    folded = read(file)
    assert (folded.lines, folded.decisions, folded.needs_compaction) == (newest, again.decisions, False)
    lines = file.read_bytes().splitlines(keepends=True) if file.exists() else []
    shuffle.shuffle(lines)  # as a merge of git's can leave them
    file.write_bytes(b"".join(lines))
    assert (read(file).lines, read(file).decisions) == (newest, again.decisions)


def changed(**fields: Any) -> str:
    return json.dumps({"v": 1, **asdict(LINE), **fields})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (changed(request={"prompt": "\ud800"}), "it has half of a surrogate pair in it"),
        (changed(seconds=float("nan")), "it has NaN, which is not a number in JSON"),
        (changed().replace("0.1", "1e999"), "it has the number 1e999, which is too large"),
        ('{"v": 1, "decision": "x", "output": "", "time": "", "value": ' + "[" * 300 + "]" * 300 + "}", "it is nested too deeply"),
        ("[" * 100_000, "it is nested too deeply"),
        (changed(encoding={"format": ["png"], "quality": 1, "metadata": "full"}), "its encoding is not one"),
        (changed(encoding={"format": "png", "quality": "1", "metadata": "full"}), "its encoding is not one"),
        (changed(path="/"), "its 'path' is not the path"),
        (changed(path="a/."), "its 'path' is not the path"),
        (changed(output="..\\x"), "its 'output' is not the name"),
        (changed(size=9).replace("9", "9" * 5000), ""),
    ],
)  # fmt: skip
def test_a_line_that_could_not_be_written_again_or_leads_elsewhere_is_refused(
    tmp_path: Path, line: str, message: str
) -> None:
    (tmp_path / "j.lock").write_text(f"{changed()}\n{line}\n")
    with pytest.raises(ImagegenError) as caught:
        read(tmp_path / "j.lock")
    assert caught.value.problems[0].where == "jobs/j.lock:2"
    assert message in caught.value.problems[0].what


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\n\r\n"])
def test_what_an_editor_puts_before_the_first_line_does_no_harm(tmp_path: Path, before: bytes) -> None:
    (tmp_path / "j.lock").write_bytes(before + changed().encode() + b"\n")
    assert read(tmp_path / "j.lock").lines == {LINE.path: [LINE]}


def test_half_of_a_pair_that_is_none_is_read(tmp_path: Path) -> None:
    line = replace(LINE, request={"prompt": "\\ud800 🐦"})
    (tmp_path / "j.lock").write_text(json.dumps({"v": 1, **asdict(line)}) + "\n")
    assert read(tmp_path / "j.lock").lines[LINE.path] == [line]

"""A line that is read the short way says what the full check says of it, or is left to that."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.plan.record import OutputLine
from imagegen.state import lock_line
from imagegen.state.lock_line import dump_line, is_usual, parse_line, peek
from tests.state.test_lockfile import LINE

USUAL = dump_line(LINE).decode()


def parse_both_ways(line: bytes) -> OutputLine | None:
    """Return what the short way makes of it, which must not be other than what the full check does."""
    found = lock_line._parse_usual(line)
    if found is not None:
        full = lock_line._parse(line)
        assert found == full
        assert isinstance(full, OutputLine)
        assert repr(found) == repr(full), "the types of numbers count"
    return found


def test_a_line_is_read_the_short_way_as_it_was_written() -> None:
    assert parse_both_ways(dump_line(LINE)) == LINE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"quality":100', '"quality":007'),
        ('"quality":100', '"quality":٣'),
        ('"seconds":0.5', '"seconds":00.5'),
        ('"seconds":0.5', '"seconds":1e999'),
        ('"seconds":0.5', '"seconds":-0.5'),
        ('"size":9', '"size":"9"'),
        ('"size":9', '"size":99999999999999999999'),
        ('"path":"assets/j/a.png"', '"path":"assets/j/.."'),
        ('"path":"assets/j/a.png"', f'"path":"{"a" * 256}"'),
        ('"path":"assets/j/a.png"', '"path":"assets/\tj/a.png"'),
        ('"output":"a"', '"output":"a/b"'),
        ('"output":"a"', '"output":"\\u0061"'),
        ('"fingerprint":"f1"', '"fingerprint":"../x"'),
        ('"request":{', '"request":{"steps":"many",'),
        ('"request":{', '"request":{"x":NaN,'),
        ('"request":{', '"request":{"x":1e999,'),
        ('"request":{', '"request":{"x":"\\ud800",'),
        ('"request":{', f'"request":{{"x":{"[" * 200}{"]" * 200},'),
        ('"request":{', '"request":{"a":1},"request":{'),
        ('"sha256":"aa"', '"sha256":"aa","more":1'),
        ('"v":1', '"v":2'),
        ('"v":1', '"v":1,"v":2'),
        ('{"backend', ' {"backend'),
    ],
)
def test_what_is_odd_is_left_to_the_full_check(old: str, new: str) -> None:
    assert old in USUAL
    assert parse_both_ways(USUAL.replace(old, new, 1).encode()) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["steps", "prompt", "path", "sha256", "x"]), JSON), st.data())
def test_any_line_is_read_the_same_both_ways(request: dict[str, Any], data: st.DataObject) -> None:
    fields = json.loads(USUAL) | {"request": request}
    raw = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    at = data.draw(st.integers(0, len(raw) - 1))
    for line in (raw, raw[:at] + data.draw(st.sampled_from('{}[]",:\\e0.-a')) + raw[at + 1 :]):
        parse_both_ways(line.encode("utf-8", "surrogatepass"))


@given(st.dictionaries(st.sampled_from(["path", "sha256", "fingerprint", "x"]), JSON), st.text(max_size=9))
def test_fields_can_be_read_without_the_rest(request: dict[str, Any], version: str) -> None:
    fields = json.loads(USUAL) | {"request": request, "backend_version": version, "model_digest": version}
    raw = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    if is_usual(raw):
        line = parse_line(raw)
        assert isinstance(line, OutputLine)
        assert (peek(raw, "path"), peek(raw, "fingerprint"), peek(raw, "sha256")) == (line.path, "f1", "aa")

"""A source that git left with a conflict in it is refused by that name, and never generated from."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from imagegen.config import yaml_document
from imagegen.config.document import CONFLICT, MAX_BYTES, MAX_DEPTH, Ambiguous, decode, read_document
from imagegen.config.settings import read_settings
from imagegen.errors import ImagegenError

__all__ = []


TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff")
    | st.sampled_from("\t\n\r\x85")
)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | FLOATS | TEXT
DATA = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20)


def problems(text: str | bytes, name: str = "j.yaml") -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(ImagegenError) as caught:
        read_document(name, data)
    return [f"{problem.where}: {problem.what}" for problem in caught.value.problems]


def values(text: str, name: str = "j.yaml") -> Any:
    return read_document(name, text.encode()).values


@given(st.dictionaries(TEXT, DATA, min_size=1))
def test_json_reads_back_what_was_written(data: dict[str, Any]) -> None:
    assert values(json.dumps(data), "j.json") == data
    assert values(json.dumps(data, ensure_ascii=False, indent=2), "j.json") == data


@given(st.dictionaries(TEXT.filter(lambda key: key != "<<"), DATA, min_size=1))
def test_yaml_reads_back_what_was_written(data: dict[str, Any]) -> None:
    # every text in double quotes: what else is in quotes is PyYAML's choice, and it leaves out y and n
    text = yaml.dump(data, Dumper=_Quoting, allow_unicode=True)
    assert values(text) == data


class _Quoting(yaml.SafeDumper):
    def ignore_aliases(self, _data: object) -> bool:
        return True


_Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


@given(st.binary(max_size=200), st.sampled_from(["j.yaml", "j.json"]))
def test_any_bytes_are_read_or_refused_with_a_line(data: bytes, name: str) -> None:
    try:
        read_document(name, data)
    except ImagegenError as error:
        assert all(problem.where.startswith(name) and problem.what for problem in error.problems)


WORDS = """? : - & * ! | > ' " # { } [ ] , << &x *x &y *y !t --- ... a b 0 1 0x _ :59 .5 e9 ~ no null = \\uD800 % @"""
PIECES = [*WORDS.split(), "? ", ": ", "- ", ", ", " ", "\n", "\n  ", "\t", "\u2028", "\ufeff", "9" * 41, "''"]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
@example('"": 1\n"": 2')
@example("? {a: 1}\n: 2")
@example('? &k "<<"\n: 1\n? *k\n: 2')
@example("a: 0x" + "F" * 5000)
@example("a: 1" + ":59" * 400 + ".5")
def test_any_text_is_read_or_refused_with_a_line(text: str) -> None:
    try:
        read_document("j.yaml", text.encode())
    except ImagegenError as error:
        assert all(problem.where.startswith("j.yaml") for problem in error.problems)


def test_every_key_and_entry_has_its_place() -> None:
    document = read_document("j.yaml", b"a: 1\nitems:\n  - name: x\n    prompt: y\n  - {name: z}\n")
    assert document.where(("items", 0, "prompt")) == "j.yaml:4:5"
    assert document.where(("items", 1, "name")) == "j.yaml:5:6"
    assert document.where(("items", 1, "nowhere")) == "j.yaml:5:5"
    assert read_document("j.json", b'{"a":\n [1, {"b": 2}]}').where(("a", 1, "b")) == "j.json:2:7"


@pytest.mark.parametrize(
    ("plain", "value"),
    [
        ("true", True), ("False", False), ("~", None), ("", None), ("null", None), ("12", 12), ("-3", -3), ("0", 0),
        ("1.5", 1.5), (".5", 0.5), ("1e5", 1e5), ("6.02e+23", 6.02e23), ("-0.5", -0.5), ("text", "text"),
        ("1.2.3", "1.2.3"), ("yesterday", "yesterday"), ("'no'", "no"), ('"12:30"', "12:30"), ("-", "-"),
    ],
)  # fmt: skip
def test_plain_scalars_mean_what_all_readers_agree_on(plain: str, value: object) -> None:
    if plain == "-":
        plain = "'-'"
    found = values(f"a: {plain}\nb: 1")["a"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("plain", "meaning"),
    [
        ("no", "false"), ("Yes", "true"), ("on", "true"), ("y", "true"), ("N", "false"), ("012", "10"),
        ("12:30", "750"), ("0x1F", "31"), ("1_000", "1000"), ("2024-01-01", "a date"),
        (".nan", "not a number"), ("-.inf", "infinity"), ("1e999", "infinity"), ("=", "something other than text"),
        ("089", "a number"), ("0o17", "a number"), ("9" * 60, "a number of 60 digits"), ("0x" + "F" * 99, "a number"),
    ],
)  # fmt: skip
def test_plain_scalars_that_readers_disagree_on_are_ambiguous(plain: str, meaning: str) -> None:
    assert values(f"a: {plain}")["a"] == Ambiguous(plain, meaning)


def test_a_lone_letter_is_text_as_a_key_and_ambiguous_as_a_value() -> None:
    assert values("{x: 4, y: 8, N: 1}") == {"x": 4, "y": 8, "N": 1}
    assert values("y: y\nn: {y: Y}") == {"y": Ambiguous("y", "true"), "n": {"y": Ambiguous("Y", "true")}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2\nb: 1\nb: 2", ["j.yaml:2:1: 'a' is given twice, first in line 1", "j.yaml:4:1: 'b' is given twice, first in line 3"]),
        ("a: !!python/object:os.system [x]", ["j.yaml:1:4: has the tag 'tag:yaml.org,2002:python/object:os.system'"]),
        ("a: !!str 1", ["j.yaml:1:4: has the tag"]),
        ("a: !mine 1\nb: ! x", ["j.yaml:1:4: has the tag '!mine'", "j.yaml:2:4: has the tag '!'"]),
        ("1: x", ["j.yaml:1:1: the key 1 is not text"]),
        ("no: x", ["j.yaml:1:1: the key no is not text"]),
        ("a: {<<: {b: 1}}", ["j.yaml:1:5: merge keys (<<) are not supported"]),
        ('a: "\\0"\n"\\e": b', ["j.yaml:1:4: has the control character U+0000", "j.yaml:2:1: has the control character U+001B"]),
        ("? [a]\n: 1", ["j.yaml:1:3: a key must be text"]),
        ("a: &x [1]\n? *x\n: 1", ["j.yaml:2:3: a key must be text"]),
        ("{a: 1, ? [b, !t c] : 2, a: 3}", ["j.yaml:1:10: a key must be text", "j.yaml:1:14: has the tag '!t'", "j.yaml:1:25: 'a' is given twice"]),
        ('"": 1\na: 2\n"": 3', ["j.yaml:3:1: '' is given twice, first in line 1"]),
        ("a: 1\na: 2\nb: [", ["j.yaml:2:1: 'a' is given twice", "j.yaml:3:4: the [ that begins here is never closed"]),
        ("a: 1\n--- \nb: 2", ["j.yaml:2:1: a second document begins here"]),
        ("a: [1", ["j.yaml:1:4: the [ that begins here is never closed"]),
        ("", ["j.yaml: is empty"]),
        ("# nothing\n", ["j.yaml: is empty"]),
        ("a: *b", ["j.yaml:1:4: the alias *b has no anchor"]),
        ("a: &x [*x]", ["j.yaml:1:8: the alias *x has no anchor"]),
    ],
)  # fmt: skip
def test_what_is_no_plain_data_is_refused_in_its_place(text: str, expected: list[str]) -> None:
    found = problems(text)
    assert len(found) == len(expected)
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ('{"a": 1, "a": 2}', "j.json:1:10: 'a' is given twice"),
        ('{"a": NaN}', "j.json:1:7: NaN is not a number"),
        ('{"a": -Infinity}', "j.json:1:7: -Infinity is not a number"),
        ('{"a": 1} x', "j.json:1:10: there is more"),
        ('{"a": 1e999}', "j.json:1:7: 1e999 is too large a number"),
        ('{"a": "\\ud800"}', "j.json:1:7: has half of a surrogate pair"),
        ('{"a": "\\u0000"}', "j.json:1:7: has the control character U+0000"),
        ('{"\\u001b": 1}', "j.json:1:2: has the control character U+001B"),
        ('{"a": tru}', "j.json:1:7: text must be in double quotes in JSON, found tru"),
        ('{"a": "b\n"}', "j.json:1:7: the quote that begins here is not closed in its line"),
        ('{"a": [1,]}', "j.json:1:9: a comma before ] is not valid JSON"),
        (" \n", "j.json: is empty"),
        ('{\n"a" 1}', "j.json:2:5: not valid JSON: expected ':'"),
        ('{"a": ' + "9" * 5000 + "}", "j.json:1:7: is a number of 5000 digits"),
    ],
)
def test_what_is_no_json_is_refused_in_its_place(text: str, start: str) -> None:
    assert problems(text, "j.json")[0].startswith(start)


def test_aliases_serve_up_to_a_bound() -> None:
    assert values("a: &x [1, 2]\nb: *x") == {"a": [1, 2], "b": [1, 2]}
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
    )
    assert "aliases make more than" in problems(bomb)[0]


def test_aliases_do_not_add_up_to_more_depth() -> None:
    half = MAX_DEPTH // 2 + 1
    text = f"a: &a {'[' * half}{']' * half}\nb: {'[' * half}*a{']' * half}"
    assert problems(text) == [f"j.yaml:2:{4 + half}: is nested more than {MAX_DEPTH} levels deep"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [("prompt: a knight: brave", "quotes"), ("a:\n\t- b", "spaces, not tabs"), ("a: 'x", "close the quote"), ("a: [1", "bracket")],
)  # fmt: skip
def test_common_slips_are_told_how_to_mend_them(text: str, hint: str) -> None:
    with pytest.raises(ImagegenError) as caught:
        read_document("j.yaml", text.encode())
    assert hint in caught.value.problems[0].hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1, no, 'x']", {"a": [1, Ambiguous("no", "false"), "x"]}),
        ('a: "\\ud800"', ["j.yaml:1:4: has half of a surrogate pair in it"]),
        ('a: "\\UFFFFFFFF"', ["j.yaml: not valid YAML"]),
        ("a: 1\na: !t 2", ["j.yaml:2:1: 'a' is given twice", "j.yaml:2:4: has the tag '!t'"]),
        ("[" * 100_000, [f"j.yaml:1:{MAX_DEPTH + 2}: is nested more than"]),
    ],
    ids=["values", "surrogate", "no-character", "problems", "depth"],
)
def test_without_libyaml_the_same_is_read_and_refused(
    text: str, expected: dict[str, Any] | list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yaml_document, "_Loader", yaml.SafeLoader)
    if isinstance(expected, dict):
        assert values(text) == expected
        return
    found = problems(text)
    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("j.yaml", "[" * 100_000),
        ("j.yaml", "{a: " * 100_000),
        ("j.yaml", "- " * 100_000),
        ("j.yaml", "[\n" * 100_000),
        ("j.yaml", "[" * 40),
        ("j.json", "[" * 100_000),
        ("j.json", '{"a":' * 9999),
    ],
    ids=lambda value: value[:9],
)
def test_deep_nesting_is_refused_in_our_own_words(name: str, text: str) -> None:
    """Whatever bound the YAML parser has, which it may meet first."""
    (problem,) = problems(text, name)
    assert re.fullmatch(rf"{name}:\d+:\d+: is nested more than {MAX_DEPTH} levels deep", problem)


@pytest.mark.parametrize(
    ("data", "start"),
    [
        (b"a: 1\nb: \xff\n", "j.yaml:2:4: is not UTF-8: byte 0xff"),
        (b"\xef\xbb\xbfa\xe2\x80\xa8\r\nb\rc \xff", "j.yaml:3:3: is not UTF-8: byte 0xff"),
        ("a: 1".encode("utf-32"), "j.yaml:1:1: is UTF-16 or UTF-32"),
        ("a: 1".encode("utf-16"), "j.yaml:1:1: is UTF-16"),
        (b"a: 1\nb: x\x00y", "j.yaml:2:5: has the control character U+0000"),
        (b"a: \x1b[31m", "j.yaml:1:4: has the control character U+001B"),
        (b" " * (MAX_BYTES + 1), "j.yaml: is larger than 16 MiB"),
    ],
)
def test_what_is_no_plain_utf8_is_refused(data: bytes, start: str) -> None:
    assert problems(data)[0].startswith(start)


def test_bom_and_other_line_ends_are_read() -> None:
    assert values("\ufeffa: 1\r\nb: |\r\n  x\r\n  y\r\n") == {"a": 1, "b": "x\ny\n"}


OURS, BASE, SPLIT, THEIRS = "<<<<<<< HEAD", "||||||| 1a2b3c4", "=======", ">>>>>>> their-branch"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"a\n{OURS}\nb\n{SPLIT}\nc\n{THEIRS}\n", 2),
        (f"{OURS}\nb\n{BASE}\nx\n{SPLIT}\nc\n{THEIRS}\n", 1),
        (f"a\r\nb\r\n{OURS}\r\nb\r\n", 3),
        (f"a\n    {OURS}\n", 2),
        (f"a\nb\nc\n{THEIRS}", 4),
        ("a\n<<<<<<<\nb\n", 2),
        ("<<<<<<< Updated upstream\n", 1),
        ("<<<<<<< .mine\n", 1),
        (f"a\r\n{BASE}\r\nb\r\n", 2),
    ],
)
@pytest.mark.parametrize("name", ["jobs/a.yaml", "jobs/a.json", "k.md", "k.csv", "jobs/wildcards/hair.txt"])
def test_merge_conflict_markers_are_refused_at_their_line(name: str, text: str, line: int) -> None:
    with pytest.raises(ImagegenError) as caught:
        decode(name, text.encode())
    (problem,) = caught.value.problems
    assert problem.where.startswith(f"{name}:{line}:")
    assert problem.what == CONFLICT
    assert "choose one side" in problem.hint


@pytest.mark.parametrize(
    "text", ["Kin\n=======\n", "a <<<<<<< b\n", "<<<<<<<<<<<<\n", ">>> x\n", "| a | b |\n|||||||\n", "x >>>>>>> y\n"]
)
def test_what_only_looks_like_a_marker_is_read(text: str) -> None:
    assert decode("k.md", text.encode()) == text


@pytest.mark.parametrize("name", ["jobs/a.yaml", "jobs/a.json", "k.csv", "jobs/wildcards/hair.txt"])
def test_the_line_between_the_sides_is_a_marker_where_it_underlines_no_heading(name: str) -> None:
    with pytest.raises(ImagegenError, match=f"{name}:2:1: {CONFLICT}"):
        decode(name, b"a\n=======\nb\n")


def test_markers_in_pyproject_are_refused_by_that_name(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[tool.imagegen]\n{OURS}\nbackend = "ollama"\n{SPLIT}\n{THEIRS}\n')
    with pytest.raises(ImagegenError, match=f"pyproject.toml:2:1: {CONFLICT}"):
        read_settings(tmp_path, {}, {})

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from imagegen.config.document import read_document
from imagegen.config.insertion import insert_item
from imagegen.errors import ImagegenError

ITEM = {"name": "Raven", "prompt": "a raven: black, old", "seed": 7}


def values(name: str, text: str) -> Any:
    return read_document(name, text.encode()).values


def added(before: str, name: str = "jobs/j.yaml", **item: Any) -> list[str]:
    """The lines that are new; that all others stay, and the file then says what it should, is checked."""
    item = item or ITEM
    after = insert_item(name, before, item)
    old = values(name, before)
    assert values(name, after) == {**old, "items": [*old.get("items", []), item]}
    lines = after.splitlines()
    for line in before.splitlines():
        assert line in lines
        lines.remove(line)
    return lines


HEAD = "# mine\ngenerate: {width:  64,   # as wanted\n           steps: 20}\n"


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (HEAD + "items:\n  - name: A  # first\n    prompt: a\noutput: { dir: x }\n", ["  - name: Raven", '    prompt: "a raven: black, old"', "    seed: 7"]),
        (HEAD + "items:\n- name: A\n  prompt: a", ["- name: Raven", '  prompt: "a raven: black, old"', "  seed: 7"]),
        (HEAD + "items:\n-   name: A\n    prompt: >\n      a\n      b\n\n# the end\n", ["-   name: Raven", '    prompt: "a raven: black, old"', "    seed: 7"]),
        ("items:\n  - {name: A, prompt: a}\n", ['  - {name: Raven, prompt: "a raven: black, old", seed: 7}']),
        ("items:\n  - name: A\n    prompt: |+\n      a\n\noutput: {}\n", ["  - name: Raven", '    prompt: "a raven: black, old"', "    seed: 7"]),
        ("items:\n  - name: A\n    prompt: a\n\n  - name: B\n    prompt: b\n", ["", "  - name: Raven", '    prompt: "a raven: black, old"', "    seed: 7"]),
        ("source: x.md\n# the end", ["items:", "  - name: Raven", '    prompt: "a raven: black, old"', "    seed: 7"]),
        ("source: x.md\n\nvariants: 1\n", ["", "items:", "  - name: Raven", '    prompt: "a raven: black, old"', "    seed: 7"]),
        ("---\nsource: x.md\n...\n", ["items:", "  - name: Raven", '    prompt: "a raven: black, old"', "    seed: 7"]),
        ("x: &a 1\nitems:\n  - name: A\n    prompt: a\n    seed: *a\n", ["  - name: Raven", '    prompt: "a raven: black, old"', "    seed: 7"]),
    ],
)  # fmt: skip
def test_an_item_is_written_in_the_files_own_style(before: str, expected: list[str]) -> None:
    assert added(before) == expected


def test_a_comment_below_an_item_stays_with_it_and_one_at_the_margin_with_what_follows() -> None:
    after = insert_item(
        "j.yaml", "items:\n  - name: A\n    prompt: a\n    # steps: 3\n\n# where\noutput: {dir: x}\n", ITEM
    )
    assert (
        after
        == 'items:\n  - name: A\n    prompt: a\n    # steps: 3\n  - name: Raven\n    prompt: "a raven: black, old"\n    seed: 7\n\n# where\noutput: {dir: x}\n'
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{items: [{name: A, prompt: a}]}", "{items: [{name: A, prompt: a}, {name: B, prompt: b}]}"),
        ("items: [\n  {name: A, prompt: a},  # one\n]\n", "items: [\n  {name: A, prompt: a},\n  {name: B, prompt: b},  # one\n]\n"),
        ("{source: x}\n", "{source: x, items: [{name: B, prompt: b}]}\n"),
        ("items:\r\n  - name: A\r\n    prompt: a\r\n", "items:\r\n  - name: A\r\n    prompt: a\r\n  - name: B\r\n    prompt: b\r\n"),
    ],
)  # fmt: skip
def test_braces_and_line_ends_stay_those_of_the_file(before: str, after: str) -> None:
    assert insert_item("j.yaml", before, {"name": "B", "prompt": "b"}) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"items": [{"name": "A", "prompt": "a"}]}', '{"items": [{"name": "A", "prompt": "a"}, {"name": "B", "prompt": "b"}]}'),
        ('{\n\t"items": [\n\t\t{"name": "A", "prompt": "a"}\n\t],\n\t"variants": 1\n}\n', '{\n\t"items": [\n\t\t{"name": "A", "prompt": "a"},\n\t\t{"name": "B", "prompt": "b"}\n\t],\n\t"variants": 1\n}\n'),
        ('{\n  "items": [\n    {\n      "name": "A",\n      "prompt": "a"\n    }\n  ]\n}', '{\n  "items": [\n    {\n      "name": "A",\n      "prompt": "a"\n    },\n    {\n      "name": "B",\n      "prompt": "b"\n    }\n  ]\n}'),
        ('{\n  "source": "x"\n}', '{\n  "source": "x",\n  "items": [\n    {\n      "name": "B",\n      "prompt": "b"\n    }\n  ]\n}'),
        ('{"source": "x"}', '{"source": "x", "items": [{"name": "B", "prompt": "b"}]}'),
    ],
)  # fmt: skip
def test_json_stays_as_it_is_laid_out(before: str, after: str) -> None:
    assert insert_item("j.json", before, {"name": "B", "prompt": "b"}) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("items:\nvariants: 1\n", "items:\n  - name: B\n    prompt: b\nvariants: 1\n"),
        ("items:  # mine\n  # none yet\n", "items:  # mine\n  - name: B\n    prompt: b\n  # none yet\n"),
        ("source: x\nitems:", "source: x\nitems:\n  - name: B\n    prompt: b\n"),
        ("items: []\n", "items: [{name: B, prompt: b}]\n"),
    ],
)
def test_a_list_that_is_empty_is_begun(before: str, after: str) -> None:
    assert insert_item("j.yaml", before, {"name": "B", "prompt": "b"}) == after


@pytest.mark.parametrize(
    ("name", "text"), [("j.yaml", "items: null\n"), ("j.yaml", "{items: }"), ("j.json", '{"items": null}')]
)
def test_items_that_are_no_list_are_refused(name: str, text: str) -> None:
    with pytest.raises(ValueError, match="its items are not a list"):
        insert_item(name, text, {"name": "B", "prompt": "b"})


def test_keys_that_blank_lines_part_stay_parted() -> None:
    after = insert_item("j.yaml", "source: x.md\n\nvariants: 1\n", {"name": "B", "prompt": "b"})
    assert after == "source: x.md\n\nvariants: 1\n\nitems:\n  - name: B\n    prompt: b\n"


def test_several_lines_are_a_block() -> None:
    assert added("items:\n  - name: A\n    prompt: a\n", name="j.yaml", prompt="one\n\ntwo") == [
        "  - prompt: |-",
        "      one",
        "",
        "      two",
    ]


TEXTS = st.text(min_size=1, max_size=20) | st.lists(
    st.sampled_from(["a", " ", "\n", ":", "#", "- ", "{", "}", "'", '"', "no", "12", "|", "&", "*", "!", "%", ",", "\t", "~", "\\", "\u2028", "\x85"]), min_size=1, max_size=8
).map("".join)  # fmt: skip
FILES = [
    "items:\n  - name: A\n    prompt: a\n    # c\noutput: {dir: x}\n",
    "items: [{name: A, prompt: a}]\n",
    "items:\n- {name: A, prompt: a}\n",
    "source: x.md",
    '{"items": [\n {"name": "A", "prompt": "a"}\n]}',
]


@given(TEXTS, TEXTS, st.sampled_from(FILES), st.floats(0, 1000) | st.integers(0, 2**63))
def test_any_item_is_read_back_as_it_is(name: str, prompt: str, before: str, number: float) -> None:
    file = "j.json" if before.startswith("{") else "j.yaml"
    item = {"name": name, "prompt": prompt, "cfg": number, "comfyui": {"loras": {name: number}, "vae": prompt}}
    try:
        values("j.json", json.dumps(item))
    except ImagegenError:
        assume(False)  # no file can say it
    after = insert_item(file, before, item)
    old = values(file, before)
    assert values(file, after) == {**old, "items": [*old.get("items", []), item]}
    assert values(file, insert_item(file, after, item))["items"][-2:] == [item, item]

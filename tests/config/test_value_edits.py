from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from imagegen.config.document import read_document
from imagegen.config.text_nodes import format_flow, format_scalar, parse_nodes
from imagegen.config.value_edits import edit_values, is_same
from imagegen.errors import ImagegenError

JOB = """\
# my job
backend: comfyui
generate: {width: 512, height: 640}  # size
items:
  - name: A  # first
    prompt: a woman with a cloak  # grey
    seed: 4   # lucky
    # more
  - name: B
    prompt: >-
      a very long prompt that goes on and on, with a raven on the shoulder,
      a lantern in the hand, and the sea behind, painted in oil on linen

    comfyui:
      checkpoint: x.safetensors # best

  - {name: C, prompt: 'c''s', steps: 3, comfyui: {checkpoint: a}}
  - steps: 4
    name: D
    prompt: |   # lit
      line one
      line two

  - name: E
    prompt: a plain long prompt that
      goes on here, and
      ends  # comment
# tail
output: {dir: x}
"""
LONG = "a very long prompt that goes on and on, with a black raven on the shoulder, a lantern in the hand, and the sea behind, painted in oil on linen"


def changed(before: str, after: str) -> tuple[list[str], list[str]]:
    """The lines that are gone, and those that are new."""
    old, new = before.splitlines(), after.splitlines()
    while old and new and old[0] == new[0]:
        del old[0], new[0]
    while old and new and old[-1] == new[-1]:
        del old[-1], new[-1]
    return old, new


@pytest.mark.parametrize(
    ("location", "value", "gone", "new"),
    [
        ((0, "prompt"), "a woman in red", ["    prompt: a woman with a cloak  # grey"], ["    prompt: a woman in red  # grey"]),
        ((0, "prompt"), "a woman: in red", ["    prompt: a woman with a cloak  # grey"], ['    prompt: "a woman: in red"  # grey']),
        ((0, "prompt"), "one\ntwo", ["    prompt: a woman with a cloak  # grey"], ["    prompt: |-  # grey", "      one", "      two"]),
        ((0, "seed"), 5, ["    seed: 4   # lucky"], ["    seed: 5   # lucky"]),
        ((0, "seed"), None, ["    seed: 4   # lucky"], ["    # lucky"]),
        ((0, "cfg"), 3.5, [], ["    cfg: 3.5"]),
        ((0, "comfyui", "checkpoint"), "q.ckpt", [], ["    comfyui: {checkpoint: q.ckpt}"]),
        ((1, "prompt"), LONG, ["      a very long prompt that goes on and on, with a raven on the shoulder,"], ["      a very long prompt that goes on and on, with a black raven on the shoulder,"]),
        ((1, "comfyui", "checkpoint"), None, ["    comfyui:", "      checkpoint: x.safetensors # best"], ["    # best"]),
        ((2, "prompt"), "it's", ["  - {name: C, prompt: 'c''s', steps: 3, comfyui: {checkpoint: a}}"], ["  - {name: C, prompt: 'it''s', steps: 3, comfyui: {checkpoint: a}}"]),
        ((2, "steps"), None, ["  - {name: C, prompt: 'c''s', steps: 3, comfyui: {checkpoint: a}}"], ["  - {name: C, prompt: 'c''s', comfyui: {checkpoint: a}}"]),
        ((2, "comfyui", "checkpoint"), None, ["  - {name: C, prompt: 'c''s', steps: 3, comfyui: {checkpoint: a}}"], ["  - {name: C, prompt: 'c''s', steps: 3}"]),
        ((3, "steps"), None, ["  - steps: 4", "    name: D"], ["  - name: D"]),
        ((3, "prompt"), "line one\nline 2\n", ["      line two"], ["      line 2"]),
        ((4, "prompt"), "a plain long prompt that goes on there, and ends", ["      goes on here, and"], ["      goes on there, and"]),
    ],
)  # fmt: skip
def test_a_value_is_written_in_the_form_that_it_had(
    location: tuple[Any, ...], value: Any, gone: list[str], new: list[str]
) -> None:
    assert changed(JOB, edit_values("j.yaml", JOB, {("items", *location): value})) == (gone, new)


def test_a_long_prompt_becomes_a_block_of_lines() -> None:
    _, new = changed(JOB, edit_values("j.yaml", JOB, {("items", 0, "prompt"): LONG}))
    assert new[0] == "    prompt: >-  # grey"
    assert " ".join(line.strip() for line in new[1:]) == LONG


def test_what_the_whole_job_has_is_edited_too() -> None:
    after = edit_values("j.yaml", JOB, {("generate", "steps"): 9, ("prompt", "prefix"): "oil on linen"})
    assert after == JOB.replace("height: 640}", "height: 640, steps: 9}") + "prompt: {prefix: oil on linen}\n"


@pytest.mark.parametrize(
    ("changes", "after"),
    [
        ({("items", 1, "seed"): None}, '{\n  "items": [\n    {"name": "A", "prompt": "a"},\n    {\n      "name": "B",\n      "prompt": "b"\n    }\n  ]\n}'),
        ({("items", 1, "prompt"): 'é "q"\n'}, '{\n  "items": [\n    {"name": "A", "prompt": "a"},\n    {\n      "name": "B",\n      "prompt": "é \\"q\\"\\n",\n      "seed": 3\n    }\n  ]\n}'),
        ({("items", 0, "x", "y"): 1}, '{\n  "items": [\n    {"name": "A", "prompt": "a", "x": {"y": 1}},\n    {\n      "name": "B",\n      "prompt": "b",\n      "seed": 3\n    }\n  ]\n}'),
    ],
)  # fmt: skip
def test_json_stays_as_it_is_laid_out(changes: dict[Any, Any], after: str) -> None:
    before = '{\n  "items": [\n    {"name": "A", "prompt": "a"},\n    {\n      "name": "B",\n      "prompt": "b",\n      "seed": 3\n    }\n  ]\n}'
    assert edit_values("j.json", before, changes) == after


@pytest.mark.parametrize("location", [("items", 0, "prompt"), ("base",), ("items", 1, "steps")])
def test_what_other_places_share_is_refused(location: tuple[Any, ...]) -> None:
    text = "base: &a hello\nitems:\n  - {name: A, prompt: *a}\n  - &b {name: B, prompt: b}\nagain: *b\n"
    with pytest.raises(ValueError, match="so other places would change too"):
        edit_values("j.yaml", text, {location: "x"})


def test_a_comment_that_would_be_lost_is_refused() -> None:
    text = "items:\n  - name: A\n    comfyui:\n      # mine\n      checkpoint: x\n"
    with pytest.raises(ValueError, match="a comment in it, which would be lost"):
        edit_values("j.yaml", text, {("items", 0, "comfyui", "checkpoint"): None})


TEXTS = st.lists(
    st.sampled_from(["a", "lantern", " ", "  ", "\n", ":", "#", " #", "- ", "{", "}", "'", '"', "no", "12", "|", "&", "*", "!", "%", ",", "@", "~", "\\", "🦊", "שלום", "\u2028", "\x85", "a long text of words "]), min_size=1, max_size=12
).map("".join)  # fmt: skip
KEYS = {
    "prompt": TEXTS,
    "negative": TEXTS,
    "seed": st.integers(0, 2**64 - 1),
    "cfg": st.floats(0, 100),
    "sampler": TEXTS,
}


def _block(key: str, value: Any, draw: Any, margin: str, comment: str) -> list[str]:
    """A key in one of the ways in which people write it."""
    if isinstance(value, str) and draw(st.booleans()):
        words = "\n".join(line.strip() for line in value.split("\n") if line.strip()) or "x"
        if words.isprintable() or words.isascii():
            style = draw(st.sampled_from(["|", "|-", "|+", ">", ">-"]))
            blank = [""] if draw(st.booleans()) else []
            return [f"{key}: {style}{comment}", *(f"{margin}  {line}" for line in words.split("\n")), *blank]
    written = format_scalar(value, "{}: {}")
    if " " in written and "\\" not in written and draw(st.integers(0, 2)) == 0:
        first, *others = re.split(r"(?<=\w) (?=\w)", written)
        return [
            f"{key}: {first}",
            *(f"{margin}   {line}" for line in others[:-1]),
            *(f"{margin}  {line}{comment}" for line in others[-1:]),
        ]
    return [f"{key}: {written}{comment}"]


@st.composite
def jobs(draw: Any) -> str:
    """A job file as people write them: blocks and braces, comments, empty lines, and line ends of either kind."""
    lines, number = ["# c0"], 0

    def comment() -> str:
        nonlocal number
        number += 1
        return f"  # c{number}" if draw(st.booleans()) else ""

    lines.append(f"generate: {{width: 64,  steps:   3}}{comment()}")
    lines.append("items:")
    dash = draw(st.sampled_from(["  - ", "- ", "-   ", " -  "]))
    margin = " " * len(dash)
    for index in range(draw(st.integers(1, 3))):
        said = {
            "name": f"n{index}",
            **draw(
                st.fixed_dictionaries(
                    {"prompt": TEXTS}, optional={key: KEYS[key] for key in ("seed", "cfg", "negative")}
                )
            ),
        }
        if draw(st.booleans()):
            said["comfyui"] = {"checkpoint": "x.ckpt", **({"vae": "v"} if draw(st.booleans()) else {})}
        if draw(st.integers(0, 3)) == 0:
            said = {"prompt": said["prompt"], **said}
        if draw(st.integers(0, 3)) == 0:
            lines.append(f"{dash}{format_flow(said)}{comment()}")
            continue
        if draw(st.integers(0, 3)) == 0:
            pairs = [format_flow({key: value})[1:-1] for key, value in said.items()]
            lines += [
                f"{dash}{{ {pairs[0]},{comment()}",
                *(f"{margin}  {pair},{comment()}" for pair in pairs[1:-1]),
                f"{margin}  {pairs[-1]} }}{comment()}",
            ]
            continue
        item = []
        for key, value in said.items():
            if isinstance(value, dict):
                item += [f"{margin}{key}:", *(f"{margin}  {inner}: {text}{comment()}" for inner, text in value.items())]
            else:
                first, *others = _block(key, value, draw, margin, comment())
                item += [margin + first, *others]
        item[0] = dash + item[0].strip()
        lines += item
        if draw(st.booleans()):
            lines += [f"{margin}{comment().strip()}".rstrip(), ""]
    if draw(st.booleans()):
        lines += [f"output: {{dir: x}}{comment()}"]
    newline: str = draw(st.sampled_from(["\n", "\r\n"]))
    return newline.join(lines) + (newline if draw(st.booleans()) else "")


@given(st.data())
def test_any_edit_reads_back_and_leaves_all_else_as_it_is(data: Any) -> None:
    before = data.draw(jobs())
    try:
        old = read_document("j.yaml", before.encode()).values
    except ImagegenError:
        assume(False)  # a comma before a comment, say
    index = data.draw(st.integers(0, len(old["items"]) - 1))
    key = data.draw(st.sampled_from(sorted(KEYS)))
    value = data.draw(KEYS[key] if key == "prompt" else st.none() | KEYS[key])
    changes: dict[tuple[Any, ...], Any] = {("items", index, key): value}
    changes |= data.draw(
        st.sampled_from(
            [{}, {("items", index, "comfyui", "checkpoint"): "y z"}, {("items", index, "comfyui", "vae"): None}]
        )
    )
    expected = copy.deepcopy(old)
    for (*_, last), one in changes.items():
        holder = expected["items"][index]
        if last in ("checkpoint", "vae"):
            holder = holder.setdefault("comfyui", {})
        holder.update({last: one} if one is not None else {})
        if one is None:
            holder.pop(last, None)
    if expected["items"][index].get("comfyui") == {}:
        del expected["items"][index]["comfyui"]
    try:
        after = edit_values("j.yaml", before, changes)
    except ValueError:
        assume(before.endswith("\n"))  # a block of lines that ends with the file has no line end
        raise
    assert is_same(read_document("j.yaml", after.encode()).values, expected)
    marks = re.compile(r"# c\d+(?=\s|$)")
    assert marks.findall(after) == marks.findall(before)
    # all lines of the other items, and of all else, are there to the last blank
    lines = before.split("\n")
    lines = [f"{line}\n" for line in lines[:-1]] + lines[-1:]
    nodes, _ = parse_nodes("j.yaml", before)
    entries = nodes.value("items")
    assert entries is not None
    starts = [before.count("\n", 0, entry.start) for entry in entries.inner] + [len(lines)]
    others = lines[: starts[index]], lines[starts[index + 1] :]
    assert after.startswith("".join(others[0]))
    assert after.endswith("".join(others[1]))


@given(
    st.lists(st.fixed_dictionaries({"name": TEXTS, "prompt": TEXTS}, optional={"seed": KEYS["seed"], "x": st.just({"y": 1})}), min_size=1, max_size=3),
    st.sampled_from([None, 0, 1, 4, "\t"]),
    st.sampled_from([{"prompt": "new"}, {"seed": None}, {"x.y": None}, {"x.y": 2, "cfg": 1.5}]),
    st.booleans(),
    st.data(),
)  # fmt: skip
def test_any_edit_of_json_reads_back(
    items: list[Any], indent: Any, changes: dict[str, Any], is_ascii: bool, data: Any
) -> None:
    index = data.draw(st.integers(0, len(items) - 1))
    before = json.dumps({"items": items}, indent=indent, ensure_ascii=is_ascii)
    after = edit_values("j.json", before, {("items", index, *key.split(".")): one for key, one in changes.items()})
    expected = json.loads(json.dumps(items))
    for key, one in changes.items():
        *above, last = key.split(".")
        holder = expected[index].setdefault("x", {}) if above else expected[index]
        holder.update({last: one})
        if one is None:
            del holder[last]
    if expected[index].get("x") == {}:
        del expected[index]["x"]
    assert json.loads(after) == {"items": expected}
    old, new = (
        [text[one.start : one.end] for one in parse_nodes("j.json", text)[0].inner[1].inner] for text in (before, after)
    )
    assert old[:index] + old[index + 1 :] == new[:index] + new[index + 1 :]
    assert before.split(old[0])[0] == after.split(new[0])[0]

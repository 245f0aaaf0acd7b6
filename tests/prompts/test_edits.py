from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from imagegen.errors import ImagegenError
from imagegen.prompts import SourceItem
from imagegen.prompts.csv import read_csv
from imagegen.prompts.edits import edit_source
from imagegen.prompts.markdown import read_markdown

TABLE = """name, prompt ,steps,Price,negative
Old Key,"a key, rusted
through",30,6.5,

Lamp ,  a lamp  ,,7,hands
Rope,"a ""long"" rope"
"""
PAGE = """---
title: mine
---
# People

## Mallsing

Tall.

```
a tall figure
with a cloak
```

more text

```yaml
steps: 30  # slow
```

## Yrr
~~~text
a small figure
~~~
"""


def items(file: str, text: str) -> dict[str, SourceItem]:
    read = read_csv if file.endswith(".csv") else read_markdown
    return {one.name: one for one in read(file, text.encode())}


def edit(file: str, text: str, name: str, **changes: Any) -> str:
    return edit_source(
        file, text, items(file, text)[name], {key.replace("_", "."): one for key, one in changes.items()}
    )


@pytest.mark.parametrize(
    ("name", "changes", "old", "new"),
    [
        ("Old Key", {"prompt": "a key"}, '"a key, rusted\nthrough"', '"a key"'),
        ("Old Key", {"steps": None}, ",30,6.5", ",,6.5"),
        ("Lamp", {"prompt": "a lamp, lit"}, ",  a lamp  ,", ',  "a lamp, lit",'),
        ("Lamp", {"steps": 7}, ",,7,hands", ",7,7,hands"),
        ("Rope", {"negative": "knots"}, ' rope"\n', ' rope",,,knots\n'),
        ("Rope", {"prompt": 'say "a"\nb'}, '"a ""long"" rope"', '"say ""a""\nb"'),
    ],
)
def test_a_cell_changes_and_no_other(name: str, changes: dict[str, Any], old: str, new: str) -> None:
    for text in (TABLE, TABLE.replace("\n", "\r\n"), TABLE.rstrip("\n"), "sep=,\n" + TABLE):
        is_windows = "\r\n" in text
        was, now = (one.replace("\n", "\r\n") if is_windows else one for one in (old, new))
        was, now = (one if text.endswith("\n") else one.rstrip("\n") for one in (was, now))
        assert edit("i.csv", text, name, **changes) == text.replace(was, now)


CELLS = st.text("ab ,;\"\n'\t#é", max_size=8)


@given(
    st.lists(st.tuples(CELLS, CELLS, st.booleans()), min_size=1, max_size=4), CELLS, st.sampled_from(",;\t"), st.data()
)
def test_any_cell_reads_back_in_any_table(rows: list[Any], value: str, delimiter: str, data: Any) -> None:
    def cell(text: str, is_quoted: bool = True) -> str:
        return '"' + text.replace('"', '""') + '"' if is_quoted or set(text) & set('",;\n\t') else text

    lines = [
        delimiter.join([f"n{index}", cell(f"p{prompt}", quoted), cell(other, quoted)])
        for index, (prompt, other, quoted) in enumerate(rows)
    ]
    text = "\n".join([delimiter.join(["name", "prompt", "mine"]), *lines, ""])
    index = data.draw(st.integers(0, len(rows) - 1))
    assume(value.strip())
    after = edit("i.csv", text, f"n{index}", prompt=value)
    assert items("i.csv", after)[f"n{index}"].prompt == value.strip()
    before, rest = text.split(lines[index], 1) if lines.count(lines[index]) == 1 else ("", "")
    assert after.startswith(before)
    assert after.endswith(rest)


@pytest.mark.parametrize(
    ("name", "changes", "old", "new"),
    [
        ("Mallsing", {"prompt": "one"}, "a tall figure\nwith a cloak\n", "one\n"),
        ("Mallsing", {"steps": 20}, "steps: 30  # slow", "steps: 20  # slow"),
        ("Mallsing", {"seed": 7}, "# slow\n", "# slow\nseed: 7\n"),
        ("Yrr", {"prompt": "a ~~~\n~~~\nb\n"}, "~~~text\na small figure\n~~~\n", "~~~~text\na ~~~\n~~~\nb\n~~~~\n"),
        ("Yrr", {"cfg": 2.5, "comfyui_checkpoint": "x"}, "figure\n~~~\n", "figure\n~~~\n\n```yaml\ncfg: 2.5\ncomfyui: {checkpoint: x}\n```\n"),
        ("Yrr", {"negative": "hands"}, "figure\n~~~\n", "figure\n~~~\n\n```negative\nhands\n```\n"),
    ],
)  # fmt: skip
def test_a_block_changes_and_no_other_line(name: str, changes: dict[str, Any], old: str, new: str) -> None:
    assert edit("p.md", PAGE, name, **changes) == PAGE.replace(old, new)
    windows = PAGE.replace("\n", "\r\n")
    assert edit("p.md", windows, name, **changes) == windows.replace(
        old.replace("\n", "\r\n"), new.replace("\n", "\r\n")
    )


def test_a_negative_block_is_changed_and_taken_out() -> None:
    page = PAGE + "\n```negative\nhands\n```\n"
    assert edit("p.md", page, "Yrr", negative="feet") == page.replace("hands", "feet")
    assert edit("p.md", page, "Yrr", negative=None) == PAGE + "\n"


def test_settings_that_are_all_taken_out_take_their_block_with_them_unless_it_has_a_comment() -> None:
    page = PAGE.replace("  # slow", "")
    assert edit("p.md", page, "Mallsing", steps=None) == page.replace("```yaml\nsteps: 30\n```\n", "")
    with pytest.raises(ValueError, match="a comment in it"):
        edit("p.md", PAGE, "Mallsing", steps=None)


def test_what_would_not_be_valid_is_refused_in_the_readers_words() -> None:
    with pytest.raises(ImagegenError, match="this row has no prompt"):
        edit("i.csv", TABLE, "Lamp", prompt="")
    with pytest.raises(ImagegenError, match="the prompt of 'Yrr' is empty"):
        edit("p.md", PAGE, "Yrr", prompt="")


LINES = st.lists(st.sampled_from(["a", "```", "~~~", "````", "## b", "  ", "- x", "    y", "> q", "===", "# c", "\ttab", "🦊"]), min_size=1, max_size=6).map("\n".join)  # fmt: skip


@given(LINES, st.sampled_from(["Mallsing", "Yrr"]))
def test_any_prompt_reads_back_from_a_page(prompt: str, name: str) -> None:
    assume(prompt.strip())
    after = edit("p.md", PAGE, name, prompt=f"{prompt}\n")
    assert items("p.md", after)[name].prompt.strip() == prompt.strip()
    others = (
        PAGE.replace("a small figure\n", "") if name == "Yrr" else PAGE.replace("a tall figure\nwith a cloak\n", "")
    )
    lines = after.splitlines()
    assert all(line in lines or line.startswith(("~~~", "```")) for line in others.splitlines())

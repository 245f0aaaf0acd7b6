from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.errors import ImagegenError
from imagegen.prompts import SourceItem
from imagegen.prompts.markdown import read_markdown

PAGE = """# Title

```
ignored: above the first item
```

## **Mallsing** of the `Marsh`

Some lore.

```text
a marsh singer,
in mist
```

```
ignored: the second
```

```negative
hands
```

```yaml
steps: 30
seed: 7
```

### deeper headings end nothing

> ```
> ignored: in a quote
> ```

Yrr
---

~~~
cave-born
~~~
"""


def read(text: str | bytes) -> list[SourceItem]:
    return read_markdown("docs/k.md", text.encode() if isinstance(text, str) else text)


def problems(text: str | bytes) -> list[str]:
    with pytest.raises(ImagegenError) as caught:
        read(text)
    return [f"{problem.where}: {problem.what}" for problem in caught.value.problems]


@pytest.mark.parametrize("page", [PAGE, "\ufeff" + PAGE, PAGE.replace("\n", "\r\n")], ids=["plain", "bom", "crlf"])
def test_headings_are_names_and_first_blocks_are_prompts(page: str) -> None:
    one, other = read(page)
    assert (one.name, one.prompt, one.negative) == ("Mallsing of the Marsh", "a marsh singer,\nin mist\n", "hands\n")
    assert one.overrides == {"steps": 30, "seed": 7}
    assert (other.name, other.prompt, other.negative, other.overrides) == ("Yrr", "cave-born\n", None, {})
    assert one.marks["name"] == "docs/k.md:7:1"
    assert one.marks["seed"] == "docs/k.md:26:1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# A\n\ntext\n", ["docs/k.md:1:1: has no level-2 heading (## Name), so no items"]),
        ("## A\n\ntext\n## B\n```\nb\n```\n", ["docs/k.md:1:1: 'A' has no prompt: a code block (```) under its heading"]),
        ("## A\n```\na\n```\n## A\n```\nb\n```\n", ["docs/k.md:5:1: 'A' is the name of two items, first in line 1"]),
        ("## A\n```\na\n```\n```negative\n1\n```\n```negative\n2\n```\n", ["docs/k.md:8:1: 'A' has two negative blocks, the first in line 5"]),
        ("## A\n```\nnot closed\n", ["docs/k.md:2:1: this block is not closed: ``` is missing"]),
        ("## A\n```\nindented too far\n    ```\n", ["docs/k.md:2:1: this block is not closed: ``` is missing"]),
        ("## A\n````\ntoo short\n```\n", ["docs/k.md:2:1: this block is not closed: ```` is missing"]),
        ("##\n```\na\n```\n##\n```\nb\n```\n", ["docs/k.md:1:1: this heading has no text", "docs/k.md:5:1: this heading has no text"]),
        ("## A\n```\n \n\n```\n", ["docs/k.md:2:1: the prompt of 'A' is empty"]),
        ("## A\n```yaml\na: !x 1\n```\n", ["docs/k.md:1:1: 'A' has no prompt", "docs/k.md:3:4: has the tag '!x'"]),
        ("## A\n# End\n```\na\n```\n", ["docs/k.md:1:1: 'A' has no prompt"]),
        ("## A\n- b\n  ```\n  a\n  ```\n", ["docs/k.md:1:1: 'A' has no prompt"]),
        ("## A\n```\na\n```\n```yaml\nsteps: [\n```\n", ["docs/k.md:6:8: the [ that begins here is never closed"]),
        ("## A\n```\na\n```\n```yaml\nsteps: 1\nsteps: 2\n```\n", ["docs/k.md:7:1: 'steps' is given twice, first in line 6"]),
        ("## A\n```\na\n```\n```yaml\n- 1\n```\n", ["docs/k.md:5:1: the yaml block is not a mapping"]),
        ("## A\n```\na\n```\n```yaml\n```\n", ["docs/k.md:5:1: is empty"]),
        (b"## A\n\xff", ["docs/k.md:2:1: is not UTF-8"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_its_place(text: str | bytes, expected: list[str]) -> None:
    found = problems(text)
    assert len(found) == len(expected)
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("## A &amp; B \\* C", "A & B * C"),
        ("## <b>Bold</b> [link](x.md) ![picture](y.png)", "Bold link picture"),
        ("## [Yrr][kin]\n\n[kin]: kin.md", "Yrr"),
        ("## Closed ##", "Closed"),
        ("Two\nlines\n---", "Two lines"),
    ],
)
def test_a_name_is_the_text_of_its_heading(heading: str, name: str) -> None:
    assert [item.name for item in read(f"{heading}\n\n```\nx\n```\n")] == [name]


@pytest.mark.parametrize("info", ["yaml", "YAML", "yaml title=x", "yaml\ttitle"])
def test_the_first_word_of_the_info_string_counts(info: str) -> None:
    assert read(f"## A\n```\nx\n```\n```{info}\nsteps: 3\n```\n")[0].overrides == {"steps": 3}


NAMES = st.text("abcdefgh ÄÖ", min_size=1, max_size=12).map(str.strip).filter(bool)
LINES = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="`"), min_size=1, max_size=30
)


@given(
    st.dictionaries(NAMES.map(lambda name: " ".join(name.split())), st.lists(LINES, min_size=1, max_size=3), min_size=1)
)
def test_items_written_as_markdown_read_back(items: dict[str, list[str]]) -> None:
    page = "".join(f"## {name}\n\nlore\n\n```\n{chr(10).join(lines)}\n```\n\n" for name, lines in items.items())
    found = {item.name: item.prompt.splitlines() for item in read(page)}
    assert {name: "\n".join(lines) for name, lines in found.items()} == {
        name: "\n".join("\n".join(lines).splitlines()) for name, lines in items.items()
    }


PIECES = st.sampled_from(
    ["## A", "#", "\n", "\n\n", "```", "````", "~~~", "yaml", "negative", " ", "    ", "a: 1", "- ", ">"]
)


@given(st.lists(PIECES, max_size=40).map("".join) | st.binary(max_size=80))
def test_any_text_is_read_or_refused_with_a_line(text: str | bytes) -> None:
    try:
        assert all(item.name and item.prompt.strip() for item in read(text))
    except ImagegenError as error:
        assert all(problem.where.startswith("docs/k.md:") for problem in error.problems)


@pytest.mark.parametrize(
    "front", ["---\ntitle: Kin\ntags: [a]\n---\n", "---\r\ntitle: Kin\r\n---\r\n", "+++\ntitle = 'Kin'\n+++\n", "---\na: 1\n...\n", "---\n---\n", "---\n## comment\na: 1\n---\n"]
)  # fmt: skip
def test_front_matter_is_not_part_of_the_page(front: str) -> None:
    (item,) = read(front + "\n# Kin\n\n## Tharn\n\n```\na tharn\n```\n")
    assert (item.name, item.prompt.strip()) == ("Tharn", "a tharn")
    assert item.marks["name"] == f"docs/k.md:{front.count(chr(10)) + 4}:1"


def test_a_page_between_two_rules_is_no_front_matter() -> None:
    page = "---\n\n## Tharn\n```\na\n```\n\n---\n\n## Yrr\n```\nb\n```\n"
    assert [item.name for item in read(page)] == ["Tharn", "Yrr"]


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("## A\n````\na ``` b\n````\n", ["A"]),
        ("## A ##\n~~~\na\n~~~\n", ["A"]),
        ("<!--\n## Old\n```\na\n```\n-->\n\n## A\ntext between\n\n```\na\n```\n", ["A"]),
        ("Kin\n=======\n\n## A\n```\na\n```\n", ["A"]),
        ("## A\n### Prompt\n```\na\n```\n### Negative\n```negative\nb\n```\n", ["A"]),
        ("## A\n```yml\nsteps: 3\n```\n```\na\n```\n", ["A"]),
    ],
)
def test_what_people_write_in_markdown_is_read(page: str, names: list[str]) -> None:
    items = read(page)
    assert [item.name for item in items] == names
    assert items[0].prompt.startswith("a")


@pytest.mark.parametrize(
    ("page", "message", "fix"),
    [
        ("## A\n\n    a raven\n", "'A' has no prompt", "an indented block is not read"),
        ("## A\n```\na\n```\nNote\n---\n", "'Note' has no prompt", "--- under a text makes it a heading"),
        ("## Kin\n### A\n```\na\n```\n### B\n```\nb\n```\n", "'Kin' has prompts under several of its subheadings: 'A', 'B'", "level 2"),
        ("## A\n```\na\n```\n```negativ\nb\n```\n", "'negativ' is not a kind of block; did you mean 'negative'?", ""),
        ("## A\n```\na\n```\n```neg\nb\n```\n", "'neg' is not a kind of block; did you mean 'negative'?", ""),
        ("## A\n```\na\n```\n##B\n```\nb\n```\n", "## needs a space after it to begin a heading", "'## B'"),
        ("## A\n```\na\n```\nx\n##\u00a0B\n```\nb\n```\n", "## needs a space after it to begin a heading", "'## B'"),
        ("## A\n- x\n\n  ```\n  a\n  ```\n", "'A' has no prompt", "a block in a list or a quote is not read"),
        ("## A\n```\na\n=======\nb\n```\n", "this block has unresolved merge-conflict markers", "======="),
        ("## A\n```\na\n||||||| 1a2b3c4\n```\n", "has unresolved merge-conflict markers", "choose"),
        ("## A\n```\n<<<<<<< HEAD\na\n=======\nb\n>>>>>>> x\n```\n", "has unresolved merge-conflict markers", "choose"),
    ],
)  # fmt: skip
def test_what_would_be_lost_is_refused(page: str, message: str, fix: str) -> None:
    with pytest.raises(ImagegenError) as caught:
        read(page)
    (problem,) = caught.value.problems
    assert problem.what.startswith(message)
    assert fix in problem.hint

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from imagegen.config.pyproject import TomlTable, add_tables, format_tables, parse_toml

SD = ("tool", "imagegen", "sd")
MODEL = TomlTable(SD, {"model": "sd-turbo"})
ENTRY = TomlTable(("tool", "imagegen", "models", "sd-turbo"), {"repo": "o/r", "size": 7})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '[tool.imagegen.sd]\nmodel = "sd-turbo"\n'),
        ("a = 1", 'a = 1\n\n[tool.imagegen.sd]\nmodel = "sd-turbo"\n'),
        ("a = 1\r\n\r\n", 'a = 1\r\n\r\n[tool.imagegen.sd]\r\nmodel = "sd-turbo"\r\n'),
        ("[tool.imagegen.sd]", '[tool.imagegen.sd]\nmodel = "sd-turbo"\n'),
        (
            '# ours\n[tool.imagegen.sd]  # local\nprogram = "x"\n[b]\n',
            '# ours\n[tool.imagegen.sd]  # local\nmodel = "sd-turbo"\nprogram = "x"\n[b]\n',
        ),
        (
            ' [ tool . "imagegen" . sd ]\r\noffload = true',
            ' [ tool . "imagegen" . sd ]\r\nmodel = "sd-turbo"\r\noffload = true',
        ),
        (
            'text = """\n[tool.imagegen.sd]\n"""\n[tool.imagegen.sd]\n',
            'text = """\n[tool.imagegen.sd]\n"""\n[tool.imagegen.sd]\nmodel = "sd-turbo"\n',
        ),
        (
            "[tool.imagegen.sd.server]\nurl = 'u'\n",
            "[tool.imagegen.sd.server]\nurl = 'u'\n\n[tool.imagegen.sd]\nmodel = \"sd-turbo\"\n",
        ),
        (
            '[tool.imagegen]\nsd.program = "x"\n',
            '[tool.imagegen]\nsd.model = "sd-turbo"\nsd.program = "x"\n',
        ),
        ("x = nan\n", 'x = nan\n\n[tool.imagegen.sd]\nmodel = "sd-turbo"\n'),
    ],
)
def test_a_key_goes_where_its_table_is_and_else_to_the_end(before: str, after: str) -> None:
    assert add_tables(before, [MODEL]) == after


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[tool.imagegen]\nsd = {program = "x"}\n', r"\[tool\.imagegen\.sd\] cannot be added to it"),
        ("tool = {imagegen = {}}\n", "cannot be added"),
        ("[[tool.imagegen.sd]]\n", "not in a table"),
        ('[tool.imagegen]\nsd = "x"\n', "not in a table"),
        ('[tool.imagegen.sd]\nmodel = "other"\n', "has model already"),
        ("[tool\n", "line 1"),
        ("\ufeffa = 1\n", "line 1"),
    ],
)
def test_what_cannot_be_added_safely_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        add_tables(text, [ENTRY, MODEL])


def test_the_lines_to_add_by_hand_are_toml() -> None:
    assert parse_toml(format_tables([ENTRY, MODEL])) == parse_toml(add_tables("", [ENTRY, MODEL]))


VALUES = st.sampled_from(
    [
        *("1", "1.0", "true", "nan", "-inf", "'x'", '"a # b"', "2026-11-29", "07:32:00"),
        *("[1, [2,\n# c\n 3]]", "{a = {}, b = 1}"),
        '"""\n[tool.imagegen.sd]\nmodel = 1\n"""',
        "'''[tool.imagegen.models.sd-turbo]\n'''",
    ]
)
HEADERS = [
    *("[a]", "[a.b] # c", "[[c]]", "[tool]", "[tool.other]", "[tool.'imagegen']", "[ tool.imagegen.sd ]# c"),
    *("\t[tool.imagegen.sd.server]", "[tool.imagegen.models.mine]", "[tool.imagegen.models]", '["tool.imagegen.sd"]'),
]


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Documents with and without the tables, their lines ending in all ways."""
    parts: list[str] = []
    for header in ["", *draw(st.lists(st.sampled_from(HEADERS), unique=True, max_size=6))]:
        parts.append(header)
        for key in draw(st.lists(st.sampled_from("uvwxyz"), unique=True, max_size=3)):
            parts.append(f"{key} = {draw(VALUES)}")
        parts += draw(st.lists(st.sampled_from(["", "  ", "# [tool.imagegen.sd]", "#\u2028[a]", "# ä"]), max_size=2))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    text = end.join(parts) + draw(st.sampled_from(["", end]))
    return text if draw(st.booleans()) else text.replace(end, "\n", 2)


def is_valid(text: str) -> bool:
    try:
        parse_toml(text)
    except ValueError:
        return False
    return True


def as_text(value: Any) -> Any:
    """The value in a form in which a NaN is equal to itself, and keys have no order."""
    if isinstance(value, dict):
        return {key: as_text(one) for key, one in value.items()}
    return [as_text(one) for one in value] if isinstance(value, list) else repr(value)


@given(documents(), st.text(max_size=20).filter(lambda text: text.isprintable() or "\x7f" in text))
def test_nothing_else_changes_in_any_document(text: str, name: str) -> None:
    assume(is_valid(text) and name not in tuple("uvwxyz"))  # what a document has under that name already is refused
    for table in (TomlTable(SD, {"model": name}), TomlTable(("tool", "imagegen", "models", name), {"size": 7})):
        before, result = as_text(parse_toml(text)), add_tables(text, [table])
        cuts = range(len(text) + 1)  # all of it, with something in between
        assert any(result.startswith(text[:cut]) and result.endswith(text[cut:]) for cut in cuts)
        after = as_text(parse_toml(result))
        *above, last = table.path
        folder = after
        for key in above:
            folder = folder[key]
        added = folder[last]
        for key, value in table.values.items():
            assert added.pop(key) == repr(value)
        assert without_empty(after) == without_empty(before)


def without_empty(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    kept = {key: without_empty(one) for key, one in value.items()}
    return {key: one for key, one in kept.items() if one != {}}

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.errors import ImagegenError
from imagegen.prompts import SourceItem
from imagegen.prompts.csv import read_csv

TABLE = """name,prompt,steps,cfg,negative,sampler
Old Key,"a key, rusted
through",30,6.5,,no

Lamp,a lamp,,7,hands,
,,,,,
Rope,"a ""long"" rope"
"""


def read(text: str | bytes) -> list[SourceItem]:
    return read_csv("docs/i.csv", text.encode() if isinstance(text, str) else text)


def problems(text: str | bytes) -> list[str]:
    with pytest.raises(ImagegenError) as caught:
        read(text)
    return [f"{problem.where}: {problem.what}" for problem in caught.value.problems]


@pytest.mark.parametrize("table", [TABLE, "\ufeff" + TABLE, TABLE.replace("\n", "\r\n")], ids=["plain", "bom", "crlf"])
def test_rows_are_items_and_empty_cells_give_nothing(table: str) -> None:
    key, lamp, rope = read(table)
    assert (key.name, key.prompt, key.negative) == ("Old Key", "a key, rusted\nthrough", None)
    assert key.overrides == {"steps": 30, "cfg": 6.5, "sampler": "no"}
    assert (lamp.name, lamp.negative, lamp.overrides) == ("Lamp", "hands", {"cfg": 7})
    assert (rope.prompt, rope.overrides) == ('a "long" rope', {})
    assert key.marks["sampler"] == "docs/i.csv:2:6"
    assert lamp.marks == {key: f"docs/i.csv:5:{n}" for key, n in (("name", 1), ("prompt", 2), ("cfg", 4), ("negative", 5))}  # fmt: skip
    assert rope.marks["name"] == "docs/i.csv:7:1"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_first_row_tells_what_parts_the_cells(delimiter: str) -> None:
    rows = [["", "", ""], ["prompt", " name ", ""], ["a, b; c\td", "A", ""]]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    (item,) = read(text.getvalue())
    assert (item.name, item.prompt) == ("A", "a, b; c\td")


def test_a_cell_of_the_first_row_that_has_more_of_another_sign_parts_nothing() -> None:
    (item,) = read('name,prompt,"price; in gold; or silver; each"\nA,a,3\n')
    assert (item.name, item.prompt) == ("A", "a")


def test_an_invisible_sign_before_a_columns_name_is_no_part_of_it() -> None:
    (item,) = read("\ufeff\ufeffname,\u200bprompt\nA,a\n")
    assert (item.name, item.prompt) == ("A", "a")


def test_a_blank_before_a_quote_is_no_part_of_the_cell() -> None:
    assert read('name, prompt\nA, "a, b"\n')[0].prompt == "a, b"


def test_line_separators_of_unicode_end_no_row() -> None:
    items = read("name,prompt\nA,a\u2028b\u0085c\nB,b\n")
    assert [(item.prompt, item.marks["name"]) for item in items] == [
        ("a\u2028b\u0085c", "docs/i.csv:2:1"),
        ("b", "docs/i.csv:3:1"),
    ]


@pytest.mark.parametrize(
    ("cell", "value"),
    [("20", 20), ("0", 0), ("-1", -1), (" 20 ", 20), ("20.0", 20.0), ("1e2", 100.0), ("012", "012"), ("1_000", "1_000"),
     ("1e999", "1e999"), ("0x10", "0x10"), ("nan", "nan"), ("6,5", "6,5"), ("٣", "٣")],
)  # fmt: skip
def test_only_plain_decimal_cells_are_numbers(cell: str, value: object) -> None:
    (item,) = read(f"name;prompt;steps\nA;a;{cell}\n")
    assert (item.overrides["steps"], type(item.overrides["steps"])) == (value, type(value))


def test_cells_of_text_stay_text() -> None:
    (item,) = read("name,prompt,negative,sampler\n12,1e5,no,null\n")
    assert (item.name, item.prompt, item.negative, item.overrides) == ("12", "1e5", "no", {"sampler": "null"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["docs/i.csv:1:1: is empty"]),
        (",,\n\n", ["docs/i.csv:1:1: is empty"]),
        ("\nname,prompt\n", ["docs/i.csv:2:1: has no row below its column names, so no items"]),
        ("name,promt\nA,a,b\n", ["docs/i.csv:1:2: 'promt' is not a column; did you mean 'prompt'?", "docs/i.csv:1:1: there is no column 'prompt'"]),
        ("NAM,prompt\n", ["docs/i.csv:1:1: 'NAM' is not a column; did you mean 'name'?", "docs/i.csv:1:1: there is no column 'name'"]),
        ("name,prompt,stepz\nA,\n", ["docs/i.csv:1:3: 'stepz' is not a column; did you mean 'steps'?", "docs/i.csv:2:2: this row has no prompt"]),
        ("name,prompt,name\nA,a,b\n", ["docs/i.csv:1:3: the column 'name' is given twice, first as number 1"]),
        ("name,prompt\nA,a, b\nB,b,\n", ["docs/i.csv:2:3: this row has 3 cells, but there are 2 columns"]),
        ("name,,prompt\nA,x,a\n", ["docs/i.csv:2:2: this cell is in a column without a name"]),
        ("name,prompt\nA\n,b\n", ["docs/i.csv:2:2: this row has no prompt", "docs/i.csv:3:1: this row has no name"]),
        ('name,prompt\n"A\nB",a\nC,c\n"A\nB",b\n', ["docs/i.csv:5:1: 'A\nB' is the name of two items, first in line 2"]),
        ('name,prompt\nA\nB,"b\nC,c\n', ["docs/i.csv:3:1: not valid CSV: unexpected end of data, in the row that begins here and was read up to line 4", "docs/i.csv:2:2: this row has no prompt"]),
        ('name,prompt\nA,"a" b\n', ["docs/i.csv:2:1: not valid CSV: ',' expected after '\"', in the row that begins here and was read up to line 2"]),
        ("Table 1,,\nname,prompt,price\nA,a,3\n", ["docs/i.csv:1:1: the column names are in line 2; they must be in the first"]),
        ("# items\nname,prompt\nA,a\n", ["docs/i.csv:1:1: the column names are in line 2"]),
        ("name|prompt\nA|a\n", ["docs/i.csv:1:1: there is no column 'name'", "docs/i.csv:1:1: there is no column 'prompt'"]),
        ("name,prompt\nA,#REF!\n", ["docs/i.csv:2:2: #REF! is what a spreadsheet writes for a formula that failed"]),
        ("name;prompt\nErr:502;a\n", ["docs/i.csv:2:1: Err:502 is what a spreadsheet writes"]),
        (b"name,prompt\nA,\xff", ["docs/i.csv:2:3: is not UTF-8"]),
        ("name,prompt\nA,a\x00", ["docs/i.csv:2:4: has the control character U+0000"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_its_place(text: str | bytes, expected: list[str]) -> None:
    found = problems(text)
    assert len(found) == len(expected)
    for start in expected:
        assert any(line.startswith(start) for line in found), found


CELLS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff")
    | st.sampled_from(',;\t"\n'),
    min_size=1,
    max_size=20,
)


@given(
    st.dictionaries(CELLS.map(str.strip).filter(bool), CELLS.map(str.strip).filter(bool), min_size=1),
    st.sampled_from(",;\t"),
    st.sampled_from(["\n", "\r\n"]),
)
def test_items_written_as_csv_read_back(items: dict[str, str], delimiter: str, end: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([["name", "prompt"], *items.items()])
    assert {item.name: item.prompt for item in read(text.getvalue())} == items


@given(st.text('name,prompt;\t\n" ab', max_size=60).map(lambda text: f"name,prompt\n{text}") | st.text(max_size=40))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    try:
        read(text.encode("utf-8", "surrogatepass"))
    except ImagegenError as error:
        assert all(problem.where.startswith("docs/i.csv:") for problem in error.problems)


@pytest.mark.parametrize("line", ["sep=;\n", "SEP=;\n", '"sep=;"\n', "sep=;;;\n", "sep=;\r\n", "\ufeffsep=;\n"])
def test_the_line_that_excel_wants_is_no_row(line: str) -> None:
    (item,) = read(f"{line}name;prompt\nRope;a rope, frayed\n")
    assert (item.name, item.prompt) == ("Rope", "a rope, frayed")
    assert item.marks["prompt"] == "docs/i.csv:3:2"


def test_other_columns_of_an_item_table_are_not_read() -> None:
    (item,) = read("id,Name, PROMPT ,price,weight,speed,notes,,\n7,Rope,a rope,6.5,3,,see below,,\n,,,,,,,,\n")
    assert (item.name, item.prompt, item.overrides) == ("Rope", "a rope", {})


@pytest.mark.parametrize(
    ("column", "field"),
    [
        ("promt", "prompt"), ("Prompts", "prompt"), ("sede", "seed"), ("step", "steps"), ("heigth", "height"), ("anme", "name"),
        ("neg", "negative"), ("negative prompt", "negative"), ("prompt_text", "prompt"), ("CFG scale", "cfg"), ("smapler", "sampler"),
    ],
)  # fmt: skip
def test_a_misspelt_column_is_never_taken_for_another_one(column: str, field: str) -> None:
    found = problems(f"name,prompt,{column}\nRope,a rope,7\n")
    meant = "prompt" if "prompt" in column and field == "negative" else field
    assert found == [f"docs/i.csv:1:3: '{column}' is not a column; did you mean '{meant}'?"]

"""What people write that YAML reads otherwise: each message names the place, what is wrong there, and what to quote."""

from __future__ import annotations

import pytest
import yaml

from imagegen.config import yaml_document
from imagegen.config.document import read_document
from imagegen.errors import ImagegenError, Problem

PROMPT = "items:\n  - name: X\n    prompt: "


def refused(text: str) -> Problem:
    with pytest.raises(ImagegenError) as caught:
        read_document("j.yaml", text.encode())
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    "value",
    [
        "{red|blue} cloak", "{red, blue} cloak", "[cow|horse] in a field", "*masterpiece*, best", "**bold** x", "- raven",
        "@artist, x", "%x", "`x` y", "& y", "> folded wrongly", "| kept wrongly", "? what", ", x", "} x", "] x",
    ],
)  # fmt: skip
def test_text_that_begins_with_a_sign_of_yaml_is_to_be_quoted(value: str) -> None:
    problem = refused(PROMPT + value + "\n")
    assert (problem.where, problem.what) == ("j.yaml:3:13", f"text that begins with {value[0]} must be in quotes")
    assert f"prompt: '{value}'" in problem.hint
    assert read_document("j.yaml", f"{PROMPT}'{value}'".encode()).values["items"][0]["prompt"] == value


@pytest.mark.parametrize(
    ("value", "ending", "quoted"),
    [
        ('"Old" key', '"Old"', "'\"Old\" key'"),
        ("'Old' key", "'Old'", "\"'Old' key\""),
        ("'it's a raven'", "'it'", '"it\'s a raven"'),
        ("'it's'", "'it'", '"it\'s"'),
        ('"a "red" raven"', '"a "', "'a \"red\" raven'"),
    ],
)
def test_a_quote_within_quotes_is_reported_where_the_text_begins(value: str, ending: str, quoted: str) -> None:
    problem = refused(PROMPT + value + "\n")
    assert problem.where == "j.yaml:3:13"
    assert problem.what == f"the text in quotes ends with {ending}, and more follows it"
    assert problem.hint == f"put the whole text in quotes: prompt: {quoted}"
    assert read_document("j.yaml", (PROMPT + quoted).encode()).values["items"][0]["prompt"]


BODY = "items:\n  - {name: a, prompt: "


@pytest.mark.parametrize(
    ("text", "where", "what", "fix"),
    [
        (BODY + "a rope, frayed}\n", "2:31", "'frayed' is a key without a value", "contains a comma in quotes"),
        (BODY + "{red|blue}}\n", "2:24", "'red|blue' is a key without a value", "begins with { in quotes"),
        (BODY + "E: x}\n", "2:24", "within brackets, text with ': ' in it must be in quotes", "quotes"),
        (BODY + "a {red|blue} cloak}\n", "2:25", "within brackets, text with { in it must be in quotes", "quotes"),
        (BODY + "{red|blue} cloak}\n", "2:34", "more text follows the }, and text that begins with a bracket", "quotes"),
        (BODY + "b #1, steps: 3}\n", "2:25", "the rest of the line is a comment", "in quotes"),
        ("generate: {width:64}\n", "1:12", "'width:64' is a key without a value", "a colon needs a space"),
        ("generate: {cfg: 6,5}\n", "1:19", "'5' is a key without a value", "a point: 6.5"),
        ("generate: {width: 64\nitems: []\n", "1:11", "the { that begins here is not closed before line 2", "}"),
        ("items: [{name: a}\nvariants: 2\n", "1:8", "the [ that begins here is not closed before line 2", "]"),
        ("generate: {width: 64}}\n", "1:22", "there is one } too many", "delete it"),
        ("a:\n  - outline: {colour: #123456}\n  - trim\n", "2:23", "the rest of the line is a comment", "begins with #"),
        ("a: {b: [{colour: #123456}]}\nc: {}\n", "1:18", "the rest of the line is a comment", "in quotes"),
        ("a: [\n#1, #2]\n", "2:1", "the rest of the line is a comment", "in quotes"),
        ("a: {b: 'x #}', c: 2\nd: 3\n", "1:4", "the { that begins here is not closed before line 2", "}"),
        ("a: {b: 1, # [sic]\n    c: 2\nd: 3\n", "1:4", "the { that begins here is not closed before line 3", "}"),
        ("a: {b: 1} # }\nc: {d: 'x'\ne: 3\n", "2:4", "the { that begins here is not closed before line 3", "}"),
        ("a: {b: '}', c: {d: 1}\ne: f\n", "1:4", "the { that begins here is not closed before line 2", "}"),
        ("items: [{name: a]\n", "1:17", "] does not close the { of line 1", "order"),
    ],
)  # fmt: skip
def test_what_goes_wrong_within_brackets(text: str, where: str, what: str, fix: str) -> None:
    problem = refused(text)
    assert problem.where == f"j.yaml:{where}"
    assert problem.what.startswith(what)
    assert fix in problem.hint


@pytest.mark.parametrize(
    ("text", "where", "what", "fix"),
    [
        (PROMPT + "a knight: brave\n", "3:21", "text with ': ' in it must be in quotes", "'a knight: brave'"),
        (PROMPT + '"a raven\n  - name: "Z"\n', "3:13", "the quote that begins here is closed only in line 4", "close it"),
        (PROMPT + "'a raven\n  - name: Y\n", "3:13", "the quote that begins here is never closed", "close the quote"),
        (PROMPT + '"C:\\path"\n', "3:16", "\\p is not an escape within double quotes", "single quotes"),
        (PROMPT + "“a raven: black”\n", "3:13", "“ is not a quote in YAML", "straight quotes"),
        (PROMPT + "“a raven”\n", "3:13", "“ and ” are not quotes in YAML", "straight quotes"),
        (PROMPT + "&x y, z\n", "3:13", "nothing refers to the anchor &x", "& in quotes"),
        (PROMPT + "*x, y\n", "3:13", "the alias *x", "* in quotes"),
        (PROMPT + "!tag y\n", "3:13", "has the tag '!tag'", "! in quotes"),
        ("items:\n\t- name: X\n", "2:1", "a tab cannot indent", "spaces"),
        ("items:\n  - name: X\n\tprompt: y\n", "3:1", "a tab cannot indent", "spaces"),
        ("items:\n  - name: X\n   prompt: y\n", "3:4", "this line is indented by 3 blanks", "4 blanks, as line 2"),
        ("items:\n  - name: X\n     prompt: y\n", "3:6", "this line is indented deeper than line 2", "4 blanks as line 2"),
        ("items:\n  - name: X\n - name: Z\n", "3:2", "this line is indented by 1 blank,", "2 blanks, as line 2"),
        ("items:\n- name: X\n  - name: Z\n", "3:3", "this line is indented by 2 blanks", "0 blanks, as line 2"),
        ("items:\n  - name: X\n    prompt: a\n    - name: Z\n", "4:5", "this line is indented by 4 blanks", "2 blanks"),
        (" variants: 2\nitems: []\n", "2:1", "this line is indented by 0 blanks", "1 blank, as line 1"),
        ("items:\n  -name: X\n   prompt: y\n", "2:3", "a dash needs a space after it", "- name"),
        (PROMPT + "a raven\n    black\n", "4:5", "this line is not a key with a value", "indent it deeper"),
        (PROMPT + "|\n    a raven\n", "4:5", "the text of line 3 must be indented deeper", "indent"),
        (PROMPT + "|\n      a\n     b\n", "5:6", "this line is indented by 5 blanks, the text that begins above", "6"),
        (PROMPT + "a raven,\n      # its colour\n      black\n", "5:7", "the comment in line 4 ends the text", "move"),
        ("items:\n  - name: X\n    prompt:\u00a0y\n", "3:12", "has the invisible character U+00A0", "space bar"),
        ("a: 1\nprompt\u200b: y\n", "2:1", "the key has the invisible character U+200B", "delete"),
        ("a: 28\u00a0\n", "1:4", "has the invisible character U+00A0 beside the number", "delete"),
        ("items:\n  - name:\u00a0X\n    prompt: y\n", "2:10", "has the invisible character U+00A0", "space bar"),
        (PROMPT + '"a", "b"\n', "3:13", 'the text in quotes ends with "a"', "'\"a\", \"b\"'"),
        ("items:\n  - {name: X,, prompt: y}\n", "2:14", "there is a comma too many", "delete it"),
        ("items:\n  – name: X\n    prompt: y\n", "2:3", "– is not the dash that begins an entry", "write -"),
        ("items:\n  • name: X\n    prompt: y\n", "2:3", "• is not the dash that begins an entry", "write -"),
        (PROMPT + "a raven,\n      #1 black\n", "4:7", "the rest of the line is a comment", "put the text in quotes"),
        (PROMPT + "a raven\n\n      #ff0000 eyes\n", "5:7", "the rest of the line is a comment", "put the text in quotes"),
        (PROMPT + "a\u2028b\n", "3:14", "has a line end U+2028 here", "delete"),
    ],
)  # fmt: skip
def test_slips_are_named_in_their_place(text: str, where: str, what: str, fix: str) -> None:
    problem = refused(text)
    assert problem.where == f"j.yaml:{where}"
    assert problem.what.startswith(what)
    assert fix in problem.hint


@pytest.mark.parametrize(
    ("value", "column"),
    [
        ("a banner in colour #aa3322, muted", 32), ("text, #1 blurry", 19), ("text, # 1 blurry", 19), ("#1 raven", 13),
        ("raven\t#1", 19), ("a raven,  # the good one", 23),
    ],
)  # fmt: skip
def test_text_that_a_comment_cuts_short_is_refused(value: str, column: int) -> None:
    problem = refused(PROMPT + value + "\n")
    assert (problem.where, problem.what) == (f"j.yaml:3:{column}", "the rest of the line is a comment")
    assert "put the text in quotes" in problem.hint


@pytest.mark.parametrize(
    "line",
    [
        "steps: 28  # more is slower", "prompt: a raven  # the good one", "steps: 28 #fast", "enlarge: true #yes",
        "prompt: 'a raven' #1", "seed: {mode: random} #later", "# a comment", "#generate: {}", "a: b#1", "list: #1\n  - a",
        "text: |  # a comment\n  a #1\n", "none: ~ #1", "text: a raven\n#steps: 4", "list:\n  - a\n  #- b\n  - c",
        "seed: 4\n    #steps: 4", "generate:\n  #steps: 4\n  cfg: 4",
    ],
)  # fmt: skip
def test_an_honest_comment_stays_possible(line: str) -> None:
    assert read_document("j.yaml", f"x: 1\n{line}\n".encode()).values["x"] == 1


@pytest.mark.parametrize("text", [PROMPT + "{a|b} c", PROMPT + "'it's'", "a: [1", "a: 'x", "a: x #1", "a:\n\t- b"])
def test_the_same_is_said_without_libyaml(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_libyaml = refused(text)
    monkeypatch.setattr(yaml_document, "_Loader", yaml.SafeLoader)
    assert refused(text).where == with_libyaml.where
    assert refused(text).what == with_libyaml.what

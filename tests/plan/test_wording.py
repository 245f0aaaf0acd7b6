from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagegen.errors import ImagegenError
from imagegen.plan.wildcards import Wildcards
from imagegen.plan.wording import Axis, Choice, Template, WordingError, escaped, parse, parts_of, resolve


def files(**texts: str) -> Wildcards:
    return Wildcards(lambda: [*texts], lambda file: texts[file[len("jobs/wildcards/") : -4]].encode())


def drawn(text: str, seed: int = 1, wildcards: Wildcards | None = None, place: str = "prompt", **axes: str) -> str:
    wildcards = wildcards or files()
    template = parse(text, has_axes=bool(axes))
    if not axes:
        wildcards.check("prompt", "j.yaml:1:1", template)
    return resolve(template, seed, place, wildcards.lines, axes)


def every(template: Template, wildcards: Wildcards) -> set[str]:
    """All texts that a template can come to."""
    found = {""}
    for part in template:
        if isinstance(part, str):
            ways = {part}
        elif isinstance(part, Axis):
            ways = {f"<{part.name}>"}
        else:
            options = part.options if isinstance(part, Choice) else wildcards.lines[part.name]
            ways = {text for option in options for text in every(option.template, wildcards)}
        found = {before + way for before in found for way in ways}
    return found


def all_drawn(text: str, wildcards: Wildcards | None = None, seeds: int = 60) -> set[str]:
    return {drawn(text, seed, wildcards) for seed in range(seeds)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{red|green} cloak", {"red cloak", "green cloak"}),
        ("{red|{pale|dark} green}", {"red", "pale green", "dark green"}),
        ("a{|n old} oak", {"a oak", "an old oak"}),
        ("{a||b}", {"a", "", "b"}),
        ("{|}", {""}),
        (r"\{red|green\}", {"{red|green}"}),
        (r"{red\|green|blue}", {"red|green", "blue"}),
        (r"{a\}|b}", {"a}", "b"}),
        (r"\__hair__", {"__hair__"}),
        ("{ {a|b} }", {"{ a }", "{ b }"}),
        ("{a {b} c|d}", {"a {b} c", "d"}),
        ("[cow|horse] (word:1.2)", {"[cow|horse] (word:1.2)"}),
    ],
)
def test_what_a_text_can_come_to(text: str, expected: set[str]) -> None:
    assert every(parse(text), files()) == expected
    assert all_drawn(text) == expected


@pytest.mark.parametrize(
    "text",
    ["a {mood} figure", "{", "}", "a } b { c", "{a {b", r"\(word:1.2\)", r"C:\art", "|", "a | b", "____", "__ hair __", "a__b", "{}", "{a b}", "__", "snake_case_", "_ _"],
)  # fmt: skip
def test_a_text_of_before_means_itself(text: str) -> None:
    assert drawn(text) == text
    assert escaped(text) == text


def test_an_axis_is_one_wherever_it_stands_and_only_where_there_is_a_matrix() -> None:
    assert drawn("a {mood} {x|{mood}}", mood="calm") in ("a calm x", "a calm calm")
    assert drawn("{{mood}} {Mood} \\{mood}", mood="calm") == "{calm} {Mood} {mood}"


@pytest.mark.parametrize(
    ("text", "said"),
    [("a {b|c", "the alternatives '{b|c' are not closed"), ("{x|" * 11 + "}" * 11, "nested more than 10 levels deep")],
)
def test_what_is_no_prompt(text: str, said: str) -> None:
    with pytest.raises(WordingError, match=said):
        parse(text)


def test_a_draw_follows_from_the_seed() -> None:
    assert drawn("{red|green|blue} cloak", 7) == drawn("{red|green|blue} cloak", 7)
    assert len(all_drawn("{red|green|blue} cloak")) == 3


def test_golden_draws() -> None:
    """A change here makes every image with a draw in its prompt stale."""
    hair = files(hair="red\nblack\n{long|short} blond\n")
    assert [drawn("{red|green|blue} cloak, __hair__ hair", seed, hair) for seed in (1, 2, 3, 2**32 - 1)] == GOLDEN


GOLDEN = ["blue cloak, black hair", "red cloak, black hair", "blue cloak, red hair", "red cloak, long blond hair"]


def test_a_wildcard_elsewhere_changes_no_other_draw() -> None:
    hair = files(hair="red\nblack\nblond\n", hat="cap\nhood\n")
    for seed in range(30):
        before = drawn("{a|b|c}, __hair__, {long|short}", seed, hair)
        after = drawn("__hat__, {x|y}, {a|b|c}, __hair__, {long|short}", seed, hair)
        assert after.endswith(f", {before}")


def test_a_line_that_is_added_is_drawn_where_it_wins_and_changes_nothing_else() -> None:
    few = files(hair="red\nblack\nblond\n", hat="cap\nhood\n")
    more = files(hair="grey\nblond\nred\nblack\n", hat="cap\nhood\n")  # in another order too
    pairs = [(drawn("__hat__, __hair__", seed, few), drawn("__hat__, __hair__", seed, more)) for seed in range(200)]
    changed = [after for before, after in pairs if before != after]
    assert 25 <= len(changed) <= 75
    assert all(after.endswith(", grey") for after in changed)


def test_the_same_words_twice_are_drawn_apart_and_a_line_twice_counts_twice() -> None:
    assert len(all_drawn("{a|b} {a|b}")) == 4
    weighted = files(hair="red\nred\nred\nblack\n")
    assert 120 <= sum(drawn("__hair__", seed, weighted) == "red" for seed in range(200)) <= 180


def test_a_wildcard_file_has_comments_blank_lines_and_other_wildcards() -> None:
    known = files(
        hair="# colours\n\n  red  \n\\# 7\n__face/eyes__ {pale|dark}\n", **{"face/eyes": "\ufeffgreen\r\nblue\r\n"}
    )
    assert all_drawn("__hair__", known) == {"red", "# 7", "green pale", "green dark", "blue pale", "blue dark"}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"hairs": "x"}, ("j.yaml:1:1", "prompt: there is no jobs/wildcards/hair.txt for __hair__; did you mean 'hairs'?")),
        ({"hair": "red\n a __hat__", "cat": ""}, ("jobs/wildcards/hair.txt:2:4", "there is no jobs/wildcards/hat.txt for __hat__; did you mean 'cat'?")),
        ({"hair": "__a__", "a": "x\n__hair__"}, ("jobs/wildcards/a.txt:2:1", "__hair__ comes back to itself: __hair__ → __a__ → __hair__")),
        ({"hair": "x\n{a|__hair__}"}, ("jobs/wildcards/hair.txt:2:4", "__hair__ comes back to itself: __hair__ → __hair__")),
        ({"hair": "# nothing\n\n"}, ("jobs/wildcards/hair.txt", "has no line to draw for __hair__")),
        ({"hair": "red\n  {a|b"}, ("jobs/wildcards/hair.txt:2:3", "the alternatives '{a|b' are not closed")),
        ({"hair": "x" * 20_000}, ("j.yaml:1:1", "prompt: can come to more than the 20000 characters of a prompt")),
        ({"hair": "__n1__"} | {f"n{n}": f"__n{n + 1}__" for n in range(1, 30)}, ("jobs/wildcards/n20.txt:1:1", "__n21__: wildcards are nested more than 10 levels deep")),
    ],
)  # fmt: skip
def test_what_is_wrong_with_wildcards_is_told_with_its_place(texts: dict[str, str], expected: tuple[str, str]) -> None:
    with pytest.raises(ImagegenError) as caught:
        drawn("__hair__", wildcards=files(**texts))
    (problem,) = caught.value.problems
    assert (problem.where, problem.what) == expected


def test_every_problem_of_a_file_is_told_at_once() -> None:
    with pytest.raises(ImagegenError) as caught:
        drawn("__a__ __b__", wildcards=files(a="__x__\n{1|\nok"))
    assert [problem.where for problem in caught.value.problems] == [
        "jobs/wildcards/a.txt:1:1",
        "jobs/wildcards/a.txt:2:1",
        "j.yaml:1:1",
    ]


PIECES = st.sampled_from(
    ["{", "}", "|", "\\", "_", "__", "a", " ", "red", "__w__", "__v__", "{mood}", "#", "ä", "/", "-", "\n", ","]
)
WORDS = st.lists(PIECES, max_size=14).map("".join)


@settings(deadline=None)
@given(WORDS, WORDS, WORDS, st.integers(0, 2**64 - 1))
def test_what_is_admitted_comes_to_one_of_its_alternatives(text: str, one: str, other: str, seed: int) -> None:
    wildcards = files(w=f"plain\n{one}", v=f"line\n{other}")
    try:
        result = drawn(text, seed, wildcards)
    except (WordingError, ImagegenError):
        return
    assert result == drawn(text, seed, wildcards)
    assert result in every(parse(text), wildcards)


@given(WORDS | st.text(max_size=30))
def test_any_text_can_be_said(text: str) -> None:
    assert parse(escaped(text)) in ((text,), ())
    assert drawn(escaped(text)) == text


@given(WORDS | st.text(max_size=30))
def test_a_text_without_bars_backslashes_and_wildcards_is_as_it_was(text: str) -> None:
    plain = text.replace("|", "").replace("\\", "").replace("__", "")
    if "__" not in plain:
        assert drawn(plain) == plain


@given(WORDS)
def test_labels_are_unique_within_a_text(text: str) -> None:
    def labels() -> Iterator[str]:
        yield from (part.label for part in parts_of(parse(text)) if not isinstance(part, (str, Axis)))

    try:
        found = list(labels())
    except WordingError:
        return
    assert len(found) == len(set(found))

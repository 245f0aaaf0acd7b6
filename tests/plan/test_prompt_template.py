from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagegen.errors import ImagegenError
from imagegen.plan.prompt_grammar import (
    Axis,
    Choice,
    Option,
    PromptError,
    Several,
    Template,
    parse_template,
    walk_parts,
)
from imagegen.plan.prompt_template import escape_prompt, render
from imagegen.plan.wildcards import Wildcards


def files(**texts: str) -> Wildcards:
    return Wildcards(lambda: [*texts], lambda file: texts[file[len("jobs/wildcards/") : -4]].encode())


def render_text(
    text: str, seed: int = 1, wildcards: Wildcards | None = None, place: str = "prompt", **axes: str
) -> str:
    wildcards = wildcards or files()
    template = parse_template(text, has_axes=bool(axes))
    if not axes:
        wildcards.check("prompt", "j.yaml:1:1", template)
    return render(template, seed, place, wildcards.lines, axes)


def every(template: Template, wildcards: Wildcards) -> set[str]:
    """All texts that a template can come to."""
    found = {""}
    for part in template:
        if isinstance(part, str):
            ways = {part}
        elif isinstance(part, Axis):
            ways = {f"<{part.name}>"}
        elif isinstance(part, Several):
            ways = every_several(part, wildcards)
        else:
            options = part.options if isinstance(part, Choice) else wildcards.lines[part.name]
            ways = {text for option in options for text in every(option.template, wildcards)}
        found = {before + way for before in found for way in ways}
    return found


def every_several(part: Several, wildcards: Wildcards) -> set[str]:
    options: Sequence[Option] = wildcards.lines[part.wildcard.name] if part.wildcard else part.options
    ways = [every(template, wildcards) for template in {option.template for option in options}]
    found = set()
    for count in range(min(part.least, len(ways)), min(part.most, len(ways)) + 1):
        for order in itertools.permutations(ways, count):
            for texts in itertools.product(*order):
                found.add(part.separator.join(filter(None, map(str.strip, texts))))
    return found


def all_drawn(text: str, wildcards: Wildcards | None = None, seeds: int = 60) -> set[str]:
    return {render_text(text, seed, wildcards) for seed in range(seeds)}


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
    assert every(parse_template(text), files()) == expected
    assert all_drawn(text) == expected


@pytest.mark.parametrize(
    "text",
    ["a {mood} figure", "{", "}", "a } b { c", "{a {b", r"\(word:1.2\)", r"C:\art", "|", "a | b", "a} b | c", "____", "__ hair __", "a__b", "{}", "{a b}", "__", "snake_case_", "_ _"],
)  # fmt: skip
def test_a_text_of_before_means_itself(text: str) -> None:
    assert render_text(text) == text
    assert escape_prompt(text) == text


def test_an_axis_is_one_wherever_it_stands_and_only_where_there_is_a_matrix() -> None:
    assert render_text("a {mood} {x|{mood}}", mood="calm") in ("a calm x", "a calm calm")
    assert render_text("{{mood}} {Mood} \\{mood}", mood="calm") == "{calm} {Mood} {mood}"


@pytest.mark.parametrize(
    ("text", "message"),
    [("a {b|c", "the alternatives '{b|c' are not closed"), ("{x|" * 11 + "}" * 11, "nested more than 10 levels deep")],
)
def test_what_is_no_prompt(text: str, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        parse_template(text)


def test_a_draw_follows_from_the_seed() -> None:
    assert render_text("{red|green|blue} cloak", 7) == render_text("{red|green|blue} cloak", 7)
    assert len(all_drawn("{red|green|blue} cloak")) == 3


def test_golden_draws() -> None:
    """A change here makes every image with a draw in its prompt stale."""
    hair = files(hair="red\nblack\n{long|short} blond\n")
    assert [render_text("{red|green|blue} cloak, __hair__ hair", seed, hair) for seed in (1, 2, 3, 2**32 - 1)] == GOLDEN


GOLDEN = ["blue cloak, black hair", "red cloak, black hair", "blue cloak, red hair", "red cloak, long blond hair"]


def test_a_wildcard_elsewhere_changes_no_other_draw() -> None:
    hair = files(hair="red\nblack\nblond\n", hat="cap\nhood\n")
    for seed in range(30):
        before = render_text("{a|b|c}, __hair__, {long|short}", seed, hair)
        after = render_text("__hat__, {x|y}, {a|b|c}, __hair__, {long|short}", seed, hair)
        assert after.endswith(f", {before}")


def test_a_line_that_is_added_is_drawn_where_it_wins_and_changes_nothing_else() -> None:
    few = files(hair="red\nblack\nblond\n", hat="cap\nhood\n")
    more = files(hair="grey\nblond\nred\nblack\n", hat="cap\nhood\n")  # in another order too
    pairs = [
        (render_text("__hat__, __hair__", seed, few), render_text("__hat__, __hair__", seed, more))
        for seed in range(200)
    ]
    changed = [after for before, after in pairs if before != after]
    assert 25 <= len(changed) <= 75
    assert all(after.endswith(", grey") for after in changed)


def test_the_same_words_twice_are_drawn_apart_and_a_line_twice_counts_twice() -> None:
    assert len(all_drawn("{a|b} {a|b}")) == 4
    weighted = files(hair="red\nred\nred\nblack\n")
    assert 120 <= sum(render_text("__hair__", seed, weighted) == "red" for seed in range(200)) <= 180


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
        ({"hair": "# nothing\n\n"}, ("jobs/wildcards/hair.txt", "has no line to pick for __hair__")),
        ({"hair": "red\n  {a|b"}, ("jobs/wildcards/hair.txt:2:3", "the alternatives '{a|b' are not closed")),
        ({"hair": "x" * 20_000}, ("j.yaml:1:1", "prompt: can have more than the 20000 characters of a prompt")),
        ({"hair": "__n1__"} | {f"n{n}": f"__n{n + 1}__" for n in range(1, 30)}, ("jobs/wildcards/n20.txt:1:1", "__n21__: wildcards are nested more than 10 levels deep")),
    ],
)  # fmt: skip
def test_what_is_wrong_with_wildcards_is_told_with_its_place(texts: dict[str, str], expected: tuple[str, str]) -> None:
    with pytest.raises(ImagegenError) as caught:
        render_text("__hair__", wildcards=files(**texts))
    (problem,) = caught.value.problems
    assert (problem.where, problem.what) == expected


def test_every_problem_of_a_file_is_told_at_once() -> None:
    with pytest.raises(ImagegenError) as caught:
        render_text("__a__ __b__", wildcards=files(a="__x__\n{1|\nok"))
    assert [problem.where for problem in caught.value.problems] == [
        "jobs/wildcards/a.txt:1:1",
        "jobs/wildcards/a.txt:2:1",
        "j.yaml:1:1",
    ]


PLAIN = ["{", "}", "|", "\\", "_", "__", "a", " ", "red", "__w__", "__v__", "{mood}", "#", "ä", "/", "-", "\n", ","]
OF_DYNAMIC_PROMPTS = ["$", "$$", "::", "2$$", "{1-2$$", "3::", "{0.5::", "*", "~", "@", "${", "{{ ", "%", "1", "(", ")"]
PIECES = st.sampled_from([*PLAIN, *OF_DYNAMIC_PROMPTS])
WORDS = st.lists(PIECES, max_size=14).map("".join)


@settings(deadline=None)
@given(WORDS, WORDS, WORDS, st.integers(0, 2**64 - 1))
def test_what_is_admitted_comes_to_one_of_its_alternatives(text: str, one: str, other: str, seed: int) -> None:
    wildcards = files(w=f"plain\n{one}", v=f"line\n{other}")
    try:
        result = render_text(text, seed, wildcards)
    except (PromptError, ImagegenError):
        return
    assert result == render_text(text, seed, wildcards)
    assert result in every(parse_template(text), wildcards)


@given(WORDS | st.text(max_size=30))
def test_any_text_can_be_said(text: str) -> None:
    assert parse_template(escape_prompt(text)) in ((text,), ())
    assert render_text(escape_prompt(text)) == text


@given(WORDS | st.text(max_size=30))
def test_a_text_without_bars_backslashes_and_wildcards_is_as_it_was(text: str) -> None:
    plain = re.sub(r"[|\\$%#:]|\{ ?\{|__", "", text)
    if "__" not in plain and "{{" not in plain:
        assert render_text(plain) == plain


@given(WORDS)
def test_labels_are_unique_within_a_text(text: str) -> None:
    def labels() -> Iterator[str]:
        yield from (part.label for part in walk_parts(parse_template(text)) if not isinstance(part, (str, Axis)))

    try:
        found = list(labels())
    except PromptError:
        return
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{2$$a|b}", {"a, b", "b, a"}),
        (r"{2$$a\$$|b}", {"a$$, b", "b, a$$"}),
        ("{2$$ and $$a|b}", {"a and b", "b and a"}),
        ("{1-2$$ and $$a|b}", {"a", "b", "a and b", "b and a"}),
        ("{-2$$a|b}", {"a", "b", "a, b", "b, a"}),
        ("{2-$$a|b}", {"a, b", "b, a"}),
        ("{1-$$a|b}", {"a", "b", "a, b", "b, a"}),
        ("{ 1 - 2 $$ a | b }", {"a", "b", "a, b", "b, a"}),
        ("{4$$a|b}", {"a, b", "b, a"}),
        ("{0-1$$a|b} c", {" c", "a c", "b c"}),
        ("{2$$|$$a|b}", {"a|b", "b|a"}),
        ("{2$$$$a|b}", {"ab", "ba"}),
        ("{2$$a|a|b}", {"a, b", "b, a"}),
        ("{2$$a|}", {"a"}),
        ("{2$$x {a|b}|c}", {"x a, c", "x b, c", "c, x a", "c, x b"}),
        ("{2$$a}", {"a"}),
        ("{3::a|b}", {"a", "b"}),
        ("{.5:: a|1.::b}", {" a", "b"}),
        ("{0::a|b}", {"b"}),
        ("{2$$0.5::a|0::b|c}", {"a, c", "c, a"}),
        ("{5::a}", {"a"}),
        ("{~a|b}", {"a", "b"}),
        ("-__- __--__ >__< a__b: {c|d}", {"-__- __--__ >__< a__b: c", "-__- __--__ >__< a__b: d"}),
        (r"{\@a|b}", {"@a", "b"}),
        ("{{a|b}|c}", {"a", "b", "c"}),
        (r"{a\$$|b\::c}", {"a$$", "b::c"}),
        (r"\${x} $\{y} \{2$$a}", {"${x} ${y} {2$$a}"}),
        ("5$$ a::b {c}", {"5$$ a::b {c}"}),
        (r"{a|b} \# c", {"a # c", "b # c"}),
        ("{a|b} #1", {"a #1", "b #1"}),
        ("(a:1.2) [a:b:0.5] [a|b] <lora:x:0.8> BREAK AND {{best}} a#b", {"(a:1.2) [a:b:0.5] [a|b] <lora:x:0.8> BREAK AND {{best}} a#b"}),
        ('{"a": 1, "b": [2]}', {'{"a": 1, "b": [2]}'}),
    ],
)  # fmt: skip
def test_the_grammar_of_dynamic_prompts(text: str, expected: set[str]) -> None:
    assert every(parse_template(text), files()) == expected
    assert all_drawn(text) == expected


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ("{a|b}}", 5, "has no '{' in a text with alternatives"),
        ("red|blue} cloak", 8, "has no '{' in a text with alternatives"),
        ("{{a|b}", 0, "has no '}' in a text with alternatives"),
        ("{a$$b|c}", 2, "comes after a quantity"),
        ("a {x$$b}", 4, "comes after a quantity"),
        ("{-$$a|b}", 2, "comes after a quantity"),
        ("{2.5$$a|b}", 4, "comes after a quantity"),
        ("{2$$ $ $$a|b}", 7, "comes after a quantity"),
        ("{a|2$$b}", 4, "comes after a quantity"),
        ("{3-1$$a|b}", 0, "asks for at least 3 and at most 1"),
        ("{2$$}", 0, "has no options"),
        ("x {2$$a", 2, "are not closed"),
        ("{a::2|b}", 2, "comes after a weight"),
        ("{-1::a|b}", 3, "comes after a weight"),
        ("{0::a|0::b}", 0, "have the weight 0"),
        ("{@a|b}", 0, "cycles through its options"),
        ("{!a|b}", 0, "makes an image of each"),
        ("__@hair__", 0, "cycles through its options"),
        ("__!hair__", 0, "makes an image of each"),
        ("a ${x=!{a|b}} ${x}", 2, "is a variable of dynamic prompts"),
        ("a ${x}", 2, "is a variable of dynamic prompts"),
        ("a ${x:b}", 2, "is a variable of dynamic prompts"),
        ("%{a ... b$$c}", 0, "is a wrapping of dynamic prompts"),
        ("{% for x in [1] %}a{% endfor %}", 0, "is a Jinja template"),
        ("a {{ x }}", 2, "is a Jinja template"),
        ('a {{choice("x", "y")}}', 2, "is a Jinja template"),
        ("a {# note #}", 2, "is a Jinja template"),
        ("__name(x=1)__", 0, "gives a wildcard a value"),
        ("a __/hair__", 2, "is not the name of a wildcard"),
        ("__face/__", 0, "is not the name of a wildcard"),
        ("__face\\eyes__", 0, "is not the name of a wildcard"),
        ("__hair:2__", 0, "is not the name of a wildcard"),
        ("__light/{indoor|outdoor}__", 0, "within a wildcard's name"),
        ("{a|b} # note", 6, "looks like a comment"),
        ("# note\n{a|b}", 0, "looks like a comment"),
    ],
)  # fmt: skip
def test_what_of_dynamic_prompts_is_refused_says_where_and_what_to_write(text: str, at: int, message: str) -> None:
    with pytest.raises(PromptError, match=re.escape(message)) as caught:
        parse_template(text)
    assert caught.value.at == at
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "texts", "expected"),
    [
        ("__hair color__", {"hair color": "red\nblue"}, {"red", "blue"}),
        ("__hair*__", {"hair": "red", "hair-cold": "blue", "hat": "x"}, {"red", "blue"}),
        ("__a/*__", {"a/x": "1", "a/b/y": "2", "c": "3"}, {"1"}),
        ("__a/**__", {"a/x": "1", "a/b/y": "2", "c": "3"}, {"1", "2"}),
        ("__**/x__", {"a/x": "1", "x": "2", "ax": "3"}, {"1", "2"}),
        ("__~hair__", {"hair": "red\nblue"}, {"red", "blue"}),
        ("{2$$ + $$__hair__}", {"hair": "red\nblue"}, {"red + blue", "blue + red"}),
        ("{1-2$$, $$__hair__|x}", {"hair": "red"}, {"red", "x", "red, x", "x, red"}),
        ("__hair__", {"hair": "2::red\n0::blue\n0.5::{a|b}"}, {"red", "a", "b"}),
        ("__hair__", {"hair": "a:: b\nhttp://x"}, {"a:: b", "http://x"}),
        ("__all__", {"all": "__h*__", "h1": "x", "h2": "y"}, {"x", "y"}),
    ],
)  # fmt: skip
def test_wildcards_as_dynamic_prompts_have_them(text: str, texts: dict[str, str], expected: set[str]) -> None:
    assert all_drawn(text, files(**texts)) == expected


@pytest.mark.parametrize(
    ("text", "texts", "expected"),
    [
        ("__hair color__", {"hair": "x"}, ("j.yaml:1:1", "prompt: there is no jobs/wildcards/hair color.txt for __hair color__")),
        ("__x*__", {"hair": "x"}, ("j.yaml:1:1", "prompt: there is no jobs/wildcards/x*.txt for __x*__")),
        ("__h*__", {"hair": "red\n__h*__"}, ("jobs/wildcards/hair.txt:2:1", "__hair__ comes back to itself: __hair__ → __hair__")),
        ("__x__", {"a/x": "1"}, ("j.yaml:1:1", "prompt: there is no jobs/wildcards/x.txt for __x__; did you mean 'a/x'?")),
        ("__X__", {"x": "1"}, ("j.yaml:1:1", "prompt: there is no jobs/wildcards/X.txt for __X__; did you mean 'x'?")),
        ("__h__", {"h": "0::a\n0::b"}, ("jobs/wildcards/h.txt", "all lines have the weight 0")),
        ("__h__", {"h": "red\n  2::blue # note"}, ("jobs/wildcards/h.txt:2:11", "'# note' looks like a comment, which a prompt cannot have")),
        ("{2$$__h__|x}", {}, ("j.yaml:1:1", "prompt: there is no jobs/wildcards/h.txt for __h__")),
    ],
)  # fmt: skip
def test_what_is_wrong_with_these_wildcards(text: str, texts: dict[str, str], expected: tuple[str, str]) -> None:
    with pytest.raises(ImagegenError) as caught:
        render_text(text, wildcards=files(**texts))
    (problem,) = caught.value.problems
    assert (problem.where, problem.what) == expected


def test_a_wildcard_of_all_files_is_refused_where_one_of_them_is_not_read() -> None:
    wildcards = Wildcards(lambda: ["hair"], lambda _: b"red", unread=lambda: ["more.yaml"])
    with pytest.raises(ImagegenError, match=re.escape("jobs/wildcards/more.yaml")):
        render_text("__h*__", wildcards=wildcards)
    assert render_text("__hair__", wildcards=wildcards) == "red"


def test_golden_picks_with_quantities_and_weights() -> None:
    """A change here makes every image with one in its prompt stale."""
    hair = files(hair="3::red\nblack\n0.5::blond\n")
    text = "{1-2$$ and $$a|b|c}, {0.5::x|3::y}, {2$$__hair__}, __hair__"
    assert [render_text(text, seed, hair) for seed in (1, 2, 3, 2**64 - 1)] == GOLDEN_PICKS


GOLDEN_PICKS = [
    "b and a, y, black, red, red",
    "a, x, red, black, black",
    "b and a, y, black, red, red",
    "b, y, red, black, black",
]


def test_weights_say_how_often() -> None:
    found = Counter(render_text("{6::a|3::b|c}", seed) for seed in range(1000))
    assert 540 <= found["a"] <= 660
    assert 240 <= found["b"] <= 360
    first = Counter(render_text("{2$$6::a|3::b|c}", seed)[0] for seed in range(1000))
    assert 540 <= first["a"] <= 660


def test_a_weighted_line_that_is_added_is_picked_where_it_wins_and_changes_nothing_else() -> None:
    few = files(hair="3::red\nblack\n", more="2::a\nb\nc")
    more = files(hair="2::grey\nblack\n3::red\n", more="b\nc\n2::a")
    for text in ("__hair__", "__more__, __hair__"):
        pairs = [(render_text(text, seed, few), render_text(text, seed, more)) for seed in range(300)]
        changed = [after for before, after in pairs if before != after]
        assert 60 <= len(changed) <= 140
        assert all(after.endswith("grey") for after in changed)
    for seed in range(100):
        before, after = (render_text("{2$$__hair__}", seed, one).split(", ") for one in (few, more))
        assert [one for one in after if one != "grey"] == [one for one in before if one in after]


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["", "2::", "0.5::"])), min_size=2, max_size=6),
    st.integers(0, 5),
    st.integers(0, 5),
    st.integers(0, 2**64 - 1),
)
def test_a_quantity_picks_so_many_of_the_options_each_once(
    options: list[tuple[str, str]], low: int, more: int, seed: int
) -> None:
    names = {name for name, _ in options}
    text = f"{{{low}-{low + more}$$ / $${'|'.join(weight + name for name, weight in options)}}}"
    picked = list(filter(None, render(parse_template(text), seed, "prompt", {}, {}).split(" / ")))
    assert set(picked) <= names
    assert len(picked) == len(set(picked))
    assert min(low, len(names)) <= len(picked) <= min(low + more, len(names))


@settings(deadline=None)
@given(WORDS, st.integers(0, 2**64 - 1))
def test_a_prompt_that_is_admitted_keeps_no_mark_of_the_grammar(text: str, seed: int) -> None:
    inner = re.sub(r"[{}\\\\]", "", text)
    try:
        result = render_text(f"{{{inner}|x}} {{2$${inner}|y}}", seed, files(w="plain", v="line"))
    except (PromptError, ImagegenError):
        return
    assert "$$" not in result
    assert "::" not in result

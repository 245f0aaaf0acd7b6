from __future__ import annotations

import pytest

from imagegen.execute.forecast import Forecast, ForecastImage
from imagegen.plan.freshness import Verdict
from imagegen.report.why import as_lines, word_diff
from tests.report.events import image


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("a grey cloak", "a green cloak", "a [-grey-] {+green+} cloak"),
        ("a cloak", "a long green cloak", "a {+long green+} cloak"),
        ("a tall figure, old", "a figure, old", "a [-tall-] figure, old"),
        ("", "a raven", "{+a raven+}"),
        ("one thing", "quite another", "[-one thing-] {+quite another+}"),
        ("a  raven\n", "a raven", "only its white space changed"),
    ],
)
def test_words_that_went_and_came_are_marked(old: str, new: str, message: str) -> None:
    assert "".join(text for text, _ in word_diff(old, new)) == message


def test_pieces_say_which_are_old_and_which_new() -> None:
    assert word_diff("a b", "a c") == [("a", ""), (" [-b-]", "old"), (" {+c+}", "new")]


def test_of_a_long_prompt_the_words_around_each_change_are_shown() -> None:
    words = [f"w{number}" for number in range(60)]
    message = "".join(text for text, _ in word_diff(" ".join(words), " ".join(["X", *words[1:30], "Y", *words[31:]])))
    assert message == (
        "[-w0-] {+X+} w1 w2 w3 w4 w5 w6 w7 w8 … w22 w23 w24 w25 w26 w27 w28 w29 [-w30-] {+Y+} "
        "w31 w32 w33 w34 w35 w36 w37 w38 …"
    )


def test_a_fresh_image_that_was_accepted_says_so() -> None:
    one = ForecastImage(image("a"), Verdict("fresh", note="accepted: it was there before"), "fresh")
    lines = as_lines(Forecast((one,)), [], [], {"j:a"}, has_settings=True)
    shown = ["".join(text for text, _ in line) for line in lines]
    assert shown[0] == "fresh     j:a  assets/j/a.png  (accepted: it was there before)"

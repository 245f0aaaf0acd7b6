"""What Ollama would do to a request that is not what it says."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imagegen.backends.ollama.checks import in_themselves
from tests.backends.ollama.parts import request
from tests.backends.ollama.standin.filenames import IMAGE_FILE

ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
PIECES = st.sampled_from(
    ["/", "\\", "./", ".", " ", "\t", "\n", "\r", "\f", "\v", "\u00a0", "a", "C:", "é", "_", "0", "-", ",", "ſ", ".png", ".JPG", ".jpeg", ".webp", ".webP", "ng"]
)  # fmt: skip


def told(prompt: str = "a cat", **changes: Any) -> list[str]:
    return [problem.what for problem in in_themselves([request(prompt, **changes)])]


def is_taken_for_a_file(prompt: str) -> bool:
    """The rule of Ollama's command line, in words of its own: where a slash begins, over what, to which end."""
    lower = "".join(character.lower() if character.isascii() else character for character in prompt)
    for start, character in enumerate(prompt):
        if character not in "/\\":
            continue
        for end in range(start + 1, len(prompt)):
            for ending in ENDINGS:
                after = lower[end + len(ending) : end + len(ending) + 1]
                in_a_word = after.isascii() and (after.isalnum() or after == "_") and after != ""
                if end > start + 1 and lower.startswith(ending, end) and not in_a_word:
                    return True
            if prompt[end] in "\t\n\f\r":
                break
    return False


@given(st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=30))
@example("and/or a cat.png")
@example("/.png")
@example("/a.pngs")
@example("/a.pngé")
@example("/a\n.png")
@example("./../x.webp,")
def test_a_prompt_with_what_is_taken_for_a_file_is_refused_and_no_other(prompt: str) -> None:
    refused = any("Ollama takes that for an image file" in what for what in told(prompt))
    assert refused == is_taken_for_a_file(prompt) == bool(IMAGE_FILE.search(prompt))


def test_what_is_taken_for_a_file_is_shown_and_cut_where_it_is_long() -> None:
    assert told("draw and/or a cat.png, or two")[0].startswith("the prompt has '/or a cat.png': ")
    (what,) = told(f"/{'x' * 200}.png")
    assert "…" in what
    assert len(what) < 160


@pytest.mark.parametrize("prompt", ["", " ", "\n\t ", "\u3000"])
def test_a_prompt_of_nothing_but_blanks_is_refused(prompt: str) -> None:
    assert told(prompt) == ["the prompt is empty, and Ollama makes no image of none"]


def test_the_longest_prompt_is_what_a_command_line_takes() -> None:
    longest, one_more = "é" * 65535 + "a", "é" * 65536
    assert told(longest) == []
    assert told(one_more) == ["the prompt has 131,072 bytes, and a command line takes 131,071"]
    assert subprocess.run(["true", longest], check=False).returncode == 0


@pytest.mark.parametrize("size", [16, 512, 1024, 4096])
def test_multiples_of_16_up_to_4096_pass(size: int) -> None:
    assert told(width=size, height=16) == []


@pytest.mark.parametrize(
    ("size", "what"),
    [
        ({"width": 17}, "width 17 is no multiple of 16, and the model would change it"),
        ({"height": 1000}, "height 1000 is no multiple of 16, and the model would change it"),
        ({"width": 4112}, "width 4112 is more than Ollama takes"),
        ({"height": 4097}, "height 4097 is more than Ollama takes"),
    ],
)
def test_other_sizes_are_refused(size: dict[str, Any], what: str) -> None:
    assert told(**size) == [what]


def test_both_sides_are_told_with_sizes_that_fit() -> None:
    first, second = in_themselves([request(width=1000, height=4090)])
    assert (first.where, first.hint, second.hint) == ("yrr", "use 992 or 1008", "use 4080 or 4096")


@pytest.mark.parametrize("model", ["x/flux2-klein", "x/flux2-klein:9b"])
def test_flux_has_a_bound_of_its_own(model: str) -> None:
    assert told(model=model, width=2048, height=2048) == []
    assert told(model=model, width=2064, height=2048) == [
        f"2064×2048 is more than the 2048×2048 pixels of {model}, which would shrink it"
    ]
    assert told(width=2064, height=2048) == []


@pytest.mark.parametrize("seed", [None, 1, 2**53])
def test_seeds_that_ollama_tells_apart_pass(seed: int | None) -> None:
    assert told(seed=seed) == []


@pytest.mark.parametrize(
    ("seed", "why"),
    [(0, "a random one"), (-1, "a random one"), (2**53 + 1, "more than Ollama can tell apart")],
)
def test_other_seeds_are_refused(seed: int, why: str) -> None:
    (what,) = told(seed=seed)
    assert why in what


def test_all_that_is_wrong_is_told_of_each_request_by_name() -> None:
    problems = in_themselves([request(name="a"), request("./x.png", name="b", seed=0), request(name="c", width=8)])
    assert [problem.where for problem in problems] == ["b", "b", "c"]
    assert all(problem.hint for problem in problems)

"""Patterns of items that are files, and what a job with them may say."""

from __future__ import annotations

import fnmatch
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.plan.folder_items import parse_pattern, put_file, sort_key, uses_file

PATHS = (
    "a.png",
    "art/a.png",
    "art/B.PNG",
    "art/.a.png",
    "art/[x] (1).png",
    "art/scans/a.png",
    "art/scans/é.jpg",
    "art/scans/.hidden/a.png",
    "art/scans/more/a.png",
)


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("art/", "art/a.png art/B.PNG art/[x]_(1).png"),
        ("art", "art/a.png art/B.PNG art/[x]_(1).png"),
        ("./art//*", "art/a.png art/B.PNG art/[x]_(1).png"),
        ("art/*.png", "art/a.png art/B.PNG art/[x]_(1).png"),
        ("ART/?.png", "art/a.png art/B.PNG"),
        ("art/[x]*", "art/[x]_(1).png"),
        ("art/a.png", "art/a.png"),
        ("*", "a.png"),
        ("./", "a.png"),
        ("*/a.png", "art/a.png"),
        ("art/*/*", "art/scans/a.png art/scans/é.jpg"),
        ("art/*/", "art/scans/a.png art/scans/é.jpg"),
        ("art/**/a.png", "art/a.png art/scans/a.png art/scans/more/a.png"),
        ("art/scans/**", "art/scans/a.png art/scans/é.jpg art/scans/more/a.png"),
        ("art/**/more/*", "art/scans/more/a.png"),
        ("art/scans/e\u0301.*", "art/scans/é.jpg"),
        ("art/.*", "art/.a.png"),
        ("x/../art/a*", "art/a.png"),
    ],
)
def test_a_pattern_matches(pattern: str, matched: str) -> None:
    found = [path for path in PATHS if parse_pattern(pattern).matches(path)]
    assert found == [path for path in PATHS if path.replace(" ", "_") in matched.split()]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("art\\*.png", "use / between folders"),
        ("~/art", "~ does not mean the home folder here"),
        ("/art/*.png", "write the path from the project's folder"),
        ("art/a**b/*.png", "** stands for folders, and must be a whole part of the path: 'a**b' is not"),
        ("art/*/../x.png", ".. must come before the first * or ?"),
        (".Git/*.png", "this folder is not for images"),
        ("a/.imagegen/**", "this folder is not for images"),
    ],
)
def test_what_is_not_a_pattern_says_why(pattern: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        parse_pattern(pattern)
    assert str(caught.value) == said


NAMES = st.text("abAé.[]{}()+^$|-1 ", min_size=1, max_size=5).filter(
    lambda name: not name.startswith(".") and name.strip(".")
)


@given(st.lists(NAMES, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_a_path_matches_itself_and_each_pattern_that_is_made_from_it(parts: list[str], chance: random.Random) -> None:
    path = "/".join(parts)
    assert parse_pattern(path).matches(path)
    wild = [chance.choice([part, "*", f"{part[:1]}*", "?" * len(part), f"*{part[1:]}"]) for part in parts]
    assert parse_pattern("/".join(wild)).matches(path)
    if len(parts) > 1:
        at = chance.randrange(len(parts) - 1)
        assert parse_pattern("/".join([*wild[:at], "**", *wild[at + 1 :]])).matches(path)


@given(st.text("ab*?.", min_size=1, max_size=6).filter(lambda part: "**" not in part), NAMES)
def test_a_name_matches_as_in_a_shell(pattern: str, name: str) -> None:
    if pattern.strip(".") and not pattern.startswith("."):
        wanted = fnmatch.fnmatchcase(name.lower(), pattern.lower())
        assert parse_pattern(f"x/{pattern}").matches(f"x/{name}") is wanted


def test_files_are_sorted_as_people_count() -> None:
    names = ["a.png", "B.png", "f-1.png", "f-02.png", "f-2.png", "f-10.png", "f-10b.png"]
    names += ["walk.png", "walk/1.png", "walk/2/a.png", "walk2.jpg", "walk10.png", "Walk-1.png", "walk-1a.png", "ä.png"]
    for seed in range(5):
        shuffled = random.Random(seed).sample(names, len(names))  # noqa: S311 - nothing secret
        assert sorted(shuffled, key=sort_key) == names


def test_the_file_is_put_wherever_it_is_named() -> None:
    options = {"images": {"init": "{file}", "ref1": "refs/x.png"}, "list": ["{file}", 3], "strength": 0.5}
    assert uses_file(options)
    assert put_file(options, "art/a.png") == {
        "images": {"init": "art/a.png", "ref1": "refs/x.png"},
        "list": ["art/a.png", 3],
        "strength": 0.5,
    }
    assert not uses_file({"images": {"init": "file"}})

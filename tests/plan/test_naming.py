from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.plan.naming import MAX_SLUG, path_key, short_slug, slug_of, slug_problem


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Mallsing", "mallsing"), ("The Æsir's Own", "the-aesir-s-own"), ("  Yrr  ", "yrr"), ("a--b", "a-b"),
        ("already-a-slug", "already-a-slug"), ("雪", "xue"), ("!!!", ""), ("🐦", ""), ("../../etc", "etc"), ("A_b", "a-b"),
    ],
)  # fmt: skip
def test_slugs(name: str, slug: str) -> None:
    assert slug_of(name) == slug


@given(st.text(max_size=200))
def test_any_name_makes_a_portable_slug_or_is_refused(name: str) -> None:
    slug = slug_of(name)
    if not slug_problem(slug):
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
        assert len(slug) <= MAX_SLUG


@pytest.mark.parametrize("slug", ["", "con", "nul", "com1", "lpt9", "x" * (MAX_SLUG + 1)])
def test_slugs_that_no_file_can_have_everywhere(slug: str) -> None:
    assert slug_problem(slug)


def test_names_are_cut_to_their_first_words_with_a_hash() -> None:
    long = "another raven on a very long standing stone with more words"
    assert short_slug("a raven") == "a-raven"
    assert len(short_slug(long)) <= 50
    assert short_slug(long) != short_slug(long + " still")
    assert short_slug(long).startswith("another-raven-on-a-very-long")


def test_paths_that_are_one_file_somewhere_have_one_key() -> None:
    assert (
        path_key("assets/Ä.png") == path_key("assets/ä.PNG") == path_key(unicodedata.normalize("NFD", "assets/ä.png"))
    )
    assert path_key("a") != path_key("b")

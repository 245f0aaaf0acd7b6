from __future__ import annotations

import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.plan.naming import MAX_SLUG, check_slug, fold_path, make_slug, shorten_slug


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Mallsing", "mallsing"), ("The Æsir's Own", "the-aesir-s-own"), ("  Yrr  ", "yrr"), ("a--b", "a-b"),
        ("already-a-slug", "already-a-slug"), ("雪", "xue"), ("!!!", ""), ("🐦", ""), ("../../etc", "etc"), ("A_b", "a-b"),
    ],
)  # fmt: skip
def test_slugs(name: str, slug: str) -> None:
    assert make_slug(name) == slug


GOLDEN = {
    "Ÿrr": "yrr", "Straße": "strasse", "Ørsted": "orsted", "Łódź": "lodz", "İstanbul": "istanbul",
    "Москва": "moskva", "Дракон и Змей": "drakon-i-zmei", "北京": "bei-jing", "こんにちは": "konnitiha", "Ελλάς": "ellas", "한국": "hangug",
    "fox 🦊 red": "fox-red", "naïve café": "naive-cafe", "1,000 swords": "1000-swords", "it's": "it-s", "“it’s”": "its",
    "R&amp;D": "r-d", "caf&eacute;": "cafe", "&#65;&#x42;": "ab", "&#99999999999;": "99999999999", "½ pint": "1-2-pint", "№ 5 ™": "no-5-tm",
    "ﬁne": "fine", "x²": "x2", "a/b\\c": "a-b-c",
}  # fmt: skip
"""Files and seeds follow from these: none may ever change."""


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("name", GOLDEN)
def test_a_name_keeps_its_slug_for_ever_in_either_normal_form(name: str, form: Literal["NFC", "NFD"]) -> None:
    assert make_slug(unicodedata.normalize(form, name)) == GOLDEN[name]


def test_no_other_package_has_a_say_in_slugs(tmp_path: Path) -> None:
    for module in ("slugify", "unidecode"):
        (tmp_path / f"{module}.py").write_text(f"def {module}(text): return 'another'\n")
    code = "from imagegen.plan.naming import make_slug; print(make_slug('The Æsir'))"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "the-aesir\n"


@given(st.text(max_size=200))
def test_any_name_makes_a_portable_slug_or_is_refused(name: str) -> None:
    slug = make_slug(name)
    if not check_slug(slug):
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
        assert len(slug) <= MAX_SLUG


@pytest.mark.parametrize("slug", ["", "con", "nul", "com1", "lpt9", "x" * (MAX_SLUG + 1)])
def test_slugs_that_no_file_can_have_everywhere(slug: str) -> None:
    assert check_slug(slug)


def test_names_are_cut_to_their_first_words_with_a_hash() -> None:
    long = "another raven on a very long standing stone with more words"
    assert shorten_slug("a raven") == "a-raven"
    assert len(shorten_slug(long)) <= 50
    assert shorten_slug(long) != shorten_slug(long + " still")
    assert shorten_slug(long).startswith("another-raven-on-a-very-long")


def test_paths_that_are_one_file_somewhere_have_one_key() -> None:
    assert (
        fold_path("assets/Ä.png")
        == fold_path("assets/ä.PNG")
        == fold_path(unicodedata.normalize("NFD", "assets/ä.png"))
    )
    assert fold_path("a") != fold_path("b")

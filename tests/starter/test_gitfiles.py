"""Which lines a `.gitignore` and a `.gitattributes` lack."""

from __future__ import annotations

import pytest

from imagegen.starter.gitfiles import missing_attributes, missing_rules, with_lines
from imagegen.starter.templates import ATTRIBUTE_LINES, IGNORE_RULES


@pytest.mark.parametrize(
    ("rule", "written"),
    [
        (".imagegen/", ".imagegen/"),
        (".imagegen/", ".imagegen"),
        (".imagegen/", "/.imagegen/"),
        (".imagegen/", "**/.imagegen"),
        (".imagegen/", ".imagegen/*"),
        (".imagegen/", ".imagegen/**"),
        (".imagegen/", ".imagegen/  "),
        (".imagegen/", ".image*/"),
        (".imagegen/", ".*"),
        (".imagegen/", "\ufeff.imagegen/"),
        (".imagegen/", "[.]imagegen/"),
        (".imagegen/", "\\.imagegen"),
        ("assets/gallery/", "assets/"),
        ("assets/gallery/", "assets/*"),
        ("assets/gallery/", "assets/galler?"),
        ("assets/gallery/", "**/gallery/"),
        ("assets/gallery/", "gallery"),
        ("tools/ComfyUI/", "tools"),
        ("tools/.ollama-*/", "tools/.*"),
        ("__pycache__/", "*.pyc"),
        ("__pycache__/", "*.py[cod]"),
        ("tools/ollama/", "!tools/ollama/"),  # whoever brings it back means that
        (".venv/", "*"),
    ],
)
def test_a_rule_that_is_there_in_another_spelling_is_not_missing(rule: str, written: str) -> None:
    assert missing_rules(f"# ours\n\n{written}\n", [rule]) == []
    assert missing_rules(f"node_modules/\r\n{written}\r\n", [rule]) == []


@pytest.mark.parametrize(
    ("rule", "written"),
    [
        (".imagegen/", "# .imagegen/"),
        (".imagegen/", "imagegen/"),
        (".imagegen/", "x/.imagegen/"),
        (".imagegen/", "*.pyc"),
        ("assets/gallery/", "/gallery/"),
        ("assets/gallery/", "assets/gallery.html"),
        ("assets/gallery/", "asset"),
        ("tools/ComfyUI/", "tools/comfyui/"),
        (".venv/", "[z-a]"),
        (".venv/", "["),
        (".venv/", "/"),
        (".venv/", "\\"),
    ],
)
def test_a_rule_for_other_files_does_not_stand_for_ours(rule: str, written: str) -> None:
    assert missing_rules(f"{written}\n", [rule]) == [rule]


def test_an_empty_file_lacks_all_and_a_completed_one_nothing() -> None:
    assert missing_rules("", IGNORE_RULES) == IGNORE_RULES
    assert missing_rules("\n".join(IGNORE_RULES), IGNORE_RULES) == []
    assert missing_attributes("", ATTRIBUTE_LINES) == ATTRIBUTE_LINES
    assert missing_attributes("\n".join(ATTRIBUTE_LINES), ATTRIBUTE_LINES) == []


@pytest.mark.parametrize(
    "text",
    [
        "jobs/*.lock text eol=lf merge=union",
        "/jobs/*.lock\tmerge=union  eol=lf",
        '"jobs/*.lock" merge=union eol=lf\r',
        "*.lock merge=union text eol=lf",
        "jobs/** merge=union eol=lf",
        "* text=auto eol=lf\n*.lock merge=union",
        "*.lock binary\njobs/*.lock merge=union text eol=lf",
    ],
)
def test_attributes_that_the_lock_files_have_already_are_not_missing(text: str) -> None:
    assert missing_attributes(text, ATTRIBUTE_LINES) == []


@pytest.mark.parametrize(
    "text",
    [
        "*.lock -diff",
        "*.lock binary",
        "# jobs/*.lock merge=union text eol=lf",
        "jobs/*.lock merge=union",
        "jobs/*.lock merge=union text eol=lf\n*.lock -merge",
        "*.webp merge=union eol=lf",
    ],
)
def test_attributes_of_other_files_or_other_values_are_missing(text: str) -> None:
    assert missing_attributes(text, ATTRIBUTE_LINES) == ATTRIBUTE_LINES


@pytest.mark.parametrize(
    ("data", "appended"),
    [
        (b"", b"a\nb\n"),
        (b"x\n", b"a\nb\n"),
        (b"x", b"\na\nb\n"),
        (b"x\r\n", b"a\r\nb\r\n"),
        (b"x\r\ny", b"\r\na\r\nb\r\n"),
    ],
)
def test_lines_are_appended_with_the_line_ends_of_the_file(data: bytes, appended: bytes) -> None:
    assert with_lines(data, ["a", "b"]) == appended

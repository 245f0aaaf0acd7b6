from __future__ import annotations

import pytest

from imagegen.backends.text import one_line, plain_lines, size_text


def test_a_line_has_no_control_characters_and_an_end() -> None:
    assert one_line("a\n\x1b[31mb\u202e" + "c" * 400) == "a [31mb " + "c" * 291 + "…"


def test_a_log_is_read_as_a_terminal_would_show_it_but_without_colours() -> None:
    bar = "  0%|    | 0/6\r100%|████| 6/6"
    message = f"\x1b[1m\x1b[31m[ERROR]\x1b[0m no \x1b]0;title\x07disk\x07\r\n\n{bar}\n\x1b[?25l\x1b[K" + "x" * 500
    assert plain_lines(message) == ["[ERROR] no disk", "100%|████| 6/6", "x" * 400]


@pytest.mark.parametrize(
    ("size", "text"), [(1, "1 KB"), (12 * 1024, "12 KB"), (144 * 1024**2, "144 MB"), (2_300_000_000, "2.1 GB")]
)
def test_a_size_is_in_the_largest_unit_that_it_fills(size: int, text: str) -> None:
    assert size_text(size) == text

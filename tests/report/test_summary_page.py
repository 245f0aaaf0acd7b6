"""The page of `doit --summary`, read by a Markdown parser."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from imagegen.errors import FailureKind, Problem, printable
from imagegen.execute.events import OutcomeState
from imagegen.report.run_summary import ImageOutcome, StaleReason
from imagegen.report.summary_page import MARKER, Links, group_images, summary_markdown

NO_LINKS = Links(lambda _: None, lambda _: "")
NASTY = "a | b `c` <b>d</b> </table> @octocat #12 :smile: $x$ *e* ~~f~~ [g](h) &amp; \\| <!-- {{ i }}\n\n# j\n---\n"
TEXT = st.text(st.characters(codec="utf-8")) | st.just(NASTY)


def outcome(
    task: str = "portraits:a", prompt: str = "", state: OutcomeState = "generated", **changes: str
) -> ImageOutcome:
    """Return an outcome; reason, note and hint can be given."""
    reason, note, hint = (changes.get(name, "") for name in ("reason", "note", "hint"))
    reasons = (StaleReason(reason, "changed", "steps", 20, 30),) if reason else ()
    problems = (Problem("", f"{task} failed", hint),) if state == "failed" else ()
    failure: FailureKind | None = "failed" if state == "failed" else None
    return ImageOutcome(task, "p", None, "a.png", state, failure, 1.0, 0.0, 5, reasons, note, problems, prompt)


def page(*images: ImageOutcome, links: Links = NO_LINKS, most_bytes: int = 100_000) -> str:
    return summary_markdown("1 generated (1.0 s)", ["2 more are stale"], images, (), links, most_bytes)


class _Reader(HTMLParser):
    """Keeps the tags, and the text of each code."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.codes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.tags.add(tag)
        if tag not in ("img", "br"):
            self.open.append(tag)
        if tag == "code":
            self.codes.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "code":
            self.codes[-1] += data


_TAGS = {"h2", "table", "tr", "th", "td", "code", "br", "p", "details", "summary", "b", "ul", "li", "a", "img"}


def read(markdown: str) -> _Reader:
    """Return what is on the page as Markdown shows it; nothing but the heading may be Markdown's own."""
    tokens = MarkdownIt("commonmark").parse(markdown)
    assert {token.type for token in tokens} <= {"html_block", "heading_open", "inline", "heading_close"}
    assert [token.tag for token in tokens if token.type == "heading_open"] == ["h2"]
    reader = _Reader()
    reader.feed(MarkdownIt("commonmark").render(markdown))
    reader.close()
    assert reader.open == []
    assert reader.tags <= _TAGS
    return reader


@given(TEXT, TEXT, TEXT, TEXT)
def test_no_text_is_taken_for_markdown_or_html(task: str, prompt: str, reason: str, hint: str) -> None:
    said = page(outcome(task, prompt, reason=reason, note=hint), outcome("b", state="failed", hint=hint))
    for character in "@`$":
        assert character not in said
    shown = [printable(" ".join(text.split())) for text in (task, prompt, reason) if text]
    assert [text for text in shown if text and len(text) < 300 and text not in read(said).codes] == []


def test_an_image_has_a_picture_and_the_rest_of_what_there_is_to_say() -> None:
    links = Links(lambda _: ("t/a b.webp", 32), lambda _: "a.png", "as they are on main")
    said = page(outcome("portraits:a", "a raven", reason="steps 20 → 30"), links=links)
    assert said.startswith(f"{MARKER}\n\n## imagegen: 1 generated (1.0 s)\n")
    assert '<a href="a.png"><img src="t/a b.webp" width="32" alt="portraits:a"></a>' in said
    assert read(said).codes == ["portraits:a", "a raven", "steps 20 → 30", "5"]
    assert "<p>2 more are stale</p>" in said
    assert "<p>as they are on main</p>" in said


def test_a_cause_that_many_images_have_is_one_problem_and_failures_come_first() -> None:
    failed = [outcome(f"p:{name}", state="failed") for name in "abcde"]
    failed = [ImageOutcome(**{**vars(one), "problems": (Problem("", "no server", "start it"),)}) for one in failed]
    said = page(outcome("p:0"), *failed, outcome("p:z", state="cancelled"))
    assert "<b>1 problem</b>" in said
    assert "</code> and 2 more: <code>no server</code><br><code>start it</code>" in said
    assert said.index("<td><code>p:e</code>") < said.index("<td><code>p:0</code>")
    assert "p:z" not in said


def test_files_derived_from_an_image_are_in_its_row_and_rows_stay_in_order() -> None:
    tasks = ("p:z:thumb", "p:z", "p:a", "p:a:thumb", "p:q:thumb", "p:sheet")
    images = [outcome(task, state="derived" if ":" in task[2:] else "generated") for task in tasks]
    failed = outcome("p:a:small", state="failed")
    groups = [(one.task, [file.task for file in files]) for one, files in group_images([*images, failed])]
    assert groups == [
        ("p:a:small", []),
        ("p:z", ["p:z:thumb"]),
        ("p:a", ["p:a:thumb"]),
        ("p:q:thumb", []),
        ("p:sheet", []),
    ]
    assert "<td><code>p:z</code><br>with <code>thumb</code></td>" in page(*images)


def test_what_does_not_fit_is_left_out_and_counted() -> None:
    images = [outcome(f"p:{number:03}", "a raven " * 20) for number in range(200)]
    said = page(*images, most_bytes=20_000)
    assert len(said.encode()) <= 20_000
    shown = said.count("<td><code>p:")
    assert f"<p>… and {200 - shown} more</p>" in said
    assert shown > 40

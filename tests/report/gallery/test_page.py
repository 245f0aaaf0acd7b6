from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import imagegen.report.gallery.page
from imagegen.report.gallery.page import Files, digest, page_data, render
from imagegen.report.gallery.picture import FieldChange, Group, Picture
from imagegen.report.gallery.provenance import to_provenance
from tests.report.gallery.studio import FOLDER, Studio, embedded

PARTS = Path(imagegen.report.gallery.page.__file__).parent / "page"
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \"'& <!-- \u2028\u2029 ]]> {{ 7*7 }}"


class Elements(HTMLParser):
    """What a browser would make of the page: its elements, and what scripts and styles hold."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": []}
        self.shown = ""
        self._within = ""
        self.feed(page)

    def images(self) -> list[str | None]:
        return [attributes["src"] for tag, attributes in self.tags if tag == "img" and "src" in attributes]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._within = tag
        if tag in self.texts:
            self.texts[tag].append("")

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - as the base class calls it
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within in self.texts:
            self.texts[self._within][-1] += data
        else:
            self.shown += data


def written(studio: Studio) -> str:
    studio.write()
    return studio.page.read_text("utf-8")


def evil(studio: Studio) -> str:
    studio.job(
        description=EVIL,
        items=[{"name": f"A {EVIL}", "prompt": EVIL, "negative": EVIL}],
        scripted={"model": "<b>m</b>"},
    )
    return written(studio)


def test_every_text_of_a_job_stays_a_text(studio: Studio) -> None:
    page = Elements(evil(studio))
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert not page.images(), "nothing is made yet"
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert "{{ 7*7 }}" in page.shown
    assert "<script>alert(1)</script>" in page.shown


def test_the_data_says_exactly_what_was_recorded() -> None:
    provenance = to_provenance({"prompt": EVIL, "negative": EVIL, "loras": {EVIL: 0.5}})
    picture = Picture(
        "j:a", EVIL, "", "assets/j/a.png", "missing", provenance, 1, 1, wanted=(FieldChange("prompt", EVIL, ""),)
    )
    data = page_data([Group("j", "", "jobs/j.yaml", (picture,))], Files({}, {}, {}), FOLDER)
    text = render(data, digest(data)).html.decode("utf-8")
    (found,) = embedded(text)
    assert (found["name"], found["prompt"], found["negative"]) == (EVIL, EVIL, EVIL)
    assert (found["parameters"], found["wanted"][0]["old"]) == ([[f"loras.{EVIL}", "0.5"]], EVIL)
    assert not set("<>&'\u2028\u2029") & set(Elements(text).texts["script"][0])


def test_problems_of_a_broken_job_are_texts_too(studio: Studio) -> None:
    (studio.root / "jobs/wrong.yaml").write_text('"<img src=x>": 1\n')
    page = Elements(written(studio))
    assert not page.images()
    assert "<img src=x>" in page.shown


def test_the_policy_allows_this_pages_own_script_and_style_and_nothing_else(studio: Studio) -> None:
    studio.items("Yrr")
    studio.build()
    page = Elements(written(studio))
    (policy,) = (a["content"] or "" for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))

    def named(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert rules == {
        "default-src": "'none'",
        "script-src": named(page.texts["script"][1]),
        "style-src": named(page.texts["style"][0]),
        "img-src": "'self' file: data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
    }
    assert not [attributes for _, attributes in page.tags if "style" in attributes], "the policy would drop it"


def test_script_and_style_hold_nothing_that_ends_them_or_leads_out() -> None:
    script, style = ((PARTS / name).read_text("utf-8") for name in ("page.js", "page.css"))
    assert not re.search(
        r"</script|<!--|innerHTML|insertAdjacent|document\.write|eval\(|fetch|https?:|import\(", script
    )
    assert not re.search(r"</style|<!--|url\(|@import|https?:", style)


def test_the_same_data_makes_the_same_bytes_and_every_part_of_it_another_digest(studio: Studio) -> None:
    studio.items("Yrr", "Okka")
    studio.build()
    first = written(studio)
    studio.page.unlink()
    assert written(studio) == first
    digests = {re.findall(r'imagegen-gallery" content="(\w{64})"', first)[0]}
    for change in (
        {"description": "x"},
        {"prompt": {"suffix": "y"}},
        {"generate": {"width": 48, "height": 64, "cfg": 3}},
    ):
        studio.items("Yrr", "Okka", **change)
        digests.add(re.findall(r'imagegen-gallery" content="(\w{64})"', written(studio))[0])
    assert len(digests) == 4


def test_links_are_relative_to_the_page(studio: Studio) -> None:
    studio.items("Yrr", output={"dir": "art/über uns & co"})
    studio.build()
    (picture,) = embedded(written(studio))
    assert picture["href"] == "../../art/über uns & co/yrr.png"
    assert (studio.page.parent / picture["href"]).resolve().is_file()
    assert (studio.page.parent / picture["thumb"]).is_file()


def colours(theme: int) -> dict[str, str]:
    style = (PARTS / "page.css").read_text("utf-8")
    return {
        name: pair.split(", ")[theme] for name, pair in re.findall(r"--(\w+): light-dark\((#\w{6}, #\w{6})\)", style)
    }


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_contrast_is_that_of_wcag_aa(theme: int) -> None:
    known = colours(theme)
    for text in ("text", "quiet", "accent", "fresh", "stale", "missing", "edited", "failed"):
        for ground in ("back", "raised", "sunken"):
            assert contrast(known[text], known[ground]) >= 4.5, (text, ground)
    for ground in ("back", "raised"):
        assert contrast(known["edge"], known[ground]) >= 3, "the edges of what one can use"

"""Images that come, go and move while the page is open, in a real browser."""

from __future__ import annotations

import pytest

from tests.report.gallery.browser import Browser
from tests.review.served import Served

pytestmark = pytest.mark.xdist_group("browser")

CARD = """
const plain = (card) => {
  const copy = card.cloneNode(true);
  for (const one of copy.querySelectorAll(".choose")) one.remove();
  copy.removeAttribute("data-at");
  copy.removeAttribute("style");
  copy.className = copy.className.replace(/ s\\d+x\\d+/, "");
  return copy.outerHTML.replace(/\\s*(<\\/?(?:a|span|li))/g, "$1").replace(/ +style=""/g, "");
};
"""


def test_a_card_that_the_script_makes_is_as_the_template_has_it(browser: Browser) -> None:
    made, written = browser.run(f"""{CARD}
      return [gallery.pictures.map((picture) => plain(review.cardOf(picture))), gallery.cards.map(plain)]""")
    assert made == written


def test_an_item_comes_and_goes_while_everything_else_stays(review: Served, browser: Browser) -> None:
    file = review.folder.root / "jobs/places.yaml"
    before = file.read_text("utf-8")
    browser.run("window.isSame = true; review.select(['places:harbour', 'places:marsh']); gallery.links[0].focus()")
    browser.one("#search").send_keys("a")
    browser.until("gallery.shown().length > 3")
    file.write_text(before.replace("- name: gate", "- name: Tower\n  prompt: a tall tower\n- name: gate"), "utf-8")
    places = "gallery.pictures.filter((one) => one.job === 'places').map((one) => one.name).join()"
    browser.until(places, "harbour,Tower,gate,marsh")
    cards = "[...document.querySelectorAll('[data-job=places] .card b')].map((one) => one.textContent).join()"
    assert browser.run(f"return {cards}") == "harbour,Tower,gate,marsh"
    state = (
        "[$('search').value, [...review.selected].sort().join(), document.activeElement.id, window.isSame].join(' ')"
    )
    kept = f"(() => {{ const $ = gallery.$; return {state}; }})()"
    assert browser.run(f"return {kept}") == "a places:harbour,places:marsh search true"
    browser.run("location.hash = 'places:gate'")
    browser.until("gallery.dialog.open")
    file.write_text(before, "utf-8")
    browser.until(places, "harbour,gate,marsh")
    assert browser.run("return [gallery.dialog.open, gallery.current().task, window.isSame]") == [
        True,
        "places:gate",
        True,
    ]
    file.write_text("items: [", "utf-8")
    browser.until("document.querySelectorAll('[data-job=places] details.problems li').length", 1)
    file.write_text(before, "utf-8")
    browser.until("document.querySelectorAll('[data-job=places] details.problems').length", 0)
    assert browser.run(f"return {places}") == "harbour,gate,marsh"


def test_a_page_that_missed_something_asks_for_all(browser: Browser) -> None:
    browser.run("review.live.version = -5; gallery.pictures[0].name = 'old'; gallery.pictures.length; review.resync(0)")
    browser.until("gallery.pictures[0].name !== 'old' && review.live.version >= 0")

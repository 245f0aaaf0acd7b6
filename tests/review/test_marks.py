"""Marks and notes from the page: set, shown, filtered, and not kept waiting by a build."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from imagegen.state.mutex import hold
from imagegen.state.review_file import read_review_file
from tests.project_folder import ProjectFolder
from tests.report.gallery.browser import Browser
from tests.review.served import Served, wait_until

pytestmark = pytest.mark.xdist_group("browser")

SHOWN = "[...gallery.cards[gallery.at.get('{}')].querySelectorAll('.mark')].map(one => one.className).join()"


def said(folder: ProjectFolder, job: str) -> dict[tuple[str, str], str | None]:
    """What the job's review file says: the value of each mark and note."""
    file = read_review_file(job, folder.root / f"jobs/{job}.review")
    return {key: remark.value for key, remark in file.remarks.items()}


def test_an_image_is_marked_and_noted_by_keys_while_a_build_holds_the_project(
    folder: ProjectFolder, review: Served, browser: Browser
) -> None:
    with hold(folder.root / ".imagegen", 0):
        review.run("reroll", "places:gate")  # waits for this test
        browser.run("location.hash = '#portraits:mallsing-v1'")
        browser.until("document.getElementById('detail').open")
        browser.press("y")
        browser.until("document.querySelector('.marker.keep').getAttribute('aria-pressed')", "true")
        browser.press("n", *"six = fingers", Keys.ARROW_LEFT, Keys.ESCAPE)
        browser.until("document.getElementById('detail').open && document.activeElement.id", "detail")
        expected = {("mallsing-v1", "mark"): "keep", ("mallsing-v1", "note"): "six = fingers"}
        wait_until(lambda: said(folder, "portraits") == expected)
        browser.until(SHOWN.format("portraits:mallsing-v1"), "mark keep,mark noted")
        browser.until("document.querySelectorAll('.doing.done').length > 0")
    browser.press("y")  # once more takes it back
    wait_until(lambda: said(folder, "portraits")["mallsing-v1", "mark"] is None)
    browser.until("document.querySelector('.marker.keep').getAttribute('aria-pressed')", "false")


def test_a_mark_that_is_refused_is_taken_back_and_said(browser: Browser) -> None:
    browser.run("gallery.pictures[gallery.at.get('portraits:yrr-v2')].sha256 = '0'.repeat(64)")  # what was looked at
    browser.run("review.marks.toggle(['portraits:yrr-v2'], 'reject')")
    browser.until(SHOWN.format("portraits:yrr-v2"), "mark reject")
    browser.until("document.getElementById('problem').textContent.includes('has changed since it was looked at')")
    browser.until(SHOWN.format("portraits:yrr-v2"), "")


def test_marks_of_several_and_from_a_terminal_are_shown_and_filtered(folder: ProjectFolder, browser: Browser) -> None:
    assert folder.doit("mark", "icons:raven", "--as", "reject").code == 0
    browser.until(SHOWN.format("icons:raven"), "mark reject")
    Select(browser.one("[data-facet=marked]")).select_by_value("unmarked")
    browser.run("review.select(['places:harbour', 'places:marsh'])")
    browser.run("document.activeElement.blur()")  # its keys are its own
    browser.press("l")
    wait_until(lambda: said(folder, "places") == {("harbour", "mark"): "later", ("marsh", "mark"): "later"})
    browser.until("gallery.shown().some(at => gallery.pictures[at].task === 'places:marsh')", False)
    browser.run("review.select([...review.selected], false); gallery.links[gallery.at.get('places:gate')].focus()")
    browser.press("y")  # it leaves the page, and the next one has the focus
    browser.until(
        "document.activeElement === gallery.links[gallery.shown().find(at => at > gallery.at.get('places:gate'))]"
    )
    wait_until(lambda: said(folder, "places").get(("gate", "mark")) == "keep")
    browser.run("review.marks.say(['places:gate'], {as: 'none'})")
    wait_until(lambda: said(folder, "places")["gate", "mark"] is None)
    browser.run("review.select(['places:harbour', 'places:marsh'])")
    Select(browser.one("[data-facet=marked]")).select_by_value("later")
    browser.until("gallery.shown().map(at => gallery.pictures[at].name).join()", "harbour,marsh")
    browser.run("document.activeElement.blur()")
    browser.press("n")
    browser.until("document.activeElement.name", "note")
    browser.driver.switch_to.active_element.send_keys("too dark", Keys.CONTROL, Keys.ENTER)
    wait_until(lambda: said(folder, "places").get(("marsh", "note")) == "too dark")


def test_a_picture_that_was_not_looked_at_is_not_marked(folder: ProjectFolder, review: Served) -> None:
    listener = review.listen()
    number = review.run("mark", "places:gate", seen="00000000", **{"as": "keep"})
    event = listener.wait_for("action", number=number, state="failed")
    assert "places:gate: its picture has changed since it was looked at" in event["lines"]
    assert event["result"].startswith("places:gate: its picture has changed"), "and not what to do about it"
    assert said(folder, "places").get(("gate", "mark")) is None


def test_a_note_that_is_typed_stays_where_it_is_and_replaces_none_that_came_meanwhile(
    folder: ProjectFolder, browser: Browser
) -> None:
    browser.run("location.hash = '#icons:raven'")
    browser.until("document.getElementById('detail').open")
    browser.press("n", *"half a sent")
    assert folder.doit("mark", "icons:raven", "--as", "keep", "--note", "by hand").code == 0
    browser.until("document.querySelector('.marker.keep').getAttribute('aria-pressed')", "true")
    browser.press(*"ence, very")
    assert browser.run("return document.activeElement.value") == "half a sentence, very"
    browser.press(Keys.ESCAPE)
    browser.until("document.querySelector('#note + .warn').textContent.includes('the note is “by hand”')")
    assert said(folder, "icons")["raven", "note"] == "by hand"
    browser.press("n", Keys.ESCAPE)
    wait_until(lambda: said(folder, "icons")["raven", "note"] == "half a sentence, very")
    browser.until("document.querySelector('#note + .warn').hidden")

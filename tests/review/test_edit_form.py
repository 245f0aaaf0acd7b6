"""Editing a job from the page: in a real browser, and over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver.common.keys import Keys

from tests.project_folder import ProjectFolder
from tests.report.gallery.browser import Browser
from tests.review.served import Served

pytestmark = pytest.mark.xdist_group("browser")

JOB = """\
# where it happens
backend: placeholder
generate: {width: 48, height: 64}
items:
  - {name: harbour, prompt: a harbour}
  - name: gate  # the old one
    prompt: a gate  # as in the book
  - {name: marsh, prompt: a marsh}
"""
GATE = "gallery.pictures[gallery.at.get('places:gate')]"


@pytest.fixture(scope="module")
def review(folder: ProjectFolder) -> Iterator[Served]:
    """With a variable: it is in each command that runs, and in each that is shown."""
    served = Served(folder, "budget=5")
    yield served
    served.end()


@pytest.fixture(autouse=True)
def job(folder: ProjectFolder) -> None:
    (folder.root / "jobs/places.yaml").write_text(JOB)


def replace(browser: Browser, selector: str, text: str) -> None:
    browser.one(selector).send_keys(Keys.CONTROL, "a")
    browser.one(selector).send_keys(text)


def test_a_prompt_is_edited_seen_saved_and_built(review: Served, browser: Browser, folder: ProjectFolder) -> None:
    browser.open(review.url)
    before = browser.run(f"return {GATE}.sha256")
    browser.run("gallery.links[gallery.at.get('places:gate')].focus()")
    browser.press("e")
    browser.until("document.activeElement.id", "edit-prompt")
    browser.one("#edit-prompt").send_keys(": open")
    browser.until("document.querySelector('.diff ins')?.textContent", '+    prompt: "a gate: open"  # as in the book\n')
    assert "a gate gate: open" in browser.one(".why").text  # the old word, and the new one
    assert "1 to generate" in browser.one(".why").text

    # the checker's words are at the field, and nothing is saved
    replace(browser, "#edit-steps", "many")
    browser.until("document.getElementById('edit-steps').getAttribute('aria-invalid')", "true")
    assert browser.one("#edit-steps-error").text.startswith("steps: expected a whole number, found the text 'many'")
    assert "edit-steps-error" in str(browser.one("#edit-steps").get_attribute("aria-describedby")).split()
    browser.one("#edit [type=submit]").click()
    browser.until("document.activeElement.id", "edit-steps")
    assert (folder.root / "jobs/places.yaml").read_text() == JOB

    # what comes meanwhile takes nothing away
    replace(browser, "#edit-steps", "30")
    browser.run(f"gallery.update({{...{GATE}}})")
    assert browser.run("return document.activeElement.id") == "edit-steps"
    changed = JOB.replace("a marsh", "a wide marsh")
    (folder.root / "jobs/places.yaml").write_text(changed)
    browser.until("document.getElementById('edit-notice').textContent.includes('has changed meanwhile')")
    browser.until(
        "[...document.querySelectorAll('.diff ins')].map((one) => one.textContent).includes('+    steps: 30\\n')"
    )

    browser.one("#edit [type=submit]").click()
    browser.until("document.querySelector('#edit [role=status]')?.textContent", "Saved jobs/places.yaml")
    expected = changed.replace("prompt: a gate  #", 'prompt: "a gate: open"  #')
    expected = expected.replace("# as in the book\n", "# as in the book\n    steps: 30\n")
    assert (folder.root / "jobs/places.yaml").read_text() == expected
    assert browser.one("#edit .run").text == "Build this image"
    browser.one("#edit .run").click()
    browser.until(f"{GATE}.sha256 !== '{before}' && {GATE}.state === 'fresh'")
    assert (
        browser.run("return [...document.querySelectorAll('.doing code')].pop().title") == "doit budget=5 places:gate"
    )
    shown = "return gallery.commandText({ command: 'reroll', images: ['places:gate'], options: { count: 2 } })"
    assert browser.run(shown) == "doit budget=5 reroll places:gate --count 2"
    browser.until("document.querySelector('#activity b')?.textContent", "Done")  # its undo is known then
    browser.driver.refresh()  # the server knows what was done last: the build, and before it the edit
    browser.press("u")
    browser.until(f"{GATE}.state", "stale")
    browser.until(f"{GATE}.sha256", before)
    assert (folder.root / "jobs/places.yaml").read_text() != changed
    browser.until("document.querySelector('#activity b').textContent", "Done: undo")
    browser.press("u")
    browser.until("document.querySelector('#activity .going').textContent.includes('edit of jobs/places.yaml')")
    assert (folder.root / "jobs/places.yaml").read_text() == changed
    browser.until(f"{GATE}.state", "fresh")


def test_escape_asks_before_it_discards_and_a_draft_outlives_the_page(review: Served, browser: Browser) -> None:
    browser.open(review.url, "#places:gate", width=390, height=844)
    browser.press("e")
    browser.until("document.activeElement.id", "edit-prompt")
    browser.one("#edit-prompt").send_keys(" at night")
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    browser.press(Keys.ESCAPE)
    browser.until("document.activeElement.textContent", "Keep editing")
    browser.driver.refresh()
    browser.until("document.getElementById('edit-open')?.textContent", "Continue editing")
    browser.run("document.getElementById('edit-open').scrollIntoView({ block: 'center' })")  # above the bar
    browser.one("#edit-open").click()
    browser.until("document.getElementById('edit-prompt')?.value", "a gate at night")
    browser.press(Keys.ESCAPE)
    browser.until("document.activeElement.textContent", "Keep editing")
    browser.one("#edit .danger").click()
    browser.until("document.getElementById('edit-open')?.textContent", "Edit")
    assert browser.run("return document.getElementById('detail').open")


def test_the_server_edits_what_it_is_asked_to_and_nothing_else(review: Served, folder: ProjectFolder) -> None:
    item = review.post("edit/read", {"task": "places:gate"}).json
    said = review.post(
        "edit/preview", {"task": "places:gate", "values": {"prompt": "a door"}, "sha256": item["sha256"]}
    )
    assert "+    prompt: a door  # as in the book" in said.json["diff"]
    for body in ({"values": {"output.dir": "/etc"}}, {"values": "x"}, {}, {"task": "places:nowhere", "values": {}}):
        answer = review.post("edit/write", {"task": "places:gate", **body})
        assert (answer.status, bool(answer.json["problem"])) == (409, True)
    assert review.ask("GET", "edit/read").status == 405
    assert (folder.root / "jobs/places.yaml").read_text() == JOB

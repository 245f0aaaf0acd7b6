"""Each action of the page in a real browser: on disk, on the page, and as the command that is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from selenium.webdriver.common.keys import Keys

from tests.project_folder import ProjectFolder, picture
from tests.report.gallery.browser import Browser
from tests.review.served import small_project, wait_until

pytestmark = pytest.mark.xdist_group("browser")

_SLOW = {
    "backend": "scripted",
    "scripted": {"script": "script.json"},
    "items": [{"name": name, "prompt": f"a {name}"} for name in ("one", "two", "dear")],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ProjectFolder:
    """As for other tests, and `slow`: its first image waits until it is cancelled, and its second fails."""
    folder = small_project(tmp_path_factory.mktemp("review") / "project")
    folder.script(
        acts={"one": [{"waiting": "loading the model", "delay_s": 3600}], "two": [{"error": "out of memory"}]},
        prices={"dear": "0.25"},
    )
    folder.job("slow", **_SLOW)
    return folder


@pytest.fixture
def page(browser: Browser) -> Iterator[Browser]:
    """Whatever a test did, nothing runs after it, and nothing is selected."""
    yield browser
    browser.run(
        "for (const one of document.querySelectorAll('dialog[open]')) one.close(); review.select([...review.selected], false)"
    )
    assert browser.run("return document.querySelectorAll('.doing.running').length") == 0


def wait_for_result(page: Browser, command: str, state: str = "Done") -> str:
    """Wait until the bar says that this command has ended. Returns what it says besides."""
    found = "[...document.querySelectorAll('.doing')].find((one) => one.querySelector('b'))"
    page.until(f"({found} || {{}}).querySelector?.('code').title", command)
    page.until(f"{found}.querySelector('b').textContent.startsWith('{state}')")
    return str(page.run(f"return {found}.querySelector('.result').textContent"))


def undo(page: Browser, command: str) -> None:
    """Take the last action back, by its key; this is the command that does it."""
    page.press("u")
    wait_for_result(page, command)


def focus(page: Browser, task: str) -> None:
    page.run(f"gallery.links[gallery.at.get('{task}')].focus()")


def standing(folder: ProjectFolder) -> tuple[dict[str, bytes], dict[str, str]]:
    return folder.files(), folder.states()


def test_keys_pick_a_variant_and_take_it_back(folder: ProjectFolder, page: Browser) -> None:
    before = standing(folder)
    third = folder.image("mallsing-v3").read_bytes()
    focus(page, "portraits:mallsing-v1")
    page.press("3")
    said = wait_for_result(page, "doit pick portraits:mallsing --variant 3")
    assert said.startswith("picked portraits:mallsing assets/portraits/mallsing.png (variant 3)")
    assert folder.image("mallsing").read_bytes() == third
    page.until("gallery.at.has('portraits:mallsing') && !gallery.at.has('portraits:mallsing-v1')")
    page.until("document.activeElement.getAttribute('href')", "#portraits:mallsing")
    for name in ("r", "u"):  # held down
        page.run(
            f"document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {{ key: '{name}', repeat: true, bubbles: true }}))"
        )
    undo(page, "doit pick portraits:mallsing --variant 0")
    assert standing(folder) == before
    page.until("gallery.at.has('portraits:mallsing-v1')")


def test_several_pictures_of_one_image_and_back_to_the_first(folder: ProjectFolder, page: Browser) -> None:
    before = standing(folder)
    focus(page, "places:gate")
    page.press("R")
    page.until("document.querySelector('.question code').textContent", "doit reroll places:gate --count 4")
    page.press("2")
    page.until("document.querySelector('.question code').textContent", "doit reroll places:gate --count 2")
    page.until("document.querySelector('.question [role=status]').textContent.startsWith('2 pictures to generate: ')")
    page.press(Keys.ENTER)
    command = "doit reroll places:gate --count 2"
    said = wait_for_result(page, command)
    assert "2 pictures generated" in said
    assert len(folder.list_versions("places:gate")) == 3
    sha256 = page.run(
        "return [...document.querySelectorAll('.doing button')].find((one) => one.textContent === 'Undo').title"
    )
    assert page.run("return document.activeElement.closest('.card') !== null"), "the focus is where it was"
    undo(page, sha256)
    assert standing(folder) == before


def test_a_whole_job_is_asked_about_goes_by_its_name_and_comes_back_whole(folder: ProjectFolder, page: Browser) -> None:
    before = standing(folder)
    for name in ("gate", "harbour", "marsh"):
        page.run(f"document.querySelector(`[aria-label='Select {name}']`).click()")
    page.run("[...document.querySelectorAll('#selection button')].find((one) => one.textContent === 'Reroll').click()")
    page.until("document.querySelector('.question p')?.textContent", "3 pictures to generate: under 1 s.")
    assert page.run("return document.querySelector('.question code').textContent") == "doit reroll places --yes"
    page.press(Keys.ENTER)
    assert wait_for_result(page, "doit reroll places --yes").startswith("3 pictures generated")
    assert folder.files() != before[0]
    title = page.run(
        "return [...document.querySelectorAll('.doing button')].find((one) => one.textContent === 'Undo').title"
    )
    assert title.split()[:5] == ["doit", "restore", "places:harbour", "places:gate", "places:marsh"]
    assert len(title.splitlines()) == 1, "one process for all of them"
    page.run("[...document.querySelectorAll('.doing button')].find((one) => one.textContent === 'Undo').click()")
    wait_for_result(page, title)
    assert standing(folder) == before


def test_what_is_selected_is_built_and_what_filters_hide_is_not(folder: ProjectFolder, page: Browser) -> None:
    folder.job("places", items=[{"name": name, "prompt": f"a big {name}"} for name in ("harbour", "gate", "marsh")])
    page.until("['gate', 'harbour', 'marsh'].every((name) => review.pictureOf(`places:${name}`).state === 'stale')")
    before = standing(folder)
    page.run("document.querySelector(`[aria-label='Select harbour']`).click()")
    box = "[aria-label='Select marsh']"
    page.run(
        f"document.querySelector(`{box}`).dispatchEvent(new MouseEvent('click', {{ shiftKey: true, bubbles: true }}))"
    )
    page.until("document.querySelector('#selection b').textContent", "3 selected")
    page.run("gallery.$('search').value = 'big gate'; gallery.filter()")
    page.until("document.querySelector('#selection').textContent.includes('1 selectedand 2 that the filters hide')")
    page.run("document.activeElement.blur()")
    page.press("b")
    wait_for_result(page, "doit places:gate")
    assert {task: state for task, state in folder.states().items() if task.startswith("places")} == {
        "places:harbour": "stale",
        "places:gate": "fresh",
        "places:marsh": "stale",
    }
    page.run("gallery.$('clear').click(); document.activeElement.blur()")
    title = page.run(
        "return [...document.querySelectorAll('.doing button')].find((one) => one.textContent === 'Undo').title"
    )
    assert title.splitlines()[1:] == ["doit accept places:gate --undo"]
    undo(page, title)
    assert standing(folder) == before


def test_an_edited_file_is_accepted_and_counts_as_edited_again(folder: ProjectFolder, page: Browser) -> None:
    folder.image("raven", job="icons").write_bytes(picture("red", (48, 64)))
    page.until("review.pictureOf('icons:raven').state", "edited")
    before = standing(folder)
    page.run("location.hash = '#icons:raven'")
    page.until("gallery.dialog.open")
    shown = page.run("return document.querySelector('#detail-body .command code').textContent")
    assert shown == "doit accept icons:raven"
    page.run("document.querySelector('#detail-body .run').click()")
    wait_for_result(page, shown)
    assert folder.states()["icons:raven"] == "fresh"
    assert page.run("return gallery.dialog.contains(document.getElementById('activity'))"), "it shows in the view too"
    undo(page, "doit accept icons:raven --undo")
    assert standing(folder) == before
    page.run("[...document.querySelectorAll('.doing button')].find((one) => one.textContent === 'Do it again').click()")
    wait_for_result(page, shown)
    undo(page, "doit accept icons:raven --undo")
    assert standing(folder) == before


def test_an_image_shows_what_it_waits_for_after_loading_again_too_and_is_cancelled(
    folder: ProjectFolder, page: Browser
) -> None:
    focus(page, "slow:one")
    page.press("b")
    text = "document.querySelector('.card .flight span')?.textContent"
    page.until(text, "loading the model")
    page.driver.refresh()
    page.until(text, "loading the model")
    page.until("document.querySelector('.doing.running code').textContent", "doit slow:one")
    queued = json.dumps({"command": "build", "images": ["slow:two"]})
    page.run(f"review.ask('run', {queued})")
    page.until("document.querySelectorAll('.doing.waiting').length", 1)
    page.run("document.querySelector('.doing.waiting button').click()")
    wait_for_result(page, "doit slow:two", "Cancelled")
    cancel = (
        "[...document.querySelectorAll('.doing.running button')].filter((one) => one.textContent.startsWith('Cancel'))"
    )
    page.run(f"{cancel}[0].click()")
    page.until(
        "document.querySelector('#activity').textContent.includes('ends once the images that have begun are done')"
    )
    # a second click within an instant would be a double click
    again = f"for (const one of {cancel}) if (one.textContent === 'Cancel now') one.click()"
    page.until(f"(() => {{ {again}; return document.querySelectorAll('.card .flight').length; }})()", 0)
    wait_for_result(page, "doit slow:one", "Cancelled")
    wait_until(lambda: not folder.image("one", job="slow").exists())


def test_what_costs_something_is_asked_about_first(folder: ProjectFolder, page: Browser) -> None:
    focus(page, "slow:dear")
    page.press("b")
    page.until("document.querySelector('.question p')?.textContent", "1 picture to generate: time unknown, cost $0.25.")
    assert page.run("return document.querySelector('.question code').textContent") == "doit slow:dear"
    page.press(Keys.ESCAPE)
    page.until("document.querySelector('.question') === null")
    assert page.run("return document.querySelectorAll('.doing.running, .doing.waiting').length") == 0
    assert not folder.image("dear", job="slow").exists()
    page.press("b")
    page.until("document.querySelector('.question') !== null")
    page.press(Keys.ENTER)
    wait_for_result(page, "doit slow:dear")
    assert folder.image("dear", job="slow").exists()
    page.until("document.querySelector('.doing').textContent.includes('1 new image stays')")


def test_keys_select_and_move_and_a_letter_that_is_typed_does_nothing(page: Browser) -> None:
    page.run("gallery.$('search').focus()")
    page.press("r", "b")
    page.until("gallery.$('search').value", "rb")
    page.press(Keys.TAB)  # without it, letters that come at once still count as typed
    page.run("gallery.$('clear').click(); document.activeElement.blur()")
    page.until("gallery.shown().length === gallery.pictures.length")
    page.press("j", "j")
    page.until("Boolean(review.focused())")
    page.press("s")
    page.until("document.querySelector('#selection b').textContent", "1 selected")
    task = page.run("return [...review.selected][0]")
    assert page.run("return document.activeElement.getAttribute('href')") == f"#{task}"
    page.run(
        "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: 'a', ctrlKey: true, bubbles: true }))"
    )
    page.until("review.targets().length === gallery.pictures.length")
    page.press(Keys.ESCAPE)
    page.until("review.selected.size", 0)
    assert page.run("return document.getElementById('selection').hidden")
    assert page.run("return document.querySelectorAll('.question, .doing.running, .doing.waiting').length") == 0


def test_a_failure_is_shown_at_the_image_with_its_log(page: Browser) -> None:
    focus(page, "slow:two")
    page.press("b")
    wait_for_result(page, "doit slow:two", "Failed")
    page.until("document.querySelector('#log').textContent.includes('out of memory')")
    page.until("review.pictureOf('slow:two').state", "failed")
    page.run("location.hash = '#slow:two'")
    page.until("document.querySelector('#facts').textContent.includes('out of memory')")
    page.press("?")
    page.until("document.querySelector('.question h2').textContent", "Keys")
    assert page.run("return document.querySelector('.question').scrollTop") == 0  # it shows its beginning
    keys = page.run("return [...document.querySelectorAll('.question kbd')].map((one) => one.textContent)")
    assert {"b", "r", "R", "a", "u", "j", "k", "s", "?", "1–9", "/"} <= set(keys)
    page.press(Keys.ESCAPE)
    page.until("document.querySelector('.question') === null && gallery.dialog.open")

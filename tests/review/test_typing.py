"""What is typed belongs to who types it, whatever arrives meanwhile; and what has the focus keeps it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from imagegen.state.review_file import read_review_file
from tests.project_folder import ProjectFolder
from tests.report.gallery.browser import Browser
from tests.review.served import Served, wait_until

pytestmark = pytest.mark.xdist_group("browser")

FOCUS = "document.activeElement"
PICTURE = "gallery.pictures[gallery.at.get('{}')]"
FOCUSED_TASK = "review.focused()"


def remark(folder: ProjectFolder, image: str, kind: Literal["mark", "note"]) -> str | None:
    """What the review file of the image's job says of it."""
    job, _, name = image.partition(":")
    found = read_review_file(job, folder.root / f"jobs/{job}.review").remarks.get((name, kind))
    return found.value if found else None


def test_a_note_is_typed_to_its_end_whatever_arrives_for_its_image(
    folder: ProjectFolder, review: Served, browser: Browser
) -> None:
    task = "portraits:mallsing-v1"
    listener = review.listen()
    browser.open(review.url, f"#{task}")  # loaded with the image open: what is going on is shown over it
    browser.until("document.getElementById('foot').parentElement.id", "detail")
    browser.press("x", "n")
    browser.run(f"window.field = {FOCUS}")

    def done(command: str, **options: str) -> None:
        number = review.run(command, task, **options)
        listener.wait_for("action", number=number, state="done")
        browser.until(f"[...document.querySelectorAll('.doing')].some(one => one.textContent.includes('{command}'))")

    def derived() -> None:
        path = folder.root / "jobs/portraits.yaml"
        path.write_text(path.read_text().replace("a tall figure", "a very tall figure"))
        browser.until(f"{PICTURE.format(task)}.state", "stale")

    arrives: dict[str, Callable[[], None]] = {
        "the beard": lambda: browser.until("document.querySelector('.marker.reject')?.ariaPressed", "true"),
        " should be": lambda: done("mark", **{"as": "later"}),
        " grey": derived,
        " and": lambda: done("reroll"),
        " longer; (all of": lambda: browser.run(f"gallery.update({{...{PICTURE.format(task)}, failure: ['no']}})"),
        " it) please": lambda: browser.run("review.resync(-1)"),
    }
    typed = ""
    for letters, arrive in arrives.items():
        browser.press(*letters)
        typed += letters
        browser.press(Keys.ARROW_LEFT)
        arrive()
        state = f"return [{FOCUS} === window.field, window.field.value, window.field.selectionStart]"
        assert browser.run(state) == [True, typed, len(typed) - 1]
        browser.press(Keys.END)
    browser.press(Keys.ESCAPE)
    wait_until(lambda: remark(folder, task, "note") == typed)
    assert browser.run(f"return [document.getElementById('detail').open, {FOCUS}.id]") == [True, "detail"]
    ran = {one["command"] for one in listener.events if one["event"] == "action"}
    assert sorted(command.split()[1] for command in ran) == ["mark", "mark", "mark", "reroll"]


def test_letters_go_to_no_command_once_their_field_has_gone(browser: Browser) -> None:
    browser.run("location.hash = '#icons:raven'")
    browser.until("document.getElementById('detail').open")
    pressed = """
        const key = (node, key) => node.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
        window.ran = [];
        review.keys.unshift({ key: 'q', label: '', isHidden: true, run: () => window.ran.push('q') });
    """
    goes = "key(field, 'b'); gallery.dialog.close(); key(document.body, 'q'); key(document.body, 'q');"
    browser.run(f"{pressed} const field = document.getElementById('note'); field.focus(); {goes}")
    assert browser.run("return window.ran") == []
    for leaves in ("key(document.body, 'Escape')", "window.dispatchEvent(new Event('pointerdown'))"):
        browser.run(
            f"{pressed} const field = document.getElementById('note'); {goes} {leaves}; key(document.body, 'q');"
        )
        assert browser.run("return window.ran.length") == 1


def test_a_note_and_a_prompt_go_with_their_image_when_a_variant_of_it_is_picked(
    folder: ProjectFolder, review: Served, browser: Browser
) -> None:
    browser.run("location.hash = '#portraits:yrr-v2'")
    browser.until("document.getElementById('detail').open")
    browser.press("n", *"bet")
    assert folder.doit("pick", "portraits:yrr", "--variant", "2").code == 0
    browser.until("gallery.current().task", "portraits:yrr")
    browser.press(*"ter", Keys.ESCAPE)
    wait_until(lambda: remark(folder, "portraits:yrr-v2", "note") == "better")
    browser.press("e")
    browser.until(f"{FOCUS}.id", "edit-prompt")
    browser.press(*" wi")
    review.run("pick", "portraits:yrr", variant=0)
    browser.until("gallery.current().task", "portraits:yrr-v2")
    browser.one("#edit-prompt").send_keys("th", Keys.CONTROL, Keys.ENTER)
    browser.until("document.querySelector('#edit [role=status]')?.textContent", "Saved jobs/portraits.yaml")
    assert "a small figure with" in (folder.root / "jobs/portraits.yaml").read_text()


def test_a_note_that_cannot_be_saved_is_kept(browser: Browser) -> None:
    browser.run("location.hash = '#places:marsh'")
    browser.until("document.getElementById('detail').open")
    browser.run("window.fetch = () => Promise.reject(new Error('no answer'))")
    browser.press("n", *"wet", Keys.ESCAPE)
    browser.until("document.getElementById('problem').hidden", False)
    browser.until("document.getElementById('about-note').textContent", "Saved when you leave the field")
    assert browser.run("return document.getElementById('note').value") == "wet"


def test_the_next_image_has_the_focus_when_one_leaves_the_grid(folder: ProjectFolder, browser: Browser) -> None:
    Select(browser.one("[data-facet=marked]")).select_by_value("unmarked")
    browser.run("gallery.links[gallery.shown()[0]].focus()")
    order = browser.run("return review.shownTasks()")
    browser.press("y", "x")  # of the first, and of the one that took its place
    browser.until(FOCUSED_TASK, order[2])
    wait_until(lambda: [remark(folder, image, "mark") for image in order[:2]] == ["keep", "reject"])
    browser.press(Keys.ENTER)
    browser.until("document.getElementById('detail').open")
    browser.press("l", Keys.ESCAPE)  # out of the grid while one looks at it
    browser.until(FOCUSED_TASK, order[3])
    assert folder.doit("mark", order[3], "--as", "keep").code == 0  # in a terminal
    browser.until(FOCUSED_TASK, order[4])
    browser.press("/", *"figure", Keys.ESCAPE, Keys.ESCAPE)  # it is empty, and then it is left
    browser.press("j")  # from where one was
    browser.until(FOCUSED_TASK, order[5])

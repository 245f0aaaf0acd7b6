"""The light table in a real browser: pictures beside and over each other, and what is decided there."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.project_folder import ProjectFolder
from tests.report.gallery.browser import Browser
from tests.review.served import wait_until

pytestmark = pytest.mark.xdist_group("browser")

TITLES = "[...document.querySelectorAll('#panes figcaption b')].map(b => b.textContent).join()"
PICKED = "[...document.querySelectorAll('#panes figure')].filter(f => f.querySelector('.picked')?.textContent === 'Picked').map(f => f.querySelector('kbd').textContent).join()"
LOADED = "[...document.querySelectorAll('#panes .view img')].filter(i => i.naturalWidth && i.style.transform).length"


# what the bar says, what keys are for, and whether that one is on the screen
CHOSEN = """
  const [task] = review.targets();
  const one = task && gallery.pictures[gallery.at.get(task)];
  const sees = (image) => getComputedStyle(image).visibility === 'visible' && image.getBoundingClientRect().top < innerHeight && image.getBoundingClientRect().bottom > 0;
  const isSeen = [...document.querySelectorAll('#panes .view img')].some((image) => one && image.getAttribute('src') === one.href && sees(image));
  return [document.querySelector('#pane-bar b')?.textContent ?? '', one ? one.name : '', isSeen];
"""

HEIGHT = "return document.getElementById('panes').clientHeight"


def transforms(browser: Browser) -> list[str]:
    """Where each picture is drawn in its pane, once all that changed is drawn."""
    script = "requestAnimationFrame(() => requestAnimationFrame(() => arguments[0]()))"
    browser.driver.execute_async_script(script)
    found: list[str] = browser.run(
        "return [...document.querySelectorAll('#panes .view img')].map(i => i.style.transform)"
    )
    return found


def colours(browser: Browser) -> set[Any]:
    """The colours that the pane shows, without its rounded corners."""
    picture = Image.open(io.BytesIO(browser.one("#panes .view").screenshot_as_png)).convert("RGB")
    inside = picture.crop((12, 12, picture.width - 12, picture.height - 12))
    return {colour for _, colour in inside.getcolors(1 << 24) or ()}


def test_variants_are_compared_at_one_place_and_picked_by_number(folder: ProjectFolder, browser: Browser) -> None:
    files = {number: (folder.root / f"assets/portraits/mallsing-v{number}.png").read_bytes() for number in (1, 2, 3)}
    browser.run("document.querySelector('a[href=\"#portraits:mallsing-v1\"]').focus()")
    browser.press("v")
    browser.until(TITLES, "Variant 1,Variant 2,Variant 3")
    browser.until(LOADED, 3)
    assert browser.run("return document.activeElement.closest('dialog').id") == "table"
    fitting = transforms(browser)
    assert len(set(fitting)) == 1

    browser.press("+", "+", Keys.ARROW_RIGHT)
    zoomed = transforms(browser)
    assert len(set(zoomed)) == 1
    assert zoomed != fitting
    shown = browser.one("#table .percent").text
    browser.run(
        "document.querySelectorAll('#panes .view')[1].dispatchEvent(new WheelEvent('wheel', {deltaY: -300, clientX: 700, clientY: 300}))"
    )
    assert len(set(transforms(browser))) == 1
    assert transforms(browser) != zoomed
    assert browser.one("#table .percent").text != shown
    browser.press("i")
    ActionChains(browser.driver).drag_and_drop_by_offset(browser.all("#panes .view")[2], -40, -30).perform()
    first, second, third = transforms(browser)
    assert first == second != third
    browser.press("i", "f")
    assert transforms(browser) == fitting

    height = browser.run(HEIGHT)
    browser.press("2")
    browser.until(PICKED, "2")
    browser.until("document.getElementById('activity').hidden", False)
    assert browser.run(HEIGHT) == height, "pictures stay where they are when an action begins and ends"
    assert (folder.root / "assets/portraits/mallsing.png").read_bytes() == files[2]
    assert (folder.root / ".imagegen/candidates/portraits/mallsing-v3.png").read_bytes() == files[3]
    browser.until(LOADED, 3)
    browser.press("3")
    browser.until(PICKED, "3")
    assert (folder.root / "assets/portraits/mallsing.png").read_bytes() == files[3]
    browser.press("j")
    browser.until("document.getElementById('table-name').textContent", "Yrr")
    browser.press(Keys.ESCAPE)
    browser.until("document.querySelector('dialog[open]') === null")
    browser.until("document.activeElement.closest('.card') !== null")


def test_the_difference_of_two_pictures_is_black_where_they_are_alike(browser: Browser) -> None:
    browser.run("review.compare(['places:gate', 'places:gate'])")
    browser.until(TITLES, "gate,gate")
    browser.press("d")
    browser.until(LOADED, 4)
    assert colours(browser) == {(0, 0, 0)}
    browser.press(Keys.ESCAPE)
    browser.run("review.compare(['places:gate', 'places:harbour'])")
    browser.until(LOADED, 2)
    assert browser.one("#panes li + li .differs").text == "a harbour"
    browser.press("d")
    browser.until(LOADED, 4)
    assert len(colours(browser)) > 2
    browser.press(" ")
    browser.until("document.getElementById('table-which').textContent", "Showing harbour")
    browser.press(" ")
    browser.until("document.getElementById('table-which').textContent", "Showing gate")
    browser.press(Keys.ESCAPE)


def test_what_is_shown_is_what_the_bar_and_the_keys_are_for(browser: Browser) -> None:
    names = ["harbour", "gate", "marsh"]
    browser.run("review.select(arguments[0])", [f"places:{name}" for name in names])
    browser.until("document.getElementById('selection').hidden", False)
    browser.press("c")
    browser.until(TITLES, "harbour,gate,marsh")
    browser.until("document.getElementById('selection').hidden")
    expected = [
        (" ", "gate"),
        (" ", "harbour"),
        ("j", "marsh"),
        (" ", "harbour"),
        ("k", "gate"),
        ("3", "marsh"),
        ("1", "harbour"),
        ("]", "gate"),
        ("d", "gate"),
        ("j", "marsh"),
        ("1", "harbour"),
        ("w", "marsh"),
        ("k", "gate"),
        ("w", "gate"),
        ("j", "marsh"),
        ("j", "harbour"),
    ]
    for key, name in expected:
        browser.press(key)
        assert browser.run(CHOSEN) == [name, name, True], key
    browser.press("p")
    assert browser.run(CHOSEN) == ["", "", False], "while it flickers by itself, nothing is decided"
    browser.run("document.activeElement.blur()")  # keys are for the table all the same
    browser.press("p")
    (stopped, _, is_seen) = browser.run(CHOSEN)
    assert is_seen
    browser.press("x")
    browser.until("gallery.pictures.filter((one) => one.marked === 'reject').map((one) => one.name).join()", stopped)
    browser.press("x", Keys.ESCAPE)
    browser.until("document.getElementById('selection').hidden", False)


def test_of_thousands_only_those_near_the_screen_are_there(browser: Browser) -> None:
    browser.run("""
        const some = gallery.pictures.filter((one) => one.job === 'places').map(looks.ofPicture);
        const many = Array.from({length: 2000}, (_, index) => ({...some[index % 3], key: `${index}`, title: `number ${index + 1}`}));
        table.open({state: ['images', []], looks: () => many, name: () => 'many', part: () => ''});
    """)
    count = "document.querySelectorAll('#panes .view').length"
    last = "document.getElementById('panes').lastElementChild.querySelector('b')?.textContent"
    chosen = "document.querySelector('#panes .active b').textContent"
    browser.until("document.getElementById('panes').children.length", 2000)
    browser.press("k")
    browser.until(last, "number 2000")
    assert browser.run(f"return {chosen}") == "number 2000"
    browser.press("j")
    browser.until(chosen, "number 1")
    browser.until(last, None)
    assert browser.run(f"return {count}") < 60
    browser.run("const list = document.getElementById('panes'); list.scrollTop = list.scrollHeight / 2")
    browser.until(f"Math.abs(Number({chosen}.split(' ')[1]) - 1000) < 40")
    assert browser.run(CHOSEN)[2], "who scrolls has another picture before them, and acts on that"
    browser.until(f"{count} < 60")
    browser.press(Keys.ESCAPE)


@pytest.mark.long
def test_what_cannot_be_shown_is_not_compared(folder: ProjectFolder, browser: Browser) -> None:
    def write(name: str, content: bytes, state: str) -> None:
        """As a whole, and wait until the page shows it: what it still asked for would be missing."""
        new = folder.root.with_name("new.png")
        new.write_bytes(content)
        new.replace(folder.root / f"assets/places/{name}.png")
        browser.until(f"gallery.pictures[gallery.at.get('places:{name}')].state", state)
        browser.until("[...document.querySelectorAll('.card img')].every((one) => one.complete)")

    def png(size: tuple[int, int], alpha: int) -> bytes:
        content = io.BytesIO()
        Image.new("RGBA", size, (0, 0, 0, alpha)).save(content, "png")
        return content.getvalue()

    files = {path.stem: path.read_bytes() for path in (folder.root / "assets/places").glob("*.png")}
    write("gate", png((48, 64), 255), "edited")
    write("harbour", png((8, 8), 0), "edited")
    write("marsh", b"broken", "edited")
    browser.run("review.compare(['places:marsh', 'places:gate', 'places:harbour'])")
    browser.until(LOADED, 2)
    assert browser.one("#panes .none").text == "The file cannot be shown here"
    browser.press("j", "j", "z")
    assert all("scale(0" not in one for one in transforms(browser)), "1:1 for a tiny one is not nothing for the others"
    browser.press("d")
    browser.until(LOADED, 4)
    assert (255, 255, 255) in colours(browser), "only transparency differs"
    browser.press(Keys.ESCAPE)
    for name, content in files.items():
        write(name, content, "fresh")
    browser.driver.get("about:blank")
    # a picture that it asked for may have been replaced by then
    assert [line for line in browser.console() if "thumbs/" not in line or "(Not Found)" not in line] == []


def test_an_earlier_version_is_compared_with_now_and_restored(folder: ProjectFolder, browser: Browser) -> None:
    image = folder.root / "assets/places/marsh.png"
    first = image.read_bytes()
    for words in ("a wide marsh", "a wide marsh at dusk"):
        items = [
            {"name": name, "prompt": words if name == "marsh" else f"a {name}"} for name in ("harbour", "gate", "marsh")
        ]
        folder.job("places", items=items)
        folder.build()
    now = image.read_bytes()
    browser.until("gallery.pictures[gallery.at.get('places:marsh')].earlier.length", 2)
    browser.run("location.hash = 'places:marsh'")
    browser.until("document.querySelectorAll('.history .version').length", 2)
    assert browser.one(".history li + li del").text == "wide"
    browser.run("document.querySelectorAll('.history .version')[1].click()")  # the bar of the page may lie over it
    browser.until(TITLES, "Now,Version 3")
    browser.until(LOADED, 2)
    folder.doit("reroll", "places:marsh")  # meanwhile: what was number 3 is number 4 from now on
    browser.until(TITLES, "Now,Version 2,Version 4")
    browser.press("3", Keys.ENTER)
    wait_until(lambda: image.read_bytes() == first)
    assert now != first
    browser.until(TITLES, "Version 1,Version 2,Now")  # each stays where it is
    assert browser.one("#panes .active b").text == "Now"

"""The gallery in a real browser, as the file that it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from tests.report.gallery.browser import Browser
from tests.report.gallery.studio import Studio

# with `--dist loadgroup`, one worker has all of them, and so there is one browser
pytestmark = pytest.mark.xdist_group("browser")

SCRIPT = "</script><script>document.title='broken out'</script><img src=x onerror=\"document.title='broken out'\">"
MANY = 120
MARKING = "Mark it: keep, reject or later; --note writes a note"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    studio = Studio(tmp_path_factory.mktemp("gallery") / "project")
    items: list[dict[str, object]] = [
        {"name": "Mallsing", "prompt": "a tall marsh singer", "negative": "hands"},
        {"name": "Yrr", "prompt": "a small envoy, crème brûlée"},
        {"name": "Okka", "prompt": "a broad smith"},
        {"name": "<b>Evil</b>", "prompt": SCRIPT},
    ]
    studio.job("portraits", items=items, scripted={"model": "m1"})
    studio.items(*(f"thing {number}" for number in range(MANY - 2)), name="things", scripted={"model": "m2"})
    studio.job("takes", items=[{"name": "thing with takes", "prompt": "a gate"}], variants=2, scripted={"model": "m2"})
    studio.build()
    items[0] = {**items[0], "prompt": "a tall harbour singer", "steps": 33}
    studio.job("portraits", items=items, scripted={"model": "m1"})
    studio.build()
    items[1] = {**items[1], "prompt": "a small envoy in a coat, crème brûlée"}
    studio.job("portraits", items=items, scripted={"model": "m1"})
    Image.new("RGB", (48, 64), "red").save(studio.image("okka"))
    studio.job("signs", backend="placeholder", items=[{"name": "Raven", "prompt": "a raven"}])
    studio.remark("portraits", "yrr", mark="keep")
    studio.remark("portraits", "okka", mark="reject", note="the crème hat,\nagain")
    Image.new("RGB", (48, 64), "blue").save(studio.image("okka"))
    studio.write()
    return studio


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium: Browser, studio: Studio) -> Iterator[Browser]:
    """At the gallery. Whatever a test does there: nothing is logged, and no request leaves the project's images."""
    chromium.open(studio.page)
    chromium.run("localStorage.clear()")
    yield chromium
    assert chromium.console() == []
    assets = studio.root.joinpath("assets").as_uri()
    asked = [url for url in chromium.requests() if not url.startswith(("data:", "about:"))]
    assert [url for url in asked if not url.startswith(f"{assets}/")] == []


def shown(browser: Browser) -> list[str]:
    """The names of the pictures in the grid, but for the many things."""
    names: list[str] = browser.run(
        "return [...document.querySelectorAll('.card')].filter(c => c.offsetWidth).map(c => c.querySelector('b').textContent)"
    )
    return [name for name in names if not name.startswith("thing ")]


def search(browser: Browser, text: str, count: str) -> list[str]:
    field = browser.one("#search")
    field.send_keys(Keys.CONTROL + "a", Keys.DELETE)
    browser.until("document.getElementById('count').textContent.includes(' of ')", False)  # that of the search before
    field.send_keys(text)
    browser.until("document.getElementById('count').textContent", count)
    return shown(browser)


ALL = MANY + 5


def test_search_goes_by_names_and_prompts_all_words_and_no_accents(browser: Browser) -> None:
    assert shown(browser) == ["Mallsing", "Yrr", "Okka", "<b>Evil</b>", "Raven"]
    assert search(browser, "mallsing", f"1 of {ALL} images") == ["Mallsing"]
    assert search(browser, "envoy SMALL", f"1 of {ALL} images") == ["Yrr"]
    assert search(browser, "creme brulee", f"1 of {ALL} images") == ["Yrr"]
    assert search(browser, "a small coat", f"1 of {ALL} images") == ["Yrr"], "what the job asks for now is found too"
    assert search(browser, "thing 7", f"21 of {ALL} images") == []
    assert search(browser, "nobody", f"0 of {ALL} images") == []
    browser.one("#clear-all").click()
    assert len(shown(browser)) == 5
    assert browser.run("return document.activeElement.id") == "search"


def test_filters_by_state_job_backend_and_model_go_together(browser: Browser) -> None:
    chips = {chip.get_attribute("data-state"): chip for chip in browser.all(".chip")}
    assert [" ".join(chip.text.split()) for chip in chips.values()] == [
        f"All {ALL}", f"Fresh {MANY + 2}", "Stale 1", "Missing 1", "Edited 1", "Failed 0",
    ]  # fmt: skip
    for state, names in (("stale", ["Yrr"]), ("edited", ["Okka"]), ("missing", ["Raven"]), ("failed", [])):
        chips[state].click()
        assert (shown(browser), chips[state].get_attribute("aria-pressed")) == (names, "true")
    chips["failed"].click()
    selects = {field.get_attribute("data-facet"): Select(field) for field in browser.all("[data-facet]")}
    selects["job"].select_by_visible_text("portraits")
    assert shown(browser) == ["Mallsing", "Yrr", "Okka", "<b>Evil</b>"]
    chips["fresh"].click()
    assert shown(browser) == ["Mallsing", "<b>Evil</b>"]
    selects["model"].select_by_visible_text("m2")
    assert shown(browser) == []
    browser.one("#clear").click()
    selects["backend"].select_by_visible_text("placeholder")
    assert shown(browser) == ["Raven"]


def test_the_view_of_one_image_tells_all_and_closes_to_where_one_was(browser: Browser) -> None:
    browser.one("a[href='#portraits:mallsing']").click()
    browser.until("document.getElementById('detail').open")
    text = browser.one("#detail").text
    for message in ("Mallsing", "Fresh", "a tall harbour singer", "hands", "scripted 1", "m1", "48 × 64", "steps\n33"):
        assert message in text, message
    for message in ("doit -a portraits:mallsing", "assets/portraits/mallsing.png", "sha256", "took", "made"):
        assert message in text, message
    assert browser.one("#now-image").get_attribute("alt") == "a tall harbour singer"
    browser.until("document.getElementById('now-image').naturalWidth", 48)
    browser.one("#next").click()
    assert browser.one("#detail-name").text == "Yrr"
    assert browser.run("return location.hash") == "#portraits:yrr"
    browser.one("#close").click()
    browser.until("document.getElementById('detail').open", False)
    browser.until("location.hash", "")
    assert browser.run("return document.activeElement.getAttribute('href')") == "#portraits:yrr"


def test_a_stale_one_shows_word_by_word_what_the_job_asks_for_now(browser: Browser, studio: Studio) -> None:
    browser.open(studio.page, "#portraits:yrr")
    assert "prompt changed" in browser.one("#detail-state").text
    assert browser.one(".changes").text == "prompt\na small envoy, envoy in a coat, crème brûlée"
    assert [element.text for element in browser.all(".changes del, .changes ins")] == ["envoy,", "envoy in a coat,"]


def test_an_earlier_version_stands_beside_the_present_one(browser: Browser, studio: Studio) -> None:
    browser.open(studio.page, "#portraits:mallsing")
    (version,) = browser.all(".versions button")
    assert "steps 20, another prompt" in version.text
    version.click()
    browser.until("document.getElementById('before-image').naturalWidth", 48)
    left, right = (browser.one(selector).rect for selector in ("#before", "#now"))
    assert left["x"] + left["width"] <= right["x"]
    assert browser.one("#before-caption").text.startswith("Earlier")
    assert version.get_attribute("aria-pressed") == "true"
    version.click()
    assert not browser.one("#before").is_displayed()


def test_it_can_be_used_by_keys_alone(browser: Browser) -> None:
    browser.press("/")
    assert browser.run("return document.activeElement.id") == "search"
    browser.press("a", " ", "s", "m", "i", "t", "h", Keys.ESCAPE)
    browser.until("document.getElementById('search').value", "")
    browser.press(Keys.ARROW_DOWN)
    assert focused(browser) == "#portraits:mallsing"
    browser.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert focused(browser) == "#portraits:yrr"
    browser.press(Keys.ARROW_DOWN)
    assert focused(browser) == "#signs:raven"
    browser.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert focused(browser).startswith("#things:thing-")
    browser.press(Keys.END)
    assert focused(browser) == f"#things:thing-{MANY - 3}"
    browser.press(Keys.ARROW_UP, Keys.HOME, Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_UP)
    assert focused(browser) == "#portraits:mallsing", "the nearest above"
    browser.press(Keys.HOME, Keys.ENTER)
    browser.until("document.getElementById('detail').open")
    browser.press(Keys.ARROW_RIGHT)
    browser.until("document.getElementById('detail-name').textContent", "Yrr")
    for _ in range(12):
        browser.press(Keys.TAB)
        assert browser.run(
            "const a = document.activeElement; return a === document.body || Boolean(a.closest('dialog'))"
        )
    browser.press(Keys.ESCAPE)
    browser.until("document.getElementById('detail').open", False)
    browser.until("document.activeElement.getAttribute('href')", "#portraits:yrr")


def focused(browser: Browser) -> str:
    return str(browser.run("return document.activeElement.getAttribute('href')"))


def test_a_link_leads_to_an_image_and_back_leads_out_of_it(browser: Browser, studio: Studio) -> None:
    browser.open(studio.page, "#things:thing-100")
    assert browser.one("#detail-name").text == "thing 100"
    browser.one("#close").click()
    browser.until("location.hash", "")
    browser.one("a[href='#portraits:okka']").click()
    browser.until("document.getElementById('detail').open")
    browser.driver.back()
    browser.until("document.getElementById('detail').open", False)
    browser.open(studio.page, "#no:such")
    assert not browser.one("#detail").is_displayed()
    browser.open(studio.page, "#%")
    assert not browser.one("#detail").is_displayed()


@pytest.mark.parametrize(
    ("task", "commands"),
    [
        (
            "portraits:mallsing",
            {
                "Make it again with the same seed, so the same picture": "doit -a portraits:mallsing",
                "Make it with another seed": "doit reroll portraits:mallsing",
                "Go back to the version before (--list shows all)": "doit restore portraits:mallsing",
            },
        ),
        ("portraits:okka", {"Keep the edited file as the image": "doit accept portraits:okka"}),
        ("signs:raven", {"Make it": "doit signs:raven"}),
        (
            "takes:thing-with-takes-v2",
            {
                "Make it again with the same seed, so the same picture": "doit -a takes:thing-with-takes-v2",
                "Make it with another seed": "doit reroll takes:thing-with-takes-v2",
                "Pick this variant as the image": "doit pick takes:thing-with-takes --variant 2",
            },
        ),
    ],
)
def test_the_commands_are_those_that_work_for_it(
    browser: Browser, studio: Studio, task: str, commands: dict[str, str]
) -> None:
    browser.open(studio.page, f"#{task}")
    browser.until("document.querySelector('.command code').textContent", next(iter(commands.values())))
    shown = [
        (one.find_element("xpath", "preceding-sibling::*").text, one.find_element("tag name", "code").text)
        for one in browser.all(".command")
    ]
    marking = {} if task == "signs:raven" else {MARKING: f"doit mark {task} --as keep"}
    assert dict(shown) == commands | marking


def test_the_command_that_makes_it_again_is_copied(browser: Browser, studio: Studio) -> None:
    browser.open(studio.page, "#portraits:yrr")
    browser.one("[aria-label='Copy the command']").click()
    browser.until("document.getElementById('said').textContent", "Copied")
    browser.press(Keys.ESCAPE)
    browser.press("/")
    browser.one("#search").send_keys(Keys.CONTROL, "v")
    browser.until("document.getElementById('search').value", "doit portraits:yrr")


def test_a_script_in_a_prompt_is_a_text(browser: Browser) -> None:
    browser.one("a[href='#portraits:b-evil-b']").click()
    browser.until("document.getElementById('detail').open")
    assert browser.one(".words").text == SCRIPT
    assert browser.one("#detail-name").text == "<b>Evil</b>"
    assert "broken" not in browser.driver.title
    assert browser.run("return document.scripts.length") == 2


def test_it_is_dark_or_light_as_the_system_is_or_as_one_chooses(browser: Browser, studio: Studio) -> None:
    def is_dark() -> bool:
        colour = browser.run("return getComputedStyle(document.body).backgroundColor")
        return int(colour.removeprefix("rgb(").split(",")[0]) < 128

    toggle = "#theme"
    assert (is_dark(), browser.one(toggle).get_attribute("aria-pressed")) == (False, "false")
    browser.open(studio.page, dark=True)
    assert (is_dark(), browser.one(toggle).get_attribute("aria-pressed")) == (True, "true")
    browser.one(toggle).click()
    assert (is_dark(), browser.one(toggle).get_attribute("aria-pressed")) == (False, "false")
    browser.open(studio.page, dark=True)
    assert not is_dark(), "it was chosen"


@pytest.mark.parametrize("fragment", ["", "#portraits:mallsing"], ids=["grid", "one image"])
def test_a_phone_shows_it_without_scrolling_sideways(browser: Browser, studio: Studio, fragment: str) -> None:
    browser.open(studio.page, fragment, width=375, height=740)
    assert browser.run("return document.documentElement.scrollWidth") == 375
    if fragment:
        assert browser.run("return document.getElementById('detail').scrollWidth") == 375
        assert browser.run("return document.getElementById('now-image').getBoundingClientRect().top") >= 0
    else:
        small = browser.run(
            "return [...document.querySelectorAll('.bar button, .bar input, .bar select')]"
            ".filter(e => e.offsetWidth && Math.min(e.offsetWidth, e.offsetHeight) < 40).map(e => e.outerHTML)"
        )
        assert small == [], "large enough for a finger"


def test_only_images_near_the_window_are_loaded(browser: Browser) -> None:
    browser.until("[...document.images].filter(i => i.naturalWidth).length > 8")
    loaded = [url for url in browser.requests() if "/thumbs/" in url]
    assert 8 < len(loaded) < MANY - 20


def test_marks_and_notes_are_shown_searched_and_filtered(browser: Browser) -> None:
    label = "return document.querySelector(`[href='#portraits:${arguments[0]}']`).getAttribute('aria-label')"
    assert browser.run(label, "yrr").startswith("stale Yrr: ")
    assert browser.run(label, "yrr").endswith(", marked keep")
    assert browser.run(label, "okka").endswith(", marked reject in another version, has a note")
    assert browser.run("return [...document.querySelectorAll('.card .mark')].map(mark => mark.className)") == [
        "mark keep", "mark reject other", "mark noted",
    ]  # fmt: skip
    assert search(browser, "creme hat", f"1 of {ALL} images") == ["Okka"]
    search(browser, "a", f"{ALL} images")
    mark = Select(browser.one("[data-facet=marked]"))
    mark.select_by_value("keep")
    assert shown(browser) == ["Yrr"]
    mark.select_by_value("unmarked")
    assert "Okka" in shown(browser)
    browser.run("location.hash = '#portraits:okka'")
    browser.until("document.getElementById('detail').open")
    said = browser.one("#detail-body").text
    assert "Reject" in said
    assert "for another version of this image" in said
    assert "the crème hat,\nagain" in said
    assert "doit mark portraits:okka --as keep" in said


def test_everything_that_can_be_used_has_a_name(browser: Browser, studio: Studio) -> None:
    for fragment in ("", "#portraits:mallsing"):
        browser.open(studio.page, fragment)
        root = "#detail" if fragment else "body"
        for element in browser.all(f"{root} :is(button, input, select, a:not(.card *))"):
            if element.is_displayed():
                assert element.accessible_name, element.get_attribute("outerHTML")
        if not fragment:  # chromedriver tells no names of what is far out of the window
            assert browser.one(".card a").accessible_name == "Mallsing: a tall harbour singer"
    names = browser.run("return [...document.querySelectorAll('.card a')].map(a => a.ariaLabel)")
    assert len(set(names)) == ALL
    assert "stale Yrr: a small envoy, crème brûlée, marked keep" in names
    assert browser.run("return [...document.images].filter(i => !i.hasAttribute('alt')).length") == 0


def test_the_images_themselves_may_be_missing_beside_it(browser: Browser, studio: Studio) -> None:
    original = studio.image("thing-3", "things")
    away = original.with_suffix(".away")
    original.rename(away)
    try:
        browser.open(studio.page, "#things:thing-3")
        browser.until("document.getElementById('now-image').naturalWidth", 48)
        assert "/thumbs/" in str(browser.one("#now-image").get_attribute("src"))
        assert all("ERR_FILE_NOT_FOUND" in message for message in browser.console())
    finally:
        away.rename(original)


def test_it_can_be_read_without_scripts(studio: Studio, chromium: Browser) -> None:
    chromium.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        chromium.open(studio.page)
        chromium.console()
        assert "Mallsing" in chromium.one("main").text
        assert "need JavaScript" in chromium.one("noscript").text
    finally:
        chromium.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_the_gallery_holds_nothing_but_the_page_and_small_images(studio: Studio) -> None:
    kinds = {Path(name).suffix for name in studio.files()}
    assert kinds == {".html", ".webp"}


@pytest.fixture(scope="module")
def signs(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """Two images, each with a token, on one sheet."""
    studio = Studio(tmp_path_factory.mktemp("signs") / "project")
    items = [{"name": "Raven", "prompt": "a raven"}, {"name": "Wolf", "prompt": "a wolf"}]
    token = {"steps": [{"mask": "circle"}]}
    studio.job("signs", backend="placeholder", items=items, derive={"token": token}, sheet={"cell": 32})
    studio.build()
    studio.image("wolf-token", "signs").unlink()
    studio.write()
    return studio


def test_the_frames_of_a_sheet_lie_on_it_and_lead_to_their_images(chromium: Browser, signs: Studio) -> None:
    chromium.open(signs.page, "#signs:sheet")
    chromium.until("document.querySelectorAll('#marks a').length", 2)
    chromium.until("document.querySelector('#marks').offsetWidth > 0")
    raven, wolf = chromium.run("""
        const image = document.querySelector("#now-image").getBoundingClientRect();
        return [...document.querySelectorAll("#marks a")].map((mark) => mark.getBoundingClientRect())
            .map((mark) => [(mark.left - image.left) / image.width, mark.width / image.width]);
    """)
    assert wolf == pytest.approx([raven[0] + 0.5, raven[1]], abs=0.01)
    chromium.run("document.querySelectorAll('#marks a')[1].click()")
    chromium.until("document.getElementById('detail-name').textContent", "Wolf")
    assert chromium.run("return document.querySelectorAll('#marks a').length") == 0


def test_derived_files_are_shown_small_in_the_view_of_their_image(chromium: Browser, signs: Studio) -> None:
    chromium.open(signs.page, "#signs:raven")
    chromium.until("document.querySelector('.files b').textContent", "token")
    chromium.until("document.querySelector('.files img').naturalWidth > 0")
    assert chromium.run("return document.querySelector('.files a').href").endswith("/signs/raven-token.png")


def test_an_image_is_found_by_the_state_of_what_is_derived_from_it(chromium: Browser, signs: Studio) -> None:
    chromium.open(signs.page)
    chromium.run("document.querySelector('.chip.missing').click()")
    chromium.until("document.getElementById('count').textContent", "1 of 3 images")
    assert chromium.run("return document.querySelector('.card:not([hidden]) .badge').textContent") == "token missing"
    assert chromium.run("return document.querySelector('.chip.missing span').textContent") == "1"

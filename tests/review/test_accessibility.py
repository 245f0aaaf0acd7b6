"""The page by the rules of axe-core: each of its views, dark and light, wide and on a phone."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from tests.axe import violations
from tests.marks import long
from tests.project_folder import ProjectFolder, picture
from tests.report.gallery.browser import Browser
from tests.review.served import Served, small_project

pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ProjectFolder:
    """With an image of each state."""
    folder = small_project(tmp_path_factory.mktemp("review") / "project")
    folder.job("later", items=[{"name": "ruin", "prompt": "a ruin"}])
    folder.job("places", items=[{"name": name, "prompt": f"an old {name}"} for name in ("harbour", "gate", "marsh")])
    folder.image("raven", job="icons").write_bytes(picture("blue", (48, 64)))
    folder.image("marsh", job="places").write_bytes(b"broken")
    return folder


@pytest.mark.parametrize(("width", "dark"), [(390, True), long(1400, False)])
def test_every_view_follows_the_rules(browser: Browser, review: Served, width: int, dark: bool) -> None:
    browser.open(review.url, width=width, dark=dark)
    browser.run("document.querySelector('.card input').click()")
    assert violations(browser) == []
    browser.press("?")
    browser.until("Boolean(document.querySelector('.question[open]'))")
    assert violations(browser) == []
    browser.press(Keys.ESCAPE)
    browser.until("Boolean(document.querySelector('.question[open]'))", False)
    browser.run("document.querySelector('.card a').click()")
    browser.until("document.getElementById('detail').open")
    assert violations(browser) == []
    browser.press("e")
    browser.until("Boolean(document.querySelector('form textarea'))")
    assert violations(browser) == []
    browser.press(Keys.ESCAPE)
    browser.until("Boolean(document.querySelector('form textarea'))", False)
    browser.run("review.compareVariants('portraits:mallsing')")
    browser.until("document.querySelectorAll('#panes figure').length", 3)
    assert violations(browser) == []
    browser.press("d")
    assert violations(browser) == []
    browser.press(Keys.ESCAPE)

"""The page in a real browser, as `doit review` serves it: two tabs at once."""

from __future__ import annotations

import pytest

from tests.report.gallery.browser import Browser
from tests.review.served import Served

pytestmark = pytest.mark.xdist_group("browser")


def test_an_action_in_one_tab_shows_in_the_other(review: Served, browser: Browser) -> None:
    first = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("tab")
    browser.driver.get(review.url)
    second = browser.driver.current_window_handle
    before = browser.run("return gallery.pictures[gallery.at.get('places:gate')].sha256")
    browser.driver.switch_to.window(first)
    browser.run("review.run('reroll', ['places:gate'])")
    for tab in (first, second):
        browser.driver.switch_to.window(tab)
        browser.until(f"gallery.pictures[gallery.at.get('places:gate')].sha256 !== '{before}'")
    browser.driver.close()
    browser.driver.switch_to.window(first)

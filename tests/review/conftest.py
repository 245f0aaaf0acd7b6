"""For each module: a small project of its own, and `doit review` on it; and one browser for all of them.

A module that uses these has an `xdist_group`, so that it is one worker that starts them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.project_folder import ProjectFolder
from tests.report.gallery.browser import Browser
from tests.review.served import STARTED, Served, small_project


@pytest.fixture(scope="module", autouse=True)
def nothing_left_running() -> Iterator[None]:
    yield
    for one in STARTED:
        if one.process.poll() is None:
            one.process.kill()
            one.wait()
    STARTED.clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ProjectFolder:
    return small_project(tmp_path_factory.mktemp("review") / "project")


@pytest.fixture(scope="module")
def review(folder: ProjectFolder) -> Iterator[Served]:
    served = Served(folder)
    yield served
    served.end()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Modules that use it have `pytestmark = pytest.mark.xdist_group("browser")`: so there is one at a time."""
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium: Browser, review: Served) -> Iterator[Browser]:
    """At the page. Whatever a test does there: nothing is logged, and no request goes anywhere else."""
    chromium.console()
    chromium.requests()
    chromium.open(review.url)
    chromium.run("localStorage.clear()")
    yield chromium
    chromium.driver.get("about:blank")
    assert chromium.console() == []
    asked = chromium.requests()
    assert [url for url in asked if not url.startswith((review.url, "data:", "blob:", "about:"))] == []

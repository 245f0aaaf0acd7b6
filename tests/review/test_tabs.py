"""The page in a real browser while others are at work too: another tab, a terminal, and nobody any more."""

from __future__ import annotations

import contextlib
import json
import signal
from pathlib import Path

import pytest

from tests.project_folder import JOB, ProjectFolder, press_ctrl_c
from tests.report.gallery.browser import Browser
from tests.review.served import Listener, Served, wait_until

# with `--dist loadgroup`, one worker has all of them, and so there is one browser
pytestmark = pytest.mark.xdist_group("browser")

SCRIPT = "</script><script>document.title='broken out'</script><img src=x onerror=\"document.title='broken out'\">"
BANNER = "document.getElementById('connection').innerText.trim()"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ProjectFolder:
    """Mallsing takes until it is cancelled."""
    folder = ProjectFolder(tmp_path_factory.mktemp("review") / "project")
    evil = {"name": "<b>Evil</b>", "prompt": SCRIPT}
    folder.job(generate={"width": 48, "height": 64}, items=[*JOB["items"], evil], description=SCRIPT)
    folder.script(acts={"Mallsing": [{"hang": True}]})
    assert folder.doit("portraits:yrr", "portraits:okka").code == 0
    return folder


LEAVE = """
window.away = true;
const wait = window.setTimeout;
window.setTimeout = (what) => what(); // a minute has gone by
document.dispatchEvent(new Event("visibilitychange"));
window.setTimeout = wait;
"""


def picture_of(task: str) -> str:
    return f"gallery.pictures[gallery.at.get('{task}')].sha256"


def test_an_action_in_one_tab_shows_in_the_other_and_a_double_click_is_one(
    review: Served, browser: Browser, folder: ProjectFolder
) -> None:
    tabs = [browser.driver.current_window_handle]
    browser.driver.switch_to.new_window("tab")
    tabs.append(browser.driver.current_window_handle)
    browser.driver.get(review.url)
    before, heard = browser.run(f"return {picture_of('portraits:yrr')}"), review.listen()
    browser.driver.switch_to.window(tabs[0])
    calls = len(folder.calls())
    browser.run("review.run('reroll', ['portraits:yrr']); review.run('reroll', ['portraits:yrr'])")
    for tab in tabs:
        browser.driver.switch_to.window(tab)
        browser.until(f"{picture_of('portraits:yrr')} !== '{before}'")
        browser.until("document.body.innerText.includes('doit reroll portraits:yrr')")
    heard.wait_for("action", number=1, state="done")
    assert folder.calls()[calls:] == ["Yrr"]
    assert 2 not in {one.get("number") for one in heard.events}
    browser.driver.close()
    browser.driver.switch_to.window(tabs[0])


def test_a_doit_in_a_terminal_is_named_while_it_runs(browser: Browser, folder: ProjectFolder) -> None:
    terminal = folder.start("portraits:mallsing")
    browser.until(f"{BANNER}.startsWith('doit portraits:mallsing is running (process {terminal.pid}, since ')")
    browser.driver.refresh()
    browser.until(f"{BANNER}.includes('What you do here waits for it.')")
    press_ctrl_c(terminal)
    terminal.send_signal(signal.SIGINT)
    terminal.communicate(timeout=60)
    browser.until(BANNER, "")


def test_every_text_is_shown_as_text(browser: Browser, folder: ProjectFolder) -> None:
    browser.until(f"gallery.pictures.some((one) => one.prompt === {json.dumps(SCRIPT)})")
    browser.run("review.run('build', ['portraits:b-evil-b']); location.hash = '#portraits:b-evil-b'")
    browser.until("document.getElementById('detail-body').innerText.includes('<img src=x')")
    browser.until(f"{picture_of('portraits:b-evil-b')} !== ''")
    folder.write("pyproject.toml", f"[tool.imagegen]\n{json.dumps(SCRIPT)} = 1\n")
    browser.until(f"{BANNER}.includes('<img src=x')")
    (folder.root / "pyproject.toml").unlink()
    browser.until(BANNER, "")
    assert "broken out" not in browser.driver.title
    assert browser.all("img[src=x]") == []


def test_a_page_says_that_its_server_has_ended(folder: ProjectFolder, chromium: Browser, tmp_path: Path) -> None:
    ends, is_killed = Served(folder, log=tmp_path / "1.log"), Served(folder, log=tmp_path / "2.log")
    chromium.open(ends.url)
    chromium.run("review.on('hello', () => { window.heard = true; }); review.connect()")
    chromium.until("window.heard")
    ends.press_ctrl_c()
    assert ends.wait() == 0
    chromium.until(f"{BANNER}.startsWith('The review has ended. Start doit review again')")
    assert chromium.console() == []  # it knows, and asks no more
    chromium.open(is_killed.url)
    chromium.run("review.on('hello', () => { window.heard = true; }); review.connect()")
    chromium.until("window.heard")
    is_killed.process.kill()
    is_killed.wait()
    chromium.until(f"{BANNER}.startsWith('doit review does not answer')")
    chromium.driver.get("about:blank")
    wait_until(lambda: all("ERR_" in line for line in chromium.console()))  # what it asked for in vain


def test_a_page_that_finds_no_room_says_so_and_tries_again(review: Served, browser: Browser) -> None:
    browser.driver.get("about:blank")
    crowd: list[Listener] = []

    def is_full() -> bool:
        with contextlib.suppress(ConnectionRefusedError):
            crowd.append(review.listen())
            return False
        return True

    wait_until(is_full)
    browser.driver.get(review.url)
    browser.until(f"{BANNER}.includes('close some of its tabs. This page tries it again.')")
    for one in crowd:
        one.close()
    browser.until(BANNER, "")
    before = browser.run(f"return {picture_of('portraits:okka')}")
    review.run("reroll", "portraits:okka")
    browser.until(f"{picture_of('portraits:okka')} !== '{before}'")
    assert [line for line in browser.console() if "503" not in line] == []


def test_a_page_that_was_away_catches_up(review: Served, browser: Browser) -> None:
    browser.run(f"Object.defineProperty(document, 'hidden', {{ get: () => window.away }}); {LEAVE}")
    before = browser.run(f"return {picture_of('portraits:okka')}")
    heard = review.listen()
    number = review.run("reroll", "portraits:okka")
    heard.wait_for("action", number=number, state="done")
    wait_until(lambda: any(one["event"] in ("pictures", "reload") for one in heard.events))
    assert browser.run(f"return {picture_of('portraits:okka')}") == before
    browser.run("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
    browser.until(f"typeof gallery !== 'undefined' && {picture_of('portraits:okka')} !== '{before}'")

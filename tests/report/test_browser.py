"""A page is opened in a window, or it is said why not."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path

import pytest

from imagegen.report.browser import open_in_browser

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems always have windows")


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the user's browser was started with."""
    browser, log = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" > {log}\n')
    browser.chmod(0o755)
    monkeypatch.setattr(webbrowser, "_tryorder", None)  # it looks for browsers once in a process
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    monkeypatch.setenv("DISPLAY", ":9")
    return log


def test_it_opens_the_users_browser(opened: Path) -> None:
    assert open_in_browser("file:///a%20b") == ""
    assert opened.read_text() == "file:///a%20b\n"


@pytest.mark.usefixtures("opened")
def test_without_a_screen_it_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert "there is no screen here" in open_in_browser("file:///a")
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert open_in_browser("file:///a") == ""


def test_it_opens_no_browser_that_takes_over_the_terminal(opened: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (opened.parent / "w3m").write_bytes((opened.parent / "browser").read_bytes())
    (opened.parent / "w3m").chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{opened.parent}/w3m %s")
    assert "w3m, which would take over the terminal" in open_in_browser("file:///a")
    assert not opened.exists()

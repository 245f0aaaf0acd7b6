"""A real headless Chromium, driven through chromedriver; nothing is downloaded for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

__all__ = ["Browser"]

_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --disable-dev-shm-usage --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync --hide-scrollbars --lang=en-GB"
)
"""As root and without a screen; and no connection of Chromium's own."""


class Browser:
    """One page at a time; what it logs and asks for is kept."""

    def __init__(self, profile: Path) -> None:
        chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        driver = shutil.which("chromedriver")
        if chromium is None or driver is None:
            pytest.skip("no Chromium with chromedriver here: apt-get install chromium chromium-driver")
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for flag in [*_FLAGS.split(), f"--user-data-dir={profile}"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(driver))
        self.driver.get("about:blank")
        self.requests()  # those of Chromium's own first page

    def open(
        self, page: Path | str, fragment: str = "", *, width: int = 1280, height: int = 800, dark: bool = False
    ) -> None:
        """Load the page again, a file or an address, in a window of this size (CSS pixels)."""
        self._devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._devtools("Emulation.setEmulatedMedia", features=[scheme])
        self.driver.get("about:blank")
        self.driver.get(f"{page if isinstance(page, str) else page.as_uri()}{fragment}")

    def screenshot(self) -> bytes:
        """What is shown, as PNG. While a page takes another one's place, chromedriver finds none: it is asked again."""

        def take(driver: webdriver.Chrome) -> bytes | None:
            try:
                return driver.get_screenshot_as_png()
            except WebDriverException:
                return None

        return bytes(WebDriverWait(self.driver, 60).until(take) or b"")

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def press(self, *keys: str) -> None:
        """Each key in turn, wherever the focus is."""
        for key in keys:
            webdriver.ActionChains(self.driver).send_keys(key).perform()

    def until(self, script: str, expected: Any = True) -> None:
        """Wait until the expression has this value."""
        last: list[Any] = [None]

        def holds(_: object) -> bool:
            last[0] = self.run(f"return {script}")
            return bool(last[0] == expected)

        try:
            WebDriverWait(self.driver, 30, poll_frequency=0.1).until(holds)
        except Exception:
            raise AssertionError(f"{script} is {last[0]!r}, not {expected!r}") from None

    def console(self) -> list[str]:
        """What the page logged since this was last asked: errors, warnings, violations of its policy."""
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def requests(self) -> list[str]:
        """The addresses that were asked for since this was last asked."""
        logged = self.driver.get_log("performance")  # type: ignore[no-untyped-call]
        events = [json.loads(entry["message"])["message"] for entry in logged]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def close(self) -> None:
        self.driver.quit()

    def _devtools(self, command: str, **parameters: Any) -> None:
        self.driver.execute_cdp_cmd(command, parameters)

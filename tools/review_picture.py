"""Write docs/images/review.webp: two shields on the light table of doit review, in headless Chromium.

Run `doit` first. Needs the extras `review` and `test`.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

ROOT = Path(__file__).parents[1]
WINDOW = {"width": 1280, "height": 800, "deviceScaleFactor": 1.5, "mobile": False}
SHOWN = ["heraldry:raven-gules-v1", "heraldry:raven-azure-v1"]
READY = """
const images = [...document.querySelectorAll("#panes img")];
return images.length > 1 && images.every((one) => one.complete && one.naturalWidth);
"""


def picture(url: str, target: Path) -> None:
    """Write a picture of the light table at this address as WebP."""
    options = webdriver.ChromeOptions()
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver") or ""))
    try:
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", WINDOW)
        driver.get(url)
        driver.execute_script("review.compare(arguments[0])", SHOWN)
        WebDriverWait(driver, 30).until(lambda _: driver.execute_script(READY))
        with Image.open(io.BytesIO(driver.get_screenshot_as_png())) as image:
            image.convert("RGB").save(target, quality=82, method=6)
    finally:
        driver.quit()


def main() -> None:
    """Serve the page of this repository's own jobs, and write the picture."""
    command = [sys.executable, "-m", "doit", "review", "--no-open"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout  # noqa: S101 - it is a pipe
            found = re.search(r"http://\S+", server.stdout.readline())
            if found is None:
                raise SystemExit("doit review printed no address")
            picture(found[0], ROOT / "docs/images/review.webp")
        finally:
            server.terminate()


if __name__ == "__main__":
    main()

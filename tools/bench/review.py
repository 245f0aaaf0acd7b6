"""Measure the page of `doit review`, compared with the static page of `doit gallery`.

    python tools/bench/review.py [--images 2000] [--rounds 5] [--keep FOLDER]

It needs Chromium, chromedriver and selenium. The processor's time counts, of the server and of the page's own thread. A
change is that of an image's file, from outside.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from projects import one_job
from runs import PRODUCT, arguments, build, counts, measure, products, row, table, workplace

_IDLE_S = 20
_SHOWN = """
const done = arguments[0];
const first = document.querySelector(".card img");
const shown = () => done(performance.memory ? performance.memory.usedJSHeapSize / 2 ** 20 : 0);
if (first.complete) shown(); else first.addEventListener("load", shown);
"""


class Server:
    """`doit review` on a project, until it is ended."""

    def __init__(self, folder: Path, doit: str) -> None:
        start_s = time.monotonic()
        self._process = subprocess.Popen([doit, "review", "--no-open"], cwd=folder, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        found = re.search(r"http\S+", self._process.stdout.readline())
        if found is None:
            raise SystemExit(f"doit review did not start in {folder}")
        self.url, self.start_s = found[0], time.monotonic() - start_s

    def cpu_s(self) -> float:
        """Return the time of the processor that it has taken so far, in seconds."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def megabytes(self) -> float:
        """Return its resident memory now."""
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self._process.pid}/status").read_text())
        return int(found[1]) / 1024 if found else 0.0

    def end(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()


@contextmanager
def serve(folder: Path, doit: str) -> Iterator[Server]:
    """Serve a project meanwhile."""
    server = Server(folder, doit)
    try:
        yield server
    finally:
        server.end()


@contextmanager
def browse() -> Iterator[Any]:
    """Yield a headless Chromium."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver") or ""))
    try:
        yield driver
    finally:
        driver.quit()


def open_page(driver: Any, url: str) -> tuple[float, float]:
    """Open a page until it shows images. Return its thread's time in seconds, and its script's memory in MiB."""
    driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    driver.get("about:blank")
    driver.get(url)
    megabytes = driver.execute_async_script(_SHOWN)
    metrics = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return next(one["value"] for one in metrics if one["name"] == "TaskDuration"), megabytes


def time_updates(server: Server, folder: Path, rounds: int) -> tuple[float, float]:
    """Return the seconds until the pages hear that an image is another one, and the processor's time for that."""
    image = sorted(folder.glob("assets/portraits/*.png"))[5]
    first, second = image.read_bytes(), sorted(folder.glob("assets/portraits/*.png"))[6].read_bytes()
    waits, before = [], server.cpu_s()
    with urllib.request.urlopen(f"{server.url}events") as events:  # noqa: S310 - it is our own server's
        for number in range(rounds):
            start_s = time.monotonic()
            partial = image.with_suffix(".partial")
            partial.write_bytes((second, first)[number % 2])
            partial.replace(image)
            while b'"event": "pictures"' not in events.readline():
                pass
            waits.append(time.monotonic() - start_s)
    image.write_bytes(first)
    return statistics.median(waits), (server.cpu_s() - before) / rounds


def measure_both(folder: Path, doit: str, driver: Any, rounds: int) -> list[tuple[str, ...]]:
    """Return the rows of the table of one project."""
    gallery = statistics.median(measure([doit, "gallery"], folder).cpu_s for _ in range(rounds))
    page = (folder / "assets/gallery/index.html").as_uri()
    with serve(folder, doit) as server:
        start = server.cpu_s()
        pages = [(open_page(driver, page), open_page(driver, server.url)) for _ in range(rounds)]
        static_s, live_s = (statistics.median(one[0] for one in each) for each in zip(*pages, strict=True))
        static_mb, live_mb = (statistics.median(one[1] for one in each) for each in zip(*pages, strict=True))
        driver.get("about:blank")
        update_s, update = time_updates(server, folder, rounds)
        time.sleep(2)
        before = server.cpu_s()
        time.sleep(_IDLE_S)
        idle, megabytes = (server.cpu_s() - before) / _IDLE_S, server.megabytes()
    return [
        ("until it is there, CPU, s", f"{gallery:.2f}", f"{start:.2f}", f"{start / gallery:.2f}"),
        ("the page, until it shows images, CPU, s", f"{static_s:.2f}", f"{live_s:.2f}", f"{live_s / static_s:.2f}"),
        ("memory of its script", f"{static_mb:.0f} MB", f"{live_mb:.0f} MB", f"{live_mb / static_mb:.2f}"),
        ("after an image has changed, CPU, s", f"{gallery:.2f}", f"{update:.3f}", f"{update / gallery:.2f}"),
        ("the same, until the pages know, s", "", f"{update_s:.2f}", ""),
        ("while nothing happens, of a core", "", f"{idle:.2%}", ""),
        ("memory of the server", "", f"{megabytes:.0f} MB", ""),
    ]


def main() -> None:
    """Print the tables."""
    options = arguments(__doc__, "2000", 5).parse_args()
    doit = products(None)[PRODUCT]
    with workplace(options.keep) as root, browse() as driver:
        for count in counts(options.images):
            folder = root / f"one-job-{count}-{PRODUCT}"
            build(folder, functools.partial(one_job, folder, count), [doit])
            measure([doit, "gallery"], folder)
            rows = measure_both(folder, doit, driver, options.rounds)
            table(f"{count:,} images", "doit gallery", "doit review", "ratio")
            for cells in rows:
                row(*cells)


if __name__ == "__main__":
    main()

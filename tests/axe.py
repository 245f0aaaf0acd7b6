"""Accessibility by the rules of axe-core, which comes from the npm registry; without npm these tests are skipped."""

from __future__ import annotations

import functools
import io
import shutil
import subprocess
import tarfile
import tempfile
from typing import Any

import pytest

from tests.report.gallery.browser import Browser

__all__ = ["violations"]

_RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
"""Tags of axe-core: WCAG 2.0 to 2.2, levels A and AA, and what is good practice besides."""


@functools.cache
def _script() -> str:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm here, which brings axe-core")
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run([npm, "pack", "axe-core@4"], cwd=folder, capture_output=True, text=True, check=False)
        if run.returncode:
            pytest.skip(f"npm cannot bring axe-core: {run.stderr.strip()[-200:]}")
        name = run.stdout.split()[-1]
        with open(f"{folder}/{name}", "rb") as file, tarfile.open(fileobj=io.BytesIO(file.read())) as archive:  # noqa: PTH123
            member = archive.extractfile("package/axe.min.js")
            assert member
            return member.read().decode("utf-8")


def violations(browser: Browser) -> list[str]:
    """What is wrong with the page as it is now: each rule, with the elements and what axe-core says of the first."""
    browser.run(_script())
    found: list[dict[str, Any]] = browser.driver.execute_async_script(
        "const done = arguments[1];"
        "axe.run(document, {runOnly: arguments[0]}).then((r) => done(r.violations), (e) => done([{id: String(e), nodes: []}]))",
        list(_RULES),
    )
    return [
        f"{one['id']}: {', '.join(node['html'][:120] for node in one['nodes'][:4])} "
        f"({one['nodes'][0]['failureSummary'] if one['nodes'] else ''})"
        for one in found
    ]

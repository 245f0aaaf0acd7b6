"""The benchmark of several servers, and what docs/comfyui.md says of them, with room for a busy machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools/bench/servers.py"


@pytest.mark.long
def test_several_servers_are_used_as_well_as_the_documentation_says() -> None:
    words = [sys.executable, str(TOOL), "--images", "40", "--rounds", "1", "--many", "4", "--size", "64"]
    message = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in message.splitlines() if re.match(r"\| \d", line)
    ]
    two, four, slow, slow_later, killed, many = rows
    assert float(two[4]) > 1.8, message
    assert float(four[4]) > 3.6, message
    assert (slow[2], float(slow[5]) < 1.25, float(slow_later[5]) < 1.25) == ("1", True, True), message
    assert (killed[1], int(killed[2]) <= 2, float(killed[3]) < 25) == ("30", True, True), message
    assert (many[1], float(many[5]) > 0) == ("16", True), message

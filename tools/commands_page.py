"""Write docs/commands.md from what the commands declare: python tools/commands_page.py.

A test says when that is due.
"""

from __future__ import annotations

from pathlib import Path

from imagegen.guide.commands_page import commands_page

PAGE = Path(__file__).parents[1] / "docs/commands.md"

if __name__ == "__main__":
    PAGE.write_text(commands_page(), encoding="utf-8")

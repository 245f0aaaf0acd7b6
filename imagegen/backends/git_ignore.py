"""What a set-up puts into a project stays out of git, in projects that `imagegen init` did not make, too."""

from __future__ import annotations

from pathlib import Path

__all__ = ["hide_from_git"]


def hide_from_git(folder: Path) -> None:
    """Make git ignore all that is in a folder. Raises OSError."""
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")

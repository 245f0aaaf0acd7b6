"""Files that a prompt names, and the file that an image is saved as."""

from __future__ import annotations

import base64
import re
import sys
import time
from pathlib import Path

__all__ = ["cut_files", "saved_as"]

IMAGE_FILE = re.compile(r"(?:[a-zA-Z]:)?(?:\./|/|\\)[^\t\n\f\r]+?\.(?i:jpg|jpeg|png|webp)\b", re.ASCII)
KINDS = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF")


def cut_files(prompt: str) -> tuple[str, list[str]]:
    """The prompt without the image files that are there, stripped, and their content in base 64.

    Raises OSError and ValueError: a file that cannot be read ends the run.
    """
    contents = []
    for found in IMAGE_FILE.findall(prompt):
        path = found.replace("\\ ", " ").replace("\\(", "(").replace("\\)", ")").replace("%20", " ")
        try:
            data = Path(path).read_bytes()
        except FileNotFoundError:
            continue
        if not data:
            raise ValueError("EOF")
        if not data.startswith(KINDS):
            raise ValueError("invalid image type: text/plain; charset=utf-8")
        sys.stderr.write(f"Added image '{path}'\n")
        prompt = prompt.replace(found, "")
        contents.append(base64.b64encode(data).decode())
    return prompt.strip(), contents


def saved_as(prompt: str) -> str:
    """Of the prompt's letters, at most 50, and the second. It may start with `-`, and has no letters for 漢字."""
    name = re.sub(r"[^a-z0-9-]", "", prompt.lower().replace(" ", "-"))[:50]
    return f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.png"

"""A package rembg that needs no model: it cuts out an ellipse, and notes what it was asked for."""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_rembg"]

_SESSIONS = """
import os
from PIL import Image, ImageDraw

class Session:
    def __init__(self, name, options, providers):
        assert providers == ["CPUExecutionProvider"]
        note(f"load {name} {open(self.download_models(), 'rb').read(5)!r}")

    def predict(self, picture):
        note(f"predict {picture.mode} {picture.size}")
        found = Image.new("L", picture.size)
        if picture.getextrema() != ((0, 0),) * 3:
            ImageDraw.Draw(found).ellipse((8, 16, picture.width - 9, picture.height - 17), fill=255)
        return [found]

def note(text):
    with open(os.environ["REMBG_LOG"], "a") as log:
        print(text, file=log)

sessions = {"u2net": Session, "u2netp": Session, "isnet-anime": Session}
"""
_FILES = {
    "rembg/__init__.py": "",
    "rembg/sessions.py": _SESSIONS,
    "onnxruntime.py": "SessionOptions = object\ndef disable_telemetry_events(): pass\n",
    "numpy.py": "import contextlib\ndef errstate(**_): return contextlib.nullcontext()\n",
    "rembg-0.0.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: rembg\nVersion: 0.0.1\n",
}


def write_rembg(folder: Path) -> dict[str, str]:
    """Write the package into a folder. Return the environment in which it is found; REMBG_LOG names its notes."""
    for name, text in _FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return {"PYTHONPATH": str(folder), "REMBG_LOG": str(folder / "log.txt")}

"""What each version of Ollama knows of images."""

from __future__ import annotations

__all__ = ["NOT_SUPPORTED", "cuts_files", "draws", "number", "parses_flags", "shows_flags"]

NOT_SUPPORTED = "image generation models are not currently supported"
LAST = (0, 32, 5)


def number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split("."))


def draws(version: str) -> bool:
    """Whether a server of this version makes images."""
    return (0, 14, 2) <= number(version) <= LAST


def parses_flags(version: str) -> bool:
    """Whether `run` takes --width and its kin; 0.14.2 does, and does not tell."""
    return draws(version)


def shows_flags(version: str) -> bool:
    """Whether `run --help` tells of them."""
    return (0, 14, 3) <= number(version) <= LAST


def cuts_files(version: str) -> bool:
    """Whether `run` opens the image files that the prompt names."""
    return (0, 15, 0) <= number(version) <= LAST

"""Download the model files that a project lists: one after another, and the rest if one fails."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from imagegen.backends.download import download
from imagegen.backends.git_ignore import hide_from_git
from imagegen.backends.hugging_face import HuggingFace, create_remote_file
from imagegen.backends.models import MODELS, ListedModel, digest_cache, remember_digest
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, Problem

__all__ = ["DownloadReport", "download_models"]


class DownloadReport(Protocol):
    """Shows a person how far the downloads are."""

    def begin(self, one: ListedModel) -> None:
        """Begin to show this file's."""

    def on_progress(self, done: int, total: int) -> None:
        """Show the bytes that are there, of all."""

    def end(self, one: ListedModel) -> None:
        """Show that it is complete."""

    def note(self, text: str) -> None:
        """Show a line that stays."""


def download_models(
    root: Path, settings: Settings, missing: Sequence[ListedModel], report: DownloadReport
) -> list[Problem]:
    """Download them, with the user's token for Hugging Face, and remember their digests.

    Returns:
        What went wrong with any of them. A download that was cut short goes on in the next call.
    """
    hub = HuggingFace(settings.hf_endpoint, os.environ.get("HF_TOKEN", "").strip())
    problems: list[Problem] = []
    for one in missing:
        _make_folder(one.path.parent, root / MODELS)
        report.begin(one)
        try:
            download(create_remote_file(one.model, hub), one.path, report.on_progress, report.note)
        except ImagegenError as error:
            problems += error.problems
            report.note(f"failed   {one.model.key}")
        else:
            remember_digest(str(one.path), one.model.sha256, digest_cache(root))
            report.end(one)
    return problems


def _make_folder(folder: Path, models: Path) -> None:
    """Make a folder of the project's own models. Git ignores the new ones, whose files have gigabytes."""
    new = [one for one in (folder, *folder.parents) if one.is_relative_to(models) and not one.exists()]
    if new:
        with suppress(OSError):  # the download reports it
            folder.mkdir(parents=True)
            hide_from_git(new[-1])

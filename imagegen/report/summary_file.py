"""Where `doit --summary FILE` writes: a file with thumbnails beside it, or the summary of a step on GitHub."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from imagegen.config.job import FORMATS
from imagegen.errors import InputError, Problem
from imagegen.project.git import git_top, ignore_rules
from imagegen.report.run_summary import ImageOutcome
from imagegen.report.summary_page import MARKER, Links, group_images, summary_markdown
from imagegen.state.atomic import find_target, rewrite_file

__all__ = ["SummaryFile"]

_MOST_BYTES = 1_000_000
"""GitHub takes 1 MiB of each step, and drops all of a summary that is larger."""
_MOST_PICTURES, _MOST_ON_GITHUB = 100, 30
"""There, everybody who looks at the summary loads whole images."""
_BOX = (256, 256)
"""Pixels of a thumbnail, which is shown in half as many."""
_PICTURES = tuple(FORMATS.values())
_SHOWN = frozenset({"generated", "derived", "restored", "kept"})


@dataclass(frozen=True)
class SummaryFile:
    """The file of a summary.

    Attributes:
        root: the project's folder.
        path: of the file, absolute.
        typed: the path as it was typed.
        environment: variables; those of GitHub say whether it is the summary of a step.
    """

    root: Path
    path: Path
    typed: str
    environment: Mapping[str, str]

    @property
    def is_step(self) -> bool:
        """Whether it is what GitHub shows of a step: others write into it too."""
        named = self.environment.get("GITHUB_STEP_SUMMARY", "")
        return bool(named) and os.path.abspath(named) == os.path.abspath(self.path)  # noqa: PTH100 - a link stays one

    def check(self) -> None:
        """Raise InputError if it is not a file of ours, or cannot be one."""
        where = f"--summary={self.typed}"
        if self.typed == "-":
            raise InputError(Problem(where, "it is always written to a file", "write --summary=summary.md"))
        if self.is_step and not self.path.is_dir():
            return
        find_target(self.root, self.path, where)
        folder = next(one for one in self.path.parents if one.exists())
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise InputError(Problem(where, f"nothing can be written in {folder}", "choose another folder"))
        if self.path.exists():
            with self.path.open("rb") as file:
                if file.read(len(MARKER)) not in (b"", MARKER.encode()):
                    what = "is a file that doit --summary did not write"
                    raise InputError(Problem(where, what, "choose another name"))
        if folder.resolve().is_relative_to((self.root / "jobs").resolve()):
            raise InputError(Problem(where, "jobs/ is not for summaries", "choose another folder"))

    def write(
        self,
        headline: str,
        notes: Iterable[str],
        images: Sequence[ImageOutcome],
        problems: Iterable[Problem],
        sha256: Callable[[str], str | None],
    ) -> None:
        """Write what a run did; on GitHub, after what is there already. Raises OSError.

        Args:
            headline: as for `summary_markdown`, like notes, images and problems.
            notes: the same.
            images: the same, in the order of their jobs.
            problems: the same.
            sha256: returns that of a file of the project; None if there is none.
        """
        rows = [one for one, _ in group_images(images) if one.state in _SHOWN and one.path.endswith(_PICTURES)]
        pictures = rows[:_MOST_PICTURES]
        links = self._link_to_github(images, pictures) if self.is_step else self._link_beside(pictures, sha256)
        size = self.path.stat().st_size if self.is_step and self.path.exists() else 0
        page = summary_markdown(headline, notes, images, problems, links, _MOST_BYTES - size)
        data = page.encode("utf-8", "replace")
        if self.is_step:
            with self.path.open("ab") as file:
                file.write(b"\n" + data if size else data)
        else:
            rewrite_file(self.path, data, self.root / ".imagegen" / "tmp")

    def write_refusal(self, problems: Iterable[Problem]) -> None:
        """Write why nothing was built, in place of what a run before it did. Raises OSError."""
        self.write("nothing was built", (), (), problems, lambda _: None)

    def _link_beside(self, pictures: Sequence[ImageOutcome], sha256: Callable[[str], str | None]) -> Links:
        """Make thumbnails in a folder beside the file, and link to these."""
        from imagegen.report.gallery.folder import create_thumbnails, find_thumbnails

        folder = self.path.with_name(f"{self.path.stem}-images")
        shas = {one.task: sha256(one.path) for one in pictures}
        readers = {sha: (self.root / one.path).read_bytes for one in pictures if (sha := shas[one.task])}
        thumbnails, _, _ = create_thumbnails(folder, _BOX, readers, self.root / ".imagegen" / "tmp")
        used = {one.name for one in thumbnails.values()}
        for old in find_thumbnails(folder).values():
            if old.name not in used:
                (folder / old.name).unlink(missing_ok=True)

        def picture(one: ImageOutcome) -> tuple[str, int] | None:
            thumbnail = thumbnails.get(shas.get(one.task) or "")
            return (quote(f"{folder.name}/{thumbnail.name}"), thumbnail.width) if thumbnail else None

        def file(one: ImageOutcome) -> str:
            path = self.root / one.path
            return quote(Path(os.path.relpath(path, self.path.parent)).as_posix()) if path.exists() else ""

        return Links(picture, file)

    def _link_to_github(self, images: Sequence[ImageOutcome], pictures: Sequence[ImageOutcome]) -> Links:
        """Link to the files on the branch that the workflow runs for, where git does not ignore them."""
        known, top = self.environment, git_top(self.root)
        branch = known.get("GITHUB_HEAD_REF") or known.get("GITHUB_REF_NAME", "")
        names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY")
        files = [one for one in images if one.state in _SHOWN]
        rules = ignore_rules(self.root, [one.path for one in files]) if files and top else None
        if rules is None or top is None or not branch or not all(map(known.get, names)):
            return Links(lambda _: None, lambda _: "")
        pushed = {one.task for one in files if one.path not in rules}
        with_picture = {*[one.task for one in pictures if one.task in pushed][:_MOST_ON_GITHUB]}
        base = "/".join([*map(known.__getitem__, names), "blob", quote(branch)])
        folder = self.root.resolve().relative_to(top.resolve()).as_posix()

        def file(one: ImageOutcome) -> str:
            path = one.path if folder == "." else f"{folder}/{one.path}"
            return f"{base}/{quote(path)}" if one.task in pushed else ""

        def picture(one: ImageOutcome) -> tuple[str, None] | None:
            return (f"{file(one)}?raw=true", None) if one.task in with_picture else None

        note = f"Pictures are shown as they are on the branch {branch}, once they are pushed to it." if pushed else ""
        return Links(picture, file, note)

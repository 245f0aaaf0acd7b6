"""What the page shows, kept up to date: read again whenever something in the project has changed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from imagegen.config.paths import check_path
from imagegen.images.formats import BadImage
from imagegen.project import JobPlan, Project
from imagegen.report.gallery.contents import collect_groups
from imagegen.report.gallery.folder import Thumbnail, shrink
from imagegen.report.gallery.page import EARLIER, ORIGINALS, Files, page_data
from imagegen.report.gallery.picture import Group

__all__ = ["Changes", "LiveGallery"]

_THUMB_BOX = (640, 420)


@dataclass(frozen=True)
class Changes:
    """What differs from what was shown before. is_other: other images or another order, so the page is loaded again."""

    pictures: Sequence[Mapping[str, Any]] = ()
    is_other: bool = False


@dataclass
class LiveGallery:
    """The project as it was when it was last read.

    open_project: reads it again. data: of `page_data`.
    """

    open_project: Callable[[], tuple[Project, list[JobPlan]]]
    data: dict[str, Any] = field(default_factory=lambda: {"groups": []})

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._paths: dict[str, str] = {}
        self._stamps: dict[str, object] = {}
        self._thumbs: dict[str, bytes] = {}
        self.refresh()

    @property
    def pictures(self) -> dict[str, dict[str, Any]]:
        """Each picture's data by its task."""
        return {picture["task"]: picture for group in self.data["groups"] for picture in group["pictures"]}

    @property
    def tasks(self) -> frozenset[str]:
        """The names that a command can be given: of images, derived files, items with variants, and jobs."""
        pictures = self.pictures
        items = {picture["item"] for picture in pictures.values() if picture["item"]}
        items |= {f"{task}:{one['name']}" for task, picture in pictures.items() for one in picture["derived"]}
        return frozenset(pictures) | items | {group["name"] for group in self.data["groups"]}

    def refresh(self) -> Changes:
        """Read the project again, and return what changed."""
        with self._lock:
            project, plans = self.open_project()
            groups = collect_groups(project, plans)
            before = self.pictures
            order = [(group["name"], group["problems"]) for group in self.data["groups"]]
            self._project, self._plans = project, plans
            self._paths = dict(_files(groups))
            self.data = page_data(groups, self._addresses(groups), ".")
            self._stamps = self._look(project, groups)
            after = self.pictures
            changed = [picture for task, picture in after.items() if before.get(task) != picture]
            now = [(group["name"], group["problems"]) for group in self.data["groups"]]
            return Changes(changed, list(before) != list(after) or order != now)

    def opened(self) -> tuple[Project, list[JobPlan]]:
        """Return the project as it is now; it is planned again only if something has changed."""
        with self._lock:
            return self.open_project() if self.has_changed() else (self._project, self._plans)

    def has_changed(self) -> bool:
        """Return whether any file that this follows from is another one now."""
        return any(_stamp(path) != stamp for path, stamp in self._stamps.items())

    def original(self, sha256: str) -> bytes | None:
        """Return the file of an output with this content; none through a symlink to where no job may read."""
        path, project = self._paths.get(sha256), self._project
        if path is None or check_path(project.root, path, project.settings.allow_outside, writes=False):
            return None
        try:
            return (project.root / path).read_bytes()
        except OSError:
            return None

    def earlier(self, sha256: str) -> bytes | None:
        """Return what the store has with this content."""
        store = self._project.store
        return store.get(sha256) if store.is_listed(sha256) else None

    def versions(self, task: str) -> list[dict[str, Any]] | None:
        """Return all versions of an image, as `doit restore --list` shows them; None if there is no such image."""
        from imagegen.review.versions import list_versions

        with self._lock:
            outputs = (output for plan in self._plans for output in plan.outputs if output.task == task)
            output = next(outputs, None)
            return list_versions(self._project, output) if output else None

    def thumbnail(self, sha256: str) -> bytes | None:
        """Return a thumbnail of an output or an earlier version with this content."""
        if sha256 not in self._thumbs:
            data = self.original(sha256) or self.earlier(sha256)
            if data is None:
                return None
            try:
                self._thumbs[sha256] = shrink(data, _THUMB_BOX)[0]
            except BadImage:
                return None
        return self._thumbs[sha256]

    def _addresses(self, groups: Sequence[Group]) -> Files:
        """Return the names under which the server has each file: its content's."""
        pictures = [picture for group in groups for picture in group.pictures]
        thumbs = {pic.sha256: Thumbnail(f"{pic.sha256}.webp", pic.width, pic.height) for pic in pictures if pic.sha256}
        thumbs |= {one.sha256: Thumbnail(f"{one.sha256}.webp", 1, 1) for pic in pictures for one in pic.derived}
        earlier = {
            one.sha256: Thumbnail(f"{one.sha256}{_ending(pic.path)}", 1, 1) for pic in pictures for one in pic.earlier
        }
        originals = {path: f"{sha256}{_ending(path)}" for sha256, path in self._paths.items()}
        candidates = {
            one.sha256: f"{ORIGINALS if one.path else EARLIER}/{one.sha256}{_ending(one.path or pic.path)}"
            for pic in pictures
            for one in pic.candidates
        }
        return Files(thumbs, earlier, originals, candidates)

    def _look(self, project: Project, groups: Sequence[Group]) -> dict[str, object]:
        named = [*project.inputs.stats, "jobs", "pyproject.toml"]
        named += [f"jobs/{group.name}.{kind}" for group in groups for kind in ("lock", "review")]
        named += [picture.path for group in groups for picture in group.pictures]
        return {str(project.root / name): _stamp(str(project.root / name)) for name in named}


def _files(groups: Sequence[Group]) -> Iterator[tuple[str, str]]:
    for group in groups:
        for picture in group.pictures:
            if picture.sha256:
                yield picture.sha256, picture.path
            yield from ((one.sha256, one.path) for one in picture.derived if one.sha256)
            yield from ((one.sha256, one.path) for one in picture.candidates if one.path)


def _ending(path: str) -> str:
    return PurePosixPath(path).suffix


def _stamp(path: str) -> object:
    try:
        found = os.stat(path)  # noqa: PTH116 - thousands a second: a Path for each would cost more
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino

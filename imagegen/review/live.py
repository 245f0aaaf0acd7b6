"""What the page shows, kept up to date: of what has changed in the project, only that is collected again."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import PurePosixPath
from threading import Lock
from typing import Any

from imagegen.config.paths import check_path
from imagegen.errors import ImagegenError
from imagegen.execute.pick import CANDIDATES
from imagegen.project import JobPlan, Project
from imagegen.report.gallery.contents import collect_groups
from imagegen.report.gallery.earlier import EarlierVersions
from imagegen.report.gallery.folder import Thumbnail
from imagegen.report.gallery.page import EARLIER, ORIGINALS, Files, picture_data
from imagegen.report.gallery.picture import Group, Picture
from imagegen.review.affected import Affected
from imagegen.review.thumbnails import Thumbnails
from imagegen.review.watch import Watch

__all__ = ["Changes", "LiveGallery"]

_SHA256 = re.compile("[0-9a-f]{64}", re.ASCII)
"""What names a file in the store, and no path."""


@dataclass(frozen=True)
class Changes:
    """What differs from what was shown before.

    Attributes:
        version: of the data, which grows with each change.
        pictures: those that are new or differ.
        groups: as in `LiveGallery.outline`; None if they are as before.

    """

    version: int
    pictures: Sequence[Mapping[str, Any]]
    groups: Sequence[Mapping[str, Any]] | None

    @property
    def event(self) -> dict[str, Any]:
        """As JSON values."""
        return {"event": "pictures", **vars(self)}


class LiveGallery:
    """The project as it was when it could last be read.

    Attributes:
        data: of `page_data`.
        version: of the data.

    """

    def __init__(self, open_project: Callable[[], tuple[Project, list[JobPlan]]]) -> None:
        """Read it. open_project: opens and plans it. Raises ImagegenError or OSError."""
        self._open_project = open_project
        self._lock = Lock()
        self.data: dict[str, Any] = {"groups": []}
        self.version = 0
        self._project, self._plans = open_project()
        self._affected = Affected(self._project)
        self._earlier = EarlierVersions(self._project.store)
        self._watch = Watch(self._project.root)
        self._thumbs = Thumbnails(self._project.root, self._project.state)
        self._paths: dict[str, str] = {}
        self._known: dict[str, Picture] = {}
        self._data: dict[str, tuple[Picture, dict[str, Any]]] = {}
        """Of each picture, what its data was made from, and the data."""
        self._wrong: frozenset[str] = frozenset()
        self._needs_plan = False
        self._take(self._project, self._plans)
        self._earlier.update()
        self._collect()
        with contextlib.suppress(OSError):  # it only saves the next run some reading
            self._project.hashes.save(self._thumbs.temporary)
        self._thumbs.sweep(self._images())
        gc.freeze()  # what is here now mostly stays: it need not be looked at again and again

    @property
    def pictures(self) -> dict[str, dict[str, Any]]:
        """Each picture's data by its task."""
        return {picture["task"]: picture for group in self.data["groups"] for picture in group["pictures"]}

    @property
    def outline(self) -> list[dict[str, Any]]:
        """The groups, with the tasks of their pictures in place of these."""
        return _outline(self.data["groups"])

    @property
    def tasks(self) -> frozenset[str]:
        """The names that a command can be given: of images, derived files, items with variants, and jobs."""
        pictures = self.pictures
        items = {picture["item"] for picture in pictures.values() if picture["item"]}
        items |= {f"{task}:{one['name']}" for task, picture in pictures.items() for one in picture["derived"]}
        return frozenset(pictures) | items | {group["name"] for group in self.data["groups"]}

    def opened(self) -> tuple[Project, list[JobPlan]]:
        """Return the project as it is now; it is planned again only if something has changed."""
        with self._lock:
            is_same = self._affected.is_planned and not self._needs_plan and self._watch.is_unchanged()
            return (self._project, self._plans) if is_same else self._open_project()

    def has_changed(self) -> bool:
        """Return whether something that this follows from has changed. It is asked often, and looks seldom."""
        return self._needs_plan or self._thumbs.wrong.keys() != self._wrong or self._watch.has_changed()

    def refresh(self) -> Changes | None:
        """Read what has changed; return what differs then, if anything does.

        Raises ImagegenError or OSError if something cannot be read. Then all is kept, and read again the next time.
        """
        with self._lock:
            before, outline = self._data, self.outline
            try:
                self._update()
            except Exception:
                self._needs_plan = True
                raise
            pictures = [
                data for task, (_, data) in self._data.items() if task not in before or before[task][1] is not data
            ]
            groups = self.outline
            if not pictures and groups == outline:
                return None
            self.version += 1
            return Changes(self.version, pictures, None if groups == outline else groups)

    def everything(self) -> dict[str, Any]:
        """Return all pictures, as an event of changes has them."""
        with self._lock:
            return Changes(self.version, list(self.pictures.values()), self.outline).event

    def _update(self) -> None:
        """Bring the data up to date."""
        changed = self._watch.find_changed()
        names, images = self._earlier.update()
        if names:
            self._project.store.forget()
        self._affected.add_stored(names, images, self._known)
        self._affected.add_files(changed)
        if self._needs_plan or self._affected.reload(changed):
            self._needs_plan = True
            project, plans = self._open_project()
            project.hashes.take_over(self._project.hashes)
            self._take(project, plans)
            self._needs_plan = False
        self._collect()

    def _take(self, project: Project, plans: list[JobPlan]) -> None:
        self._project, self._plans = project, plans
        self._affected.take(project, plans)
        recorded = [path for plan in plans if plan.problems for path in _recorded(project, plan.name)]
        paths = [*self._affected.paths, *recorded]
        locks = {f"jobs/{plan.name}.lock" for plan in plans}
        few = {"jobs", "pyproject.toml", *locks, *(f"jobs/{plan.name}.review" for plan in plans)}
        many = [*paths, *(f".imagegen/store/blobs/{number:02x}" for number in range(256))]
        few |= {path.relative_to(project.root).as_posix() for path in (project.failures, project.written_files.path)}
        few |= {path.rpartition("/")[0] or "." for path in paths} | {f"{CANDIDATES}/{plan.name}" for plan in plans}
        noted = {path: key for path, key in project.inputs.stats.items() if path not in locks}
        self._watch.follow(noted, few, many)
        project.hashes.expect(paths)

    def _collect(self) -> None:
        """Collect the pictures that something has changed for."""
        affected = self._affected
        known = {task: picture for task, picture in self._known.items() if task not in affected.tasks}
        groups = collect_groups(self._project, self._plans, self._earlier, known)
        self._known = {task: picture for task, picture in known.items() if task in affected.pictures}
        affected.collected(self._known)
        self._paths = dict(_files(groups))
        failed = frozenset(self._thumbs.wrong) - self._wrong
        pictures = chain.from_iterable(group.pictures for group in groups)
        self._data = {picture.task: self._picture_data(picture, failed) for picture in pictures}
        self._wrong = frozenset(self._thumbs.wrong)
        shown = [
            {**vars(group), "pictures": [self._data[picture.task][1] for picture in group.pictures]} for group in groups
        ]
        self.data = {"groups": shown}

    def _picture_data(self, picture: Picture, failed: frozenset[str]) -> tuple[Picture, dict[str, Any]]:
        known = self._data.get(picture.task)
        is_same = known is not None and (known[0] is picture or known[0] == picture)
        if known and is_same and not (failed and failed & _images_of(picture)):
            return known
        return picture, picture_data(picture, self._addresses(picture), ".")

    def _addresses(self, picture: Picture) -> Files:
        """Return the names under which the server has each file of a picture: its content's."""
        thumbs = {}
        if picture.sha256 and (size := self._thumbs.size(picture.sha256, self._project.root / picture.path)):
            thumbs[picture.sha256] = Thumbnail(f"{picture.sha256}.webp", *size)
        for one in picture.derived:
            if one.sha256 and one.sha256 not in self._thumbs.wrong:
                thumbs.setdefault(one.sha256, Thumbnail(f"{one.sha256}.webp", 1, 1))
        ending = _ending(picture.path)
        earlier = {one.sha256: Thumbnail(f"{one.sha256}{ending}", 1, 1) for one in picture.earlier}
        files = [(picture.path, picture.sha256), *((one.path, one.sha256) for one in picture.derived)]
        originals = {path: f"{sha256}{_ending(path)}" for path, sha256 in files if sha256}
        candidates = {
            one.sha256: f"{ORIGINALS if one.path else EARLIER}/{one.sha256}{_ending(one.path or picture.path)}"
            for one in picture.candidates
        }
        return Files(thumbs, earlier, originals, candidates, self._thumbs.wrong)

    def original(self, sha256: str) -> bytes | None:
        """Return the file of an output with this content; if none has it any more, what the store has.

        None through a symlink to where no job may read.
        """
        path, project = self._paths.get(sha256), self._project
        if path is None:
            return self.earlier(sha256)
        if check_path(project.root, path, project.settings.allow_outside, writes=False):
            return None
        file = project.root / path
        with contextlib.suppress(OSError):
            # a pipe that is in its place meanwhile would never come to its end
            if file.is_file() and hashlib.sha256(data := file.read_bytes()).hexdigest() == sha256:
                return data
        return self.earlier(sha256)

    def earlier(self, sha256: str) -> bytes | None:
        """Return what the store has with this content."""
        return self._project.store.peek(sha256) if _SHA256.fullmatch(sha256) else None

    def versions(self, task: str) -> list[dict[str, Any]] | None:
        """Return all versions of an image, as `doit restore --list` shows them; None if there is no such image."""
        from imagegen.review.versions import list_versions

        with self._lock:
            outputs = (output for plan in self._plans for output in plan.outputs if output.task == task)
            output = next(outputs, None)
            return list_versions(self._project, output) if output else None

    def thumbnail(self, sha256: str) -> bytes | None:
        """Return a thumbnail of an output or an earlier version with this content."""
        return self._thumbs.get(sha256, lambda sha256: self.original(sha256) or self.earlier(sha256))

    def _images(self) -> set[str]:
        """Return the sha256 of all images that the page shows."""
        return set().union(*(_images_of(picture) for picture, _ in self._data.values()))


def _outline(groups: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**group, "pictures": [picture["task"] for picture in group["pictures"]]} for group in groups]


def _recorded(project: Project, job: str) -> list[str]:
    """Return the outputs that a job's lock file records; none if it cannot be read."""
    try:
        return list(project.lock(job).lines)
    except ImagegenError:
        return []


def _files(groups: Sequence[Group]) -> Iterator[tuple[str, str]]:
    for group in groups:
        for picture in group.pictures:
            if picture.sha256:
                yield picture.sha256, picture.path
            yield from ((one.sha256, one.path) for one in picture.derived if one.sha256)
            yield from ((one.sha256, one.path) for one in picture.candidates if one.path)


def _images_of(picture: Picture) -> set[str]:
    derived, candidates = (one.sha256 for one in picture.derived), (one.sha256 for one in picture.candidates)
    return {picture.sha256, *derived, *candidates, *(one.sha256 for one in picture.earlier)}


def _ending(path: str) -> str:
    return PurePosixPath(path).suffix

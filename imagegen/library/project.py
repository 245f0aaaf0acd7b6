"""A project for a program of one's own: `imagegen.Project`."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from imagegen.config.settings import COMMAND_LINE
from imagegen.errors import ImagegenError, InputError, Problem
from imagegen.library.build_result import BuildResult, summarise_build
from imagegen.library.events import Event
from imagegen.library.needed import list_parts
from imagegen.library.plan import Plan, make_plan
from imagegen.library.planned_project import PlannedProject
from imagegen.library.running_build import RunningBuild
from imagegen.library.selection import LIST_HINT, Selection, select
from imagegen.state.mutex import WAIT_HINT

__all__ = ["Project"]

Words = str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None
"""What names images: a task, a job, a file or a pattern, as on the command line, or several; None: everything."""


class Project:
    """A project of imagegen: a folder with job files in `jobs/`.

    It holds no files open and remembers nothing between two calls: each reads the settings, the environment and the
    jobs as they are then. Nothing is printed, and the working directory stays. Any thread may use it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = ".",
        *,
        backend: str | None = None,
        checkpoint: str | None = None,
        cluster: str | None = None,
        store: str | None = None,
        store_writes: bool | None = None,
        budget: Decimal | float | str | None = None,
        limit: int | str | None = None,
        wait: float | None = None,
    ) -> None:
        """Name a project.

        Args:
            path: its folder; ~ is the home folder.
            backend: and so on: settings, as `doit backend=placeholder` gives them: docs/settings.md. They are stronger
                than those of the project; None leaves it what it says.
            checkpoint: see above.
            cluster: see above.
            store: see above.
            store_writes: see above.
            budget: what one build may cost, in US dollars; `"none"` for no limit.
            limit: how many stale images of each job one build builds at most; `"none"` for no limit.
            wait: seconds to wait for another build of this project.

        Raises:
            InputError: there is no such project.
        """
        if not os.fspath(path):
            hint = "name its folder; '.' is the current one"
            raise InputError(Problem("imagegen.Project", "path is empty", hint))
        self._root = Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111 - links stay, as for doit
        if not (self._root / "jobs").is_dir():
            hint = f"to set one up: imagegen init {path}"
            raise InputError(Problem("", f"there is no project in {path}: it has no folder jobs/", hint))
        self._given = _as_given(
            backend=backend,
            checkpoint=checkpoint,
            cluster=cluster,
            store=store,
            store_writes=store_writes,
            budget=budget,
            limit=limit,
            wait=wait,
        )
        self._running: list[RunningBuild] = []
        self._mutex = threading.RLock()  # a signal handler in the thread that holds it may call `cancel`

    @property
    def root(self) -> Path:
        """Its folder, absolute. Paths of images are relative to it."""
        return self._root

    def __repr__(self) -> str:
        return f"Project({str(self._root)!r})"

    def plan(self, selection: Words = None, *, limit: int | str | None = None) -> Plan:
        """Return what `build` would do, and why, how long it takes and what it costs.

        It writes nothing, and contacts nobody.

        Args:
            selection: as for `build`.
            limit: the same.

        Raises:
            InputError: a setting is not valid, or a word names nothing.
            TypeError: the selection is something else than names.
        """
        project = self._open(_as_given(limit=limit))
        return make_plan(project, self._select(project, selection))

    def build(
        self,
        selection: Words = None,
        *,
        on_event: Callable[[Event], object] | None = None,
        force: bool = False,
        budget: Decimal | float | str | None = None,
        limit: int | str | None = None,
        wait: float | None = None,
    ) -> BuildResult:
        """Bring images up to date, with what they are made from, as `doit` does.

        Images that fail, and jobs that are broken, keep none of the others from being built: the result says what
        became of each.

        Args:
            selection: a job, an image, a derived file, its path, a pattern, or several of them; None: everything. An
                empty list is nothing.
            on_event: called in this thread with each event. If it raises, images that are being generated are still
                finished and stored, and then what it raised is raised here.
            force: generate the images that the selection names even if they are fresh.
            budget: for this build, instead of the project's.
            limit: the same.
            wait: the same.

        Raises:
            InputError: a setting is not valid, or a word names nothing.
            TypeError: the selection is something else than names.
            NotBegunError: another build is at work here.
            KeyboardInterrupt: Ctrl-C was pressed, in the main thread of a program that has no handler of its own for
                it. What was being generated is finished and stored.
        """
        started = time.monotonic()
        with self._register(RunningBuild(on_event)) as running:
            project = self._open(_as_given(budget=budget, limit=limit, wait=wait))
            chosen = self._select(project, selection)
            forced = _find_forced(project, chosen) if force else set()
            tasks = project.choose(chosen.images, forced)
            forced.intersection_update(tasks)
            running.begin(len(project.find_stale(tasks, forced)))
            ending = project.run(
                tasks, forced, lambda event: running.on_event(event, project.find_place), running.stopping
            )
        running.check()
        if ending.refusal:
            raise _reword(ending.refusal)
        if ending.stopped and not running.is_cancelled:
            raise KeyboardInterrupt
        return summarise_build(project, chosen, ending, time.monotonic() - started)

    def cancel(self, *, now: bool = False) -> None:
        """Have all builds that run end early, from any thread; `on_event` and signal handlers may call it too.

        Each returns what it did: `stopped` is true.

        Args:
            now: also give up the images that are being generated, instead of finishing them.
        """
        with self._mutex:
            for one in self._running:
                one.cancel(now=now)

    @contextmanager
    def _register(self, running: RunningBuild) -> Iterator[RunningBuild]:
        with self._mutex:
            self._running.append(running)
        try:
            yield running
        finally:
            with self._mutex:
                self._running.remove(running)

    def _open(self, given: Mapping[str, str]) -> PlannedProject:
        """Plan the project as it is now. Raises InputError if a setting is not valid."""
        project = PlannedProject(self._root, {**self._given, **given})
        project.open()
        if project.problems:
            raise _reword(InputError(*project.problems))
        project.plan_all()
        return project

    def _select(self, project: PlannedProject, words: Words) -> Selection:
        if words is None:
            return select(project, [])
        named = _as_list(words)
        if not named:  # in a list that a program made, nothing is not everything
            return Selection((), frozenset(), ())
        try:
            return select(project, [self._as_word(word) for word in named])
        except InputError as error:
            raise _reword(error) from None

    def _as_word(self, word: str | os.PathLike[str]) -> str:
        """Return a path as it is in the project."""
        if isinstance(word, str) and not os.path.isabs(word):  # noqa: PTH117 - a text
            return word
        path = Path(os.path.abspath(self._root / word))  # noqa: PTH100 - as above
        return path.relative_to(self._root).as_posix() if path.is_relative_to(self._root) else str(word)


_WORDS = {
    COMMAND_LINE: "imagegen.Project",
    WAIT_HINT: "wait for it, or have this one wait: imagegen.Project(…, wait=600) (seconds)",
    LIST_HINT: "the images of project.plan() are all there are",
}
"""What a program would do, where the problems of the command line say what to type."""


def _as_list(words: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str | os.PathLike[str]]:
    """Return the words of a selection. Raises TypeError if it is something else."""
    if isinstance(words, str | os.PathLike):
        return [words]
    named = list(words) if isinstance(words, Iterable) else [words]
    if wrong := [word for word in named if not isinstance(word, str | os.PathLike)]:
        what = "selection is a name, a path or a pattern, a list of these, or None for everything"
        raise TypeError(f"{what}; not {wrong[0]!r}")
    return named


def _reword(error: ImagegenError) -> ImagegenError:
    """Return the error in words for a program."""
    problems = error.problems
    return error.with_problems(
        *(replace(one, where=_WORDS.get(one.where, one.where), hint=_WORDS.get(one.hint, one.hint)) for one in problems)
    )


def _find_forced(project: PlannedProject, chosen: Selection) -> set[str]:
    """Return what `force` is about: what is named, and not what it is made from."""
    parts = (part for task in chosen.images for part in list_parts(project, project.planned[task].output))
    return {*chosen.images, *parts}


def _as_given(**settings: Decimal | float | str | bool | None) -> dict[str, str]:
    """Return settings as the command line gives them. Raises InputError for one that is empty."""
    given = {name: _write(value) for name, value in settings.items() if value is not None}
    if empty := [name for name, text in given.items() if not text]:
        hint = "leave it out, or give None for what the project says"
        raise InputError(*(Problem("imagegen.Project", f"{name} is empty", hint) for name in empty))
    return given


def _write(value: Decimal | float | str | bool) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"  # 0.1 + 0.2 has more digits than money
    return str(value).lower() if isinstance(value, bool) else str(value)

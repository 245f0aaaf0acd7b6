"""The files that steps of derived files name: hashed as all others are, and checked once, however many steps name them.

A Git LFS pointer stands for its content, so that nothing becomes stale where that is not here.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import replace

from imagegen.config.document import MAX_BYTES
from imagegen.config.job import Job, Step
from imagegen.config.steps import step_file
from imagegen.errors import ImagegenError, Problem
from imagegen.images.formats import BadImage
from imagegen.project.inputs import Inputs
from imagegen.state.hashes import FileState, Hashes, pointer_sha256

__all__ = ["StepFiles", "hash_step_file", "list_step_files"]


def list_step_files(job: Job) -> Iterator[tuple[str, Step]]:
    """Yield the path of each file that a step names, and the step."""
    for step in (step for rules in job.derive for step in rules.steps):
        if parameter := step_file(step.name, step.parameters):
            yield step.parameters[parameter], step


def hash_step_file(data: bytes) -> str:
    """Return the sha256 that stands for a step's file. The line ends of a text don't count: git may change them."""
    is_text = b"\0" not in data
    return hashlib.sha256(data.replace(b"\r\n", b"\n") if is_text else data).hexdigest()


class StepFiles:
    """Looks at the files. Each is watched from then on."""

    def __init__(self, inputs: Inputs, hashes: Hashes) -> None:
        self._inputs, self._hashes = inputs, hashes
        self._checked: dict[tuple[str, str], str | BadImage] = {}
        """By the sha256 of a file and what the step does with it, the sha256 that stands for it or what is wrong."""

    def look(self, job: Job) -> tuple[dict[str, str], list[Problem]]:
        """Return, by path, the sha256 that stands for each file of the job's steps; and what is wrong with them."""
        found: dict[str, str] = {}
        problems: list[Problem] = []
        for path, step in list_step_files(job):
            try:
                found[path] = self._check(path, step)
            except ImagegenError as error:
                problems += [
                    replace(one, where=step.where, what=f"{step.key}: {path}: {one.what}") for one in error.problems
                ]
            except BadImage as error:
                problems.append(Problem(step.where, f"{step.key}: {path}: {error.what}", error.hint))
        return found, problems

    def _check(self, path: str, step: Step) -> str:
        """Return the sha256 that stands for a step's file. Raises ImagegenError or BadImage."""
        state = self._find_state(path)
        if state.is_pointer:
            return state.sha256
        if state.size > MAX_BYTES:
            raise BadImage(f"is larger than {MAX_BYTES // 1024**2} MiB", "make it smaller")
        key = state.sha256, f"{step.name} {sorted(step.parameters.items())}"
        if key not in self._checked:
            self._checked[key] = self._read(path, step)
        if isinstance(known := self._checked[key], BadImage):
            raise known
        return known

    def _find_state(self, path: str) -> FileState:
        """Return what is at the path. Raises ImagegenError if that cannot be read."""
        if self._inputs.may_look_at(path):
            with contextlib.suppress(OSError):
                state = self._hashes.state(path)
                if state is not None and state.sha256:
                    return state
        data = self._inputs.read_for_section(path)  # or it says why not
        pointer = pointer_sha256(data)
        return FileState(pointer or hashlib.sha256(data).hexdigest(), len(data), pointer is not None)

    def _read(self, path: str, step: Step) -> str | BadImage:
        from imagegen.images.steps import check_file

        data = self._inputs.read_for_section(path)
        try:
            check_file(step.name, step.parameters, data)
        except BadImage as error:
            return error
        return hash_step_file(data)

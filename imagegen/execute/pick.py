"""Picks one of an item's variants: it becomes the item's image; the others wait outside the output folder.

Each variant's file is in one place at a time: its own (`mallsing-v3.png`), the item's if it is the picked one
(`mallsing.png`), or among the candidates in `.imagegen/candidates`. A pick moves them. It puts all of them into the
store, writes the lines, copies all that take no other's place, then decides, replaces the item's image, and only then
removes what was moved. After a kill the same pick again brings it to its end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from imagegen.config.job import FORMATS
from imagegen.errors import ImagegenError, InputError, Problem, did_you_mean
from imagegen.execute.build_image import blocked_problem, encode_output, make_line, replace_output
from imagegen.execute.decisions import record_decision
from imagegen.execute.stored_images import StoredImages, store_file
from imagegen.images.formats import BadImage
from imagegen.images.image_file import verify
from imagegen.plan.output import Output
from imagegen.plan.record import PICK, Decision, OutputLine
from imagegen.project import JobPlan, Project
from imagegen.state.atomic import replace_file

__all__ = [
    "CANDIDATES",
    "PickResult",
    "candidate_path",
    "is_candidate",
    "pick",
]


CANDIDATES = ".imagegen/candidates"


@dataclass(frozen=True)
class PickResult:
    """What became of a pick: the item's outputs now, and the variants that wait as candidates."""

    outputs: tuple[Output, ...]
    candidates: tuple[str, ...]


def pick(project: Project, job: str, base: str, variant: int) -> PickResult:
    """Make this variant of `base` (`mallsing`, `mallsing-angry`) the image of that name; 0: all are images again.

    Nothing is generated. The caller holds the mutex, and has read the lock files since.

    Raises:
        ImagegenError: there is no such variant, a file that is not ours is in the way, or another job could no longer
            be built.
        OSError: a file cannot be read or written.
    """
    plans = [_plans(project, job, base, number) for number in (None, variant, 0)]
    before = _outputs(plans[0], job, base)
    _check_others(f"{job}:{base}", variant, *plans[:2])
    after, home = (_outputs(one, job, base) for one in plans[1:])
    _check(job, base, variant, before, home)
    targets = {output.variant: output for output in after}
    known = {output.variant: output for output in (*before, *home)}
    moved = _already_moved(project, known.values())
    files = [_find(project, output, targets.get(output.variant), (*before, *home), moved) for output in known.values()]
    # a kill can have left a file in two places
    known_files = {
        *moved,
        *(state.sha256 for file in files if file.path and (state := project.hashes.state(file.path))),
    }
    for target in after:
        state = project.hashes.state(target.path)
        if state is not None and state.sha256 not in known_files:
            verdict = project.verdict(target, forced=True)
            if verdict.state != "stale":
                raise ImagegenError(blocked_problem(target, verdict))
    files = [_keep(project, file) for file in files]
    lock = project.lock(job)
    lines = [line for file in files if (line := _line(file))]
    for line in lines:
        if line not in lock.lines.get(line.path, ()):
            lock.append(line)
    replaced = {output.path for output in before}
    for file in files:
        if file.goal not in replaced:
            _put(project, file)
    if _picked(project, job, base) != variant:
        record_decision(project, job, PICK, base, variant)
    for file in files:
        if file.goal in replaced:
            _put(project, file)
    _remove_moved(project, files)
    # of an image's lines, that of its variant counts, even if it was changed by hand or is a candidate
    chosen = {line.path: line.sha256 for line in lines}
    lock.compact(lambda path: chosen.get(path) or project.hashes.sha256(path), project.temporary)
    if gone := [path for path in _of_the_item(project, files) if project.hashes.sha256(path) is None]:
        lock.forget(gone, project.temporary)
    waiting = [file.output.full_slug for file in files if file.target is None and file.data]
    return PickResult(after, tuple(sorted(waiting)))


def candidate_path(output: Output) -> str:
    """Return where a variant's file is while another one is picked, relative to the project."""
    return f"{CANDIDATES}/{output.job}/{output.full_slug}{PurePosixPath(output.path).suffix}"


def is_candidate(project: Project, job: str, slug: str) -> bool:
    """Whether this is a variant of an item with a picked one: its lines are kept, its file is among the candidates."""
    base, _, number = slug.rpartition("-v")
    return number.isdigit() and _picked(project, job, base) > 0


@dataclass(frozen=True)
class _VariantFile:
    """One variant's file: where it is, and where it goes."""

    output: Output
    """The variant by itself."""
    paths: Mapping[str, str]
    """Where its file may be, each with the path that its lines have."""
    target: Output | None
    """What it will be the image of; None if it will be a candidate."""
    path: str = ""
    """Where it is; empty if it is nowhere."""
    line: OutputLine | None = None
    """The one that counts for it."""
    data: bytes = b""
    """Its bytes, once they are in the store."""

    @property
    def goal(self) -> str:
        return self.target.path if self.target else candidate_path(self.output)


def _picked(project: Project, job: str, base: str) -> int:
    decision = project.lock(job).decisions.get((PICK, base))
    return int(decision.value) if decision else 0


def _plans(project: Project, job: str, base: str, variant: int | None) -> dict[str, JobPlan]:
    """Plan all jobs with this pick, or with what is decided now (None), by name."""
    instead = {} if variant is None else {job: [Decision(PICK, base, variant, "")]}
    return {plan.name: plan for plan in project.plans(instead)}


def _outputs(plans: Mapping[str, JobPlan], job: str, base: str) -> tuple[Output, ...]:
    plan = plans.get(job)
    if plan is None or plan.problems:
        raise InputError(*(plan.problems if plan else [Problem(job, "there is no such job", "doit list")]))
    found = tuple(output for output in plan.outputs if output.base == base)
    if not found:
        near = did_you_mean(base, dict.fromkeys(output.base for output in plan.outputs))
        raise InputError(Problem(f"{job}:{base}", f"there is no such image{near}", "doit list --all shows them"))
    return found


def _check(job: str, base: str, variant: int, before: Sequence[Output], home: Sequence[Output]) -> None:
    known = sorted({output.variant for output in (*before, *home)} - {0})
    if not known:
        hint = (
            "variants: 4 in the job generates four of each image, with different seeds; doit reroll chooses a new seed"
        )
        raise InputError(Problem(f"{job}:{base}", "it has no variants to pick from", hint))
    if not variant and all(output.variant == 0 or output.slug == output.base for output in home):
        what = "the job no longer has variants, so they cannot all be images again"
        raise InputError(Problem(f"{job}:{base}", what, f"put variants: {max(known)} back into the job first"))
    if variant and variant not in known:
        hint = f"choose one of {', '.join(map(str, known))}; 0 makes all of them images again"
        raise InputError(Problem(f"{job}:{base}", f"there is no variant {variant}", hint))


def _check_others(name: str, variant: int, before: Mapping[str, JobPlan], after: Mapping[str, JobPlan]) -> None:
    """Check that no job gets a new problem by this pick: a file that two would write, or a reference."""
    known = {problem for plan in before.values() for problem in plan.problems}
    new = [problem for plan in after.values() for problem in plan.problems if problem not in known]
    if new:
        what = f"cannot be {f'variant {variant}' if variant else 'all variants again'}: that would break other jobs"
        raise InputError(Problem(name, what, "change that first, or pick another one"), *dict.fromkeys(new))


def _already_moved(project: Project, variants: Iterable[Output]) -> dict[str, int]:
    """Find by sha256 which variant a candidate is: a kill can also have left it in its former path."""
    found: dict[str, int] = {}
    for output in variants:
        state = project.hashes.state(candidate_path(output))
        if state is not None and state.sha256:
            found[state.sha256] = output.variant
    return found


def _find(
    project: Project,
    output: Output,
    target: Output | None,
    planned: Sequence[Output],
    moved: Mapping[str, int],
) -> _VariantFile:
    """Find the variant's file: an edited one counts more than one that we made; else the one in its proper path."""
    lock = project.lock(output.job)
    own = {one.path: one.path for one in planned if one.variant == output.variant}
    paths = own | dict.fromkeys(_candidate_paths(output), output.path)
    found: list[tuple[bool, int, _VariantFile]] = []
    for path, recorded_as in paths.items():
        state = project.hashes.state(path)
        if state is not None and state.is_pointer:
            what = f"{path} is a Git LFS pointer, whose content is not here"
            raise ImagegenError(Problem(output.store_name, what, "git lfs pull, then try again"))
        if state is not None and state.sha256:
            line = lock.line_of(recorded_as, state.sha256)
            is_as_made = line is not None and line.sha256 == state.sha256
            if not is_as_made and moved.get(state.sha256, output.variant) != output.variant:
                continue
            if not is_as_made:
                _check_edited(project, output, path)
            found.append((is_as_made, len(found), _VariantFile(output, paths, target, path, line)))
    return min(found, key=lambda one: one[:2])[2] if found else _VariantFile(output, paths, target)


def _candidate_paths(output: Output) -> list[str]:
    """Return where it may be as a candidate: first with the suffix of its format, then with those it may have had."""
    path = candidate_path(output)
    stem = path.removesuffix(PurePosixPath(path).suffix)
    return list(dict.fromkeys([path, *(stem + suffix for suffix in FORMATS.values())]))


def _check_edited(project: Project, output: Output, path: str) -> None:
    """Check that a file that somebody changed is a whole image of the right format."""
    try:
        found = verify((project.root / path).read_bytes()).format
    except BadImage as error:
        hint = "delete the file: its image is restored from the store, or generated again"
        raise ImagegenError(Problem(output.store_name, f"{path} cannot be used: {error}", hint)) from None
    if PurePosixPath(path).suffix != PurePosixPath(output.path).suffix or found != output.encoding.format:
        what = f"{path} was changed by hand, and the job's images are {output.encoding.format} now"
        hint = f"save it as {candidate_path(output)}, or delete it to do without the change"
        raise ImagegenError(Problem(output.store_name, what, hint))


def _keep(project: Project, file: _VariantFile) -> _VariantFile:
    """Put the file into the store. A picked image that has no file is restored from there."""
    if file.path:
        data = _store(project, file, file.path, file.line)
        return replace(file, data=data)
    if file.target is None or file.target.slug == file.output.full_slug:
        return file  # not generated yet, or not here: what is no longer picked can be generated again
    output = file.output
    source = StoredImages(project).find(output, project.model_digest(output))
    if source is None:
        hint = f"to get all variants: doit pick {output.job}:{output.base} --variant 0, then doit; then pick one"
        raise ImagegenError(Problem(output.store_name, "this checkout does not have its image", hint))
    data = encode_output(project, output, source)
    line = make_line(output, source.record, data)
    store_file(project, output, data, line)
    return replace(file, data=data, line=line)


def _store(project: Project, file: _VariantFile, path: str, line: OutputLine | None) -> bytes:
    """Put one of the variant's files into the store, and return it."""
    data = (project.root / path).read_bytes()
    state = project.hashes.state(path)
    if state is None or not state.is_pointer:
        store_file(project, file.output, data, line)
    return data


def _line(file: _VariantFile) -> OutputLine | None:
    """Return the line that the file has from now on."""
    if file.line is None or not file.data:
        return None
    if file.target is not None:
        return replace(file.line, path=file.target.path, output=file.target.slug)
    if file.output.slug != file.output.full_slug:
        return None  # the job no longer has such a variant
    return replace(file.line, path=file.output.path, output=file.output.slug)


def _put(project: Project, file: _VariantFile) -> None:
    """Copy the file to where it goes; what is there goes into the store first."""
    if file.goal == file.path or not file.data:
        return
    there = project.root / file.goal
    if there.exists():
        lock, state = project.lock(file.output.job), project.hashes.state(file.goal)
        line = lock.line_of(file.paths.get(file.goal, file.goal), state.sha256 if state else None)
        if _store(project, file, file.goal, line) == file.data:
            return
    sha256 = hashlib.sha256(file.data).hexdigest()
    if file.line and file.line.sha256 == sha256:
        replace_output(project, file.goal, file.data, sha256, file.line)
    else:  # changed by hand, and not accepted: nothing is to take its place
        replace_file(there, file.data, project.temporary)


def _of_the_item(project: Project, files: Sequence[_VariantFile]) -> list[str]:
    """Return the paths of the item's images by its own name that no variant's file goes to."""
    output, goals = files[0].output, {file.goal for file in files}
    lines = project.lock(output.job).lines
    return [path for path in lines if lines[path][-1].output == output.base and path not in goals]


def _remove_moved(project: Project, files: Sequence[_VariantFile]) -> None:
    """Remove the variants' files from where they were; all of them are in the store."""
    goals = {file.goal for file in files}
    for path in _of_the_item(project, files):  # a kill can have left it
        there = project.root / path
        if there.is_file() and there.read_bytes() in [file.data for file in files]:
            there.unlink()
    for file in files:
        for path, recorded_as in file.paths.items():
            state = project.hashes.state(path) if file.data and path not in goals else None
            if state is not None and state.sha256:
                _store(project, file, path, project.lock(file.output.job).line_of(recorded_as, state.sha256))
                (project.root / path).unlink()

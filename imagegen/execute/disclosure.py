"""What was used: which images were generated, by which models, and which were touched by hand, by the lock files.

It says what was made, not what the jobs ask for now; so nothing is planned, and jobs that are gone count too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Literal, get_args

from imagegen.backends.sd.known_models import KNOWN_MODELS
from imagegen.config.cutout_models import CUTOUT_LICENCES, CUTOUT_MODELS
from imagegen.config.job import FORMATS
from imagegen.config.models import ModelFile
from imagegen.errors import ImagegenError, Problem, did_you_mean
from imagegen.execute.pick import is_candidate
from imagegen.plan.origins import PICTURE
from imagegen.plan.output import DERIVE, STEPS_FIELD
from imagegen.plan.record import ACCEPT, PICK, OutputLine
from imagegen.project import Project

__all__ = [
    "FILE_STATES",
    "KINDS",
    "DisclosedImage",
    "Disclosure",
    "FileState",
    "Kind",
    "Record",
    "UsedModel",
    "disclose",
    "find_licence",
    "read_records",
]

Kind = Literal["generated", "placeholder", "derived", "supplied"]
"""How an image came about: by a trained model; by a program without one; from other images; or somebody put its file
there and accepted it, and nothing was generated in its place."""
KINDS: tuple[Kind, ...] = get_args(Kind)

FileState = Literal["recorded", "accepted", "changed", "missing"]
"""What its file is: as it was made; another one, which `doit accept` took; another one; or not on this machine."""
FILE_STATES: tuple[FileState, ...] = get_args(FileState)

_DIGITS = 64
"""Of a sha256. A digest may have as many again, for further files of the model."""


@dataclass(frozen=True)
class UsedModel:
    """A trained model that took part. Its licence is as it is listed: nothing is concluded from a name."""

    role: Literal["model", "lora", "cutout"]
    backend: str
    name: str  # empty if it was not recorded
    digest: str = ""  # hex; empty if unknown
    licence: str = ""  # its name; empty if unknown
    page: str = ""  # where it can be read; empty if unknown

    @property
    def has_licence(self) -> bool:
        """Whether anything says under which licence it is."""
        return bool(self.licence or self.page)


@dataclass(frozen=True)
class Record:
    """What is recorded of one image, or of a sheet's index, and the file that is there."""

    job: str
    output: str  # its slug
    path: str  # of its file, relative to the project; empty if unknown
    line: OutputLine | None  # None: nothing was generated; its file was accepted
    sha256: str | None  # of the file; None if there is none
    is_ours: bool  # whether some line says that this build wrote a file of that sha256
    accepted: str | None = None  # the sha256 that a person accepted


@dataclass(frozen=True)
class DisclosedImage:
    """One image: how it came about, and what its file is."""

    job: str
    output: str
    path: str  # empty if it was not recorded
    kind: Kind
    file: FileState
    backend: str = ""  # empty if nothing was generated
    models: tuple[UsedModel, ...] = ()
    time: str = ""  # of generating or deriving it
    origins: tuple[str, ...] = ()  # what it was derived from: tasks; of a file that was there before, its item's
    uses_ai: bool | None = None  # whether a trained model's work is in it; None if that is not known
    uses_files: bool = False  # whether it was derived from a file that is somebody's work, or was there before
    references: int = 0  # how many reference images it was generated from
    is_marked: bool | None = None  # whether its file says that a model made it; None if somebody else wrote the file

    @property
    def task(self) -> str:
        """Return its name in doit."""
        return f"{self.job}:{self.output}"

    @property
    def is_by_hand(self) -> bool:
        """Whether its file is somebody's work, at least in part."""
        return self.file in ("accepted", "changed") or self.kind == "supplied"


@dataclass(frozen=True)
class Disclosure:
    """What is known of all images."""

    images: tuple[DisclosedImage, ...]
    jobs: tuple[str, ...] = ()  # those with a lock file
    models: Mapping[UsedModel, int] = field(default_factory=dict)
    """Each model, and the number of images that it took part in, the one with the most first."""


FindLicence = Callable[[UsedModel], tuple[str, str]]
"""Returns the name of a model's licence and the page where it can be read; both empty if unknown."""


def read_records(project: Project, jobs: Collection[str] = ()) -> tuple[list[Record], list[str]]:
    """Return what is recorded of each output, and the jobs that have a lock file.

    Variants that were not picked are left out: they are not among the project's images.

    Args:
        project: its lock files and images are read.
        jobs: names; empty for all.

    Raises:
        ImagegenError: a lock file cannot be understood, a name is not one of a job, or a file cannot be read.

    """
    names = sorted(file.stem for file in (project.root / "jobs").glob("*.lock"))
    names = [*names, *sorted(_jobs_without_lock(project, names) & set(jobs))]
    wrong = [name for name in jobs if name not in names]
    if wrong:
        hint = f"those with recorded images: {', '.join(names)}" if names else "nothing has been generated yet"
        raise ImagegenError(*(Problem("", f"'{name}' is not a job{did_you_mean(name, names)}", hint) for name in wrong))
    names = [name for name in names if not jobs or name in jobs]
    project.hashes.expect([path for name in names for path in project.lock(name).lines])
    found: dict[str, Record] = {}
    for record in (record for name in names for record in (*_recorded(project, name), *_only_accepted(project, name))):
        key = record.path or f"{record.job}:{record.output}"
        other = found.get(key)  # a job's lines may have been copied to another one's lock file
        if other is None or (record.is_ours and not other.is_ours):
            found[key] = record
    return list(found.values()), names


def _jobs_without_lock(project: Project, names: Iterable[str]) -> set[str]:
    from imagegen.config.job_files import find_job_files

    return {path.stem for path in find_job_files(project.root)} - set(names)


def _recorded(project: Project, job: str) -> Iterator[Record]:
    """Yield the images that have a line, and the indexes of sheets."""
    lock, accepted = project.lock(job), _accepted(project, job)
    for path in lock.lines:
        sha256 = _hash(project, path)
        line = lock.line_of(path, sha256)
        if line is None or is_candidate(project, job, line.output):
            continue
        is_ours = sha256 is not None and lock.owns(path, sha256)
        yield Record(job, line.output, path, line, sha256, is_ours, accepted.get(line.output))


def _only_accepted(project: Project, job: str) -> Iterator[Record]:
    """Yield the images whose file somebody supplied, and for which nothing was generated."""
    lock = project.lock(job)
    waiting = _accepted(project, job)
    if waiting:
        for path in lock.lines:
            waiting.pop(lock.lines[path][0].output, None)
    if not waiting:
        return
    # their paths are not recorded: they are where the job has them now
    paths = {output.slug: output.path for plan in project.plans() if plan.name == job for output in plan.outputs}
    for output, sha256 in sorted(waiting.items()):
        path = paths.get(output, "")
        yield Record(job, output, path, None, _hash(project, path) if path else None, is_ours=False, accepted=sha256)


def _accepted(project: Project, job: str) -> dict[str, str]:
    """Return the sha256 of each accepted file by the slug of its image; those of variants not picked are left out."""
    decisions = project.lock(job).decisions
    found = {}
    for (kind, output), decision in decisions.items():
        if kind != ACCEPT or decision.value is None:
            continue
        base, _, variant = output.rpartition("-v")
        pick = decisions.get((PICK, base))
        if pick is not None and pick.value and str(pick.value) == variant:
            output = base  # a picked variant is the item's image
        elif is_candidate(project, job, output):
            continue
        found[output] = str(decision.value["sha256"])
    return found


def _hash(project: Project, path: str) -> str | None:
    """Return the sha256 of the file there; None if there is none."""
    try:
        state = project.hashes.state(path)
    except OSError as error:
        raise ImagegenError(Problem(path, f"cannot be read: {error.strerror}", "fix its permissions")) from None
    return state.sha256 or None if state else None


def disclose(
    records: Sequence[Record], find_licence: FindLicence, is_generator: Callable[[str], bool], jobs: Sequence[str] = ()
) -> Disclosure:
    """Return what the records say.

    Args:
        records: as `read_records` returns them.
        find_licence: looks up a model's licence.
        is_generator: whether a backend has trained models, by its name.
        jobs: those with a lock file.

    """
    known: dict[UsedModel, UsedModel] = {}

    def with_licence(model: UsedModel) -> UsedModel:
        if model not in known:
            licence, page = find_licence(model)
            known[model] = replace(model, licence=licence, page=page)
        return known[model]

    indexes = {f"{record.job}:{record.output}" for record in records if not _is_image(record)}
    described = {
        f"{record.job}:{record.output}": (record, _describe(record, with_licence, is_generator))
        for record in records
        if _is_image(record)
    }
    images = {task: image for task, (_, image) in described.items()}
    derived = [(record, image) for record, image in described.values() if image.kind == "derived"]

    def as_it_was(task: str, digits: str) -> DisclosedImage | None:
        """Return an image as it was when another one was derived from its file of this sha256 (its first digits)."""
        record, _ = described.get(task, (None, None))
        image = images.get(task)
        if record and record.line and image and image.kind != "derived" and record.line.sha256.startswith(digits):
            return _describe(replace(record, sha256=record.line.sha256, is_ours=True), with_licence, is_generator)
        return image

    for record, image in sorted(derived, key=lambda pair: _is_sheet(pair[0].line)):  # it may be made from derived files
        images[image.task] = _with_origins(record, image, indexes, as_it_was)
    models = Counter(model for image in images.values() for model in image.models)
    ordered = sorted(models.items(), key=lambda pair: (-pair[1], pair[0].role, pair[0].backend, pair[0].name))
    return Disclosure(tuple(images.values()), tuple(jobs), dict(ordered))


def _is_image(record: Record) -> bool:
    return record.line is None or record.line.encoding.format in FORMATS


def _describe(
    record: Record, with_licence: Callable[[UsedModel], UsedModel], is_generator: Callable[[str], bool]
) -> DisclosedImage:
    """Return the image without what follows from its origins."""
    line = record.line
    if line is None:
        return DisclosedImage(record.job, record.output, record.path, "supplied", _state(record))
    kind: Kind = "derived" if line.backend == DERIVE else "generated" if is_generator(line.backend) else "placeholder"
    file = _state(record)
    is_as_made = file in ("recorded", "missing")
    is_generated = kind == "generated"
    uses_ai = True if is_generated else False if is_as_made else None  # nobody knows what was put in its place
    return DisclosedImage(
        record.job,
        record.output,
        record.path,
        kind,
        file,
        "" if kind == "derived" else line.backend,
        models=tuple(map(with_licence, _list_models(line, is_generated))),
        time=line.time,
        uses_ai=uses_ai,
        references=len(images) if is_generated and isinstance(images := line.request.get("images"), Mapping) else 0,
        is_marked=is_generated and line.encoding.metadata == "full" if is_as_made else None,
    )


def _state(record: Record) -> FileState:
    if record.sha256 is None:
        return "missing"
    if record.is_ours:
        return "recorded"
    return "accepted" if record.sha256 == record.accepted else "changed"


def _list_models(line: OutputLine, is_generated: bool) -> Iterator[UsedModel]:
    """Return the trained models that took part in making the image itself."""
    fields = line.request
    if is_generated:
        name = str(fields.get("model") or "")
        if not name and isinstance(workflow := fields.get("workflow"), str):
            name = f"workflow {workflow[:12]}"
        yield UsedModel("model", line.backend, name, line.model_digest or "")
        loras = fields.get("loras")
        for lora in loras if isinstance(loras, (Mapping, list)) else ():
            yield UsedModel("lora", line.backend, str(lora))
        return
    steps = fields.get(STEPS_FIELD)
    for step in steps if isinstance(steps, list) else ():
        if isinstance(step, list) and len(step) == 2 and step[0] == "cutout" and isinstance(step[1], Mapping):
            yield UsedModel("cutout", DERIVE, str(step[1].get("model", "")), str(step[1].get("sha256", "")))


def _is_sheet(line: OutputLine | None) -> bool:
    return line is not None and line.request.get("kind") != PICTURE


def _with_origins(
    record: Record,
    image: DisclosedImage,
    indexes: Collection[str],
    as_it_was: Callable[[str, str], DisclosedImage | None],
) -> DisclosedImage:
    """Return a derived image with what it says of itself because of the images that it was made from.

    A page of a packed sheet is made from the sheet's index too, which is not an image.
    """
    line = record.line
    made_of = line.request.get("images") if line else None
    digits = {str(key): str(value) for key, value in made_of.items()} if isinstance(made_of, Mapping) else {}
    is_sheet = _is_sheet(line)
    # a sheet may show derived files, by the names of their images
    shown = f":{line.request['of']}" if is_sheet and line and line.request.get("of") else ""
    slugs = list(digits) if is_sheet else [record.output.rpartition(":")[0]]
    pairs = zip((f"{record.job}:{slug}" for slug in slugs), digits.values(), strict=False)
    known = {task + shown: one for task, one in pairs if task not in indexes}
    tasks = tuple(known)
    found = [as_it_was(task, one) for task, one in known.items()]
    # an item without a recorded image is a file that was there before
    uses_ai = {None if origin is None else origin.uses_ai for origin in found} or {None}
    uses_ai |= {None} if image.is_by_hand else set()
    is_full = line is not None and line.encoding.metadata == "full" and image.is_marked is not None
    return replace(
        image,
        origins=tasks,
        uses_ai=True if True in uses_ai else None if None in uses_ai else False,
        uses_files=any(origin is None or origin.uses_files or origin.is_by_hand for origin in found),
        # of a file that was there before, what it says of itself goes along, and was not recorded
        is_marked=(found[0].is_marked if found[0] else None) if is_full and not is_sheet and found else image.is_marked,
    )


def find_licence(listed: Iterable[ModelFile]) -> FindLicence:
    """Return a function that looks up licences in the project's list of models, and in those that imagegen knows.

    A model is found by the sha256 of its file; only if that was not recorded, by its file's name, or by the name that
    `sd` knows it by.
    """
    files = list(listed)

    def find(model: UsedModel) -> tuple[str, str]:
        sha256 = model.digest[:_DIGITS]
        for known in KNOWN_MODELS.values():
            has_file = any(sha256 == part.sha256 for option, part in known.parts.items() if option in _MAIN_PARTS)
            if has_file or (not sha256 and (model.role, model.backend, model.name) == ("model", "sd", known.name)):
                return known.licence, known.page
        for key, cutout in CUTOUT_MODELS.items():
            if cutout.sha256 == sha256:
                return CUTOUT_LICENCES[key], cutout.page
        name = PurePosixPath(model.name.replace("\\", "/")).name
        for file in files:
            if file.sha256 == sha256 or (not sha256 and name and PurePosixPath(file.name).name == name):
                return "", file.page
        return "", ""

    return find


_MAIN_PARTS = ("model", "diffusion_model")

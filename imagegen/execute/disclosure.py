"""What was used: which images were generated, by which models, and which were touched by hand, by the lock files.

It says what was made, not what the jobs ask for now: jobs that are gone count too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Literal, get_args

from imagegen.backends.sd.known_models import KNOWN_MODELS
from imagegen.config.cutout_models import CUTOUT_LICENCES, CUTOUT_MODELS
from imagegen.config.models import ModelFile
from imagegen.execute.disclosure_records import Record
from imagegen.plan.origins import PICTURE
from imagegen.plan.output import DERIVE, STEPS_FIELD
from imagegen.plan.record import OutputLine

__all__ = [
    "FILE_STATES",
    "KINDS",
    "DisclosedImage",
    "Disclosure",
    "FileState",
    "Kind",
    "UsedModel",
    "disclose",
    "find_licence",
]

Kind = Literal["generated", "placeholder", "derived", "supplied", "unrecorded"]
"""How an image came about: by a trained model; by a program without one; from other images; somebody put its file there
and accepted it, and nothing was generated in its place; or nothing is recorded of its file."""
KINDS: tuple[Kind, ...] = get_args(Kind)

FileState = Literal["recorded", "accepted", "changed", "missing", "unrecorded"]
"""What its file is: as it was made; another one, which `doit accept` took; another one; not on this machine; or there,
with nothing recorded of it."""
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

    indexes = {record.task for record in records if not record.is_image}
    of_task: dict[str, list[Record]] = defaultdict(list)
    recorded = [record for record in records if record.is_image]
    for record in sorted(recorded, key=lambda one: (one.is_there, one.time), reverse=True):
        of_task[record.task].append(record)
    images = {record.key: _describe(record, with_licence, is_generator) for record in recorded}
    derived = [record for record in recorded if images[record.key].kind == "derived"]

    def as_it_was(task: str, digits: str) -> DisclosedImage | None:
        """Return an image as it was when another one was derived from its file of this sha256 (its first digits).

        None if no such file is recorded of it. Its name alone proves nothing: another file may have had it then.
        """
        for record in of_task.get(task, ()):
            if made := record.find_made(digits):
                is_derived = images[record.key].kind == "derived"
                return images[record.key] if is_derived else _describe(made, with_licence, is_generator)
        return None

    for record in sorted(derived, key=lambda one: _is_sheet(one.line)):  # it may be made from derived files
        images[record.key] = _with_origins(record, images[record.key], indexes, as_it_was)
    # of the paths that an output had, those count that have a file; if none has, the newest
    counting = {one.key for found in of_task.values() for one in found if one.is_there or one is found[0]}
    images = {key: image for key, image in images.items() if key in counting}
    models = Counter(model for image in images.values() for model in image.models)
    ordered = sorted(models.items(), key=lambda pair: (-pair[1], pair[0].role, pair[0].backend, pair[0].name))
    return Disclosure(tuple(images.values()), tuple(jobs), dict(ordered))


def _describe(
    record: Record, with_licence: Callable[[UsedModel], UsedModel], is_generator: Callable[[str], bool]
) -> DisclosedImage:
    """Return the image without what follows from its origins."""
    line = record.line
    if line is None:
        kind: Kind = "supplied" if record.accepted else "unrecorded"
        return DisclosedImage(record.job, record.output, record.path, kind, _state(record))
    kind = "derived" if line.backend == DERIVE else "generated" if is_generator(line.backend) else "placeholder"
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
    if record.line is None and record.accepted is None:
        return "unrecorded"
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
    # what is not recorded as an image of the item is a file that was there before
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

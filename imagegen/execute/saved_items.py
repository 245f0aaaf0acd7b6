"""Saving one-off images as items of a job (`doit image --save jobs/scraps.yaml`), fresh from then on."""

from __future__ import annotations

import codecs
import contextlib
import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imagegen.config.document import clean_text, read_document
from imagegen.config.insertion import insert_item
from imagegen.config.job_files import JOB_NAME, JOB_SUFFIXES, find_job_files
from imagegen.config.paths import check_path
from imagegen.config.schema import GENERATE_FIELDS
from imagegen.config.text_nodes import split_bom
from imagegen.errors import ImagegenError, InputError, Problem, not_written
from imagegen.plan.file_names import find_clashes
from imagegen.plan.output import Output
from imagegen.plan.prompt_template import escape_prompt, join_prompt
from imagegen.project import JobPlan, Project
from imagegen.project.lost_locks import refuse_lost_locks
from imagegen.state.atomic import rewrite_file
from imagegen.state.mutex import hold

__all__ = [
    "ImageToSave",
    "PlannedSave",
    "plan_save",
    "save",
]


@dataclass(frozen=True)
class ImageToSave:
    """An image that is to be an item: its output as a one-off, and its options for its backend."""

    name: str
    output: Output
    section: Mapping[str, Any]


@dataclass(frozen=True)
class PlannedSave:
    """What the job file will be, the output of each image in order, and the names of the items that are new."""

    file: str
    data: bytes
    outputs: tuple[Output, ...]
    added: tuple[str, ...]


def plan_save(project: Project, file: str, images: Sequence[ImageToSave]) -> PlannedSave:
    """Return the job file with items that give just these images. Writes nothing.

    Raises ImagegenError if that is not possible: nothing else of the job may change.
    """
    job = _Target(project, file)
    outputs = tuple(job.add(one) for one in images)
    return PlannedSave(job.file, job.data, outputs, tuple(job.added))


def save(project: Project, file: str, images: Sequence[ImageToSave]) -> PlannedSave:
    """Add the items to the job file as it is now, under the build's mutex. Raises ImagegenError."""
    with hold(project.state, project.settings.wait_s):
        planned = plan_save(project, file, images)
        if planned.added:
            try:
                rewrite_file(project.root / planned.file, planned.data, project.temporary)
            except OSError as error:
                raise ImagegenError(not_written(error, path=planned.file)) from None
        return planned


class _Target:
    """A job file that takes items, one after another."""

    def __init__(self, project: Project, file: str) -> None:
        self.file = _job_file(project, file)
        # the next run may have another command line
        self._project = Project(
            project.root, replace(project.settings, forced_backend=None), project.registry, project.reserved
        )
        path = project.root / self.file
        try:
            self.data = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise InputError(Problem(self.file, f"cannot be read: {error.strerror}")) from None
        # one without items yet has problems that an item fixes; what stays is reported then
        self._plan = self._planned(self.data)
        [plan] = refuse_lost_locks(self._project, [self._plan])
        if plan is not self._plan:
            raise InputError(*plan.problems)
        self.added: list[str] = []

    def add(self, one: ImageToSave) -> Output:
        """Add the item if it does not exist yet, and return its output. Raises ImagegenError."""
        wanted = one.output
        there = _images_by_slug(self._plan).get(wanted.slug)
        if there is not None:
            if _differing_fields(there, wanted):
                what = f"{self.file} has '{wanted.slug}' already, which is another image"
                raise self._refusal(what, "choose another --name")
            return there
        item: dict[str, Any] = {"name": one.name, "prompt": self._prompt(wanted.request.prompt)}
        # the seed even if the job's rule gives this one, which follows from the name
        seed = {"seed": wanted.fields["seed"]} if "seed" in wanted.fields else {}
        item |= seed
        data, output = self._with(item, one)
        if differing := _differing_fields(output, wanted):
            if output.request.backend != wanted.request.backend:
                what = f"{self.file} uses {output.request.backend}, and this image {wanted.request.backend}"
                raise self._refusal(what)
            if "prompt" in differing:
                raise self._refusal(f"{self.file} would put its own prefix and suffix around the prompt")
            item = {"name": item["name"], "prompt": item["prompt"], **self._overrides(differing, one), **seed}
            data, output = self._with(item, one)
        if differing := _differing_fields(output, wanted):
            what = f"{self.file} would give another image: its {', '.join(differing)} would be the job's"
            raise self._refusal(what)
        self.data, self._plan = data, self._planned(data)
        self.added.append(one.name)
        return output

    def _with(self, item: Mapping[str, Any], one: ImageToSave) -> tuple[bytes, Output]:
        """Return the file with the item, and the item's output there; all others are as they were."""
        bom, text = split_bom(self.file, self.data)
        if self._is_blank():
            text = _start_job(self.file, text, one.output.request.backend)
        try:
            data = bom + insert_item(self.file, text, item).encode("utf-8")
        except ValueError as error:
            raise self._refusal(f"{self.file}: {error}") from None
        plan = self._planned(data)
        if plan.problems:
            first = plan.problems[0]
            raise self._refusal(f"{self.file} cannot have it as an item: {first.what} ({first.where})", first.hint)
        before, after = _images_by_slug(self._plan), _images_by_slug(plan)
        if (before or self._plan.folder) and self._has_items_of_a_base():
            raise self._refusal(f"the items of {self.file} are those that it extends, and its own would replace them")
        if changed := [slug for slug, output in before.items() if after.get(slug) != output]:
            raise self._refusal(f"an item more in {self.file} would change others of it: {', '.join(changed[:3])}")
        if pairs := find_clashes(plan.outputs, {}):
            raise self._refusal(f"{self.file} would write two images to {pairs[0][0].path}")
        new = [output for slug, output in after.items() if slug not in before]
        if len(new) != 1 or new[0].slug != one.output.slug:
            raise self._refusal(f"{self.file} would give {len(new)} images, by its matrix or variants")
        return data, new[0]

    def _overrides(self, differing: Sequence[str], one: ImageToSave) -> dict[str, Any]:
        """Return what the item must say itself, because the job says otherwise."""
        fields = one.output.fields
        overrides = {key: fields[key] for key in GENERATE_FIELDS if key in differing and key in fields}
        if "negative" in overrides:
            overrides["negative"] = escape_prompt(overrides["negative"])
        backend = self._project.backends[fields["backend"]]
        section = dict(one.section)
        if backend.model_option and fields["model"]:
            section[backend.model_option] = fields["model"]
        if section and set(differing) - set(overrides):
            overrides[backend.name] = section
        return overrides

    def _prompt(self, prompt: str) -> str:
        """Return the prompt as the item says it: without what the job puts before and after each."""
        values = {} if self._is_blank() else self._project.planner.document(self.file, self.data).values
        around = values.get("prompt", {}) if isinstance(values, dict) else {}
        prefix, suffix = (clean_text(str(around.get(key, ""))) for key in ("prefix", "suffix"))
        head = join_prompt(prefix, "x")[:-1]
        for mark in "x.":  # what follows a text that ends in a mark is joined otherwise
            tail = join_prompt(mark, suffix)[1:]
            inner = prompt[len(head) : len(prompt) - len(tail)]
            if inner and join_prompt(prefix, inner, suffix) == prompt:
                return escape_prompt(inner)
        return escape_prompt(prompt)

    def _is_blank(self) -> bool:
        """Whether there is nothing in it, or nothing but comments."""
        lines = map(bytes.strip, self.data.removeprefix(codecs.BOM_UTF8).splitlines())
        return all(not line or (line.startswith(b"#") and not self.file.endswith(".json")) for line in lines)

    def _has_items_of_a_base(self) -> bool:
        own = read_document(self.file, self.data).values
        return "items" not in own and "items" in self._project.planner.document(self.file, self.data).values

    def _planned(self, data: bytes) -> JobPlan:
        return self._project.planner.plan_of(self.file, data)

    def _refusal(self, what: str, hint: str = "") -> ImagegenError:
        return InputError(Problem("doit image --save", what, hint or "choose another job file; nothing was changed"))


def _images_by_slug(plan: JobPlan) -> dict[str, Output]:
    """Return the images by slug; derived files follow from them."""
    return {output.slug: output for output in plan.outputs if not output.is_derived}


def _differing_fields(output: Output, wanted: Output) -> list[str]:
    """Return the fields in which the requests differ."""
    one, other = output.fields, wanted.fields
    return [key for key in {**other, **one} if key != "name" and one.get(key) != other.get(key)]


def _job_file(project: Project, file: str) -> str:
    """Return the job file's path from the project. Raises ImagegenError for what cannot be one."""
    given = Path(file)
    with contextlib.suppress(ValueError):
        given = given.relative_to(project.root)
    path = posixpath.normpath(given.as_posix())
    folder, _, name = path.rpartition("/")
    stem = Path(name).stem
    if folder != "jobs" or not name.endswith(JOB_SUFFIXES) or not JOB_NAME.fullmatch(stem) or stem in project.reserved:
        hint = "for example --save jobs/scraps.yaml"
        raise InputError(Problem("doit image --save", f"'{file}' cannot be a job file", hint))
    if problem := check_path(project.root, path, project.settings.allow_outside):
        raise InputError(Problem("doit image --save", problem))
    for other in find_job_files(project.root):
        if other.stem == stem and other.name != name:
            raise InputError(Problem("doit image --save", f"jobs/{other.name} has the name '{stem}' already"))
    return path


def _start_job(file: str, comments: str, backend: str) -> str:
    """Return a job without items, after the comments that exist."""
    if file.endswith(".json"):
        return json.dumps({"backend": backend}, indent=2) + "\n"
    comments = comments.rstrip("\r\n") or f"# One-off images, added by doit image --save {file}"
    newline = "\r\n" if "\r\n" in comments else "\n"
    return f"{comments}{newline}backend: {backend}{newline}"

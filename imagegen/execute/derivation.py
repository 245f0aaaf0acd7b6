"""Makes a derived output's file from those of its origins."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from typing import Any

from imagegen.backends.base import GenerationError
from imagegen.backends.models import display_path
from imagegen.config.job import Step
from imagegen.errors import ImagegenError
from imagegen.execute.cutouts import Cutouts
from imagegen.images.atlas import convert_index
from imagegen.images.derive import picture
from imagegen.images.formats import BadImage
from imagegen.images.image_file import ImageFile, read_image
from imagegen.images.index_check import check_index
from imagegen.images.packed_sheet import DoesNotFit, draw_page, measure, write_packed_index, write_page_index
from imagegen.images.packing import Packing
from imagegen.images.reshape import Shape
from imagegen.images.sheet import Grid, draw_grid, write_grid_index
from imagegen.images.steps import StepNotPossible, list_files
from imagegen.plan.origins import PICTURE
from imagegen.plan.output import STEPS_FIELD, Origin, Output
from imagegen.plan.sheets import CONVERTED_INDEX, INDEX, PACKED, name_page
from imagegen.project import Project
from imagegen.project.step_files import hash_step_file
from imagegen.state.hashes import pointer_sha256

__all__ = ["derive"]


def derive(project: Project, output: Output, cutouts: Cutouts) -> bytes:
    """Return the bytes of a derived output, whose origins are finished. Raises GenerationError, OSError."""
    recipe = output.fields
    if recipe["kind"] == PICTURE:
        return _derive_picture(project, output, cutouts)
    if recipe["kind"] == CONVERTED_INDEX:
        most = 1 if recipe["index"] == "texturepacker-array" else None
        index = _read_index(project, output.origins[0], most_pages=most)
        return convert_index(recipe["index"], index, recipe["job"])
    if recipe["kind"] == INDEX:
        return _derive_index(project, output)
    return _derive_sheet(project, output)


def _derive_picture(project: Project, output: Output, cutouts: Cutouts) -> bytes:
    recipe, (origin,) = output.fields, output.origins
    data = _content(project, origin)
    try:
        steps = recipe.get(STEPS_FIELD, [])
        step_files = {sha256: _step_file(project, sha256) for sha256 in list_files(steps)}
        return picture(read_image(data), _shape(recipe), output.encoding, steps, step_files, cutouts.find_with(steps))
    except StepNotPossible as error:
        if step := _find_step(project, output, error):
            # a report begins with the name of the output, so the position is in the text
            what = f"{step.where}: {step.key}: not possible with {origin.path}: {error.reason}"
            raise GenerationError(what, error.hint or _FIX) from None
        raise _cannot_be_derived(origin, error) from None
    except BadImage as error:
        raise _cannot_be_derived(origin, error) from None


def _find_step(project: Project, output: Output, error: StepNotPossible) -> Step | None:
    """Return the step of an output's rules that was not possible, unless the job file has changed meanwhile."""
    rules = f"derive.{output.slug.partition(':')[2]}."
    steps = [step for step in project.planner.locate_steps(output.job) if step.key.startswith(rules)]
    found = steps[error.number - 1] if error.number <= len(steps) else None
    return found if found and found.name == error.name else None


_FIX = "fix or delete that file"


def _cannot_be_derived(origin: Origin, error: BadImage) -> GenerationError:
    return GenerationError(f"cannot be derived from {origin.path}: {error.what}", error.hint or _FIX)


def _derive_index(project: Project, output: Output) -> bytes:
    """Make a sheet's JSON index, or that of one of its pages."""
    recipe = output.fields
    if "page" in recipe:
        return write_page_index(_read_index(project, output.origins[0], least_pages=recipe["page"]), recipe["page"])
    read = _reader(project, output)
    animated = {key: recipe[key] for key in ("animations", "fps") if key in recipe}
    if recipe.get("layout") != PACKED:
        sizes = {name: read(name).upright.size for name in recipe["order"]}
        return write_grid_index(sizes, _grid(recipe), recipe["image"], **animated)
    trim = recipe["trim"]
    parts = {name: measure(read(name), trim=trim) for name in recipe["order"]}
    rules = Packing(**{key: recipe[key] for key in Packing.__dataclass_fields__})
    try:
        images = [name_page(recipe["image"], page) for page in range(1, recipe["pages"] + 1)]
        return write_packed_index(parts, rules, images, **animated)
    except DoesNotFit as error:
        raise GenerationError(error.what, error.hint) from None


def _derive_sheet(project: Project, output: Output) -> bytes:
    """Make a sheet, or a page of one."""
    recipe, read = output.fields, _reader(project, output)
    if recipe.get("layout") != PACKED:
        return draw_grid(map(read, recipe["order"]), len(recipe["order"]), _grid(recipe), output.encoding)
    index, *images = output.origins
    names = [image.key for image in images]
    pages = recipe["pages"]
    data = _read_index(project, index, names, least_pages=pages, most_pages=pages, max_size=recipe["max_size"])
    return draw_page(data, recipe["page"], read, output.encoding)


def _read_index(project: Project, origin: Origin, images: Collection[str] | None = None, **rules: Any) -> bytes:
    """Return a sheet's JSON index, which somebody may have edited and accepted. rules: as `check_index` takes them."""
    data = _content(project, origin)
    try:
        check_index(origin.path, data, images, **rules)
    except ImagegenError as error:
        where, what = error.problems[0].where, error.problems[0].what
        hint = f"correct the file, then doit accept {origin.task}; or go back: doit restore {origin.task}"
        raise GenerationError(f"{where}: {what}", hint) from None
    return data


def _reader(project: Project, output: Output) -> Callable[[str], ImageFile]:
    """Return what reads an origin, by its key, so that not all of them are in memory. It raises GenerationError."""
    origins = {origin.key: origin for origin in output.origins}

    def read(key: str) -> ImageFile:
        data = _content(project, origins[key])
        try:
            file = read_image(data)
            _ = file.upright
        except BadImage as error:
            raise _cannot_be_derived(origins[key], error) from None
        return file

    return read


def _grid(recipe: Mapping[str, Any]) -> Grid:
    return Grid(recipe["columns"], recipe["cell"])


def _step_file(project: Project, sha256: str) -> bytes:
    """Read a file that a step names as it was when the request was planned. Raises GenerationError."""
    path = project.files[sha256]
    name = display_path(project.root, path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GenerationError(f"{name} cannot be read: {error.strerror}", "put it back, and run doit again") from None
    if hash_step_file(data) == sha256:
        return data
    if pointer_sha256(data):
        raise GenerationError(f"{name} is a Git LFS pointer, whose content is not here", "git lfs pull")
    raise GenerationError(f"{name} has changed since this run began", "run doit again")


def _shape(recipe: Any) -> Shape:
    return Shape(**{key: recipe[key] for key in Shape.__dataclass_fields__ if key in recipe})


def _content(project: Project, origin: Origin) -> bytes:
    """Read an origin's file as it was when the request was planned, or from the store. Raises GenerationError."""
    data = (project.root / origin.path).read_bytes()
    if hashlib.sha256(data).hexdigest() == origin.sha256:
        return data
    stored = project.store.get(origin.sha256)  # the file is a Git LFS pointer, or somebody is editing it
    if stored is None:
        state = project.hashes.state(origin.path)
        if state is not None and state.is_pointer:
            raise GenerationError(f"{origin.path} is a Git LFS pointer, whose content is not here", "git lfs pull")
        raise GenerationError(f"{origin.path} changed while this was being derived from it", "run doit again")
    return stored

"""Makes a derived output's file from those of its origins."""

from __future__ import annotations

import hashlib
from typing import Any

from imagegen.backends.base import GenerationError
from imagegen.execute.cutouts import Cutouts
from imagegen.images.derive import picture
from imagegen.images.formats import BadImage
from imagegen.images.image_file import read_image
from imagegen.images.reshape import Shape
from imagegen.images.sheet import Grid, index, sheet
from imagegen.images.steps import list_files
from imagegen.plan.origins import PICTURE
from imagegen.plan.output import STEPS_FIELD, Origin, Output
from imagegen.plan.sheets import INDEX
from imagegen.project import Project

__all__ = ["derive"]


def derive(project: Project, output: Output, cutouts: Cutouts) -> bytes:
    """Return the bytes of a derived output, whose origins are finished. Raises GenerationError, OSError."""
    recipe = output.fields
    contents = {origin.key: _content(project, origin) for origin in output.origins}
    try:
        files = {key: read_image(data) for key, data in contents.items()}
        if recipe["kind"] == PICTURE:
            steps = recipe.get(STEPS_FIELD, [])
            step_files = {sha256: _step_file(project, sha256) for sha256 in list_files(steps)}
            return picture(files["image"], _shape(recipe), output.encoding, steps, step_files, cutouts.find_with(steps))
        grid = Grid(recipe["columns"], recipe["cell"])
        pictures = [files[place] for place in recipe["order"]]
        if recipe["kind"] != INDEX:
            return sheet(pictures, grid, output.encoding)
        named = {place: file.upright.size for place, file in zip(recipe["order"], pictures, strict=True)}
        return index(named, grid, recipe["image"])
    except BadImage as error:
        one = recipe["kind"] == PICTURE
        broken = [origin.path for origin in output.origins if one or not _can_be_read(contents[origin.key])]
        of = f" from {', '.join(broken)}" if broken else ""
        hint = "ask for less, or enlarge: true in the job" if "too small" in error.what else "fix or delete that file"
        raise GenerationError(f"cannot be derived{of}: {error.what}", error.hint or hint) from None


def _step_file(project: Project, sha256: str) -> bytes:
    """Read a file that a step names as it was when the request was planned. Raises GenerationError."""
    path = project.files[sha256]
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        what = f"{path.relative_to(project.root)} has changed since this run began"
        raise GenerationError(what, "run doit again")
    return data


def _can_be_read(data: bytes) -> bool:
    try:
        _ = read_image(data).upright
    except BadImage:
        return False
    return True


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

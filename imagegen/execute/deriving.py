"""One derived output's way: made from the files of others → store → line in the lock file → in place."""

from __future__ import annotations

import hashlib
import time
from typing import Any

from imagegen.backends.base import GenerationError
from imagegen.execute.deciding import now
from imagegen.execute.imaging import failed, put_in_place
from imagegen.execute.outcome import Outcome
from imagegen.execute.sources import Source
from imagegen.images.derive import Grid, Shape, index, picture, sheet
from imagegen.images.formats import BadImage
from imagegen.images.image_file import upright
from imagegen.plan.freshness import Verdict
from imagegen.plan.origins import INDEX, PICTURE
from imagegen.plan.output import Origin, Output
from imagegen.project import Project
from imagegen.state.store import StoreEntry

__all__ = ["derive"]


def derive(project: Project, output: Output, verdict: Verdict) -> Outcome:
    """Make the output from those that it is made from, which are settled, and put it in place."""
    start = time.monotonic()
    try:
        data = _made(project, output)
        seconds = round(time.monotonic() - start, 3)
        sha256 = project.store.put(data)
        version, took, made = _version(), seconds, now()
        line = project.lock(output.job).line_of(output.path, sha256)
        if line and (line.sha256, line.fingerprint, line.encoding) == (sha256, output.fingerprint, output.encoding):
            # it was made before, in another checkout: a line of its own here would say no more, and need a merge
            version, took, made = line.backend_version, line.seconds, line.time
        entry = StoreEntry(
            output.fingerprint,
            sha256,
            None,
            version,
            took,
            made,
            encoding=output.encoding,
            name=output.store_name,
            request=output.fields,
        )
        project.store.add(entry)
        put_in_place(project, output, Source(data, output.encoding, None, version, took, made))
    except Exception as error:
        return failed(output, verdict, error)
    return Outcome(output, "derived", verdict.reasons, seconds=seconds)


def _version() -> str:
    from PIL import __version__

    return f"Pillow {__version__}"


def _made(project: Project, output: Output) -> bytes:
    recipe = output.fields
    files = {origin.place: _content(project, origin) for origin in output.origins}
    try:
        if recipe["kind"] == PICTURE:
            return picture(files["image"], _shape(recipe), output.encoding)
        grid = Grid(recipe["columns"], recipe["cell"])
        pictures = [files[place] for place in recipe["order"]]
        if recipe["kind"] != INDEX:
            return sheet(pictures, grid, output.encoding)
        named = {place: upright(data).size for place, data in zip(recipe["order"], pictures, strict=True)}
        return index(named, grid, recipe["image"])
    except BadImage as error:
        one = recipe["kind"] == PICTURE
        broken = [origin.path for origin in output.origins if one or not _can_be_read(files[origin.place])]
        of = f" from {', '.join(broken)}" if broken else ""
        raise GenerationError(f"cannot be made{of}: {error.what}", _mend(error)) from None


def _can_be_read(data: bytes) -> bool:
    try:
        upright(data)
    except BadImage:
        return False
    return True


def _mend(error: BadImage) -> str:
    return "ask for less, or enlarge: true in the job" if "too small" in error.what else "fix or delete that file"


def _shape(recipe: Any) -> Shape:
    return Shape(**{key: recipe[key] for key in Shape.__dataclass_fields__ if key in recipe})


def _content(project: Project, origin: Origin) -> bytes:
    """The file's content as it was when this was judged: from its place, or the store. Raises GenerationError."""
    data = (project.root / origin.path).read_bytes()
    if hashlib.sha256(data).hexdigest() == origin.sha256:
        return data
    stored = project.store.get(origin.sha256)  # the file is a Git LFS pointer, or somebody is at work on it
    if stored is None:
        state = project.hashes.state(origin.path)
        if state is not None and state.is_pointer:
            raise GenerationError(f"{origin.path} is a Git LFS pointer, whose content is not here", "git lfs pull")
        raise GenerationError(f"{origin.path} was changed while this was to be made from it", "run doit again")
    return stored

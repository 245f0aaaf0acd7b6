"""Images that were paid for: none is thrown away, so that nobody pays twice for the same mistake.

What can be decoded is used, whatever else is wrong with it. What cannot, or cannot be stored, is kept as a file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path, PurePosixPath

from imagegen.errors import Problem
from imagegen.execute.budget import Payment
from imagegen.images.formats import BadImage, format_of
from imagegen.images.image_file import ImageFile, verify
from imagegen.plan.output import Output
from imagegen.project import Project
from imagegen.state.atomic import replace_file, write_all
from imagegen.state.store import StoreEntry

__all__ = [
    "LOST_BEFORE",
    "UnusableImageError",
    "find_paid_image",
    "keep_paid_image",
    "kept_problem",
    "unpaid_problem",
    "use_paid_image",
]

LOST_BEFORE = "may have been paid for once already: an earlier run ended before it arrived"
_FOLDER = "paid"
_DIGITS = 16
"""Of the fingerprint, in the name of each file."""


class UnusableImageError(Exception):
    """An image that was paid for cannot be decoded; `problem` says where its bytes are."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what)
        self.problem = problem


def use_paid_image(
    project: Project, output: Output, data: bytes, entry: StoreEntry, payment: Payment, flaw: BadImage
) -> tuple[ImageFile, str]:
    """Use an image that was paid for, is in the store, and has a flaw such as another size, if it can be decoded.

    Returns:
        The image, and what to say of it.

    Raises:
        UnusableImageError: it cannot. Its bytes are kept as a file, and the run pays for nothing more.
    """
    with contextlib.suppress(BadImage):
        file = verify(data)
        return file, f"{flaw}: used all the same, since it was paid for; to pay for another one: doit -a {output.task}"
    path = keep_paid_image(project, output, data)
    if path:  # else its entry stays, so that nobody pays again
        with contextlib.suppress(OSError):
            project.store.drop(entry)
    what = "was paid for, and cannot be used"
    why = f"not generated, because what {output.request.backend} returned for {output.task} {what}"
    hint = "see what is wrong with that one, before you run doit again: it would pay for the others"
    payment.close_budget(Problem("", why, hint))
    kept = path or f".imagegen/store, as {entry.sha256}"
    raise UnusableImageError(
        Problem(
            "", f"verify: what {output.request.backend} returned {what}: {flaw}; it is kept in {kept}", _hint(output)
        )
    )


def keep_paid_image(project: Project, output: Output, data: bytes) -> str:
    """Write what a backend returned to a file: in the project, or else in the system's temporary folder.

    Returns:
        Its path, as a message has it; empty if it could not be written.
    """
    name = f"{PurePosixPath(output.path).stem}-{hashlib.sha256(data).hexdigest()[:8]}"
    ending = f".{output.fingerprint[:_DIGITS]}.{_suffix(data)}"
    with contextlib.suppress(OSError):
        path = project.state / _FOLDER / f"{name}{ending}"
        replace_file(path, data, project.temporary)
        return path.relative_to(project.root).as_posix()
    with contextlib.suppress(OSError):
        descriptor, file = tempfile.mkstemp(prefix=f"{name}.", suffix=ending)
        try:
            write_all(descriptor, data)
        except OSError:
            os.unlink(file)  # noqa: PTH108 - a text
            raise
        finally:
            os.close(descriptor)
        return file
    return ""


def find_paid_image(project: Project, output: Output) -> str:
    """Return the path of the file that an earlier run kept for this request; empty if there is none."""
    if not output.fingerprint:
        return ""
    files = f"*.{output.fingerprint[:_DIGITS]}.*"
    for path in (project.state / _FOLDER).glob(files):
        return path.relative_to(project.root).as_posix()
    return next((str(path) for path in Path(tempfile.gettempdir()).glob(files) if _is_ours(path)), "")


def _is_ours(path: Path) -> bool:
    """Whether this user wrote the file: in a folder that others share, anybody's may have that name."""
    with contextlib.suppress(OSError):
        found = path.lstat()
        return stat.S_ISREG(found.st_mode) and (not hasattr(os, "getuid") or found.st_uid == os.getuid())
    return False


def unpaid_problem(output: Output, path: str) -> Problem:
    """Say why an image is not paid for again: it is kept in the file `path`."""
    return Problem("", f"not built, because it was paid for already, and is kept in {path}", _hint(output))


def kept_problem(output: Output, path: str) -> Problem:
    """Say what became of an image that could not be stored: it is kept in the file `path`, if that is not empty."""
    if not path:
        return Problem("", "it was paid for, and is lost: it could not be written anywhere")
    return Problem("", f"it was paid for, and is kept in {path}", _hint(output))


def _hint(output: Output) -> str:
    use = f"put it at {output.path}"
    if output.has_job:
        use += f" and run doit accept {output.task}"
    return f"look at it: to use it, {use}; to pay for another image, delete it and run doit again"


def _suffix(data: bytes) -> str:
    try:
        return format_of(data)
    except BadImage:
        return "bin"

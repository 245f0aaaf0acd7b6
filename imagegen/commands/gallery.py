"""`doit gallery`: write a page to look at every image with, in a browser and without a server."""

from __future__ import annotations

from imagegen.commands.build import Build
from imagegen.commands.command import command
from imagegen.errors import ImagegenError, Problem, not_written

__all__ = ["gallery"]


@command(
    "gallery",
    "Write assets/gallery/index.html, to look at every image in a browser.",
    {"doit gallery": "then open assets/gallery/index.html"},
)
def gallery(build: Build) -> None:
    """Write the page, and say what became of it."""
    from imagegen.report.console import join_names, plural
    from imagegen.report.gallery.folder import PAGE, write_gallery

    if not build.plans:
        raise ImagegenError(Problem("jobs", "there is no job file, so there is nothing to show"))
    try:
        written = write_gallery(build.project, build.plans)
    except OSError as error:
        raise ImagegenError(not_written(error, path="assets/gallery", doing="read or write")) from None
    for problem in written.problems:
        print(problem)
    if broken := [plan.task for plan in build.plans if plan.problems]:
        print(f"{join_names(broken)}: broken, shown as last recorded (see doit doctor)")
    made = f", {plural(written.thumbnails, 'thumbnail')} made" if written.thumbnails else ""
    print(f"{written.state:<10} {PAGE}  ({plural(written.pictures, 'image')}{made})")

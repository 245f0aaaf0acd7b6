"""`doit gallery`: write a page to look at every image with, in a browser and without a server."""

from __future__ import annotations

from functools import partial

from imagegen.commands.build import Build
from imagegen.commands.command import Answer, command, option
from imagegen.errors import DONE, ImagegenError, Problem, not_written

__all__ = ["gallery"]


@command(
    "gallery",
    "Write assets/gallery/index.html, to look at every image in a browser.",
    {"doit gallery": "then open assets/gallery/index.html", "doit gallery --open": "and opens it in a browser"},
    [option("open", bool, False, "then open it in a browser")],
    result="imagegen.report.results.pages:GalleryPage",
)
def gallery(build: Build, **options: bool) -> Answer:
    """Write the page, say what became of it, and open it if that is wanted."""
    from imagegen.backends.text import list_first
    from imagegen.report.browser import open_in_browser
    from imagegen.report.console import StatusLine, plural
    from imagegen.report.gallery.folder import PAGE, write_gallery
    from imagegen.report.results.pages import GalleryPage

    if not build.plans:
        return Answer(None, ["no job files in jobs/: nothing to show"])
    try:
        with StatusLine() as status:
            written = write_gallery(build.project, build.plans, partial(status.count, "new thumbnails"))
    except OSError as error:
        raise ImagegenError(not_written(error, path="assets/gallery", doing="read or write")) from None
    new = f", {plural(written.thumbnails, 'new thumbnail')}" if written.thumbnails else ""
    lines = [f"{written.state:<10} {PAGE}  {plural(written.pictures, 'image')}{new}"]
    broken = tuple(plan.task for plan in build.plans if plan.problems)
    if broken:
        lines += [f"{plural(len(broken), 'broken job')}, shown as last recorded: {list_first(broken)}  (doit doctor)"]
    url = (build.root / PAGE).as_uri()
    problems = [*written.problems]
    why = open_in_browser(url) if options["open"] else ""
    problems += [Problem("", f"not opened: {why}", f"open it yourself: {url}")] if why else []
    is_opened = options["open"] and not why
    page = GalleryPage(PAGE, url, written.state, written.pictures, written.thumbnails, broken, is_opened)
    return Answer(page, lines, DONE, problems)

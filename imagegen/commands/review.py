"""`doit review`: look at every image in a browser, and decide there."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagegen.commands.build import Build
from imagegen.commands.command import command, option
from imagegen.commands.command_line import initial_folder
from imagegen.config.settings import read_settings
from imagegen.errors import ImagegenError, Problem

if TYPE_CHECKING:
    from imagegen.project import JobPlan, Project

__all__ = ["review"]


@command(
    "review",
    "Open a page on this machine: look at every image, pick, reroll, accept, restore, edit and build.",
    {"doit review": "opens it in a browser; Ctrl-C ends it"},
    [
        option("port", int, 0, "to listen on [default: any that is free]"),
        option("no-open", bool, False, "only print the address"),
    ],
    needs_jobs=False,
)
def review(build: Build, *, port: int, no_open: bool) -> None:
    """Serve the page until Ctrl-C."""
    try:
        from imagegen.review.live import LiveGallery
        from imagegen.review.server import ReviewServer
    except ImportError as error:
        what = f"the page is served with {error.name}, which is not installed"
        raise ImagegenError(Problem("", what, f"{sys.executable} -m pip install 'doit-imagegen[review]'")) from None

    def open_project() -> tuple[Project, list[JobPlan]]:
        from imagegen.project import Project

        settings = read_settings(build.root, build.invocation.given, os.environ)
        project = Project(build.root, replace(settings), build.project.registry, build.project.reserved)
        return project, project.plans()

    words = sys.argv[1:]
    leading = words[: words.index("review")] if "review" in words else []
    server = ReviewServer(LiveGallery(open_project), Path(initial_folder() or build.root), leading, ("127.0.0.1", port))
    server.start()
    print(f"review     {server.url}  (Ctrl-C ends it)", flush=True)
    if not no_open:
        import webbrowser

        webbrowser.open(server.url)
    while server.join(1.0):
        try:
            server.join(3600)
        except KeyboardInterrupt:
            if not server.interrupt():
                print("stopping: images that are being generated are finished; Ctrl-C again cancels them", flush=True)

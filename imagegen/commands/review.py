"""`doit review`: look at every image in a browser, and decide there."""

from __future__ import annotations

import os
import queue
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagegen.commands.build import Build
from imagegen.commands.command import Answer, answer_even_if_it_fails, command, option
from imagegen.commands.command_line import initial_folder
from imagegen.config.settings import read_settings
from imagegen.errors import ImagegenError, InputError, NotBegunError, Problem
from imagegen.report.json_output import json_output

if TYPE_CHECKING:
    from imagegen.project import JobPlan, Project
    from imagegen.review.address import Address
    from imagegen.review.server import ReviewServer

__all__ = ["leading_words", "review"]


@command(
    "review",
    "Open a page on this machine: look at every image, pick, reroll, accept, restore, edit and build.",
    {
        "doit review": "opens it in a browser; Ctrl-C ends it",
        "doit review --no-open --port=8765": "prints the address only",
        "doit review --host=0.0.0.0": "for other machines too: anybody with the address can change the project",
    },
    [
        option("port", int, 0, "to listen on [default: any that is free]"),
        option("host", str, "127.0.0.1", "address to listen on: this machine alone, if none is given", value="ADDRESS"),
        option("no-open", bool, False, "only print the address"),
    ],
    needs_jobs=False,
    result="imagegen.report.results.pages:ServedPage",
)
def review(build: Build, *, port: int, host: str, no_open: bool) -> Answer:
    """Serve the page until Ctrl-C, SIGTERM, or the end of the terminal."""
    from imagegen.doit_child import handling_signals
    from imagegen.report.results.pages import ServedPage

    if build.invocation.always:
        what = "-a would generate fresh images again with each build of the page"
        raise InputError(Problem("doit review", what, "leave it out: the page has a button to reroll"))
    try:
        from imagegen.review.address import listen
        from imagegen.review.editing import Editor
        from imagegen.review.live import LiveGallery
        from imagegen.review.server import ReviewServer
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn", "jinja2"):
            raise
        what = f"the page is served with {error.name}, which is not installed"
        raise NotBegunError(Problem("", what, f"{sys.executable} -m pip install starlette uvicorn jinja2")) from None
    address = listen(host, port)
    gallery = LiveGallery(lambda: _open_project(build))
    signals: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    server = ReviewServer(
        gallery,
        Editor(build.root, lambda instead: _open_project(build, instead)),
        address,
        Path(initial_folder() or build.root),
        leading_words(build, "review"),
        build.project.state,
        lambda line: print(line, flush=True),
        lambda: signals.put(None),
    )
    with handling_signals(signals.put):
        server.start()
        _announce(server, address, is_opened=not no_open)
        ended_by = _wait(server, signals)
    page = ServedPage(tuple(server.urls), not address.is_loopback)
    if server.error:
        raise server.error
    if not build.root.is_dir():  # doit would end in a traceback, as it cannot write its database
        sys.stdout.flush()
        os._exit(1)
    if ended_by is not None:
        with answer_even_if_it_fails(lambda: page):
            signal.raise_signal(ended_by)
    return Answer(page)


def _open_project(build: Build, instead: Mapping[str, bytes] | None = None) -> tuple[Project, list[JobPlan]]:
    from imagegen.project import Project

    if not build.root.is_dir():
        raise ImagegenError(Problem("", f"the project's folder is gone: {build.root}"))
    settings = read_settings(build.root, build.invocation.given, os.environ)
    project = Project(build.root, replace(settings), build.project.registry, build.project.reserved)
    project.inputs.instead = instead or {}
    return project, project.plans()


def leading_words(build: Build, command: str) -> list[str]:
    """Return what each `doit` that this command starts is given too: options of doit, and all variables."""
    words = [word for word in sys.argv[1:] if word != "--json"]
    leading = words[: words.index(command)] if command in words else []
    return [
        *leading,
        *(word for name, value in build.invocation.variables if (word := f"{name}={value}") not in leading),
    ]


def _announce(server: ReviewServer, address: Address, *, is_opened: bool) -> None:
    from imagegen.report.browser import open_in_browser
    from imagegen.report.progress import is_ci

    if output := json_output():
        output.write({"event": "serving", "urls": server.urls})
    first, *others = server.urls
    print(f"{'review':<10} {first}  (Ctrl-C ends it)")
    for url in others:
        print(f"{'':<10} {url}")
    if not address.is_loopback:
        print(f"{'':<10} other machines reach it too, unencrypted: anybody with the address can change the project")
    sys.stdout.flush()
    if is_opened and not is_ci(os.environ) and (why := open_in_browser(first)):
        print(Problem("", f"not opened: {why}", "open the address yourself; --no-open says nothing"), flush=True)


def _wait(server: ReviewServer, signals: queue.SimpleQueue[int | None]) -> int | None:
    """Serve until it ends. Returns the signal that it ended by, if that was not Ctrl-C."""
    ended_by = None
    while server.is_alive:
        try:
            number = signals.get(timeout=1.0)  # without a limit, Windows would not hear Ctrl-C
        except queue.Empty:
            continue
        if number is None:
            break
        if number in (signal.SIGTERM, getattr(signal, "SIGHUP", None)):
            if ended_by is not None:  # however often they come: timeout(1) sends each twice
                continue
            ended_by = number
        server.interrupt()
    return ended_by

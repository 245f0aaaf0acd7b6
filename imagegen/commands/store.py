"""`doit store:push`: upload to the shared store what was generated here, also before there was one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegen.commands.build import Build
from imagegen.commands.command import Answer, command
from imagegen.errors import FAILED, InputError, Problem

if TYPE_CHECKING:
    from imagegen.execute.events import Event

__all__ = ["push"]

_NOT_SHARED = "placeholders, one-off images and derived files are not shared"


@command(
    "store:push",
    "Upload every image the shared store doesn't have yet.",
    {"doit store:push": "", "doit store:push store=s3://team/images": "to another store"},
    result="imagegen.report.results.storage:PushedImages",
)
def push(build: Build) -> Answer:
    """Upload all that backends generated here."""
    from imagegen.execute.events import ProgressEvent
    from imagegen.execute.shared_store import check_packages, push
    from imagegen.execute.worker import InterruptibleWorker
    from imagegen.report.console import note_line, plural, print_note
    from imagegen.report.results.storage import PushedImages

    sources = build.settings.set_by
    if not build.settings.store:
        hint = 'set store = "s3://…", "ssh://…" or "file:///…" in [tool.imagegen] of pyproject.toml'
        raise InputError(Problem("", "no shared store is set", hint))
    if not build.settings.store_writes:
        what = "store_writes is false, so nothing is uploaded from here"
        raise InputError(Problem(sources.get("store_writes", ""), what, "doit store:push store_writes=true"))
    check_packages(build.settings)
    notes: list[str] = []

    def on_event(event: Event) -> None:
        print_note(event)
        if isinstance(event, ProgressEvent) and event.name == "note":
            notes.append(note_line(event))

    attended = InterruptibleWorker(on_event)
    with build.lock():
        count, sharing = push(build.project, build.plans, attended)
    store = build.settings.store
    if not count:
        lines = [f"there is nothing to upload: no backend has generated an image yet ({_NOT_SHARED})"]
        return Answer(PushedImages(store, 0, 0, ()), lines)
    attended.run(sharing.close)
    if attended.stop.is_set():
        raise SystemExit(130)
    result = PushedImages(store, count, sharing.unsent, tuple(notes))
    if sharing.unsent:
        return Answer(result, exit_code=FAILED)  # a note says why
    found = f"{plural(count, 'image')} ({_NOT_SHARED})"
    return Answer(result, [f"the shared store {store} has every image that can be shared: {found}"])

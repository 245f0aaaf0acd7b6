"""`doit store:push`: what was made here goes up to the shared store, also what was made before there was one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from doit.exceptions import TaskFailed

from imagegen.commands.acting import command, tell_note, told, writing
from imagegen.commands.build import Build
from imagegen.commands.command import define
from imagegen.errors import ImagegenError, Problem

__all__ = [
    "task_store",
]


_PUSH = define(
    "store:push",
    "Upload every image the shared store doesn't have yet.",
    {"doit store:push": "", "doit store:push store=s3://team/images": "to another store"},
)


def task_store() -> Iterator[dict[str, Any]]:
    """One command, with a basename of its own, like Ollama's."""
    yield command(_PUSH, _push)


def _push() -> TaskFailed | None:
    def work(build: Build) -> None:
        from imagegen.execute.shared_store import check_packages, push
        from imagegen.execute.worker import InterruptibleWorker
        from imagegen.report.console import counted

        where = build.settings.set_by
        if not build.settings.store:
            hint = 'store = "s3://…", "ssh://…" or "file:///…" in [tool.imagegen]: docs/shared-store.md'
            raise ImagegenError(Problem(where.get("store", ""), "there is no shared store here", hint))
        if not build.settings.store_writes:
            what = "store_writes is false: nothing goes up from here"
            raise ImagegenError(Problem(where.get("store_writes", ""), what, "doit store:push store_writes=true"))
        check_packages(build.settings)
        attended = InterruptibleWorker(tell_note)
        with writing(build):
            count, sharing = push(build.project, build.plans, attended)
        if not count:
            print("there is nothing here that goes up: no backend made an image yet", flush=True)
            return
        attended.run(sharing.close)
        if attended.stop.is_set():
            raise SystemExit(130)
        if sharing.unsent:
            raise ImagegenError
        print(f"the shared store {build.settings.store} has all that was made here: {counted(count, 'image')}")

    return told(work)

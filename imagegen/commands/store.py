"""`doit store:push`: upload to the shared store what was generated here, also before there was one."""

from __future__ import annotations

from imagegen.commands.build import Build
from imagegen.commands.command import command
from imagegen.errors import InputError, Problem

__all__ = ["push"]

_NOT_SHARED = "placeholders, one-off images and derived files are not shared"


@command(
    "store:push",
    "Upload every image the shared store doesn't have yet.",
    {"doit store:push": "", "doit store:push store=s3://team/images": "to another store"},
)
def push(build: Build) -> int:
    """Upload all that backends generated here."""
    from imagegen.execute.shared_store import check_packages, push
    from imagegen.execute.worker import InterruptibleWorker
    from imagegen.report.console import plural, print_note

    sources = build.settings.set_by
    if not build.settings.store:
        hint = 'set store = "s3://…", "ssh://…" or "file:///…" in [tool.imagegen] of pyproject.toml'
        raise InputError(Problem("", "no shared store is set", hint))
    if not build.settings.store_writes:
        what = "store_writes is false, so nothing is uploaded from here"
        raise InputError(Problem(sources.get("store_writes", ""), what, "doit store:push store_writes=true"))
    check_packages(build.settings)
    attended = InterruptibleWorker(print_note)
    with build.lock():
        count, sharing = push(build.project, build.plans, attended)
    if not count:
        print(f"there is nothing to upload: no backend has generated an image yet ({_NOT_SHARED})", flush=True)
        return 0
    attended.run(sharing.close)
    if attended.stop.is_set():
        raise SystemExit(130)
    if not sharing.unsent:
        found = f"{plural(count, 'image')} ({_NOT_SHARED})"
        print(f"the shared store {build.settings.store} has every image that can be shared: {found}")
    return int(bool(sharing.unsent))

"""Fetching an accepted file from the shared store: a checkout has the decision, but not the file where git has none."""

from __future__ import annotations

from dataclasses import replace

from imagegen.execute.keeping import put_in_store
from imagegen.execute.sharing import Sharing
from imagegen.plan.freshness import Verdict
from imagegen.plan.output import Output
from imagegen.project import Project

__all__ = ["ELSEWHERE", "bring_accepted"]

ELSEWHERE = "another one was accepted, which is not in the store"
"""Why an image is kept that is not the accepted one."""


def bring_accepted(project: Project, sharing: Sharing | None, output: Output, verdict: Verdict) -> Verdict:
    """The verdict on an output whose accepted file is not here, once it was looked for there. Raises OSError.

    Where it was found it is in the local store now, from which it is restored. Else what is there is kept.
    """
    sha256 = project.accepted(output) or ""
    data = sharing.fetch(sha256) if sharing else None
    if data is None and verdict.state == "stale":
        note = f"{ELSEWHERE}{', nor in the shared one' if sharing else ''}"
        hint = f"bring it, from git or a copy; or doit -a {output.task} has another one made"
        return replace(verdict, state="kept", note=note, hint=hint)
    if data is None and not sharing:
        return verdict
    if data is None:
        hint = f"doit store:push where it was accepted; or {verdict.hint}"
        return replace(verdict, note=f"{verdict.note}, nor to be had from the shared store", hint=hint)
    put_in_store(project, output, data, project.lock(output.job).line_of(output.path, sha256))
    return project.verdict(output)

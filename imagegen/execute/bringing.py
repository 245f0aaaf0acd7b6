"""Fetching an accepted file from the shared store: a checkout has the decision, but not the file where git has none."""

from __future__ import annotations

from dataclasses import replace

from imagegen.execute.imaging import put_in_store
from imagegen.execute.sharing import Sharing
from imagegen.plan.freshness import Verdict
from imagegen.plan.output import Output
from imagegen.project import Project

__all__ = ["bring_accepted"]


def bring_accepted(project: Project, sharing: Sharing, output: Output, verdict: Verdict) -> Verdict:
    """The verdict on an output whose accepted file is missing, once it was looked for there. Raises OSError.

    Where it was found it is in the local store now, from which it is restored.
    """
    sha256 = project.accepted(output) or ""
    data = sharing.fetch(sha256)
    if data is None:
        mend = f"doit store:push where it was accepted; or {verdict.mend}"
        return replace(verdict, note=f"{verdict.note}, nor to be had from the shared store", mend=mend)
    put_in_store(project, output, data, project.lock(output.job).line_of(output.path, sha256))
    return project.verdict(output)

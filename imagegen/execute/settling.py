"""After a pick: derived files of what is no image any more go, and those of the item's images are to be made."""

from __future__ import annotations

from imagegen.execute.orphans import orphans
from imagegen.execute.picking import Pick
from imagegen.execute.pruning import Waste, prune
from imagegen.plan.output import Output
from imagegen.project import Project

__all__ = ["settle_derived"]


def settle_derived(project: Project, pick: Pick) -> list[Output]:
    """The derived outputs that are made from the item's images, as far as all is there that they are made from.

    Files that were derived from its other variants are removed, where nobody changed them; they are in the store. The
    caller holds the mutex. Raises ImagegenError, OSError.
    """
    item = pick.outputs[0]
    plans = project.plans()
    found = [
        orphan
        for orphan in orphans(project, plans, [item.job])
        if ":" in orphan.line.output and _is_of(orphan.line.output.partition(":")[0], item.base)
    ]
    prune(project, Waste(tuple(found), (), (), (), 0))
    images = {output.task for output in pick.outputs}
    outputs = next(plan.outputs for plan in plans if plan.name == item.job)
    derived = [output for output in outputs if images & {one.task for one in output.origins} and output.is_derived]
    return [output for output in map(project.with_origins, derived) if output.is_settled]


def _is_of(slug: str, base: str) -> bool:
    """Whether this is the slug of the item, or of one of its variants."""
    rest = slug.removeprefix(base)
    return slug.startswith(base) and (not rest or (rest.startswith("-v") and rest[2:].isdigit()))

"""What `doit verify` and `doit prune` say."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

from imagegen.errors import printable
from imagegen.execute.prune import UnusedFiles
from imagegen.execute.verify import Finding
from imagegen.project import Project
from imagegen.report.console import counted

__all__ = ["bytes_text", "verified_lines", "waste_lines"]

_WRONG = ("missing", "changed", "corrupt", "wrong", "orphaned")
_WORDS = {"new": "not made yet", "pointer": "not fetched (Git LFS)"}


def verified_lines(images: Sequence[Finding], store: Sequence[Finding] | None, orphans: Sequence[Finding]) -> list[str]:
    """Whatever is not right, each with what to do, and one closing line. store: None where it was not read."""
    lines = []
    for finding in (*images, *(store or ()), *orphans):
        if not finding.is_right:
            path = f"  {finding.path}" if finding.path != finding.name else ""
            lines.append(printable(f"{finding.state:<9} {finding.name}{path}: {finding.note}\n    {finding.hint}"))
    counts = Counter(finding.state for finding in (*images, *orphans))
    said = [
        f"{counts[state]} {_WORDS.get(state, state)}"
        for state in ("intact", "accepted", *_WORDS, *_WRONG)
        if counts[state]
    ]
    closing = ", ".join(said) or "no images"
    if store is not None:
        bad = sum(not finding.is_right for finding in store)
        state = f"{bad} corrupt" if bad else "all intact"
        closing += f"; the store: {counted(len(store), 'file')}, {state}" if store else "; the store is empty"
    return [*lines, closing]


def waste_lines(project: Project, waste: UnusedFiles) -> list[str]:
    """What can go, and what stays though nothing needs it."""
    lines = []
    for orphan in waste.orphans:
        if orphan.why:
            lines.append(f"keep    {orphan.path}: {orphan.why}")
        elif orphan.exists:
            lines.append(f"remove  {orphan.path}: no item has it any more")
        else:
            why = f"it is an image of '{orphan.owner}'" if orphan.owner else "neither file nor item is there"
            lines.append(f"remove  the line of {orphan.path} in jobs/{orphan.job}.lock: {why}")
    for job, path, line in waste.candidates:
        if (project.root / path).exists():
            lines.append(f"remove  {path}: another variant was picked")
        else:
            lines.append(f"remove  the line of {line.path} in jobs/{job}.lock: another variant was picked")
    lines += [f"keep    {path}: changed by hand since it was made" for path in waste.changed]
    if waste.leftovers:
        shown = os.path.relpath(waste.leftovers[0], project.root)
        more = f" and {len(waste.leftovers) - 1} more" if len(waste.leftovers) > 1 else ""
        lines.append(f"remove  {counted(len(waste.leftovers), 'file')} that a killed run left: {shown}{more}")
    if waste.store_bytes:
        lines.append(f"remove  {bytes_text(waste.store_bytes)} of the store: what was used longest ago, past its bound")
    return [printable(line) for line in lines]


def bytes_text(count: int) -> str:
    """`3.2 MB`, for a person."""
    return f"{count / 1024**2:.1f} MB" if count < 1024**3 else f"{count / 1024**3:.1f} GB"

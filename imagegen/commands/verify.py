"""`doit verify`: check all files against the lock files, and the store against its own hashes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, get_args

from imagegen.commands.build import Build, select_images
from imagegen.commands.command import Answer, command
from imagegen.errors import BAD_INPUT, DONE, FAILED, printable

if TYPE_CHECKING:
    from imagegen.execute.verify import Finding
    from imagegen.report.results.checks import VerifiedFiles

__all__ = ["verified_lines", "verify"]

_STATES = ("intact", "accepted", "new", "pointer", "missing", "changed", "corrupt", "wrong", "orphaned")
"""In the order of the closing line."""
_STATE_WORDS = {"new": "not generated yet", "pointer": "not fetched (Git LFS)"}
"""What the closing line calls a state, if not by its name."""


@command(
    "verify",
    "Check all files against the lock files, and the store.",
    {"doit verify": "the whole project", "doit verify portraits": "one job"},
    words="[IMAGE|JOB...]",
    result="imagegen.report.results.checks:VerifiedFiles",
)
def verify(build: Build, words: list[str]) -> Answer:
    """Return whatever is not right, and what to do about it."""
    from imagegen.execute.verify import verify_orphans, verify_outputs, verify_store
    from imagegen.report.console import StatusLine

    planned = select_images(build, words) if words else list(build.planned.values())
    jobs = [plan.name for plan in build.plans if plan.task in words] if words else None
    with StatusLine() as status:
        outputs = [one.output for one in planned]
        images = verify_outputs(build.project, outputs, partial(status.count, "files checked"))
        store = None if words else verify_store(build.project, partial(status.count, "files of the store checked"))
    orphans = verify_orphans(build.project, build.plans, jobs)
    broken = [] if words else [problem for plan in build.plans for problem in plan.problems]
    is_right = all(finding.is_right for finding in (*images, *(store or ()), *orphans))
    code = BAD_INPUT if broken else DONE if is_right else FAILED
    return Answer(_summarise([*images, *orphans], store), verified_lines([*images, *orphans], store), code, broken)


def _summarise(files: Sequence[Finding], store: Sequence[Finding] | None) -> VerifiedFiles:
    from imagegen.execute.verify import FindingState
    from imagegen.report.results.checks import VerifiedFile, VerifiedFiles

    def count(found: Sequence[Finding]) -> dict[FindingState, int]:
        return dict.fromkeys(get_args(FindingState), 0) | Counter(one.state for one in found)

    return VerifiedFiles(
        tuple(
            VerifiedFile(_task(one), one.path, one.state, one.is_right, one.note, one.hint)
            for one in (*files, *(store or ()))
            if one.state != "intact"
        ),
        count(files),
        None if store is None else count(store),
    )


def _task(finding: Finding) -> str | None:
    return None if finding.name == finding.path else finding.name


def verified_lines(files: Sequence[Finding], store: Sequence[Finding] | None) -> Iterator[str]:
    """Yield a line for each finding that is not right, with what to do, and one with the counts; store: if checked."""
    from imagegen.report.console import plural

    for finding in (*files, *(store or ())):
        if not finding.is_right:
            path = f"  {finding.path}" if finding.path != finding.name else ""
            yield printable(f"{finding.state:<9} {finding.name}{path}: {finding.note}\n    {finding.hint}")
    counts = Counter[str](finding.state for finding in files)
    said = [f"{counts[state]} {_STATE_WORDS.get(state, state)}" for state in _STATES if counts[state]]
    closing = ", ".join(said) or "no images"
    if store:
        corrupt = sum(not finding.is_right for finding in store)
        closing += f"; the store: {plural(len(store), 'file')}, {f'{corrupt} corrupt' if corrupt else 'all intact'}"
    elif store is not None:
        closing += "; the store is empty"
    yield closing

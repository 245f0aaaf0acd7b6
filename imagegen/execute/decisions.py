"""Records decisions, of a person or at random, as lines of a job's lock file."""

from __future__ import annotations

import contextlib
import secrets
from typing import Any

from imagegen.errors import ImagegenError, Problem
from imagegen.plan.output import Output
from imagegen.plan.record import ACCEPT, MODEL_DECISION, SEED, Decision, times_before
from imagegen.project import Project
from imagegen.state.hashes import stat_key
from imagegen.state.timestamps import timestamp_after
from imagegen.state.written_files import BY_HAND, WrittenFile

__all__ = [
    "check_fingerprint_known",
    "choose_seed",
    "random_seed",
    "record_accepted",
    "record_decision",
    "record_model",
]


def record_decision(project: Project, job: str, kind: str, output: str, value: Any) -> None:
    """Record a decision, which is on disk when this returns. Raises OSError.

    It names the decisions that it replaces, and is later than they are, whatever clock they were written by.

    Args:
        output: Its full slug, or the slug of all variants.
    """
    lock = project.lock(job)
    present = lock.decisions.get((kind, output))
    replaced = [*lock.conflicts.get((kind, output), ()), *([present] if present else [])]
    time = timestamp_after(max((one.time for one in replaced), default=""))
    lock.append(Decision(kind, output, value, time, times_before(replaced)))


def record_accepted(project: Project, output: Output, sha256: str) -> None:
    """Record that the file of this sha256, which is in the store, is the output's image until its request changes.

    It will be uploaded to the shared store, so that other checkouts have it. Raises OSError.
    """
    if project.shares:
        project.upload_queue.add([("", sha256)])
    value = {"fingerprint": output.fingerprint, "sha256": sha256}
    record_decision(project, output.job, ACCEPT, output.full_slug, value)
    with contextlib.suppress(OSError):  # it is only for one that another checkout accepts later
        if key := stat_key(project.root / output.path):
            project.written_files.record({output.path: WrittenFile(sha256, key[1], output.fingerprint, "-", BY_HAND)})


def check_fingerprint_known(output: Output) -> None:
    """Check that the output's request is known, so that an image can be accepted for it. Raises ImagegenError."""
    if not output.has_known_origins:
        absent = next(origin for origin in output.origins if not origin.sha256)
        what = f"{absent.path} is missing, which it is made from, so its request is not known"
        raise ImagegenError(Problem(output.task, what, absent.remedy))
    if not output.fingerprint:
        hint = "name it in the job, or build another image of this job first"
        what = "its model is not decided yet, so its request is not known"
        raise ImagegenError(Problem(output.task, what, hint))


def choose_seed(project: Project, output: Output) -> Output:
    """Choose the output's random seed, record it before it is used, and return the output with it. Raises OSError."""
    seed = random_seed()
    record_decision(project, output.job, SEED, output.full_slug, seed)
    return output.with_decisions(seed=seed)


def record_model(project: Project, job: str, model: str) -> None:
    """Record that the job, which names no model, uses this one, the only one there is. Raises OSError."""
    kind, output = MODEL_DECISION
    record_decision(project, job, kind, output, model)


def random_seed() -> int:
    """Return a random seed, 1 … 2^32−1."""
    return secrets.randbelow(2**32 - 1) + 1

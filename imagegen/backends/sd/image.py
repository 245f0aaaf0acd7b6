"""One image: what is sent to `sd-server` for it, and the wait until it is there."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagegen.backends.base import GenerationError, MayBeRunningError, Progress
from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.sd.client import Client, JobState
from imagegen.backends.sd.known_models import KNOWN_MODELS
from imagegen.plan.request import Request

__all__ = ["EffectiveFields", "build_body", "effective_fields", "forget_job", "generate"]

_JOB = Path(".imagegen/sd/job.json")
"""The job of the image in progress: after a kill, the next run finds it."""
_POLL_S = 0.2
_PATIENCE_S = 30.0
"""Seconds that a server may be silent before its image is given up."""
_FULL_S = 3600.0
"""Seconds to wait while a server's queue is full."""


@dataclass(frozen=True)
class EffectiveFields:
    """The fields that a request is generated with: the job's, or what suits the model."""

    width: int
    height: int
    steps: int
    cfg: float
    negative: str
    sampler: str
    """Empty: the server's own for the model. The same for the scheduler."""
    scheduler: str


def effective_fields(request: Request) -> EffectiveFields:
    """Return the fields that the request is generated with."""
    known, given = KNOWN_MODELS.get(request.model), request.given

    def choose(name: str) -> Any:
        return getattr(request if known is None or name in given else known, name)

    is_distilled = known is not None and known.is_distilled
    return EffectiveFields(
        choose("width"),
        choose("height"),
        choose("steps"),
        known.cfg if known and is_distilled else choose("cfg"),
        "" if is_distilled else request.negative,
        request.sampler if "sampler" in given else known.sampler if known else "",
        request.scheduler if "scheduler" in given else "",
    )


def build_body(request: Request, loras: Mapping[str, str], file: Callable[[str], Path]) -> dict[str, Any]:
    """Return what is sent for a request; nothing in it is unknown to the server, which would ignore it.

    Args:
        request: with its seed.
        loras: the path of each LoRA as the server lists it, by the name that the job gives it.
        file: returns where the reference image with a sha256 is.
    """
    fields, extra = effective_fields(request), request.extra
    guidance: dict[str, float] = {"txt_cfg": fields.cfg}
    if "guidance" in extra:
        guidance["distilled_guidance"] = extra["guidance"]
    sample: dict[str, Any] = {"sample_steps": fields.steps, "guidance": guidance}
    if fields.sampler:
        sample["sample_method"] = fields.sampler
    if fields.scheduler:
        sample["scheduler"] = fields.scheduler
    body: dict[str, Any] = {
        "prompt": request.prompt,
        "negative_prompt": fields.negative,
        "width": fields.width,
        "height": fields.height,
        "seed": request.seed,
        "batch_count": 1,
        "sample_params": sample,
        "output_format": "png",
    }
    if "clip_skip" in request.given:
        body["clip_skip"] = request.clip_skip
    if extra.get("loras"):
        body["lora"] = [{"path": loras[name], "multiplier": strength} for name, strength in extra["loras"].items()]
    images = {
        key: base64.b64encode(file(sha256).read_bytes()).decode("ascii")
        for key, sha256 in extra.get("images", {}).items()
    }
    if "init" in images:
        body["init_image"] = images["init"]
        body["strength"] = extra["strength"]
    if references := [images[key] for key in sorted(images) if key != "init"]:
        body["ref_images"] = references
    return body


def generate(
    client: Client,
    body: Mapping[str, Any],
    root: Path,
    progress: Progress,
    steps: Callable[[], tuple[int, int] | None],
    is_lost: Callable[[], bool],
) -> bytes:
    """Have the server generate the image, or take what it has generated since a run was killed.

    Args:
        client: the server.
        body: what is sent.
        root: the project's folder.
        progress: as for `Backend.generate`.
        steps: returns the steps that are done, and how many there are; None if that is unknown.
        is_lost: returns whether the server is known to have ended.

    Raises:
        GenerationError: it cannot be generated.
        MayBeRunningError: the server is silent, and may still generate it.
    """
    attempt = progress.begin_attempt(client.url)
    job = _read_job(root, attempt, client.url)
    state = _ask(client, job, progress, is_lost) if job else JobState("gone")
    if state.status in ("gone", "cancelled", "failed"):
        job = _submit(client, body, progress)
        _write_job(root, attempt, client.url, job)
    else:
        progress.event("note", text="sd-server is still generating, or has, what an earlier run asked for")
    try:
        state = _wait(client, job, progress, steps, is_lost)
    except MayBeRunningError:
        raise
    except BaseException:
        with suppress(Refused, Unreachable):
            client.cancel(job)
        forget_job(root)
        raise
    if state.status == "completed":
        return state.image
    forget_job(root)
    what = "sd-server knows nothing of the image any more" if state.status == "gone" else "it was cancelled there"
    if state.status == "failed":
        what = f"sd-server says: {state.said or 'it failed'}"
    raise GenerationError(what, "run doit again")


def forget_job(root: Path) -> None:
    """Forget the job of the image in progress: it is over."""
    (root / _JOB).unlink(missing_ok=True)


def _submit(client: Client, body: Mapping[str, Any], progress: Progress) -> str:
    """Queue the image; wait while the queue is full."""
    until_s = time.monotonic() + _FULL_S
    while True:
        try:
            return client.submit(body)
        except Unreachable as error:
            raise GenerationError(f"sd-server does not answer: {error}", "run doit again") from None
        except Refused as refused:
            if refused.status != 429 or time.monotonic() > until_s:
                raise _explain(refused) from None
        progress.event("waiting", text="waiting for sd-server … its queue is full")
        progress.restart_clock()
        progress.wait(1.0)


def _wait(
    client: Client,
    job: str,
    progress: Progress,
    steps: Callable[[], tuple[int, int] | None],
    is_lost: Callable[[], bool],
) -> JobState:
    """Wait until the job has ended, and show its steps or its position in the queue."""
    shown: tuple[int, int] | None = None
    position = 0
    while True:
        state = _ask(client, job, progress, is_lost)
        if state.status == "queued":
            progress.restart_clock()
            if state.position != position:
                position = state.position
                progress.event("waiting", text=f"waiting for sd-server … {position}. in its queue")
        elif state.status == "generating":
            if position:
                position = 0
                progress.event("waiting", text="")
            if (now := steps()) and now != shown:
                shown = now
                progress.event("steps", done=now[0], total=now[1])
        else:
            return state
        progress.wait(_POLL_S)


def _ask(client: Client, job: str, progress: Progress, is_lost: Callable[[], bool]) -> JobState:
    """Return the job's state, patiently: the server may be too busy to answer at once."""
    until_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return client.job(job)
        except Unreachable as error:
            if is_lost():
                return JobState("failed", said="it ended")
            if time.monotonic() > until_s:
                what = f"sd-server has not answered for {_PATIENCE_S:g} s: {error}"
                raise MayBeRunningError(what, "run doit again: it takes the image if it is done by then") from None
        except Refused as refused:
            raise _explain(refused) from None
        progress.wait(_POLL_S)


def _explain(refused: Refused) -> GenerationError:
    said = refused.answer.get("error") or refused.answer.get("message") or refused.what
    return GenerationError(f"sd-server says: {said}", refused.hint or "correct what it names")


def _read_job(root: Path, attempt: str, url: str) -> str:
    """Return the ID of the job that an earlier run began for this attempt at this server; empty if there is none."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        noted = json.loads((root / _JOB).read_bytes())
        if attempt and noted["attempt"] == attempt and noted["url"] == url:
            return str(noted["job"])
    return ""


def _write_job(root: Path, attempt: str, url: str, job: str) -> None:
    path = root / _JOB
    with suppress(OSError):  # then it is generated again after a kill
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"attempt": attempt, "url": url, "job": job}), encoding="utf-8")

"""One image: what is sent to the server for it, and waiting for its answer."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import suppress
from threading import Event
from typing import Any

from imagegen.backends.a1111.client import Answer, Client, Stage
from imagegen.backends.base import Cancelled, GeneratedImage, GenerationError, OverdueError, Progress
from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.reference_image import FIRST_IMAGE, encode_image
from imagegen.plan.request import Request

__all__ = ["build_body", "generate"]

_POLL_S = 0.5


def build_body(request: Request, checkpoint: str, progress: Progress) -> dict[str, Any]:
    """Return what is sent: only keys that every program takes.

    Args:
        request: with its seed; its sampler and scheduler as the server names them.
        checkpoint: to switch to; empty for the only one that the server has.
        progress: knows the files of reference images.
    """
    loras = "".join(f"<lora:{name}:{strength:g}>" for name, strength in request.extra.get("loras", {}).items())
    body: dict[str, Any] = {
        "prompt": f"{request.prompt} {loras}" if loras else request.prompt,
        "negative_prompt": request.negative,
        "width": request.width,
        "height": request.height,
        "steps": request.steps,
        "cfg_scale": request.cfg,
        "seed": request.seed,
    }
    if "sampler" in request.given:
        body["sampler_name"] = request.sampler
    if "scheduler" in request.given:
        body["scheduler"] = request.scheduler
    if checkpoint:
        body["override_settings"] = {"sd_model_checkpoint": checkpoint}
    if sha256 := request.extra.get("images", {}).get(FIRST_IMAGE):
        body["init_images"] = [encode_image(progress.file(sha256).read_bytes(), f"a1111.images.{FIRST_IMAGE}")]
        body["denoising_strength"] = request.extra["strength"]
    return body


def generate(
    client: Client, body: Mapping[str, Any], progress: Progress, *, may_interrupt: bool | None
) -> GeneratedImage:
    """Have the server generate an image.

    Args:
        client: the server.
        body: of the request.
        progress: as for `Backend.generate`.
        may_interrupt: whether a cancelled image may be stopped though it may be another person's; None: if it is not.

    Raises:
        GenerationError: it cannot be generated.
        Cancelled: the user asked to stop.
    """
    stopped = Event()

    def check() -> None:
        if stopped.is_set():
            raise Cancelled

    before = _ask(client)
    path = "img2img" if "init_images" in body else "txt2img"
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.generate, path, body, check, progress.timeout_s + 60)
        try:
            while not wait_for([answer], _POLL_S).done:
                progress.check()
                _show(_ask(client), before, progress)
        except (Cancelled, OverdueError):
            if may_interrupt or (may_interrupt is None and before is not None and not before.job):
                with suppress(Refused, Unreachable):
                    client.interrupt()
            raise
        finally:
            stopped.set()
    return _read(answer.result)


def _ask(client: Client) -> Stage | None:
    try:
        return client.stage()
    except (Refused, Unreachable):
        return None


def _show(stage: Stage | None, before: Stage | None, progress: Progress) -> None:
    if stage is None or before is None or not stage.job:
        return
    if stage.job == before.job:
        progress.restart_clock()
        progress.event("waiting", text="waiting for the server … it generates another image")
    elif stage.steps:
        progress.event("steps", done=stage.step, total=stage.steps)


def _read(result: Any) -> GeneratedImage:
    try:
        answer: Answer = result()
    except Refused as refused:
        said = (
            refused.answer.get("detail") or refused.answer.get("errors") or refused.answer.get("error") or refused.what
        )
        raise GenerationError(f"the server says: {said}", refused.hint or "look at its own log") from None
    except Unreachable as error:
        raise GenerationError(f"the server does not answer: {error}", "see whether it still runs") from None
    return GeneratedImage(answer.image)

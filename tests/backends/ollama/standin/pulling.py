"""How the server pulls a model."""

from __future__ import annotations

import time

from tests.backends.ollama.standin.generation import Gone, Refusal, Send, pause
from tests.backends.ollama.standin.names import Name
from tests.backends.ollama.standin.program import Program
from tests.backends.ollama.standin.store import find, folder, install

__all__ = ["pull"]

PARTS = 4
KINDS = ("pull-slow", "pull-disk-full", "pull-offline", "pull-stops")


def pull(program: Program, name: Name, send: Send, gone: Gone) -> None:
    """Tells how far it is; the manifest comes last, so that a pull that is broken off leaves no model.

    Raises Refusal.
    """
    send({"status": "pulling manifest"})
    fault = program.state.take(KINDS, str(name))
    kind = fault.kind if fault else ""
    if kind == "pull-offline":
        host = name.host
        where = f"https://{host}/v2/{name.namespace}/{name.model}/manifests/{name.tag}"
        raise Refusal(500, f'pull model manifest: Get "{where}": dial tcp: lookup {host}: no such host')
    spec = program.state.play["registry"].get(str(name))
    if spec is None:
        raise Refusal(500, "pull model manifest: file does not exist")
    size, present = spec["size"], find(name)
    image = spec["capability"] == "image"
    bar = {"status": "pulling model", "digest": "sha256:model" if image else "sha256:365c0bd3c000", "total": size}
    if present is None or present.config["revision"] != spec["revision"]:
        for part in range(PARTS + 1):
            send(bar | {"completed": size * part // PARTS})
            if part == PARTS // 2 and kind == "pull-disk-full":
                blob = folder() / "blobs/sha256-0123.tmp"
                raise Refusal(500, f"max retries exceeded: write {blob}: no space left on device")
            if part == PARTS // 2 and kind == "pull-stops":
                return
            if fault and kind == "pull-slow" and not pause(fault.details["seconds"], gone):
                return
    send({"status": "writing manifest"})
    if gone():
        return
    digest = install(folder(), name, spec)
    program.state.log("served", event="pull", model=str(name), digest=digest, time=time.time())
    send({"status": "success"})

"""Start, recognise and stop the `sd-server` of this project: one at a time, with one model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.managed_server import (
    ManagedServer,
    ServerRecord,
    environment_without_secrets,
    exit_code,
    hold_free_port,
)
from imagegen.backends.sd.client import Client
from imagegen.backends.sd.errors import explain_start
from imagegen.backends.sd.section import PARTS
from imagegen.backends.sd.server_log import LOG, ServerLog
from imagegen.errors import ImagegenError, Problem

__all__ = ["Launch", "find_argument_problem", "find_other_run", "lora_arguments", "managed_server", "start", "stop"]

_LISTEN = "127.0.0.1"
_GRACE_S = 2.0
"""It ends at once, whatever it does: nothing that is worth waiting for is lost."""


@dataclass(frozen=True)
class Launch:
    """How this project's server is started.

    Attributes:
        root: the project's folder, absolute.
        command: the program and its arguments, without the address.
        ready_timeout_s: seconds from its start until it must serve, its model loaded.
        arguments: those of the command that the settings add.
    """

    root: Path
    command: tuple[str, ...]
    ready_timeout_s: float
    arguments: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """Identifies what is started: the command, and the program and model files as they are now."""
        found = hashlib.sha256()
        for word in self.command:
            found.update(f"{word}\0".encode("utf-8", "surrogateescape"))
            with suppress(OSError, ValueError):
                if (path := Path(word)).is_file():
                    stat = path.stat()
                    found.update(f"{stat.st_size} {stat.st_mtime_ns}\0".encode())
        return found.hexdigest()


def lora_arguments(folder: str) -> tuple[str, ...]:
    """Return the arguments that every server needs, the user's own too, for images with LoRAs and those after them.

    By default it searches all that is below its working folder for LoRAs, again for each image; and it adds them to
    the weights and takes them off again, which leaves other weights behind.
    """
    return ("--lora-model-dir", folder, "--lora-apply-mode", "at_runtime")


def managed_server(root: Path) -> ManagedServer:
    """Return the server of the project at `root`, whether it runs or not."""
    return ManagedServer("sd-server", root, LOG, "fix its permissions, or doit sd:setup", _TOO_SLOW)


def find_argument_problem(arguments: Sequence[str]) -> Problem | None:
    """Return what is wrong with the arguments that the settings add; None if nothing is."""
    for word in arguments:
        name = word.partition("=")[0]
        if name in _DECIDED:
            return Problem("", f"sd.arguments must not have {name}", f"remove it: {_DECIDED[name]}")
    return None


def find_other_run(root: Path) -> Problem | None:
    """Return the problem that another process generates in this folder, and its server must not be ended."""
    record = managed_server(root).read_record()
    if record is None or not record.is_of_another_run:
        return None
    what = f"process {record.owner.pid} generates with sd in this folder, and there is one sd-server for each"
    return Problem("", what, "wait for its end; start each worker of a cluster in a folder of its own")


def start(launch: Launch, on_wait: Callable[[str], None], check: Callable[[], None]) -> ServerRecord:
    """Return this run's server for that launch: the one that runs, or that a killed run left, or a new one.

    Args:
        on_wait: gets a few words about once a second while the model is loaded.
        check: called often then; may raise.

    Raises:
        ImagegenError: it cannot be started. What was started is stopped then, and when `check` raises.
    """
    own = managed_server(launch.root)
    for is_last in (False, True):
        with hold_free_port() as port:
            record = _take_or_start(own, launch, port)
            try:
                _wait_until_ready(own, record, launch, on_wait, check)
            except BaseException as error:
                code = exit_code(record.process)
                own.release(_GRACE_S)
                if code == 0 and not is_last:  # another program took its port while the model was loaded
                    continue
                if isinstance(error, ImagegenError) and code:
                    problem = explain_start(ServerLog(launch.root).read_errors(), code, launch.arguments)
                    raise ImagegenError(problem or error.problems[0]) from None
                raise
        return record
    raise AssertionError("the second one was the last")


def _wait_until_ready(
    own: ManagedServer,
    record: ServerRecord,
    launch: Launch,
    on_wait: Callable[[str], None],
    check: Callable[[], None],
) -> None:
    log = ServerLog(launch.root)

    def show(text: str) -> None:
        percent = log.read_loading()
        on_wait(text if percent is None else f"loading the model … {percent} %")

    own.wait_until_ready(record, lambda: _serves(record.url), launch.ready_timeout_s, show, check)
    if not log.has_text_encoder():
        raise ImagegenError(Problem("", "the model has no text encoder, which reads the prompt", _NO_ENCODER))


def _take_or_start(own: ManagedServer, launch: Launch, port: int) -> ServerRecord:
    with own.lock():
        if problem := find_other_run(launch.root):
            raise ImagegenError(problem)
        record, identity = own.read_record(), launch.identity
        if record and record.process.is_alive and record.launch == identity:
            return own.take_over(record, "run")
        if record:
            own.stop(record, _GRACE_S)
        command = [*launch.command, "--listen-ip", _LISTEN, "--listen-port", str(port)]
        url = f"http://{_LISTEN}:{port}"
        return own.start(command, launch.root, environment_without_secrets(), url, "run", identity)


def stop(root: Path) -> None:
    """Stop the server of this run, or the one that a killed run left. Raises ImagegenError if it cannot be stopped."""
    own = managed_server(root)
    with own.lock():
        record = own.read_record()
        if record and not record.is_of_another_run:
            own.stop(record, _GRACE_S)


def _serves(url: str) -> bool:
    with suppress(Refused, Unreachable):
        Client(url).capabilities()
        return True
    return False


_TOO_SLOW = "sd.server.ready_timeout_s in [tool.imagegen] gives it longer"
_NO_ENCODER = "name its file in the job: sd.clip_l, sd.t5xxl or sd.llm, as the model's page says"
_ADDRESS = "the address is chosen, and others cannot reach it; start a server for others by hand"
_JOB = "name it in the job, where it counts for the image"
_DECIDED = {
    **dict.fromkeys(("-l", "--listen-ip", "--listen-port"), _ADDRESS),
    **dict.fromkeys(("-m", "--qwen2vl", *PARTS.values()), "name the model's files in the job: sd.model, sd.vae …"),
    "--lora-model-dir": "name LoRAs in the job: sd.loras",
    "--lora-apply-mode": "at_runtime is always used; in another mode, a LoRA stays in the images after it",
    "--offload-to-cpu": "set offload = true in [tool.imagegen.sd]",
    **dict.fromkeys(("--rng", "--sampling-method", "--scheduler", "--clip-skip"), _JOB),
}
"""Arguments that settings must not give → why, and what to do."""

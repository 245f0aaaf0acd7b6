"""The fake server itself: starts, restarts and stops."""

from __future__ import annotations

import ssl
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from tests.backends.comfyui.fake_server.engine import Engine
from tests.backends.comfyui.fake_server.routes import Handler, Listener
from tests.backends.comfyui.fake_server.sockets import Sockets
from tests.backends.comfyui.fake_server.world import SAMPLERS, SCHEDULERS, World

__all__ = [
    "FakeComfyUI",
]


class FakeComfyUI(World):
    """A ComfyUI server on 127.0.0.1, between entering and leaving a `with`, or `start` and `stop`.

    port: 0 for one that is free, the same over restarts. certfile: PEM with certificate and key, for https. folder:
    where its `output`, `temp` and `input` are; by default a temporary one, removed when the `with` is left. The rest
    is in `World`; all of it can be changed while it serves.
    """

    def __init__(
        self,
        *,
        checkpoints: Iterable[str] = ("fake.safetensors",),
        loras: Iterable[str] = (),
        vaes: Iterable[str] = (),
        unets: Iterable[str] = (),
        clips: Iterable[str] = (),
        samplers: Iterable[str] = SAMPLERS,
        schedulers: Iterable[str] = SCHEDULERS,
        seconds: float = 0.05,
        loading: float = 0.0,
        steps: int | None = None,
        history_delay: float = 0.02,
        version: str = "0.33.0",
        auth: str | None = None,
        port: int = 0,
        certfile: Path | None = None,
        folder: Path | None = None,
    ) -> None:
        self._temporary = None if folder else tempfile.TemporaryDirectory(prefix="fake-comfyui-")
        super().__init__(
            folder=(folder or Path(self._temporary.name if self._temporary else "")).resolve(),
            checkpoints=dict.fromkeys(checkpoints, ""),
            loras=list(loras),
            vaes=list(vaes),
            unets=list(unets),
            clips=list(clips),
            samplers=list(samplers),
            schedulers=list(schedulers),
            seconds=seconds,
            loading=loading,
            steps=steps,
            history_delay=history_delay,
            version=version,
            auth=auth,
        )
        for kind in ("output", "temp", "input"):
            (self.folder / kind).mkdir(parents=True, exist_ok=True)
        self._context = None
        if certfile:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certfile)
        self._listener: Listener | None = None
        self.port = port

    def __enter__(self) -> FakeComfyUI:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        if self._temporary:
            self._temporary.cleanup()

    @property
    def url(self) -> str:
        """Without a / at its end."""
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    @property
    def output(self) -> Path:
        """The folder that SaveImage writes to."""
        return self.folder / "output"

    def start(self) -> FakeComfyUI:
        """Serve, with an empty queue and history."""
        self._listener = Listener(self.port, Handler, Engine(self, Sockets()), self._context)
        self.port = self._listener.server_address[1]
        return self

    def stop(self) -> None:
        """Drop every connection and whatever runs, at once, as a kill would; files stay. Waits for all its threads."""
        if self._listener:
            self._listener.engine.stop()
            self._listener.close()
            self._listener = None

    def restart(self, away: float = 0.0) -> None:
        """Stop, and serve again on the same port after so many seconds."""
        self.stop()
        time.sleep(away)
        self.start()

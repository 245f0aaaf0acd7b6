"""The server of the page: its addresses, who may ask, and what is sent while something happens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from imagegen.report.gallery.page import LivePage, render
from imagegen.review.actions import Actions
from imagegen.review.commands import read_command
from imagegen.review.live import LiveGallery

__all__ = ["ReviewServer"]

_HERE = Path(__file__).parent / "page"
_PARTS = ("review", "actions", "compare", "edit", "marks")
"""The page's parts: each has a script and a style, in this order."""
_LOOK_S = 1.0
"""Seconds between two looks at whether anything has changed."""
_TYPES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "avif": "image/avif"}


class ReviewServer:
    """Serves one project's page until it is stopped.

    Args:
        gallery: what the page shows.
        folder: in which `doit` is run.
        leading: words before each command.
        address: on which it listens, with 0 for any free port.

    """

    def __init__(
        self, gallery: LiveGallery, folder: Path, leading: Sequence[str], address: tuple[str, int] = ("127.0.0.1", 0)
    ) -> None:
        self.gallery = gallery
        self.secret = secrets.token_urlsafe(24)
        self.actions = Actions(folder, leading, self.tell)
        self._clients: set[asyncio.Queue[dict[str, Any] | None]] = set()
        self._socket = socket.create_server(address)
        host, port = self._socket.getsockname()[:2]
        self._hosts = {f"{name}:{port}" for name in (host, "localhost", "127.0.0.1")}
        self.url = f"http://{host}:{port}/{self.secret}/"
        config = uvicorn.Config(self._app(), log_level="warning", lifespan="on", timeout_graceful_shutdown=5)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to serve, in a thread of its own: signals stay with whoever started it."""
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait so many seconds, and return whether it still serves."""
        self._thread.join(timeout_s)
        return self._thread.is_alive()

    def interrupt(self) -> bool:
        """Do to a running action what Ctrl-C does. Return whether there is none, and the server ends."""
        assert self._loop  # noqa: S101 - it has been started
        if self.actions.is_idle:
            self._loop.call_soon_threadsafe(self._stop)
            return True
        self._loop.call_soon_threadsafe(self.actions.interrupt)
        return False

    def _stop(self) -> None:
        for client in self._clients:
            client.put_nowait(None)
        self._server.should_exit = True

    def tell(self, event: dict[str, Any]) -> None:
        """Send an event to every page that is open."""
        for client in self._clients:
            client.put_nowait(event)

    def _app(self) -> Starlette:
        routes = [
            Route("/", self._page),
            Route("/events", self._events),
            Route("/thumbs/{name}", self._file),
            Route("/earlier/{name}", self._file),
            Route("/originals/{name}", self._file),
            Route("/versions", self._versions),
            Route("/run", self._run, methods=["POST"]),
            Route("/cancel", self._cancel, methods=["POST"]),
        ]
        return Starlette(routes=[Mount(f"/{self.secret}", routes=routes)], lifespan=self._live)

    @contextlib.asynccontextmanager
    async def _live(self, _app: Starlette) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        working = [asyncio.create_task(self.actions.run()), asyncio.create_task(self._watch())]
        yield
        for task in working:
            task.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            if await asyncio.to_thread(self.gallery.has_changed):
                changes = await asyncio.to_thread(self.gallery.refresh)
                if changes.is_other:
                    self.tell({"event": "reload"})
                elif changes.pictures:
                    self.tell({"event": "pictures", "pictures": changes.pictures})

    async def _page(self, request: Request) -> Response:
        self._check(request)
        live = LivePage(
            "".join((_HERE / f"{part}.css").read_text("utf-8") for part in _PARTS),
            "".join((_HERE / f"{part}.js").read_text("utf-8") for part in (*_PARTS, "start")),
            {"actions": [one.data for one in self.actions.all.values()]},
        )
        page = await asyncio.to_thread(render, self.gallery.data, "", live)
        headers = {
            "Content-Security-Policy": f"{page.policy}; frame-ancestors 'none'",
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(page.html, media_type="text/html", headers=headers)

    async def _events(self, request: Request) -> Response:
        self._check(request)
        client: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._clients.add(client)

        async def stream() -> AsyncIterator[str]:
            try:
                yield "retry: 1000\n\n"
                while (event := await client.get()) is not None:
                    yield f"data: {json.dumps(event)}\n\n"
            finally:
                self._clients.discard(client)

        return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    async def _file(self, request: Request) -> Response:
        self._check(request)
        sha256, _, ending = request.path_params["name"].partition(".")
        find = {
            "thumbs": self.gallery.thumbnail,
            "earlier": self.gallery.earlier,
            "originals": self.gallery.original,
        }[request.url.path.split("/")[2]]
        data = await asyncio.to_thread(find, sha256)
        if data is None:
            raise HTTPException(404)
        headers = {"Cache-Control": "private, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
        return Response(data, media_type=_TYPES.get(ending, "application/octet-stream"), headers=headers)

    async def _versions(self, request: Request) -> Response:
        self._check(request)
        versions = await asyncio.to_thread(self.gallery.versions, request.query_params.get("image", ""))
        if versions is None:
            raise HTTPException(404)
        return JSONResponse(versions, headers={"Cache-Control": "no-store"})

    async def _run(self, request: Request) -> Response:
        words = read_command(await self._body(request), self.gallery.tasks)
        if isinstance(words, str):
            return JSONResponse({"problem": words}, 400)
        return JSONResponse(self.actions.add(words).data)

    async def _cancel(self, request: Request) -> Response:
        body = await self._body(request)
        self.actions.cancel(int(body["number"]))
        return JSONResponse({})

    async def _body(self, request: Request) -> Mapping[str, Any]:
        self._check(request)
        origin = request.headers.get("origin", "")
        if (
            origin.removeprefix("http://") not in self._hosts
            or request.headers.get("content-type") != "application/json"
        ):
            raise HTTPException(403)
        try:
            body = await request.json()
        except ValueError:
            raise HTTPException(400) from None
        if not isinstance(body, dict):
            raise HTTPException(400)
        return body

    def _check(self, request: Request) -> None:
        """Refuse a host that is not this server's: a name of somebody else's may lead here (DNS rebinding)."""
        if request.headers.get("host") not in self._hosts:
            raise HTTPException(403)

"""The server of the page: its addresses, what it watches, and how it ends. `review.access` says who may ask."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from imagegen.errors import ImagegenError, not_written
from imagegen.images.formats import BadImage, format_of
from imagegen.report.gallery.page import LivePage, read_part, render
from imagegen.review.access import Access, explain, read_body
from imagegen.review.actions import Action, Actions
from imagegen.review.address import Address
from imagegen.review.commands import read_command
from imagegen.review.connections import Connection
from imagegen.review.editing import Editor
from imagegen.review.forecast import forecast_action
from imagegen.review.live import LiveGallery
from imagegen.review.streams import EventStreams
from imagegen.state.mutex import Holder, read_holder

__all__ = ["ReviewServer"]

_HERE = Path(__file__).parent / "page"
_PARTS = (
    "review",
    "list",
    "connection",
    "actions",
    "panes",
    "near",
    "looks",
    "table",
    "tablekeys",
    "compare",
    "versions",
    "edit",
    "marks",
)
"""The page's parts: each has a script and a style, in this order."""
_LOOK_S = 1.0
"""Seconds between two looks at whether anything has changed."""
_REST = 3
"""How many times as long as it took to read what has changed nothing is read again: a build needs the processor too."""
_NEWS = ("outcome", "end", "action")
"""The events after which something has changed on disk."""
_FOREVER = "private, max-age=31536000, immutable"
"""For a file that is addressed by its content."""
_OF_FILES = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
"""The Content-Security-Policy of a file: a browser centres an image that is opened in a tab by a style of its own."""


class ReviewServer:
    """Serves one project's page until it is stopped.

    Args:
        gallery: what the page shows.
        editor: edits its jobs.
        address: where it listens.
        folder: in which `doit` is run.
        leading: words before each command.
        state: the project's folder `.imagegen`.
        say: prints a line in the terminal.
        on_end: called once it has ended, in its own thread.

    Attributes:
        urls: of the page.
        error: what ended it, if that was a fault.

    """

    def __init__(
        self,
        gallery: LiveGallery,
        editor: Editor,
        address: Address,
        folder: Path,
        leading: Sequence[str],
        state: Path,
        say: Callable[[str], None],
        on_end: Callable[[], None],
    ) -> None:
        self.gallery, self.editor = gallery, editor
        self.error: BaseException | None = None
        self.actions = Actions(folder, leading, self.send, gallery.opened)
        self._say, self._on_end, self._state = say, on_end, state
        self._streams = EventStreams(self._hello)
        self._news = asyncio.Event()
        self._holder: Holder | None = None
        self._problem = ""
        secret = secrets.token_urlsafe(24)
        self.urls = [f"http://{name}/{secret}/" for name in address.shown]
        app = Access(self._app(), secret, address.names, takes_any_ip=address.is_any)
        self._server = uvicorn.Server(_config(app))
        self._thread = threading.Thread(target=self._serve, args=(address,), name="review", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Task[None] | None = None

    @property
    def is_alive(self) -> bool:
        """Whether it still serves."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to serve, in a thread of its own: signals stay with its caller."""
        self._thread.start()

    def interrupt(self) -> None:
        """Do what Ctrl-C does: end, once what is running has ended; the second time that is cancelled, then killed."""
        if self._loop is None:
            self._server.should_exit = True
        else:
            with contextlib.suppress(RuntimeError):  # its loop has ended meanwhile
                self._loop.call_soon_threadsafe(self._interrupt)

    def send(self, event: Mapping[str, Any]) -> None:
        """Send an event to every page that is open."""
        if event["event"] in _NEWS:
            self._news.set()
        self._streams.send(event)

    def _serve(self, address: Address) -> None:
        try:
            self._server.run(sockets=[address.socket])
        except BaseException as error:  # whatever it is, it must not end in silence
            self.error = error
        finally:
            self._on_end()

    def _interrupt(self) -> None:
        if self._ending is None:
            for action in self.actions.close():
                self._say(f"cancelled  {_in_one_line(action)}, which had not begun")
            self._ending = asyncio.get_running_loop().create_task(self._end())
        for action in self.actions.running:
            self._say(f"{self.actions.interrupt(action)}  {_in_one_line(action)}")

    async def _end(self) -> None:
        await self.actions.wait_until_idle()
        self.send({"event": "bye"})
        self._streams.close()
        self._server.should_exit = True

    def _app(self) -> Starlette:
        routes = [
            Route("/", self._page),
            Route("/events", self._events),
            Route("/thumbs/{name}", self._file),
            Route("/earlier/{name}", self._file),
            Route("/originals/{name}", self._file),
            Route("/data", self._data),
            Route("/versions", self._versions),
            Route("/run", self._run, methods=["POST"]),
            Route("/cancel", self._cancel, methods=["POST"]),
            *(Route(f"/edit/{what}", self._edit, methods=["POST"]) for what in ("read", "preview", "write")),
            Route("/undo", self._undo, methods=["POST"]),
            Route("/forecast", self._forecast, methods=["POST"]),
        ]
        return Starlette(routes=routes, lifespan=self._live, exception_handlers={HTTPException: explain})

    @contextlib.asynccontextmanager
    async def _live(self, _app: Starlette) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        working = [asyncio.create_task(self.actions.run()), asyncio.create_task(self._watch())]
        for task in working:
            task.add_done_callback(self._on_fault)
        yield
        for task in working:
            task.cancel()

    def _on_fault(self, task: asyncio.Task[None]) -> None:
        """End with the error by which what goes on for ever has ended."""
        if not task.cancelled():
            self.error = task.exception()
            self._server.should_exit = True

    # what changes without being asked for

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._news.wait(), _LOOK_S)
            has_news = self._news.is_set()
            self._news.clear()
            holder = await asyncio.to_thread(read_holder, self._state)
            if holder and holder.pid in {*self.actions.pids, os.getpid()}:
                holder = None
            if holder != self._holder:
                self._holder = holder
                self.send({"event": "holder", "holder": vars(holder) if holder else None})
            start_s = time.monotonic()
            problem = await self._refresh(has_news=has_news)
            if problem != self._problem:
                self._problem = problem
                self.send({"event": "trouble", "text": problem})
                self._say(problem or "the project can be read again")
            await asyncio.sleep(_REST * (time.monotonic() - start_s))

    async def _refresh(self, *, has_news: bool) -> str:
        """Read again what has changed, and send it to the pages. Return why that is not possible.

        has_news: whether it is known that something has changed.
        """
        try:
            if not has_news and not await asyncio.to_thread(self.gallery.has_changed):
                return ""
            changes = await asyncio.to_thread(self.gallery.refresh)
        except ImagegenError as error:
            return "\n".join(map(str, error.problems))
        except OSError as error:
            return str(not_written(error, doing="read"))
        except Exception as error:  # a fault of ours must end neither the server nor in silence
            if not self._problem:
                traceback.print_exc()
            return f"the page cannot be brought up to date ({type(error).__name__}: {error})"
        if changes:
            self.send(changes.event)
        return ""

    def _hello(self) -> dict[str, Any]:
        """Return all that a page must know that has missed everything; of another version, it asks for the data."""
        return {
            "event": "hello",
            "version": self.gallery.version,
            "actions": [one.data for one in self.actions.recent],
            "holder": vars(self._holder) if self._holder else None,
            "trouble": self._problem,
        }

    # what is asked for

    async def _page(self, _request: Request) -> Response:
        said = self._hello()  # before the data are looked at: what comes later is sent again
        data = self.gallery.data
        live = LivePage(
            "".join(read_part(_HERE / f"{part}.css") for part in _PARTS),
            "".join(read_part(_HERE / f"{part}.js") for part in (*_PARTS, "start")),
            {**said, "files": [group["file"] for group in data["groups"]], "leading": list(self.actions.leading)},
        )
        page = await asyncio.to_thread(render, data, "", live)
        headers = {"Content-Security-Policy": f"{page.policy}; frame-ancestors 'none'"}
        return Response(page.html, media_type="text/html", headers=headers)

    async def _data(self, _request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(self.gallery.everything))

    async def _events(self, _request: Request) -> Response:
        if self._streams.is_full:
            raise HTTPException(503, "the page is open too often: close some of its tabs")
        return StreamingResponse(self._streams.stream(), media_type="text/event-stream")

    async def _file(self, request: Request) -> Response:
        folder, name = request.url.path.rsplit("/", 2)[1:]
        find = {"thumbs": self.gallery.thumbnail, "earlier": self.gallery.earlier, "originals": self.gallery.original}
        sha256 = name.partition(".")[0]
        data = await asyncio.to_thread(find[folder], sha256)
        if data is None or (folder != "thumbs" and hashlib.sha256(data).hexdigest() != sha256):
            raise HTTPException(404, "there is no such file any more")
        headers = {"Cache-Control": _FOREVER, "Content-Security-Policy": _OF_FILES}
        try:
            kind = f"image/{format_of(data)}"  # by what is in it, and not by its name
        except BadImage:
            kind, headers["Content-Disposition"] = "application/octet-stream", "attachment"
        return Response(data, media_type=kind, headers=headers)

    async def _versions(self, request: Request) -> Response:
        versions = await asyncio.to_thread(self.gallery.versions, request.query_params.get("image", ""))
        if versions is None:
            raise HTTPException(404, "there is no such image")
        return JSONResponse(versions)

    async def _run(self, request: Request) -> Response:
        body = await read_body(request)
        commands = self._read_command(body)
        return JSONResponse(self._add(commands, rounds=body.get("count") or 1).data)

    def _read_command(self, body: Mapping[str, Any]) -> Sequence[Sequence[str]]:
        commands = read_command(body, self.gallery.tasks)
        if isinstance(commands, str):
            raise HTTPException(400, commands)
        return commands

    def _add(self, commands: Sequence[Sequence[str]], rounds: int = 1, undoes: int | None = None) -> Action:
        if self._ending:
            raise HTTPException(503, "doit review is ending")
        return self.actions.add(commands, rounds, undoes)

    async def _undo(self, request: Request) -> Response:
        """Take back an action, or whatever was done last: what has not begun is cancelled."""
        body = await read_body(request)
        number = body.get("number")
        found = self.actions.all.get(number) if type(number) is int else None
        action = found if "number" in body else self.actions.find_last()
        if action is None or (action.is_over and not action.can_be_undone):
            raise HTTPException(404, "there is nothing to undo")
        if action.state == "running":
            raise HTTPException(409, f"{_in_one_line(action)} is running: cancel it, or undo it once it has ended")
        if action.state == "waiting":
            self.actions.cancel(action.number)
            return JSONResponse(action.data)
        if action.edit is not None:
            return await self._undo_edit(action, action.edit)
        return JSONResponse(self._add(action.undo.commands, undoes=action.number).data)

    async def _undo_edit(self, action: Action, edit: int) -> Response:
        status, answer = await asyncio.to_thread(self.editor.answer, "undo", {"number": edit})
        if not self.editor.can_undo(edit):
            self.actions.forget_edit(action)
        if status == 200:
            self.actions.record_edit(action.file, answer["number"], action.number)
            self.send({"event": "edit", "undone": answer["undone"]})
        return JSONResponse(answer, status)

    async def _forecast(self, request: Request) -> Response:
        body = await read_body(request)
        self._read_command(body)
        try:
            found = await asyncio.to_thread(lambda: forecast_action(*self.gallery.opened(), body))
        except (ImagegenError, OSError) as error:
            raise HTTPException(409, str(error)) from None
        return JSONResponse(found)

    async def _cancel(self, request: Request) -> Response:
        number = (await read_body(request)).get("number")
        if type(number) is not int or not self.actions.cancel(number):
            raise HTTPException(404, "there is no such action, or it has ended")
        return JSONResponse({})

    async def _edit(self, request: Request) -> Response:
        what = request.url.path.rpartition("/")[2]
        status, answer = await asyncio.to_thread(self.editor.answer, what, await read_body(request))
        if written := answer.get("written"):
            written["number"] = self.actions.record_edit(written["file"], written["number"]).number
            self.send({"event": "edit", "written": written})
        return JSONResponse(answer, status)


def _in_one_line(action: Action) -> str:
    return action.command.replace("\n", " && ")


def _config(app: Access) -> uvicorn.Config:
    """Return how uvicorn serves: it writes no log, which would have the secret, and believes no X-Forwarded-For."""
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )

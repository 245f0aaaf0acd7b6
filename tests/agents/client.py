"""The SDK's own client over stdio, in a thread of its own: so that a test calls a tool as a function."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import psutil
from mcp import Client, StdioServerParameters, stdio_client
from mcp_types import CallToolResult, Tool

__all__ = ["Agent"]

_T = TypeVar("_T")
Step = tuple[float, float | None, str | None]
_LONGEST_S = 120


class Agent:
    """A client with a server of its own."""

    def __init__(self, project: Path, *options: str, env: Mapping[str, str]) -> None:
        arguments = ["-m", "imagegen", "mcp", "--project", str(project), *options]
        self._server = StdioServerParameters(command=sys.executable, args=arguments, env=dict(env))
        self._loop = asyncio.new_event_loop()
        self._ready: Future[Client] = Future()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._live()], daemon=True)
        before = set(psutil.Process().children())
        self._thread.start()
        self.client = self._ready.result(_LONGEST_S)
        (self._process,) = set(psutil.Process().children()) - before

    async def _live(self) -> None:
        self._end = asyncio.Event()
        try:
            async with Client(stdio_client(self._server)) as client:
                self._ready.set_result(client)
                await self._end.wait()
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            raise

    @property
    def processes(self) -> list[psutil.Process]:
        """The server, and what it has started."""
        return [self._process, *self._process.children(recursive=True)]

    def begin(self, work: Coroutine[Any, Any, _T]) -> Future[_T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def tools(self) -> dict[str, Tool]:
        return {tool.name: tool for tool in self.begin(self.client.list_tools()).result(_LONGEST_S).tools}

    def call(self, name: str, steps: list[Step] | None = None, /, **arguments: Any) -> CallToolResult:
        """Call a tool. steps: gets what it reports of its progress."""

        async def note(progress: float, total: float | None, message: str | None) -> None:
            if steps is not None:
                steps.append((progress, total, message))

        return self.begin(self.client.call_tool(name, arguments, progress_callback=note)).result(_LONGEST_S)

    def cancel(self, call: Future[Any]) -> None:
        """Cancel a call, as a client does whose user has had enough of it."""
        call.cancel()

    def close(self) -> None:
        """Go, as a client does: it closes the server's stdin, and ends it if it does not end then."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(_LONGEST_S)
        self._loop.close()

"""How a child asks whether it may begin, once it holds the project: by a socket that it is handed down.

The answer comes from the process that started it. If that was killed, the socket has ended, and nothing begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

__all__ = ["Consent"]


class Consent:
    """Answers one child. Used as a context while the child is started.

    Args:
        may_begin: called each time that it asks.

    """

    def __init__(self, may_begin: Callable[[], Awaitable[bool]]) -> None:
        self._may_begin = may_begin
        self._ours, self._its = socket.socketpair()
        self._ours.setblocking(False)
        self._answering = asyncio.create_task(self._answer())

    def __enter__(self) -> int:
        """Return the number of the child's socket."""
        return self._its.fileno()

    def __exit__(self, *_: object) -> None:
        self._its.close()

    async def end(self) -> None:
        """Answer no more. Raises what went wrong meanwhile."""
        self._answering.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._answering

    async def _answer(self) -> None:
        loop = asyncio.get_running_loop()
        with self._ours, contextlib.suppress(OSError):  # it has ended
            while await loop.sock_recv(self._ours, 1) and await self._may_begin():
                await loop.sock_sendall(self._ours, b"!")

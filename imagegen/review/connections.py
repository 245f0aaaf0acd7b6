"""The connections of the server: one without a whole request is closed soon, and keeps nobody out.

Anybody who reaches the port can open connections, without the secret. So each waits for a request a few seconds only,
and where there are many, the one that has waited longest makes room for a new one.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

from imagegen.review.access import HEADERS

__all__ = ["Connection"]

_MOST = 128
"""Connections at a time; macOS lets a process have 256 files."""
_PATIENCE_S = 10.0
"""Seconds in which the head of a request must come."""


class Connection(H11Protocol):
    """One connection, as uvicorn serves it. Its answer to what is not HTTP has the headers of all others."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it, and close another one if there are too many."""
        super().connection_made(transport)
        self._await_request()
        all_of_them = [one for one in self.connections if isinstance(one, Connection)]
        still_open = [one for one in all_of_them if not one.transport.is_closing()]
        if len(still_open) > _MOST:
            waiting = [one for one in still_open if one.is_waiting]  # this one does
            min(waiting, key=lambda one: one.waits_since_s).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of it."""
        self._timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._await_request()
        super().on_response_complete()

    @property
    def is_waiting(self) -> bool:
        """Whether it is answering nothing."""
        return self.cycle is None or self.cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        if self.is_waiting:
            headers = {**HEADERS, "Content-Type": "text/plain; charset=utf-8", "Connection": "close"}
            head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            self.transport.write(f"HTTP/1.1 400 Bad Request\r\n{head}\r\n{msg}".encode("ascii"))
        self.transport.close()

    def _await_request(self) -> None:
        if timer := getattr(self, "_timer", None):
            timer.cancel()
        self.waits_since_s = self.loop.time()
        self._timer: asyncio.TimerHandle = self.loop.call_later(_PATIENCE_S, self._give_up)

    def _give_up(self) -> None:
        if self.is_waiting:
            self.transport.abort()

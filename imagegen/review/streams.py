"""What every open page hears: server-sent events, with a bound on how much waits for a page that does not listen.

Source: the HTML standard, section 9.2 (server-sent events), https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

__all__ = ["EventStreams"]

_MOST_STREAMS = 32
"""Pages that are open at a time. A browser itself opens six connections to a server at most."""
_MOST_WAITING = 500
"""Events that wait for a page."""
_MOST_CHARACTERS = 1 << 23
"""Characters of these events."""
_QUIET_S = 15.0
"""Seconds after which a stream without events sends a comment: so a page that is gone is noticed."""


class EventStreams:
    """The streams of all pages that are open. Of one event loop: it takes no lock.

    Args:
        hello: returns the event with which a stream begins: all that a page needs that has missed everything.

    """

    def __init__(self, hello: Callable[[], Mapping[str, Any]]) -> None:
        self._hello = hello
        self._queues: dict[asyncio.Queue[str | None], int] = {}
        """What waits for each page, and how many characters that is."""

    @property
    def is_full(self) -> bool:
        """Whether there is no room for one more."""
        return len(self._queues) >= _MOST_STREAMS

    def send(self, event: Mapping[str, Any]) -> None:
        """Send an event to every page. One that has fallen behind gets `hello` in place of all that waits for it."""
        text = _encode(event)
        for queue, waiting in self._queues.items():
            if queue.full() or waiting + len(text) > _MOST_CHARACTERS:
                while not queue.empty():
                    queue.get_nowait()
                self._queues[queue] = 0
                self._put(queue, _encode(self._hello()))
            else:
                self._put(queue, text)

    def close(self) -> None:
        """End every stream, once what waits has been sent."""
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)

    async def stream(self) -> AsyncGenerator[str, None]:
        """Yield what is sent to one page."""
        queue: asyncio.Queue[str | None] = asyncio.Queue(_MOST_WAITING)
        self._queues[queue] = 0
        try:
            yield f"retry: 1000\n\n{_encode(self._hello())}"
            while True:
                try:
                    text = await asyncio.wait_for(queue.get(), _QUIET_S)
                except asyncio.TimeoutError:
                    text = ":\n\n"
                if text is None:
                    return
                self._queues[queue] = max(0, self._queues[queue] - len(text))
                yield text
        finally:
            del self._queues[queue]

    def _put(self, queue: asyncio.Queue[str | None], text: str) -> None:
        queue.put_nowait(text)
        self._queues[queue] += len(text)


def _encode(event: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(event)}\n\n"

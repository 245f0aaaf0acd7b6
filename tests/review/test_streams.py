"""The events that pages hear: in order, from the beginning on, and with a bound for a page that does not listen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from imagegen.review.streams import EventStreams


async def read(stream: AsyncIterator[str], count: int) -> list[Any]:
    texts = [await stream.__anext__() for _ in range(count)]
    return [json.loads(text.partition("data: ")[2]) for text in texts]


def test_a_page_that_sleeps_gets_everything_again_in_place_of_what_it_missed() -> None:
    async def play() -> None:
        count = 0
        streams = EventStreams(lambda: {"event": "hello", "count": count})
        awake, asleep = streams.stream(), streams.stream()
        assert await read(awake, 1) == await read(asleep, 1) == [{"event": "hello", "count": 0}]
        for count in range(1, 1301):
            streams.send({"event": "line", "text": "é\n\ndata: x", "count": count})
            assert (await read(awake, 1))[0] == {"event": "line", "text": "é\n\ndata: x", "count": count}
        missed = await read(asleep, 300)
        assert missed[0]["event"] == "hello"
        assert [one["count"] for one in missed] == list(range(1001, 1301))
        streams.close()
        assert [text async for text in awake] == [text async for text in asleep] == []

    asyncio.run(play())


def test_what_waits_for_a_page_has_a_bound_however_long_each_event_is() -> None:
    async def play() -> None:
        streams = EventStreams(lambda: {"event": "hello"})
        asleep = streams.stream()
        await read(asleep, 1)
        for count in range(5):
            streams.send({"event": "line", "line": "x" * (3 << 20), "count": count})
        missed = await read(asleep, 3)
        assert [one.get("count") for one in missed] == [None, 3, 4]
        await asleep.aclose()

    asyncio.run(play())


def test_a_stream_that_was_left_takes_no_place() -> None:
    async def play() -> None:
        streams = EventStreams(dict)
        opened = [streams.stream() for _ in range(32)]
        for stream in opened:
            await stream.__anext__()
        assert streams.is_full
        await opened[0].aclose()
        assert not streams.is_full
        for stream in opened[1:]:
            await stream.aclose()

    asyncio.run(play())

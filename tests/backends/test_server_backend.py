"""What backends with servers have in common: each server is asked once, and has its own room. Nobody is contacted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from imagegen.backends.base import Context, Diagnosis, GenerationError, ServerSlot
from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.server_backend import ServerBackend
from imagegen.config.settings import Settings
from imagegen.errors import Problem
from imagegen.plan.request import Request

CLOSED, SILENT = "http://closed", "http://silent"


class Kitchen(ServerBackend[str]):
    """Each request's server is in its `extra`."""

    name = "kitchen"

    def __init__(self) -> None:
        super().__init__()
        self.context = Context(Path(), Settings(budget=Decimal(5)), lambda _: b"")
        self.asked: list[str] = []

    def url(self, request: Request) -> str:
        return str(request.extra["url"])

    def concurrency(self, request: Request) -> int:
        return int(request.extra.get("cooks", 1))

    def inspect(self, request: Request) -> str:
        self.asked.append(self.url(request))
        if self.url(request) == CLOSED:
            raise Refused("it is closed")
        if self.url(request) == SILENT:
            raise Unreachable("refused")
        return "open"

    def check(self, request: Request, server: str) -> Iterator[Problem]:
        assert server == "open"
        if request.prompt == "snails":
            yield Problem("", "no snails")

    def describe(self, request: Request, server: str | Problem) -> Iterable[Diagnosis]:
        return [Diagnosis(True, self.url(request), str(server))]

    def price(self, request: Request) -> Decimal | None:
        price = request.extra.get("price", "0")
        return None if price == "?" else Decimal(price)


def order(prompt: str = "soup", url: str = "http://a", model: str = "", **extra: object) -> Request:
    return Request("kitchen", prompt, prompt, model=model, extra={"url": url, **extra})


def test_each_server_is_asked_once() -> None:
    kitchen = Kitchen()
    orders = [order(), order("stew"), order(url="http://b")]
    assert kitchen.preflight(orders) == kitchen.preflight(orders) == []
    assert kitchen.asked == ["http://a", "http://b"]


def test_what_is_wrong_with_a_server_is_wrong_with_its_images() -> None:
    orders = [order(url=CLOSED), order("stew", url=SILENT), order("snails")]
    assert Kitchen().preflight(orders) == [
        Problem("soup", "it is closed", "correct kitchen.server.url"),
        Problem("stew", f"no server answers at {SILENT}: refused", "start it, or correct kitchen.server.url"),
        Problem("snails", "no snails"),
    ]
    with pytest.raises(GenerationError, match="it is closed"):
        Kitchen().require_server(order(url=CLOSED))


def pick(kitchen: Kitchen, *orders: Request) -> tuple[str, ServerSlot] | None:
    found = kitchen.pick_server({kitchen.batch_key(one): 1 for one in orders})
    return found and (found[0][0], found[1])


def test_each_server_has_room_for_as_many_as_it_takes() -> None:
    kitchen = Kitchen()
    one, many = order(), order(url="http://b", cooks=2)
    first = pick(kitchen, one, many)
    assert first is not None
    assert first[0] == "http://a"
    assert [found and found[0] for found in (pick(kitchen, one, many), pick(kitchen, one, many))] == ["http://b"] * 2
    assert pick(kitchen, one, many) is None
    first[1].release()
    assert pick(kitchen, many) is None
    assert (pick(kitchen, many, one) or ("", None))[0] == "http://a"


def test_the_first_image_does_not_decide_for_others_how_much_room_there_is() -> None:
    kitchen = Kitchen()
    assert pick(kitchen, order()) is not None
    assert pick(kitchen, order()) is None
    assert [bool(pick(kitchen, order(cooks=2))) for _ in range(3)] == [True, True, False]


def test_as_many_are_in_flight_as_all_servers_take_together() -> None:
    kitchen = Kitchen()
    assert kitchen.in_flight == 1
    kitchen.preflight([order(cooks=4), order(url="http://b"), order("stew", cooks=4)])
    assert kitchen.in_flight == 5
    several = [order(cooks=4), order(url="http://b")]
    assert sorted(found[0] for _ in range(6) if (found := pick(kitchen, *several))) == ["http://a"] * 4 + ["http://b"]


def test_doctor_has_a_row_for_each_server_and_each_price_by_the_name_of_its_entry() -> None:
    orders = [order(), order("stew"), order("snails", url="http://b"), order(model="cake", price="0.5", quality="low")]
    orders += [order("stew", model="cake", price="0.5", quality="low"), order(model="cake", price="2", quality="high")]
    rows = Kitchen().diagnose([*orders, order(model="pie", price="?")])
    assert [(row.what, row.found) for row in rows] == [
        ("http://a", "open"),
        ("http://b", "open"),
        ("price of cake low 1024x1024", "$0.50 an image; a budget of $5.00 for a run"),
        ("price of cake high 1024x1024", "$2.00 an image; a budget of $5.00 for a run"),
        ("price of pie 1024x1024", "unknown; a budget of $5.00 for a run"),
        ("snails", "no snails"),
    ]


def test_doctor_says_how_to_limit_what_is_spent() -> None:
    kitchen = Kitchen()
    kitchen.context = Context(Path(), Settings(), lambda _: b"")
    rows = kitchen.diagnose([order(model="pie", price="?"), order(model="cake", price="0.5")])
    assert [(row.ok, row.found, row.hint) for row in rows[1:3]] == [
        (
            True,
            "unknown; no budget",
            "add its price below [tool.imagegen] in pyproject.toml: "
            "kitchen.prices.\"pie 1024x1024\" = DOLLARS; and set 'budget'",
        ),
        (True, "$0.50 an image; no budget", ""),
    ]

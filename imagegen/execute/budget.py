"""What a run may cost, and did cost. The price of each image is reserved before the image is generated."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from types import TracebackType
from typing import Literal

from imagegen.backends.base import (
    Backend,
    Cancelled,
    GenerationError,
    MayBePaidError,
    MayBeRunningError,
    OverdueError,
    TryAnotherServer,
)
from imagegen.backends.guard import BackendFaultError, FaultyImageError
from imagegen.config.money import dollars, name_entry
from imagegen.config.settings import SETTINGS
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = [
    "FREE",
    "LIFT_BUDGET",
    "RAISE_BUDGET",
    "Budget",
    "Costs",
    "NotPaidForError",
    "Payment",
    "check_prices",
    "describe_unlimited",
]

RAISE_BUDGET = "raise 'budget' (or budget=… for one run)"
LIFT_BUDGET = "lift the budget for this run: doit budget=none"


@dataclass(frozen=True)
class Costs:
    """What a run cost.

    Attributes:
        spent: US dollars, also for images that may have been charged for without arriving.
        unpriced: images that arrived, of unknown price.
        lost: images that may have been charged for in this run, and never arrived.
        lost_before: images of which earlier runs left that open.

    """

    spent: Decimal = Decimal(0)
    unpriced: int = 0
    lost: int = 0
    lost_before: int = 0


class NotPaidForError(GenerationError):
    """An image is not generated, because nothing may be paid for it. paid: it was paid for already."""

    def __init__(self, problem: Problem, failure: Literal["budget", "paid"] = "budget") -> None:
        super().__init__(problem.what, problem.hint)
        self.failure = failure


class Budget:
    """Serves all executors of a run, from any thread. limit: what they may spend in all; None if there is no limit."""

    def __init__(self, limit: Decimal | None = None) -> None:
        self.limit = limit
        self.costs = Costs()
        self._reserved = Decimal(0)
        self._closed: Problem | None = None
        self._mutex = threading.Lock()

    def reserve(self, task: str, price: Decimal | None) -> Payment:
        """Reserve the price of the image of a task: None if it is not known.

        Raises:
            NotPaidForError: it would pass the limit, or another one would have; the same for each.
        """
        if price == 0:
            return FREE
        with self._mutex:
            if self._closed is None and self.limit is not None:
                left = self.limit - self.costs.spent - self._reserved
                if price is None or price > left:
                    self._closed = self._explain(task, price, self.limit)
            if self._closed is not None:
                raise NotPaidForError(self._closed)
            self._reserved += price or 0
        return Payment(price, self)

    def _explain(self, task: str, price: Decimal | None, limit: Decimal) -> Problem:
        under_way = f" and {dollars(self._reserved)} reserved for images in progress" if self._reserved else ""
        what = (
            f"not generated, to stay within the budget of {dollars(limit)}: {dollars(self.costs.spent)} is spent"
            f"{under_way}, and {task} costs {'an unknown price' if price is None else dollars(price)}"
        )
        hint = (
            RAISE_BUDGET
            if price is None or price > limit
            else f"run doit again, which may spend as much; or {RAISE_BUDGET}"
        )
        return Problem("", what, hint)

    def close(self, problem: Problem) -> None:
        """Have no further image that costs something generated in this run, for this reason."""
        with self._mutex:
            self._closed = self._closed or problem

    def note_lost_before(self) -> None:
        """Count an image that an earlier run may have paid for, and that never arrived."""
        with self._mutex:
            self.costs = replace(self.costs, lost_before=self.costs.lost_before + 1)

    def end(self, price: Decimal | None, state: PaymentState) -> None:
        """Count what became of a price that was reserved."""
        with self._mutex:
            self._reserved -= price or 0
            costs = self.costs
            if state in ("paid", "lost"):
                costs = replace(costs, spent=costs.spent + (price or 0))
            if state == "lost":
                costs = replace(costs, lost=costs.lost + 1)
            elif state == "paid" and price is None:
                costs = replace(costs, unpriced=costs.unpriced + 1)
            self.costs = costs


PaymentState = Literal["reserved", "paid", "lost", "released"]
"""lost: the image may have been charged for, and did not arrive."""


class Payment:
    """The price of one image, reserved. It is the context in which the image is generated.

    price: None if it is not known.
    """

    def __init__(self, price: Decimal | None, budget: Budget | None = None) -> None:
        self.price = price
        self.state: PaymentState = "reserved"
        self._budget = budget

    @property
    def is_due(self) -> bool:
        """Whether the image costs anything."""
        return self._budget is not None

    def __enter__(self) -> None:
        """Do nothing: the price is reserved already."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, FaultyImageError):
            self._end("paid")
        else:
            self._end("released" if _is_refusal(error) else "lost")

    def release(self) -> None:
        """Give the price back if the image was never asked for."""
        self._end("released")

    @property
    def charged(self) -> Decimal | None:
        """US dollars that were or may have been charged; None if that is not known."""
        return self.price if self.state in ("paid", "lost") else Decimal(0)

    def close_budget(self, problem: Problem) -> None:
        """Have no further image that costs something generated in this run, if this one does, for this reason."""
        if self._budget:
            self._budget.close(problem)

    def _end(self, state: PaymentState) -> None:
        if self._budget and self.state == "reserved":
            self.state = state
            self._budget.end(self.price, state)


def _is_refusal(error: BaseException) -> bool:
    """Whether nothing was charged for, as `Backend.price` says."""
    if isinstance(error, Cancelled):
        return not error.may_be_paid
    if isinstance(error, (MayBePaidError, MayBeRunningError, OverdueError, BackendFaultError)):
        return False
    return isinstance(error, (GenerationError, TryAnotherServer))


FREE = Payment(Decimal(0))
"""Of every image that costs nothing."""


def check_prices(backend: Backend, requests: Sequence[Request], limit: Decimal | None) -> list[Problem]:
    """Return a problem for each request that no limited run can pay for: its price is not known, or is above the limit.

    Raises what a backend's `price` does.
    """
    prices = [(request, backend.price(request)) for request in requests]
    if limit is None:
        return []
    problems = []
    for request, price in prices:
        if price is None:
            problems.append(_unpriced(request))
        elif price > limit:
            what = f"costs {dollars(price)}, more than the whole budget of {dollars(limit)}"
            problems.append(Problem(request.name, what, RAISE_BUDGET))
    return problems


def describe_unlimited(request: Request) -> str:
    """Return what to say, while there is no budget, of images of unknown price. request: of one of them."""
    of, add = f" of {request.model}" if request.model else "", _how_to_add(request)
    limit = f"{add}; then 'budget' limits what a run costs" if add else "with 'budget', none is generated"
    return f"what an image{of} costs is not known, and there is no budget: {limit}"


def _unpriced(request: Request) -> Problem:
    hint = LIFT_BUDGET
    if add := _how_to_add(request):
        hint = f"{add}; or {hint}"
    of = f" of {request.model}" if request.model else ""
    return Problem(request.name, f"there is a budget, and what an image{of} costs is not known", hint)


def _how_to_add(request: Request) -> str:
    """Return how to add the price of a request; empty if its backend has no prices in the settings."""
    table = f"{request.backend}.prices"
    if all(setting.name != table for setting in SETTINGS):
        return ""
    quality, size = str(request.extra.get("quality", "")), f"{request.width}x{request.height}"
    entry = f'"{name_entry(request.model, quality, size)}" = DOLLARS'
    return f"add its price below [tool.imagegen] in pyproject.toml: {table}.{entry}"

"""The sums of a run: exact, shared by all threads, and never past the limit."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from imagegen.backends.base import (
    Cancelled,
    GeneratedImage,
    GenerationError,
    MayBePaidError,
    MayBeRunningError,
    OverdueError,
    TryAnotherServer,
)
from imagegen.backends.guard import BackendFaultError, FaultyImageError
from imagegen.errors import Problem
from imagegen.execute.budget import Budget, Costs

PRICE = Decimal("0.04")


def pay(budget: Budget, price: Decimal | None = PRICE, error: BaseException | None = None) -> None:
    """Generate an image of this price, which ends with the error."""
    payment = budget.reserve("j:a", price)
    with contextlib.suppress(BaseException), payment:
        if error:
            raise error
    payment.release()


def test_125_images_for_4_cents_cost_5_dollars_and_no_more_is_paid() -> None:
    budget = Budget(Decimal("5.00"))
    for _ in range(125):
        pay(budget)
    assert budget.costs == Costs(Decimal("5.00"))
    with pytest.raises(GenerationError, match=r"the budget of \$5\.00: \$5\.00 is spent, and j:a costs \$0\.04"):
        budget.reserve("j:a", PRICE)
    pay(budget, Decimal(0))


def test_threads_never_pass_the_limit_together() -> None:
    budget = Budget(Decimal("1.00"))
    paid = []

    def worker() -> None:
        for _ in range(20):
            try:
                with budget.reserve("j:a", PRICE):
                    paid.append(PRICE)
            except GenerationError:
                return

    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            pool.submit(worker)
    assert (len(paid), budget.costs.spent) == (25, Decimal("1.00"))


def test_what_is_reserved_counts_and_what_was_never_asked_for_does_not() -> None:
    budget = Budget(Decimal("0.10"))
    first, second = budget.reserve("j:a", PRICE), budget.reserve("j:b", PRICE)
    second.release()
    with budget.reserve("j:c", PRICE):
        pass
    with pytest.raises(
        GenerationError, match=r"\$0\.04 is spent and \$0\.04 reserved for images in progress, and j:d costs"
    ):
        budget.reserve("j:d", PRICE)
    first.release()
    with pytest.raises(GenerationError, match="j:d costs"):  # the same for each from then on
        budget.reserve("j:e", Decimal("0.01"))


@pytest.mark.parametrize(
    ("error", "spent", "lost"),
    [
        (None, PRICE, 0),
        (FaultyImageError("b", GeneratedImage(b""), "a rule"), PRICE, 0),
        (GenerationError("refused"), 0, 0),
        (TryAnotherServer(), 0, 0),
        (MayBePaidError("lost"), PRICE, 1),
        (MayBeRunningError("silent"), PRICE, 1),
        (OverdueError(3), PRICE, 1),
        (BackendFaultError("b", "a rule"), PRICE, 1),
        (Cancelled(), PRICE, 1),
        (Cancelled(may_be_paid=False), 0, 0),
        (OSError(), PRICE, 1),
        (RuntimeError(), PRICE, 1),
    ],
)
def test_only_what_is_sure_to_cost_nothing_costs_nothing(
    error: BaseException | None, spent: Decimal, lost: int
) -> None:
    budget = Budget()
    pay(budget, error=error)
    assert budget.costs == Costs(Decimal(spent), lost=lost)


def test_images_of_unknown_price_are_counted() -> None:
    budget = Budget()
    pay(budget, None)
    pay(budget, None, MayBePaidError("lost"))
    pay(budget, None, GenerationError("refused"))
    assert budget.costs == Costs(unpriced=1, lost=1)


def test_an_unknown_price_passes_every_limit() -> None:
    with pytest.raises(
        GenerationError, match=r"the budget of \$5\.00: \$0\.00 is spent, and j:a costs an unknown price"
    ):
        Budget(Decimal(5)).reserve("j:a", None)


def test_a_closed_budget_says_why_and_lets_free_images_pass() -> None:
    budget = Budget()
    budget.close(Problem("", "the disk is full", "free space"))
    budget.close(Problem("", "another reason"))
    with pytest.raises(GenerationError, match="the disk is full"):
        budget.reserve("j:a", None)
    pay(budget, Decimal(0))

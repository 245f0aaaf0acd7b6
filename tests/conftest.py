"""For all tests."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests import forked, scripted

# no test is timed: the machines that run them are often busy with something else
_UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", _UNTIMED, derandomize=True, max_examples=40)
settings.register_profile("long", _UNTIMED)

# what a script starts in the background ignores Ctrl-C, and so would all that it starts: tests press it
signal.signal(signal.SIGINT, signal.default_int_handler)

scripted.provide()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: two for each core, since many tests wait for a process or a server."""
    return max(4, 2 * (os.cpu_count() or 1))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the tests of an `xdist_group` run in one worker: pytest 9.2 does not read what pytest-xdist 3.8 writes for it."""
    for item in items:
        if grouped := vars(item).pop("_nodeid", ""):
            known: Any = item
            known._id = type(known._id).parse(grouped)


def pytest_configure(config: pytest.Config) -> None:
    """What properties are tried with is the same each time, so that CI tells of a change, and few; with `-m ''` it is new."""
    is_short = "not long" in config.option.markexpr
    settings.load_profile("same" if is_short else "long")
    if not is_short:
        forked.forbid()

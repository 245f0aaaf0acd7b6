from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from imagegen.calls import StoppedWaiting, call_with_timeout


def test_it_is_what_was_answered() -> None:
    assert call_with_timeout(5, lambda: 3) == 3


def test_what_was_raised_is_raised() -> None:
    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        call_with_timeout(5, fail)


def test_nobody_waits_longer() -> None:
    never = threading.Event()
    start = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.1 s"):
        call_with_timeout(0.1, never.wait)
    assert time.monotonic() - start < 5
    never.set()


def test_whoever_gives_up_waits_no_more() -> None:
    never = threading.Event()
    with pytest.raises(StoppedWaiting):
        call_with_timeout(60, never.wait, lambda: True)
    never.set()


def test_calls_one_after_another_need_one_thread() -> None:
    assert len({call_with_timeout(60, threading.get_ident) for _ in range(100)}) == 1


def test_a_call_that_goes_on_holds_up_no_other() -> None:
    never = threading.Event()
    with pytest.raises(StoppedWaiting):
        call_with_timeout(60, never.wait, lambda: True)
    assert call_with_timeout(60, lambda: 3) == 3
    never.set()


def test_what_never_answers_does_not_hold_up_the_end_of_the_process() -> None:
    code = "import threading\nfrom imagegen.calls import call_with_timeout\ntry: call_with_timeout(0.1, threading.Event().wait)\nexcept TimeoutError: print('ended')"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.split() == ["ended"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on Windows")
def test_a_child_of_this_process_has_threads_of_its_own() -> None:
    """`doit -n 2` forks."""
    code = """
import os, sys
from imagegen.calls import call_with_timeout
call_with_timeout(60, lambda: 1)
if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os._exit(call_with_timeout(60, lambda: 7))
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 7

"""The process that runs doit: how its output, its signals and its end behave, for every command alike."""

from __future__ import annotations

import atexit
import codecs
import errno
import io
import json
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import Any

__all__ = [
    "SafeOutput",
    "call_at_end",
    "fail_at_end",
    "handle_signals",
    "note_exit_code",
    "prepare_process",
    "stopped_exit_code",
    "worst_exit_code",
]

_UNREAD = frozenset({errno.EPIPE, errno.EIO, errno.EINVAL})
"""Nobody reads any more: the pipe is closed, the terminal is gone (EINVAL: a closed pipe on Windows)."""


def prepare_process() -> None:
    """Give this process a clean end in every case, and an output that takes every character. Once is enough."""
    if sys.excepthook is _end_interrupted:
        return
    if sys.__stdout__ is None:  # a file that is opened next would get its number
        raise SystemExit("the standard output is closed: redirect it to a file or to /dev/null")
    if sys.__stderr__ is None:
        _open_stderr()
    codecs.register_error(_Escaping.name, _Escaping.escape)
    _replace_output(sys.__stdout__)
    if sys.__stderr__ is not None:
        _replace_output(sys.__stderr__)
    atexit.register(_end)  # before any other, and so called after all of them
    sys.excepthook = _end_interrupted
    if threading.current_thread() is threading.main_thread():
        handle_signals()
        if hasattr(signal, "SIGBREAK"):  # Windows: Ctrl-Break, and all that another process can send to a group
            signal.signal(signal.SIGBREAK, signal.default_int_handler)


def _open_stderr() -> None:
    """Have a closed stderr lead nowhere: what is opened next would get its number, and what is printed there."""
    nowhere = os.open(os.devnull, os.O_WRONLY)  # mostly gets that number itself
    sys.stderr = os.fdopen(nowhere, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    vars(sys)["__stderr__"] = sys.stderr


def handle_signals() -> None:
    """Have SIGTERM and SIGHUP end what runs as Ctrl-C does. Only the main thread may call it."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


class _Escaping:
    """Writes what the output's encoding lacks as JSON does, so that `--json` stays JSON."""

    name = "imagegen.escape"

    @staticmethod
    def escape(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)  # noqa: S101 - it is only used for writing
        return json.dumps(error.object[error.start : error.end])[1:-1], error.end


class SafeOutput(io.FileIO):
    """A standard stream to which writing never fails: if nobody reads, or the disk is full, the work goes on."""

    def write(self, data: Any, /) -> int:
        """Write, or drop this and all that follows if nobody reads."""
        try:
            while (count := super().write(data)) is None:  # another process set it non-blocking
                select.select([], [self], [])
            return count
        except OSError as error:
            if error.errno not in _UNREAD:
                fail_at_end(f"the output is incomplete: {error.strerror}")
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return len(data)


def _replace_output(stream: Any) -> None:
    """Have the stream write through an `SafeOutput`; doit already holds a reference to this object."""
    if not isinstance(stream, io.TextIOWrapper):
        return
    stream.flush()
    raw = SafeOutput(stream.fileno(), "wb", closefd=False)
    stream.__init__(  # type: ignore[misc]
        raw if stream.write_through else io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=_Escaping.name if stream.errors == "strict" else stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


_failures: list[str] = []
_ended_by: list[int] = []
"""The signal that ends this process, if one does."""


def fail_at_end(said: str, code: int = 1) -> None:
    """Have the process print this when all else is done, and exit with this code, whatever doit's own is."""
    _failures.append(said)
    note_exit_code(code)


_exit_codes: list[int] = []


def note_exit_code(code: int) -> None:
    """Have the process end with this exit code, whatever doit makes of it; the highest counts."""
    _exit_codes.append(code)


def worst_exit_code() -> int:
    """Return the exit code that was noted; 0 if none was."""
    return max(_exit_codes, default=0)


_at_end: list[Callable[[int, Sequence[str]], None]] = []


def call_at_end(call: Callable[[int, Sequence[str]], None]) -> None:
    """Have this called when the process ends by itself, by Ctrl-C or by SIGTERM.

    It gets the exit code, and what was given to `fail_at_end`.
    """
    _at_end.append(call)


def stopped_exit_code(stop: KeyboardInterrupt) -> int:
    """Return the exit code that a shell shows for what ends by this: 130 by Ctrl-C, 143 by SIGTERM."""
    return 128 + int(getattr(stop, "number", signal.SIGINT))


def _end() -> None:
    if sys.__stdout__ is not None and not sys.__stdout__.closed:
        sys.__stdout__.flush()
    for call in _at_end:
        call(worst_exit_code(), _failures)
    if _ended_by and sys.platform != "win32":  # else Python ends in another way if this came while it imported
        signal.signal(_ended_by[0], signal.SIG_DFL)
        signal.raise_signal(_ended_by[0])
    if _failures:
        if sys.__stderr__ is not None:
            sys.__stderr__.writelines(f"{said}\n" for said in dict.fromkeys(_failures))
            sys.__stderr__.flush()
        os._exit(worst_exit_code())


class _Interrupted(KeyboardInterrupt):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def _interrupt(number: int, _frame: FrameType | None) -> None:
    """End the command as Ctrl-C does."""
    raise _Interrupted(number)


def _end_interrupted(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """End in a word and not in a traceback at Ctrl-C before anything runs, or after; doit handles it nowhere."""
    if not isinstance(error, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    sys.stderr.write("stopped\n")
    for call in _at_end:
        call(stopped_exit_code(error), _failures)
    number = getattr(error, "number", signal.SIGINT)
    _ended_by.append(number)
    is_at_work = any(not one.daemon for one in threading.enumerate() if one is not threading.main_thread())
    if isinstance(error, _Interrupted) or is_at_work:  # Python itself would wait for what was to be left
        sys.stdout.flush()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

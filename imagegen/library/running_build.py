"""A build of a program of one's own while it runs: its events, and how it is ended early."""

from __future__ import annotations

from collections.abc import Callable

from imagegen.execute.events import Event as RunEvent
from imagegen.execute.worker import Stopping
from imagegen.library.events import Begun, Event, as_public_event
from imagegen.report.run_summary import FindPlace

__all__ = ["RunningBuild"]


class RunningBuild:
    """Passes the events of one build on, and ends it early if it is cancelled, or if what takes them raises."""

    def __init__(self, on_event: Callable[[Event], object] | None) -> None:
        self._listener = on_event
        self._error: BaseException | None = None
        self.stopping = Stopping(leaves_handlers=True)
        self.is_cancelled = False

    def cancel(self, *, now: bool) -> None:
        """End it early, from any thread. now: also give up the images that are being generated."""
        self.is_cancelled = True
        self.stopping.stop.set()
        if now:
            self.stopping.cancel.set()

    def begin(self, total: int) -> None:
        """Report that the run begins. Raises what the listener raises."""
        self._pass_on(Begun(total))
        self.check()

    def on_event(self, event: RunEvent, find_place: FindPlace) -> None:
        """Report an event of the run. What the listener raises waits for `check`: the run ends in good order first.

        find_place: finds where its image comes from.
        """
        if self._listener and (found := as_public_event(event, find_place)):
            self._pass_on(found)

    def check(self) -> None:
        """Raise what the listener raised."""
        if self._error is not None:
            raise self._error

    def _pass_on(self, event: Event) -> None:
        if self._listener is None or self._error is not None:
            return
        try:
            self._listener(event)
        except BaseException as error:
            self._error = error
            self.stopping.stop.set()

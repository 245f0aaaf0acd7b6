"""An image's place at one of several servers: found again after a kill, and left for another where it fails there."""

from __future__ import annotations

from imagegen.backends.base import GeneratedImage, GenerationError, Progress, ServerSlot, TryAnotherServer
from imagegen.backends.comfyui.client import Refused
from imagegen.backends.comfyui.connection import Connection
from imagegen.backends.comfyui.drawing import draw
from imagegen.backends.comfyui.failures import ServersError, UnfitError
from imagegen.backends.comfyui.fleet import Fleet
from imagegen.backends.comfyui.pool import Hold
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = ["ServerPlace"]


class ServerPlace(ServerSlot):
    """Where the attempt was begun is on disk before a server hears of it."""

    def __init__(self, fleet: Fleet, hold: Hold) -> None:
        self._fleet, self._hold = fleet, hold

    def release(self) -> None:
        """The server has a place for another image."""
        self._fleet.pool.leave(self._hold, drew=False)

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Have the image drawn there, or where it was begun before."""
        if not self._hold.url:
            raise self._fleet.none_left(request)
        begun = progress.last_server
        if begun not in ("", self._hold.url):
            self._go_back(begun, request, progress)
        url = self._hold.url
        connection = self._fleet.connection(request, url)
        attempt = progress.begin_attempt(url)
        drew = False
        try:
            made = draw(connection, request, attempt, progress)
            drew = begun != url  # else it was drawn before, who knows when
        except GenerationError as error:
            raise self._failed(error, connection, attempt, request, progress) from None
        finally:
            self._fleet.pool.leave(self._hold, drew=drew)
        self._fleet.done(attempt, request, url, progress, made=True)
        return made

    def _go_back(self, begun: str, request: Request, progress: Progress) -> None:
        """Move to where the attempt was begun, if that has it; else what was begun there may be made twice: tell so."""
        fleet = self._fleet
        attempt = progress.begin_attempt()
        if fleet.failed_before(attempt) == begun:
            return
        if fleet.pool.left([begun]):
            connection = fleet.connection(request, begun)
            try:
                if connection.knows(attempt, progress):
                    fleet.pool.move(self._hold, begun)
                return  # it never came there, or is forgotten
            except GenerationError as error:
                if not connection.is_gone:
                    raise
                fleet.take_out(begun, error.problem, progress)
            except Refused as refused:
                fleet.take_out(begun, Problem("", refused.what, refused.hint), progress)
        text = f"{begun} may have it, and cannot be asked: it is made again, at {self._hold.url}"
        progress.event("note", text=text)

    def _failed(
        self, error: GenerationError, connection: Connection, attempt: str, request: Request, progress: Progress
    ) -> Exception:
        """What is raised for it: that another server is to make the image, where one may; else what is wrong."""
        fleet, url = self._fleet, connection.url
        if len(request.extra["urls"]) == 1:
            return error
        others = [other for other in fleet.pool.left(fleet.group(request).urls) if other != url]
        if connection.is_gone or (isinstance(error, UnfitError) and others):
            fleet.take_out(url, error.problem, progress)
            return TryAnotherServer() if others else fleet.none_left(request)
        what = f"{error.problem.what}, at {url}"
        if isinstance(error, ServersError) and others and not fleet.failed_before(attempt):
            fleet.failed(attempt, request, url)
            progress.restart_clock()  # its time may be over, and begins anew there
            progress.event("note", text=f"{what}; another server tries it")
            return TryAnotherServer()
        fleet.done(attempt, request, url, progress, made=False)
        error.problem = Problem(error.problem.where, what, error.problem.hint)
        return error

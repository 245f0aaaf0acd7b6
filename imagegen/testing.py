"""A test class for whoever writes a backend: inherit from it, and it tests the backend against every rule."""

from __future__ import annotations

import contextlib
import copy
import io
import math
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from imagegen.backends.base import (
    Backend,
    Cancelled,
    Context,
    GeneratedImage,
    GenerationError,
)
from imagegen.backends.guard import BackendFaultError, Guarded, guard, with_defaults
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, Problem
from imagegen.execute.worker import ImageProgress
from imagegen.images.image_file import verify
from imagegen.plan.request import Request, canonical_fields, fingerprint

__all__ = ["BackendContract"]

_ENOUGH_S = 600.0


class BackendContract:
    """What imagegen checks of a backend and relies on, as tests.

    Inherit from it in a class whose name pytest collects. Say which backend is tested, and give a request:

        class TestGradient(BackendContract):
            def backend(self) -> Backend:
                return GradientBackend()

            def request(self) -> Request:
                return Request("gradient", "Dusk", "from navy to gold", width=64, height=48)

    Each test calls both methods for itself. The test that fails names the rule that is broken.
    """

    def backend(self) -> Backend:
        """Return a new object, as the entry point makes it."""
        raise NotImplementedError("say which backend is tested: override backend()")

    def request(self) -> Request:
        """Return a request that it can generate: small, and complete in every field, as a job resolves it."""
        raise NotImplementedError("give a request that it can generate: override request()")

    def test_its_members_are_sound(self) -> None:
        """Their types; options that job files can be checked by; parameters that name something."""
        self._guarded()

    def test_its_parameters_make_a_fingerprint(self) -> None:
        """What decides the pixels is JSON."""
        fingerprint(canonical_fields(self.request(), self._guarded().parameters))

    def test_preflight_finds_nothing_wrong_with_the_request(self) -> None:
        """It returns a list of problems, which is empty for this request."""
        problems = self._guarded().preflight([self.request()])
        assert not problems, "\n".join(map(str, problems))

    def test_it_says_which_model_it_is_and_stays_with_it(self) -> None:
        """The model's identity is asked for again and again."""
        guarded = self._guarded()
        first, second = (guarded.model_identity(self.request()) for _ in range(2))
        assert first == second, f"the first time {first}, the second time {second}"

    def test_it_generates_a_sound_image_of_the_size_asked_for(self) -> None:
        """A PNG, WebP, AVIF or JPEG, with facts that can be kept."""
        request, guarded = self.request(), self._guarded()
        with self._prepared(guarded):
            made = self._generated(guarded, request)
        size = (None, None) if made.any_size else (request.width, request.height)
        verify(made.data, *size, may_be_flat=made.may_be_flat)
        made.on_stored()

    def test_it_leaves_the_request_the_output_and_the_working_directory_alone(self) -> None:
        """Other threads have them too."""
        backend, request = with_defaults(self.backend()), self.request()
        backend.context = _context()
        before, folder, printed = copy.deepcopy(request), os.getcwd(), io.StringIO()  # noqa: PTH109 - a text
        with contextlib.redirect_stdout(printed):
            backend.preflight([request])
            backend.model_identity(request)
            with self._prepared(backend):
                self._generated(backend, request)
        assert request == before, "the request was changed"
        assert os.getcwd() == folder, "the working directory was changed"  # noqa: PTH109
        assert printed.getvalue() == "", "something was printed: report it with progress.event('note', text=…)"

    def test_generate_ends_when_the_user_stops(self) -> None:
        """It asks `progress.check`, or is done within a few seconds."""
        cancel = threading.Event()
        cancel.set()
        with contextlib.suppress(Cancelled):
            self._ends(ImageProgress(_ENOUGH_S, cancel))

    def test_generate_ends_when_its_time_is_over(self) -> None:
        """The same, by the job's `generate.timeout_s`."""
        with contextlib.suppress(GenerationError):
            self._ends(ImageProgress(0.0, threading.Event()))

    def test_what_it_makes_of_an_empty_section(self) -> None:
        """A `Resolved`, or problems that say what is missing."""
        try:
            self._guarded().resolve({})
        except BackendFaultError:
            raise
        except ImagegenError:
            pass  # something must be given

    def test_the_server_that_it_picks_generates_the_image(self) -> None:
        """A backend with one server need not do anything for it."""
        request, guarded = self.request(), self._guarded()
        with self._prepared(guarded):
            found = guarded.pick_server({guarded.batch_key(request): 1})
            assert found is not None, "pick_server returned None, though nothing is in flight"
            try:
                found[1].generate(request, ImageProgress(math.inf, threading.Event()))
            finally:
                found[1].release()

    def test_its_price_is_known_or_said_to_be_unknown(self) -> None:
        """A `Decimal` in US dollars, 0 for nothing; None if it costs what is not known."""
        self._guarded().price(self.request())

    def test_it_explains_the_request(self) -> None:
        """Lines that say what becomes of its fields, if there are any."""
        self._guarded().explain(self.request())

    def test_its_rows_for_doit_doctor(self) -> None:
        """What it finds, in rows."""
        self._guarded().diagnose([self.request()])

    def _guarded(self) -> Guarded:
        guarded = guard(self.request().backend, self.backend)
        guarded.context = _context()
        return guarded

    @contextlib.contextmanager
    def _prepared(self, backend: Backend) -> Iterator[None]:
        """Prepare its images, and close it after them."""
        try:
            problems = backend.prepare([self.request()], ImageProgress(math.inf, threading.Event()))
            assert not problems, "\n".join(map(str, problems))
            yield
        finally:
            backend.close()

    def _generated(self, backend: Backend, request: Request) -> GeneratedImage:
        return backend.generate(request, ImageProgress(math.inf, threading.Event()))

    def _ends(self, progress: ImageProgress) -> None:
        guarded = self._guarded()
        try:
            with self._prepared(guarded):
                guarded.generate(self.request(), progress)
        finally:
            assert guarded.has_ended, "generate did not end: call progress.check() every 0.2 s while it waits"


def _context() -> Context:
    return Context(Path.cwd(), Settings(), _no_file)


def _no_file(name: str) -> bytes:
    raise ImagegenError(Problem(name, "there is no such file"))

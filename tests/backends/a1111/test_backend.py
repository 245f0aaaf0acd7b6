"""The backend `a1111` keeps every rule that imagegen relies on, with each of the programs."""

from __future__ import annotations

from typing import Any

import pytest

from imagegen.backends.a1111 import A1111Backend
from imagegen.backends.base import Backend
from imagegen.plan.request import Request
from imagegen.testing import BackendContract
from tests.backends.a1111.calls import make_backend, make_request
from tests.backends.a1111.fake_a1111 import FakeA1111
from tests.backends.a1111.fake_programs import PROGRAMS
from tests.backends.ollama.parts import RecordedProgress
from tests.marks import all_but_long


@pytest.mark.parametrize("fake", all_but_long(PROGRAMS, ("a1111", "sd-server", "draw-things")), indirect=True)
class TestA1111(BackendContract):
    @pytest.fixture(autouse=True)
    def _server(self, fake: FakeA1111) -> None:
        self.fake = fake

    def backend(self) -> Backend:
        return A1111Backend()

    def request(self) -> Request:
        fields: dict[str, Any] = {"width": 128, "height": 128, "steps": 2, "sampler": self.fake.program.samplers[1]}
        return Request(
            "a1111",
            "One",
            "a red fox",
            **fields,
            seed=1,
            model=self.fake.program.checkpoints[-1],
            extra={"server": {"url": self.fake.url}},
            given=tuple(sorted(fields)),
        )


@pytest.mark.parametrize(("fake", "count"), [("sd-server", 1), ("koboldcpp", 0), ("a1111", 0)], indirect=["fake"])
def test_what_a_server_does_not_say_of_its_loras_is_said_once_in_a_run(fake: FakeA1111, count: int) -> None:
    backend, progress = make_backend(fake), RecordedProgress()
    plain, lora = make_request(fake), make_request(fake, extra={"loras": {"tint": 1.0}})
    assert backend.prepare([plain, plain], progress) == []
    assert progress.events == []
    for _ in range(2):
        assert backend.prepare([plain, lora, lora], progress) == []
    notes = [facts["text"] for facts in progress.named("note")]
    assert notes == count * [
        f"the server at {fake.url} does not say whether it was started with --lora-apply-mode at_runtime; "
        "if not, a LoRA stays in the images after it"
    ]

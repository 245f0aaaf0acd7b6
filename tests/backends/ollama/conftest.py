from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.ollama.standin.fixture import StandIn


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[StandIn]:
    """An ollama whose server is down, with no model."""
    made = StandIn(tmp_path / "ollama")
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def ollama(standin: StandIn) -> StandIn:
    """One that runs and has x/z-image-turbo."""
    standin.model()
    standin.start_server()
    return standin


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """The same for tests that only look at what they do themselves: that nothing goes wrong with, or is stopped."""
    made = StandIn(tmp_path_factory.mktemp("shared") / "ollama")
    made.model()
    with made.served():
        yield made

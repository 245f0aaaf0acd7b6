from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.ollama.fake_ollama.fixture import FakeOllama


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeOllama]:
    """An ollama whose server is down, with no model."""
    made = FakeOllama(tmp_path / "ollama")
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def ollama(fake: FakeOllama) -> FakeOllama:
    """One that runs and has x/z-image-turbo."""
    fake.model()
    fake.start_server()
    return fake


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeOllama]:
    """The same for tests that only look at what they do themselves: that nothing goes wrong with, or is stopped."""
    made = FakeOllama(tmp_path_factory.mktemp("shared") / "ollama")
    made.model()
    with made.served():
        yield made

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.a1111.fake_a1111 import FakeA1111
from tests.backends.a1111.project import A1111Project


@pytest.fixture
def fake(request: pytest.FixtureRequest) -> Iterator[FakeA1111]:
    """A fake server: A1111, or the program that a test names as its indirect parameter."""
    with FakeA1111(getattr(request, "param", "a1111")) as made:
        yield made


@pytest.fixture
def project(tmp_path: Path, fake: FakeA1111, monkeypatch: pytest.MonkeyPatch) -> A1111Project:
    """A project whose settings name the fake server."""
    for name in ("A1111_AUTH", "A1111_URL"):
        monkeypatch.delenv(name, raising=False)
    return A1111Project(tmp_path / "project", fake)

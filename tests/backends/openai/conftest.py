from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.openai.fake_openai import FakeOpenAI
from tests.backends.openai.project import KEY, OpenAIProject


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test has the key of the person who runs it, or speaks to their server."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    """A hosted API, which is paid for each image."""
    with FakeOpenAI("hosted", key=KEY) as fake:
        yield fake


@pytest.fixture
def project(fake: FakeOpenAI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenAIProject:
    """A project whose images come from there."""
    project = OpenAIProject(tmp_path / "project", fake, monkeypatch)
    project.settings_file(dialect="hosted")
    return project

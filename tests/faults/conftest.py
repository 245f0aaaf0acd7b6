from __future__ import annotations

import pytest

from imagegen.execute import generation


@pytest.fixture
def expensive(monkeypatch: pytest.MonkeyPatch) -> None:
    """No image is generated so fast that others are begun before it is in the store."""
    monkeypatch.setattr(generation, "CHEAP_S", 0.0)

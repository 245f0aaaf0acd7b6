from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.sd.fake_sd_server.fixture import FakeSd
from tests.backends.sd.project import SdProject


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeSd]:
    """A fake sd-server that is not running."""
    made = FakeSd(tmp_path / "sd")
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def project(tmp_path: Path, fake: FakeSd) -> SdProject:
    """A project that starts the fake one, with the checkpoints `one` and `two`."""
    return SdProject(tmp_path / "project", fake)

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.sd.fake_sd_server.fixture import FakeSd
from tests.backends.sd.project import SdProject
from tests.backends.sd.real_server import MODEL, PROGRAM, RealSd


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
    """A project that starts the fake server."""
    return SdProject(tmp_path / "project", fake)


_REAL = pytest.mark.skipif(not (PROGRAM and MODEL), reason="SD_SERVER and SD_MODEL name no real sd-server and model")


@pytest.fixture(params=["fake", pytest.param("real", marks=[_REAL, pytest.mark.xdist_group("real sd-server")])])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SdProject]:
    """A project that starts a server: the fake one, and the real one if it is named."""
    server = FakeSd(tmp_path / "sd") if request.param == "fake" else RealSd(tmp_path / "sd")
    try:
        yield SdProject(tmp_path / "project", server)
    finally:
        server.stop()

"""What the built package holds."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.wheels import ROOT, build


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not archive.getinfo(name).is_dir()}


def package(wheel: Path) -> set[str]:
    return {name for name in names(wheel) if ".dist-info/" not in name}


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "imagegen").rglob("*.py")}
    page = {f"imagegen/report/gallery/page/page.{kind}" for kind in ("html", "css", "js")}
    assert package(wheel) == sources | page | {"imagegen/py.typed"}


def test_the_wheel_carries_the_licence(wheel: Path) -> None:
    assert any(name.endswith("/LICENSE") for name in names(wheel))


def test_the_sdist_holds_what_is_developed_but_nothing_that_was_built(tmp_path: Path) -> None:
    with tarfile.open(build(ROOT, "sdist", tmp_path)) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert inside >= {"pyproject.toml", "README.md", "LICENSE", "dodo.py", "tests/wheels.py", "jobs/portraits.yaml"}
    assert not {name for name in inside if name.startswith((".imagegen", ".venv", "assets/")) or name.endswith(".lock")}


def test_the_sdist_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build(ROOT, "sdist", tmp_path)) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert package(build(source, "wheel", tmp_path)) == package(wheel)

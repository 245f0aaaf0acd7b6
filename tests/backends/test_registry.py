"""The backends that installed packages bring, as their metadata names them."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from imagegen.backends.registry import check_plug_in_names, registry
from imagegen.errors import ImagegenError
from imagegen.project.backends import Backends
from imagegen.state.snapshot_key import snapshot_key

Installs = Callable[..., str]

BROKEN = "raise SystemExit('no GPU')"
SOUND = """
from tests.scripted import ScriptedBackend
print("loading")
class Plug(ScriptedBackend):
    name = "plug"
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installs:
    """Install a package of this text, which brings a backend; the package's name."""

    def install(text: str = SOUND, name: str = "plug", value: str = ":Plug") -> str:
        package = f"plug_{uuid.uuid4().hex}"
        folder = tmp_path / package
        metadata = folder / f"{package}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[imagegen.backends]\n{name} = {package}{value}\n")
        (folder / f"{package}.py").write_text(text)
        monkeypatch.syspath_prepend(folder)
        return package

    return install


def why_not(name: str) -> str:
    with pytest.raises(ImagegenError) as caught:
        Backends(registry())[name]
    return caught.value.problems[0].what


def test_an_import_that_prints_disturbs_no_output(installed: Installs, capsys: pytest.CaptureFixture[str]) -> None:
    installed()
    assert Backends(registry())["plug"].version == "1"
    assert capsys.readouterr() == ("", "loading\n")


def test_an_import_that_fails_costs_no_other_backend_anything(installed: Installs) -> None:
    package = installed(BROKEN)
    backends = Backends(registry())
    sections = backends.sections()
    assert (sections["plug"], sections["placeholder"]) == (None, {})
    assert list(backends.unusable()) == ["plug"]
    assert why_not("plug") == (
        f"the backend plug: {package}:Plug cannot be imported: SystemExit: no GPU (at {package}.py:1)"
    )


@pytest.mark.parametrize(
    ("value", "message"), [(":Absent", "AttributeError"), (":1", "cannot be imported"), (":VALUE", "must name a class")]
)
def test_an_entry_point_that_names_nothing_that_can_be_called(installed: Installs, value: str, message: str) -> None:
    installed("VALUE = 5", value=value)
    assert message in why_not("plug")


def test_two_packages_with_one_backends_name_are_both_named(installed: Installs) -> None:
    packages = [installed(), installed()]
    what = why_not("plug")
    assert what.startswith("the backend plug: two packages bring it: ")
    assert all(package in what for package in packages)


@pytest.mark.parametrize("name", ["placeholder", "items", "generate", "prompt", "a b", "ümlaut"])
def test_a_name_that_is_taken_or_cannot_be_one_is_told_and_replaces_nothing(installed: Installs, name: str) -> None:
    before = registry()
    package = installed(BROKEN, name)
    assert registry().keys() == before.keys()
    assert [package in problem.what for problem in check_plug_in_names()] == [True]


def test_where_a_package_brings_a_backend_the_environment_is_in_a_snapshots_key(
    installed: Installs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(model: str) -> str:
        monkeypatch.setenv("PLUG_MODEL", model)
        return snapshot_key(tmp_path, {}, ())

    (tmp_path / "jobs").mkdir()
    monkeypatch.syspath_prepend(tmp_path)  # so that the path is restored afterwards
    sys.path[:] = [path for path in sys.path if not path.endswith("plugins")]
    assert key("alpha") == key("beta")
    installed()
    assert key("alpha") != key("beta")
    before = key("alpha")
    monkeypatch.setenv("OLDPWD", "/elsewhere")
    assert key("alpha") == before

"""What the built package holds."""

from __future__ import annotations

import re
import tarfile
import zipfile
from pathlib import Path

import pytest

from imagegen import DISTRIBUTION
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
    page |= {"imagegen/report/presets/page.html", "imagegen/images/atlas/ImagegenSheets.cs"}
    page |= {str(path.relative_to(ROOT)) for path in (ROOT / "imagegen/review/page").glob("*.[cj]s*")}
    presets = {str(path.relative_to(ROOT)) for path in (ROOT / "imagegen/config/presets").rglob("*.yaml")}
    assert package(wheel) == sources | page | presets | {"imagegen/py.typed", "doit_imagegen_startup.pth"}


def test_the_wheel_brings_the_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/entry_points.txt"))
        assert archive.read(name).decode().startswith("[console_scripts]\nimagegen = imagegen.__main__:main\n")


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


TEXTS = sorted(
    path
    for pattern in ("*", ".ci/*", "docs/**/*", "imagegen/**/*", "jobs/*", "tools/**/*", "tests/**/*")
    for path in ROOT.glob(pattern)
    if path.is_file()
    and path.suffix in ("", ".cfg", ".css", ".html", ".js", ".md", ".py", ".toml", ".txt", ".yaml", ".yml")
    and not {"ComfyUI", "ollama"} & set(path.relative_to(ROOT / "tools").parts if path.is_relative_to(ROOT / "tools") else ())
)  # fmt: skip
_NAME = r"(?<![\w/.@-])imagegen(?![\w/-]|\.\w)"
_QUOTES = r"[`'\"]*"
INSTALLS = re.compile(
    rf"\b(?:pipx?|uv|poetry|pdm|hatch|rye|conda|mamba)\b[^\n]*?\b(?:install|add|download|wheel)\b{_QUOTES}"
    rf"(?:[ \t]+{_QUOTES}[^\s`'\"&|;,)]+{_QUOTES})*?\s+{_QUOTES}{_NAME}"
    rf"|\b(?:uvx|pipx run|uv tool run|easy_install)\s+{_NAME}"
    rf"|--(?:with|from)[ =]{_NAME}"
    rf"|\binstall[\"'], *(?:[\"'][^\"']*[\"'], *)*[\"']{_NAME}"
    rf"|(?:[\"']|^[ \t-]*){_NAME} *(?:\[\w|[<>=~!]=|@ *\w+[+:])"
    rf"|^[\"']?{_NAME}[\"']? *= *(?:[\"'][\^~<>=*\d]|\{{ *(?:version|git|path))"
    rf"|\b(?:dependencies|requires|install_requires) *= *\[[^\]]*[\"']{_NAME}[\"']"
    rf"|\b[Ii]nstall(?:ed)? (?:the )?(?:package )?{_QUOTES}{_NAME}{_QUOTES} (?:with|from|via|using|by) (?:pip|uv|PyPI|the (?:Python )?package)",
    re.MULTILINE,
)
"""Commands and requirements that name plain `imagegen`, which brings somebody else's package."""


@pytest.mark.parametrize(
    "text",
    [
        "pip install --upgrade imagegen",
        "pip install 'imagegen[gallery]'",
        "`pip install` imagegen",
        "pip install\nimagegen",
        "To upgrade: pip install imagegen.",
        "pip install jinja2 imagegen",
        "pip install 'jinja2>=3' \"imagegen\"",
        "pip install --index-url https://example.org/simple imagegen",
        "pip install 'imagegen @ git+https://git.example.org/imagegen.git'",
        "{sys.executable} -m pip install --upgrade imagegen",
        '["-m", "pip", "install", "-q", "imagegen"]',
        "uvx imagegen init",
        "pipx run imagegen init",
        "uv run --with imagegen doit",
        "uv pip install imagegen",
        "conda install -c forge imagegen",
        "Install imagegen with pip",
        "install `imagegen` from PyPI",
        "imagegen==0.1.0\n",
        "  - imagegen>=0.1\n",
        'imagegen = "^0.1"\n',
        'imagegen = { version = "0.2" }\n',
        'dependencies = ["Pillow", "imagegen"]',
        '"imagegen>=0.1"',
    ],
)
def test_a_text_that_installs_somebody_elses_package_is_known(text: str) -> None:
    assert INSTALLS.search(text)


@pytest.mark.parametrize(
    "text",
    [
        "pip install /path/to/imagegen",
        "pip install ./imagegen && imagegen init",
        "pip install doit-imagegen",
        "pip install 'doit-imagegen[store]'",
        "pip install 'doit-imagegen @ git+https://git.example.org/team/imagegen.git'",
        "pip install doit_imagegen-0.1.0-py3-none-any.whl",
        "pip install ./imagegen-gradient",
        "pip install jinja2; imagegen init",
        "pip uninstall -y imagegen",
        'imagegen = "imagegen.__main__:main"',
        "from imagegen import tasks",
    ],
)
def test_a_text_that_installs_this_package_is_none_of_them(text: str) -> None:
    assert not INSTALLS.search(text)


def test_nothing_tells_anyone_to_install_the_package_of_that_name_on_the_index() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {hit[0]}"
        for path in TEXTS
        if path != Path(__file__)
        for hit in INSTALLS.finditer(path.read_text("utf-8"))
    ]
    assert found == []


def test_the_metadata_names_the_distribution_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        text = archive.read(metadata).decode("utf-8")
    assert f"Name: {DISTRIBUTION}\n" in text
    assert not re.search(r"^Requires-Dist: imagegen\b", text, re.MULTILINE)

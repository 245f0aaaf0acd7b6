"""docs/sd.md and the README's first page against the models and builds that the code has."""

from __future__ import annotations

from imagegen.backends.sd.known_models import KNOWN_MODELS, KnownModel, suggest_model
from imagegen.backends.sd.releases import BUILDS, RELEASE
from imagegen.backends.sd.server import lora_arguments
from imagegen.backends.text import size_text
from tests.docs.pages import table
from tests.wheels import ROOT

PAGE = "docs/sd.md"


def documented(model: KnownModel) -> list[str]:
    """The model's row."""
    licence, _, terms = model.licence.partition(": ")
    references = "yes" if model.takes_references else ""
    size = f"{model.width}×{model.height}"
    linked = f"[{licence}]({model.page})" + (f", {terms}" if terms else "")
    gb = f"{model.memory / 1024**3:.1f} GB".replace(".0 GB", " GB")
    return [f"`{model.name}`", model.title, size_text(model.bytes), gb, model.seconds, size, references, linked]


def test_the_table_of_models_is_that_of_the_code() -> None:
    assert table(PAGE, "model") == [documented(model) for model in KNOWN_MODELS.values()]


def test_the_readme_has_the_sizes_of_the_two_models_that_are_suggested() -> None:
    rows = {row[0]: row[1] for row in table("README.md", "what") if "`" in row[0]}
    for name in {suggest_model(0, "cpu"), suggest_model(2**40, "vulkan")}:
        (download,) = [download for what, download in rows.items() if f"`{name}`" in what]
        assert download == size_text(KNOWN_MODELS[name].bytes)


def test_the_readme_has_the_sizes_of_the_program() -> None:
    ((_, download, *_),) = [row for row in table("README.md", "what") if row[0] == "the program"]
    sizes = {system: [_megabytes(build.assets[0].size) for build in builds] for (system, _), builds in BUILDS.items()}
    (linux_cpu, linux_vulkan, _), (windows_cpu, windows_vulkan, *_) = sizes["Linux"], sizes["Windows"]
    on_linux, on_windows = f"{linux_cpu} or {linux_vulkan} MB", f"{windows_cpu} or {windows_vulkan} MB"
    assert download == f"{on_linux} on Linux, {on_windows} on Windows, {sizes['Darwin'][0]} MB on a Mac"


def _megabytes(size: int) -> str:
    return size_text(size).removesuffix(" MB")


def test_the_page_names_every_device_of_every_system_and_the_release() -> None:
    rows = {row[0].split()[0].rstrip(","): row[1] for row in table(PAGE, "system")}
    names = {"Darwin": "macOS"}
    for (system, _), builds in BUILDS.items():
        assert all(f"`{build.device}`" in rows[names.get(system, system)] for build in builds)
    assert f"--branch {RELEASE} " in (ROOT / PAGE).read_text("utf-8")


def test_the_page_starts_a_server_of_your_own_with_all_that_this_project_s_has() -> None:
    command = f"\nsd-server -m MODEL {' '.join(lora_arguments('DIR'))} --listen-ip 0.0.0.0\n"
    assert command in (ROOT / PAGE).read_text("utf-8")

"""Programs that are installed for a project, as data: `doit sd`, `comfyui:setup`, `ollama:setup`, …."""

from __future__ import annotations

from dataclasses import dataclass

from imagegen.report.results.storage import ModelState

__all__ = ["ComfyUIJobs", "ComfyUISetup", "OllamaSetup", "SdProgram", "SdSetup"]


@dataclass(frozen=True)
class SdProgram:
    """What generates with the backend sd.

    Attributes:
        path: the sd-server; null if a server of your own is used.
        build: of the program; empty if it does not say.
        device: what that was built for; empty if it is not known.
        url: the address of a server of your own, which is used in its place; null if the settings name none.
    """

    path: str | None
    build: str
    device: str
    url: str | None


@dataclass(frozen=True)
class SdSetup:
    """A program and models for the backend sd.

    Attributes:
        program: what generates.
        model: for jobs that name none; null if none is set: then the only checkpoint is used.
        models: the model files that the project needs, as they are now.
        downloaded: the names of those that were downloaded now.
        next: how to go on.
    """

    program: SdProgram
    model: str | None
    models: tuple[ModelState, ...]
    downloaded: tuple[str, ...]
    next: str


@dataclass(frozen=True)
class ComfyUISetup:
    """A ComfyUI that is installed.

    Attributes:
        path: its folder, in the project.
        repository: that it is a git clone of.
        revision: that it is pinned to: a tag, a branch or a commit.
        commit: of that revision.
        python: the version of its Python.
        torch: its PyTorch build; none if that is installed by hand.
        url: the address at which it is started.
        is_changed: whether anything was installed or updated now.
    """

    path: str
    repository: str
    revision: str
    commit: str
    python: str
    torch: str
    url: str
    is_changed: bool


@dataclass(frozen=True)
class ComfyUIJobs:
    """What `doit comfyui` does before it builds; what it builds, the result of the run says.

    Attributes:
        jobs: that use ComfyUI and are built next.
        installed: the ComfyUI that was installed or completed for them; null if a server answers, or if it is not
            needed.
    """

    jobs: tuple[str, ...]
    installed: ComfyUISetup | None


@dataclass(frozen=True)
class OllamaSetup:
    """An Ollama that generates images.

    Attributes:
        path: the program.
        version: of the server that generates.
        is_own: whether it is the one in tools/ollama, which runs start and stop.
        host: the server that it talks to, as OLLAMA_HOST has it.
        models: that the jobs need, all of which it has now.
        pulled: those of them that were downloaded now.
    """

    path: str
    version: str
    is_own: bool
    host: str
    models: tuple[str, ...]
    pulled: tuple[str, ...]

"""Programs that are installed for a project, as data: `doit sd:setup`, `comfyui:setup` and `ollama:setup`."""

from __future__ import annotations

from dataclasses import dataclass

from imagegen.report.results.storage import ModelState

__all__ = ["ComfyUIJobs", "ComfyUISetup", "OllamaSetup", "SdProgram", "SdSetup"]


@dataclass(frozen=True)
class SdProgram:
    """What generates with the backend sd.

    Attributes:
        path: path of sd-server; null if a server of your own is used.
        build: build of the program; empty if it is not known.
        device: device that the program was built for; empty if it is not known.
        url: address of a server of your own that is used instead; null if the settings name none.
    """

    path: str | None
    build: str
    device: str
    url: str | None


@dataclass(frozen=True)
class SdSetup:
    """A program and models for the backend sd.

    Attributes:
        program: the program that generates.
        model: model for jobs that name none; null if none is set, and the only checkpoint is used.
        models: model files that the project needs.
        downloaded: names of the model files that were downloaded now.
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
        path: folder of ComfyUI, relative to the project.
        repository: address of the git repository it was cloned from.
        revision: pinned revision: a tag, a branch or a commit.
        commit: commit of that revision.
        python: version of its Python.
        torch: build of PyTorch; `none` if it is installed by hand.
        url: address at which ComfyUI is started.
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
        jobs: jobs that use ComfyUI and are built next.
        installed: the ComfyUI that was installed or completed for these jobs; null if a server answers, or if none is
            needed.
    """

    jobs: tuple[str, ...]
    installed: ComfyUISetup | None


@dataclass(frozen=True)
class OllamaSetup:
    """An Ollama that generates images.

    Attributes:
        path: path of the program.
        version: version of the server that generates.
        is_own: whether it is the one in tools/ollama, which runs start and stop.
        host: address of the server, as in OLLAMA_HOST.
        models: models that the jobs need, all of which are there now.
        pulled: names of the models that were downloaded now.
    """

    path: str
    version: str
    is_own: bool
    host: str
    models: tuple[str, ...]
    pulled: tuple[str, ...]

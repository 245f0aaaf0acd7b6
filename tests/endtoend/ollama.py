"""A project whose images Ollama generates: the fake one, first on PATH."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.backends.ollama.fake_ollama.fixture import Called, FakeOllama
from tests.project_folder import JOB, ProjectFolder

__all__ = ["OllamaProject"]

OLLAMA_JOB = {"backend": "ollama", "generate": JOB["generate"], "items": JOB["items"]}
_ITS = ("PATH", "HOME", "OLLAMA_HOST", "OLLAMA_MODELS")


class OllamaProject(ProjectFolder):
    """`ollama` is the fake one; no server runs and no model is there until a test has it so."""

    def __init__(self, root: Path) -> None:
        super().__init__(root / "project", OLLAMA_JOB)
        self.ollama = FakeOllama(root / "ollama")
        self.environment |= {name: self.ollama.environment[name] for name in _ITS}

    def items(self, *prompts: str, name: str = "portraits", **changes: Any) -> None:
        """Write a job with an item for each prompt, called a, b, c and so on."""
        self.job(name, items=[{"name": "abcdefgh"[n], "prompt": text} for n, text in enumerate(prompts)], **changes)

    def prompts(self) -> list[str]:
        """Return the prompt of every image that was generated, in order."""
        return [image["prompt"] for image in self.ollama.images]

    def generate_calls(self) -> list[Called]:
        """Return the calls that were to generate an image."""
        return [call for call in self.ollama.called("run") if "--help" not in call.argv]

"""A project whose settings name a fake server with A1111's API."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from imagegen.backends.a1111 import A1111Backend
from imagegen.config.settings import Settings
from tests.backends.a1111.fake_a1111 import FakeA1111
from tests.project_folder import ProjectFolder

__all__ = ["GENERATE", "JOB", "A1111Project"]

GENERATE: dict[str, Any] = {"width": 64, "height": 64, "steps": 4, "cfg": 6.5}
JOB: dict[str, Any] = {
    "backend": "a1111",
    "generate": GENERATE,
    "items": [
        {"name": "Mallsing", "prompt": "a tall figure", "seed": 101},
        {"name": "Yrr", "prompt": "a small figure", "seed": 102},
        {"name": "Okka", "prompt": "a broad figure", "seed": 103},
    ],
}


class A1111Project(ProjectFolder):
    """Its jobs name the server's first checkpoint, as far as there are several. They suit the program."""

    def __init__(self, root: Path, fake: FakeA1111) -> None:
        several = len(fake.program.checkpoints) > 1
        first = fake.program.checkpoints[0].rpartition("/")[2].rpartition(".")[0]
        # Draw Things refuses small images, and takes the app's sampler for one that is not given
        own = {"width": 128, "height": 128, "sampler": "Euler a"} if fake.program.name == "draw-things" else {}
        job = {**JOB, "generate": {**GENERATE, **own}}
        super().__init__(root, {**job, **({"a1111": {"checkpoint": first}} if several else {})})
        self.fake = fake
        self.write("pyproject.toml", f"[tool.imagegen.a1111]\nserver.url = '{fake.url}'\n")
        self.settings = replace(Settings(), a1111_server_url=fake.url)
        self.backends = {"a1111": A1111Backend}

    def one(self, **fields: Any) -> None:
        """Write a job with one item, fox. fields: of the item; a1111 is added to the job's own section."""
        item = {"name": "fox", "prompt": "a red fox", "seed": 42, **fields}
        self.job(items=[item])

    def build_one(self, **fields: Any) -> str:
        """Build a job with one item. Returns what became of it, with all that was reported."""
        self.one(**fields)
        state = self.build().get("portraits:fox", "fresh")
        return f"{state}: {self.report}" if self.report else state

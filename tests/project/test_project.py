"""What a project asks of backends while it is compared with what is on disk."""

from __future__ import annotations

from pathlib import Path

from imagegen.backends.base import ModelIdentity
from imagegen.config.settings import Settings
from imagegen.plan.request import Request
from imagegen.project import Project
from tests.scripted import ScriptedBackend


class Counting(ScriptedBackend):
    """Notes each model that it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def model_identity(self, request: Request) -> ModelIdentity:
        """The digest changes each time."""
        self.asked.append(request.model)
        return ModelIdentity(request.model, f"{len(self.asked):02x}")


def test_a_model_is_looked_at_once_while_many_outputs_are_checked_and_again_afterwards(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    job = "backend: scripted\nitems: [{name: A, prompt: a}, {name: B, prompt: b}, {name: C, prompt: c}]"
    (tmp_path / "jobs/j.yaml").write_text(job)
    backend = Counting()
    project = Project(tmp_path, Settings(), {"scripted": lambda: backend})
    (plan,) = project.plans()
    with project.asking_for_models_once():
        assert {project.model_digest(output) for output in plan.outputs} == {"01"}
    assert [project.model_digest(output) for output in plan.outputs] == ["02", "03", "04"]

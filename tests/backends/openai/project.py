"""A project whose images come from a fake server with OpenAI's images API."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from imagegen.backends.openai import OpenAIBackend
from imagegen.config.settings import read_settings
from tests.backends.openai.fake_openai import FakeOpenAI
from tests.backends.openai.fake_programs import Hosted
from tests.project_folder import ProjectFolder

__all__ = ["CENTS", "HOSTED", "KEY", "ONE", "OWN", "OpenAIProject", "error"]

KEY = "sk-paid-for-0001"

HOSTED: dict[str, Any] = {
    "backend": "openai",
    "generate": {"width": 1024, "height": 640},
    "openai": {"model": "gpt-image-2", "quality": "low"},
    "items": [{"name": name, "prompt": f"a {name}"} for name in ("fox", "owl", "bee", "elk", "cat")],
}
"""A job for a server that is paid."""
CENTS = Decimal("0.006")
"""What each of its images costs."""
ONE = [{"name": "fox", "prompt": "a fox"}]
OWN: dict[str, Any] = {**HOSTED, "generate": {"width": 64, "height": 64}, "openai": {}, "items": HOSTED["items"][:2]}
"""A job for a server of one's own."""
PRICES = {"gpt-image-2 low": "0.006", "gpt-image-2 medium": "0.053"}


class OpenAIProject(ProjectFolder):
    """Its settings name the server: built in this process or by the real doit."""

    def __init__(self, root: Path, fake: FakeOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(root, HOSTED if fake.name == "hosted" else OWN)
        self.fake = fake
        self.backends = {"openai": OpenAIBackend}
        self._monkeypatch = monkeypatch
        self.environ(OPENAI_BASE_URL=fake.url, **({"OPENAI_API_KEY": fake.key} if fake.key else {}))
        self.settings_file()

    def environ(self, **variables: str) -> None:
        """Set variables of the environment, of this process and of those that it starts."""
        self.environment |= variables
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)

    def settings_file(self, prices: Mapping[str, str] = PRICES, budget: str = "", url: str = "", **openai: str) -> None:
        """Write pyproject.toml. openai: more of [tool.imagegen.openai]."""
        lines = ["[tool.imagegen]", *([f"budget = {budget}"] if budget else []), "[tool.imagegen.openai]"]
        openai |= {"server.url": url} if url else {}
        lines += [f"{key} = '{value}'" for key, value in openai.items()]
        lines += ["[tool.imagegen.openai.prices]", *(f"'{name}' = {price}" for name, price in prices.items()), ""]
        self.write("pyproject.toml", "\n".join(lines))
        self.settings = read_settings(self.root, {}, self.environment)

    def budget(self, dollars: str, **changes: Any) -> None:
        """Set the budget of a hosted API."""
        self.settings_file(budget=dollars, dialect="hosted", **changes)

    @property
    def hosted(self) -> Hosted:
        """The program of its server, if that is a hosted API."""
        assert isinstance(self.fake.program, Hosted)
        return self.fake.program


def error(message: str, code: str | None = None, kind: str = "invalid_request_error", **more: Any) -> dict[str, Any]:
    """Return an error as OpenAI words it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}

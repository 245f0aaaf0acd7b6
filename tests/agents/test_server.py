"""`python -m imagegen mcp`, by the SDK's own client over stdio: a real server, and a real project."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.agents.client import Agent
from tests.project_folder import SMALL_JOB, ProjectFolder

pytestmark = pytest.mark.xdist_group("agents")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ProjectFolder:
    folder = ProjectFolder(tmp_path_factory.mktemp("agents") / "project", SMALL_JOB)
    folder.job()
    return folder


@pytest.fixture(scope="module")
def agent(folder: ProjectFolder) -> Iterator[Agent]:
    agent = Agent(folder.root, env=folder.process_environment())
    yield agent
    agent.close()


def test_an_agent_sees_what_a_build_would_do(agent: Agent) -> None:
    found = agent.call("why", images=["portraits:yrr"])
    assert not found.is_error
    assert [image["task"] for image in found.structured_content["result"]["images"]] == ["portraits:yrr"]


def test_what_an_agent_gets_wrong_is_said_all_at_once(agent: Agent) -> None:
    found = agent.call("why", images=["--always", "a=b"], budget=1)
    assert found.is_error
    problems = found.structured_content["problems"]
    assert [problem["where"] for problem in problems] == ["arguments.images.0", "arguments.images.1", "arguments"]

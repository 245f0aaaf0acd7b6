"""`python -m imagegen mcp`, by the SDK's own client over stdio: a real server, and a real project."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest
from mcp import Client
from mcp_types import CallToolResult, ImageContent, TextContent, Tool
from PIL import Image

from imagegen.agents.server import ImagegenServer
from tests.agents.client import Agent
from tests.marks import long
from tests.project_folder import SMALL_JOB, ProjectFolder
from tests.review.served import wait_until
from tests.valid_results import occurring

pytestmark = pytest.mark.xdist_group("agents")
READS = ["list", "info", "why", "pictures", "versions", "verify", "settings", "doctor"]
ACTS = ["preview", "build", "image", "reroll", "pick", "restore", "accept", "mark"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ProjectFolder:
    job = {**SMALL_JOB, "scripted": {"script": "script.json"}}
    folder = ProjectFolder(tmp_path_factory.mktemp("agents") / "project", job)
    folder.job()
    folder.job("towers", variants=2, items=[{"name": "Keep", "prompt": "a keep"}])
    folder.job("dear", items=[{"name": "Gold", "prompt": "a coin"}])
    folder.script(prices={"Gold": "0.50"})
    return folder


@pytest.fixture(scope="module")
def agent(folder: ProjectFolder) -> Iterator[Agent]:
    agent = Agent(folder.root, "--allow-build", env=folder.process_environment())
    yield agent
    agent.close()


def answer_of(found: CallToolResult) -> Any:
    """What the command answered. It is there as a text, too."""
    texts = [one.text for one in found.content if isinstance(one, TextContent) and one.text.startswith("{")]
    assert list(map(json.loads, texts)) == [found.structured_content]
    return found.structured_content


def done(found: CallToolResult) -> Any:
    assert not found.is_error, found
    return answer_of(found)["result"]


def problems_of(found: CallToolResult) -> list[dict[str, Any]]:
    assert found.is_error
    problems: list[dict[str, Any]] = answer_of(found)["problems"]
    return problems


def test_an_agent_builds_and_decides(agent: Agent, folder: ProjectFolder) -> None:
    assert list(agent.tools()) == [*READS, *ACTS]
    assert [task["task"] for task in done(agent.call("list"))["tasks"]] == ["dear", "portraits", "towers"]
    listed = agent.call("list", images=["portraits"], offset=2)
    assert [task["task"] for task in done(listed)["tasks"]] == ["portraits:yrr"]
    assert isinstance(listed.content[0], TextContent)
    assert listed.content[0].text.startswith("tasks: 3 to 3 of 3")
    assert done(agent.call("info", images=["portraits:yrr"]))["request"]["prompt"] == "a small figure"
    previewed = agent.call("preview", images=["portraits"], limit=1)
    assert len(pictures_of(previewed)) == len(done(previewed)["images"]) == 1

    steps: list[tuple[float, float | None, str | None]] = []
    built = done(agent.call("build", steps, images=["portraits", "towers"], limit=2))
    assert occurring(built["counts"]) == {"generated": 4}
    assert [step[:2] for step in steps][-1] == (4, 4)
    assert [done for done, *_ in steps] == sorted({done for done, *_ in steps})

    first = folder.image("yrr").read_bytes()
    rerolled = agent.call("reroll", images=["portraits:yrr"], count=2.0)
    colours = [picture.getpixel((0, 0)) for picture in pictures_of(rerolled)]
    assert len({*colours}) == 2, "each picture by itself"
    versions = agent.call("versions", images=["portraits:yrr"])
    assert done(versions)["versions"][0]["path"] == "assets/portraits/yrr.png"
    assert [picture.getpixel((0, 0)) for picture in pictures_of(versions)[:2]] == colours
    said = [one.text for one in versions.content if isinstance(one, TextContent)]
    assert [text for text in said if 'to go back to it: restore with to: ["3"]' in text]
    agent.call("restore", images=["portraits:yrr"], to=["3"])
    assert folder.image("yrr").read_bytes() == first

    assert len(pictures_of(agent.call("pick", images=["towers:keep"], variant=2))) == 1
    assert sorted(path.name for path in folder.image("", "", job="towers").iterdir()) == ["keep.png"]
    edited = folder.touch_up("mallsing")
    agent.call("accept", images=["portraits:mallsing"])
    agent.call("mark", images=["portraits:mallsing"], **{"as": "keep", "note": "a = b, --by me"})
    assert folder.image("mallsing").read_bytes() == edited
    review = (folder.root / "jobs/portraits.review").read_text()
    assert '"agent"' in review
    assert "a = b, --by me" in review

    agent.call("image", prompt=["a raven"], width=32, height=32, backend="placeholder", out="drafts/raven.png")
    assert (folder.root / "drafts/raven.png").is_file()


def pictures_of(found: CallToolResult) -> list[Image.Image]:
    blocks = [one for one in found.content if isinstance(one, ImageContent)]
    assert {one.mime_type for one in blocks} <= {"image/webp"}
    return [Image.open(io.BytesIO(base64.b64decode(one.data))) for one in blocks]


def test_an_agent_sees_the_pictures(agent: Agent) -> None:
    found = agent.call("pictures", images=["portraits"], size=64)
    shown = pictures_of(found)
    assert not found.is_error, found
    assert [picture.format for picture in shown] == ["WEBP", "WEBP"], str(found)[:3000]
    assert isinstance(found.content[0], TextContent)
    assert found.content[0].text.startswith("portraits:mallsing: assets/portraits/mallsing.png, 32 × 32 pixels")
    (only,) = agent.call("pictures", images=["dear"]).content
    assert isinstance(only, TextContent)
    assert only.text == "dear:gold: assets/dear/gold.png is not there"
    (problem,) = problems_of(agent.call("pictures", images=["nobody"]))
    assert "'nobody' is not a job" in problem["what"]


def test_what_an_agent_gets_wrong_is_said_all_at_once(agent: Agent) -> None:
    wrong = problems_of(agent.call("why", images=["--always", "a=b", "c\nd", "*"], budget=1))
    assert {problem["where"] for problem in wrong} == {f"argument images.{at}" for at in (0, 1, 3)} | {
        "argument images",
        "arguments",
    }


@pytest.mark.parametrize(
    ("tool", "arguments", "where", "what"),
    [
        ("build", {"images": ["clean"]}, "argument images.0", "there is no job 'clean'"),
        ("build", {"images": ["portraits:nobody"]}, "", "portraits:nobody"),
        ("build", {"images": ["portraits"] * 201}, "argument images", "at most 200"),
        ("build", {"budget": "all"}, "argument budget", "'all' is not of type 'number'"),
        ("image", {"prompt": ["x"], "out": "../x.png"}, "argument out", "outside the project"),
        ("image", {"prompt": ["x"], "like": "/etc/passwd"}, "argument like", "outside the project"),
        ("image", {"prompt": ["\0"]}, "argument prompt", "'\\x00'"),
        ("reroll", {"images": ["portraits"]}, "argument images.0", "portraits is a whole job"),
        long("reroll", {"images": ["portraits*"]}, "argument images.0", "not the name of an image"),
        long("pick", {"images": ["reroll"]}, "", "reroll"),
        ("buld", {}, "", "did you mean 'build'?"),
    ],
)
def test_harmful_arguments_do_no_harm(
    agent: Agent, folder: ProjectFolder, tool: str, arguments: dict[str, Any], where: str, what: str
) -> None:
    before = folder.files()
    (problem,) = problems_of(agent.call(tool, **arguments))
    assert problem["where"] == where
    assert what in problem["what"]
    assert folder.files() == before


def test_nothing_is_paid_for_without_a_budget(agent: Agent, folder: ProjectFolder) -> None:
    (problem,) = answer_of(agent.call("build", images=["dear"]))["result"]["images"][0]["problems"]
    assert "budget of $0.00" in problem["what"]
    assert problem["hint"] == "ask the person what it may cost, then give that as budget"
    folder.write("pyproject.toml", "[tool.imagegen]\nbudget = 2\n")
    (problem,) = problems_of(agent.call("build", images=["dear"], budget=5))
    assert "more than the project's own" in problem["what"]
    built = done(agent.call("build", images=["dear"], budget=0.5))
    assert built["cost"]["spent"] == 0.5


def test_a_cancelled_call_ends_as_by_ctrl_c_and_the_next_waits_for_it(agent: Agent, folder: ProjectFolder) -> None:
    go = folder.root / "go"
    folder.job("held", items=[{"name": name, "prompt": name} for name in ("one", "two", "three")])
    folder.script(acts={"*": [{"until": str(go)}]}, in_flight=1)
    call = agent.begin(agent.client.call_tool("build", {"images": ["held"]}))
    wait_until(lambda: "one" in folder.calls("started"))
    beside = done(agent.call("why", images=["held"]))  # what only reads does not wait
    assert len(beside["images"]) == 3
    agent.cancel(call)
    with pytest.raises(CancelledError):
        call.result(60)
    after = agent.begin(agent.client.call_tool("build", {"images": ["portraits"]}))
    assert not after.done()
    go.touch()
    assert not after.result(60).is_error
    built = [name for name in folder.calls() if name in ("one", "two", "three")]
    assert built == ["one"]  # it was begun, and so finished; the others were not begun
    assert folder.image("one", job="held").is_file()


def test_without_allow_build_an_agent_only_looks(folder: ProjectFolder) -> None:
    async def look() -> tuple[list[Tool], CallToolResult]:
        async with Client(ImagegenServer(folder.root, allows_build=False).server) as client:
            return (await client.list_tools()).tools, await client.call_tool("build", {})

    tools, refused = asyncio.run(look())
    assert [tool.name for tool in tools] == READS
    assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)
    (problem,) = problems_of(refused)
    assert "--allow-build" in problem["hint"]


@pytest.mark.long
def test_every_tool_that_looks(folder: ProjectFolder) -> None:
    agent = Agent(folder.root, env=folder.process_environment())
    processes = agent.processes
    try:
        assert list(agent.tools()) == READS
        for name in ("verify", "settings", "doctor"):
            assert done(agent.call(name))
    finally:
        agent.close()
    assert not any(process.is_running() for process in processes)


def test_children_end_with_their_client(agent: Agent, folder: ProjectFolder) -> None:
    """The last one: there is no server any more then."""
    folder.job("long", items=[{"name": name, "prompt": name} for name in ("four", "five")])
    folder.script(acts={"*": [{"hang": True}]}, in_flight=1)
    agent.begin(agent.client.call_tool("build", {"images": ["long"]}))
    wait_until(lambda: "four" in folder.calls("started"))
    processes = agent.processes
    assert len(processes) == 2
    agent.close()  # it closes stdin, and two seconds later it sends SIGTERM
    wait_until(lambda: not any(process.is_running() for process in processes))
    assert folder.calls("cancelled") == ["four"]
    assert "five" not in folder.calls("started")

"""docs/agents.md names every tool of the MCP server, and how to register it with each client."""

from __future__ import annotations

import json
import re

from imagegen.agents.tools import TOOLS
from tests.docs.pages import table
from tests.wheels import ROOT

PAGE = "docs/agents.md"


def test_the_page_has_every_tool() -> None:
    looks, acts = ([name for name, tool in TOOLS.items() if tool.acts is acts] for acts in (False, True))
    rows = {name.strip("`"): takes for name, _, takes in table(PAGE, "tool")}
    assert [*rows] == [*looks, *acts]
    for name, takes in rows.items():
        if name != "image":
            assert [*re.findall("`([^`]+)`", takes)] == [*TOOLS[name].input_schema["properties"]], name


def test_the_example_starts_the_server() -> None:
    (example,) = re.findall(r"^```json\n(.*?)^```", (ROOT / PAGE).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (server,) = json.loads(example)["mcpServers"].values()
    assert server["args"][:4] == ["-m", "imagegen", "mcp", "--project"]

"""The server itself: what the SDK asks for, and its end, by its client or by a signal."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from imagegen import __version__
from imagegen.agents.arguments import command_line
from imagegen.agents.children import Call, Children
from imagegen.agents.pictures import show_generated, show_pictures
from imagegen.agents.progress import Progress
from imagegen.agents.tools import DEFAULT_SIZE, TOOLS, Tool
from imagegen.doit_child import handling_signals
from imagegen.errors import ImagegenError, InputError, Problem, did_you_mean
from imagegen.guide.facts import NEVER
from imagegen.report.json_output import result_data
from imagegen.report.result_schema import answer_schema

__all__ = ["serve"]

_MOST = 100
"""Images, problems and the like that a result has."""

_INSTRUCTIONS = """\
imagegen builds the generated images of this project, as make builds files: jobs/*.yaml say which images there are, and
a build brings the stale ones up to date. To change an image, edit its prompt in the job file, call why, then build.
Images are named JOB:IMAGE, jobs by their name. A picture that is only a label is a placeholder; it is not a fault."""


def serve(project: Path, *, allows_build: bool) -> None:
    """Serve one client over stdin and stdout, until it is gone.

    Args:
        project: the folder to run doit in.
        allows_build: whether tools that change the project are offered.
    """
    os.chdir(project)  # where doit works, and what backends may go by
    asyncio.run(ImagegenServer(project, allows_build=allows_build).run())


class ImagegenServer:
    """One server, with one client.

    Attributes:
        server: the SDK's.

    """

    def __init__(self, project: Path, *, allows_build: bool) -> None:
        self._project = project
        self._children = Children(project)
        self._tools = {name: tool for name, tool in TOOLS.items() if allows_build or not tool.acts}
        self.server = Server[Any](
            "imagegen",
            version=__version__,
            instructions="\n".join([_INSTRUCTIONS, *(f"{rule}." for rule in NEVER)]),
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
        )

    async def run(self) -> None:
        """Serve, until stdin is closed or a signal ends it; then have the children end."""
        loop = asyncio.get_running_loop()
        signalled: asyncio.Future[int] = loop.create_future()

        def on_signal(number: int) -> None:
            if not signalled.done():
                signalled.set_result(number)

        with handling_signals(lambda number: loop.call_soon_threadsafe(on_signal, number)):
            serving: asyncio.Future[Any] = asyncio.ensure_future(self._serve())
            await asyncio.wait((serving, signalled), return_when=asyncio.FIRST_COMPLETED)
            await self._children.close(signalled)
            if signalled.done():  # a thread still waits for stdin, and Python would wait for it
                sys.stderr.flush()
                signal.signal(signalled.result(), signal.SIG_DFL)
                signal.raise_signal(signalled.result())
        error = serving.exception()
        if error and not _is_lost_client(error):
            raise error

    async def _serve(self) -> None:
        async with stdio_server() as (reading, writing):
            await self.server.run(reading, writing, self.server.create_initialization_options())

    async def _list_tools(
        self, _context: ServerRequestContext[Any], _params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_declare(tool) for tool in self._tools.values()])

    async def _call_tool(
        self, context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        arguments = params.arguments or {}
        try:
            tool = self._find(params.name)
            words = command_line(tool, arguments, self._project)
            if tool.is_look:
                size = arguments.get("size", DEFAULT_SIZE)
                shown = await asyncio.to_thread(show_pictures, self._project, arguments["images"], size)
                return types.CallToolResult(content=shown)
        except ImagegenError as error:
            command = TOOLS[params.name].command if params.name in TOOLS else params.name
            return _result(result_data(command, error.exit_code, error.problems), is_error=True)
        call = self._children.start(words, tool.command, acts=tool.acts)
        await self._follow(call, context)
        found = call.answer
        # a check that found something has done its work
        answered = _result(found, is_error=bool(found["exit_code"]) and (tool.acts or found["result"] is None))
        if tool.with_pictures:
            answered.content += await asyncio.to_thread(show_generated, self._project, found["result"])
        return answered

    def _find(self, name: str) -> Tool:
        if name in self._tools:
            return self._tools[name]
        if name in TOOLS:
            what = f"{name} changes the project, and this server only looks at it"
            raise InputError(Problem("", what, "a person allows it: python -m imagegen mcp --allow-build"))
        raise InputError(Problem("", f"there is no tool {name[:60]!r}{did_you_mean(name, self._tools)}"))

    @staticmethod
    async def _follow(call: Call, context: ServerRequestContext[Any]) -> None:
        progress = Progress()
        try:
            async for event in call.follow():
                if step := progress.take(event):
                    await context.session.report_progress(step.done, step.total, step.text)
        except asyncio.CancelledError:
            call.interrupt()
            raise


def _is_lost_client(error: BaseException) -> bool:
    """Whether nothing else is wrong than that nobody reads any more."""
    parts = getattr(error, "exceptions", None)
    return all(map(_is_lost_client, parts)) if parts else isinstance(error, BrokenPipeError)


def _declare(tool: Tool) -> types.Tool:
    hints = types.ToolAnnotations(
        read_only_hint=not tool.acts,
        destructive_hint=tool.replaces,
        idempotent_hint=tool.is_repeatable,
        open_world_hint=tool.generates or tool.reaches_out,
    )
    return types.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=tool.input_schema,
        output_schema=None if tool.is_look else answer_schema(tool.command, tool.result),
        annotations=hints,
    )


def _result(found: Mapping[str, Any], *, is_error: bool) -> types.CallToolResult:
    """Return what a command answered: as data, and as text for clients that show nothing else."""
    found, said = _shorten(found)
    texts = [*said, json.dumps(found, ensure_ascii=False)]
    content: list[types.ContentBlock] = [types.TextContent(type="text", text=text) for text in texts]
    return types.CallToolResult(content=content, structured_content=found, is_error=is_error)


def _shorten(found: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a result as a model can read it, and what was left out: a project may have thousands of images."""
    said = []
    result = found["result"]
    if found["command"] == "list" and result:  # which doit's commands and other tasks are among
        result = {**result, "tasks": [task for task in result["tasks"] if task["kind"] in ("job", "image")]}
    for key, value in (result or {}).items():
        if isinstance(value, list) and len(value) > _MOST:
            said.append(f"{key}: only the first {_MOST} of {len(value)} are here; name images or jobs to see others")
            result = {**result, key: value[:_MOST]}
    problems = found["problems"]
    if len(problems) > _MOST:
        said.append(f"problems: only the first {_MOST} of {len(problems)} are here")
    return {**found, "problems": problems[:_MOST], "result": result}, said

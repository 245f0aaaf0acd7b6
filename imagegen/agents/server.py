"""The server itself: what the SDK asks for, and its end, by its client or by a signal."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from imagegen import __version__
from imagegen.agents.answers import answer_call
from imagegen.agents.arguments import command_line
from imagegen.agents.children import Call, Children
from imagegen.agents.pictures import show_answered, show_pictures, show_versions
from imagegen.agents.progress import Progress
from imagegen.agents.tools import DEFAULT_SIZE, MOST_LISTED, MOST_PICTURES, TOOLS, Tool
from imagegen.doit_child import handling_signals
from imagegen.errors import ImagegenError, InputError, Problem, did_you_mean
from imagegen.guide.facts import NEVER
from imagegen.report.json_output import result_data
from imagegen.report.result_schema import answer_schema

__all__ = ["serve"]

_INSTRUCTIONS = """\
imagegen builds the generated images of this project, as make builds files: jobs/*.yaml say which images there are, and
a build brings the stale ones up to date. Images are named JOB:IMAGE, jobs by their name. If an item has variants,
JOB:IMAGE names all of them, and JOB:IMAGE-v2 the second. A picture that is only a label is a placeholder; it is not a
fault."""
_OF_ACTING = """\
To change an image, edit its prompt or settings in the job file by your own means. Then call why, which says what is
stale and what it costs; preview, to see it small; build, with the image's name; and look at the picture that it
returns. To go back, undo the edit and build: that takes the earlier picture from the store. If only the seed is
another: versions, then restore.
Never reroll, and never spend money, without being asked: if the total of why has a price above 0, or images that are
unpriced, ask first, also before a preview. A hint that names a command, such as `doit accept JOB:IMAGE`, means the tool
of that name. What has no tool, a higher limit, `-a` and `--yes` are for a person."""
_OF_LOOKING = """\
This server only looks: none of its tools builds or changes anything. To build an image, a person types
`doit JOB:IMAGE` in a terminal, or starts the server with --allow-build. What hints say is for a person, too."""
_HANDS_OFF = list(NEVER)[:3]
"""Rules for whatever else an agent can write files with."""


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
            instructions="\n".join(
                [_INSTRUCTIONS, _OF_ACTING if allows_build else _OF_LOOKING, *(f"{rule}." for rule in _HANDS_OFF)]
            ),
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
                size = int(arguments.get("size", DEFAULT_SIZE))
                shown = await asyncio.to_thread(show_pictures, self._project, arguments["images"], size)
                return types.CallToolResult(content=shown)
        except ImagegenError as error:
            command = TOOLS[params.name].command if params.name in TOOLS else params.name
            return answer_call(result_data(command, error.exit_code, error.problems), is_error=True)
        call = self._children.start(words, tool.command, acts=tool.acts)
        await self._follow(call, context)
        found = call.answer
        # a check that found something has done its work
        is_error = bool(found["exit_code"]) and (tool.acts or found["result"] is None)
        answered = answer_call(found, int(arguments.get("offset", 0)), is_error=is_error)
        if tool.with_pictures:
            answered.content += await self._show(found["result"])
        return answered

    async def _show(self, result: Any) -> list[types.ContentBlock]:
        """Return the pictures of what a command answered."""
        if not result or result.get("pictures", 0) < 2:
            return await asyncio.to_thread(show_answered, self._project, result)
        shown: list[types.ContentBlock] = []
        left = result["images"]
        while left and len(shown) < 2 * MOST_PICTURES:  # of a reroll: a file has only the last one of its image
            task, seeds = left[0]["task"], {one["seed"] for one in left if one["task"] == left[0]["task"]}
            call = self._children.start(["restore", "--json", "--list", task], "restore", acts=False)
            async for _ in call.follow():
                pass
            listed = (call.answer["result"] or {}).get("versions", ())
            rerolled = [one for one in listed if one["seed"] in seeds]
            shown += await asyncio.to_thread(show_versions, self._project, rerolled, task)
            left = [one for one in left if one["task"] != task]
        if left:
            names = ", ".join(dict.fromkeys(one["task"] for one in left[:MOST_LISTED]))
            shown.append(types.TextContent(type="text", text=f"not shown: {names}; versions shows them"))
        return shown

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

"""Many runs of the real doit in little time: each in a process of its own, forked from one that has it imported.

Loading takes most of what a short run costs. Here it is done once; the options, the files, the output and the exit code
are those of a `doit` that was called from a shell. Where there is no fork (Windows), each is just that.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pkgutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.project_folder import ProjectFolder, Run

__all__ = ["ForkedDoit", "forked_doit"]


class ForkedDoit:
    """Runs doit in a project, one call after another."""

    def __init__(self, project: ProjectFolder, server: subprocess.Popen[str] | None, scratch: Path) -> None:
        self._project = project
        self._server = server
        self._scratch = scratch

    def __call__(self, *arguments: str) -> Run:
        """Run doit to its end. No command of this project ever shows a traceback."""
        if self._server is None:
            return self._project.doit(*arguments)
        assert self._server.stdin
        assert self._server.stdout
        print(json.dumps(arguments), file=self._server.stdin, flush=True)
        code = int(self._server.stdout.readline())
        out, err = ((self._scratch / name).read_text("utf-8") for name in ("out", "err"))
        assert "Traceback" not in out + err, out + err
        return Run(code, out, err)


@contextlib.contextmanager
def forked_doit(project: ProjectFolder) -> Iterator[ForkedDoit]:
    """Have what is needed imported, and yield what runs doit in the project."""
    with tempfile.TemporaryDirectory() as folder:
        if not hasattr(os, "fork"):
            yield ForkedDoit(project, None, Path(folder))
            return
        with subprocess.Popen(
            [sys.executable, "-m", "tests.forked_doit", folder],
            cwd=project.root,
            env=project.process_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as server:
            try:
                yield ForkedDoit(project, server, Path(folder))
            finally:
                assert server.stdin
                server.stdin.close()


def _serve(scratch: Path) -> None:
    """Run each command line that is read, and write its exit code. Returns only in a child."""
    for name in _modules():
        importlib.import_module(name)
    _plan_once()
    for line in iter(sys.stdin.readline, ""):
        child = os.fork()
        if not child:
            _become_doit(json.loads(line), scratch)
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    os._exit(0)


def _plan_once() -> None:
    """Have what a process prepares only once prepared: the checks of job files."""
    from imagegen.backends.registry import registry
    from imagegen.config.settings import Settings
    from imagegen.project import Project

    Project(Path.cwd(), Settings(), registry()).plans()


def _modules() -> Iterator[str]:
    """Yield what most commands import; not `imagegen.tasks`, which reads the command line."""
    yield from ("doit.doit_cmd", "doit.cmd_run", "imagegen.doit_commands", "imagegen.commands", "rich.console", "yaml")
    for room in ("config", "prompts", "plan", "state", "images", "project", "execute", "report", "library"):
        folder = importlib.import_module(f"imagegen.{room}").__path__
        yield from (one.name for one in pkgutil.iter_modules(folder, f"imagegen.{room}."))
    yield from (f"imagegen.backends.{name}" for name in ("guard", "placeholder", "openai", "comfyui", "sd", "ollama"))


def _become_doit(arguments: list[str], scratch: Path) -> None:
    for number, path in ((0, os.devnull), (1, scratch / "out"), (2, scratch / "err")):
        file = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    sys.argv = ["doit", *arguments]


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
    from doit.doit_cmd import DoitMain

    sys.exit(DoitMain().run(sys.argv[1:]))

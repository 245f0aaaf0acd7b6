"""Many runs of the real doit in little time: each in a process of its own, forked from one that has it imported.

Loading takes most of what a short run costs. Here it is done once; the options, the files, the output and the exit code
are those of a `doit` that was called from a shell. Where there is no fork (Windows), each is just that.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import pkgutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.project_folder import ProjectFolder, Run

__all__ = ["ForkedDoit", "forked_doit"]


class ForkedDoit:
    """Runs doit in a project, one call after another."""

    def __init__(self, project: ProjectFolder) -> None:
        self._project = project

    def __call__(self, *arguments: str) -> Run:
        """Run doit to its end. No command of this project ever shows a traceback."""
        if not hasattr(os, "fork"):
            return self._project.doit(*arguments)
        code, out, err = _server().run(self._project.root, self._project.process_environment(), arguments)
        assert "Traceback" not in out + err, out + err
        return Run(code, out, err)


@contextlib.contextmanager
def forked_doit(project: ProjectFolder) -> Iterator[ForkedDoit]:
    """Yield what runs doit in the project."""
    yield ForkedDoit(project)


@functools.cache
def _server() -> _Server:
    return _Server()


class _Server:
    """The process that is forked: one for all tests of this process, with which it ends."""

    def __init__(self) -> None:
        self._scratch = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.forked_doit", self._scratch.name],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, folder: Path, environment: Mapping[str, str], arguments: tuple[str, ...]) -> tuple[int, str, str]:
        """Return the exit code of a doit in this folder, and what it printed on stdout and stderr."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps([str(folder), dict(environment), arguments]), file=self._process.stdin, flush=True)
        code = int(self._process.stdout.readline())
        out, err = ((Path(self._scratch.name) / name).read_text("utf-8") for name in ("out", "err"))
        return code, out, err


def _serve(scratch: Path) -> None:
    """Run each command line that is read, and write its exit code. Returns only in a child."""
    for name in _modules():
        importlib.import_module(name)
    _plan_once(scratch)
    for line in iter(sys.stdin.readline, ""):
        child = os.fork()
        if not child:
            folder, environment, arguments = json.loads(line)
            _become_doit(folder, environment, arguments, scratch)
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    os._exit(0)


def _plan_once(scratch: Path) -> None:
    """Have what a process prepares only once prepared: the checks of job files."""
    from imagegen.backends.registry import registry
    from imagegen.config.settings import Settings
    from imagegen.project import Project

    (scratch / "jobs").mkdir()
    (scratch / "jobs/one.yaml").write_text("backend: placeholder\nitems: [{name: a, prompt: a}]\n", "utf-8")
    Project(scratch, Settings(), registry()).plans()


def _modules() -> Iterator[str]:
    """Yield what most commands import; not `imagegen.tasks`, which reads the command line."""
    yield from ("doit.doit_cmd", "doit.cmd_run", "imagegen.doit_commands", "imagegen.commands", "rich.console", "yaml")
    for room in ("config", "prompts", "plan", "state", "images", "project", "execute", "report", "library"):
        folder = importlib.import_module(f"imagegen.{room}").__path__
        yield from (one.name for one in pkgutil.iter_modules(folder, f"imagegen.{room}."))
    yield from (f"imagegen.backends.{name}" for name in ("guard", "placeholder", "openai", "comfyui", "sd", "ollama"))


def _become_doit(folder: str, environment: dict[str, str], arguments: list[str], scratch: Path) -> None:
    for number, path in ((0, os.devnull), (1, scratch / "out"), (2, scratch / "err")):
        file = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[0] = folder  # as `python -m doit` has it
    sys.argv = ["doit", *arguments]


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
    from doit.doit_cmd import DoitMain

    sys.exit(DoitMain().run(sys.argv[1:]))

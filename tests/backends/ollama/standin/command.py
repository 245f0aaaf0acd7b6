"""The command line: `ollama COMMAND …`."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.backends.ollama.standin.arguments import Arguments, WrongUseError, parse
from tests.backends.ollama.standin.connection import FailedError, heartbeat
from tests.backends.ollama.standin.program import Program
from tests.backends.ollama.standin.pull import pull
from tests.backends.ollama.standin.queries import list_models, show, stop, version
from tests.backends.ollama.standin.run import run
from tests.backends.ollama.standin.state import State
from tests.backends.ollama.standin.versions import parses_flags, shows_flags

__all__ = ["main"]

SEEN = ("HOME", "TZ", "TERM_PROGRAM", "KITTY_WINDOW_ID", "WEZTERM_PANE", "GHOSTTY_RESOURCES_DIR")
IMAGE_FLAGS = {"width": "int", "height": "int", "steps": "int", "seed": "int", "negative": "string"}
FLAGS: dict[str, dict[str, str]] = {
    "run": {"keepalive": "string", "verbose": "bool", "insecure": "bool", "nowordwrap": "bool", "format": "string"},
    "pull": {"insecure": "bool"},
    "show": {"license": "bool", "verbose": "bool"},
    "list": {},
    "stop": {},
    "serve": {},
}
LEAST = {"run": 1, "pull": 1, "show": 1, "stop": 1}
COMMANDS: dict[str, Callable[[Program, Arguments], None]] = {
    "run": run,
    "pull": pull,
    "show": show,
    "list": list_models,
    "stop": stop,
}


def main(executable: str, state: str, client_version: str) -> int:
    """Returns the exit code. The state's runs.jsonl tells how it was called, and how it ended if it was not killed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    program = Program(State(Path(state)), client_version, Path(executable))
    environment = {key: value for key, value in os.environ.items() if key in SEEN or key.startswith("OLLAMA_")}
    program.state.log(
        "runs",
        event="start",
        pid=os.getpid(),
        group=os.getpgid(0),
        argv=sys.argv[1:],
        cwd=os.getcwd(),  # noqa: PTH109  a working directory that is gone is one of the cases
        environment=environment,
        version=client_version,
        time=time.time(),
    )
    code = _code(program, sys.argv[1:])
    sys.stdout.flush()
    program.state.log("runs", event="end", pid=os.getpid(), code=code, time=time.time())
    return code


def _code(program: Program, words: list[str]) -> int:
    if not (os.environ.get("HOME") or os.environ.get("OLLAMA_MODELS")):
        sys.stderr.write("panic: $HOME is not defined\n\ngoroutine 1 [running]:\n")
        return 2
    try:
        _do(program, words)
    except (WrongUseError, FailedError) as error:
        sys.stdout.flush()
        sys.stderr.write(f"Error: {error}\n")
        return 1
    return 0


def _do(program: Program, words: list[str]) -> None:
    if words in (["--version"], ["-v"]):
        return version(program)
    command = {"ls": "list", "start": "serve"}.get(words[0], words[0]) if words else ""
    if command not in FLAGS:
        raise WrongUseError(f'unknown command "{command}" for "ollama"')
    known = FLAGS[command] | {"help": "bool"}
    if command == "run" and parses_flags(program.version):
        known |= IMAGE_FLAGS
    arguments = parse(words[1:], known, {"h": "help"} | ({"v": "verbose"} if command == "show" else {}))
    if "help" in arguments.flags:
        sys.stdout.write(_help(program, command))
        return None
    if len(arguments.words) < LEAST.get(command, 0):
        wanted = "at least 1 arg(s), only" if command == "run" else "1 arg(s),"
        raise WrongUseError(f"{'requires' if command == 'run' else 'accepts'} {wanted} received 0")
    if command == "serve":
        from tests.backends.ollama.standin.server import serve  # what it takes only a server needs

        return serve(program)
    heartbeat()
    return COMMANDS[command](program, arguments)


def _help(program: Program, command: str) -> str:
    """Asks no server."""
    lines = [f"Usage:\n  ollama {command} [flags]\n\nFlags:"]
    lines += [f"      --{name} {'' if kind == 'bool' else kind}" for name, kind in FLAGS[command].items()]
    if command == "run" and shows_flags(program.version):
        lines.append("\nImage Generation Flags (experimental):")
        lines += [f"      --{name} {kind[:3]}" for name, kind in IMAGE_FLAGS.items()]
    return "\n".join([*lines, "\nEnvironment Variables:\n      OLLAMA_HOST\n"])

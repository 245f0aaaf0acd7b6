"""The commands that ask: `--version`, `list`, `show`, and `stop`."""

from __future__ import annotations

import sys
import time

from tests.backends.ollama.standin.arguments import Arguments
from tests.backends.ollama.standin.connection import FailedError, NotFoundError, ask, stream
from tests.backends.ollama.standin.formats import ago, parameters, size, table
from tests.backends.ollama.standin.program import Program
from tests.backends.ollama.standin.terminal import Progress, Spinner
from tests.backends.ollama.standin.versions import NOT_SUPPORTED, draws

__all__ = ["list_models", "show", "stop", "version"]


def version(program: Program) -> None:
    """The server's; the client's where it is another, or there is no server."""
    try:
        server = ask("GET", "/api/version")["version"]
        print(f"ollama version is {server}")
    except FailedError:
        server = ""
        print("Warning: could not connect to a running Ollama instance")
    if server != program.version:
        print(f"Warning: client version is {program.version}")


def list_models(_program: Program, arguments: Arguments) -> None:
    prefix = arguments.words[0].lower() if arguments.words else ""
    models = [model for model in ask("GET", "/api/tags")["models"] if model["name"].lower().startswith(prefix)]
    rows = [
        [model["name"], model["digest"][:12], size(model["size"]), ago(time.time() - model["modified"])]
        for model in models
    ]
    sys.stdout.write(table([["NAME", "ID", "SIZE", "MODIFIED"], *rows]))


def show(program: Program, arguments: Arguments) -> None:
    model = ask("POST", "/api/show", {"model": arguments.words[0]})
    if "image" in model["capabilities"] and not draws(program.version):
        raise FailedError(NOT_SUPPORTED)
    if "license" in arguments.flags:
        print(model["license"])
        return
    details = [["parameters", parameters(model["details"]["parameter_count"])]]
    details.append(["quantization", model["details"]["quantization_level"]])
    sections = {"Model": details, "Capabilities": [[word] for word in model["capabilities"]]}
    lines = [[line.strip()] for line in model["license"].splitlines() if line.strip()]
    if lines:
        sections["License"] = lines[:2] + ([["..."]] if len(lines) > 2 else [])
    for title, rows in sections.items():
        print(f"  {title}\n{table([['', *row] for row in rows])}")


def stop(_program: Program, arguments: Arguments) -> None:
    """Says nothing."""
    name = arguments.words[0]
    progress = Progress()
    progress.add(Spinner(""))
    try:
        ask("POST", "/api/show", {"model": name})
        list(stream("/api/generate", {"model": name, "prompt": "", "keep_alive": 0}))
    except NotFoundError:
        raise FailedError(f'couldn\'t find model "{name}" to stop') from None
    finally:
        progress.clear()

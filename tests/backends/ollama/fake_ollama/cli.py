"""The command line: `ollama COMMAND …`."""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.backends.ollama.fake_ollama.connection import FailedError, NotFoundError, ask, heartbeat, stream
from tests.backends.ollama.fake_ollama.state import (
    NOT_SUPPORTED,
    Program,
    State,
    cuts_files,
    draws,
    parses_flags,
    shows_flags,
)
from tests.backends.ollama.fake_ollama.terminal import (
    Bar,
    Progress,
    Spinner,
    StepBar,
    ago,
    duration,
    inline_image,
    parameters,
    size,
    table,
)

__all__ = [
    "Arguments",
    "WrongUseError",
    "cut_files",
    "list_models",
    "main",
    "parse",
    "pull",
    "run",
    "saved_as",
    "show",
    "stop",
    "version",
]


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
        from tests.backends.ollama.fake_ollama.server import serve  # what it takes only a server needs

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


class WrongUseError(Exception):
    """What Ollama says of it."""


@dataclass(frozen=True)
class Arguments:
    """`flags` has the values of those that were given."""

    words: list[str]
    flags: dict[str, str]

    def number(self, name: str, default: int) -> int:
        return int(self.flags[name], 0) if name in self.flags else default


def parse(arguments: list[str], known: Mapping[str, str], short: Mapping[str, str]) -> Arguments:
    """`known` has the kind of each flag: `int`, `string` or `bool`; `short` the name behind a letter."""
    words: list[str] = []
    flags: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return Arguments(words + rest, flags)
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("--"):
            if word[1] not in short:
                raise WrongUseError(f"unknown shorthand flag: '{word[1]}' in {word}")
            name = short[word[1]]
        if name not in known:
            raise WrongUseError(f"unknown flag: --{name}")
        if known[name] == "bool":
            flags[name] = value or "true"
            continue
        if not equals:
            if not rest:
                raise WrongUseError(f"flag needs an argument: --{name}")
            value = rest.pop(0)
        flags[name] = value
        if known[name] == "int":
            _number(name, value)
    return Arguments(words, flags)


def _number(name: str, value: str) -> None:
    try:
        inside = -(2**63) <= int(value, 0) < 2**63
        fault = "" if inside else "value out of range"
    except ValueError:
        fault = "invalid syntax"
    if fault:
        raise WrongUseError(
            f'invalid argument "{value}" for "--{name}" flag: strconv.ParseInt: parsing "{value}": {fault}'
        )


def run(program: Program, arguments: Arguments) -> None:
    keep_alive = duration(arguments.flags["keepalive"]) if arguments.flags.get("keepalive") else None
    if isinstance(keep_alive, str):
        raise FailedError(keep_alive)
    name, *words = arguments.words
    terminal = bool(sys.stdin and sys.stdin.isatty())
    piped = "" if terminal or not sys.stdin else sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    prompt = " ".join([piped] * bool(piped) + words)
    capabilities = _capabilities(program, name, arguments)
    if "image" not in capabilities:
        for message in stream("/api/generate", {"model": name, "prompt": prompt}):
            sys.stdout.write(message.get("response", ""))
        print("\n")
    elif not draws(program.version):
        raise FailedError(NOT_SUPPORTED)
    elif prompt:
        _generate(program, name, prompt, arguments, keep_alive)
    elif terminal and sys.stdout.isatty():
        sys.stdout.write(">>> ")  # and that is all that is played of talking to a person
    else:
        usage = f'Usage: ollama run {name} "your prompt here"'
        raise FailedError(f"image generation models require a prompt. {usage}")


def _capabilities(program: Program, name: str, arguments: Arguments) -> list[str]:
    """A model that is missing is pulled, however large."""
    try:
        return list(ask("POST", "/api/show", {"model": name})["capabilities"])
    except NotFoundError:
        pull(program, arguments)
        return list(ask("POST", "/api/show", {"model": name})["capabilities"])


def _generate(program: Program, name: str, prompt: str, arguments: Arguments, keep_alive: float | None) -> None:
    for kind in ("stubborn", "child"):
        if program.state.take({kind}, prompt):
            _misbehave(program, kind)
    images: list[str] = []
    if cuts_files(program.version):
        try:
            prompt, images = cut_files(prompt)
        except OSError as error:
            raise FailedError(f"open {error.filename}: {str(error.strerror).lower()}") from None
        except ValueError as error:
            raise FailedError(str(error)) from None
    request = {
        "model": name,
        "prompt": prompt,
        "images": images,
        "width": _positive(arguments, "width", 1024),
        "height": _positive(arguments, "height", 1024),
        "steps": _positive(arguments, "steps", 0 if cuts_files(program.version) else 9),
        "options": {"seed": arguments.number("seed", 0)},
        "keep_alive": keep_alive,
    }
    progress = Progress()
    progress.add(Spinner(""))
    bar = None
    image = ""
    try:
        for message in stream("/api/generate", request):
            if message.get("total"):
                if bar is None:
                    bar = StepBar(message["total"])
                    progress.add(bar)
                bar.done = message.get("completed", 0)
                progress.render()
            if message.get("done"):
                image = message.get("image", "")
    finally:
        progress.clear()
    if image:
        _save(program, prompt, base64.b64decode(image))


def _positive(arguments: Arguments, flag: str, default: int) -> int:
    """What is not is silently the default. It goes out as an int32."""
    number = arguments.number(flag, default)
    return (number + 2**31) % 2**32 - 2**31 if number > 0 else default


def _save(program: Program, prompt: str, data: bytes) -> None:
    name = saved_as(prompt)
    if program.state.take({"directory-gone"}, prompt):
        shutil.rmtree(os.getcwd())  # noqa: PTH109  it is about to go
    full = program.state.take({"disk-full"}, prompt)
    try:
        Path(name).write_bytes(b"" if full else data)
    except OSError as error:
        raise FailedError(f"failed to save image: open {name}: {str(error.strerror).lower()}") from None
    if full:
        raise FailedError(f"failed to save image: write {name}: no space left on device")
    if program.state.take({"two-files"}, prompt):
        Path(f"second-{name}").write_bytes(data)
    sys.stdout.write(inline_image(data))
    print(f"Image saved to: {name}")


def _misbehave(program: Program, kind: str) -> None:
    if kind == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    program.state.log("children", pid=child.pid, parent=os.getpid())


def pull(_program: Program, arguments: Arguments) -> None:
    """Shows what the server tells: a line a status, a bar a digest. A failure comes on a line of its own."""
    progress = Progress()
    bars: dict[str, Bar] = {}
    status = ""
    try:
        for message in stream("/api/pull", {"model": arguments.words[0]}):
            digest = message.get("digest", "")
            if not digest and message["status"] != status:
                status = message["status"]
                progress.add(Spinner(status))
            elif digest and message["completed"]:
                new = digest not in bars
                bar = bars.setdefault(digest, Bar(f"pulling {digest.removeprefix('sha256:')[:12]}:"))
                done, total = message["completed"], message["total"]
                bar.share = done / total
                bar.words = size(total) if done == total else f"{size(done):>6}/{size(total):>6}"
                if new:
                    progress.add(bar)
                else:
                    progress.render()
    finally:
        progress.stop()


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


IMAGE_FILE = re.compile(r"(?:[a-zA-Z]:)?(?:\./|/|\\)[^\t\n\f\r]+?\.(?i:jpg|jpeg|png|webp)\b", re.ASCII)
KINDS = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF")


def cut_files(prompt: str) -> tuple[str, list[str]]:
    """The prompt without the image files that are there, stripped, and their content in base 64.

    Raises OSError and ValueError: a file that cannot be read ends the run.
    """
    contents = []
    for found in IMAGE_FILE.findall(prompt):
        path = found.replace("\\ ", " ").replace("\\(", "(").replace("\\)", ")").replace("%20", " ")
        try:
            data = Path(path).read_bytes()
        except FileNotFoundError:
            continue
        if not data:
            raise ValueError("EOF")
        if not data.startswith(KINDS):
            raise ValueError("invalid image type: text/plain; charset=utf-8")
        sys.stderr.write(f"Added image '{path}'\n")
        prompt = prompt.replace(found, "")
        contents.append(base64.b64encode(data).decode())
    return prompt.strip(), contents


def saved_as(prompt: str) -> str:
    """Of the prompt's letters, at most 50, and the second. It may start with `-`, and has no letters for 漢字."""
    name = re.sub(r"[^a-z0-9-]", "", prompt.lower().replace(" ", "-"))[:50]
    return f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.png"


COMMANDS: dict[str, Callable[[Program, Arguments], None]] = {
    "run": run,
    "pull": pull,
    "show": show,
    "list": list_models,
    "stop": stop,
}

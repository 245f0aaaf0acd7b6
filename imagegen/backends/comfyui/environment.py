"""ComfyUI's own venv: its Python, the PyTorch build for this machine, and the packages of requirements.txt.

Programs such as git and pip are run from here: without secrets, and with their output shown as it comes.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagegen.backends.managed_server import environment_without_secrets
from imagegen.backends.models import FOLDER
from imagegen.backends.text import is_terminal, plain_lines
from imagegen.errors import ImagegenError, InputError, NotBegunError, Problem

__all__ = [
    "BUILDS",
    "VENV",
    "Environment",
    "Python",
    "TorchChoice",
    "detect_build",
    "find_python",
    "query",
    "read_torch_build",
    "run",
]

_TIMEOUT_S = 60
"""For a question that is answered without a network."""
_KEPT_CHARACTERS, _KEPT_LINES = 20_000, 8

_LEFT_OUT = {
    *("PYTHONHOME", "__PYVENV_LAUNCHER__"),
    # git sets these for its hooks; a set-up that a hook starts would work on that repository
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_NAMESPACE"),
    *("GIT_PREFIX", "GIT_ALTERNATE_OBJECT_DIRECTORIES"),
}
_ADDED = {"GIT_TERMINAL_PROMPT": "0", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def query(command: Sequence[str], folder: Path) -> str | None:
    """Return a program's standard output, stripped; None if it fails or cannot be started."""
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            env=_environment({}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.decode("utf-8", "replace").strip()


def run(
    command: Sequence[str], folder: Path, what: str, hint: str, environment: Mapping[str, str] | None = None
) -> None:
    """Run a program in `folder` to its end, and show its output as it comes.

    Args:
        what: what has failed, should it fail.
        hint: what to do then.
        environment: more variables for it.

    Raises:
        ImagegenError: it fails, or cannot be started; with the last lines of its output.
    """
    sys.stdout.flush()
    # on a terminal pip draws its progress bars only where it writes to the terminal itself; its errors go to stderr
    direct = is_terminal()
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=None if direct else subprocess.PIPE,
            stderr=subprocess.PIPE if direct else subprocess.STDOUT,
        )
    except OSError as error:
        raise ImagegenError(Problem("", f"{what}: {command[0]} cannot be started: {error.strerror}", hint)) from None
    try:
        said = _show(process)
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if code != 0:
        ending = f"exit code {code}" if code > 0 else f"ended by signal {-code}"
        lines = "".join(f"\n    | {line}" for line in plain_lines(said)[-_KEPT_LINES:])
        raise ImagegenError(Problem("", f"{what} ({ending}):{lines or ' it printed nothing'}", hint))


def _show(process: subprocess.Popen[bytes]) -> str:
    stream = process.stdout or process.stderr
    assert stream is not None  # noqa: S101 - run opened it
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    said = ""
    with stream:
        while chunk := os.read(stream.fileno(), 65536):
            text = decoder.decode(chunk)
            sys.stdout.write(text)
            sys.stdout.flush()
            said = (said + text)[-_KEPT_CHARACTERS:]
    return said


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return this process's variables, without secrets and without what would lead git or Python elsewhere."""
    kept = {name: value for name, value in environment_without_secrets().items() if name not in _LEFT_OUT}
    return {**kept, **_ADDED, **more}


_RECOMMENDED = ((3, 12), (3, 13))
_LEAST = (3, 10)
_ORDER = (*_RECOMMENDED, (3, 11), (3, 10))
"""Best first; newer ones come after these: packages of custom nodes lag behind."""
_PROBE = """
import importlib.util, sys
print(*sys.version_info[:3], *(name for name in ("venv", "ensurepip") if importlib.util.find_spec(name)))
"""


@dataclass(frozen=True)
class Python:
    """A Python that a venv can be made from."""

    command: str
    version: tuple[int, int, int]

    def __str__(self) -> str:
        """Return it for a person."""
        return f"Python {'.'.join(map(str, self.version))} ({self.command})"


def find_python(root: Path, asked: str) -> Python:
    """Return the Python for ComfyUI.

    Args:
        asked: the setting `comfyui.python`, a command or a path from `root`; empty for the best one found.

    Raises:
        ImagegenError: there is none; it says what was found instead.
    """
    if asked:
        path = root / Path(asked).expanduser()
        found = _inspect(str(path) if path.is_file() else asked)
        if isinstance(found, str):
            raise InputError(Problem("comfyui.python", found, "name another Python, at least 3.10, or none"))
        return found
    pythons, refused = [], []
    for command in _list_candidates():
        found = _inspect(command)
        if isinstance(found, str):
            refused.append(found)
        elif found.version[:2] in _RECOMMENDED:
            return found
        else:
            pythons.append(found)
    if not pythons:
        what = "; ".join(dict.fromkeys(refused)) or "no Python found"
        hint = "install Python 3.12 or 3.13 with its venv module, or name one: comfyui.python"
        raise NotBegunError(Problem("", f"there is no Python for ComfyUI: {what}", hint))
    return min(pythons, key=lambda one: _ORDER.index(one.version[:2]) if one.version[:2] in _ORDER else len(_ORDER))


def _list_candidates() -> Iterator[str]:
    for major, minor in _RECOMMENDED:
        yield from filter(None, [shutil.which(f"python{major}.{minor}")])
    yield sys.executable
    for name in ("python3", "python", "python3.11", "python3.10", "python3.14"):
        yield from filter(None, [shutil.which(name)])


def _inspect(command: str) -> Python | str:
    """Return the Python of this command, or why it cannot be used."""
    words = (query([command, "-I", "-c", _PROBE], Path(sys.prefix)) or "").split()
    if len(words) < 3:
        return f"{command} does not run"
    version = (int(words[0]), int(words[1]), int(words[2]))
    if version[:2] < _LEAST:
        return f"{command} is Python {'.'.join(words[:3])}, and ComfyUI needs 3.10 or newer"
    if len(words) < 5:
        package = f"python{words[0]}.{words[1]}-venv"
        return f"{command} has no venv module (on Debian and Ubuntu: apt install {package})"
    return Python(command, version)


_WHEELS = "https://download.pytorch.org/whl"
_GB = 1024**3


@dataclass(frozen=True)
class TorchBuild:
    """A build of PyTorch.

    Attributes:
        index: the package index that has it; empty for pip's own.
        download: about how many bytes are downloaded, with all that it needs.
        disk: about how many bytes it takes, installed and while it is installed.
    """

    index: str
    download: int
    disk: int


BUILDS = {
    "cuda": TorchBuild(f"{_WHEELS}/cu130", 3 * _GB, 8 * _GB),
    "rocm": TorchBuild(f"{_WHEELS}/rocm7.2", 5 * _GB, 20 * _GB),
    "mps": TorchBuild("", _GB // 5, _GB),
    "cpu": TorchBuild(f"{_WHEELS}/cpu", _GB // 4, _GB),
    "none": TorchBuild("", 0, 0),
}
"""By the names of the setting `comfyui.torch`. The indexes are those of ComfyUI's own installation guide."""


def detect_build() -> tuple[str, str]:
    """Return the build for this machine, and how that is known."""
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "mps", "a Mac with Apple silicon"
    program = shutil.which("nvidia-smi")
    listed = (query([program, "-L"], Path.cwd()) or "") if program else ""
    if listed.startswith("GPU "):
        return "cuda", f"nvidia-smi lists {listed.splitlines()[0].partition(': ')[2].partition(' (')[0] or 'a GPU'}"
    if sys.platform == "linux" and os.path.exists("/dev/kfd"):  # noqa: PTH110 - a device
        return "rocm", "/dev/kfd is there: an AMD GPU"
    if sys.platform == "linux" and shutil.which("rocminfo"):
        return "rocm", "rocminfo is installed: an AMD GPU"
    return "cpu", "neither nvidia-smi nor /dev/kfd shows a GPU"


VENV = FOLDER / ".venv"
"""Where it is, from the project's root."""
_TORCH = ("torch", "torchvision", "torchaudio")
_ABSENT = "2.999"
"""The version under which pip takes PyTorch for installed if none is wanted."""
_VERSIONS = (
    "import importlib.metadata as m, sys\n"
    "for d in m.distributions():\n"
    "    if d.metadata['Name'] in sys.argv[1:]: print(d.metadata['Name'] + '==' + d.version)"
)
_AGAIN = "fix that and run it again: what is done stays done"


@dataclass(frozen=True)
class TorchChoice:
    """The name of a build, and the package index that has it (empty for pip's own)."""

    build: str
    index: str


class Environment:
    """The venv of the project at `root`. Each step that is done leaves a mark in a file."""

    def __init__(self, root: Path) -> None:
        self.root = root = root.absolute()
        self.folder = root / VENV
        self.python = self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        self._file = self.folder / "imagegen.json"
        self._requirements = root / FOLDER / "requirements.txt"
        self._marks = _read_marks(self._file)

    @property
    def version(self) -> str:
        """Its Python's version; empty if the venv is not there, or half made."""
        return str(self._marks.get("python", "")) if self.python.exists() else ""

    @property
    def asked(self) -> str:
        """What `comfyui.python` was when it was made."""
        return str(self._marks.get("asked", ""))

    @property
    def torch(self) -> TorchChoice | None:
        """The build that was chosen for it, installed or not; None if none was."""
        mark = self._marks.get("torch") if self.version else None
        return TorchChoice(mark["build"], mark["index"]) if mark else None

    def has_torch(self, choice: TorchChoice) -> bool:
        """Whether that build is installed, as requirements.txt asks for it."""
        return bool(self.version) and self._marks.get("torch") == self._torch_mark(choice, done=True)

    def has_requirements(self) -> bool:
        """Whether the packages of requirements.txt, as it is now, are installed beside the PyTorch there is."""
        return bool(self.version) and self._marks.get("requirements") == self._requirements_mark()

    def make(self, python: Python, asked: str) -> None:
        """Make the venv, again if it is half made or its Python is gone. One that somebody else made is used as it is.

        Raises ImagegenError, OSError.
        """
        if self.folder.exists() and not self._file.exists() and any(self.folder.iterdir()):
            found = query([str(self.python), "-m", "pip", "--version"], self.folder)
            version = query([str(self.python), "-c", "import platform; print(platform.python_version())"], self.folder)
            if not found or not version:
                what = "is there already, was not made by doit comfyui:setup, and has no pip that runs"
                raise ImagegenError(Problem(str(VENV), what, "move it away"))
            self._mark(python=version, asked=asked)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._marks = {}
        self._mark()  # from here on it is ours, and half made
        for entry in self.folder.iterdir():
            if entry == self._file:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        print(f"making {VENV} with {python}", flush=True)
        run([python.command, "-m", "venv", str(self.folder)], self.root, f"{VENV} cannot be made", _AGAIN)
        self._mark(python=".".join(map(str, python.version)), asked=asked)

    def install_torch(self, choice: TorchChoice) -> None:
        """Install that build, in place of any other. Raises ImagegenError, OSError."""
        before = self._marks.get("torch")
        wanted = self._torch_mark(choice, done=True)
        # pip accepts any build of the right version, and a change that was stopped leaves some of each
        is_change = before is not None and (not before["done"] or self.torch != choice)
        self._mark(torch={**wanted, "done": False})
        if choice.build != "none" and wanted["packages"]:
            print(f"installing {', '.join(wanted['packages'])}: {choice.build}", flush=True)
            index = ["--index-url", choice.index] if choice.index else []
            force = ["--force-reinstall"] if is_change else []
            where = choice.index or "pip's package index"
            hint = f"check the network, and comfyui.torch_index if you set it; {_AGAIN}"
            self._pip(f"PyTorch cannot be installed from {where}", hint, *index, *force, *wanted["packages"])
        self._mark(torch=wanted)

    def install_requirements(self) -> None:
        """Install the packages of requirements.txt, and leave PyTorch as it is. Raises ImagegenError, OSError."""
        print(f"installing the packages of {FOLDER}/requirements.txt", flush=True)
        names = query([str(self.python), "-c", _VERSIONS, *_TORCH], self.folder)
        kept = (names or "").split()
        with tempfile.TemporaryDirectory() as temporary:
            environment = {"PYTHONPATH": temporary}
            if self.torch and self.torch.build == "none":
                absent = [name for name in _TORCH if not any(k.startswith(f"{name}==") for k in kept)]
                _pretend_installed(Path(temporary), absent)
                # for a constraint on PyTorch, pip would download that version all the same
                kept += [f"{name}=={_ABSENT}" for name in absent]
                environment["PIP_CONSTRAINT"] = " ".join(_strip_torch(os.environ.get("PIP_CONSTRAINT", ""), temporary))
            constraints = Path(temporary) / "torch.txt"
            constraints.write_text("\n".join(kept), encoding="utf-8")
            self._pip(
                f"the packages of {FOLDER}/requirements.txt cannot be installed",
                f"check the network; {_AGAIN}",
                *("-r", str(self._requirements), "-c", str(constraints)),
                environment=environment,
            )
        self._mark(requirements=self._requirements_mark())

    def _pip(self, what: str, hint: str, *words: str, environment: Mapping[str, str] | None = None) -> None:
        command = [str(self.python), "-m", "pip", "install", *words]
        run(command, self.root / FOLDER, what, hint, environment)

    def _torch_mark(self, choice: TorchChoice, done: bool) -> dict[str, Any]:
        packages = [] if choice.build == "none" else _find_torch_lines(_read_text(self._requirements))
        return {"build": choice.build, "index": choice.index, "packages": packages, "done": done}

    def _requirements_mark(self) -> dict[str, Any]:
        sha256 = hashlib.sha256(_read_text(self._requirements).encode()).hexdigest()
        return {"sha256": sha256, "torch": self._marks.get("torch")}

    def _mark(self, **marks: Any) -> None:
        self._marks = {**self._marks, **marks}
        temporary = self._file.with_suffix(".tmp")
        temporary.write_text(json.dumps(self._marks, indent=2) + "\n", encoding="utf-8")
        temporary.replace(self._file)


def _read_marks(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _read_text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""


def _find_torch_lines(requirements: str) -> list[str]:
    """Return the lines of requirements.txt for PyTorch and its two companions, such as `torch>=2.7`."""
    lines = (line.partition(" #")[0].strip() for line in requirements.splitlines())
    return [line for line in lines if (match := re.match(r"[\w.-]+", line)) and match[0].lower() in _TORCH]


def _strip_torch(constraints: str, folder: str) -> Iterator[str]:
    """Yield the user's files of constraints; one that constrains PyTorch is copied into the folder without that."""
    for number, name in enumerate(constraints.split()):
        lines = _read_text(Path(name)).splitlines()
        names = [match[0].lower() if (match := re.match(r"\s*([\w.-]+)", line)) else "" for line in lines]
        if not any(found.strip() in _TORCH for found in names):
            yield name
            continue
        copy = Path(folder) / f"constraints-{number}.txt"
        others = [line for line, found in zip(lines, names, strict=True) if found.strip() not in _TORCH]
        copy.write_text("\n".join(others), encoding="utf-8")
        yield str(copy)


def _pretend_installed(folder: Path, names: Sequence[str]) -> None:
    """Have pip take these packages for installed while this folder is in PYTHONPATH: others require them."""
    for name in names:
        metadata = folder / f"{name}-{_ABSENT}.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {_ABSENT}\n", encoding="utf-8")


def read_torch_build(root: Path) -> str:
    """Return the PyTorch build in ComfyUI's venv, as noted when it was installed; empty if unknown."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads((root / VENV / "imagegen.json").read_bytes())["torch"]["build"])
    for version in (root / VENV).glob("lib/python3*/site-packages/torch/version.py"):
        with suppress(OSError):
            return "cpu" if b"+cpu" in version.read_bytes() else ""
    return ""

"""ComfyUI's own venv: made, given PyTorch and the packages of requirements.txt, with a mark for each step done.

The marks say what a step was made from, so that a second time does nothing and a stopped one goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagegen.backends.comfyui.checkout import FOLDER
from imagegen.backends.comfyui.commands import ask, run
from imagegen.backends.comfyui.python import Python
from imagegen.errors import ImagegenError, Problem

__all__ = ["VENV", "Environment", "TorchChoice"]

VENV = f"{FOLDER}/.venv"
"""Where it is, from the project's root."""
_TORCH = ("torch", "torchvision", "torchaudio")
_ABSENT = "2.999"
"""The version under which pip takes PyTorch for installed where none is wanted."""
_VERSIONS = (
    "import importlib.metadata as m, sys\n"
    "for d in m.distributions():\n"
    "    if d.metadata['Name'] in sys.argv[1:]: print(d.metadata['Name'] + '==' + d.version)"
)
_AGAIN = "hint that and run it again: what is done stays done"


@dataclass(frozen=True)
class TorchChoice:
    """build: a name of `torch_build.BUILDS`. index: the package index that has it; empty: pip's own."""

    build: str
    index: str


class Environment:
    """The venv of the project at `root`. Reads its marks when it is made; each step writes its own."""

    def __init__(self, root: Path) -> None:
        self.root = root = root.absolute()
        self.folder = root / VENV
        self.python = self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        self._file = self.folder / "imagegen.json"
        self._requirements = root / FOLDER / "requirements.txt"
        self._marks = _read(self._file)

    @property
    def version(self) -> str:
        """Its Python's version; empty where the venv is not there, or half made."""
        return str(self._marks.get("python", "")) if self.python.exists() else ""

    @property
    def asked(self) -> str:
        """What `comfyui.python` was when it was made."""
        return str(self._marks.get("asked", ""))

    @property
    def torch(self) -> TorchChoice | None:
        """The build that was chosen for it, installed or not; None where none was."""
        mark = self._marks.get("torch") if self.version else None
        return TorchChoice(mark["build"], mark["index"]) if mark else None

    def has_torch(self, choice: TorchChoice) -> bool:
        """Whether that build is installed, as requirements.txt asks for it."""
        return bool(self.version) and self._marks.get("torch") == self._torch_mark(choice, done=True)

    def has_requirements(self) -> bool:
        """Whether the packages of requirements.txt, as it is now, are installed beside the PyTorch there is."""
        return bool(self.version) and self._marks.get("requirements") == self._requirements_mark()

    def has_all(self) -> bool:
        """Whether every step is done, with the PyTorch that was chosen."""
        return self.torch is not None and self.has_torch(self.torch) and self.has_requirements()

    def make(self, python: Python, asked: str) -> None:
        """Make the venv; one that was half made, or whose Python is gone, is made anew.

        One that somebody else made is used as it is. Raises ImagegenError, OSError.
        """
        if self.folder.exists() and not self._file.exists() and any(self.folder.iterdir()):
            found = ask([str(self.python), "-m", "pip", "--version"], self.folder)
            version = ask([str(self.python), "-c", "import platform; print(platform.python_version())"], self.folder)
            if not found or not version:
                what = "is there already, was not made by doit comfyui:setup, and has no pip that runs"
                raise ImagegenError(Problem(VENV, what, "move it away"))
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
        """Install that build; one of another build is replaced. Raises ImagegenError, OSError."""
        before = self._marks.get("torch")
        wanted = self._torch_mark(choice, done=True)
        # pip takes any build of the right version for the one that is asked for; a stopped change leaves some of each
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
        names = ask([str(self.python), "-c", _VERSIONS, *_TORCH], self.folder)
        kept = (names or "").split()
        with tempfile.TemporaryDirectory() as temporary:
            environment = {"PYTHONPATH": temporary}
            if self.torch and self.torch.build == "none":
                absent = [name for name in _TORCH if not any(k.startswith(f"{name}==") for k in kept)]
                _stand_in(Path(temporary), absent)
                # of a constraint for PyTorch, pip would download that version all the same
                kept += [f"{name}=={_ABSENT}" for name in absent]
                environment["PIP_CONSTRAINT"] = " ".join(
                    _without_torch(os.environ.get("PIP_CONSTRAINT", ""), temporary)
                )
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
        packages = [] if choice.build == "none" else _torch_lines(_text(self._requirements))
        return {"build": choice.build, "index": choice.index, "packages": packages, "done": done}

    def _requirements_mark(self) -> dict[str, Any]:
        sha256 = hashlib.sha256(_text(self._requirements).encode()).hexdigest()
        return {"sha256": sha256, "torch": self._marks.get("torch")}

    def _mark(self, **marks: Any) -> None:
        self._marks = {**self._marks, **marks}
        temporary = self._file.with_suffix(".tmp")
        temporary.write_text(json.dumps(self._marks, indent=2) + "\n", encoding="utf-8")
        temporary.replace(self._file)


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""


def _torch_lines(requirements: str) -> list[str]:
    """What requirements.txt asks of PyTorch and its two companions, such as `torch>=2.7`."""
    lines = (line.partition(" #")[0].strip() for line in requirements.splitlines())
    return [line for line in lines if (match := re.match(r"[\w.-]+", line)) and match[0].lower() in _TORCH]


def _without_torch(constraints: str, folder: str) -> Iterator[str]:
    """The user's files of constraints, those with one for PyTorch copied into the folder without it."""
    for number, name in enumerate(constraints.split()):
        lines = _text(Path(name)).splitlines()
        names = [match[0].lower() if (match := re.match(r"\s*([\w.-]+)", line)) else "" for line in lines]
        if not any(found.strip() in _TORCH for found in names):
            yield name
            continue
        copy = Path(folder) / f"constraints-{number}.txt"
        others = [line for line, found in zip(lines, names, strict=True) if found.strip() not in _TORCH]
        copy.write_text("\n".join(others), encoding="utf-8")
        yield str(copy)


def _stand_in(folder: Path, names: Sequence[str]) -> None:
    """Have pip take these for installed, while this folder is in PYTHONPATH.

    Without that, `none` would install PyTorch all the same: other packages ask for it.
    """
    for name in names:
        metadata = folder / f"{name}-{_ABSENT}.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {_ABSENT}\n", encoding="utf-8")

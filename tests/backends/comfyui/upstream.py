"""What a set-up downloads from, in miniature and on this machine: a git repository and package indexes."""

from __future__ import annotations

import os
import signal
import subprocess
import zipfile
from pathlib import Path

__all__ = ["Index", "Upstream", "git", "killing_program"]


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    result = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.strip()


class Upstream:
    """A git repository in place of ComfyUI's, with its first release tagged v1."""

    def __init__(self, folder: Path, requirements: str = "") -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        git(folder, "init", "--quiet", "--initial-branch=master")
        self.release("v1", **{"requirements.txt": requirements, ".gitignore": ".venv/\n/models/\n/custom_nodes/\n"})

    def release(self, tag: str, **files: str) -> str:
        """Commit these files beside a main.py that names the tag; the commit."""
        for name, text in {"main.py": f"print('{tag}')\n", **files}.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text, encoding="utf-8")
        git(self.folder, "add", "--all", "--force")
        git(self.folder, "commit", "--quiet", "-m", tag)
        git(self.folder, "tag", tag)
        return git(self.folder, "rev-parse", "HEAD")


class Index:
    """A package index in a folder, as pip reads it from a file: address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.url = folder.as_uri()

    def add(self, name: str, version: str, requires: str = "") -> None:
        """A package that holds nothing but its name."""
        module, information = name.replace("-", "_"), f"{name.replace('-', '_')}-{version}.dist-info"
        path = self.folder / name / f"{module}-{version}-py3-none-any.whl"
        path.parent.mkdir(exist_ok=True)
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        metadata += f"Requires-Dist: {requires}\n" if requires else ""
        files = {
            f"{module}.py": f"version = '{version}'\n",
            f"{information}/METADATA": metadata,
            f"{information}/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{file},,\n" for file in (*files, f"{information}/RECORD"))
        with zipfile.ZipFile(path, "w") as wheel:
            for file, text in {**files, f"{information}/RECORD": record}.items():
                wheel.writestr(file, text)
        links = (f'<a href="{one.name}">{one.name}</a>' for one in sorted(path.parent.glob("*.whl")))
        (path.parent / "index.html").write_text("<!DOCTYPE html>\n" + "\n".join(links), encoding="utf-8")


def killing_program(path: Path, real: str, at: int, count: Path) -> None:
    """A program that stands for a real one, and whose call number `at` kills its parent in its place."""
    path.write_text(
        "#!/bin/sh\n"
        f'echo "$@" >> "{count}"\n'
        f'if [ "$(wc -l < "{count}")" -eq {at} ]; then kill -{int(signal.SIGKILL)} $PPID; exit 1; fi\n'
        f'exec "{os.path.realpath(real)}" "$@"\n'
    )
    path.chmod(0o755)

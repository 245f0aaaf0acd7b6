"""A project in a temporary folder, built by the real `doit` in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DODO = "from imagegen.tasks import DOIT_CONFIG, task_accept, task_comfyui, task_doctor, task_gallery, task_image, task_jobs, task_models, task_ollama, task_pick, task_prune, task_reroll, task_restore, task_schema, task_server, task_settings, task_store, task_verify, task_why  # noqa: F401\n"
JOB: dict[str, Any] = {
    "backend": "scripted",
    "generate": {"width": 64, "height": 64},
    "items": [
        {"name": "Mallsing", "prompt": "a tall figure"},
        {"name": "Yrr", "prompt": "a small figure"},
        {"name": "Okka", "prompt": "a broad figure"},
    ],
    "scripted": {"script": "script.json"},
}


def items(**prompts: str) -> list[dict[str, Any]]:
    """Those of JOB, with other prompts, and more of them."""
    found = {"Mallsing": "a tall figure", "Yrr": "a small figure", "Okka": "a broad figure"} | prompts
    return [{"name": name, "prompt": prompt} for name, prompt in found.items()]


@dataclass(frozen=True)
class Run:
    """What one command left: its exit code, and all that it said."""

    code: int
    out: str
    err: str

    def tasks(self, state: str) -> list[str]:
        """The images that were told to be `generated`, `restored`, `kept` or `failed`."""
        return sorted(re.findall(rf"^{state} +(\S+)  ", self.out, re.MULTILINE))

    @property
    def closing(self) -> str:
        return self.out.strip().splitlines()[-1]


class ProjectFolder:
    """`root` has a dodo.py, job files as a test writes them, and a script for the scripted backend."""

    called_in: Path | None = None
    """The folder in which doit is called, where that is not `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = root / "calls.jsonl"
        self.environment: dict[str, str] = {}
        (root / "jobs").mkdir(parents=True)
        self.write("dodo.py", DODO)
        self.script()

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def job(self, name: str = "portraits", **changes: Any) -> None:
        """Write jobs/NAME.yaml: JOB with these keys in place of its own."""
        self.write(f"jobs/{name}.yaml", yaml.safe_dump(JOB | changes, sort_keys=False))

    def script(self, **script: Any) -> None:
        self.write("script.json", json.dumps({"log": str(self.log), **script}))

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        if path := (self.environment | environment).get("PYTHONPATH"):
            environment["PYTHONPATH"] = os.pathsep.join([path, os.environ["PYTHONPATH"]])
        ours = ("DOIT_", "IMAGEGEN_", "COMFYUI_", "OLLAMA_", "HF_")
        known = {key: value for key, value in os.environ.items() if key != "CI" and not key.startswith(ours)}
        return subprocess.Popen(
            [sys.executable, "-m", "doit", *arguments],
            cwd=self.called_in or self.root,
            env={**known, **self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def doit(self, *arguments: str, **environment: str) -> Run:
        """Run doit to its end. No command of this project ever shows a traceback."""
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=120)
        assert "Traceback" not in out + err, out + err
        return Run(process.returncode, out, err)

    def built(self, **changes: Any) -> Run:
        """Write the job and build it for the first time."""
        self.job(**changes)
        run = self.doit()
        assert run.code == 0, run.out + run.err
        return run

    def generated(self) -> list[str]:
        """Every call of the scripted backend that finished, so far, by the item's name."""
        return self._events("finished")

    def started(self) -> list[str]:
        return self._events("started")

    def _events(self, kind: str) -> list[str]:
        if not self.log.exists():
            return []
        events = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [event["name"] for event in events if event["event"] == kind]

    def image(self, slug: str, suffix: str = ".png", job: str = "portraits") -> Path:
        return self.root / "assets" / job / f"{slug}{suffix}"

    def lines(self, job: str = "portraits") -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.root / f"jobs/{job}.lock").read_text("utf-8").splitlines()]

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        result = subprocess.run(
            ["git", *identity, *arguments], cwd=self.root, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

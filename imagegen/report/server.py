"""How it stands with the server, as a person reads it."""

from __future__ import annotations

import time

from imagegen.backends.comfyui.server import LOG, Status
from imagegen.backends.managed_server import Record
from imagegen.report.console import table

__all__ = ["status_lines"]


def status_lines(status: Status) -> list[str]:
    """The state first; then what is known of the server, and what to do where none serves."""
    rows: list[tuple[str, str]] = [(status.state, f"{status.url}  {_said(status)}".rstrip())]
    for device in status.answer.stats.get("devices", ()):
        rows.append(("device", f"{device.get('name', '?')}{_memory(device)}"))
    if status.record:
        rows += [("process", _process(status.record, status)), ("log", LOG.as_posix())]
    elif status.state == "serving":
        rows.append(("process", "not started by this project, which leaves it alone"))
    if status.left:
        rows += [("before", status.left), ("log", LOG.as_posix())]
    return table(rows)


def _said(status: Status) -> str:
    if status.state == "serving":
        system = status.answer.stats["system"]
        versions = {"ComfyUI": "comfyui_version", "PyTorch": "pytorch_version", "Python": "python_version"}
        said = {name: str(system.get(key) or "").partition(" ")[0] for name, key in versions.items()}
        return ", ".join(f"{name} {version}".rstrip() for name, version in said.items() if version or name == "ComfyUI")
    if status.state == "taken":
        return f"by something that is not ComfyUI: it {status.answer.said}"
    return "does not answer yet" if status.state == "starting" else "nothing answers there"


def _memory(device: dict[str, object]) -> str:
    free, total = device.get("vram_free"), device.get("vram_total")
    if not isinstance(free, int) or not isinstance(total, int):
        return ""
    return f": {free / 1024**3:.1f} of {total / 1024**3:.1f} GB free"


def _process(record: Record, status: Status) -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.process.started))
    who = "doit server:start"
    if record.by == "run":
        who = "a run, which stops it at its end"
        if not record.owner.is_alive:
            who = "a run that was killed; the next one stops it at its end, as does doit server:stop"
    where = "" if status.ours else f" at {record.url}"
    return f"{record.process.pid}{where}, since {since}, started by {who}"

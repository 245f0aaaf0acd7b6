"""Code in a process of its own that gets so much memory and so much time, and what it took. For Linux."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

__all__ = ["MB", "Took", "bounded"]

MB = 1024**2
_SHELL = """
import json, pathlib, re, resource, sys
code, limit, arguments = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
names = dict(arguments)
exec(code, names)
# not ru_maxrss, which begins at what the process had that started this one
peak = int(re.search(r"VmHWM:[^0-9]*([0-9]+) kB", pathlib.Path("/proc/self/status").read_text())[1]) * 1024
print(json.dumps({"said": names.get("said"), "peak": peak}))
"""


@dataclass(frozen=True)
class Took:
    """said: what the code left in the variable of that name. peak: the most bytes of memory, the interpreter's 15 MB and the libraries' too."""

    said: Any
    peak: int


def bounded(code: str, *, memory: int, seconds: float, **arguments: Any) -> Took:
    """Run the code with these variables. memory: bytes of address space, past which it gets a MemoryError."""
    run = subprocess.run(
        [sys.executable, "-c", _SHELL, code, str(memory), json.dumps(arguments)],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads(run.stdout.splitlines()[-1])
    return Took(found["said"], found["peak"])

"""`ollama pull`."""

from __future__ import annotations

from tests.backends.ollama.standin.arguments import Arguments
from tests.backends.ollama.standin.connection import stream
from tests.backends.ollama.standin.formats import size
from tests.backends.ollama.standin.program import Program
from tests.backends.ollama.standin.terminal import Bar, Progress, Spinner

__all__ = ["pull"]


def pull(_program: Program, arguments: Arguments) -> None:
    """Shows what the server tells: a line a status, a bar a digest. A failure comes on a line of its own."""
    progress = Progress()
    bars: dict[str, Bar] = {}
    status = ""
    try:
        for said in stream("/api/pull", {"model": arguments.words[0]}):
            digest = said.get("digest", "")
            if not digest and said["status"] != status:
                status = said["status"]
                progress.add(Spinner(status))
            elif digest and said["completed"]:
                new = digest not in bars
                bar = bars.setdefault(digest, Bar(f"pulling {digest.removeprefix('sha256:')[:12]}:"))
                done, total = said["completed"], said["total"]
                bar.share = done / total
                bar.words = size(total) if done == total else f"{size(done):>6}/{size(total):>6}"
                if new:
                    progress.add(bar)
                else:
                    progress.render()
    finally:
        progress.stop()

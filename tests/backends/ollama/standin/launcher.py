"""The file that is called `ollama`, by itself and in an archive."""

from __future__ import annotations

import gzip
import hashlib
import io
import sys
import tarfile
from pathlib import Path

__all__ = ["archive", "launcher"]

ROOT = Path(__file__).parents[4]
LIBRARIES = ("mlx_metal_v3/libmlxc.dylib", "mlx_metal_v3/libmlx.dylib", "mlx_metal_v3/mlx.metallib")


def launcher(state: Path, version: str) -> str:
    """What the script says. It needs no installed package, so that it starts fast."""
    start = f"main(__file__, {str(state)!r}, {version!r})"
    take = f"from {__package__}.command import main"
    return f"#!{sys.executable} -IS\nimport sys; sys.path.insert(0, {str(ROOT)!r}); {take}; sys.exit({start})\n"


def archive(path: Path, state: Path, version: str) -> str:
    """Write a .tgz that is laid out as `ollama-darwin.tgz` is. Returns its sha256, which depends on the content alone."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in ("ollama", "llama-server"):
            _add(tar, name, launcher(state, version).encode(), 0o755)
        for name in LIBRARIES:
            _add(tar, name, f"not really {name}".encode(), 0o644)
        _add(tar, "libggml-base.0.dylib", b"not really a library", 0o644)
        link = tarfile.TarInfo("libggml-base.dylib")
        link.type, link.linkname = tarfile.SYMTYPE, "libggml-base.0.dylib"
        tar.addfile(link)
    path.write_bytes(gzip.compress(packed.getvalue(), mtime=0))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _add(tar: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    tar.addfile(info, io.BytesIO(data))

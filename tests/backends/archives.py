"""Small archives, made in the test: a tgz and a zip of whatever members."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from typing import Any

__all__ = ["Member", "link", "tgz", "zipped"]

Member = tuple[str, bytes, dict[str, Any]]
"""A name, the bytes of a file, and what else tarfile is to say of it: type, linkname, mode."""


def tgz(*members: Member) -> bytes:
    """An archive of just these."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as tar:
        for name, data, more in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in more.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
    return whole.getvalue()


def zipped(*members: Member) -> bytes:
    """A zip of just these, as on Unix. mode: with what kind of file it is; system: 0 for one made on Windows."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data, more in members:
            info = zipfile.ZipInfo(name)
            info.create_system = more.get("system", 3)
            mode = more.get("mode", 0o644)
            info.external_attr = (mode if stat.S_IFMT(mode) else stat.S_IFREG | mode) << 16
            out.writestr(info, data, zipfile.ZIP_DEFLATED)
    return whole.getvalue()


def link(name: str, target: str) -> Member:
    """A link in a zip."""
    return (name, target.encode(), {"mode": stat.S_IFLNK | 0o777})

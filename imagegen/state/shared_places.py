"""Opening a shared store at its address: which fsspec file system that is, and what has to be installed for it."""

from __future__ import annotations

import importlib.util
import os
import stat
import sys
from typing import Any

from imagegen.config.store_url import StoreUrl, read_store_url
from imagegen.state.shared import Folders, SharedStore

__all__ = ["missing_package", "open_shared"]

_CONNECT_S = 10.0
"""Seconds to reach a server."""


def missing_package(url: str) -> tuple[str, str] | None:
    """The package that the address needs and that is not installed, and the command that brings it; None: all are."""
    pip = f"{sys.executable} -m pip install"
    if importlib.util.find_spec("fsspec") is None:
        return "fsspec", f"{pip} fsspec"
    package = {"s3": "s3fs", "ssh": "paramiko"}.get(read_store_url(url).protocol)
    if package is not None and importlib.util.find_spec(package) is None:
        return package, f"{pip} {package}"
    return None


def open_shared(url: str) -> SharedStore:
    """The shared store at this address, which has to be there. Raises as `SharedStore` does, or ModuleNotFoundError."""
    if missing := missing_package(url):
        package, command = missing
        raise ModuleNotFoundError(f"it needs the package {package}, which is not installed: {command}")
    place = read_store_url(url)
    return {"file": _file, "s3": _s3, "ssh": _ssh}[place.protocol](place)


def _file(place: StoreUrl) -> SharedStore:
    from fsspec.core import url_to_fs

    files, root = url_to_fs(f"file:///{place.folder}")
    mode = _mode(os.stat(root).st_mode, root)  # noqa: PTH116 - fsspec's paths are texts
    return SharedStore(files, root, folders=Folders(mode, os.chmod, os.replace))


def _mode(mode: int | None, root: str) -> int:
    """The permissions of a folder. Raises NotADirectoryError."""
    if mode is None or not stat.S_ISDIR(mode):
        raise NotADirectoryError(f"{root} is no folder")
    return stat.S_IMODE(mode)


def _s3(place: StoreUrl) -> SharedStore:
    from fsspec.core import url_to_fs

    waits = {"connect_timeout": _CONNECT_S, "read_timeout": 30, "retries": {"max_attempts": 2}}
    url = f"s3://{place.bucket}/{place.folder}".rstrip("/")
    files, root = url_to_fs(url, skip_instance_cache=True, use_listings_cache=False, config_kwargs=waits)
    try:
        files.ls(root, detail=False)
    except FileNotFoundError as error:
        if error.__cause__ is not None:  # the server's own answer: there is no such bucket; else it is only empty
            raise
    return SharedStore(files, root)


def _ssh(place: StoreUrl) -> SharedStore:
    import logging

    import paramiko
    from fsspec.implementations.sftp import SFTPFileSystem

    class KnownHosts(SFTPFileSystem):  # type: ignore[misc]  # fsspec ships no types
        """Of itself fsspec takes whatever key a server shows; here it must be in ~/.ssh/known_hosts."""

        cachable = False

        def _connect(self) -> None:
            self.client = paramiko.SSHClient()
            self.client.load_system_host_keys()
            self.client.connect(self.host, **self.ssh_kwargs)
            self.ftp = self.client.open_sftp()

        def cat_file(self, path: str, start: int = 0, end: int | None = None, **_: Any) -> bytes:
            """Asked for at once: paramiko else waits for each 32 KiB before it asks for the next."""
            with self.ftp.open(path) as file:
                size = min(file.stat().st_size, sys.maxsize if end is None else end)
                file.prefetch(size)
                file.seek(start)
                found: bytes = file.read(size - start)
            return found

    # it logs each failure with a traceback, and raises it too: that is enough
    logging.getLogger("paramiko").addHandler(logging.NullHandler())
    user = {"username": place.user} if place.user else {}
    waits = dict.fromkeys(("timeout", "banner_timeout", "auth_timeout"), _CONNECT_S)
    files = KnownHosts(place.host, port=place.port, **user, **waits)
    root = f"/{place.folder}"
    # paramiko's SFTP client loses answers where several threads ask it at once
    folders = Folders(_mode(files.ftp.stat(root).st_mode, root), files.ftp.chmod, files.ftp.posix_rename)
    return SharedStore(files, root, at_once=1, folders=folders)

"""The address of a shared store, taken apart: `s3://…`, `ssh://…` or `file:///…`. It never holds a password."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["StoreUrl", "read_store_url", "without_user"]

_EXPECTED = "expected s3://bucket/folder, ssh://host/folder, file:///mnt/team/folder or none"
_PLACES = {
    "s3": re.compile(r"[a-z0-9][a-z0-9.-]+"),
    "ssh": re.compile(r"(?:(?P<user>[\w.-]+)@)?(?P<host>[A-Za-z0-9][\w.-]*|\[[0-9a-fA-F:.]+\])(?::(?P<port>\d{1,5}))?"),
    "file": re.compile(""),
}
"""Between `//` and the next `/`."""
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f?#*\[\]]|::|\s\Z")
"""In a folder: what no path should have, and what fsspec takes for more than a path."""


@dataclass(frozen=True)
class StoreUrl:
    """protocol: s3, ssh or file. bucket: of s3. user, host, port: of ssh; empty and 22 where they are not given.

    folder: without slashes at its ends; empty in s3 alone.
    """

    protocol: str
    folder: str
    bucket: str = ""
    user: str = ""
    host: str = ""
    port: int = 22


def read_store_url(text: str) -> StoreUrl:
    """Raises ValueError with what is expected; it repeats nothing of the text, which may hold a password."""
    protocol, _, rest = text.partition("://")
    place, _, folder = rest.partition("/")
    if ":" in place.rpartition("@")[0]:
        hint = "; " + _PASSWORDS[protocol] if protocol in _PASSWORDS else ""
        raise ValueError(f"expected an address without a password in it{hint}")
    match = _PLACES[protocol].fullmatch(place) if protocol in _PLACES else None
    folder = folder.strip("/")
    if match is None or _FORBIDDEN.search(folder) or not (folder or protocol == "s3"):
        raise ValueError(_EXPECTED)
    if protocol == "s3":
        return StoreUrl(protocol, folder, bucket=place)
    if protocol == "file":
        return StoreUrl(protocol, folder)
    if int(match["port"] or 22) > 65_535:
        raise ValueError(_EXPECTED)
    host = match["host"].strip("[]")
    return StoreUrl(protocol, folder, user=match["user"] or "", host=host, port=int(match["port"] or 22))


_PASSWORDS = {
    "s3": "the keys come from where AWS's own tools find them: AWS_PROFILE, AWS_ACCESS_KEY_ID, ~/.aws",
    "ssh": "use a key, ssh-agent, or the environment variable FSSPEC_SSH_PASSWORD",
}


def without_user(text: str) -> str:
    """The text, with … for the user and the password of an address in it."""
    return re.sub(r"//(?:\S*|[^/]*)@", "//…@", text)

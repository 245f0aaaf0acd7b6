"""A file that is to be downloaded: where it is, and how one knows that it is the right one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Remote"]


@dataclass(frozen=True)
class Remote:
    """One file. For a host that needs or says more than others there is a class of its own.

    key: what problems call it. name: of the file. url: https, or http on this machine. host: where it comes from, for a
    person. sha256: in small letters. size: in bytes, about; 0 where it is not known. least, most: bytes that it may
    have. page: where a person reads about it. if_other, if_away: what to do where another file is there, or none.
    """

    key: str
    name: str
    url: str
    host: str
    sha256: str
    size: int
    least: int
    most: int
    page: str
    if_other: str
    if_away: str

    def token_for(self, url: str) -> str:  # noqa: ARG002 - some hosts want one
        """The token to be sent there; empty for none."""
        return ""

    def announced(self, headers: Mapping[str, str]) -> str:  # noqa: ARG002 - some hosts do
        """The sha256 that a redirect says the file has; empty where it says none."""
        return ""

    def refusal(self, url: str, status: int, said: str) -> tuple[str, str] | None:  # noqa: ARG002 - as above
        """What it means where this address answers with this status, and what to do; None where nothing is known."""
        return None

"""A secret that a server was sent, kept out of what the server says: some repeat it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from imagegen.backends.text import one_line

__all__ = ["Hush"]

_SHORTEST = 8
"""Characters of a word that is looked for in names and images too: a shorter one is part of many."""


class Hush:
    """secrets: the value of an Authorization header, a token or a key; empty for none.

    Each is known again as it is, and by its last word alone. In other shapes, such as reversed, it is not.
    """

    def __init__(self, *secrets: str) -> None:
        self._texts = [text for secret in secrets for text in (secret, secret.rpartition(" ")[2]) if text]
        self._long = [text for text in self._texts if len(text) >= _SHORTEST]

    def text(self, said: str) -> str:
        """The text without it."""
        return _without(said, self._texts)

    def line(self, said: str | bytes, longest: int = 300) -> str:
        """What was said as one line without it, cut to so many characters."""
        said = said[: 8 * longest].decode("utf-8", "replace") if isinstance(said, bytes) else said
        return one_line(self.text(said), longest)  # cut last, which may be in the middle of it

    def json(self, value: Any) -> Any:
        """The JSON value without it. Raises RecursionError."""
        if not self._long:
            return value
        if isinstance(value, str):
            return _without(value, self._long)
        if isinstance(value, list):
            return [self.json(one) for one in value]
        if isinstance(value, dict):
            return {self.json(key): self.json(one) for key, one in value.items()}
        return value

    def is_in(self, data: bytes) -> bool:
        """Whether these bytes have it in them, as it is."""
        return any(text.encode("utf-8") in data for text in self._long)


def _without(said: str, texts: Sequence[str]) -> str:
    for text in texts:
        said = said.replace(text, "…")
    return said

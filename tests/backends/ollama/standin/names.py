"""Names of models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Name", "parse"]

HOST, NAMESPACE, TAG = "registry.ollama.ai", "library", "latest"


@dataclass(frozen=True)
class Name:
    host: str
    namespace: str
    model: str
    tag: str

    @property
    def path(self) -> Path:
        """Of its manifest, under `manifests`."""
        return Path(self.host, self.namespace, self.model, self.tag)

    def __str__(self) -> str:
        """The shortest that names it; the tag is always there."""
        before = "" if self.namespace.lower() == NAMESPACE else f"{self.namespace}/"
        if self.host.lower() != HOST:
            before = f"{self.host}/{self.namespace}/"
        return f"{before}{self.model}:{self.tag}"


def parse(text: str) -> Name | None:
    """None where it is no name."""
    head, _, last = text.removeprefix("https://").removeprefix("http://").rpartition("/")
    model, colon, tag = last.partition(":")
    host, _, namespace = head.rpartition("/")
    name = Name(host or HOST, namespace or NAMESPACE, model, tag if colon else TAG)
    rules = (r"\w[\w.:-]{0,349}", r"\w[\w-]{0,79}", r"\w[\w.-]{0,79}", r"\w[\w.-]{0,79}")
    parts = (name.host, name.namespace, name.model, name.tag)
    valid = all(re.fullmatch(rule, part, re.ASCII) for rule, part in zip(rules, parts, strict=True))
    return name if valid else None

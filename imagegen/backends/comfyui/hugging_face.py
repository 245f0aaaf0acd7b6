"""Model files of Hugging Face, with the token for it; and those of any other address, which it does not go to.

What Hugging Face answers, and with which headers, is as its own documentation and client have it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from imagegen.backends.address import get_port, is_local
from imagegen.backends.download import RemoteFile
from imagegen.config.models import HUGGING_FACE, ModelFile
from imagegen.errors import ImagegenError, Problem

__all__ = ["HuggingFace", "remote_of"]

_TOKENS = f"{HUGGING_FACE}/settings/tokens"
"""Where one gets a token."""


@dataclass(frozen=True)
class HuggingFace:
    """Where it is, and the token for it, empty where there is none.

    The token is for huggingface.co itself, over https; for another endpoint only where that is this very machine.
    """

    endpoint: str = HUGGING_FACE
    token: str = field(default="", repr=False)

    def address(self, model: ModelFile) -> str:
        """Where the model is downloaded from."""
        if not model.repo:
            return model.url
        return f"{self.endpoint}/{model.repo}/resolve/{quote(model.revision, safe='')}/{quote(model.file)}"

    def is_at(self, url: str) -> bool:
        """Whether the token may be sent there."""
        ours = [HUGGING_FACE, *([self.endpoint] if is_local(self.endpoint) else [])]
        return _origin(url) in map(_origin, ours)


def remote_of(model: ModelFile, hub: HuggingFace) -> RemoteFile:
    """The model as a file to be downloaded. Raises ImagegenError where the token can be none."""
    if not (hub.token.isascii() and hub.token.isprintable() and " " not in hub.token):
        raise ImagegenError(Problem("", "HF_TOKEN holds what is no token", f"copy it again from {_TOKENS}"))
    return _ModelRemote(
        model.key,
        model.name,
        hub.address(model),
        model.origin,
        model.sha256,
        model.size,
        model.least,
        model.most,
        model.page or "its page",
        if_other=f"compare sha256 and size with what {model.page or model.origin} says, or name the revision of yours",
        if_missing="correct where it comes from",
        model=model,
        hub=hub,
    )


@dataclass(frozen=True)
class _ModelRemote(RemoteFile):
    """A model that is listed, wherever it is."""

    model: ModelFile
    hub: HuggingFace

    def find_token(self, url: str) -> str:
        return self.hub.token if self.hub.is_at(url) else ""

    def read_announced_sha256(self, headers: Mapping[str, str]) -> str:
        """Hugging Face says a file's sha256 before it sends it on: better now than after some gigabytes."""
        announced = headers.get("X-Linked-Etag", "").strip('"').lower()
        return announced if self.model.repo and re.fullmatch("[0-9a-f]{64}", announced) else ""

    def explain_refusal(self, url: str, status: int, said: str) -> tuple[str, str] | None:
        model = self.model
        if status in (401, 403) and (model.repo or self.hub.is_at(url)):
            accept = f"accept the licence on {model.page or _repo_page(url)}"
            if self.find_token(url):
                what = f"Hugging Face does not give {model.name} to the account of HF_TOKEN ({said})"
                return what, f"with that account {accept}; let the token read gated repositories: {_TOKENS}"
            what = f"Hugging Face gives {model.name} only to those who accepted its licence ({said})"
            return what, f"{accept}, and set HF_TOKEN to a token from {_TOKENS}; or there is no such repository"
        if status in (404, 410) and model.repo:
            what = f"{model.repo} has no {model.file} at revision {model.revision} ({said})"
            return what, f"correct repo, file or revision: see {HUGGING_FACE}/{model.repo}"
        return None


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", get_port(url)


def _repo_page(url: str) -> str:
    return HUGGING_FACE + urlsplit(url).path.partition("/resolve/")[0]

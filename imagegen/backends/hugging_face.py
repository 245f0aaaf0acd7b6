"""The models that the project lists, as files to download: from Hugging Face, with its token, or from elsewhere.

Source of the answers and headers: Hugging Face's documentation of its Hub, and its own client.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from imagegen.backends.address import get_port, is_local
from imagegen.backends.download import RemoteFile
from imagegen.config.models import HUGGING_FACE, ModelFile
from imagegen.errors import InputError, Problem

__all__ = ["HuggingFace", "create_remote_file"]

_TOKENS = f"{HUGGING_FACE}/settings/tokens"
"""Where a user creates a token."""


@dataclass(frozen=True)
class HuggingFace:
    """An endpoint of Hugging Face, and the user's token."""

    endpoint: str = HUGGING_FACE
    token: str = field(default="", repr=False)
    """Empty if there is none. Sent to huggingface.co over https, and to another endpoint only on this machine."""

    def get_url(self, model: ModelFile) -> str:
        """Return the URL that the model is downloaded from."""
        if not model.repo:
            return model.url
        return f"{self.endpoint}/{model.repo}/resolve/{quote(model.revision, safe='')}/{quote(model.file)}"

    def may_get_token(self, url: str) -> bool:
        """Return whether the token may be sent to this URL."""
        ours = [HUGGING_FACE, *([self.endpoint] if is_local(self.endpoint) else [])]
        return _origin(url) in map(_origin, ours)


def create_remote_file(model: ModelFile, hub: HuggingFace) -> RemoteFile:
    """Return the model as a file to download. Raises ImagegenError if the token is not a valid one."""
    if not (hub.token.isascii() and hub.token.isprintable() and " " not in hub.token):
        raise InputError(Problem("", "HF_TOKEN is not a valid token", f"copy it again from {_TOKENS}"))
    return _ModelRemote(
        model.key,
        model.name,
        hub.get_url(model),
        model.origin,
        model.sha256,
        model.size,
        model.least,
        model.most,
        model.page or "its page",
        if_other=f"compare sha256 and size with what {model.page or model.origin} says, or name the revision of yours",
        if_missing="correct its address in pyproject.toml",
        model=model,
        hub=hub,
    )


@dataclass(frozen=True)
class _ModelRemote(RemoteFile):
    """The file of a listed model, at Hugging Face or elsewhere."""

    model: ModelFile
    hub: HuggingFace

    def find_token(self, url: str) -> str:
        return self.hub.token if self.hub.may_get_token(url) else ""

    def read_announced_sha256(self, headers: Mapping[str, str]) -> str:
        """Hugging Face announces the sha256 before it redirects: better to compare it now than after some gigabytes."""
        announced = headers.get("X-Linked-Etag", "").strip('"').lower()
        return announced if self.model.repo and re.fullmatch("[0-9a-f]{64}", announced) else ""

    def explain_refusal(self, url: str, status: int, said: str) -> tuple[str, str] | None:
        model = self.model
        if status in (401, 403) and (model.repo or self.hub.may_get_token(url)):
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

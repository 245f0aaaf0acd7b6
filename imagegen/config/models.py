"""The table `[tool.imagegen.models]`: the model files that a project needs, where each comes from, and its sha256.

Nothing here reads a disk or a network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagegen.config.paths import check_name
from imagegen.errors import did_you_mean

__all__ = ["HUGGING_FACE", "ModelFile", "check_download_url", "list_models", "read_models"]

HUGGING_FACE = "https://huggingface.co"


@dataclass(frozen=True)
class ModelFile:
    """One model file of the table."""

    key: str  # its name in the table
    folder: str  # the kind of model, as ComfyUI calls it
    name: str  # of the file in that folder, with `/` between folders
    sha256: str  # in lower case
    size: int  # bytes, approximately
    least: int  # bytes that it may really have
    most: int
    repo: str = ""  # on Hugging Face, like file and revision; or else url
    file: str = ""
    revision: str = "main"
    url: str = ""
    licence: str = ""  # the address of a page

    @property
    def page(self) -> str:
        """Return the page where its licence can be read and accepted; empty if unknown."""
        return self.licence or (f"{HUGGING_FACE}/{self.repo}" if self.repo else "")

    @property
    def origin(self) -> str:
        """Return where it comes from, for a person: only the host of an address."""
        return f"{self.repo} on Hugging Face" if self.repo else self.url.split("/")[2]


def read_models(value: object) -> tuple[ModelFile, ...]:
    """Return the models of the table. Raises ValueError, each of whose arguments is one problem."""
    if not isinstance(value, dict):
        raise ValueError("expected a table for each model, such as [tool.imagegen.models.dreamshaper]")
    wrong: list[str] = []
    models = []
    for key, entry in value.items():
        found = _Entry(key, entry)
        model = found.read()
        wrong += [f"{key}{text}" for text in found.wrong]
        if not found.wrong:
            models.append(model)
    wrong += _find_clashes(models)
    if wrong:
        raise ValueError(*wrong)
    return tuple(models)


def list_models(models: Sequence[ModelFile]) -> str:
    """Return their names, for a person."""
    return ", ".join(model.key for model in models)


def check_download_url(value: object) -> str:
    """Return an address that models may be downloaded from: https, or http on this machine. Raises ValueError."""
    if not isinstance(value, str) or not re.fullmatch(_ADDRESS, value):
        raise ValueError("expected an address that begins with https://, without a user or password in it")
    return value


_LOCAL = r"http://(?:127\.0\.0\.1|localhost|\[::1\])(?::\d+)?"
# not compiled here: a run with nothing to do does without
_ADDRESS = rf"(?:https://[A-Za-z0-9.\[\]:-]+|{_LOCAL})(?:/[!-\[\]-~]*)?"
"""No @ before the path, no backslash and no space: programs disagree on what those mean."""
_KEY = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_REPO = r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*"
_SIZE = r"(\d{1,6})(?:\.(\d{1,6}))? ?([KMGT])B"
_KEYS = ("repo", "file", "revision", "url", "folder", "name", "sha256", "size", "licence")
_OF_HUGGING_FACE = ("repo", "file", "revision")
_FOLDERS = (
    *("checkpoints", "loras", "vae", "vae_approx", "diffusion_models", "unet", "text_encoders", "clip", "clip_vision"),
    *("controlnet", "embeddings", "upscale_models", "latent_upscale_models", "hypernetworks", "style_models", "gligen"),
    *("photomaker", "diffusers", "configs", "classifiers", "model_patches", "audio_encoders"),
)
"""ComfyUI's own, v0.33.0. Custom nodes have others, so only what looks like a misspelling is refused."""


class _Entry:
    """One entry while it is read. wrong: its problems, each to be put after the entry's name."""

    def __init__(self, key: str, entry: object) -> None:
        self.wrong: list[str] = []
        self._key = key
        self._table: Mapping[str, Any] = entry if isinstance(entry, dict) else {}
        if not re.fullmatch(_KEY, key):
            self.wrong.append(": expected a name of letters, digits, '_', '.' and '-'")
        if not isinstance(entry, dict):
            self.wrong.append(": expected a table with repo or url, folder, sha256 and size")

    def read(self) -> ModelFile:
        """Return the model; ignore it if there are problems."""
        if self.wrong:
            return ModelFile("", "", "", "", 0, 0, 0)
        for unknown in [key for key in self._table if key not in _KEYS]:
            self._note(unknown, f"unknown key{did_you_mean(unknown, _KEYS)}")
        least, size, most = self._read_size()
        source = self._read_source()
        return ModelFile(
            self._key,
            self._read_folder(),
            self._read_name(source),
            self._read_sha256(),
            size,
            least,
            most,
            **source,
            licence=self._read_page(),
        )

    def _note(self, key: str, text: str) -> None:
        self.wrong.append(f".{key}: {text}")

    def _read_text(self, key: str, needed: str) -> str:
        """Return a text that must be there. needed: what it is."""
        value = self._table.get(key)
        if isinstance(value, str) and value:
            return value
        self._note(key, f"expected {needed}" if key in self._table else f"is missing: {needed}")
        return ""

    def _read_path(self, key: str, needed: str) -> str:
        """Return a path that must be there and stay in its folder."""
        path = self._read_text(key, needed)
        if path and (why := _check_path(path)):
            self._note(key, why)
        return path

    def _read_source(self) -> dict[str, str]:
        given = [key for key in _OF_HUGGING_FACE if key in self._table]
        if "url" in self._table:
            if given:
                self._note(given[0], "is for Hugging Face; with url, leave it out")
            try:
                return {"url": check_download_url(self._table["url"])}
            except ValueError as error:
                self._note("url", str(error))
                return {}
        if not given:
            self.wrong.append(": needs repo and file (on Hugging Face), or url")
            return {}
        source = {"repo": self._read_text("repo", "a Hugging Face repository, such as 'Lykon/DreamShaper'")}
        if source["repo"] and not re.fullmatch(_REPO, source["repo"]):
            self._note("repo", "expected OWNER/NAME, such as 'Lykon/DreamShaper'")
        source["file"] = self._read_path("file", "the file's path in that repository")
        if "revision" in self._table:
            source["revision"] = self._read_text("revision", "a branch, tag or commit of that repository")
            if not source["revision"].isprintable() or ".." in source["revision"]:
                self._note("revision", "expected a branch, tag or commit")
        return source

    def _read_folder(self) -> str:
        folder = self._read_path("folder", "the kind of model: checkpoints, loras, vae …")
        if "/" in folder:
            self._note("folder", "expected a kind of model, such as loras; name may have folders before the file")
        elif folder not in _FOLDERS and (slip := did_you_mean(folder, _FOLDERS)):
            self._note("folder", f"'{folder}' is not a kind of model{slip}")
        return folder

    def _read_name(self, source: Mapping[str, str]) -> str:
        if "name" in self._table:
            return self._read_path("name", "the file's own name in its folder")
        if "repo" in source:
            return source["file"].rpartition("/")[2]
        name = re.split(r"[?#]", source.get("url", ""))[0].rpartition("/")[2]
        if source and ("." not in name or "%" in name or _check_path(name)):
            self._note("name", "is missing: the url does not give the file's name")
        return name

    def _read_sha256(self) -> str:
        sha256 = self._read_text("sha256", "the file's own, which Hugging Face shows on the file's page")
        if sha256 and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
            self._note("sha256", f"expected 64 hexadecimal digits, found {len(sha256)} characters")
        return sha256.lower()

    def _read_size(self) -> tuple[int, int, int]:
        """Return the least, approximate and most size: a number of bytes is exact, a text is rounded."""
        value = self._table.get("size")
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value, value, value
        match = re.fullmatch(_SIZE, value) if isinstance(value, str) else None
        if match is None:
            expected = "a size such as '2.1 GB', or the exact number of bytes"
            self._note("size", f"expected {expected}" if "size" in self._table else f"is missing: {expected}")
            return 0, 0, 0
        digits = match[2] or ""
        number, step = int(match[1] + digits), 10 ** len(digits)
        power = "KMGT".index(match[3]) + 1
        # a KB may be 1000 or 1024 bytes, and the number rounded or cut off
        least, most = (number - 1) * 1000**power // step, (number + 1) * 1024**power // step
        return max(1, least), number * 1024**power // step, most

    def _read_page(self) -> str:
        if "licence" not in self._table:
            return ""
        page = self._read_text("licence", "the address of a page")
        if page and not re.fullmatch(r"https?://[!-~]+", page):
            self._note("licence", "expected the address of a page")
        return page


def _check_path(path: str) -> str:
    """Return why a path must not be used within a folder, on some system; empty if it may."""
    if any(part in ("", ".", "..") or part.startswith(("~", ".")) for part in path.split("/")):
        return f"'{path}' is not a plain path within its folder"
    if path.lower().endswith(".part"):
        return f"'{path}' ends like a partial download"
    return check_name(path)


def _find_clashes(models: Sequence[ModelFile]) -> Iterator[str]:
    """Yield what is wrong if two models have one file, on systems that ignore case too."""
    taken: dict[str, str] = {}
    for model in models:
        path = f"{model.folder}/{model.name}"
        first = taken.setdefault(path.lower(), model.key)
        if first != model.key:
            yield f"{model.key}: has the file {path}, like {first}; give one of them another name"

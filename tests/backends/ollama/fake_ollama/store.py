"""Models on disk: real manifests, and those of their blobs that are read."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "DEFAULTS",
    "Model",
    "Name",
    "find",
    "folder",
    "install",
    "installed",
    "parse",
]


MEDIA = "application/vnd.ollama.image."
DEFAULTS: dict[str, Any] = {
    "capability": "image",
    "architecture": "ZImagePipeline",
    "parameters": 10_300_000_000,
    "quantization": "FP8",
    "size": 12_000_000_000,
    "licence": "Apache License\nVersion 2.0, January 2004\nhttp://www.apache.org/licenses/\n",
    "revision": 1,
}
"""What a model is unless the test says otherwise. Another `revision` is another digest."""


@dataclass(frozen=True)
class Model:
    """One that is there, read from its manifest."""

    name: Name
    digest: str
    size: int
    modified: float
    config: dict[str, Any]
    index: dict[str, Any]
    licences: list[str]


def folder() -> Path:
    """Where this process keeps models."""
    return Path(os.environ.get("OLLAMA_MODELS") or Path(os.environ["HOME"], ".ollama/models"))


def install(models: Path, name: Name, spec: Mapping[str, Any]) -> str:
    """Write the manifest of a model, and all its blobs but the weights. Returns its digest."""
    image = spec["capability"] == "image"
    config = {
        "model_format": "safetensors" if image else "gguf",
        "file_type": spec["quantization"],
        "capabilities": [spec["capability"]],
        "revision": spec["revision"],
    }
    index = {key: spec[key] for key in ("architecture", "quantization")} | {"parameter_count": spec["parameters"]}
    weights = hashlib.sha256(repr((str(name), spec["revision"])).encode()).hexdigest()
    layers = [
        {"mediaType": MEDIA + ("tensor" if image else "model"), "digest": f"sha256:{weights}", "size": spec["size"]},
        _blob(models, "json", json.dumps(index)) | {"name": "model_index.json"},
    ]
    layers += [_blob(models, "license", spec["licence"])] if spec["licence"] else []
    manifest = {"schemaVersion": 2, "config": _blob(models, "config", json.dumps(config)), "layers": layers}
    path = models / "manifests" / name.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(manifest), "utf-8")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _blob(models: Path, kind: str, text: str) -> dict[str, Any]:
    data = text.encode()
    digest = hashlib.sha256(data).hexdigest()
    path = models / "blobs" / f"sha256-{digest}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {"mediaType": MEDIA + kind, "digest": f"sha256:{digest}", "size": len(data)}


def installed() -> list[Model]:
    """All that are there, the newest first."""
    manifests = folder() / "manifests"
    models = [_read(Name(*path.relative_to(manifests).parts), path) for path in manifests.glob("*/*/*/*")]
    return sorted(models, key=lambda model: -model.modified)


def find(name: Name) -> Model | None:
    """It, in whatever case it is written."""
    return next((model for model in installed() if str(model.name).lower() == str(name).lower()), None)


def _read(name: Name, path: Path) -> Model:
    data = path.read_bytes()
    manifest = json.loads(data)
    layers = manifest["layers"]
    texts = {kind: [_content(layer) for layer in layers if layer["mediaType"] == MEDIA + kind] for kind in _KINDS}
    return Model(
        name,
        hashlib.sha256(data).hexdigest(),
        sum(layer["size"] for layer in [*layers, manifest["config"]]),
        path.stat().st_mtime,
        json.loads(_content(manifest["config"])),
        json.loads(texts["json"][0]),
        texts["license"],
    )


_KINDS = ("json", "license")


def _content(layer: Mapping[str, Any]) -> str:
    return (folder() / "blobs" / str(layer["digest"]).replace(":", "-")).read_text("utf-8")


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

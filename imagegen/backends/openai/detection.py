"""Find out which program a server is, and which models it has for images. A few short GETs; none loads a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagegen.backends.json_api import Refused
from imagegen.backends.openai.client import Client

__all__ = ["Server", "detect", "inspect_hosted"]

_NO_IMAGES = {
    "llamacpp": "llama.cpp",
    "organization_owner": "LM Studio",
    "library": "Ollama",
}
"""`owned_by` of the models of programs that make no images → the program."""


@dataclass(frozen=True)
class Server:
    """What a server tells of itself.

    Attributes:
        program: for a person; empty if it cannot be known. The same for its version.
        dialect: empty if it has none.
        models: that make images, as a request names them; empty if that is unknown.
        samplers: empty if they are unknown; the same for the schedulers.
        loras: that are at work for every request.
    """

    program: str = ""
    dialect: str = ""
    version: str = ""
    models: Sequence[str] = ()
    samplers: Sequence[str] = ()
    schedulers: Sequence[str] = ()
    loras: Sequence[str] = ()


def detect(client: Client) -> Server:
    """Return what a server of the user's own is. Raises Refused and Unreachable."""
    info = client.look("/model_info") or {}  # while SGLang warms up, it answers this and not /v1/models
    if info.get("model_type") == "diffusion":
        return _inspect_sglang(client, info)
    models = client.models()
    names, owners = [one["id"] for one in models], {str(one.get("owned_by")) for one in models}
    if "sd-cpp-local" in names:
        return _inspect_sd_server(client)
    if "lemonade" in owners:
        return _inspect_lemonade(client, models)
    if "koboldcpp" in owners:
        return Server("koboldcpp")
    if "vllm" in owners and (health := client.look("/health")) is not None:
        is_omni = health.get("status") == "healthy"
        return Server("vLLM-Omni", "vllm", models=names[:1]) if is_omni else Server("vLLM without vLLM-Omni")
    if "is_generation" in info:
        return Server("SGLang with a language model")
    if program := next((_NO_IMAGES[owner] for owner in owners if owner in _NO_IMAGES), ""):
        return Server(program)
    if (said := client.look("/.well-known/localai.json")) and "image_generation" in str(said.get("endpoints")):
        return _inspect_localai(client, str(said.get("version") or ""), names)
    return Server(models=names)


def inspect_hosted(client: Client) -> Server:
    """Return what a hosted API says that it has. Not every one has a list, or shows it with every key."""
    try:
        return Server("", "hosted", models=[one["id"] for one in client.models()])
    except Refused as refused:
        if refused.status == 401:
            raise
        return Server("", "hosted")


def _inspect_sglang(client: Client, info: Mapping[str, Any]) -> Server:
    version = str((client.look("/server_info") or {}).get("version") or "")
    if info.get("is_image_gen") is False:
        return Server("SGLang with a model for videos", version=version)
    active = (client.look("/v1/list_loras") or {}).get("active")
    loras = [
        str(one.get("nickname"))
        for module in (active.values() if isinstance(active, dict) else ())
        for one in (module if isinstance(module, list) else ())
        if isinstance(one, dict)
    ]
    names = [one["id"] for one in client.models()]
    return Server("SGLang", "sglang", version, names[:1], loras=list(dict.fromkeys(loras)))


def _inspect_sd_server(client: Client) -> Server:
    from imagegen.backends.sd.client import Client as SdClient

    found = SdClient(client.root).capabilities()
    return Server("sd-server", "sdcpp", "", ["sd-cpp-local"], samplers=found.samplers, schedulers=found.schedulers)


def _inspect_lemonade(client: Client, models: Sequence[Mapping[str, Any]]) -> Server:
    """Leave out models that are not downloaded: a request would do it, and take as long."""
    version = str((client.look("/api/v1/health") or {}).get("version") or "")
    names = [one["id"] for one in models if _lists_image(one.get("labels")) and one.get("downloaded")]
    return Server("Lemonade", "lemonade", version, names)


def _inspect_localai(client: Client, version: str, names: Sequence[str]) -> Server:
    found = (client.look("/v1/models/capabilities") or {}).get("data")
    known = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    images = [str(one.get("id")) for one in known if _lists_image(one.get("capabilities"))]
    return Server("LocalAI", "localai", version, images if known else names)


def _lists_image(words: object) -> bool:
    return isinstance(words, list) and "image" in words

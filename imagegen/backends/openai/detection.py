"""Find out which program a server is, and which models it has for images. A few short GETs; none loads a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imagegen.backends.json_api import Refused
from imagegen.backends.openai.client import Client

__all__ = ["KOBOLDCPP", "Server", "inspect_server"]

KOBOLDCPP = "koboldcpp"
_OWNERS = {
    "sglang": ("SGLang", "sglang"),
    "lemonade": ("Lemonade", "lemonade"),
    "local": ("sd-server", "sdcpp"),
    "koboldcpp": (KOBOLDCPP, ""),
    "llamacpp": ("llama.cpp", ""),
    "organization_owner": ("LM Studio", ""),
    "library": ("Ollama", ""),
}
"""`owned_by` of models → the program, and its dialect. Many say vllm; the others are sure."""


@dataclass(frozen=True)
class Server:
    """What a server tells of itself.

    Attributes:
        program, version: for a person; empty if it cannot be known.
        dialect: empty if it has none, or that cannot be known.
        models: that make images, as a request names them; empty if that is unknown. The same for both others.
        has_lora: whether one is at work for every request.
    """

    program: str = ""
    dialect: str = ""
    models: Sequence[str] = ()
    version: str = ""
    samplers: Sequence[str] = ()
    schedulers: Sequence[str] = ()
    has_lora: bool = False


def inspect_server(client: Client, *, is_hosted: bool) -> Server:
    """Return what a server is and has. Raises Refused and Unreachable.

    is_hosted: by its address, or as job or settings say: it is asked for its models alone, and may not list them.
    """
    info = {} if is_hosted else client.look("/model_info") or {}  # SGLang answers this while it warms up
    if info.get("model_type") == "diffusion":
        version = str((client.look("/server_info") or {}).get("version") or "")
        has_lora = bool((client.look("/v1/list_loras") or {}).get("active"))
        names = [one["id"] for one in client.models()][:1]
        makes_images = info.get("is_image_gen") is not False
        return Server("SGLang", "sglang" if makes_images else "", names, version, has_lora=has_lora)
    try:
        models = client.models()
    except Refused as refused:
        if not is_hosted or refused.status == 401:
            raise
        models = []
    names = [one["id"] for one in models]
    program, dialect = next((_OWNERS[owner] for one in models if (owner := str(one.get("owned_by"))) in _OWNERS), _NONE)
    if is_hosted:
        return Server(program, dialect if program else "hosted", names)
    if dialect == "sdcpp":
        from imagegen.backends.sd.client import Client as SdClient

        found = SdClient(client.root).capabilities()
        return Server(program, dialect, names, samplers=found.samplers, schedulers=found.schedulers)
    if dialect == "lemonade":  # a model that is not downloaded would be, by the request
        version = str((client.look("/api/v1/health") or {}).get("version") or "")
        names = [one["id"] for one in models if _lists_images(one.get("labels")) and one.get("downloaded")]
        return Server(program, dialect, names, version)
    if program:
        return Server(program)
    return _inspect_vllm(client, models) or _inspect_localai(client, names) or Server(models=names)


_NONE = ("", "")


def _inspect_vllm(client: Client, models: Sequence[Mapping[str, object]]) -> Server | None:
    """Tell vLLM-Omni from vLLM, whose /health answers with nothing. It takes the first of its names alone."""
    health = client.look("/health") if any(one.get("owned_by") == "vllm" for one in models) else None
    if health is None:
        return None
    is_omni = health.get("status") == "healthy"
    return Server("vLLM-Omni", "vllm", [str(models[0]["id"])]) if is_omni else Server("vLLM")


def _inspect_localai(client: Client, names: Sequence[str]) -> Server | None:
    said = client.look("/.well-known/localai.json") or {}
    if "image_generation" not in str(said.get("endpoints")):
        return None
    data = (client.look("/v1/models/capabilities") or {}).get("data")
    listed = [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []
    images = [str(one.get("id")) for one in listed if _lists_images(one.get("capabilities"))]
    return Server("LocalAI", "localai", images if listed else names, str(said.get("version") or ""))


def _lists_images(words: object) -> bool:
    return isinstance(words, list) and "image" in words

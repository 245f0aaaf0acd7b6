"""A server with OpenAI's images API: its calls, which program it is, and which models it has for images."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagegen.backends.json_api import MAX_IMAGE_JSON, JsonApi, Refused, Unreachable, list_objects
from imagegen.backends.other_server import find_other_server
from imagegen.backends.text import one_line

__all__ = ["KOBOLDCPP", "Client", "Server", "inspect_server"]

_OK, _UNAUTHORIZED = 200, 401
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
"""`owned_by` of models → the program, and its dialect. Many say vllm; these are sure."""


class Client(JsonApi):
    """One server. url: what stands before /images/generations. key: sent as a bearer token; empty for none."""

    api = "OpenAI"
    url_setting = "openai.server.url in the job or in [tool.imagegen]"
    auth_setting = "OPENAI_API_KEY"
    auth_servers = "https://api.openai.com and the server of OPENAI_BASE_URL"
    auth_url_setting = "OPENAI_BASE_URL"

    def __init__(self, url: str, key: str = "") -> None:
        super().__init__(url, f"Bearer {key}" if key else "", key)
        self.root = re.sub(r"(/api)?/v[01]\Z", "", url)
        self._base = url.removeprefix(self.root)

    def models(self) -> list[Mapping[str, Any]]:
        """Return what the server says of each of its models, which has an ID."""
        data = self._json("GET", f"{self._base}/models").get("data")
        return [one for one in list_objects(data) if isinstance(one.get("id"), str)]

    def generate(
        self, body: Mapping[str, Any], check: Callable[[], None], silence_s: float, *, keeps_all: bool = False
    ) -> tuple[bytes, Mapping[str, Any]]:
        """Return an image and the rest of the answer. Raises Refused, with status 200 if there is no image in it.

        keeps_all: return whatever came in place of the image, since it was paid for.
        """
        where = f"{self._base}/images/generations"
        data = self._send(
            "POST", where, MAX_IMAGE_JSON, check, silence_s, keeps_all=keeps_all, reconnects=True, json=dict(body)
        )
        answer = dict(self._read_object(data) or {})
        first = next(iter(list_objects(answer.pop("data", None))), {})
        text = first.get("b64_json")
        if first.get("url") and not text and not keeps_all:
            raise Refused(f"{self.url} sent the address of an image, and not the image", "check openai.dialect", _OK)
        return self._decode_image(text, answer, data if keeps_all else b""), answer

    @property
    def _set_auth(self) -> str:
        return f"set {self.auth_setting} to a key of this server, and OPENAI_BASE_URL to its address if it isn't OpenAI"


@dataclass(frozen=True)
class Server:
    """What a server tells of itself; empty is what it does not tell.

    models: that make images, as a request names them. sold: more, at others that may charge for them.
    loras: that are at work for every request.
    """

    program: str = ""
    dialect: str = ""
    models: Sequence[str] = ()
    version: str = ""
    samplers: Sequence[str] = ()
    schedulers: Sequence[str] = ()
    loras: Sequence[str] = ()
    sold: Sequence[str] = ()


def inspect_server(client: Client, *, is_hosted: bool) -> Server:
    """Return what a server is and has, after a few short GETs. Raises Refused and Unreachable.

    is_hosted: as is known before. It is asked for its models alone, and need not list them.
    """
    info = None if is_hosted else client.look("/model_info")  # SGLang answers this while it warms up
    if info and info.get("model_type") == "diffusion":
        return _inspect_sglang(client, makes_images=info.get("is_image_gen") is not False)
    try:
        models = client.models()
    except Refused as refused:
        if refused.status == _UNAUTHORIZED:
            raise
        if not is_hosted:
            raise find_other_server(client, "openai") or refused from None
        models = []
    names, owners = [one["id"] for one in models], [str(one.get("owned_by")) for one in models]
    if is_hosted:
        return Server("", "hosted", names)
    program, dialect = next((_OWNERS[owner] for owner in owners if owner in _OWNERS), ("", ""))
    if dialect == "sdcpp":
        from imagegen.backends.sd.client import Client as SdClient

        found = SdClient(client.root).capabilities()
        file = one_line(found.model.replace("\\", "/").rpartition("/")[2], 60)  # in place of a version
        return Server(program, dialect, names, file, found.samplers, found.schedulers)
    if dialect == "lemonade":  # a model that is not downloaded would be, by the request
        images = [one for one in models if _lists_images(one.get("labels"))]
        sold = [one["id"] for one in images if one.get("recipe") == "cloud"]
        names = [one["id"] for one in images if one.get("downloaded") and one["id"] not in sold]
        return Server(program, dialect, names, _read_version(client.look("/api/v1/health")), sold=sold)
    if program:
        return Server(program)
    if "vllm" in owners and (health := client.look("/health")) is not None:  # which plain vLLM answers with nothing
        return Server("vLLM-Omni", "vllm", names[:1]) if health.get("status") == "healthy" else Server("vLLM")
    return _inspect_localai(client, names)


def _inspect_sglang(client: Client, *, makes_images: bool) -> Server:
    """Its LoRAs are listed by the part of the model that they are applied to."""
    try:
        active = (client.look("/v1/list_loras") or {}).get("active")
    except Unreachable:
        raise Refused(f"SGLang at {client.url} still warms up", "run doit again when it is ready") from None
    parts = active.values() if isinstance(active, dict) else ()
    loras = sorted({str(one.get("nickname")) for part in parts for one in list_objects(part)})
    names, version = [one["id"] for one in client.models()], _read_version(client.look("/server_info"))
    return Server("SGLang", "sglang" if makes_images else "", names[:1], version, loras=loras)


def _inspect_localai(client: Client, names: Sequence[str]) -> Server:
    said = client.look("/.well-known/localai.json") or {}
    if "image_generation" not in str(said.get("endpoints")):
        return Server(models=names)
    listed = list_objects((client.look("/v1/models/capabilities") or {}).get("data"))
    images = [str(one.get("id")) for one in listed if _lists_images(one.get("capabilities"))]
    return Server("LocalAI", "localai", images if listed else names, _read_version(said))


def _read_version(said: Mapping[str, Any] | None) -> str:
    return one_line(str((said or {}).get("version") or ""), 60)


def _lists_images(words: object) -> bool:
    return isinstance(words, list) and "image" in words

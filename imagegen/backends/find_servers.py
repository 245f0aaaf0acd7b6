"""Find the image servers that run on this machine: which program answers at each of the usual ports.

Each port gets one short GET on loopback. More go only where two programs share a port, and to one with A1111's API, to
learn which it is. Nothing else is sent: no credentials, nothing by a proxy, no redirect followed.

Source of the ports, paths and answers: the programs' own sources, of 2026.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from imagegen.backends.a1111.programs import KOBOLDCPP, identify
from imagegen.backends.base import Diagnosis
from imagegen.backends.comfyui.client import is_koboldcpp
from imagegen.backends.comfyui.swarmui import find_address
from imagegen.backends.http import deadline
from imagegen.backends.json_api import JsonApi, Refused, Unreachable
from imagegen.backends.ollama.compatibility import has_images
from imagegen.backends.text import one_line

__all__ = ["USUAL_PORTS", "FoundServer", "Probe", "Server", "UsualPort", "find_servers"]

_CONNECT_S, _ANSWER_S = 1.0, 3.0
_MAX_ANSWER = 4 * 1024**2
"""Bytes of an answer that are read. The longest are A1111's options, with all its extensions some 100 KB."""


@dataclass(frozen=True)
class Server:
    """A program that was recognised."""

    program: str
    """Its name, and its version if it tells: `ComfyUI 0.33.0`."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What to write into [tool.imagegen] to use it; empty if it generates no images."""
    why_not: str = "it generates no images"
    """Why there are no settings."""


class Probe(JsonApi):
    """A port that listens, and may be anything."""

    api = "an image server"
    url_setting = "its port"
    refused: Refused | None = None
    """The last answer, if it was not JSON or not a success."""

    def get(self, path: str) -> Any:
        """Return the JSON that answers, of an error too; {} if it is not JSON. Raises Unreachable."""
        too_slow = Unreachable(f"it did not answer within {_ANSWER_S:g} s")
        self.refused = None
        try:
            return self._json("GET", path, object, limit=_MAX_ANSWER, check=deadline(_ANSWER_S, lambda: too_slow))
        except Refused as refused:
            self.refused = refused
            return refused.answer


@dataclass(frozen=True)
class UsualPort:
    """What usually answers at a port.

    recognise: returns None for anything else.
    otherwise: what may be wrong if something answers that is not recognised; empty for nothing in particular.
    login: what to set if it wants a password; empty if imagegen has none for it.
    backend: that uses it then; empty if there is more to know than its address.
    """

    programs: str
    recognise: Callable[[Probe], Server | None]
    otherwise: str = ""
    login: str = ""
    backend: str = ""


@dataclass(frozen=True)
class FoundServer(Diagnosis):
    """A row of `doit doctor --find`."""

    settings: Mapping[str, str] = field(default_factory=dict)
    """What uses it, in [tool.imagegen]; empty if it generates no images."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Those of the settings that the project does not have yet."""


def find_servers(ports: Mapping[int, UsualPort] | None = None) -> list[FoundServer]:
    """Return a row for each of the ports at which something listens, in their order. They are asked side by side."""
    ports = USUAL_PORTS if ports is None else ports
    with ThreadPoolExecutor(len(ports)) as threads:
        rows = threads.map(_look, ports, ports.values())
        return [row for row in rows if row]


def _look(port: int, usual: UsualPort) -> FoundServer | None:
    """Return the row of a port; None if nothing listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), _CONNECT_S).close()
    except OSError:
        return None
    what, probe = f"port {port}", Probe(f"http://127.0.0.1:{port}")
    try:
        server = usual.recognise(probe)
    except Unreachable as error:
        return FoundServer(True, what, f"something listens, but gives no answer: {error}")
    if server:
        found = one_line(server.program, 80)
        found = found if server.settings else f"{found}: {server.why_not}"
        return FoundServer(True, what, found, settings=server.settings)
    if probe.refused and probe.refused.status in (401, 403):
        return _describe_locked(what, probe.url, usual)
    found = f"something else answers, not {usual.programs}"
    return FoundServer(True, what, f"{found}; {usual.otherwise}" if usual.otherwise else found)


def _describe_locked(what: str, url: str, usual: UsualPort) -> FoundServer:
    """Return the row of a port at which a password is wanted."""
    found = f"something answers, perhaps {usual.programs}, and asks for authorization"
    found = f"{found}: set {usual.login} in the environment" if usual.login else found
    settings = {"backend": usual.backend, f"{usual.backend}.server.url": url} if usual.backend else {}
    return FoundServer(True, what, found, settings=settings)


def _text(answer: Any, *keys: str) -> str:
    """Return the text at these keys, one within the other; empty if there is none."""
    for key in keys:
        answer = answer.get(key) if isinstance(answer, dict) else None
    return answer if isinstance(answer, str) else ""


def _list_owners(models: Any) -> list[str]:
    """Return `owned_by` of each model in the answer to /v1/models."""
    data = models.get("data") if isinstance(models, dict) else None
    return [_text(one, "owned_by") for one in data] if isinstance(data, list) else []


def _recognise_comfyui(probe: Probe) -> Server | None:
    stats = probe.get("/system_stats")
    if is_koboldcpp(stats):
        return _recognise_koboldcpp(probe)
    version = _text(stats, "system", "comfyui_version")
    return Server(f"ComfyUI {version}", {"backend": "comfyui", "comfyui.server.url": probe.url}) if version else None


def _recognise_swarmui(probe: Probe) -> Server | None:
    """Ask for the first ComfyUI in it, whose API it passes on."""
    address = find_address(probe.url)
    version = _text(probe.get(f"{address.removeprefix(probe.url)}/system_stats"), "system", "comfyui_version")
    if version:
        settings = {"backend": "comfyui", "comfyui.server.url": address}
        return Server(f"SwarmUI, with ComfyUI {version}", settings)
    if probe.refused and "comfy-failed-to-load" in probe.refused.what:
        return Server("SwarmUI", why_not="no ComfyUI runs in it")
    return None


def _recognise_a1111(probe: Probe) -> Server | None:
    """Ask which of the programs with A1111's API it is, if it has that."""
    options = probe.get("/sdapi/v1/options")
    if not isinstance(options, dict) or not {"sd_model_checkpoint", "guidance_scale"} & options.keys():
        return None
    if (found := identify(probe.get)) is None:
        return None
    program, version = found
    if program is KOBOLDCPP:  # which may have no image model
        return _recognise_koboldcpp(probe)
    return Server(f"{program.name} {version}".rstrip(), {"backend": "a1111", "a1111.server.url": probe.url})


def _recognise_koboldcpp(probe: Probe) -> Server | None:
    answer = probe.get("/api/extra/version")
    if _text(answer, "result") != "KoboldCpp":
        return None
    program = f"koboldcpp {_text(answer, 'version')}".rstrip()
    if not answer.get("txt2img"):
        return Server(program, why_not="it has no image model (start it with --sdmodel)")
    return Server(program, {"backend": "a1111", "a1111.server.url": probe.url})


def _recognise_localai(probe: Probe) -> Server | None:
    answer = probe.get("/.well-known/localai.json")
    if _text(answer, "endpoints", "image_generation"):
        return Server(f"LocalAI {_text(answer, 'version')}".rstrip(), _openai(probe, "/v1", "localai"))
    owners = _list_owners(probe.get("/v1/models"))
    return Server("llama.cpp") if "llamacpp" in owners else None


def _recognise_sd_server(probe: Probe) -> Server | None:
    answer = probe.get("/sdcpp/v1/capabilities")
    if isinstance(answer, dict) and isinstance(answer.get("samplers"), list):
        model = _text(answer, "model", "path").replace("\\", "/").rpartition("/")[2]
        program = f"sd-server, with {model}" if model else "sd-server"
        return Server(program, {"backend": "sd", "sd.server.url": probe.url})
    # it answers so, with 200, to every path that it does not have
    return Server("LM Studio") if _text(answer, "error").startswith("Unexpected endpoint or method") else None


def _recognise_lemonade(probe: Probe) -> Server | None:
    answer = probe.get("/api/v1/health")
    version = _text(answer, "version")
    if not version or "all_models_loaded" not in answer:
        return None
    return Server(f"Lemonade {version}", _openai(probe, "/api/v1", "lemonade"))


def _recognise_ollama(probe: Probe) -> Server | None:
    version = _text(probe.get("/api/version"), "version")
    if not version:
        return None
    if not has_images(version):
        return Server(f"Ollama {version}", why_not="this version generates no images")
    return Server(f"Ollama {version}", {"backend": "ollama", "ollama.host": probe.url.removeprefix("http://")})


def _recognise_sglang(probe: Probe) -> Server | None:
    answer = probe.get("/model_info")
    if not _text(answer, "model_path"):
        return None
    if _text(answer, "model_type") != "diffusion" or answer.get("is_image_gen") is False:
        return Server("SGLang", why_not="its model generates no images")
    return Server("SGLang diffusion", _openai(probe, "/v1", "sglang"))


def _recognise_vllm(probe: Probe) -> Server | None:
    """Tell vLLM-Omni from vLLM, whose /health answers with nothing; or it is ComfyUI's desktop app."""
    if "vllm" not in _list_owners(probe.get("/v1/models")):
        return _recognise_comfyui(probe)
    if _text(probe.get("/health"), "status") != "healthy":
        return Server("vLLM", why_not="its model generates no images")
    return Server("vLLM-Omni", _openai(probe, "/v1", "vllm"))


def _openai(probe: Probe, path: str, dialect: str) -> dict[str, str]:
    return {"backend": "openai", "openai.server.url": f"{probe.url}{path}", "openai.dialect": dialect}


_KEY = "OPENAI_API_KEY, and OPENAI_BASE_URL to its address with /v1,"
USUAL_PORTS: Mapping[int, UsualPort] = {
    8188: UsualPort("ComfyUI", _recognise_comfyui, login="COMFYUI_AUTH='Bearer …'", backend="comfyui"),
    7801: UsualPort("SwarmUI", _recognise_swarmui),
    7860: UsualPort(
        "A1111 or a relative of it",
        _recognise_a1111,
        "A1111, Forge and reForge have an API only with --api",
        "A1111_AUTH=user:password",
        "a1111",
    ),
    5001: UsualPort("koboldcpp", _recognise_koboldcpp),
    1234: UsualPort("sd-server", _recognise_sd_server),
    8080: UsualPort("LocalAI", _recognise_localai, login=_KEY),
    13305: UsualPort("Lemonade", _recognise_lemonade, login=_KEY.replace("/v1", "/api/v1")),
    8000: UsualPort("vLLM-Omni or ComfyUI's desktop app", _recognise_vllm, login=_KEY),
    30000: UsualPort("SGLang", _recognise_sglang, login=_KEY),
    11434: UsualPort("Ollama", _recognise_ollama),
}

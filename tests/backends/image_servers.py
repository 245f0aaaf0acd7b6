"""Fake image servers over real HTTP, which answer what a program says of itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["ANSWERS", "serve"]

ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "ComfyUI": {"/system_stats": {"system": {"comfyui_version": "0.33.0"}, "devices": []}},
    "SwarmUI": {"/ComfyBackendDirect/system_stats": {"system": {"comfyui_version": "0.33.0"}, "devices": []}},
    "SwarmUI without ComfyUI": {
        "*": b"<!DOCTYPE html>\n<html>\n<head>\n<style>body{background-color:#101010;color:#eeeeee;}</style>\n</head>\n"
        b'<body>\n<span class="comfy-failed-to-load">No ComfyUI backend available, loading failed.</span>\n</body></html>'
    },
    "A1111's API": {"/sdapi/v1/options": {"samples_format": "png", "sd_model_checkpoint": "turbo"}},
    "A1111": {"/sdapi/v1/options": {"samples_format": "png", "sd_model_checkpoint": "dream.safetensors", "s_churn": 0}},
    "Forge": {"/sdapi/v1/options": {"samples_format": "png", "sd_model_checkpoint": None, "forge_preset": "sd"}},
    "reForge": {"/sdapi/v1/options": {"samples_format": "png", "sd_model_checkpoint": "", "reforge_karras_rho": 7.0}},
    "SD.Next": {
        "/sdapi/v1/options": {"sd_model_checkpoint": "dream", "samples_format": "jpg", "diffusers_pipeline": ""},
        "/sdapi/v1/version": {"app": "sd.next", "commit": "058a7f0c", "updated": "2026-07-23"},
    },
    "Draw Things": {"/sdapi/v1/options": {"model": "sd.ckpt", "seed_mode": "Scale Alike", "guidance_scale": 7.5}},
    "koboldcpp": {"/api/extra/version": {"result": "KoboldCpp", "version": "1.116.1", "txt2img": True}},
    "koboldcpp without an image model": {
        "/api/extra/version": {"result": "KoboldCpp", "version": "1.116.1", "txt2img": False}
    },
    "LocalAI": {
        "/.well-known/localai.json": {"version": "v4.2.0", "endpoints": {"image_generation": "/v1/images/generations"}}
    },
    "llama.cpp": {"/v1/models": {"object": "list", "data": [{"id": "gemma", "owned_by": "llamacpp"}]}},
    "sd-server": {"/sdcpp/v1/capabilities": {"model": {"path": "/models/turbo.gguf"}, "samplers": ["euler"]}},
    "LM Studio": {"*": {"error": "Unexpected endpoint or method. (GET /sdcpp/v1/capabilities)"}},
    "Lemonade": {
        "/api/v1/health": {"status": "ok", "version": "10.1.0", "model_loaded": None, "all_models_loaded": []}
    },
    "Ollama": {"/api/version": {"version": "0.32.5"}},
    "Ollama without images": {"/api/version": {"version": "0.33.0"}},
    "vLLM-Omni": {
        "/v1/models": {"object": "list", "data": [{"id": "Qwen/Qwen-Image", "owned_by": "vllm"}]},
        "/health": {"status": "healthy"},
    },
    "vLLM": {"/v1/models": {"object": "list", "data": [{"id": "Qwen/Qwen3", "owned_by": "vllm"}]}, "/health": b""},
    "SGLang diffusion": {"/model_info": {"model_path": "Qwen/Qwen-Image", "model_type": "diffusion"}},
    "SGLang": {"/model_info": {"model_path": "Qwen/Qwen3", "is_generation": True}},
}
"""By program, what it answers to a path: JSON, or bytes as they are. To others: 404, or what it has for `*`."""


@contextmanager
def serve(answers: Mapping[str, Any], status: int = 200, **headers: str) -> Iterator[tuple[int, list[str]]]:
    """Serve these answers on a free port of loopback. Yields the port and the requests so far: `GET /path`."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(f"{self.command} {self.path}")
            assert "Authorization" not in self.headers
            answer = answers.get(self.path, answers.get("*"))
            missing = answer is None
            said = {"detail": "Not Found"} if missing else answer
            body = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(404 if missing else status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_HEAD = do_GET  # noqa: N815 - as http.server has it

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], seen
        server.shutdown()

"""Measure how busy imagegen keeps a ComfyUI server, compared with a client that posts everything at once.

    python tools/bench/comfyui.py http://127.0.0.1:8188 [--images 20] [--steps 20] [--size 64] [--rounds 3]

Both generate images of the same workflow, with seeds that the server has not seen. Any server with a checkpoint will
do. The result is images per second, from the first prompt's start to the last image; doit's own start is shown beside
it. If other programs use the machine, look at how busy the server was kept. That is by its own clock, and does not
depend on how fast it is at the moment.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import requests

DODO = "from imagegen.tasks import *  # noqa: F403\n"


def graph(checkpoint: str, seed: int, size: int, steps: int) -> dict[str, Any]:
    """Text to image in API format, with a file prefix of its own."""

    def node(class_type: str, **inputs: Any) -> dict[str, Any]:
        return {"class_type": class_type, "inputs": inputs}

    return {
        "1": node("CheckpointLoaderSimple", ckpt_name=checkpoint),
        "2": node("CLIPTextEncode", text="a red fox", clip=["1", 1]),
        "3": node("CLIPTextEncode", text="", clip=["1", 1]),
        "4": node("EmptyLatentImage", width=size, height=size, batch_size=1),
        "5": node(
            "KSampler",
            model=["1", 0],
            positive=["2", 0],
            negative=["3", 0],
            latent_image=["4", 0],
            seed=seed,
            steps=steps,
            cfg=7.0,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
        ),
        "6": node("VAEDecode", samples=["5", 0], vae=["1", 2]),
        "7": node("SaveImage", images=["6", 0], filename_prefix=f"bench/{uuid.uuid4().hex}"),
    }


def all_at_once(url: str, checkpoint: str, options: argparse.Namespace, folder: Path) -> float:
    """Return the seconds from the first POST until all images are downloaded: queue everything, then collect it."""
    session = requests.Session()
    start = time.perf_counter()
    waiting = []
    for _ in range(options.images):
        prompt = graph(checkpoint, random.getrandbits(32), options.size, options.steps)
        answer = session.post(f"{url}/prompt", json={"prompt": prompt, "client_id": "bench"}, timeout=30)
        answer.raise_for_status()
        waiting.append(answer.json()["prompt_id"])
    for prompt_id in waiting:
        while not (entry := session.get(f"{url}/history/{prompt_id}", timeout=30).json().get(prompt_id)):
            time.sleep(0.02)
        (image,) = entry["outputs"]["7"]["images"]
        data = session.get(f"{url}/view", params=image, timeout=30)
        data.raise_for_status()
        (folder / f"{prompt_id}.png").write_bytes(data.content)
    return time.perf_counter() - start


def through_doit(url: str, checkpoint: str, options: argparse.Namespace, folder: Path) -> tuple[float, float]:
    """Return the seconds of the whole command, and from the first prompt's start until the command's end."""
    (folder / "jobs").mkdir()
    (folder / "dodo.py").write_text(DODO)
    seed = random.getrandbits(31)
    (folder / "jobs/bench.yaml").write_text(
        f"backend: comfyui\ncomfyui: {{checkpoint: '{checkpoint}'}}\nvariants: {options.images}\n"
        f"generate: {{width: {options.size}, height: {options.size}, steps: {options.steps}, seed: {seed}}}\n"
        "items: [{name: Fox, prompt: a red fox}]\n"
    )
    seen = ids(url)
    start = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-m", "doit"],
        cwd=folder,
        env={**os.environ, "COMFYUI_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    whole = time.perf_counter() - start
    end = time.time()
    if f"{options.images} generated" not in result.stdout:
        raise SystemExit(result.stdout + result.stderr)
    begun = min(started for started, _ in spans(url, seen))
    return whole, end - begun


def ids(url: str) -> set[str]:
    """Return the prompts that the server has executed so far."""
    return set(requests.get(f"{url}/history", timeout=30).json())


def spans(url: str, seen: set[str]) -> list[tuple[float, float]]:
    """Return from when to when each prompt not in `seen` was executed, by the server's own clock."""
    history = requests.get(f"{url}/history", timeout=30).json()
    found = []
    for prompt_id, entry in history.items():
        times = {kind: facts["timestamp"] / 1000 for kind, facts in entry["status"]["messages"]}
        if prompt_id not in seen:
            found.append((times["execution_start"], times["execution_success"]))
    return sorted(found)


def busy(url: str, seen: set[str]) -> float:
    """Return the share of the time that the server was busy, from the first prompt's start to the last one's end."""
    found = spans(url, seen)
    return sum(end - start for start, end in found) / (max(end for _, end in found) - found[0][0])


def main() -> None:
    """Print a row for each round, and the best ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--checkpoint")
    options = parser.parse_args()
    url = options.url.rstrip("/")
    checkpoint = options.checkpoint or requests.get(f"{url}/models/checkpoints", timeout=30).json()[0]
    version = requests.get(f"{url}/system_stats", timeout=30).json()["system"]["comfyui_version"]
    print(f"ComfyUI {version}, {options.images} images of {options.size}×{options.size} in {options.steps} steps")
    print("| round | all at once, s | doit, s | of its throughput | whole command, s | busy at once | with doit |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for number in range(options.rounds + 1):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            seen = ids(url)
            at_once, busy_at_once = all_at_once(url, checkpoint, options, Path(one)), busy(url, seen)
            seen = ids(url)
            (whole, drawing), busy_with_doit = through_doit(url, checkpoint, options, Path(other)), busy(url, seen)
        if number:  # the first round warms the server up
            shares = f"{at_once / drawing:.0%} | {whole:.2f} | {busy_at_once:.1%} | {busy_with_doit:.1%}"
            print(f"| {number} | {at_once:.2f} | {drawing:.2f} | {shares} |", flush=True)


if __name__ == "__main__":
    main()

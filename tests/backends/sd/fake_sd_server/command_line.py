"""The command line of `sd-server`: its options, its help, and how it refuses what it doesn't know."""

from __future__ import annotations

import os
import re
import signal
import sys
from typing import NoReturn

__all__ = ["SAMPLERS", "SCHEDULERS", "Arguments", "abort", "parse", "say"]

SAMPLERS = (
    *("euler", "euler_a", "heun", "dpm2", "dpm++2s_a", "dpm++2m", "dpm++2mv2", "ipndm", "ipndm_v", "lcm"),
    *("ddim_trailing", "tcd", "res_multistep", "res_2s", "er_sde"),
)
SCHEDULERS = (
    *("discrete", "karras", "exponential", "ays", "gits", "sgm_uniform", "simple", "smoothstep", "kl_optimal"),
    *("lcm", "bong_tangent"),
)
RNGS = ("std_default", "cuda", "cpu")
LORA_MODES = ("auto", "immediately", "at_runtime")
_TEXTS = [
    "--listen-ip",
    "--serve-html-path",
    "--model",
    "--clip_l",
    "--clip_g",
    "--clip_vision",
    "--t5xxl",
    "--llm",
    "--llm_vision",
    "--qwen2vl",
    "--qwen2vl_vision",
    "--diffusion-model",
    "--high-noise-diffusion-model",
    "--vae",
    "--taesd",
    "--tae",
    "--control-net",
    "--embd-dir",
    "--lora-model-dir",
    "--hires-upscalers-dir",
    "--tensor-type-rules",
    "--photo-maker",
    "--upscale-model",
    "--prompt",
    "--negative-prompt",
    "--init-img",
]
_INTEGERS = [
    "--listen-port",
    "--threads",
    "--chroma-t5-mask-pad",
    "--height",
    "--width",
    "--steps",
    "--clip-skip",
    "--batch-count",
]
_FLOATS = ["--max-vram", "--cfg-scale", "--guidance", "--eta", "--flow-shift", "--strength"]
_FLAGS = [
    "--verbose",
    "--color",
    "--force-sdxl-vae-conv-scale",
    "--offload-to-cpu",
    "--mmap",
    "--control-net-cpu",
    "--clip-on-cpu",
    "--vae-on-cpu",
    "--fa",
    "--diffusion-fa",
    "--diffusion-conv-direct",
    "--vae-conv-direct",
    "--circular",
    "--circularx",
    "--circulary",
    "--vae-tiling",
    "--hires",
    "--disable-image-metadata",
    "--disable-auto-resize-ref-image",
    "--increase-ref-index",
    "--chroma-disable-dit-mask",
    "--qwen-image-zero-cond-t",
    "--chroma-enable-t5-mask",
]
_CHOICES = {
    "--rng": RNGS,
    "--sampler-rng": RNGS,
    "--lora-apply-mode": LORA_MODES,
    "--sampling-method": SAMPLERS,
    "--scheduler": SCHEDULERS,
    "--type": ("f32", "f16", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_K", "q3_K", "q4_K"),
    "--prediction": ("eps", "v", "edm_v", "sd3_flow", "flux_flow", "flux2_flow"),
    "--seed": (),
}
_SHORT = {
    "-l": "--listen-ip",
    "-v": "--verbose",
    "-m": "--model",
    "-t": "--threads",
    "-p": "--prompt",
    "-n": "--negative-prompt",
    "-i": "--init-img",
    "-H": "--height",
    "-W": "--width",
    "-b": "--batch-count",
    "-s": "--seed",
}
_HELP = """
Svr Options:
  -l, --listen-ip <string>      server listen ip (default: 127.0.0.1)
  --listen-port <int>           server listen port (default: 1234)
  -v, --verbose                 print extra info
  -h, --help                    show this help message and exit

Context Options:
  -m, --model <string>                     path to full model
  --clip_l <string>                        path to the clip-l text encoder
  --t5xxl <string>                         path to the t5xxl text encoder
  --diffusion-model <string>               path to the standalone diffusion model
  --vae <string>                           path to standalone vae model
  --lora-model-dir <string>                lora model directory
  --offload-to-cpu                         place the weights in RAM to save VRAM, and automatically load them into VRAM
                                           when needed
  --rng                                    RNG, one of [std_default, cuda, cpu], default: cuda(sd-webui), cpu(comfyui)
  --lora-apply-mode                        the way to apply LoRA, one of [auto, immediately, at_runtime], default is
                                           auto.

Default Generation Options:
  --steps <int>                            number of sample steps (default: 20)
  -s, --seed                               RNG seed (default: 42, use random seed for < 0)
  --sampling-method                        sampling method, one of [euler, euler_a, heun, dpm2, dpm++2s_a, dpm++2m,
                                           dpm++2mv2, ipndm, ipndm_v, lcm, ddim_trailing, tcd, res_multistep, res_2s,
                                           er_sde] (default: euler for Flux/SD3/Wan, euler_a otherwise)
  --high-noise-sampling-method             (high noise) sampling method, one of [euler, euler_a, heun, dpm2, dpm++2s_a,
                                           dpm++2m, dpm++2mv2, ipndm, ipndm_v, lcm, ddim_trailing, tcd, res_multistep,
                                           res_2s, er_sde] default: euler for Flux/SD3/Wan, euler_a otherwise
  --scheduler                              denoiser sigma scheduler, one of [discrete, karras, exponential, ays, gits,
                                           smoothstep, sgm_uniform, simple, kl_optimal, lcm, bong_tangent], default:
                                           discrete
"""

Arguments = dict[str, str]
"""The value of each option that is given, by its long name; a flag's is `yes`."""


def say(level: str, place: str, text: str, end: str = "\n") -> None:
    """Write a line of the log: errors to stderr, everything else to stdout, at once."""
    where = place.split(":")
    stream = sys.stderr if level == "ERROR" else sys.stdout
    print(f"[{level:<5}] {where[0]}:{where[1]:<4} - {text}", end=end, file=stream, flush=True)


def abort(*lines: str) -> NoReturn:
    """End as C++ does for what nobody catches."""
    print(*lines, sep="\n", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGABRT)
    raise AssertionError


def parse(program: str, words: list[str], version: str) -> Arguments:
    """Return the arguments; or end, with help or an error."""
    found: Arguments = {}
    rest = iter(words)
    for word in rest:
        name = _SHORT.get(word, word)
        if name in ("-h", "--help"):
            say("ERROR", "common.cpp:286", f"error: invalid parameter for argument: {word}")
            _show_help(program, version, 0)
        if name in _FLAGS:
            found[name] = "yes"
            continue
        if not any(name in kind for kind in (_TEXTS, _INTEGERS, _FLOATS, _CHOICES)):
            say("ERROR", "common.cpp:290", f"error: unknown argument: {word}")
            _show_help(program, version, 1)
        value = next(rest, None)
        if value is None and name in _TEXTS:
            say("ERROR", "common.cpp:286", f"error: invalid parameter for argument: {word}")
            _show_help(program, version, 1)
        _check_number(name, value or "")
        choices = _CHOICES.get(name, ())
        if choices and value not in choices:
            say("ERROR", "common.cpp:492", f"error: invalid {name[2:]} type {value}")
            say("ERROR", "common.cpp:286", f"error: invalid parameter for argument: {word}")
            _show_help(program, version, 1)
        found[name] = value or ""
    if "--model" not in found and "--diffusion-model" not in found:
        text = "error: the following arguments are required: model_path/diffusion_model"
        say("ERROR", "common.cpp:615", text)
        _show_help(program, version, 1)
    return found


def _check_number(name: str, value: str) -> None:
    function = "stoi" if name in _INTEGERS else "stof" if name in _FLOATS else ""
    if function and not re.match(r"\s*[+-]?\.?\d", value):
        abort("terminate called after throwing an instance of 'std::invalid_argument'", f"  what():  {function}")


def _show_help(program: str, version: str, code: int) -> NoReturn:
    print(f"{version}\nUsage: {program} [options]\n{_HELP}", end="", flush=True)
    sys.exit(code)

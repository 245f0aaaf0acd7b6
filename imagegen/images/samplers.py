"""What other generators call their samplers, in ComfyUI's words, where there is no doubt which one is meant."""

from __future__ import annotations

import re

__all__ = ["comfyui_names"]

_SAMPLERS = {
    "euler": "euler",
    "euler a": "euler_ancestral",
    "euler ancestral": "euler_ancestral",
    "heun": "heun",
    "lms": "lms",
    "ddim": "ddim",
    "ddpm": "ddpm",
    "lcm": "lcm",
    "unipc": "uni_pc",
    "dpm2": "dpm_2",
    "kdpm 2": "dpm_2",
    "dpm 2": "dpm_2",
    "dpm2 a": "dpm_2_ancestral",
    "kdpm 2 a": "dpm_2_ancestral",
    "dpm 2 ancestral": "dpm_2_ancestral",
    "dpm fast": "dpm_fast",
    "dpm adaptive": "dpm_adaptive",
    "dpm++ 2s a": "dpmpp_2s_ancestral",
    "dpmpp 2s ancestral": "dpmpp_2s_ancestral",
    "dpm++ sde": "dpmpp_sde",
    "dpmpp sde": "dpmpp_sde",
    "dpm++ 2m": "dpmpp_2m",
    "dpmpp 2m": "dpmpp_2m",
    "dpm++ 2m sde": "dpmpp_2m_sde",
    "dpmpp 2m sde": "dpmpp_2m_sde",
    "dpm++ 2m sde heun": "dpmpp_2m_sde_heun",
    "dpm++ 3m sde": "dpmpp_3m_sde",
    "dpmpp 3m sde": "dpmpp_3m_sde",
}
"""By name in small letters, with a space for each `_`. Web UI, InvokeAI (`dpmpp_2m`), NovelAI (`k_dpmpp_2m`)."""
_SCHEDULERS = {
    "normal": "normal",
    "karras": "karras",
    "exponential": "exponential",
    "sgm uniform": "sgm_uniform",
    "simple": "simple",
    "ddim": "ddim_uniform",
    "ddim uniform": "ddim_uniform",
    "beta": "beta",
    "kl optimal": "kl_optimal",
    "linear quadratic": "linear_quadratic",
}
_OWN = frozenset(_SAMPLERS.values()) | frozenset(
    [
        "euler_cfg_pp",
        "euler_ancestral_cfg_pp",
        "heunpp2",
        "dpmpp_2s_ancestral_cfg_pp",
        "dpmpp_sde_gpu",
        "dpmpp_2m_cfg_pp",
        "dpmpp_2m_sde_gpu",
        "dpmpp_2m_sde_heun_gpu",
        "dpmpp_3m_sde_gpu",
        "ipndm",
        "ipndm_v",
        "deis",
        "res_multistep",
        "res_multistep_cfg_pp",
        "res_multistep_ancestral",
        "res_multistep_ancestral_cfg_pp",
        "gradient_estimation",
        "er_sde",
        "seeds_2",
        "seeds_3",
        "sa_solver",
        "uni_pc_bh2",
    ]
)
"""ComfyUI's own names, v0.33.0."""
_WITH_SCHEDULER = re.compile(r"(.+?) (k|karras|exponential)")


def comfyui_names(sampler: str, scheduler: str) -> tuple[str, str]:
    """ComfyUI's sampler and scheduler, each empty where there is no telling.

    sampler: may say the scheduler too, as `DPM++ 2M Karras` does. scheduler: empty where it is not given.
    """
    own_scheduler = _SCHEDULERS.get(_plain(scheduler), "")
    if sampler.strip() in _OWN:
        return sampler.strip(), own_scheduler
    name = _plain(sampler).removeprefix("k ")
    if not scheduler and name not in _SAMPLERS and (found := _WITH_SCHEDULER.fullmatch(name)):
        name, own_scheduler = found[1], {"k": "karras"}.get(found[2], found[2])
    found_sampler = _SAMPLERS.get(name, "")
    return found_sampler, own_scheduler if found_sampler or scheduler else ""


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").split())

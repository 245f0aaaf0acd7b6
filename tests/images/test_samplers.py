from __future__ import annotations

import pytest

from imagegen.images.samplers import comfyui_names


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("DPM++ 2M Karras", ""), ("dpmpp_2m", "karras")),
        (("DPM++ 2M", "Karras"), ("dpmpp_2m", "karras")),
        (("DPM++ 2M", "Automatic"), ("dpmpp_2m", "")),
        (("DPM++ 2M SDE Exponential", ""), ("dpmpp_2m_sde", "exponential")),
        (("Euler a", ""), ("euler_ancestral", "")),
        (("Euler A", "SGM Uniform"), ("euler_ancestral", "sgm_uniform")),
        (("k_dpmpp_2m", "karras"), ("dpmpp_2m", "karras")),
        (("k_euler_ancestral", ""), ("euler_ancestral", "")),
        (("dpmpp_2m_k", ""), ("dpmpp_2m", "karras")),
        (("euler_a", ""), ("euler_ancestral", "")),
        (("unipc", ""), ("uni_pc", "")),
        (("dpmpp_2m_sde_gpu", "sgm_uniform"), ("dpmpp_2m_sde_gpu", "sgm_uniform")),
        (("res_multistep", "beta"), ("res_multistep", "beta")),
        (("Restart", ""), ("", "")),
        (("Restart", "Karras"), ("", "karras")),
        (("Unheard Of Karras", ""), ("", "")),
        (("", ""), ("", "")),
    ],
)
def test_other_programs_names_in_comfyuis_words(given: tuple[str, str], expected: tuple[str, str]) -> None:
    assert comfyui_names(*given) == expected

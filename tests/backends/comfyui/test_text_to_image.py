"""The built-in workflow."""

from __future__ import annotations

from imagegen.backends.comfyui.links import find
from imagegen.backends.comfyui.text_to_image import text_to_image

LORAS = {"b.safetensors": [0.5, 0.25], "a.safetensors": [1.0, 1.0]}


def test_its_places_are_those_that_its_links_lead_to() -> None:
    for workflow in (text_to_image({}, ""), text_to_image(LORAS, "v.pt")):
        latent = {**workflow.graph["latent"], "inputs": {"width": 64, "height": 64}}  # a size of 0 is none
        graph = {**workflow.graph, "latent": latent}
        found = {field: known.groups[0] for field, known in find(graph, workflow.output).items()}
        assert found == workflow.places


def test_loras_are_chained_by_name_for_the_model_and_for_clip() -> None:
    graph = text_to_image(LORAS, "").graph
    one, two = graph["lora 1"]["inputs"], graph["lora 2"]["inputs"]
    assert (one["lora_name"], one["model"], one["clip"]) == ("a.safetensors", ["checkpoint", 0], ["checkpoint", 1])
    assert (two["lora_name"], two["model"], two["clip"]) == ("b.safetensors", ["lora 1", 0], ["lora 1", 1])
    assert (two["strength_model"], two["strength_clip"]) == (0.5, 0.25)
    assert graph["sampler"]["inputs"]["model"] == ["lora 2", 0]
    assert graph["positive"]["inputs"]["clip"] == graph["negative"]["inputs"]["clip"] == ["lora 2", 1]
    assert graph == text_to_image(dict(reversed(LORAS.items())), "").graph


def test_a_vae_of_its_own_decodes_in_place_of_the_checkpoints() -> None:
    assert text_to_image({}, "").graph["decode"]["inputs"]["vae"] == ["checkpoint", 2]
    graph = text_to_image({}, "v.pt").graph
    assert graph["decode"]["inputs"]["vae"] == ["vae", 0]
    assert graph["vae"]["inputs"] == {"vae_name": "v.pt"}

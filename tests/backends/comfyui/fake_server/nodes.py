"""The node classes that the fake server knows, as /object_info has them, and its validation of a graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.backends.comfyui.fake_server.world import World

__all__ = [
    "Crash",
    "Graph",
    "Input",
    "Node",
    "Verdict",
    "catalogue",
    "input_file",
    "is_link",
    "object_info",
    "validate",
]


Input = list[Any]
"""`[type, {constraints}]`, or `[[choices…], {…}]`, or in the newer form `["COMBO", {"options": [choices…]}]`."""


@dataclass(frozen=True)
class Node:
    """One class. `extra`: whether it is defined in the newer way, which `/object_info` tells in a form of its own."""

    required: Mapping[str, Input]
    outputs: tuple[str, ...]
    output_names: tuple[str, ...] = ()
    title: str = ""
    optional: Mapping[str, Input] | None = None
    is_output: bool = False
    extra: bool = False

    @property
    def inputs(self) -> dict[str, Input]:
        """Required and optional ones."""
        return {**self.required, **(self.optional or {})}


def _number(kind: str, default: float, low: float, high: float, **more: Any) -> Input:
    return [kind, {"default": default, "min": low, "max": high, **more}]


def _size(default: int, low: int, **more: Any) -> Input:
    return _number("INT", default, low, 16384, **more)


def catalogue(world: World) -> dict[str, Node]:
    """The classes by name, with the choices that there are now."""
    folder = world.folder / "input"
    images = sorted(path.name for path in folder.iterdir() if path.is_file())
    seed = _number("INT", 0, 0, 2**64 - 1, control_after_generate=True)
    steps = _number("INT", 20, 1, 10000)
    cfg = _number("FLOAT", 8.0, 0.0, 100.0, step=0.1, round=0.01)
    denoise = _number("FLOAT", 1.0, 0.0, 1.0, step=0.01)
    strength = _number("FLOAT", 1.0, -100.0, 100.0, step=0.01)
    batch = _number("INT", 1, 1, 4096)
    text = ["STRING", {"multiline": True, "dynamicPrompts": True}]
    samplers, schedulers = list(world.samplers), list(world.schedulers)
    device = {"device": [["default", "cpu"], {"advanced": True}]}
    return {
        "CheckpointLoaderSimple": Node(
            {"ckpt_name": [sorted(world.checkpoints), {"tooltip": "which checkpoint"}]},
            ("MODEL", "CLIP", "VAE"),
            title="Load Checkpoint",
        ),
        "CLIPTextEncode": Node({"text": text, "clip": ["CLIP"]}, ("CONDITIONING",), title="CLIP Text Encode (Prompt)"),
        "CLIPSetLastLayer": Node(
            {"clip": ["CLIP"], "stop_at_clip_layer": ["INT", {"default": -1, "min": -24, "max": -1, "step": 1}]},
            ("CLIP",),
            title="CLIP Set Last Layer",
        ),
        "EmptyLatentImage": Node(
            {"width": _size(512, 16, step=8), "height": _size(512, 16, step=8), "batch_size": batch},
            ("LATENT",),
            title="Empty Latent Image",
        ),
        "KSampler": Node(
            {
                "model": ["MODEL", {"tooltip": "what denoises"}],
                "seed": seed,
                "steps": steps,
                "cfg": cfg,
                "sampler_name": [samplers, {"tooltip": "how"}],
                "scheduler": [schedulers, {"tooltip": "along which noise levels"}],
                "positive": ["CONDITIONING"],
                "negative": ["CONDITIONING"],
                "latent_image": ["LATENT"],
                "denoise": denoise,
            },
            ("LATENT",),
            title="KSampler",
        ),
        "KSamplerAdvanced": Node(
            {
                "model": ["MODEL"],
                "add_noise": [["enable", "disable"], {"advanced": True}],
                "noise_seed": seed,
                "steps": steps,
                "cfg": cfg,
                "sampler_name": [samplers],
                "scheduler": [schedulers],
                "positive": ["CONDITIONING"],
                "negative": ["CONDITIONING"],
                "latent_image": ["LATENT"],
                "start_at_step": _number("INT", 0, 0, 10000, advanced=True),
                "end_at_step": _number("INT", 10000, 0, 10000, advanced=True),
                "return_with_leftover_noise": [["disable", "enable"], {"advanced": True}],
            },
            ("LATENT",),
            title="KSampler (Advanced)",
        ),
        "VAEDecode": Node({"samples": ["LATENT"], "vae": ["VAE"]}, ("IMAGE",), title="VAE Decode"),
        "VAEEncode": Node({"pixels": ["IMAGE"], "vae": ["VAE"]}, ("LATENT",), title="VAE Encode"),
        "VAELoader": Node({"vae_name": [[*sorted(world.vaes), "pixel_space"]]}, ("VAE",), title="Load VAE"),
        "LoraLoader": Node(
            {
                "model": ["MODEL"],
                "clip": ["CLIP"],
                "lora_name": [sorted(world.loras)],
                "strength_model": strength,
                "strength_clip": strength,
            },
            ("MODEL", "CLIP"),
            title="Load LoRA (Model and CLIP)",
        ),
        "SaveImage": Node(
            {"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "ComfyUI"}]},
            ("IMAGE",),
            ("images",),
            title="Save Image",
            is_output=True,
        ),
        "PreviewImage": Node({"images": ["IMAGE"]}, ("IMAGE",), ("images",), title="Preview Image", is_output=True),
        "LoadImage": Node({"image": [images, {"image_upload": True}]}, ("IMAGE", "MASK"), title="Load Image"),
        "UNETLoader": Node(
            {
                "unet_name": [sorted(world.unets)],
                "weight_dtype": [["default", "fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"], {"advanced": True}],
            },
            ("MODEL",),
            title="Load Diffusion Model",
        ),
        "CLIPLoader": Node(
            {
                "clip_name": [sorted(world.clips)],
                "type": [["stable_diffusion", "sd3", "lumina2", "wan", "chroma", "flux2"]],
            },
            ("CLIP",),
            title="Load CLIP",
            optional=device,
        ),
        "DualCLIPLoader": Node(
            {
                "clip_name1": [sorted(world.clips)],
                "clip_name2": [sorted(world.clips)],
                "type": [["sdxl", "sd3", "flux", "hunyuan_video", "hidream"]],
            },
            ("CLIP",),
            title="Load CLIP (Dual)",
            optional=device,
        ),
        "ConditioningZeroOut": Node(
            {"conditioning": ["CONDITIONING"]}, ("CONDITIONING",), title="Conditioning Zero Out"
        ),
        "InpaintModelConditioning": Node(
            {
                "positive": ["CONDITIONING"],
                "negative": ["CONDITIONING"],
                "vae": ["VAE"],
                "pixels": ["IMAGE"],
                "mask": ["MASK"],
                "noise_mask": ["BOOLEAN", {"default": True}],
            },
            ("CONDITIONING", "CONDITIONING", "LATENT"),
            ("positive", "negative", "latent"),
        ),
        "EmptySD3LatentImage": Node(
            {"width": _size(1024, 16, step=16), "height": _size(1024, 16, step=16), "batch_size": batch},
            ("LATENT",),
            extra=True,
        ),
        "RandomNoise": Node({"noise_seed": seed}, ("NOISE",), extra=True),
        "BasicGuider": Node(
            {"model": ["MODEL", {}], "conditioning": ["CONDITIONING", {}]},
            ("GUIDER",),
            title="Basic Guider",
            extra=True,
        ),
        "CFGGuider": Node(
            {"model": ["MODEL", {}], "positive": ["CONDITIONING", {}], "negative": ["CONDITIONING", {}], "cfg": cfg},
            ("GUIDER",),
            title="CFG Guider",
            extra=True,
        ),
        "KSamplerSelect": Node({"sampler_name": _combo(samplers)}, ("SAMPLER",), extra=True),
        "BasicScheduler": Node(
            {"model": ["MODEL", {}], "scheduler": _combo(schedulers), "steps": steps, "denoise": denoise},
            ("SIGMAS",),
            extra=True,
        ),
        "SamplerCustomAdvanced": Node(
            {
                "noise": ["NOISE", {}],
                "guider": ["GUIDER", {}],
                "sampler": ["SAMPLER", {}],
                "sigmas": ["SIGMAS", {}],
                "latent_image": ["LATENT", {}],
            },
            ("LATENT", "LATENT"),
            ("output", "denoised_output"),
            extra=True,
        ),
        "FluxGuidance": Node(
            {"conditioning": ["CONDITIONING", {}], "guidance": _number("FLOAT", 3.5, 0.0, 100.0, step=0.1)},
            ("CONDITIONING",),
            extra=True,
        ),
        "CLIPTextEncodeSDXL": Node(
            {
                "clip": ["CLIP", {}],
                "width": _size(1024, 0),
                "height": _size(1024, 0),
                "crop_w": _size(0, 0, advanced=True),
                "crop_h": _size(0, 0, advanced=True),
                "target_width": _size(1024, 0),
                "target_height": _size(1024, 0),
                "text_g": text,
                "text_l": text,
            },
            ("CONDITIONING",),
            title="CLIP Text Encode (SDXL)",
            extra=True,
        ),
    }


def _combo(choices: list[str]) -> Input:
    return ["COMBO", {"multiselect": False, "options": choices}]


def object_info(name: str, node: Node) -> dict[str, Any]:
    """What `/object_info` says of a class."""
    inputs: dict[str, Any] = {"required": node.required}
    if node.optional:
        inputs["optional"] = node.optional
    order = {group: list(names) for group, names in inputs.items()}
    if node.is_output:
        inputs["hidden"] = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
        order["hidden"] = ["prompt", "extra_pnginfo"]
    return {
        "input": inputs,
        "input_order": order,
        "is_input_list": False,
        "output": node.outputs,
        "output_is_list": [False] * len(node.outputs),
        "output_name": node.output_names or node.outputs,
        "name": name,
        "display_name": node.title or (None if node.extra else name),
        "description": "",
        "python_module": "comfy_extras.nodes_fake" if node.extra else "nodes",
        "category": "fake",
        "output_node": node.is_output,
        "has_intermediate_output": False,
        "search_aliases": None if node.extra else [],
    }


Graph = dict[str, Any]


class Crash(Exception):  # noqa: N818 - the real server's fault, not ours
    """Where the real server runs into an exception that it does not catch: a 500."""


@dataclass
class Verdict:
    """`error` is None where at least one output is good; only the good `outputs` are executed."""

    error: dict[str, Any] | None
    outputs: list[str] = field(default_factory=list)
    node_errors: dict[str, Any] = field(default_factory=dict)


class _Broken(Exception):  # noqa: N818 - never leaves this module
    """A link that leads nowhere; `kind` is the exception that ComfyUI names."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def validate(graph: Any, nodes: Mapping[str, Node], folder: Path, *, old: bool = False) -> Verdict:
    """Judge a graph. folder: of input images. old: before 0.4, which named an unknown class otherwise.

    Converts numbers in place, as ComfyUI does: history has them so. Raises Crash for what is no graph.
    """
    if not isinstance(graph, dict):
        raise Crash("the prompt is no object")
    outputs = []
    for id_, node in graph.items():
        if not isinstance(node, dict):
            raise Crash("a node is no object")
        if node.get("class_type") not in nodes:
            return Verdict(_missing_node(id_, node, old))
        if nodes[node["class_type"]].is_output:
            outputs.append(id_)
    if not outputs:
        return Verdict(_error("prompt_no_outputs", "Prompt has no outputs"))
    check = _Check(graph, nodes, folder)
    good: list[str] = []
    lines: list[str] = []
    node_errors: dict[str, Any] = {}
    for output in outputs:
        try:
            valid = check.node(output, ())
        except _Broken as broken:
            valid = False
            more = {"exception_type": broken.kind, "traceback": ["  File …, in validate_inputs\n"]}
            check.found[output] = [
                _error("exception_during_validation", "Exception when validating node", str(broken), **more)
            ]
        if valid:
            good.append(output)
            continue
        lines += [f"{reason['message']}: {reason['details']}" for reason in check.found[output]]
        for id_, reasons in check.found.items():
            if reasons:
                entry = {"errors": reasons, "dependent_outputs": [], "class_type": graph[id_]["class_type"]}
                node_errors.setdefault(id_, entry)["dependent_outputs"].append(output)
    if good:
        return Verdict(None, good, node_errors)
    failed = _error("prompt_outputs_failed_validation", "Prompt outputs failed validation", "\n".join(lines))
    return Verdict(failed, [], node_errors)


def is_link(value: Any) -> bool:
    """Whether an input's value is `[node ID, index of its output]`."""
    return isinstance(value, list) and len(value) == 2


def input_file(folder: Path, name: str) -> Path:
    """The image that LoadImage means."""
    return folder / name.removesuffix(" [input]")


def _error(type_: str, message: str, details: str = "", **extra: Any) -> dict[str, Any]:
    return {"type": type_, "message": message, "details": details, "extra_info": extra}


def _missing_node(id_: str, node: dict[str, Any], old: bool) -> dict[str, Any]:
    class_type = node.get("class_type")
    title = (node.get("_meta") or {}).get("title", class_type)
    if class_type is None:
        what = f"Node '{title or f'ID #{id_}'}' has no class_type."
    else:
        what = f"Node '{title}' not found. The custom node may not be installed."
    if old:
        what = f"Cannot execute because node {class_type} does not exist."
        return _error("invalid_prompt", what, f"Node ID '#{id_}'")
    return _error("missing_node_type", what, f"Node ID '#{id_}'", node_id=id_, class_type=class_type, node_title=title)


class _Check:
    """One pass over a graph; `found` has what is wrong with each node that was reached."""

    def __init__(self, graph: Graph, nodes: Mapping[str, Node], folder: Path) -> None:
        self.graph, self.nodes, self.folder = graph, nodes, folder
        self.found: dict[str, list[dict[str, Any]]] = {}
        self.valid: dict[str, bool] = {}

    def node(self, id_: str, above: tuple[str, ...]) -> bool:
        """Whether this node, and all that it is made from, is valid."""
        if id_ in self.valid:
            return self.valid[id_]
        if id_ in above:
            path = [*above[above.index(id_) :], id_]
            words = " -> ".join(f"{each} ({self.graph[each]['class_type']})" for each in path)
            for each in path[:-1]:
                more = {"node_id": each, "cycle_nodes": path[:-1]}
                self.found[each] = [_error("dependency_cycle", "Dependency cycle detected", words, **more)]
                self.valid[each] = False
            return False
        if "inputs" not in self.graph[id_]:
            raise _Broken("KeyError", "'inputs'")
        inputs = self.graph[id_]["inputs"]
        errors: list[dict[str, Any]] = []
        valid = True
        node = self.nodes[self.graph[id_]["class_type"]]
        for name, spec in node.inputs.items():
            if name not in inputs:
                if name in node.required:
                    errors.append(_error("required_input_missing", "Required input is missing", name, input_name=name))
            elif isinstance(inputs[name], list):
                valid &= self._link(id_, name, spec, inputs[name], above, errors)
            else:
                errors += self._value(inputs, name, spec)
        self.found[id_] = [*self.found.get(id_, []), *errors]
        self.valid[id_] = valid and not self.found[id_]
        return self.valid[id_]

    def _link(
        self, id_: str, name: str, spec: Input, value: list[Any], above: tuple[str, ...], errors: list[dict[str, Any]]
    ) -> bool:
        config = {"input_name": name, "input_config": _config(spec)}
        if len(value) != 2:
            what = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            errors.append(_error("bad_linked_input", what, name, **config, received_value=value))
            return True
        source, slot = value
        if source not in self.graph:
            raise _Broken("KeyError", repr(source))
        outputs = self.nodes[self.graph[source]["class_type"]].outputs
        if slot >= len(outputs):
            raise _Broken("IndexError", "tuple index out of range")
        if outputs[slot] != spec[0]:
            what = f"{name}, received_type({outputs[slot]}) mismatch input_type({spec[0]})"
            more = {**config, "received_type": outputs[slot], "linked_node": value}
            errors.append(_error("return_type_mismatch", "Return type mismatch between linked nodes", what, **more))
            return True
        try:
            return self.node(source, (*above, id_))
        except _Broken as broken:
            more = {
                **config,
                "exception_message": str(broken),
                "exception_type": broken.kind,
                "traceback": ["  File …, in validate_inputs\n"],
                "linked_node": value,
            }
            what = "Exception when validating inner node"
            self.found[source] = [_error("exception_during_inner_validation", what, str(broken), **more)]
            self.valid[source] = False
            return False

    def _value(self, inputs: dict[str, Any], name: str, spec: Input) -> list[dict[str, Any]]:
        type_, limits = _config(spec)
        config: dict[str, Any] = {"input_name": name, "input_config": [type_, limits]}
        value = inputs[name]
        convert = {"INT": int, "FLOAT": float, "STRING": str}.get(type_) if isinstance(type_, str) else None
        if convert:
            try:
                value = inputs[name] = convert(value)
            except (TypeError, ValueError, OverflowError) as error:
                more = {**config, "received_value": value, "exception_message": str(error)}
                what = f"Failed to convert an input value to a {type_} value"
                return [_error("invalid_input_type", what, f"{name}, {value}, {error}", **more)]
        config["received_value"] = value
        if limits.get("image_upload"):
            if isinstance(value, str) and value and input_file(self.folder, value).is_file():
                return []
            what = f"{name} - Invalid image file: {value}"
            return [_error("custom_validation_failed", "Custom validation failed for node", what, input_name=name)]
        if "min" in limits and value < limits["min"]:
            what = f"Value {value} smaller than min of {limits['min']}"
            return [_error("value_smaller_than_min", what, name, **config)]
        if "max" in limits and value > limits["max"]:
            what = f"Value {value} bigger than max of {limits['max']}"
            return [_error("value_bigger_than_max", what, name, **config)]
        choices = type_ if isinstance(type_, list) else limits.get("options")
        if choices is None or value in choices:
            return []
        shown = str(choices)
        if len(choices) > 20:
            shown, config["input_config"] = f"(list of length {len(choices)})", None
        return [_error("value_not_in_list", "Value not in list", f"{name}: {value!r} not in {shown}", **config)]


def _config(spec: Input) -> Input:
    return [spec[0], spec[1] if len(spec) > 1 else {}]

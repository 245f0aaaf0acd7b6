"""Preflight: each thing that would keep an image from being generated, or would make the engine generate another one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imagegen.backends.base import Context, GenerationError
from imagegen.backends.sd import SdBackend, checks
from imagegen.backends.sd.known_models import KNOWN_MODELS
from imagegen.backends.sd.memory import Machine
from imagegen.backends.text import file_name
from imagegen.config.models import ModelFile
from imagegen.config.settings import Settings
from imagegen.errors import Problem
from imagegen.plan.request import Request
from tests.backends.comfyui.fake_program import free_port
from tests.backends.ollama.parts import RecordedProgress
from tests.backends.sd.fake_sd_server.fixture import FakeSd
from tests.backends.sd.model_files import Kind, truncate, write_model, write_safetensors
from tests.backends.sd.project import FOLDERS

FLUX = {"diffusion_model": "flux.safetensors", "vae": "vae.safetensors", "clip_l": "clip_l.safetensors"}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(17) + b"\2"


class Bench:
    """A backend with a fake program and a file of each kind, and requests of jobs for it."""

    def __init__(self, root: Path, fake: FakeSd) -> None:
        self.root, self.fake = root, fake
        self.settings: dict[str, Any] = {"sd_program": str(fake.program)}
        for kind in ("sd1", "sdxl", "sd1_unet", "flux", "flux2_klein", "z_image", "vae", "clip_l", "llm", "lora"):
            self.model(kind)
        (root / "face.png").write_bytes(PNG)

    def model(self, kind: Kind, name: str = "") -> Path:
        folder = FOLDERS.get(kind, "diffusion_models")
        return write_model(self.root / "tools/models" / folder / (name or f"{kind}.safetensors"), kind)

    def backend(self) -> SdBackend:
        backend = SdBackend()
        settings = replace(Settings(), **self.settings)
        backend.context = Context(self.root, settings, lambda path: (self.root / path).read_bytes())
        return backend

    def request(self, section: dict[str, Any], name: str = "Yrr", prompt: str = "a figure", **fields: Any) -> Request:
        resolved = self.backend().resolve(section)
        given = tuple(sorted(fields))
        fields = {"width": 64, "height": 64, "seed": 1, **fields}
        return Request("sd", name, prompt, model=resolved.model or "", extra=resolved.extra, given=given, **fields)

    def problems(self, section: dict[str, Any] | None = None, **fields: Any) -> Sequence[Problem]:
        section = {"model": "sd1.safetensors"} if section is None else section
        return self.backend().preflight([self.request(section, **fields)])

    def problem(self, section: dict[str, Any] | None = None, **fields: Any) -> tuple[str, str]:
        (found,) = self.problems(section, **fields)
        assert found.where == ""
        return found.what, found.hint


@pytest.fixture
def bench(tmp_path: Path, fake: FakeSd) -> Bench:
    return Bench(tmp_path / "project", fake)


@pytest.mark.parametrize(
    "section",
    [
        {"model": "sd1.safetensors"},
        {"model": "sdxl.safetensors", "loras": {"lora.safetensors": 0.5}},
        FLUX,
        {"diffusion_model": "z_image.safetensors", "llm": "llm.safetensors", "vae": "vae.safetensors"},
        {"model": "sd1.safetensors", "vae": "vae.safetensors", "images": {"init": "face.png"}},
        FLUX | {"images": {"ref1": "face.png"}, "guidance": 3.5},
    ],
)
def test_nothing_is_wrong_with_what_fits(bench: Bench, section: dict[str, Any]) -> None:
    assert bench.problems(section, sampler="euler_a", scheduler="karras", steps=100, clip_skip=1) == []
    assert not (bench.root / ".imagegen/sd").exists(), "no server was started"


def test_a_problem_of_all_items_is_said_once_and_of_some_for_each(bench: Bench) -> None:
    one = bench.request({"model": "sd1.safetensors"}, "One", steps=200, width=70)
    two = bench.request({"model": "sd1.safetensors"}, "Two", steps=200)
    found = {(problem.where, problem.what) for problem in bench.backend().preflight([one, two])}
    assert found == {
        ("", "steps 200: sd-server does at most 100"),
        ("One", "width 70: this model takes multiples of 64"),
    }


# fields


@pytest.mark.parametrize(
    ("given", "own"),
    [
        ("dpmpp_2m", "dpm++2m"),
        ("DPM++ 2M", "dpm++2m"),
        ("euler_ancestral", "euler_a"),
        ("Euler a", "euler_a"),
        ("dpm_2", "dpm2"),
        ("dpmpp_2s_ancestral", "dpm++2s_a"),
        ("Heun", "heun"),
    ],
)
def test_another_programs_name_of_a_sampler_is_recognised(bench: Bench, given: str, own: str) -> None:
    assert bench.problem(sampler=given) == (
        f"sampler {given}: sd-server has none of that name",
        f"sd-server calls it {own}",
    )


@pytest.mark.parametrize(
    ("given", "own"),
    [("normal", "discrete"), ("Uniform", "discrete"), ("SGM Uniform", "sgm_uniform"), ("align_your_steps", "ays")],
)
def test_another_programs_name_of_a_scheduler_is_recognised(bench: Bench, given: str, own: str) -> None:
    assert bench.problem(scheduler=given)[1] == f"sd-server calls it {own}"


@pytest.mark.parametrize(
    ("given", "sampler", "scheduler"),
    [
        ("DPM++ 2M Karras", "dpm++2m", "karras"),
        ("dpmpp_2m_karras", "dpm++2m", "karras"),
        ("Euler a SGM Uniform", "euler_a", "sgm_uniform"),
        ("heun normal", "heun", "discrete"),
    ],
)
def test_a_name_of_a_sampler_and_a_scheduler_is_split(bench: Bench, given: str, sampler: str, scheduler: str) -> None:
    assert bench.problem(sampler=given)[1] == f"write sampler: {sampler}, scheduler: {scheduler}"
    assert bench.problem(sampler="DPM++ 2M SDE Karras")[1].startswith("choose one of "), "it has no such sampler"


def test_a_name_that_nobody_has_gets_the_nearest_and_all_in_the_programs_order(bench: Bench) -> None:
    what, hint = bench.problem(sampler="eulr")
    assert what == "sampler eulr: sd-server has none of that name; did you mean 'euler'?"
    assert hint.startswith("choose one of euler, euler_a, ")
    assert bench.problem(sampler="ddim")[1].startswith("choose one of "), "ddim_trailing is another algorithm"


def test_names_that_the_job_does_not_give_are_not_sent_and_not_checked(bench: Bench) -> None:
    assert bench.problems() == []  # though our defaults are euler and normal


@pytest.mark.parametrize(
    ("section", "width", "multiple", "hint"),
    [
        ({"model": "sd1.safetensors"}, 770, 64, "use 768 or 832"),
        ({"model": "sdxl.safetensors"}, 1000, 64, "use 960 or 1024"),
        (FLUX, 770, 8, "use 768 or 776"),
        (
            {"diffusion_model": "flux2_klein.safetensors", "llm": "llm.safetensors", "vae": "vae.safetensors"},
            776,
            16,
            "use 768 or 784",
        ),
    ],
)
def test_a_size_that_would_be_rounded_up(
    bench: Bench, section: dict[str, Any], width: int, multiple: int, hint: str
) -> None:
    assert bench.problem(section, width=width) == (f"width {width}: this model takes multiples of {multiple}", hint)
    assert bench.problem(section, height=width)[0].startswith(f"height {width}: ")


def test_the_size_that_a_known_model_brings_is_the_one_that_is_checked(bench: Bench) -> None:
    known = KNOWN_MODELS["sd-turbo"]
    bench.model("sd1", known.parts["model"].name.replace(".gguf", ".safetensors"))
    write_model(bench.root / "tools/models/checkpoints" / known.parts["model"].name, "sd1")
    request = bench.request({"model": "sd-turbo"})
    assert bench.backend().preflight([replace(request, width=70)]) == []
    found = bench.backend().preflight([replace(request, width=70, given=("width",))])
    assert [one.what for one in found] == ["width 70: this model takes multiples of 64"]


def test_a_size_beyond_the_servers_limits(bench: Bench) -> None:
    assert bench.problem(width=4160) == ("width 4160: sd-server takes at most 4096", "use 4096 or less")
    assert bench.problem(height=48) == ("height 48: sd-server takes at least 64", "use 64 or more")


def test_of_a_model_of_unknown_kind_any_size_is_taken(bench: Bench) -> None:
    (bench.root / "tools/models/checkpoints/old.ckpt").write_bytes(b"PK\x03\x04" + bytes(50))
    assert bench.problems({"model": "old.ckpt"}, width=70) == []


def test_a_seed_that_the_server_would_replace(bench: Bench) -> None:
    assert bench.problems(seed=2**63 - 1) == []
    what, hint = bench.problem(seed=2**63)
    assert what == "seed 9223372036854775808: sd-server takes it for a random one"
    assert hint == "give one up to 2^63 - 1 (9,223,372,036,854,775,807)"


def test_steps_that_it_would_cut(bench: Bench) -> None:
    assert bench.problem(steps=101) == ("steps 101: sd-server does at most 100", "make it 100")


def test_a_lora_in_the_prompt_is_only_words(bench: Bench) -> None:
    assert bench.problem(prompt="a bird <lora:tint:0.8> here") == (
        "the prompt has '<lora:tint:0.8>', which sd-server reads as words",
        "name the LoRA in sd.loras, with its strength, and remove it from the prompt",
    )
    assert bench.problem(negative="<lora:tint>")[0].startswith("the negative prompt has '<lora:tint>'")


def test_clip_skip_where_it_means_nothing(bench: Bench) -> None:
    assert bench.problems(clip_skip=2) == []
    assert bench.problem(clip_skip=13)[0] == "clip_skip 13: the CLIP of SD 1.x has 12 layers"
    z_image = {"diffusion_model": "z_image.safetensors", "llm": "llm.safetensors", "vae": "vae.safetensors"}
    assert bench.problem(z_image, clip_skip=2)[0].startswith("clip_skip 2: Z-Image has no CLIP")
    assert bench.problems(z_image, clip_skip=1) == []


def test_guidance_for_a_model_without_an_input_for_it(bench: Bench) -> None:
    what, hint = bench.problem({"model": "sd1.safetensors", "guidance": 3})
    assert what == "sd.guidance: this model (SD 1.x) takes none, and the engine would ignore it"
    assert hint == "remove it"


def test_reference_images_that_the_model_would_not_look_at(bench: Bench) -> None:
    section = {"model": "sd1.safetensors", "images": {"init": "face.png", "ref2": "face.png"}}
    what, hint = bench.problem(section)
    assert what == "sd.images.ref2: SD 1.x takes no reference images, and the engine would ignore this one"
    assert "flux2-klein-4b" in hint
    known = KNOWN_MODELS["z-image-turbo"]
    for part, kind in (("diffusion_model", "z_image"), ("llm", "llm"), ("vae", "vae")):
        file = known.parts[part]
        write_model(bench.root / "tools/models" / file.folder / file.name, kind)  # type: ignore[arg-type]
    what, _ = bench.problem({"model": "z-image-turbo", "images": {"ref1": "face.png"}})
    assert what.startswith("sd.images.ref1: z-image-turbo takes no reference images")


# model files


def test_a_file_that_is_not_there_gets_the_nearest_and_the_places(bench: Bench) -> None:
    what, hint = bench.problem({"model": "sd2.safetensors"})
    assert what == "sd.model: there is no file sd2.safetensors; did you mean 'sd1.safetensors'?"
    assert hint == (
        "put it into one of tools/ComfyUI/models/checkpoints, tools/models/checkpoints; "
        "those there: sd1.safetensors, sdxl.safetensors; or give its path, from the project's folder"
    )
    assert bench.problem({"model": "SDXL"})[0] == "sd.model: there is no file SDXL; did you mean 'sdxl.safetensors'?"
    assert bench.problem({"model": "z-image-trubo"})[0].endswith("did you mean 'z-image-turbo'?")


def test_a_listed_file_that_is_not_there_is_to_be_pulled(bench: Bench) -> None:
    listed = ModelFile("tiny", "checkpoints", "tiny.safetensors", "ab" * 32, 1, 1, 1, url="https://example.org/tiny")
    bench.settings["models"] = (listed,)
    assert bench.problem({"model": "tiny.safetensors"}) == (
        "sd.model: there is no file tiny.safetensors",
        "doit models:pull tiny",
    )


def test_of_a_known_model_whose_files_are_not_there_the_way_is_set_up(bench: Bench) -> None:
    found = bench.problems({"model": "flux2-klein-4b", "vae": "vae.safetensors"})
    assert [(one.what, one.hint) for one in found] == [
        ("flux2-klein-4b: its file flux-2-klein-4b-Q4_0.gguf is not there", "doit sd:setup --model=flux2-klein-4b"),
        ("flux2-klein-4b: its file Qwen3-4B-Q4_K_M.gguf is not there", "doit sd:setup --model=flux2-klein-4b"),
    ]


def test_a_file_that_is_cut_short(bench: Bench) -> None:
    truncate(bench.model("sd1", "cut.safetensors"))
    what, hint = bench.problem({"model": "cut.safetensors"})
    assert what.startswith("sd.model: cut.safetensors is cut short: ")
    assert hint == "download it again"
    truncate(bench.model("lora", "cut.safetensors"), 2)
    what, _ = bench.problem({"model": "sd1.safetensors", "loras": {"cut.safetensors": 1}})
    assert what.startswith("sd.loras: cut.safetensors is cut short: ")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_cannot_be_read(bench: Bench) -> None:
    bench.model("sd1").chmod(0)
    assert bench.problem() == ("sd.model: sd1.safetensors cannot be read: Permission denied", "fix its permissions")


@pytest.mark.parametrize(
    ("section", "what", "hint"),
    [
        ({"model": "loras/lora"}, "sd.model: {} is a LoRA, not a checkpoint", "name it in sd.loras, with its strength"),
        ({"model": "vae/vae"}, "sd.model: {} is a VAE, not a checkpoint", "name it as sd.vae"),
        (
            {"model": "diffusion_models/flux"},
            "sd.model: {} holds only the diffusion model (FLUX.1)",
            "name it as sd.diffusion_model, with sd.vae, sd.clip_l and sd.t5xxl",
        ),
        (
            {"model": "diffusion_models/z_image", "vae": "vae/vae"},
            "sd.model: {} holds only the diffusion model (Z-Image)",
            "name it as sd.diffusion_model, with sd.llm",
        ),
        (
            {"model": "diffusion_models/sd1_unet"},
            "sd.model: {} is a UNet by itself, which sd-server does not recognise",
            "name the whole checkpoint, with its text encoders and VAE, as sd.model",
        ),
        (
            {"diffusion_model": "diffusion_models/sd1_unet", "vae": "vae/vae", "clip_l": "text_encoders/clip_l"},
            "sd.diffusion_model: {} is a UNet by itself, which sd-server does not recognise",
            "name the whole checkpoint, with its text encoders and VAE, as sd.model",
        ),
        (
            {"diffusion_model": "checkpoints/sd1"},
            "sd.diffusion_model: {} is a whole checkpoint, not a diffusion model by itself",
            "name it as sd.model",
        ),
        (
            {"diffusion_model": "diffusion_models/flux"},
            "sd.diffusion_model: {} is FLUX.1, which needs sd.vae, sd.clip_l and sd.t5xxl too",
            "name the files that its page says go with it",
        ),
        (
            {"diffusion_model": "diffusion_models/z_image", "vae": "vae/vae"},
            "sd.diffusion_model: {} is Z-Image, which needs sd.llm too",
            "name the files that its page says go with it",
        ),
        (
            {"model": "checkpoints/sd1", "vae": "loras/lora"},
            "sd.vae: {1} is a LoRA, not a VAE",
            "name it in sd.loras, with its strength",
        ),
    ],
)
def test_a_file_that_does_not_fit_its_option(bench: Bench, section: dict[str, str], what: str, hint: str) -> None:
    section = {part: f"tools/models/{name}.safetensors" for part, name in section.items()}
    assert bench.problem(section) == (what.replace("{}", "{0}").format(*section.values()), hint)


@pytest.mark.parametrize(
    ("section", "channels", "needed"),
    [
        ({"model": "sd1.safetensors"}, 16, "SD 1.x needs a VAE with 4"),
        (FLUX, 4, "FLUX.1 needs a VAE with 16"),
        ({"diffusion_model": "flux2_klein.safetensors", "llm": "llm.safetensors"}, 16, "FLUX.2 needs a VAE with 32"),
    ],
)
def test_a_vae_of_another_family(bench: Bench, section: dict[str, str], channels: int, needed: str) -> None:
    def write(count: int) -> None:
        write_safetensors(
            bench.root / "tools/models/vae/real.safetensors", {"decoder.conv_in.weight": (8, count, 3, 3)}
        )

    write(channels)
    what, hint = bench.problem({**section, "vae": "real.safetensors"})
    assert what == f"sd.vae: real.safetensors has {channels} channels, and {needed}"
    assert hint.startswith("name the VAE that goes with ")
    write(int(needed.split()[-1]))
    assert bench.problems({**section, "vae": "real.safetensors"}) == []


def test_a_small_vae_of_the_settings_arguments_is_one(bench: Bench) -> None:
    bench.settings["sd_arguments"] = ("--tae", "/elsewhere/taef1.safetensors")
    assert bench.problems({"diffusion_model": "flux.safetensors", "clip_l": "clip_l.safetensors"}) == []


@pytest.mark.parametrize(
    ("section", "name", "unused"),
    [
        ({"model": "sd1.safetensors"}, "SD 1.x", {"clip_g", "t5xxl", "llm"}),
        ({"model": "sd2.safetensors"}, "SD 2.x", {"clip_g", "t5xxl", "llm"}),
        ({"model": "sdxl.safetensors"}, "SDXL", {"t5xxl", "llm"}),
        ({"diffusion_model": "sd3.safetensors"}, "SD 3", {"llm"}),
        ({"diffusion_model": "flux.safetensors"}, "FLUX.1", {"clip_g", "llm"}),
        ({"diffusion_model": "flux2_klein.safetensors"}, "FLUX.2", {"clip_l", "clip_g", "t5xxl"}),
        ({"diffusion_model": "z_image.safetensors"}, "Z-Image", {"clip_l", "clip_g", "t5xxl"}),
        ({"model": "unknown.safetensors"}, "", set()),
    ],
)
def test_text_encoders_that_the_model_does_not_use(
    bench: Bench, section: dict[str, str], name: str, unused: set[str]
) -> None:
    encoders = ("clip_l", "clip_g", "t5xxl", "llm")
    for kind in ("sd2", "sd3", "clip_g", "t5xxl"):
        bench.model(kind)
    write_safetensors(bench.root / "tools/models/checkpoints/unknown.safetensors", {"a.weight": (2, 2)})
    vae = {"vae": "tae.safetensors"}  # of no family in particular
    write_safetensors(bench.root / "tools/models/vae/tae.safetensors", {"decoder.layers.0.weight": (2, 2)})
    found = bench.problems({**section, **vae, **{part: f"{part}.safetensors" for part in encoders}})
    assert {(problem.what, problem.hint) for problem in found} == {
        (f"sd.{part}: this model ({name}) does not use it", "remove it") for part in unused
    }


def test_loras_are_looked_for_and_are_loras(bench: Bench) -> None:
    def problem(*names: str) -> tuple[str, str]:
        return bench.problem({"model": "sd1.safetensors", "loras": dict.fromkeys(names, 1)})

    what, hint = problem("loar.safetensors")
    assert what == "sd.loras: there is no file loar.safetensors; did you mean 'lora.safetensors'?"
    assert hint.startswith("put it into one of tools/ComfyUI/models/loras, tools/models/loras; those there: lora.safe")
    assert problem("Lora")[0] == "sd.loras: there is no file Lora; did you mean 'lora.safetensors'?"
    assert problem("tools/models/vae/vae.safetensors") == (
        "sd.loras: tools/models/vae/vae.safetensors is a VAE, not a LoRA",
        "name it as sd.vae",
    )
    write_model(bench.root / "tools/ComfyUI/models/loras/other.safetensors", "lora")
    what, hint = problem("lora.safetensors", "other.safetensors")
    assert what.startswith("sd.loras: they are in 2 folders, and sd-server takes one: tools/ComfyUI/models/loras, ")
    assert hint == "put them into one folder"


def test_all_that_is_wrong_is_said_at_once(bench: Bench) -> None:
    bench.settings["sd_program"] = str(bench.root / "none")
    section = {"model": "none.safetensors", "vae": "none.safetensors", "loras": {"none.safetensors": 1}}
    found = [one.what for one in bench.problems(section, steps=200)]
    assert [what.partition(":")[0] for what in found] == [
        f"{bench.root}/none is not there",
        "sd.model",
        "sd.vae",
        "sd.loras",
        "steps 200",
    ]


def test_the_program_is_asked_once_for_all_jobs(bench: Bench) -> None:
    backend = bench.backend()
    for model in ("sd1", "sdxl", "sd1"):
        assert backend.preflight([bench.request({"model": f"{model}.safetensors"})]) == []
    assert len(bench.fake.events("call")) == 1


def test_a_job_that_names_no_model_is_checked_with_the_one_that_is_chosen(bench: Bench) -> None:
    (bench.root / "tools/models/checkpoints/sdxl.safetensors").unlink()
    request = bench.request({}, width=70)
    backend = bench.backend()
    chosen = replace(request, model=backend.choose_model(request))
    assert chosen.model == "sd1.safetensors"
    assert [one.what for one in backend.preflight([chosen])] == ["width 70: this model takes multiples of 64"]
    assert backend.model_identity(chosen).digest
    assert str(bench.root / "tools/models/checkpoints/sd1.safetensors") in str(backend.batch_key(chosen))


# memory


@pytest.fixture
def cpu(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The program of set-up, built for CPUs, on a machine with 4 KB of memory and as much swap."""
    own = bench.root / "tools/sd/sd-server"
    own.parent.mkdir()
    shutil.copy(bench.fake.program, own)
    (own.parent / ".imagegen.json").write_text(json.dumps({"build": "one", "device": "cpu"}))
    del bench.settings["sd_program"]
    monkeypatch.setattr(checks, "this_machine", lambda: Machine(4096, 4096))
    return bench


def test_a_model_that_surely_has_no_room(cpu: Bench) -> None:
    assert cpu.problems() == []
    write_safetensors(cpu.root / "tools/models/checkpoints/big.safetensors", {"a": (5000,)})
    assert cpu.problem({"model": "big.safetensors"}) == (
        "the model's weights take 10 KB, and this machine has 4 KB and 4 KB of swap",
        "take a smaller quantisation of it, or a smaller model",
    )
    cpu.settings["sd_arguments"] = ("--threads", "1")
    assert len(cpu.problems({"model": "big.safetensors"})) == 1
    cpu.settings["sd_arguments"] = ("--params-backend", "disk")
    assert cpu.problems({"model": "big.safetensors"}) == []


def test_what_may_be_tight_is_said_once_in_a_run(cpu: Bench) -> None:
    backend, progress = cpu.backend(), RecordedProgress()
    requests = [cpu.request({"model": "sd1.safetensors"}, name) for name in ("One", "Two")]
    for _ in range(2):
        assert backend.prepare(requests, progress) == []
    (note,) = [facts["text"] for name, facts in progress.events if name == "note"]
    assert note.startswith("this takes about 26 MB of memory, and this machine has 4 KB: ")


@pytest.mark.parametrize(
    ("section", "given", "notes"),
    [
        (
            FLUX,
            {},
            ["this model (FLUX.1) is made for cfg 1, and the job gives none, so 7 is used: write generate: {cfg: 1}"],
        ),
        (FLUX, {"cfg": 7}, []),
        ({"model": "sd1.safetensors"}, {}, []),
        ({"diffusion_model": "z_image.safetensors", "llm": "llm.safetensors", "vae": "vae.safetensors"}, {}, []),
    ],
)
def test_a_model_that_surely_wants_no_cfg_and_a_job_that_gives_none(
    bench: Bench, section: dict[str, Any], given: dict[str, Any], notes: list[str]
) -> None:
    backend, progress = bench.backend(), RecordedProgress()
    for name in ("One", "Two"):
        backend.prepare([bench.request(section, name, **given)], progress)
    assert [facts["text"] for name, facts in progress.events if name == "note"] == notes


@pytest.mark.parametrize(
    ("model", "given", "notes"),
    [
        (
            "sd1",
            (),
            [
                "this model (SD 1.x) is made for 512×512, and the job gives no size, so 1024×1024 is used: "
                "write generate: {width: 512, height: 512}"
            ],
        ),
        ("sd1", ("width",), []),
        ("sdxl", (), []),
    ],
)
def test_a_job_that_gives_no_size_for_a_model_of_small_images(
    cpu: Bench, model: str, given: tuple[str, ...], notes: list[str]
) -> None:
    backend, progress = cpu.backend(), RecordedProgress()
    request = replace(cpu.request({"model": f"{model}.safetensors"}), width=1024, height=1024, given=given)
    backend.prepare([request], progress)
    said = [facts["text"] for name, facts in progress.events if name == "note"]
    assert [text for text in said if "size" in text] == notes


# a server of the user's own


@pytest.fixture
def server(bench: Bench) -> str:
    """One with sd1 and the folder of LoRAs."""
    models = bench.root / "tools/models"
    arguments = ("-m", str(models / "checkpoints/sd1.safetensors"), "--lora-model-dir", str(models / "loras"))
    url = bench.fake.start(*arguments)
    bench.settings = {"sd_server_url": url}
    return url


@pytest.mark.usefixtures("server")
def test_a_server_of_your_own_needs_no_program_and_no_files(bench: Bench) -> None:
    section = {"model": "elsewhere/sd1.safetensors", "loras": {"lora.safetensors": 1}}
    assert bench.problems(section, sampler="euler") == []
    assert bench.problems({"model": r"C:\models\sd1.safetensors"}) == []


@pytest.mark.usefixtures("server")
def test_it_is_asked_once_for_all_jobs(bench: Bench) -> None:
    backend = bench.backend()
    request = bench.request({})
    assert backend.choose_model(request) == "sd1.safetensors"
    for _ in range(3):
        assert backend.preflight([request]) == []
    assert [one["path"] for one in bench.fake.events("http")] == ["/sdcpp/v1/capabilities"]


def test_another_model_than_it_has_is_refused(bench: Bench, server: str) -> None:
    assert bench.problem({"model": "sdxl.safetensors"}) == (
        f"sd.model: the server at {server} has sd1.safetensors, and not sdxl.safetensors",
        "start it with that model, or leave sd.model out: then its own is used",
    )


def test_another_model_than_the_job_was_first_built_with_is_refused_with_a_way_out(bench: Bench, server: str) -> None:
    decided = replace(bench.request({}), model="sdxl.safetensors")
    (found,) = bench.backend().preflight([decided])
    assert (found.what, found.hint) == (
        f"the server at {server} has sd1.safetensors, and this job, which names no model, was first built with "
        "sdxl.safetensors",
        "start it with sdxl.safetensors, or name the other model in the job: sd.model: sd1.safetensors",
    )
    assert bench.problems({"model": "sd1.safetensors"}) == []


def test_its_own_lists_count(bench: Bench, server: str) -> None:
    assert bench.problem({}, sampler="dpmpp_2m")[1] == "sd-server calls it dpm++2m"
    what, hint = bench.problem({"loras": {"loar.safetensors": 1}})
    assert what == f"sd.loras: the server at {server} has no LoRA loar.safetensors"
    assert hint == "it has lora.safetensors"


def test_a_server_without_a_folder_of_loras_is_to_be_started_with_all_that_they_need(bench: Bench) -> None:
    empty = bench.root / "empty"
    empty.mkdir()
    model = bench.root / "tools/models/checkpoints/sd1.safetensors"
    bench.settings = {"sd_server_url": bench.fake.start("-m", str(model), "--lora-model-dir", str(empty))}
    _, hint = bench.problem({"loras": {"lora.safetensors": 1}})
    assert hint == "start it with --lora-model-dir DIR --lora-apply-mode at_runtime"


IGNORED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"width": 70}, "width 70: this model takes multiples of 64"),
    ({}, {"clip_skip": 99}, "clip_skip 99: the CLIP of SD 1.x has 12 layers"),
    ({"guidance": 3.5}, {}, "sd.guidance: this model (SD 1.x) takes none, and the engine would ignore it"),
    ({"images": {"ref1": "face.png"}}, {}, "sd.images.ref1: SD 1.x takes no reference images, and the engine would"),
]


@pytest.mark.parametrize(("section", "fields", "said"), IGNORED)
@pytest.mark.parametrize("is_listed", [False, True])
@pytest.mark.usefixtures("server")
def test_what_its_model_would_ignore_is_refused_if_its_file_is_here(
    bench: Bench, section: dict[str, Any], fields: dict[str, Any], said: str, is_listed: bool
) -> None:
    if is_listed:  # a server on another machine, say, whose model there is here too
        _name_its_model(bench, "/elsewhere/sd1.safetensors")
    assert bench.problem(section, **fields)[0].startswith(said)


@pytest.mark.usefixtures("server")
def test_nothing_is_said_of_a_model_that_is_not_here(bench: Bench) -> None:
    _name_its_model(bench, "/elsewhere/other.safetensors")
    for section, fields, _ in IGNORED:
        assert bench.problems(section, **fields) == []


def _name_its_model(bench: Bench, path: str) -> None:
    """Have the server say that this is its model."""
    answer = {"samplers": ["euler"], "schedulers": [], "loras": [], "model": {"path": path}}
    bench.fake.fault("answer", "GET /sdcpp/v1/capabilities", times=None, json=answer)


def test_a_cfg_that_its_model_was_not_made_for_is_said(bench: Bench) -> None:
    models, backend, progress = bench.root / "tools/models", bench.backend(), RecordedProgress()
    parts = ("diffusion-model", "diffusion_models/flux"), ("vae", "vae/vae"), ("clip_l", "text_encoders/clip_l")
    url = bench.fake.start(
        *(word for part, name in parts for word in (f"--{part}", str(models / f"{name}.safetensors")))
    )
    assert backend.prepare([bench.request({"server": {"url": url}, "model": "flux.safetensors"})], progress) == []
    (note,) = [facts["text"] for name, facts in progress.events if name == "note"]
    assert note.startswith("this model (FLUX.1) is made for cfg 1")


def test_what_it_does_not_say_of_itself_is_said_once_in_a_run(bench: Bench, server: str) -> None:
    backend, progress = bench.backend(), RecordedProgress()
    plain, vae = {"model": "sd1.safetensors"}, {"vae": "folder/nosuch.safetensors", "rng": "cpu"}
    lora = {"loras": {"lora.safetensors": 1}}
    for section in (plain, plain | vae, plain | vae, plain | lora):
        assert backend.prepare([bench.request(section)], progress) == []
    begin = f"the server at {server} does not say whether it was started with "
    assert [facts["text"] for name, facts in progress.events if name == "note"] == [
        f"{begin}--vae nosuch.safetensors, --rng cpu, which these images need",
        f"{begin}--lora-apply-mode at_runtime, which these images need",
    ]


def test_nobody_there_and_somebody_else_there(bench: Bench, server: str) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    section = {"server": {"url": nobody}}
    what, hint = bench.problem(section)
    assert what.startswith(f"no sd-server answers at {nobody}: ")
    assert hint == "start it, or correct sd.server.url"
    with pytest.raises(GenerationError, match="no sd-server answers at "):
        bench.backend().choose_model(bench.request(section))
    bench.fake.fault("answer", "GET /sdcpp/v1/capabilities", json={"hello": "world"})
    what, hint = bench.problem({})
    assert what == f"what answers at {server} is not sd-server"
    assert "sd.server.url" in hint


@pytest.mark.parametrize("path", ["/a/b/x.gguf", r"C:\a\x.gguf", "x.gguf"])
def test_the_name_of_a_file_by_its_path(path: str) -> None:
    assert file_name(path) == "x.gguf"

"""A job's section `sd`, resolved: what it comes to, what of it decides pixels, and what is refused."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imagegen.backends.base import Context, Resolved
from imagegen.backends.sd import SdBackend
from imagegen.backends.sd.known_models import KNOWN_MODELS
from imagegen.backends.sd.section import LOCAL_OPTIONS, OPTIONS, PARTS, recover_section
from imagegen.config.checking import check_job
from imagegen.config.document import read_document
from imagegen.config.models import ModelFile
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, Problem
from imagegen.plan.request import Request, canonical_fields, fingerprint, select_parameters

PNG = b"\x89PNG\r\n\x1a\n" + bytes(17)
COLOUR = PNG + b"\2rest"
FILES = {
    "face.png": COLOUR,
    "other.png": COLOUR + b"!",
    "face.jpg": b"\xff\xd8\xff\xe0",
    "face.webp": b"RIFF\0\0\0\0WEBPVP8 ",
    "notes.txt": b"a face",
    "empty.png": b"",
}


def read(name: str) -> bytes:
    if name not in FILES:
        raise ImagegenError(Problem(name, "there is no such file"))
    return FILES[name]


def backend(**settings: Any) -> SdBackend:
    made = SdBackend()
    made.context = Context(Path("/project"), Settings(**settings), read)
    return made


def resolve(section: Mapping[str, Any], **settings: Any) -> Resolved:
    return backend(**settings).resolve(section)


def refused(section: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    with pytest.raises(ImagegenError) as raised:
        resolve(section)
    return [(one.where, one.what, one.hint) for one in raised.value.problems]


def of(section: Mapping[str, Any], **fields: Any) -> str:
    """The fingerprint of an image of a job with this section; fields: those that the job gives."""
    made = backend()
    resolved = made.resolve(section)
    request = Request(
        "sd",
        "Yrr",
        "a figure",
        seed=7,
        model=resolved.model or "",
        extra=resolved.extra,
        given=tuple(sorted(fields)),
        **fields,
    )
    parameters = select_parameters(request, made.parameters - resolved.unused, resolved.only_if_given)
    return fingerprint(canonical_fields(request, parameters))


# what it comes to


def test_a_checkpoint_is_the_model_and_its_file() -> None:
    found = resolve({"model": "a.safetensors", "vae": "v.safetensors"})
    assert found.model == "a.safetensors"
    assert found.extra == {"files": {"model": "a.safetensors", "vae": "v.safetensors"}, "vae": "v.safetensors"}
    assert found.only_if_given == {"sampler", "scheduler"}
    assert found.unused == frozenset()


def test_a_model_in_several_files_is_named_after_its_diffusion_model() -> None:
    parts = {"diffusion_model": "f.gguf", "vae": "ae.safetensors", "clip_l": "l", "t5xxl": "t"}
    found = resolve(parts, sd_model="other.safetensors")
    assert found.model == "f.gguf"
    assert found.extra["files"] == parts


def test_the_settings_model_is_for_jobs_that_name_none() -> None:
    assert resolve({}, sd_model="a.safetensors").extra["files"] == {"model": "a.safetensors"}
    assert resolve({"model": "b.safetensors"}, sd_model="a.safetensors").model == "b.safetensors"
    assert resolve({"vae": "v"}, sd_model="a.safetensors").extra["files"] == {"model": "a.safetensors", "vae": "v"}
    left_open = resolve({"vae": "v"})
    assert (left_open.model, left_open.extra["files"]) == (None, {"vae": "v"})


@pytest.mark.parametrize("name", KNOWN_MODELS)
def test_a_known_model_brings_its_files_and_fields(name: str) -> None:
    known = KNOWN_MODELS[name]
    for found in (resolve({"model": name}), resolve({}, sd_model=name)):
        assert found.model == name
        assert found.extra == {"files": {part: file.name for part, file in known.parts.items()}}
        assert found.only_if_given == {"sampler", "scheduler", "steps", "cfg", "width", "height"}
        assert found.unused == ({"cfg", "negative"} if known.is_distilled else frozenset())


def test_another_file_in_place_of_a_known_models_own() -> None:
    found = resolve({"model": "flux2-klein-4b", "vae": "mine.safetensors"})
    assert found.model == "flux2-klein-4b"
    assert found.extra["files"]["vae"] == found.extra["vae"] == "mine.safetensors"


def test_a_known_models_file_has_the_name_under_which_the_project_lists_it() -> None:
    file = KNOWN_MODELS["sd-1.5"].parts["model"]
    listed = ModelFile("mine", "checkpoints", "mine.safetensors", file.sha256, 1, 1, 1, url="https://example.org/x")
    assert resolve({"model": "sd-1.5"}, models=(listed,)).extra["files"] == {"model": "mine.safetensors"}


def test_names_are_the_same_on_every_system() -> None:
    found = resolve({"model": r"xl\a.safetensors", "loras": {r"style\b.safetensors": 1}})
    assert found.model == "xl/a.safetensors"
    assert found.extra["files"] == {"model": "xl/a.safetensors"}
    assert found.extra["loras"] == {"style/b.safetensors": 1.0}
    assert resolve({}, sd_model=r"xl\a.safetensors").model == "xl/a.safetensors"


def test_reference_images_are_known_by_their_content() -> None:
    found = resolve({"model": "m", "images": {"init": "face.png", "ref1": "face.jpg", "ref2": "portraits:yrr"}})
    digest = {name: hashlib.sha256(FILES[name]).hexdigest() for name in FILES}
    assert found.extra["images"] == {"init": digest["face.png"], "ref1": digest["face.jpg"]}
    assert found.files == {digest["face.png"]: "face.png", digest["face.jpg"]: "face.jpg"}
    assert found.origins == {"ref2": "portraits:yrr"}
    assert found.extra["strength"] == 0.75
    assert resolve({"images": {"ref1": "face.webp"}}).extra.get("strength") is None
    assert resolve({"images": {"init": "portraits:yrr"}, "strength": 1}).extra["strength"] == 1.0


# what is refused


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("notes.txt", "it is not an image that sd-server reads"),
        ("empty.png", "it is not an image that sd-server reads"),
        ("none.png", "there is no such file"),
    ],
)
def test_a_reference_image_that_it_would_not_take(name: str, what: str) -> None:
    (problem,) = refused({"model": "m", "images": {"ref1": name}})
    assert problem[:2] == ("images.ref1", f"{name}: {what}")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_images_of_these_formats_are_taken(form: str) -> None:
    written = io.BytesIO()
    Image.new("L", (16, 16)).save(written, form)
    FILES["any"] = written.getvalue()
    assert resolve({"images": {"ref1": "any"}}).extra["images"]


@given(data=st.binary(max_size=60), magic=st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0"]))
def test_damaged_images_raise_nothing_else(data: bytes, magic: bytes) -> None:
    FILES["any"] = magic + data
    with suppress(ImagegenError):
        resolve({"images": {"init": "any"}})


def test_one_file_or_several() -> None:
    where, what, hint = refused({"model": "a", "diffusion_model": "b"})[0]
    assert (where, what) == ("diffusion_model", "is given beside model")
    assert hint == "keep model for a single file, or diffusion_model for several"


def test_strength_without_an_image_to_start_from() -> None:
    problem = ("strength", "is for images.init, and the job has none", "add images.init, or remove it")
    assert refused({"model": "m", "strength": 0.5}) == [problem]
    assert refused({"strength": 0.5, "images": {"ref1": "none.png"}}) == [
        ("images.ref1", "none.png: there is no such file", ""),
        problem,
    ]


@pytest.mark.parametrize(
    ("section", "what"),
    [
        ("{modle: a}", "unknown key; did you mean 'model'?"),
        ("{images: {initial: a.png}}", "'initial' is not a valid init (the image to start from) or ref1 to ref9"),
        ("{images: {ref10: a.png}}", "'ref10' is not a valid init"),
        ("{strength: 1.5}", "1.5"),
        ("{rng: gpu}", "gpu"),
        ("{server: {url: 'http://user@host'}}", "without a user or password in it"),
        ("{offload: maybe}", "expected true or false"),
    ],
)
def test_what_the_schema_refuses(section: str, what: str) -> None:
    text = f"backend: sd\nsd: {section}\nitems: [{{name: A, prompt: a}}]\n"
    with pytest.raises(ImagegenError) as raised:
        check_job("one", read_document("jobs/one.yaml", text.encode()), {"sd": OPTIONS})
    assert any(what in problem.what for problem in raised.value.problems), raised.value


# what decides


GIVEN: dict[str, Any] = {
    "model": "a.safetensors",
    "vae": "v.safetensors",
    "loras": {"l.safetensors": 0.5, "m.safetensors": 1},
    "images": {"init": "face.png", "ref1": "face.jpg"},
    "strength": 0.5,
    "guidance": 3,
    "rng": "cpu",
}


@pytest.mark.parametrize(
    "change",
    [
        {"model": "b.safetensors"},
        {"vae": "w.safetensors"},
        {"loras": {"l.safetensors": 0.6, "m.safetensors": 1}},
        {"loras": {"l.safetensors": 0.5}},
        {"images": {"init": "other.png", "ref1": "face.jpg"}},
        {"images": {"init": "face.png", "ref2": "face.jpg"}},
        {"strength": 0.6},
        {"guidance": 4},
        {"rng": "cuda"},
        {"llm": "q.gguf"},
    ],
)
def test_every_option_that_decides_pixels_decides(change: dict[str, Any]) -> None:
    assert of({**GIVEN, **change}) != of(GIVEN)


def test_what_says_the_same_is_the_same() -> None:
    assert of({**GIVEN, "guidance": 3.0}) == of(GIVEN)
    assert of({**GIVEN, "loras": {"m.safetensors": 1.0, "l.safetensors": 0.5}}) == of(GIVEN)
    FILES["copy.png"] = FILES["face.png"]
    assert of({**GIVEN, "images": {"init": "copy.png", "ref1": "face.jpg"}}) == of(GIVEN)


def test_the_machine_of_whoever_wrote_the_job_does_not_decide() -> None:
    here = {**GIVEN, "offload": True, "server": {"url": "http://127.0.0.1:1234"}}
    assert of(here) == of(GIVEN)
    made = backend()
    request = Request("sd", "Yrr", "a", extra=made.resolve(here).extra)
    assert not {*LOCAL_OPTIONS} & {*made.strip_local(request).extra}


def test_our_defaults_of_sampler_and_scheduler_do_not_count_and_given_ones_do() -> None:
    assert of(GIVEN, sampler="euler") != of(GIVEN)
    assert of(GIVEN, scheduler="normal") != of(GIVEN)


@pytest.mark.parametrize("name", KNOWN_MODELS)
def test_a_known_models_own_fields_do_not_count_and_given_ones_do(name: str) -> None:
    known = KNOWN_MODELS[name]
    section = {"model": name}
    for field in ("steps", "width", "height"):
        assert of(section, **{field: getattr(known, field)}) != of(section)
    for field, value in (("cfg", 3.0), ("negative", "hands")):
        assert (of(section, **{field: value}) == of(section)) is known.is_distilled


# what is recovered from an image


@given(
    section=st.fixed_dictionaries(
        {"model": st.sampled_from(["a.safetensors", "sd-turbo"])},
        optional={
            "vae": st.just("v.safetensors"),
            "loras": st.dictionaries(st.sampled_from(["l", "m"]), st.floats(-2, 2), min_size=1),
            "guidance": st.floats(0, 10),
            "rng": st.sampled_from(["cpu", "cuda"]),
        },
    )
)
def test_the_section_that_gives_what_was_recorded(section: dict[str, Any]) -> None:
    found = resolve(section)
    recovered = {**recover_section(found.extra), "model": found.model}
    assert of(recovered) == of(section)


def test_a_model_in_several_files_is_recovered_too() -> None:
    section = {"diffusion_model": "f.gguf", "vae": "ae.safetensors", "clip_l": "l"}
    found = resolve(section)
    recovered = {**recover_section(found.extra), "model": found.model}  # as `doit image --like` adds it
    assert of(recovered) == of(section)


def test_of_reference_images_only_digests_are_left() -> None:
    with pytest.raises(ImagegenError, match="reference images"):
        recover_section(resolve(GIVEN).extra)


def test_each_part_has_an_option() -> None:
    assert {*PARTS} <= {*OPTIONS}

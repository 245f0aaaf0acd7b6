from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from imagegen.images.formats import BadImage, read_jpeg, read_png, read_webp, write_png
from imagegen.images.image_file import verify
from imagegen.images.provenance import Provenance, parameters_text, provenance_json

from .pictures import (
    FIELDS,
    FORMATS,
    embed,
    gradient,
    opened,
    picture,
    pixels,
    profile,
    provenance,
    read,
    saved,
    xmp_of,
)

PICTURES = {kind: picture(kind) for kind in FORMATS}
MARK = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def user_comment(data: bytes) -> str:
    comment = opened(data).getexif().get_ifd(0x8769)[0x9286]
    assert comment.startswith(b"UNICODE\0")
    return bytes(comment[8:]).decode("utf-16-be")


def test_the_record_is_canonical_json_without_name() -> None:
    p = Provenance({"seed": 7, "prompt": "größer", "name": "Malling"}, None, "2", False)

    assert provenance_json(p) == ('{"backend_version":"2","imagegen":1,"request":{"prompt":"größer","seed":7}}')
    assert json.loads(provenance_json(provenance()))["model_digest"] == "ab" * 32


def test_parameters_are_written_as_web_uis_read_them() -> None:
    assert parameters_text(provenance()) == (
        "a lighthouse at dusk\n"
        "Negative prompt: blurry\n"
        "Steps: 20, Sampler: euler, Schedule type: normal, CFG scale: 7, Seed: 42, Size: 512x768, "
        "Model hash: ababababab, Model: dreamshaper_8.safetensors"
    )


def test_parameters_hold_only_what_is_there() -> None:
    fields = {
        "backend": "placeholder",
        "model": "",
        "prompt": "a cat",
        "negative": "",
        "width": 64,
        "seed": None,
    }

    assert parameters_text(Provenance(fields, None, "1", False)) == "a cat"
    assert parameters_text(Provenance({"seed": 0, "cfg": 6.5}, None, "1", False)) == "CFG scale: 6.5, Seed: 0"


def test_a_setting_with_a_separator_in_it_is_quoted() -> None:
    assert parameters_text(Provenance({"model": 'x/z:"turbo"'}, None, "1", True)) == r'Model: "x/z:\"turbo\""'


@pytest.mark.parametrize("kind", FORMATS)
@given(
    prompt=st.text(st.characters(codec="utf-8")),
    extra=st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=5),
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("ab"),
        max_size=3,
    ),
    digest=st.none() | st.just("cd" * 32),
    generated=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_the_record_comes_back(
    kind: str, prompt: str, extra: dict[str, Any], digest: str | None, generated: bool
) -> None:
    p = Provenance({**extra, "prompt": prompt}, digest, "1", generated)

    data = embed(PICTURES[kind], p)

    assert read(data) == json.loads(provenance_json(p))
    assert verify(data, 16, 12).format == kind


@pytest.mark.parametrize("kind", FORMATS)
def test_control_characters_and_what_xml_forbids_come_back(kind: str) -> None:
    p = provenance(prompt="\0\x01\x1b\x7f\x85\r\n\t\u2028\ufffe\uffff🦊</x>&lt;")

    record = read(embed(PICTURES[kind], p))

    assert record is not None
    assert record["request"]["prompt"] == p.fields["prompt"]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("p", [provenance(), provenance(generated=False), None])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_the_pixels_stay(mode: str, p: Provenance | None, kind: str) -> None:
    if (kind, mode) == ("jpeg", "RGBA"):
        mode = "CMYK"
    data = picture(kind, mode)

    assert pixels(embed(data, p)) == (pixels(data) if kind == "png" else pixels(embed(data, None)))


def test_the_compressed_pixels_of_a_png_stay_byte_for_byte() -> None:
    data = saved(gradient(size=(300, 300)), "png")
    idat = [payload for kind, payload in read_png(data) if kind == b"IDAT"]

    for p in (provenance(), None):
        assert [payload for kind, payload in read_png(embed(data, p)) if kind == b"IDAT"] == idat


def test_pillow_reads_the_text_of_a_png() -> None:
    image = opened(embed(PICTURES["png"], provenance(prompt="größer 🦊")))

    assert isinstance(image, PngImagePlugin.PngImageFile)
    assert image.text["parameters"] == parameters_text(provenance(prompt="größer 🦊"))
    assert json.loads(image.text["imagegen"])["request"]["prompt"] == "größer 🦊"


def test_png_text_stands_before_the_pixels() -> None:
    kinds = [kind for kind, _ in read_png(embed(PICTURES["png"], provenance()))]

    assert kinds == [b"IHDR", b"iTXt", b"iTXt", b"iTXt", b"IDAT", b"IEND"]


@pytest.mark.parametrize("kind", ["webp", "jpeg"])
def test_pillow_reads_the_parameters_as_user_comment(kind: str) -> None:
    assert user_comment(embed(PICTURES[kind], provenance(prompt="größer 🦊"))) == parameters_text(
        provenance(prompt="größer 🦊")
    )


@pytest.mark.parametrize("kind", FORMATS)
def test_only_a_generated_image_is_marked_as_one(kind: str) -> None:
    assert MARK in xmp_of(embed(PICTURES[kind], provenance()))
    assert MARK not in xmp_of(embed(PICTURES[kind], provenance(generated=False)))


def test_the_mark_is_iptcs_property() -> None:
    packet = xmp_of(embed(PICTURES["jpeg"], provenance()))

    assert 'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"' in packet
    assert f"<Iptc4xmpExt:DigitalSourceType>{MARK}</Iptc4xmpExt:DigitalSourceType>" in packet


def test_embedding_again_replaces_and_is_deterministic() -> None:
    once = embed(PICTURES["png"], provenance(seed=2))

    assert embed(embed(PICTURES["png"], provenance(seed=1)), provenance(seed=2)) == once
    assert embed(once, provenance(seed=2)) == once


def test_the_generators_own_text_stays_in_a_png_and_older_parameters_go() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", '{"3": {}}')
    info.add_text("workflow", "{}", zip=True)
    info.add_text("parameters", "old")
    info.add_itxt("imagegen", "old", zip=True)

    image = opened(embed(picture("png", pnginfo=info), provenance()))

    assert isinstance(image, PngImagePlugin.PngImageFile)
    assert image.text["prompt"] == '{"3": {}}'
    assert image.text["workflow"] == "{}"
    assert image.text["parameters"] == parameters_text(provenance())
    assert image.text["imagegen"] == provenance_json(provenance())


@pytest.mark.parametrize("kind", FORMATS)
def test_none_takes_out_every_trace_and_keeps_the_colour_profile(kind: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "secret"
    options: dict[str, Any] = {"exif": exif, "icc_profile": profile(b"RGB ")}
    if kind == "png":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_text("prompt", "secret")
        options["pnginfo"].add(b"tIME", b"secret!")
        options["pnginfo"].add(b"caBX", b"secret")
    elif kind == "jpeg":
        options["comment"] = b"secret"
    full = picture(kind, **options)

    bare = embed(full, None)

    assert b"secret" in full
    assert b"secret" not in bare
    assert b"imagegen" not in bare
    assert read(bare) is None
    assert opened(bare).info["icc_profile"] == profile(b"RGB ")
    if kind == "png":
        assert pixels(bare) == pixels(full)
        assert embed(bare, None) == bare


def test_none_keeps_a_pngs_transparency_and_gamma() -> None:
    header, *rest = read_png(picture("png", "P", transparency=3))

    kinds = [k for k, _ in read_png(embed(write_png([header, (b"gAMA", bytes(4)), *rest]), None))]

    assert kinds == [b"IHDR", b"gAMA", b"PLTE", b"tRNS", b"IDAT", b"IEND"]


def test_a_record_too_long_for_a_jpeg_segment_loses_its_longest_fields_and_names_them() -> None:
    p = provenance(workflow={"nodes": "é" * 40_000}, prompt="p" * 20_000, name="x" * 99_000)

    data = embed(PICTURES["jpeg"], p)

    record = read(data)
    assert record is not None
    assert record["omitted"] == ["workflow"]
    assert record["request"] == {**FIELDS, "prompt": "p" * 20_000}
    assert MARK in xmp_of(data)
    assert verify(data)


def test_parameters_too_long_for_a_jpeg_segment_are_left_out() -> None:
    image = opened(embed(PICTURES["jpeg"], provenance(prompt="p" * 40_000)))

    assert dict(image.getexif()) == {}


def test_webp_holds_a_record_of_any_length() -> None:
    p = provenance(prompt="p" * 200_000)

    assert read(embed(PICTURES["webp"], p)) == json.loads(provenance_json(p))


@pytest.mark.parametrize("kind", FORMATS)
def test_an_image_without_a_record_has_none(kind: str) -> None:
    assert read(PICTURES[kind]) is None


@pytest.mark.parametrize("content", ["", "no JSON", "[1]", "null", "[" * 100_000])
def test_a_record_that_is_none_of_ours_is_none(content: str) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("imagegen", content)

    assert read(picture("png", pnginfo=info)) is None


def test_a_record_that_pillow_saved_again_as_plain_text_is_read() -> None:
    image = opened(embed(PICTURES["png"], provenance()))
    info = PngImagePlugin.PngInfo()
    info.add_text("imagegen", image.info["imagegen"].encode("latin-1"))

    assert read(saved(image, "png", pnginfo=info)) == json.loads(provenance_json(provenance()))


def test_a_file_that_cannot_be_read_is_refused() -> None:
    for use in (read, lambda data: embed(data, provenance()), lambda data: embed(data, None)):
        with pytest.raises(BadImage):
            use(PICTURES["webp"][:-1])


def test_exif_and_xmp_stand_where_each_format_wants_them() -> None:
    chunks = read_webp(embed(PICTURES["webp"], provenance()))
    segments = read_jpeg(embed(PICTURES["jpeg"], provenance()))

    assert [kind for kind, _ in chunks] == [b"VP8X", b"VP8 ", b"EXIF", b"XMP "]
    assert [marker for marker, _ in segments[:3]] == [b"\xe0", b"\xe1", b"\xe1"]

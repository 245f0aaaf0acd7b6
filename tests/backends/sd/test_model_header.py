"""The header of a model file: what is read of it, and what is not a complete model. No file raises anything else."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagegen.backends.sd.model_header import BadModel, ModelHeader, read_header
from tests.backends.sd.model_files import KINDS, TENSORS, Kind, truncate, write_gguf, write_model, write_safetensors

IN_ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
SHAPES = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
    st.lists(st.integers(1, 5), max_size=4).map(tuple),
    max_size=8,
)
WRITERS = {".safetensors": write_safetensors, ".gguf": write_gguf}


def refused(path: Path) -> BadModel:
    with pytest.raises(BadModel) as raised:
        read_header(path)
    return raised.value


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("write", WRITERS.values())
@given(shapes=SHAPES)
@IN_ONE_FOLDER
def test_what_is_written_is_read(
    write: Callable[[Path, Mapping[str, tuple[int, ...]]], Path], shapes: dict[str, tuple[int, ...]], tmp_path: Path
) -> None:
    path = write(tmp_path / "model", shapes)
    scalar = (1,) if write is write_gguf else ()
    assert read_header(path) == ModelHeader(
        "gguf" if write is write_gguf else "safetensors",
        path.stat().st_size,
        {name: shape[::-1] or scalar for name, shape in shapes.items()},
        {name: 2 * prod(shape) for name, shape in shapes.items()},
    )


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("kind", ["flux", "lora"])
def test_cut_off_anywhere_it_is_no_complete_model(suffix: str, kind: Kind, tmp_path: Path) -> None:
    whole = write_model(tmp_path / f"whole{suffix}", kind).read_bytes()
    path = tmp_path / f"part{suffix}"
    padding = -2 * prod([*TENSORS[kind].values()][-1]) % 32 if suffix == ".gguf" else 0
    for size in range(len(whole) - padding):
        what = refused(written(path, whole[:size])).what
        assert what.startswith(("is cut short", "is empty", "is not a model")), (size, what)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_file_that_is_cut_short_says_how_much_of_it_is_there(suffix: str, tmp_path: Path) -> None:
    path = WRITERS[suffix](tmp_path / f"big{suffix}", {"a": (1024, 1024)})
    truncate(path, 1024 * 1024)
    assert refused(path).what == "is cut short: 1 MB of 2 MB"
    assert refused(path).hint == "download it again"


@given(data=st.binary(max_size=200), magic=st.sampled_from([b"", b"GGUF\x03\0\0\0", b"\x40\0\0\0\0\0\0\0{", b"PK"]))
@IN_ONE_FOLDER
def test_any_bytes_are_a_model_or_are_refused(data: bytes, magic: bytes, tmp_path: Path) -> None:
    try:
        read_header(written(tmp_path / "any", magic + data))
    except BadModel as bad:
        assert bad.what
        assert bad.hint


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", WRITERS)
@given(at=st.integers(0, 10_000), by=st.integers(1, 255))
@settings(IN_ONE_FOLDER, max_examples=20)
def test_a_damaged_byte_raises_nothing_else(kind: Kind, suffix: str, at: int, by: int, tmp_path: Path) -> None:
    data = bytearray(write_model(tmp_path / f"one{suffix}", kind).read_bytes())
    data[at % len(data)] ^= by
    try:
        read_header(written(tmp_path / "damaged", bytes(data)))
    except BadModel as bad:
        assert bad.what.startswith("is ")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html></html>", "is not a model but a web page"),
        (b"\n<HTML>", "is not a model but a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "is not a model but a pointer of Git LFS"),
        (
            b"Access to this model is restricted.",
            "is not a model in safetensors or GGUF format, nor a PyTorch checkpoint: "
            "it begins with 'Access to this model is restr…'",
        ),
        (b"\xff" * 500, "is not a model in safetensors or GGUF format, nor a PyTorch checkpoint"),
    ],
)
def test_what_is_not_a_model_is_named_by_what_it_is(data: bytes, what: str, tmp_path: Path) -> None:
    assert refused(written(tmp_path / "m.safetensors", data)).what == what


@pytest.mark.parametrize("magic", [b"PK\x03\x04", b"\x80\x02"])
def test_a_checkpoint_of_pytorch_is_taken_as_it_is(magic: bytes, tmp_path: Path) -> None:
    assert read_header(written(tmp_path / "m.ckpt", magic + bytes(20))) == ModelHeader("pickle", len(magic) + 20)


def safetensors(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(**changes: object) -> dict[str, object]:
    return {"a": {"dtype": "F16", "shape": [1], "data_offsets": [0, 2], **changes}}


@pytest.mark.parametrize(
    "header",
    [
        entry(data_offsets=[2, 0]),
        entry(data_offsets=[0]),
        entry(data_offsets="ab"),
        entry(data_offsets=[0, 2.5]),
        entry(data_offsets=[-2, 2]),
        entry(data_offsets=[0, 2**70]),
        entry(shape=["1"]),
        entry(shape=3),
        {"a": 1},
        {"a": {"dtype": "F16"}},
        b"{" * 50,
        b'{"a":' + b"[" * 100_000,
        b'{"a": ' + b"9" * 10_000 + b"}",
        b"{\xff\xff}",
    ],
)
def test_a_header_of_nonsense_is_damaged(header: object, tmp_path: Path) -> None:
    path = written(tmp_path / "m", safetensors(header, b"ab"))
    assert refused(path).what == "is not a valid safetensors file: its header is damaged"


def test_a_header_of_an_absurd_length_is_not_read(tmp_path: Path) -> None:
    path = written(tmp_path / "m", struct.pack("<Q", 2**40) + b'{"a":')
    assert refused(path).what == "is not a valid safetensors file: its header would have 1.0 TB"
    path = written(tmp_path / "m", struct.pack("<Q", 5 * 1024**2) + b'{"a":')
    assert refused(path).what == "is cut short: 1 KB of at least 5 MB"


def test_more_than_the_header_says_is_no_fault(tmp_path: Path) -> None:
    assert read_header(written(tmp_path / "m", safetensors(entry(), b"abcdef"))).tensors == {"a": (1,)}


def text(word: str) -> bytes:
    return struct.pack("<Q", len(word)) + word.encode()


def gguf(*values: bytes, tensors: int = 0, version: int = 3, rest: bytes = b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, len(values)) + b"".join(values) + rest


def test_a_vocabulary_is_skipped(tmp_path: Path) -> None:
    words = b"".join(text(f"word{number}") for number in range(50_000))
    vocabulary = text("tokens") + struct.pack("<IIQ", 9, 8, 50_000) + words
    scores = text("scores") + struct.pack("<IIQ", 9, 6, 50_000) + bytes(200_000)
    tensor = text("token_embd.weight") + struct.pack("<IQQIQ", 2, 4, 1, 0, 0)
    data = gguf(vocabulary, scores, tensors=1, rest=tensor)
    assert read_header(written(tmp_path / "m", data + bytes(100))).tensors == {"token_embd.weight": (4, 1)}


def test_data_begins_at_the_alignment_that_the_file_names(tmp_path: Path) -> None:
    aligned = gguf(
        text("general.alignment") + struct.pack("<II", 4, 4096),
        tensors=1,
        rest=text("a") + struct.pack("<IQIQ", 1, 4, 0, 0),
    )
    assert refused(written(tmp_path / "m", aligned + bytes(200))).what == "is cut short: 1 KB of 5 KB"
    assert read_header(written(tmp_path / "m", aligned.ljust(4096 + 16, b"\0"))).bytes == {"a": 16}


def test_quantised_tensors_take_whole_blocks(tmp_path: Path) -> None:
    tensor = text("a") + struct.pack("<IQQIQ", 2, 256, 3, 12, 0)  # Q4_K: 144 bytes for 256 values
    data = gguf(tensors=1, rest=tensor)
    assert read_header(written(tmp_path / "m", data + bytes(32 + 3 * 144))).bytes == {"a": 3 * 144}
    assert refused(written(tmp_path / "m", data + bytes(2 * 144))).what.startswith("is cut short")


def test_of_a_version_that_is_not_known_nothing_is_said(tmp_path: Path) -> None:
    assert read_header(written(tmp_path / "m", gguf(version=4, rest=b"?"))).tensors == {}


@pytest.mark.parametrize(
    "data",
    [
        gguf(tensors=2**60),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60),
        gguf(text("a") + struct.pack("<I", 99)),
        gguf(text("a") + struct.pack("<IIQ", 9, 9, 1)),
        gguf(text("a") + struct.pack("<IIQ", 9, 8, 2**50)),
        gguf(tensors=1, rest=text("a") + struct.pack("<I", 2**31)),
    ],
)
def test_absurd_numbers_are_not_believed(data: bytes, tmp_path: Path) -> None:
    assert refused(written(tmp_path / "m", data)).what == "is not a valid GGUF file: its header is damaged"


def test_a_text_that_would_be_longer_than_the_file_is_cut_short(tmp_path: Path) -> None:
    path = written(tmp_path / "m", gguf(text("a") + struct.pack("<IQ", 8, 2**63)))
    assert refused(path).what == "is cut short, in the midst of its header"


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        read_header(tmp_path / "none")

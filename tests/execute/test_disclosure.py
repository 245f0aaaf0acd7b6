from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.backends.sd.known_models import KNOWN_MODELS
from imagegen.config.cutout_models import CUTOUT_MODELS
from imagegen.config.job import Encoding
from imagegen.config.models import ModelFile
from imagegen.errors import ImagegenError
from imagegen.execute.disclosure import Disclosure, UsedModel, disclose, find_licence
from imagegen.execute.disclosure_records import Record, read_records
from imagegen.plan.output import DERIVE, STEPS_FIELD
from imagegen.plan.record import OutputLine
from imagegen.report.disclosure_statement import summarise
from tests.project_folder import ProjectFolder, picture

MODEL = ModelFile("ds", "checkpoints", "a/ds.safetensors", "c" * 64, 9, 9, 9, url="https://x.y/ds", licence="https://l")


def line(
    output: str = "a", sha256: str = "1" * 64, metadata: Any = "full", digest: str = "", **request: Any
) -> OutputLine:
    fields = {"backend": "sd", "model": "m", **request}
    encoding = Encoding("png", 100, metadata)
    return OutputLine(
        f"x/{output}.png", output, "f", encoding, fields, sha256, 1, digest or None, "1", 1.0, "2026-01-01T00:00:00Z"
    )


def derived(output: str, images: Mapping[str, str], kind: str = "picture", **changes: Any) -> OutputLine:
    made_of = {key: sha256[:8] for key, sha256 in images.items()}
    return line(output, backend=DERIVE, model="", images=made_of, kind=kind, **changes)


def recorded(one: OutputLine, job: str = "j") -> Record:
    return Record(job, one.output, one.path, one, one.sha256, is_ours=True)


def of(*records: Record) -> Disclosure:
    return disclose(records, lambda _: ("", ""), lambda backend: backend != "placeholder", ["j"])


def by_task(*records: Record) -> dict[str, tuple[Any, ...]]:
    return {image.output: (image.kind, image.file, image.uses_ai, image.is_marked) for image in of(*records).images}


def test_what_a_model_generated_goes_into_what_is_derived_from_it() -> None:
    made = line("a", "1" * 64)
    placeholder = line("b", "2" * 64, backend="placeholder")
    assert by_task(
        recorded(made),
        recorded(placeholder),
        recorded(derived("a:thumb", {"image": "1" * 64})),
        recorded(derived("b:thumb", {"image": "2" * 64})),
        recorded(derived("sheet", {"a:thumb": "1" * 64, "b": "2" * 64}, kind="sheet")),
        recorded(derived("scan:thumb", {"image": "4" * 64})),
    ) == {
        "a": ("generated", "recorded", True, True),
        "b": ("placeholder", "recorded", False, False),
        "a:thumb": ("derived", "recorded", True, True),
        "b:thumb": ("derived", "recorded", False, False),
        "sheet": ("derived", "recorded", True, False),
        "scan:thumb": ("derived", "recorded", None, None),
    }


def test_a_file_that_was_there_before_is_said_to_be_in_what_is_derived_from_it() -> None:
    (image,) = of(recorded(derived("scan:thumb", {"image": "4" * 64}))).images
    assert (image.uses_files, image.origins) == (True, ("j:scan",))


@pytest.mark.parametrize("backend", ["sd", "placeholder"])
def test_an_origin_is_found_by_its_hash_and_never_by_its_name(backend: str) -> None:
    once = replace(recorded(line("scan", "1" * 64, backend=backend)), others=[line("scan", "2" * 64, backend="sd")])
    thumb = derived("scan:thumb", {"image": "4" * 64})
    sheet = recorded(derived("sheet", {"scan": "4" * 64}, kind="sheet"))
    for made in (recorded(thumb), sheet):
        image = of(once, made).images[-1]
        assert (image.uses_ai, image.uses_files, image.origins) == (None, True, ("j:scan",))
    earlier = of(once, recorded(derived("scan:thumb", {"image": "2" * 64}))).images[-1]
    assert (earlier.uses_ai, earlier.uses_files) == (True, False)


def test_whose_file_was_changed_is_of_unknown_making_unless_a_model_was_part_of_it() -> None:
    changed = [
        replace(recorded(one), sha256="9" * 64, is_ours=False) for one in (line("a"), line("b", backend="placeholder"))
    ]
    accepted = replace(recorded(line("c")), sha256="8" * 64, is_ours=False, accepted="8" * 64)
    gone = replace(recorded(line("d")), sha256=None, is_ours=False)
    supplied = Record("j", "e", "x/e.png", None, "7" * 64, is_ours=False, accepted="7" * 64)
    assert by_task(*changed, accepted, gone, supplied) == {
        "a": ("generated", "changed", True, None),
        "b": ("placeholder", "changed", None, None),
        "c": ("generated", "accepted", True, None),
        "d": ("generated", "missing", True, True),
        "e": ("supplied", "accepted", None, None),
    }


def test_what_was_derived_before_its_image_was_changed_has_nothing_of_the_change() -> None:
    placeholder = replace(recorded(line("a", "1" * 64, backend="placeholder")), sha256="9" * 64, is_ours=False)
    for digits, expected in (("1" * 64, (False, False)), ("9" * 64, (None, True))):
        *_, image = of(placeholder, recorded(derived("a:thumb", {"image": digits}))).images
        assert (image.uses_ai, image.uses_files) == expected


@pytest.mark.parametrize("kind", ["json", "text"])
def test_the_index_of_a_sheet_is_not_an_image(kind: Any) -> None:
    index = replace(derived("sheet:index", {"a": "1" * 64}, kind="index"), encoding=Encoding(kind, 100, "none"))
    page = derived("sheet", {"sheet:index": "5" * 64, "a": "1" * 64}, kind="sheet")
    *_, sheet = of(recorded(index), recorded(line("a")), recorded(page)).images
    assert (sheet.output, sheet.origins, sheet.uses_files) == ("sheet", ("j:a",), False)


def moved(one: OutputLine, path: str, sha256: str, time: str) -> OutputLine:
    return replace(one, path=path, sha256=sha256, time=time)


def test_of_an_output_whose_path_changed_each_file_that_is_there_counts() -> None:
    first = moved(line("a"), "x/a.png", "1" * 64, "2026-01-01T00:00:00Z")
    second = moved(line("a"), "x/a.jpg", "2" * 64, "2026-01-02T00:00:00Z")
    third = moved(line("a"), "x/a.avif", "3" * 64, "2026-01-03T00:00:00Z")
    thumb = recorded(derived("a:thumb", {"image": "1" * 64}))
    gone = [replace(recorded(one), sha256=None, is_ours=False) for one in (third, first, second)]
    changed = replace(recorded(third), sha256="9" * 64, is_ours=False)
    for records, files in (
        ([recorded(third), *gone[1:]], [("x/a.avif", "recorded")]),
        ([changed, *gone[1:]], [("x/a.avif", "changed")]),
        ([recorded(first), changed, gone[2]], [("x/a.png", "recorded"), ("x/a.avif", "changed")]),
        (gone, [("x/a.avif", "missing")]),
    ):
        *images, small = of(*records, thumb).images
        assert [(image.path, image.file) for image in images] == files
        # made before the change, from a file that is not there any more
        assert (small.origins, small.uses_ai, small.uses_files) == (("j:a",), True, False)


def test_without_metadata_no_file_is_marked() -> None:
    origin = recorded(line("a", metadata="none"))
    found = by_task(origin, recorded(derived("a:thumb", {"image": "1" * 64})))
    assert [image[3] for image in found.values()] == [False, False]


def test_loras_workflows_and_cut_outs_are_models_too() -> None:
    steps: dict[str, Any] = {STEPS_FIELD: [["trim", {}], ["cutout", {"model": "birefnet", "sha256": "d" * 64}]]}
    found = of(
        recorded(line("a", loras={"ink": 0.8})),
        recorded(line("b", backend="comfyui", model="", workflow="ab" * 32)),
        recorded(derived("a:token", {"image": "1" * 64}, **steps)),
    )
    assert {(model.role, model.backend, model.name): count for model, count in found.models.items()} == {
        ("model", "sd", "m"): 1,
        ("lora", "sd", "ink"): 1,
        ("model", "comfyui", "workflow abababababab"): 1,
        ("cutout", DERIVE, "birefnet"): 1,
    }


KLEIN, U2NETP = KNOWN_MODELS["flux2-klein-4b"], CUTOUT_MODELS["u2netp"]


@pytest.mark.parametrize(
    ("model", "licence"),
    [
        (UsedModel("model", "sd", "flux2-klein-4b"), (KLEIN.licence, KLEIN.page)),
        (
            UsedModel("model", "comfyui", "x.gguf", KLEIN.parts["diffusion_model"].sha256 + "0" * 64),
            (KLEIN.licence, KLEIN.page),
        ),
        (UsedModel("model", "sd", "flux2-klein-4b", "e" * 64), ("", "")),
        (UsedModel("model", "openai", "flux2-klein-4b"), ("", "")),
        (UsedModel("model", "comfyui", "other.safetensors", "c" * 64), ("", "https://l")),
        (UsedModel("model", "comfyui", "b\\ds.safetensors"), ("", "https://l")),
        (UsedModel("lora", "comfyui", "ds.safetensors"), ("", "https://l")),
        (UsedModel("model", "comfyui", "ds.safetensors", "e" * 64), ("", "")),
        (UsedModel("model", "comfyui", ""), ("", "")),
        (UsedModel("cutout", DERIVE, "own", U2NETP.sha256), ("Apache-2.0", U2NETP.page)),
        (UsedModel("cutout", DERIVE, "u2netp", "e" * 64), ("", "")),
    ],
)
def test_a_licence_is_found_by_the_file_and_never_guessed(model: UsedModel, licence: tuple[str, str]) -> None:
    assert find_licence([MODEL])(model) == licence


@st.composite
def many_records(draw: st.DrawFn) -> list[Record]:
    files = st.sampled_from([("1" * 64, True), ("9" * 64, False), ("8" * 64, False), (None, False)])
    records = []
    for number in range(draw(st.integers(0, 6))):
        name = f"i{number}"
        backend = draw(st.sampled_from(["sd", "comfyui", "placeholder", ""]))
        metadata = draw(st.sampled_from(["full", "none"]))
        sha256, is_ours = draw(files)
        one = line(name, metadata=metadata, backend=backend, loras=draw(st.sampled_from([None, {"x": 1}, ["y"]])))
        kept = one if draw(st.integers(0, 5)) else None
        records.append(Record("j", name, one.path, kept, sha256, is_ours and kept is not None, accepted="8" * 64))
    names = [record.output for record in records] + ["file"]
    for name in draw(st.lists(st.sampled_from(names), unique=True)):
        sha256, is_ours = draw(files)
        one = derived(f"{name}:t", {"image": draw(st.sampled_from(["1" * 64, "9" * 64]))})
        records.append(Record("j", one.output, one.path, one, sha256, is_ours, accepted="8" * 64))
    if draw(st.booleans()):
        made_of = draw(st.lists(st.sampled_from([record.output for record in records] + ["file"]), unique=True))
        records.append(recorded(derived("sheet", dict.fromkeys(made_of, "1" * 64), kind="sheet")))
    return records


@given(many_records())
def test_the_numbers_add_up(records: list[Record]) -> None:
    found = of(*records)
    n = summarise(found)
    assert n["images"] == len(records)
    assert n["images"] == n["generated"] + n["derived_from_generated"] + n["without_ai"] + n["unknown_origin"]
    assert n["by_ai"] == n["generated"] + n["derived_from_generated"] == n["marked"] + n["unmarked"] + n["mark_unknown"]
    assert n["generated"] == sum(count for model, count in found.models.items() if model.role == "model")
    assert list(found.models.values()) == sorted(found.models.values(), reverse=True)
    assert n["missing"] + n["by_hand"] <= n["images"] + sum(i.kind == "supplied" for i in found.images)


def test_a_name_that_is_not_a_job_is_refused(folder: ProjectFolder) -> None:
    folder.job()
    assert read_records(folder.project(), ["portraits"]) == ([], ["portraits"])
    folder.build()
    with pytest.raises(ImagegenError, match="'portrait' is not a job; did you mean 'portraits'"):
        read_records(folder.project(), ["portrait"])


def test_a_damaged_lock_file_is_named_with_its_line(folder: ProjectFolder) -> None:
    folder.job()
    folder.build()
    lock = folder.root / "jobs/portraits.lock"
    lock.write_text(lock.read_text() + "{}\n" + lock.read_text())
    with pytest.raises(ImagegenError, match=r"jobs/portraits\.lock:3"):
        read_records(folder.project())


def test_an_image_in_two_lock_files_counts_once(folder: ProjectFolder) -> None:
    folder.job()
    folder.build()
    (folder.root / "jobs/old.lock").write_bytes((folder.root / "jobs/portraits.lock").read_bytes())
    (folder.root / "jobs/new.lock").write_bytes((folder.root / "jobs/portraits.lock").read_bytes())
    records, jobs = read_records(folder.project())
    assert (len(records), jobs) == (2, ["new", "old", "portraits"])


def test_variants_that_were_not_picked_are_left_out_and_an_accepted_one_is_known(folder: ProjectFolder) -> None:
    folder.job(variants=2, items=[{"name": "A", "prompt": "a"}])
    folder.build()
    assert {record.output for record in read_records(folder.project())[0]} == {"a-v1", "a-v2"}
    folder.pick("a", 2)
    assert [record.output for record in read_records(folder.project())[0]] == ["a"]
    (folder.root / "assets/portraits/a.png").write_bytes(picture("blue"))
    folder.accept("portraits:a")
    (record,) = read_records(folder.project())[0]
    assert record.sha256 == record.accepted


def test_an_accepted_file_is_known_where_it_is_after_its_path_changed(folder: ProjectFolder) -> None:
    folder.job(items=[{"name": "A", "prompt": "a"}])
    folder.build()
    (folder.root / "assets/portraits/a.png").write_bytes(picture("blue"))
    folder.accept("portraits:a")
    folder.job(items=[{"name": "A", "prompt": "a"}], output={"format": "jpeg"})
    folder.build()
    (folder.root / "assets/portraits/a.png").unlink()
    records, _ = read_records(folder.project())
    (image,) = disclose(records, lambda _: ("", ""), lambda _: True).images
    assert (image.path, image.kind, image.file) == ("assets/portraits/a.jpg", "generated", "accepted")


def test_a_file_that_was_accepted_before_anything_was_generated_has_its_place(folder: ProjectFolder) -> None:
    folder.job()
    path = "assets/portraits/yrr.png"
    (folder.root / path).parent.mkdir(parents=True)
    (folder.root / path).write_bytes(picture("blue"))
    folder.accept("portraits:yrr")
    (record,) = read_records(folder.project())[0]
    assert (record.output, record.path, record.line, record.sha256) == ("yrr", path, None, record.accepted)

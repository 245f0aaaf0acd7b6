from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from imagegen.config.job import Encoding
from imagegen.config.schema import Overwrite
from imagegen.plan.freshness import FileOnDisk, Verdict, compare, compare_requests
from imagegen.plan.output import Output
from imagegen.plan.record import OutputLine
from imagegen.plan.request import Request, canonical_fields, fingerprint

PARAMETERS = frozenset({"prompt", "steps", "seed", "set"})
OURS = FileOnDisk("aa", ours=True)
EDITED = FileOnDisk("ff")


def output(backend: str = "comfyui", overwrite: Overwrite = "own", **fields: Any) -> Output:
    request = Request(backend, "A", **{"prompt": "a figure", "seed": 1, **fields})
    known = fingerprint(canonical_fields(request, PARAMETERS))
    return Output("j", "a", "assets/j/a.png", request, PARAMETERS, Encoding(), overwrite, 600, known)


def line_of(made: Output, **changes: Any) -> OutputLine:
    line = OutputLine(
        made.path, made.slug, made.fingerprint, made.encoding, made.fields, "aa", 9, None, "1", 0.5, "2026-01-01T00:00:00Z"
    )  # fmt: skip
    return replace(line, **changes)


LINE = line_of(output())


def verdict(
    of: Output, line: OutputLine | None, found: FileOnDisk, digest: str | None = None, *, forced: bool = False
) -> Verdict:
    return compare(of, line, found, digest, forced)


def test_what_its_request_asks_for_is_fresh() -> None:
    assert verdict(output(), LINE, OURS) == Verdict("fresh", line=LINE)


def test_what_is_not_there_is_stale() -> None:
    assert str(verdict(output(), LINE, FileOnDisk(None)).reasons[0]) == "missing"
    assert str(verdict(output(), None, FileOnDisk(None)).reasons[0]) == "new"


def test_a_file_in_a_merge_conflict_is_never_replaced() -> None:
    for forced in (False, True):
        found = verdict(output(overwrite="always"), LINE, FileOnDisk("ff", in_conflict=True), forced=forced)
        assert found.state == "blocked"
        assert "git checkout --ours -- assets/j/a.png" in found.hint


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (output(prompt="other"), ["prompt changed"]),
        (output(steps=30, seed=2), ["steps 20 → 30", "seed 1 → 2"]),
        (output(backend="ollama"), ["backend comfyui → ollama"]),
        (replace(output(), encoding=Encoding("png", 100, "none")), ["metadata full → none"]),
        (output(extra={"set": {"3.cfg": 1}}), ["set.3.cfg none → 1"]),
    ],
)
def test_reasons_name_the_fields_with_old_and_new(changed: Output, message: list[str]) -> None:
    found = verdict(changed, LINE, OURS)
    assert found.state == "stale"
    assert list(map(str, found.reasons)) == message


def test_a_field_that_only_one_of_two_backends_uses_is_no_change() -> None:
    request = {"backend": "placeholder", "model": "", "prompt": "a figure", "seed": 1, "negative": "", "cfg": 7.0}
    found = verdict(output(seed=2), line_of(output(), request=request, fingerprint="other"), OURS)
    assert list(map(str, found.reasons)) == ["backend placeholder → comfyui", "seed 1 → 2"]


def test_what_shaped_the_picture_and_is_gone_with_the_backend_is_said() -> None:
    options = {"loras": {"tint": 0.8}, "strength": 0.5, "images": {"init": "ab" * 32}, "set": {"3.cfg": 1}}
    line = line_of(output(), request={"backend": "a1111", "seed": 1, **options}, fingerprint="other")
    said = list(map(str, verdict(output(), line, OURS).reasons))
    assert said[0] == "backend a1111 → comfyui"
    assert sorted(said[1:]) == [
        f"images.init {('ab' * 32)[:21]}… → none",
        "loras.tint 0.8 → none",
        "strength 0.5 → none",
    ]


@pytest.mark.parametrize(("negative", "reasons"), [("", []), ("fog", ["negative prompt changed"])])
def test_an_empty_field_that_another_model_does_not_take_is_no_change(negative: str, reasons: list[str]) -> None:
    fields = output().fields
    line = line_of(output(), request={**fields, "model": "sdxl", "negative": negative}, fingerprint="other")
    found = verdict(output(model="turbo"), line, OURS)
    assert [str(reason) for reason in found.reasons if reason.field != "model"] == reasons


@pytest.mark.parametrize("old", [[1], "x", 5, None])
def test_a_field_that_was_no_mapping_is_compared_whole(old: Any) -> None:
    line = line_of(output(), request={"backend": "comfyui", "set": old}, fingerprint="other")
    assert verdict(output(extra={"set": {"3.cfg": 1}}), line, OURS).state == "stale"


def test_a_change_of_encoding_alone_is_told_apart() -> None:
    assert verdict(replace(output(), encoding=Encoding("webp", 90)), LINE, OURS).only_encoding
    assert not verdict(replace(output(steps=3), encoding=Encoding("webp", 90)), LINE, OURS).only_encoding


@pytest.mark.parametrize(
    ("recorded", "now", "state"), [("x", "x", "fresh"), ("x", "y", "stale"), (None, "y", "fresh"), ("x", None, "fresh")]
)
def test_only_a_known_different_model_makes_stale(recorded: str | None, now: str | None, state: str) -> None:
    assert verdict(output(), replace(LINE, model_digest=recorded), OURS, now).state == state


def test_a_file_touched_up_is_kept_while_its_request_stands() -> None:
    assert verdict(output(), LINE, EDITED).state == "kept"


@pytest.mark.parametrize(("overwrite", "state"), [("own", "blocked"), ("never", "kept"), ("always", "stale")])
def test_a_file_touched_up_whose_request_changed(overwrite: Overwrite, state: str) -> None:
    assert verdict(output(steps=30, overwrite=overwrite), LINE, EDITED).state == state


@pytest.mark.parametrize(("overwrite", "state"), [("own", "blocked"), ("never", "kept"), ("always", "stale")])
def test_a_file_that_was_there_before(overwrite: Overwrite, state: str) -> None:
    assert verdict(output(overwrite=overwrite), None, EDITED).state == state


@pytest.mark.parametrize("overwrite", ["own", "never", "always"])
def test_a_folder_in_its_place_is_never_replaced(overwrite: Overwrite) -> None:
    for line in (LINE, None):
        assert verdict(output(overwrite=overwrite), line, FileOnDisk("")).state == "blocked"


def test_never_keeps_even_what_is_ours_and_stale() -> None:
    assert verdict(output(steps=30, overwrite="never"), LINE, OURS).state == "kept"
    assert verdict(output(overwrite="never"), LINE, FileOnDisk(None)).state == "stale"


def test_a_file_of_ours_without_a_line_may_be_replaced() -> None:
    assert verdict(output(), None, FileOnDisk("bb", ours=True)).state == "stale"
    assert verdict(output(steps=30), LINE, FileOnDisk("bb", ours=True)).state == "stale"


def test_an_earlier_image_that_was_put_back_by_hand_stays() -> None:
    assert verdict(output(), LINE, FileOnDisk("bb", ours=True)).state == "kept"


def test_placeholder_replaces_nothing_whose_maker_is_not_recorded() -> None:
    assert verdict(output(backend="placeholder"), None, FileOnDisk("bb", ours=True)).state == "blocked"


def test_forcing_makes_a_fresh_one_stale_and_replaces_nobodys_work() -> None:
    assert verdict(output(), LINE, OURS, forced=True).state == "stale"
    assert verdict(output(), LINE, EDITED, forced=True).state == "blocked"


@pytest.mark.parametrize("found", [OURS, EDITED])
@pytest.mark.parametrize("overwrite", ["own", "never", "always"])
def test_placeholder_never_replaces_an_image_of_a_real_backend(found: FileOnDisk, overwrite: Overwrite) -> None:
    stand_in = output(backend="placeholder", overwrite=overwrite)
    for forced in (False, True):
        kept = verdict(stand_in, LINE, found, forced=forced)
        assert kept.state == "kept"
        assert kept.note == "made by comfyui, and placeholder does not replace it: doit backend=comfyui updates it"
    assert verdict(stand_in, LINE, FileOnDisk(None)).state == "stale"


def test_of_a_mapping_only_the_keys_that_differ_are_reasons() -> None:
    made = output(extra={"set": {"3.cfg": 1, "3.denoise": 0.5, "7.text": "a"}})
    asked = output(extra={"set": {"3.cfg": 1, "3.denoise": 0.6}})
    found = verdict(asked, line_of(made), OURS)
    assert [str(reason) for reason in found.reasons] == ["set.3.denoise 0.5 → 0.6", "set.7.text a → none"]


@pytest.mark.parametrize(
    ("made", "asked", "reasons"),
    [
        (["mask:circle"], ["mask:rounded"], ["steps.mask (1).shape circle → rounded"]),
        (["resize:", "mask:circle"], ["resize:", "mask:"], ["steps.mask (2).shape circle → none"]),
        (["resize:", "shadow:", "trim:"], ["resize:", "trim:"], ["steps (2) shadow → none"]),
        (["resize:"], ["resize:", "mask:circle"], ["steps (2) none → mask"]),
        (["trim:", "mask:", "flip:"], ["trim:", "flip:", "mask:"], ["steps (2) mask, flip → flip, mask"]),
        (["trim:", "trim:"], ["trim:"], ["steps (2) trim → none"]),
        ([], ["trim:"], ["steps (1) none → trim"]),
    ],
)
def test_of_steps_it_says_which_one_changed(made: list[str], asked: list[str], reasons: list[str]) -> None:
    def derived(steps: list[str]) -> dict[str, Any]:
        split = [step.split(":") for step in steps]
        recipe = [[name, {"shape": shape} if shape else {}] for name, shape in split]
        return {"backend": "derive", **({"derive_steps": recipe} if recipe else {})}

    assert [str(reason) for reason in compare_requests(derived(made), derived(asked))] == reasons

"""What the quick check accepts, Cerberus accepts too; and it accepts what people write."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from cerberus import Validator
from hypothesis import given

from imagegen.backends.registry import registry
from imagegen.config import grammar
from imagegen.config.acceptance import accept_keys
from imagegen.config.checking import check_item, check_job
from imagegen.config.document import Document
from imagegen.config.schema import job_schema
from imagegen.errors import ImagegenError
from tests.config.job_documents import edges, job_documents, places, spoilt
from tests.config.test_json_schema import EVERYTHING

SECTIONS: dict[str, Any] = {name: make().options for name, make in registry().items()}
ACCEPTS = accept_keys(job_schema(SECTIONS))
VALIDATOR = grammar._JobValidator(job_schema(SECTIONS), allow_unknown=False)


def cerberus_accepts(values: Any) -> bool:
    return isinstance(values, dict) and VALIDATOR.validate(values, normalize=False)


def test_it_accepts_a_job_with_every_key() -> None:
    assert ACCEPTS({key: value for key, value in EVERYTHING.items() if key in job_schema(SECTIONS)})


@pytest.mark.parametrize("each", [7, pytest.param(1, marks=pytest.mark.long)])
def test_whatever_is_wrong_in_one_place_it_leaves_to_cerberus(each: int) -> None:
    good = {key: value for key, value in EVERYTHING.items() if key in job_schema(SECTIONS)}
    wrongs = (*edges(job_schema(SECTIONS)), True, None)
    for path, wrong in list(itertools.product(places(good), wrongs))[::each]:
        values = spoilt(good, path, "replace", wrong, "")
        assert not ACCEPTS(values) or cerberus_accepts(values), path


@given(job_documents(SECTIONS))
def test_what_it_accepts_cerberus_accepts(values: Any) -> None:
    assert not ACCEPTS(values) or cerberus_accepts(values)


@pytest.mark.parametrize(
    ("rules", "value"),
    [
        ({"type": "whole"}, True),
        ({"type": "number"}, True),
        ({"type": "text", "nullable": True}, None),
        ({"minlength": 1}, None),
        ({"type": "text", "allowed": ["a"], "check_with": lambda *_: None}, "a"),
        ({"type": "mapping", "schema": {"a": {"type": "text"}}}, {"b": "x"}),
        ({"type": ["text", "list"], "schema": {"type": "text"}}, ["x"]),
        ({"type": "text", "anyof": [{"minlength": 1}]}, "x"),
    ],
)  # fmt: skip
def test_what_it_does_not_know_it_does_not_accept(rules: dict[str, Any], value: Any) -> None:
    assert not accept_keys({"key": rules})({"key": value})


def test_sound_items_of_a_source_and_sound_jobs_never_meet_cerberus(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(Validator, "validate", lambda *_, **__: calls.append("validate"))
    check_job("j", Document("jobs/j.yaml", {"items": [{"name": "A", "prompt": "a"}]}, {}), SECTIONS)
    item, problems = check_item("A", "a", {"steps": 4}, {"name": "a.md:1:1"}, SECTIONS)
    assert (item is not None, problems, calls) == (True, [], [])


def test_cerberus_reads_a_schema_once_for_all_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    own = grammar._JobValidator.__init__
    sections = dict(SECTIONS)

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        made.append(self)
        own(self, *args, **kwargs)

    monkeypatch.setattr(grammar._JobValidator, "__init__", init)
    for name in ("one", "other", "third"):
        with pytest.raises(ImagegenError, match="unknown key"):
            check_job(
                name, Document(f"jobs/{name}.yaml", {"items": [{"name": "A", "prompt": "a"}], "x": 1}, {}), sections
            )
    assert len([one for one in made if not one.is_child]) == 1

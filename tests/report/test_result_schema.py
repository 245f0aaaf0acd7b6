"""The schema of what `--json` prints, from the dataclasses of the results."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin, get_type_hints

import imagegen.commands  # noqa: F401 - declares them
from imagegen.commands.command import COMMANDS
from imagegen.commands.schema import results_text
from imagegen.report.doit_results import DOIT_RESULTS
from imagegen.report.event_types import EVENTS
from imagegen.report.run_summary import RunSummary


def dataclasses_in(kind: Any) -> Iterator[type]:
    """Yield the dataclasses of a result, however deep."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        yield kind
        for one in get_type_hints(kind).values():
            yield from dataclasses_in(one)
    elif get_origin(kind):
        for one in get_args(kind):
            yield from dataclasses_in(one)


def test_each_result_and_each_of_its_fields_is_described_and_no_two_have_one_name() -> None:
    results = [RunSummary, *DOIT_RESULTS.values(), *(one.result for one in COMMANDS.values())]
    kinds = {kind for result in results for kind in dataclasses_in(result)}
    names = [kind.__name__ for kind in kinds]
    assert sorted(names) == sorted(set(names))
    definitions = json.loads(results_text())["$defs"]
    assert {*names, "Problem"} == set(definitions)
    assert [name for name, one in definitions.items() if not one["description"].endswith(".")] == []
    fields = {(name, field): said for name, one in definitions.items() for field, said in one["properties"].items()}
    assert [at for at, said in fields.items() if at[0] != "Problem" and not stands_alone(said)] == []


def test_each_event_and_each_of_its_fields_is_described() -> None:
    lines = json.loads(results_text())["oneOf"]
    events = {one["properties"]["event"]["const"]: one for one in lines}
    del events["result"]
    assert {*events} == {*EVENTS}
    assert [name for name, one in events.items() if not one["description"].endswith(".")] == []
    fields = [(name, field, said) for name, one in events.items() for field, said in one["properties"].items()]
    assert [at for *at, said in fields if at[1] != "event" and not stands_alone(said)] == []


def stands_alone(said: Mapping[str, Any]) -> bool:
    """Whether a field is described, in a phrase that can be read without its name."""
    text = said.get("description", "")
    return bool(text) and not text.endswith(".") and not re.match(r"(it|its|that|of|with|as|the same)\b", text)


def test_only_the_values_of_a_request_are_of_any_type() -> None:
    types = {"type", "enum", "anyOf", "$ref"}
    untyped = {
        f"{name}.{field}"
        for name, one in json.loads(results_text())["$defs"].items()
        for field, said in one["properties"].items()
        if not types & said.keys()
    }
    assert untyped == {"StaleReason.old", "StaleReason.new"}

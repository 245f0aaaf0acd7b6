"""Any document is refused in its place, or expands to portable outputs, the same each time and in whatever order."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagegen.backends.registry import registry
from imagegen.config.settings import Settings
from imagegen.project import JobPlan, Project
from tests.config.job_documents import job_documents
from tests.faults.names import HOSTILE
from tests.faults.test_hostile_names import check
from tests.marks import long

SECTIONS = Project(Path(), Settings(), registry()).backends.sections()
NAMES = st.sampled_from([name for name in HOSTILE if len(name) < 130]) | st.text(
    "aA-. ~1é雪\u0301", min_size=1, max_size=6
)
TEXTS = st.text("a ,.{}|_ä\n", max_size=12).map(lambda text: f"words {text}")
PATTERNS = st.lists(
    st.sampled_from(["{slug}", "{item}", "{variant}", "{mood}", "/", ".", "-", "é", "x", "~1", "con"]),
    min_size=1,
    max_size=4,
)
WHOLE = st.integers(1, 5)


def _jobs() -> st.SearchStrategy[dict[str, Any]]:
    """Likely ones, of which many are right."""
    item = st.fixed_dictionaries(
        {"name": NAMES, "prompt": TEXTS.map(lambda text: f"{{mood}} {text}") | TEXTS},
        optional={"steps": WHOLE, "seed": WHOLE, "negative": TEXTS, "cfg": st.floats(0, 30)},
    )
    matrix = st.fixed_dictionaries(
        {
            "mood": st.lists(NAMES, min_size=1, max_size=3, unique=True)
            | st.dictionaries(NAMES, TEXTS, min_size=1, max_size=3)
        },
        optional={"steps": st.lists(WHOLE, min_size=1, max_size=2, unique=True)},
    )
    output = st.fixed_dictionaries(
        {}, optional={"dir": NAMES.map("a/{}".format), "name": PATTERNS.map("".join), "format": st.sampled_from(["png", "webp", "jpeg", "avif"])}
    )  # fmt: skip
    seed = WHOLE | st.fixed_dictionaries({"mode": st.sampled_from(["by-name", "sequence", "fixed", "random"])})
    generate = st.fixed_dictionaries({}, optional={"steps": WHOLE, "seed": seed, "sampler": st.just("euler")})
    derive = st.dictionaries(
        st.sampled_from(["thumb", "x", "index"]),
        st.fixed_dictionaries({"width": WHOLE}, optional={"dir": NAMES.map("t/{}".format), "format": st.just("webp")}),
        min_size=1,
        max_size=2,
    )
    sheet = st.fixed_dictionaries({}, optional={"name": st.sampled_from(["sheet", "x", "a"]), "dir": NAMES})
    optional = {
        "matrix": matrix,
        "output": output,
        "generate": generate,
        "variants": WHOLE,
        "derive": derive,
        "sheet": sheet,
    }
    return st.fixed_dictionaries({"items": st.lists(item, min_size=1, max_size=3)}, optional=optional)


def _shuffled(values: Any, draw: st.DataObject, path: tuple[str, ...] = ()) -> Any:
    """The same document with its keys in another order, but for the matrix, whose order makes names."""
    if isinstance(values, list):
        return [_shuffled(value, draw, (*path, "")) for value in values]
    if not isinstance(values, dict) or path == ("matrix",):
        return values
    return {key: _shuffled(values[key], draw, (*path, key)) for key in draw.draw(st.permutations(list(values)))}


def _plan(root: Path, document: Any) -> JobPlan:
    (root / "jobs").mkdir(exist_ok=True)
    (root / "jobs/j.json").write_text(json.dumps(document), "utf-8")
    (plan,) = Project(root, Settings(), registry()).plans()
    return plan


def _holds(document: Any, draw: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        plan = _plan(root, document)
        check(root, [plan])
        assert _plan(root, document) == plan
        if plan.outputs:
            again = _plan(root, _shuffled(document, draw))
            assert {one.path: (one.task, one.fingerprint, one.encoding) for one in plan.outputs} == {
                one.path: (one.task, one.fingerprint, one.encoding) for one in again.outputs
            }


@pytest.mark.parametrize("times", [40, long(1500)])
def test_a_likely_job_is_refused_in_its_place_or_makes_portable_outputs_whatever_the_order(times: int) -> None:
    @settings(max_examples=times)
    @given(_jobs(), st.data())
    def holds(document: Any, draw: st.DataObject) -> None:
        _holds(document, draw)

    holds()


@pytest.mark.parametrize("times", [30, long(1500)])
def test_any_document_of_the_grammar_is_refused_in_its_place_or_makes_portable_outputs(times: int) -> None:
    @settings(max_examples=times)
    @given(job_documents({name: options or {} for name, options in SECTIONS.items()}), st.data())
    def holds(document: Any, draw: st.DataObject) -> None:
        _holds(document, draw)

    holds()

"""A workflow as data: what is an input's place, a link, an output; and its digest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.backends.comfyui.graph import (
    NodeInput,
    find_output_nodes,
    hash_graph,
    is_link,
    list_literals,
    parse_input,
    replace_inputs,
)
from tests.backends.comfyui.workflows import Nodes, changed, control_net, flux, node, primitives, sd15

WORKFLOWS = st.sampled_from([sd15(), flux(), primitives(), control_net()])


def shuffled(data: st.DataObject, value: Any) -> Any:
    """The same mappings with their keys in another order."""
    if not isinstance(value, dict):
        return value
    return {key: shuffled(data, value[key]) for key in data.draw(st.permutations(list(value)))}


@pytest.mark.parametrize(
    ("text", "place"), [("6.text", ("6", "text")), ("57:8.seed", ("57:8", "seed")), ("4.images.image0", ("4", "images.image0"))]
)  # fmt: skip
def test_a_place_is_written_as_node_dot_input(text: str, place: tuple[str, str]) -> None:
    assert parse_input(text) == place
    assert str(parse_input(text)) == text


@pytest.mark.parametrize(
    ("value", "expected"),
    [(["4", 0], True), (["57:8", 1], True), ([4, 0], False), (["4"], False), (["a", "b"], False), ("4", False)],
)
def test_a_link_is_a_node_and_the_number_of_its_output(value: object, expected: bool) -> None:
    assert is_link(value) is expected


def test_literals_are_the_inputs_that_are_no_links() -> None:
    assert dict(list_literals({"8": node("VAEDecode", samples=["3", 0], tiles=2)})) == {("8", "tiles"): 2}


def test_what_saves_is_the_output_and_what_only_shows_is_one_where_nothing_saves() -> None:
    preview = node("PreviewImage", images=["8", 0])
    assert find_output_nodes(sd15(n10=preview)) == ["9"]
    assert find_output_nodes(sd15(n9=preview)) == ["9"]
    assert find_output_nodes(sd15(n9=node("SaveImageWebsocket", images=["8", 0]))) == []
    assert find_output_nodes(sd15(n10=sd15()["9"])) == ["9", "10"]


def test_replacing_inputs_leaves_the_graph_as_it_was() -> None:
    graph = sd15()
    assert replace_inputs(graph, {NodeInput("3", "seed"): 1})["3"]["inputs"]["seed"] == 1
    assert graph == sd15()


@given(st.data(), WORKFLOWS)
def test_the_digest_does_not_depend_on_the_order_of_keys_or_on_titles(data: st.DataObject, graph: Nodes) -> None:
    other = {key: {**body, "_meta": {"title": data.draw(st.text())}} for key, body in graph.items()}
    assert hash_graph(shuffled(data, other), "9", {}) == hash_graph(graph, "9", {})


@given(st.data(), WORKFLOWS, st.one_of(st.text(), st.integers(0, 2**64), st.floats(allow_nan=False)))
def test_the_digest_changes_with_each_input_but_for_those_that_are_replaced(
    data: st.DataObject, graph: Nodes, value: object
) -> None:
    places = [place for place, held in list_literals(graph) if held != value]
    place = data.draw(st.sampled_from(places))
    other = replace_inputs(graph, {place: value})
    assert hash_graph(other, "9", {}) != hash_graph(graph, "9", {})
    assert hash_graph(other, "9", {place: ""}) == hash_graph(graph, "9", {place: ""})


@given(st.data(), WORKFLOWS)
def test_the_digest_changes_with_a_class_a_link_a_node_and_the_output(data: st.DataObject, graph: Nodes) -> None:
    key = data.draw(st.sampled_from(list(graph)))
    others: list[Nodes] = [
        {**graph, key: {**graph[key], "class_type": "Another"}},
        {**graph, "99": node("LoadImage", image="a.png")},
        changed(graph, **{f"n{key}": {"more": ["8", 0]}}),
    ]
    digests = {hash_graph(other, "9", {}) for other in (graph, *others)} | {hash_graph(graph, "8", {})}
    assert len(digests) == 5


def test_the_digest_tells_which_input_takes_what() -> None:
    one = {NodeInput("6", "text"): "%prompt%", NodeInput("7", "text"): "%negative%"}
    other = {NodeInput("6", "text"): "%negative%", NodeInput("7", "text"): "%prompt%"}
    assert hash_graph(sd15(), "9", one) != hash_graph(sd15(), "9", other)


def test_the_digest_of_a_workflow_stays_from_release_to_release() -> None:
    taken = {
        NodeInput("6", "text"): "%prompt%",
        NodeInput("3", "seed"): "%seed%",
        NodeInput("9", "filename_prefix"): "",
    }
    assert hash_graph(sd15(), "9", taken) == "c7158b7ad8ea0b6bb93272f7810dc7edf12b0b13e3b600db1c97587d5e8bc9f3"

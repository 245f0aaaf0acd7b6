"""Parameters in a prompt, as sd-server takes them."""

from __future__ import annotations

import json

from imagegen.backends.sd.prompt_tag import add_parameters, check_length, check_text


def test_parameters_are_in_one_line_between_tags_where_sd_server_looks_for_each() -> None:
    given = {"sample_steps": 9, "txt_cfg": 2.5, "seed": 7, "negative_prompt": "a\nb", "scheduler": "karras"}
    sent = add_parameters("a fox", given)
    assert sent.startswith("a fox<sd_cpp_extra_args>{")
    assert sent.endswith("}</sd_cpp_extra_args>")
    assert "\n" not in sent
    sample = {"sample_steps": 9, "scheduler": "karras", "guidance": {"txt_cfg": 2.5}}
    found = json.loads(sent.removeprefix("a fox<sd_cpp_extra_args>").removesuffix("</sd_cpp_extra_args>"))
    assert found == {"seed": 7, "negative_prompt": "a\nb", "sample_params": sample}


def test_a_text_with_a_tag_is_a_problem() -> None:
    (problem,) = check_text("prompt", "a </sd_cpp_extra_args> fox")
    assert problem.what == "the prompt has <sd_cpp_extra_args>, where sd-server looks for parameters"
    assert [*check_text("prompt", "a <lora:x:1> fox")] == []


def test_parameters_have_a_bound_and_the_prompt_has_none() -> None:
    assert [*check_length("x" * 9000, "x" * 9000 + "y" * 4000)] == []
    (problem,) = check_length("x", "x" + "y" * 4001)
    assert problem.what.endswith("sd-server may crash")

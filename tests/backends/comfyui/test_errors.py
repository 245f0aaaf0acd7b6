"""What is made of ComfyUI's words; whatever shape they have, there is an error with a stage, and no other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.backends.base import GenerationError
from imagegen.backends.comfyui.errors import explain_refusal, get_image, is_out_of_memory, stage
from imagegen.backends.json_api import Refused

JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def around(*keys: str) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with these keys and anything in them."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(keys, JSON))


ERROR = around("type", "message", "details", "extra_info")
ANSWER = st.fixed_dictionaries(
    {"error": ERROR | JSON, "node_errors": st.dictionaries(st.text(max_size=3), around("errors", "class_type")) | JSON}
)
ENTRY = st.fixed_dictionaries(
    {
        "status": around("status_str", "messages") | JSON,
        "outputs": st.dictionaries(st.just("9"), around("images")) | JSON,
    }
)


@given(ANSWER)
def test_any_refusal_is_one_line(answer: dict[str, Any]) -> None:
    problem = explain_refusal(Refused("", status=400, answer=answer), {}).problem
    assert problem.what
    assert "\n" not in problem.what


@given(ENTRY)
def test_any_entry_of_history_is_an_image_or_an_error(entry: dict[str, Any]) -> None:
    is_out_of_memory(entry)
    try:
        assert isinstance(get_image(entry, "9")["filename"], str)
    except GenerationError as error:
        assert "\n" not in error.problem.what


@pytest.mark.parametrize(
    "message",
    [
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 17179869184 bytes. Error code 12",
        "[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes",
        "HIP out of memory. Tried to allocate 2.00 GiB",
        "MPS backend out of memory (MPS allocated: 9.05 GB, max allowed: 9.07 GB)",
        "XPU out of memory. Tried to allocate 16.00 GiB",
        "Native API failed. Native API returns: -5 (PI_ERROR_OUT_OF_RESOURCES)",
        "level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)",
        "Could not allocate tensor with 268435456 bytes. There is not enough GPU video memory available!",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)  # fmt: skip
def test_every_devices_words_for_out_of_memory_are_known(message: str) -> None:
    facts = {"exception_type": "RuntimeError", "exception_message": message}
    assert is_out_of_memory({"status": {"status_str": "error", "messages": [["execution_error", facts]]}})


def test_the_stage_is_named() -> None:
    with pytest.raises(GenerationError, match=r"^wait: slow$"), stage("wait"):
        raise GenerationError("slow")

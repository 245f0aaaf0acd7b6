"""What the engine wrote before it failed, in a line and a hint."""

from __future__ import annotations

import pytest

from imagegen.backends.sd.errors import describe_end, explain_image, explain_start, is_beyond_use

OUT_OF_MEMORY = [
    "ggml_aligned_malloc: insufficient memory (attempted to allocate 8360.93 MB)",
    "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 8767072864",
    "ggml_gallocr_reserve_n_impl: failed to allocate CPU buffer of size 8767072864",
    "unet: failed to allocate the compute buffer",
    "unet alloc compute buffer failed",
    "unet alloc params backend buffer failed, num_tensors = 686",
    "ggml_vulkan: Device memory allocation of size 8767072864 failed.",
    "ggml_vulkan: vk::Device::allocateMemory: ErrorOutOfDeviceMemory",
    "ggml_vulkan: vk::Device::allocateMemory: ErrorOutOfHostMemory",
    "what(): Requested buffer size exceeds device buffer size limit",
    "ggml-vulkan.cpp:7506: Requested preallocation size is too large",
    "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 8360.93 MiB on device 0: cudaMalloc failed: out of memory",
    "CUDA error: out of memory",
    "ROCm error: out of memory",
    "ggml_metal_buffer_init: error: failed to allocate buffer, size =  8360.93 MiB",
    "error: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)",
    "what(): std::bad_alloc",
    "graph allocation: failed to reserve memory",
]
GPU_LOST = [
    "what(): vk::Queue::submit: ErrorDeviceLost",
    "CUDA error: an illegal memory access was encountered",
    "ROCm error: unspecified launch failure",
    "ggml_metal_synchronize: error: command buffer 0 failed with status 5",
    "ggml_metal_graph_compute: backend is in error state from a previous command buffer failure",
]


@pytest.mark.parametrize("line", OUT_OF_MEMORY)
def test_memory_that_is_short_is_said_so_with_what_helps(line: str) -> None:
    problem = explain_image([line, "sampling for image 1/1 failed after 0.01s"])
    assert problem
    assert problem.what == f"out of memory: {line}"
    assert "make the image smaller" in problem.hint


@pytest.mark.parametrize("line", GPU_LOST)
def test_a_gpu_that_failed_needs_another_server(line: str) -> None:
    problem = explain_image([line], "sd-server ended by signal 6 while it generated")
    assert problem
    assert problem.what == f"the GPU failed: {line}"
    assert is_beyond_use([line])
    assert not is_beyond_use(OUT_OF_MEMORY[:3])


def test_memory_that_is_short_on_the_gpu_is_no_fault_of_its_driver() -> None:
    errors = [
        "ggml_metal_synchronize: error: command buffer 0 failed with status 5",
        "error: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)",
    ]
    problem = explain_image(errors)
    assert problem
    assert problem.what == f"out of memory: {errors[1]}"


def test_the_first_error_is_the_cause() -> None:
    problem = explain_image(["failed to encode init image", "sampling for image 1/1 failed after 0.01s"])
    assert problem
    assert problem.what == "sd-server says: failed to encode init image"
    terminated = ["terminate called after throwing an instance of 'std::out_of_range'", "what(): map::at"]
    problem = explain_image(terminated, describe_end(-6))
    assert problem
    assert problem.what == "sd-server ended by signal 6 while it generated: what(): map::at"


def test_an_engine_that_said_nothing() -> None:
    assert explain_image([]) is None
    assert explain_start([], 1) is None
    assert describe_end(3) == "sd-server ended with exit code 3 while it generated"
    assert describe_end(None) == "sd-server ended while it generated"
    problem = explain_image([], describe_end(-9))
    assert problem
    assert problem.what == "sd-server was killed, probably because memory ran out"
    assert "smaller" in problem.hint


@pytest.mark.parametrize(
    ("errors", "code", "what", "hint"),
    [
        (
            [
                "init model loader from file failed: '/m/x'",
                "get sd version from file failed: '/m/x'",
                "new_sd_ctx_t failed",
            ],
            1,
            "sd-server cannot load the model: init model loader from file failed: '/m/x'",
            "belong together",
        ),
        (
            ["tensor 'a' not in model file", "tensor 'b' not in model file", "load tensors from model loader failed"],
            1,
            "sd-server cannot load the model: tensor 'a' not in model file (and 2 lines like it in its log)",
            "belong together",
        ),
        (OUT_OF_MEMORY[:1], 1, f"out of memory: {OUT_OF_MEMORY[0]}", "smaller model"),
        ([], -9, "sd-server was killed while it loaded the model, probably because memory ran out", "smaller model"),
    ],
)
def test_why_it_did_not_start(errors: list[str], code: int, what: str, hint: str) -> None:
    problem = explain_start(errors, code)
    assert problem
    assert problem.what == what
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("line", "arguments", "hint"),
    [
        ("error: unknown argument: --foo", ["--verbose", "--foo"], "fix arguments in [tool.imagegen.sd]"),
        ("error: invalid parameter for argument: --foo", ["--foo=x"], "fix arguments in [tool.imagegen.sd]"),
        ("error: unknown argument: --listen-ip", ["--foo"], "take another build of sd-server: doit sd:setup"),
        ("what(): stoi", ["--foo", "x"], "fix arguments in [tool.imagegen.sd]: one is not a number"),
    ],
)
def test_an_argument_that_it_does_not_take(line: str, arguments: list[str], hint: str) -> None:
    problem = explain_start(["terminate called after throwing an instance of 'x'", line], 1, arguments)
    assert problem
    assert problem.what == f"sd-server does not start: {line}"
    assert problem.hint.startswith(hint)


def test_a_number_that_it_cannot_read_is_not_the_settings_fault_without_arguments() -> None:
    problem = explain_start(["what(): stoi"], -6)
    assert problem
    assert "arguments" not in problem.hint

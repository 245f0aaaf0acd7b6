"""What `sd-server` writes, in the form in which the real one does."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.backends.sd.server_log import LOG, ServerLog, Stage

LOADING = (
    "[INFO ] stable-diffusion.cpp:212  - loading model from '/models/sd15.safetensors'\n\n"
    "\r  |=====>                                            | 121/1130 - 3.68GB/s\x1b[K"
    "\r  |===============>                                  | 673/1130 - 970.27MB/s\x1b[K"
)
LOADED = "\r  |====| 1130/1130 - 1.95GB/s\x1b[K\n[INFO ] main.cpp:148  - listening on: 127.0.0.1:20101\n"
BEGUN = (
    "[INFO ] stable-diffusion.cpp:3367 - generate_image 64x64\n"
    "\r  |====| 96/96 - 228.55MB/s\x1b[K\n"
    "[INFO ] lora.hpp:830  - (96 / 96) LoRA tensors have been applied, lora_file_path = /loras/tint.safetensors\n"
    "[INFO ] stable-diffusion.cpp:3401 - generating image: 1/1 - seed 42\n\n"
)
STEPS = "\r  |====>     | 1/20 - 1.23s/it\x1b[K\r  |========>     | 2/20 - 3.36it/s\x1b[K"
SAMPLED = "\n[INFO ] stable-diffusion.cpp:3432 - sampling completed, taking 0.59s\n"
TILES = "[INFO ] stable-diffusion.cpp:3192 - decoding 1 latents\n\r  |=====>  | 1/9 - 2.04it/s\x1b[K"
MEMORY = (
    "[ERROR] ggml_extend.hpp:69   - ggml_aligned_malloc: insufficient memory (attempted to allocate 135.08 MB)\n"
    "/build/ggml/src/ggml.c:1581: GGML_ASSERT(ctx->mem_buffer != NULL) failed\n"
    "[New LWP 23012]\n"
    "Using host libthread_db library '/lib/x86_64-linux-gnu/libthread_db.so.1'.\n"
    "31\t../sysdeps/unix/sysv/linux/accept4.c: No such file or directory.\n"
    "#1  0x000055661b2cbc2a in httplib::Server::listen_internal() ()\n"
)
PLACE = "[DEBUG] ggml_extend.hpp:60   - "
INFO = "[INFO ] ggml_extend.hpp:63   - "


def log_with(root: Path, text: str | bytes) -> ServerLog:
    path = root / LOG
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(text if isinstance(text, bytes) else text.encode())
    return ServerLog(root)


def test_how_much_of_the_model_is_loaded(tmp_path: Path) -> None:
    assert log_with(tmp_path, "").read_loading() is None
    assert log_with(tmp_path, LOADING).read_loading() == 59
    assert log_with(tmp_path, LOADED).read_loading() == 100


def test_the_steps_of_an_image_and_then_its_decoding(tmp_path: Path) -> None:
    log = log_with(tmp_path, LOADING + LOADED + STEPS + SAMPLED)
    log.mark()
    assert log.read_stage() is None
    log_with(tmp_path, BEGUN)
    assert log.read_stage() is None
    log_with(tmp_path, STEPS)
    assert log.read_stage() == Stage(2, 20)
    log_with(tmp_path, SAMPLED)
    assert log.read_stage() == Stage(2, 20, is_decoding=True)
    log_with(tmp_path, TILES)
    assert log.read_stage() == Stage(2, 20, is_decoding=True)


def test_the_next_image_has_steps_of_its_own(tmp_path: Path) -> None:
    log = log_with(tmp_path, BEGUN + STEPS + SAMPLED)
    log.mark()
    log_with(tmp_path, BEGUN + STEPS.replace("2/20", "7/20"))
    assert log.read_stage() == Stage(7, 20)


def test_an_image_that_an_earlier_run_began_is_followed_from_its_beginning(tmp_path: Path) -> None:
    log = log_with(tmp_path, LOADING + LOADED + BEGUN + MEMORY + BEGUN + STEPS)
    log.mark_last_image()
    assert (log.read_stage(), log.read_errors()) == (Stage(2, 20), [])
    log_with(tmp_path, "[ERROR] x.cpp:1    - at last\n")
    assert log.read_errors() == ["at last"]


def test_its_errors_without_the_noise_around_them(tmp_path: Path) -> None:
    log = log_with(tmp_path, "[ERROR] model.cpp:1 - of another image\n")
    log.mark()
    log_with(tmp_path, BEGUN + STEPS + "\n" + MEMORY)
    assert log.read_errors() == [
        "ggml_aligned_malloc: insufficient memory (attempted to allocate 135.08 MB)",
        "ggml.c:1581: GGML_ASSERT(ctx->mem_buffer != NULL) failed",
    ]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("\x1b[31;1m[ERROR]\x1b[0m common.cpp:1703 - invalid lora", "invalid lora"),
        ("[ERROR] common.cpp:290  - error: unknown argument: --foo", "error: unknown argument: --foo"),
        (
            "\r  |==>   | 5/11 - 1.95GB/s\x1b[K[ERROR] model.cpp:876  - read tensor data failed",
            "read tensor data failed",
        ),
        ("\r  |==>   | 1/2 - 3.29it/s\x1b[Kggml.c:1581: GGML_ASSERT(ok) failed", "ggml.c:1581: GGML_ASSERT(ok) failed"),
        ("terminate called after throwing an instance of 'std::bad_alloc'", None),
        ("  what():  vk::Queue::submit: ErrorDeviceLost", "what(): vk::Queue::submit: ErrorDeviceLost"),
        ("ggml_vulkan: Device memory allocation of size 123 failed.", None),
        ("libc++abi: terminating due to uncaught exception of type std::bad_alloc: std::bad_alloc", None),
        ("D:\\a\\ggml-cuda\\ggml-cuda.cu:98: CUDA error", "ggml-cuda.cu:98: CUDA error"),
        ("[WARN ] model.cpp:231  - file /m/vae.safetensors not found", ""),
        ("[INFO ] main.cpp:148  - listening on: 127.0.0.1:20101", ""),
        ("ggml_vulkan: 0 = NVIDIA GeForce RTX 4070 (NVIDIA) | uma: 0", ""),
    ],
)
def test_which_lines_are_errors(tmp_path: Path, line: str, error: str | None) -> None:
    expected = [line if error is None else error] if error != "" else []
    assert log_with(tmp_path, f"{line}\n").read_errors() == expected


VULKAN = f"{PLACE}ggml_vulkan: %d = %s (%s) | uma: 0 | fp16: 1 | bf16: 0 | warp size: 32\n"


@pytest.mark.parametrize(
    ("header", "device"),
    [
        ("", ""),
        ("[DEBUG] util.cpp:757  - Using CPU backend\n", "cpu"),
        (VULKAN % (0, "NVIDIA GeForce RTX 4070", "NVIDIA"), "vulkan: NVIDIA GeForce RTX 4070"),
        (VULKAN % (0, "AMD Radeon RX 7900 XT (RADV NAVI31)", "radv"), "vulkan: AMD Radeon RX 7900 XT (RADV NAVI31)"),
        (
            VULKAN % (0, "Intel UHD", "Mesa")
            + VULKAN % (1, "NVIDIA RTX A2000", "NVIDIA")
            + "[INFO ] util.cpp:728  - Selecting Vulkan1 as main device by env var SD_VK_DEVICE\n",
            "vulkan: NVIDIA RTX A2000",
        ),
        (f"{PLACE}ggml_vulkan: No devices found.\n[DEBUG] util.cpp:757  - Using CPU backend\n", "cpu"),
        (f"{INFO}  Device 0: NVIDIA L4, compute capability 8.9, VMM: yes, VRAM: 23034 MiB\n", "cuda: NVIDIA L4"),
        (f"{INFO}  Device 0: AMD Radeon PRO W7900, gfx1100 (0x1100), VMM: no\n", "rocm: AMD Radeon PRO W7900"),
        (f"{INFO}ggml_metal_device_init: GPU name:   Apple M2 Pro\n", "metal: Apple M2 Pro"),
    ],
)
def test_the_device_that_the_model_is_on(tmp_path: Path, header: str, device: str) -> None:
    log = log_with(tmp_path, f"{header}[INFO ] main.cpp:148  - listening\n" + BEGUN)
    log.mark()
    assert log.read_device() == device


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", False),
        ("[DEBUG] util.cpp:757  - Using CPU backend\n", False),
        (f"{PLACE}ggml_vulkan: Found 1 Vulkan devices:\n" + VULKAN % (0, "NVIDIA RTX A2000", "NVIDIA"), False),
        (f"{INFO}ggml_vulkan: No devices found.\n[DEBUG] util.cpp:757  - Using CPU backend\n", True),
        (f"{PLACE}ggml_cuda_init: failed to initialize CUDA: no CUDA-capable device is detected\n", True),
        (f"{PLACE}ggml_cuda_init: failed to initialize ROCm: no ROCm-capable device is detected\n", True),
        (f"{PLACE}ggml_cuda_init: found 1 CUDA devices (Total VRAM: 11909 MiB):\n", False),
        ("[WARN ] util.cpp:752  - loading CPU backend\n", True),
    ],
)
def test_a_program_for_a_gpu_that_finds_none(tmp_path: Path, header: str, expected: bool) -> None:
    log = log_with(tmp_path, header + BEGUN)
    log.mark()
    assert log.has_no_gpu() is expected


def test_a_log_that_is_missing_says_nothing(tmp_path: Path) -> None:
    log = ServerLog(tmp_path)
    log.mark()
    assert (log.read_loading(), log.read_stage(), log.read_errors(), log.read_device()) == (None, None, [], "")


def test_a_log_that_was_begun_again_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = log_with(tmp_path, LOADING * 20)
    log.mark()
    (tmp_path / LOG).write_text(BEGUN + STEPS)
    assert log.read_stage() == Stage(2, 20)


def test_of_a_huge_log_only_the_end_is_read(tmp_path: Path) -> None:
    with (log_with(tmp_path, "")._path).open("wb") as file:
        file.truncate(8 * 1024**3)  # a hole, which takes no room
    log = log_with(tmp_path, BEGUN + STEPS + "\n" + MEMORY)
    assert log.read_stage() == Stage(2, 20)
    assert len(log.read_errors()) == 2


@given(st.binary(max_size=2000))
def test_whatever_is_in_it_does_no_harm(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    log = log_with(tmp_path_factory.mktemp("log"), data)
    log.read_loading(), log.read_stage(), log.read_errors(), log.read_device()

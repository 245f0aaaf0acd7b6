"""What went wrong with an image, from what Ollama said: each text as the real one is known to write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.backends.ollama import failures
from imagegen.backends.ollama.command import Said
from imagegen.backends.ollama.failures import FailedError, of_call, of_files
from imagegen.backends.ollama.verdict import Machine
from tests.backends.ollama.parts import request

MAC, LINUX = Machine("Darwin", "arm64"), Machine("Linux", "x86_64")
E500 = "Error: 500 Internal Server Error: "
SIGNS = [sign.pattern for sign in failures._SIGNS]
FRAGMENTS = st.sampled_from(
    ["Error: ", "failed to save image: ", "failed to initialize MLX: ", "model requires 1 GiB but only ", "token too long", "server busy",
     'Post "http://h/api/generate": EOF', "model 'x' not found", "width and height must be <= ", "{0}", "{", "\n", "\x1b[K", "\u202e", "unknown flag: --x"]
)  # fmt: skip


def failed(text: str, code: int = 1, machine: Machine | None = MAC) -> FailedError:
    failure = of_call(Said(code, text, text), request(width=2048, height=1024), machine)
    assert failure is not None
    return failure


@pytest.mark.parametrize(
    ("text", "what", "lasts"),
    [
        (
            f"{E500}model requires 12.0 GiB but only 8.0 GiB are available (after 1.0 GiB overhead)",
            "out of memory: the model needs 12.0 GiB, and 8.0 GiB are free",
            False,
        ),
        (
            f"{E500}mlx runner failed: Error: failed to create server: failed to load image model: insufficient memory for image generation: need 11 GB, have 8 GB (exit: exit status 1)",
            "out of memory: the image needs 11 GB, and 8 GB are free",
            False,
        ),
        ("Error: bufio.Scanner: token too long", "the image, 2048×1024, is larger than Ollama can hand over (about 6 MB)", False),
        ("Error: 400 Bad Request: image generation models are not currently supported", "this version of Ollama makes no images", True),
        ("Error: unknown flag: --width", "this version of Ollama makes no images", True),
        (
            f"{E500}image generation on macOS requires Apple Silicon (arm64), got amd64",
            "the machine on which Ollama serves makes no images: on a Mac it takes Apple silicon",
            True,
        ),
        (f"{E500}mlx runner failed: Error: failed to initialize MLX: libmlxc.so not found (exit: exit status 1)", "Ollama cannot load its MLX libraries, which it draws with", True),
        (f"{E500}mlx runner failed: Error: failed to initialize MLX: failed to load MLX dynamic library (searched: [/a/lib/ollama])", "Ollama cannot load its MLX libraries, which it draws with", True),
        (f"{E500}MLX runner not available: build with mlx tag", "Ollama cannot load its MLX libraries, which it draws with", True),
        ("Error: could not connect to ollama server, run 'ollama serve' to start it", "Ollama does not answer any more", True),
        ('Error: Post "http://127.0.0.1:11434/api/generate": dial tcp 127.0.0.1:11434: connect: connection refused', "Ollama does not answer any more", True),
        ('Error: Post "http://127.0.0.1:11434/api/generate": EOF', "Ollama does not answer any more", True),
        ('Error: Post "http://h:1/api/show": read tcp 1:2->3:4: read: connection reset by peer', "Ollama does not answer any more", True),
        ("⠋ Generating 25% ▕█   ▏ 1/4Error: unexpected EOF\n", "Ollama does not answer any more", True),
        (f'{E500}Post "http://127.0.0.1:40927/completion": EOF', "the process that draws for Ollama broke off", False),
        (f'{E500}Post "http://127.0.0.1:40927/completion": dial tcp 127.0.0.1:40927: connect: connection refused', "the process that draws for Ollama broke off", False),
        (f'{E500}Post "http://127.0.0.1:4/completion": context deadline exceeded (Client.Timeout or context cancellation while reading body)', "Ollama gives one image 10 minutes, and this one takes longer", False),
        ("Error: failed to save image: open a.png: no such file or directory", "Ollama could not write the image: open a.png: no such file or directory", False),
        ("Error: failed to save image: ", "Ollama could not write the image: ?", False),
        ("Error: 400 Bad Request: width and height must be <= 4096", "Ollama takes at most 4096 pixels a side", False),
        ("Error: 503 Service Unavailable: server busy, please try again.  maximum pending requests exceeded", "Ollama is busy with what others ask of it", False),
        ("Error: model 'x/y:latest' not found", "Ollama knows no such model", False),
        (f"{E500}mlx runner failed:   model.norm.weight (exit: exit status 1)", "Ollama says: 500 Internal Server Error: mlx runner failed: model.norm.weight (exit: exit status 1)", False),
        (f"{E500}mlx runner failed: failed to load image model: unexpected EOF (exit: exit status 1)", "Ollama says: 500 Internal Server Error: mlx runner failed: failed to load image model: unexpected EOF (exit: exit status 1)", False),
        ("Error: mlx runner closed response before completion: killed", "Ollama says: mlx runner closed response before completion: killed", False),
        ("panic: oh no\n\ngoroutine 1", "'ollama run' ended with exit code 1: panic: oh no goroutine 1", False),
        ("", "'ollama run' ended with exit code 1", False),
    ],
)  # fmt: skip
def test_what_is_known_is_told_in_our_words(text: str, what: str, lasts: bool) -> None:
    failure = failed(text)
    assert (failure.problem.what, failure.lasts) == (what, lasts)
    assert failure.problem.hint


def test_a_signal_is_told_by_its_number() -> None:
    assert failed("", -9).problem.what == "'ollama run' was ended by signal 9"


def test_an_end_without_an_error_is_no_failure() -> None:
    for code in (0, None):  # None: nobody knows the code of a call that another run started
        assert of_call(Said(code, "", "Generating 100% ▕█▏ 4/4"), request(), MAC) is None


def test_an_error_counts_also_where_the_code_is_zero_or_unknown() -> None:
    for code in (0, None):
        failure = of_call(Said(code, "", "Error: oh no"), request(), MAC)
        assert failure
        assert failure.problem.what == "Ollama says: oh no"


def test_the_way_to_another_version_is_the_machines_own() -> None:
    said = "Error: unknown flag: --width"
    assert "doit ollama:setup" in failed(said, machine=MAC).problem.hint
    assert "OLLAMA_VERSION=0.32.5" in failed(said, machine=LINUX).problem.hint
    assert failed(said, machine=None).problem.hint.startswith("have the server run")


@pytest.mark.parametrize(("width", "height"), [(2048, 2048), (4096, 4096), (4096, 1024), (1440, 1424)])
def test_of_an_image_that_is_too_large_one_is_named_that_fits(width: int, height: int) -> None:
    failure = of_call(Said(1, "", "Error: bufio.Scanner: token too long"), request(width=width, height=height), MAC)
    assert failure
    across, down = map(int, failure.problem.hint.removeprefix("make it smaller: ").removesuffix(" fits").split("×"))
    assert (across % 16, down % 16) == (0, 0)
    assert across * down * 3 <= 6_000_000
    assert across * down < width * height
    assert abs(across / down - width / height) < 0.05 * width / height


@given(
    st.none() | st.integers(-64, 255),
    st.lists(
        FRAGMENTS | st.text(max_size=8) | st.sampled_from(SIGNS).flatmap(lambda pattern: st.from_regex(pattern))
    ).map("".join),
    st.sampled_from([MAC, LINUX, None]),
)
def test_whatever_is_said_comes_to_one_plain_line(code: int | None, text: str, machine: Machine | None) -> None:
    failure = of_call(Said(code, text, text), request(), machine)
    assert failure is not None or code in (0, None)
    if failure:
        assert failure.problem.what
        assert failure.problem.what.isprintable()
        assert len(failure.problem.what) < 700
        assert failure.problem.hint.isprintable()


def test_one_file_is_what_there_should_be() -> None:
    assert of_files(1, Said(0, "Image saved to: a.png", "")) is None


@pytest.mark.parametrize("said", ["", "\n", "⠋ ⠙ ⠹ \n", "⠋ Generating 100% ▕████▏ 4/4", "Generating   0% ▕    ▏ 0/4\n"])
def test_no_image_and_no_reason(said: str) -> None:
    failure = of_files(0, Said(0, said, said))
    assert failure
    assert failure.problem.what == "Ollama finished without an image and without a reason"


def test_an_answer_in_words_tells_of_the_wrong_model() -> None:
    failure = of_files(
        0, Said(0, "I am a language model.\nGenerating images is not for me, sadly, for I only write.", "")
    )
    assert failure
    assert failure.problem.what == (
        "Ollama wrote no image but an answer, 'I am a language model. Generating images is not for me, sad…': "
        "is the model one that makes images?"
    )


def test_more_files_than_one_are_told() -> None:
    failure = of_files(3, Said(0, "", ""))
    assert failure
    assert failure.problem.what == "Ollama wrote 3 files in place of one"

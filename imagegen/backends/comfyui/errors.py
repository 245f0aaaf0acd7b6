"""Turn what ComfyUI says about a failure into one line and a hint. The stages are queue, wait and download."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from imagegen.backends.base import GenerationError, MayBeRunningError, OverdueError
from imagegen.backends.comfyui.checks import describe_choices
from imagegen.backends.comfyui.client import Refused, Unreachable
from imagegen.backends.text import one_line

__all__ = [
    "RetryElsewhereError",
    "UnfitServerError",
    "explain_absence",
    "explain_download",
    "explain_refusal",
    "get_image",
    "is_out_of_memory",
    "stage",
]


_OUT_OF_MEMORY = (
    "outofmemory",  # OutOfMemoryError of PyTorch, also as torch.cuda's and DirectML's
    "out of memory",  # CUDA, HIP, MPS, Intel's XPU
    "out_of_memory",
    "out_of_device_memory",
    "out_of_host_memory",
    "out_of_resources",
    "not enough memory",  # the CPU's allocator on Windows
    "not enough gpu video memory",  # DirectML
    "insufficient memory",
    "can't allocate memory",  # the CPU's allocator on Linux
    "cannot allocate memory",
    "failed to allocate",
    "unable to allocate",
    "alloc_failed",  # cuBLAS, cuDNN, hipBLAS
    "memoryerror",
)
"""How it is said that memory ran out, by the devices and their libraries, in small letters."""


class RetryElsewhereError(GenerationError):
    """The server did not take the prompt, failed in it or was too slow: another server may well draw it."""

    is_told = False
    """Whether its words are whole, with the stage."""


class UnfitServerError(RetryElsewhereError):
    """It is the server that fails: it loses prompts as one does that keeps restarting, or answers with nothing else."""


class _ToldError(GenerationError):
    """Its words are whole: no stage is put before them any more."""


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """Put the stage's name before what went wrong in it, once."""
    try:
        yield
    except Refused as refused:
        what = f"{name}: {refused.what}"
        # what was asked for again and again, and stayed wrong
        raise (
            _told(UnfitServerError(what, refused.hint)) if refused.may_pass else _ToldError(what, refused.hint)
        ) from None
    except Unreachable as error:
        raise MayBeRunningError(f"{name}: the server does not answer: {error}", "run doit again") from None
    except (_ToldError, MayBeRunningError):
        raise
    except OverdueError as error:  # another server may not hang, or be faster
        raise _told(RetryElsewhereError(f"{name}: {error.problem.what}", error.problem.hint)) from None
    except RetryElsewhereError as error:
        if not error.is_told:
            error.problem = replace(error.problem, what=f"{name}: {error.problem.what}")
            error.is_told = True
        raise
    except GenerationError as error:
        raise _ToldError(f"{name}: {error.problem.what}", error.problem.hint) from None


def _told(error: RetryElsewhereError) -> RetryElsewhereError:
    """Its words are whole."""
    error.is_told = True
    return error


def explain_absence(url: str, why: str) -> MayBeRunningError:
    """The server is away for longer than one waits: whichever stage finds out, it is one cause for all images.

    It may be drawing all the while, so what it was given is asked for again in the next run.
    """
    return MayBeRunningError(
        f"the server at {url} does not answer any more: {why}",
        "see why (doit server:status, its log), start it again, then run doit: what was made is kept",
    )


def explain_refusal(refused: Refused, graph: Mapping[str, Any]) -> GenerationError:
    """Why POST /prompt did not take the graph: node by node, where the answer says so."""
    said = [*_node_errors(_mapping(refused.answer.get("node_errors")), graph)]
    error = _mapping(refused.answer.get("error"))
    if not said and error:
        extra = _mapping(error.get("extra_info"))
        at = f"node {extra['node_id']}: " if extra.get("node_id") else ""
        text = ", ".join(filter(None, (str(error.get("message", "")), str(error.get("details", "")))))
        said = [one_line(at + (text or str(error.get("type", ""))))]
    if not said:
        return RetryElsewhereError(
            refused.what or "ComfyUI refused the prompt", refused.hint or "see the server's own log"
        )
    return RetryElsewhereError(f"ComfyUI refused the prompt: {'; '.join(said)}", "correct the job or its workflow")


def _node_errors(errors: Mapping[str, Any], graph: Mapping[str, Any]) -> Iterator[str]:
    for node, of_node in errors.items():
        of_node = _mapping(of_node)
        class_type = of_node.get("class_type") or _mapping(graph.get(node)).get("class_type", "?")
        for error in map(_mapping, _list(of_node.get("errors"))):
            extra = _mapping(error.get("extra_info"))
            config = _list(extra.get("input_config"))
            options = config[0] if config and isinstance(config[0], list) else None
            if error.get("type") == "value_not_in_list" and options is not None:
                said = f"{extra.get('input_name')}: '{extra.get('received_value')}' is not there, "
                said += describe_choices(str(extra.get("received_value")), options)
            else:
                said = ": ".join(filter(None, (str(error.get("message", "")), str(error.get("details", "")))))
            yield one_line(f"node {node} ({class_type}): {said}")


def get_image(entry: Mapping[str, Any], output: str) -> Mapping[str, Any]:
    """The one image that a finished prompt made in the node `output`. Raises GenerationError where it failed."""
    status = _mapping(entry.get("status"))
    if status.get("status_str") != "success":
        raise _explain_failure(status)
    images = [
        image
        for image in _list(_mapping(_mapping(entry.get("outputs")).get(output)).get("images"))
        if isinstance(image, dict) and isinstance(image.get("filename"), str)
    ]
    if not images:
        raise GenerationError(
            f"ComfyUI says success, and no image came from node {output}",
            "run doit again; where it stays so, look at the workflow in ComfyUI itself",
        )
    if len(images) > 1:
        raise GenerationError(
            f"node {output} made {len(images)} images, and one prompt makes one",
            'set the batch size to 1, for example set: {"5.batch_size": 1}',
        )
    return images[0]


def is_out_of_memory(entry: Mapping[str, Any]) -> bool:
    """Whether the prompt failed for want of memory."""
    _, facts = _last_message(_mapping(entry.get("status")))
    said = f"{facts.get('exception_type', '')} {facts.get('exception_message', '')}".lower()
    return any(words in said for words in _OUT_OF_MEMORY)


def explain_download(refused: Refused, image: Mapping[str, Any]) -> GenerationError:
    """The image of a success could not be had."""
    name = one_line("/".join(filter(None, (str(image.get("subfolder", "")), str(image.get("filename", ""))))))
    if refused.status == 404:
        return GenerationError(
            f"ComfyUI says success, and its file {name} is not there", "somebody deleted it: run doit again"
        )
    kind = UnfitServerError if refused.may_pass else GenerationError
    return kind(f"{name}: {refused.what}", refused.hint)


def _explain_failure(status: Mapping[str, Any]) -> GenerationError:
    kind, facts = _last_message(status)
    at = f"node {facts.get('node_id')} ({facts.get('node_type')})"
    if kind == "execution_interrupted":
        return GenerationError(f"it was interrupted in ComfyUI, in {at}", "run doit again")
    if kind != "execution_error":
        return RetryElsewhereError("ComfyUI says that it failed, and not why", "look at the server's own log")
    message = one_line(str(facts.get("exception_message", "")).strip().split("\n")[0])
    name = str(facts.get("exception_type", "")).rpartition(".")[2]
    if is_out_of_memory({"status": status}):
        return RetryElsewhereError(
            f"ComfyUI ran out of memory in {at}: {message}",
            "make width and height smaller, close what else uses the GPU, "
            'or start the server with comfyui.server.arguments = ["--lowvram"]',
        )
    hint = "the server's own log has the whole story"
    if str(facts.get("node_type", "")).startswith(("CheckpointLoader", "UNETLoader", "VAELoader", "LoraLoader")):
        hint = "the model's file may be damaged or of a kind that this node does not load: download it again"
    return RetryElsewhereError(f"ComfyUI failed in {at}: {name}: {message}", hint)


def _last_message(status: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    for message in reversed(_list(status.get("messages"))):
        kind, facts = message if isinstance(message, list) and len(message) == 2 else ("", {})
        if kind in ("execution_error", "execution_interrupted"):
            return kind, facts if isinstance(facts, dict) else {}
    return "", {}


def _mapping(value: object) -> Mapping[str, Any]:
    """The value where it is a mapping, as ComfyUI's is, else an empty one: it is no reason to fail in another way."""
    return value if isinstance(value, dict) else {}


def _list(value: object) -> Sequence[Any]:
    """The value where it is a list, else an empty one."""
    return value if isinstance(value, list) else []

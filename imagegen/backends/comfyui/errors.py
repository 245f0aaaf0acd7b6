"""Turn what ComfyUI says about a failure into one line and a hint. The stages are queue, wait and download."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from imagegen.backends.base import GenerationError, MayBeRunningError, OverdueError
from imagegen.backends.choices import describe_choices
from imagegen.backends.json_api import Refused, Unreachable
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
"""What devices and their libraries say, in lower case, when memory runs out."""
_LOADERS = ("CheckpointLoader", "UNETLoader", "VAELoader", "LoraLoader")


class RetryElsewhereError(GenerationError):
    """The server refused the prompt, failed in it or was too slow: another server may well generate the image."""


class UnfitServerError(RetryElsewhereError):
    """The server itself fails: it keeps losing prompts, or answers with nothing useful."""


@contextlib.contextmanager
def stage(name: Literal["queue", "wait", "download"]) -> Iterator[None]:
    """Turn what goes wrong in this stage into a GenerationError that begins with the stage's name."""
    try:
        yield
    except Refused as refused:
        # one that may pass was asked again and again, and stayed wrong
        kind = UnfitServerError if refused.may_pass else GenerationError
        raise kind(f"{name}: {refused.what}", refused.hint) from None
    except Unreachable as error:
        raise MayBeRunningError(f"{name}: the server does not answer: {error}", "run doit again") from None
    except MayBeRunningError:
        raise  # one cause for all images, whatever stage they are in
    except OverdueError as error:  # another server may not hang, or be faster
        raise RetryElsewhereError(f"{name}: {error.problem.what}", error.problem.hint) from None
    except GenerationError as error:
        raise type(error)(f"{name}: {error.problem.what}", error.problem.hint) from None


def explain_absence(url: str, why: str) -> MayBeRunningError:
    """Return the error for a server that has been away for too long; it is the same for all its images.

    The server may be generating all the while, so the next run asks for what it was given.
    """
    return MayBeRunningError(
        f"the server at {url} does not answer any more: {why}",
        "see why (doit server:status, its log), start it again, then run doit: what was made is kept",
    )


def explain_refusal(refused: Refused, graph: Mapping[str, Any]) -> GenerationError:
    """Return the error for a graph that POST /prompt did not accept: node by node, if the answer says so."""
    found = [*_explain_nodes(_mapping(refused.answer.get("node_errors")), graph)]
    said = refused.answer.get("error")
    error = _mapping(said)
    if not found and error:
        extra = _mapping(error.get("extra_info"))
        where = f"node {extra['node_id']}: " if extra.get("node_id") else ""
        found = [
            one_line(where + (_join(", ", error.get("message"), error.get("details")) or str(error.get("type", ""))))
        ]
    if not found:
        what = f"the prompt was refused: {one_line(said)}" if isinstance(said, str) else refused.what
        return RetryElsewhereError(what or "ComfyUI refused the prompt", refused.hint or "see the server's own log")
    return RetryElsewhereError(f"ComfyUI refused the prompt: {'; '.join(found)}", "correct the job or its workflow")


def _explain_nodes(errors: Mapping[str, Any], graph: Mapping[str, Any]) -> Iterator[str]:
    for node, of_node in errors.items():
        of_node = _mapping(of_node)
        class_type = of_node.get("class_type") or _mapping(graph.get(node)).get("class_type", "?")
        for error in map(_mapping, _list(of_node.get("errors"))):
            extra = _mapping(error.get("extra_info"))
            config = _list(extra.get("input_config"))
            choices = config[0] if config and isinstance(config[0], list) else None
            if error.get("type") == "value_not_in_list" and choices is not None:
                value = str(extra.get("received_value"))
                what = f"{extra.get('input_name')}: '{value}' is not there, {describe_choices(value, choices)}"
            else:
                what = _join(": ", error.get("message"), error.get("details"))
            yield one_line(f"node {node} ({class_type}): {what}")


def get_image(entry: Mapping[str, Any], output: str) -> Mapping[str, Any]:
    """Return the one image that a finished prompt made in the node `output`.

    Args:
        entry: the prompt's entry of ComfyUI's history.

    Raises:
        GenerationError: the prompt failed, or made no image, or more than one.
    """
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
            f"ComfyUI reports success, but no image came from node {output}",
            "run doit again; if that doesn't help, try the workflow in ComfyUI itself",
        )
    if len(images) > 1:
        raise GenerationError(
            f"node {output} made {len(images)} images, but one prompt makes one",
            'set the batch size to 1, for example set: {"5.batch_size": 1}',
        )
    return images[0]


def is_out_of_memory(entry: Mapping[str, Any]) -> bool:
    """Whether the prompt failed because memory ran out."""
    _, facts = _find_last_message(_mapping(entry.get("status")))
    text = f"{facts.get('exception_type', '')} {facts.get('exception_message', '')}".lower()
    return any(words in text for words in _OUT_OF_MEMORY)


def explain_download(refused: Refused, image: Mapping[str, Any]) -> GenerationError:
    """Return the error for an image that could not be downloaded, though its prompt succeeded."""
    name = one_line(_join("/", image.get("subfolder"), image.get("filename")))
    if refused.status == 404:
        what = f"ComfyUI reports success, but its file {name} is not there"
        return GenerationError(what, "somebody deleted it: run doit again")
    kind = UnfitServerError if refused.may_pass else GenerationError
    return kind(f"{name}: {refused.what}", refused.hint)


def _explain_failure(status: Mapping[str, Any]) -> GenerationError:
    event, facts = _find_last_message(status)
    node = f"node {facts.get('node_id')} ({facts.get('node_type')})"
    if event == "execution_interrupted":
        return GenerationError(f"it was interrupted in ComfyUI, in {node}", "run doit again")
    if event != "execution_error":
        return RetryElsewhereError("ComfyUI reports a failure, but no reason", "look at the server's own log")
    message = one_line(str(facts.get("exception_message", "")).strip().split("\n")[0])
    if is_out_of_memory({"status": status}):
        return RetryElsewhereError(
            f"ComfyUI ran out of memory in {node}: {message}",
            "make width and height smaller, close what else uses the GPU, "
            'or start the server with comfyui.server.arguments = ["--lowvram"]',
        )
    name = str(facts.get("exception_type", "")).rpartition(".")[2]
    hint = "the server's own log has the whole story"
    if str(facts.get("node_type", "")).startswith(_LOADERS):
        hint = "the model's file may be damaged, or of a kind that this node does not load: download it again"
    return RetryElsewhereError(f"ComfyUI failed in {node}: {name}: {message}", hint)


def _find_last_message(status: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the last event that says how the prompt failed, with its facts."""
    for message in reversed(_list(status.get("messages"))):
        event, facts = message if isinstance(message, list) and len(message) == 2 else ("", {})
        if event in ("execution_error", "execution_interrupted"):
            return event, _mapping(facts)
    return "", {}


def _join(separator: str, *texts: object) -> str:
    return separator.join(str(text) for text in texts if text)


def _mapping(value: object) -> Mapping[str, Any]:
    """Return the value if it is a mapping, as ComfyUI's is; else an empty one, so that reading it does not fail."""
    return value if isinstance(value, dict) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else []

"""The rules of `backends.base` that can be checked: what a member, or the answer of a method, must be.

A rule that is broken is a sentence whose subject is a backend. Nothing here calls a backend's methods.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import json
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from imagegen.backends.base import Backend, Diagnosis, GeneratedImage, ModelIdentity, Resolved
from imagegen.errors import Problem
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = [
    "BrokenRuleError",
    "check",
    "check_count",
    "check_identity",
    "check_key",
    "check_mapping",
    "check_price",
    "check_problems",
    "check_resolved",
    "check_rows",
    "check_texts",
    "event_fault",
    "find_data",
    "image_faults",
    "is_text",
    "member_faults",
    "plain",
    "problem_fault",
    "shown",
]


class BrokenRuleError(Exception):
    """What a method returned is not what it must return; says it from the word `returned` on, or in `rules`."""

    def __init__(self, said: str = "", *rules: str) -> None:
        super().__init__(said)
        self.rules = rules


def check(found: Any, kind: Any, must: str, holds: object = True) -> Any:
    """Return an answer of this kind, if it also holds what it must. Raises BrokenRuleError."""
    if not isinstance(found, kind) or not holds:
        raise BrokenRuleError(f"{shown(found)}, and must return {must}")
    return found


def check_mapping(found: Any) -> Mapping[str, Any]:
    """Return a mapping of plain data."""
    section: Mapping[str, Any] = plain(check(found, Mapping, "a mapping"))
    return section


def check_count(found: object) -> int:
    """Return a whole number, at least 1."""
    return int(check(found, int, "a whole number, at least 1", is_whole(found) and found > 0))


def check_price(found: Any) -> Decimal | None:
    """Return a price in dollars; None if it is not known."""
    from decimal import Decimal

    if found is None:
        return None
    is_price = isinstance(found, Decimal) and found.is_finite() and found >= 0
    price: Decimal = check(found, Decimal, "a Decimal that is not negative, or None", is_price)
    return price


def check_texts(found: Any) -> Sequence[str]:
    """Return a list of texts."""
    texts: Sequence[str] = check(found, (list, tuple), "a list of texts")
    check(found, (list, tuple), "a list of texts", all(map(is_text, texts)))
    return texts


def check_rows(found: Any) -> Sequence[Diagnosis]:
    """Return rows for `doit doctor`."""
    rows: Sequence[Diagnosis] = check(found, (list, tuple), "a list of Diagnosis")
    for row in rows:
        check(row, Diagnosis, "a list of Diagnosis")
        check(row, Diagnosis, "rows of texts", all(map(is_text, (row.what, row.found, row.hint))))
    return rows


def check_key(found: Any) -> Hashable:
    """Return what can be a key."""
    hash(check(found, Hashable, "what can be a key"))
    key: Hashable = found
    return key


def check_identity(found: Any) -> ModelIdentity:
    """Return a model's identity, its texts plain."""
    check(found, ModelIdentity, "a ModelIdentity")
    digest = found.digest
    is_hex = digest is None or (is_text(digest) and digest and set(digest.lower()) <= set("0123456789abcdef"))
    are_paths = isinstance(found.files, tuple) and all(
        is_text(path) and Path(path).is_absolute() for path in found.files
    )
    for member, value, holds, must in (
        ("id", found.id, is_text(found.id), "a text"),
        ("digest", digest, is_hex, "hexadecimal digits, or None"),
        ("files", found.files, are_paths, "a tuple of absolute paths"),
    ):
        if not holds:
            raise BrokenRuleError("", f"ModelIdentity.{member} returned {shown(value)}, and must return {must}")
    return ModelIdentity(plain(found.id), plain(digest), tuple(map(str, found.files)))


def check_problems(doing: str, found: Any, requests: Sequence[Request]) -> list[Problem]:
    """Return the problems, each of one of these requests or of all of them."""
    check(found, (list, tuple), "a list of Problem")
    if fault := problem_fault(doing, found):
        raise BrokenRuleError("", fault)
    names = {"", *(request.name for request in requests)}
    return [one if one.where in names else Problem("", f"{one.where}: {one.what}", one.hint) for one in found]


def problem_fault(doing: str, problems: Sequence[object]) -> str:
    """Return what is wrong with problems that a call returned or raised; empty if nothing is."""
    for one in problems:
        if not isinstance(one, Problem):
            return f"{doing} gave {shown(one)} among its problems, and each must be a Problem"
        for part in ("where", "what", "hint"):
            if not is_text(getattr(one, part)):
                return f"{doing} gave a Problem whose {part} is {shown(getattr(one, part))}, and must be a text"
        if one.what == "":
            return f"{doing} gave a Problem that says nothing: its 'what' is empty"
    return ""


def check_resolved(found: Any, parameters: AbstractSet[str]) -> Resolved:
    """Return a copy of what a section was resolved to."""
    check(found, Resolved, "a Resolved")
    extra, texts = found.extra, "a mapping of texts to texts"
    if not isinstance(extra, Mapping) or not all(map(is_text, extra)):
        what = f"resolve returned an extra that is {shown(extra)}, and must be a mapping with texts as keys"
        raise BrokenRuleError("", what)
    faults = [
        f"resolve returned {member} {shown(value)}, and must return {must}"
        for member, value, holds, must in (
            ("the model", found.model, found.model is None or is_text(found.model), "a text or None"),
            ("only_if_given as", found.only_if_given, _are_texts(found.only_if_given), "a frozenset of texts"),
            ("unused as", found.unused, _are_texts(found.unused), "a frozenset of texts"),
            ("origins as", found.origins, _maps_texts(found.origins), texts),
            ("files as", found.files, _maps_texts(found.files), texts),
        )
        if not holds
    ]
    try:
        plain({key: value for key, value in extra.items() if key in parameters}, "extra")
    except NotPlainError as error:
        faults.append(f"resolve returned a parameter that is not plain data: {error}")
    if faults:
        raise BrokenRuleError("", *faults)
    sets = {"only_if_given": frozenset(found.only_if_given), "unused": frozenset(found.unused)}
    copied: Resolved = replace(found, extra=copy.deepcopy(dict(extra)), **sets)
    return copied


def _are_texts(found: object) -> bool:
    return isinstance(found, AbstractSet) and all(map(is_text, found))


def _maps_texts(found: object) -> bool:
    return isinstance(found, Mapping) and all(map(is_text, [*found, *found.values()]))


def find_data(found: Any) -> bytes | None:
    """Return the image in what a call returned, in whatever way it is in there; None if there is none."""
    for one in found if isinstance(found, (list, tuple)) else [found]:
        data = getattr(one, "data", one)
        if isinstance(data, io.BytesIO):
            data = data.getvalue()
        if isinstance(data, _BYTES):
            return bytes(data)
    return None


def image_faults(doing: str, found: Any) -> tuple[list[str], dict[str, Any]]:
    """Return what is wrong with an image, and its facts as plain data."""
    if not isinstance(found, GeneratedImage):
        return [f"{doing} returned {shown(found)}, and must return a GeneratedImage"], {}
    try:
        faults = [
            f"{doing} returned an image whose {member} is {shown(getattr(found, member))}, and must be {must}"
            for member, kind, must in _IMAGE_MEMBERS
            if not isinstance(getattr(found, member), kind)
        ]
        if not is_text(found.server):
            faults.append(f"{doing} returned an image whose server is {shown(found.server)}, and must be a text")
        if not is_text(found.engine, _MAX_ENGINE) or not found.engine.isprintable():
            must = f"one line of at most {_MAX_ENGINE} characters"
            faults.append(f"{doing} returned an image whose engine is {shown(found.engine)}, and must be {must}")
        facts: dict[str, Any] = {} if faults else plain(found.facts, "facts")
    except Exception as error:  # a mapping of its own, or a property, can raise anything
        return [f"{doing} returned an image whose facts cannot be kept as JSON: {error}"], {}
    if len(json.dumps(facts)) > _MAX_FACTS:
        faults.append(f"{doing} returned facts of more than {_MAX_FACTS // 1024} KiB")
    return faults, facts


_BYTES = (bytes, bytearray, memoryview)
_IMAGE_MEMBERS: tuple[tuple[str, Any, str], ...] = (
    ("data", _BYTES, "bytes"),
    ("may_be_flat", bool, "True or False"),
    ("any_size", bool, "True or False"),
    ("facts", Mapping, "a mapping"),
    ("on_stored", Callable, "a function"),
)


def event_fault(name: object, facts: Mapping[str, Any]) -> str:
    """Return what is wrong with an event; empty if nothing is."""
    if not isinstance(name, str):
        return f"it reported an event called {shown(name)}, and the name must be a text"
    if name == "steps":
        done, total = facts.get("done"), facts.get("total")
        if not (is_whole(done) and is_whole(total) and 0 <= done <= total):
            return f"it reported step {shown(done)} of {shown(total)}, and must report whole numbers in that order"
    if name in ("waiting", "note") and not isinstance(facts.get("text"), str):
        return f"it reported the event '{name}' with the text {shown(facts.get('text'))}, which is not a text"
    return ""


_MAX_FACTS = 64 * 1024
"""Characters of an image's facts as JSON: each is read whenever the image is looked for."""
_MAX_TEXT = 1000
"""Characters of a version and of a model's name, which are in the record of each image."""
_MAX_ENGINE = 160
"""Characters of what generated an image: with a version that is not long, a shared store takes it."""
_DEEPEST = 50
_WHOLE_BITS = 64
_REQUEST_FIELDS = frozenset(Request.__dataclass_fields__) - {"extra", "given"}


def is_text(value: object, longest: float = math.inf) -> bool:
    """Return whether this is a text that can be written to a file: without half of a surrogate pair."""
    if not isinstance(value, str) or len(value) > longest:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_whole(value: object) -> TypeGuard[int]:
    """Return whether this is a whole number, and not True or False."""
    return isinstance(value, int) and not isinstance(value, bool)


def shown(value: object) -> str:
    """Return a value as a message has it: `2`, `'2'`, `None`, else its type."""
    if isinstance(value, int) and value.bit_length() > _WHOLE_BITS:
        return f"a number of {value.bit_length()} bits"
    if value is None or isinstance(value, (bool, int, float)):
        return str(value)
    if isinstance(value, str):
        return ascii(value[:40])
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


class NotPlainError(ValueError):
    """It cannot be kept as JSON."""


def plain(value: object, at: str = "", depth: int = 0) -> Any:
    """Return a copy as lists, mappings, texts and numbers. Raises NotPlainError, which says where (`at`)."""
    if depth > _DEEPEST:
        raise NotPlainError(f"{at} is nested too deeply")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and is_text(value):
        return str.__str__(value)  # of an enumeration's member, and of any other kind of text, the text itself
    if isinstance(value, int) and value.bit_length() <= _WHOLE_BITS:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, (list, tuple)):
        return [plain(one, f"{at}[{number}]", depth + 1) for number, one in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not is_text(key):
                raise NotPlainError(f"{at or 'it'} has the key {shown(key)}, which is not a text")
        return {str.__str__(key): plain(one, f"{at}.{key}".lstrip("."), depth + 1) for key, one in value.items()}
    raise NotPlainError(f"{at or 'it'} is {shown(value)}, which is not a JSON value")


def member_faults(name: str, backend: Any) -> list[str]:
    """Return what is wrong with the members of a backend that its entry point calls by this name."""
    if missing := [f"'{one}'" for one in _MEMBERS if not hasattr(backend, one)]:
        return [f"it has no member {', '.join(missing)}"]
    in_flight = backend.in_flight
    checks = [
        ("name", is_text(backend.name) and backend.name == name, f"'{name}', as its entry point calls it"),
        ("version", is_text(backend.version, _MAX_TEXT), f"a text of at most {_MAX_TEXT} characters"),
        ("model_option", is_text(backend.model_option), "a text"),
        ("default_model", is_text(backend.default_model, _MAX_TEXT), f"a text of at most {_MAX_TEXT} characters"),
        ("in_flight", is_whole(in_flight) and in_flight > 0, "a whole number, at least 1"),
        ("is_generator", isinstance(backend.is_generator, bool), "True or False"),
        ("options", isinstance(backend.options, Mapping), "a mapping"),
        ("parameters", isinstance(backend.parameters, AbstractSet), "a frozenset of texts"),
        *((method, callable(getattr(backend, method)), f"a method that takes ({takes})") for method, takes in _TAKES),
    ]
    faults = [
        f"its {member} is {shown(getattr(backend, member))}, and must be {must}"
        for member, ok, must in checks
        if not ok
    ]
    return faults or _call_faults(backend) or _option_faults(name, backend) or _name_faults(backend)


_TAKES = (("preflight", "requests"), ("model_identity", "request"), ("generate", "request, progress"))
"""The methods, and what each is called with."""
_MEMBERS = (
    *("name", "version", "parameters", "options", "model_option", "default_model", "in_flight", "is_generator"),
    *(method for method, _ in _TAKES),
)


def _call_faults(backend: Any) -> list[str]:
    """Return the methods that cannot be called as they will be: it is known before anything is queued."""
    faults = []
    for method, takes in _TAKES:
        member = getattr(backend, method)
        if inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(member):
            faults.append(f"its {method} is async, and must be a method that returns its result")
        with contextlib.suppress(ValueError):  # of what is written in C, nothing is known
            try:
                inspect.signature(member).bind(*takes.split(", "))
            except TypeError:
                faults.append(f"its {method} cannot be called with ({takes})")
    return faults


def _option_faults(name: str, backend: Any) -> list[str]:
    from imagegen.config.grammar import check_schema

    try:
        options = plain(backend.options, "options")
    except NotPlainError as error:
        return [f"its options are not plain data: {error}"]
    fault = check_schema(name, options)
    return [f"its options are not a Cerberus schema of ours: {fault}"] if fault else []


def _name_faults(backend: Any) -> list[str]:
    """Return names that name nothing. What `resolve` puts beside the options, only the backend knows."""
    faults = []
    if backend.model_option and backend.model_option not in backend.options:
        faults.append(f"its model_option is {shown(backend.model_option)}, which is not one of its options")
    known = _REQUEST_FIELDS | set(backend.options)
    for one in sorted(backend.parameters, key=str):
        is_of_resolve = type(backend).resolve is not Backend.resolve and one not in Request.__dataclass_fields__
        if not is_text(one) or not (one in known or is_of_resolve):
            faults.append(f"its parameters have {shown(one)}, which is not a field of a request nor one of its options")
    return faults

"""A project's folder with workflow files and images in it, whose sections are resolved by themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from imagegen.backends.base import Context, Resolved
from imagegen.backends.comfyui.section import FIELD_PARAMETERS, SECTION_PARAMETERS, resolve, resolve_machine
from imagegen.config.settings import read_settings
from imagegen.errors import ImagegenError, Problem
from imagegen.plan.request import Request, canonical_fields, fingerprint, select_parameters
from tests.backends.comfyui.workflows import Nodes

FILE = "jobs/workflows/x.json"


class Sections:
    """root: the project's folder. `given` resolves a section there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.command_line: dict[str, str] = {}
        self.environment: dict[str, str] = {}

    def write(self, name: str, data: bytes) -> None:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def workflow(self, nodes: Nodes) -> None:
        self.write(FILE, json.dumps(nodes).encode())

    @property
    def context(self) -> Context:
        return Context(self.root, read_settings(self.root, self.command_line, self.environment), self._read)

    def given(self, **section: Any) -> Resolved:
        return resolve(section, self.context)

    def machine(self, **section: Any) -> dict[str, Any]:
        return resolve_machine(section, self.context)

    def refused(self, **section: Any) -> list[Problem]:
        with pytest.raises(ImagegenError) as caught:
            self.given(**section)
        return list(caught.value.problems)

    def of(self, nodes: Nodes, **section: Any) -> Resolved:
        self.workflow(nodes)
        return self.given(workflow=FILE, **section)

    def request(self, nodes: Nodes | None = None, section: Mapping[str, Any] | None = None, **fields: Any) -> Request:
        """A request as expansion makes it, and as it is on this machine; fields: those that the job gives, besides prompt and seed."""
        found = self.given(**(section or {})) if nodes is None else self.of(nodes, **(section or {}))
        always = {"prompt": fields.pop("prompt", "a tall figure"), "seed": fields.pop("seed", 7)}
        given = tuple(sorted(fields))
        extra = {**found.extra, **self.machine(**found.extra)}
        return Request("comfyui", "Mallsing", model=found.model or "", extra=extra, given=given, **always, **fields)

    def fingerprint(self, nodes: Nodes, section: Mapping[str, Any] | None = None, **fields: Any) -> str:
        request = self.request(nodes, section, **fields)
        optional = self.of(nodes, **(section or {})).only_if_given
        parameters = select_parameters(request, FIELD_PARAMETERS | SECTION_PARAMETERS, optional)
        return fingerprint(canonical_fields(request, parameters))

    def _read(self, name: str) -> bytes:
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            raise ImagegenError(Problem(name, "there is no such file")) from None

"""An output: the image file that a job asks for, and the request that it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from imagegen.config.encoding import Encoding
from imagegen.plan.request import Request, canonical, fingerprint
from imagegen.plan.texts import Wording

__all__ = ["Output"]


@dataclass(frozen=True)
class Output:
    """One image file of a job.

    slug: its name within the job, unique there. path: relative to the project, with forward slashes.
    fields: the canonical form of the request. fingerprint: of it; empty while its seed or model is not decided.
    draws_seed: whether the seed is a decision of a draw. decides_model: whether the model is one, because it is the
    only one there is. timeout_s: seconds. wording: of a prompt that a drawn seed decides; else None.
    """

    job: str
    slug: str
    path: str
    request: Request
    parameters: frozenset[str]
    encoding: Encoding
    overwrite: str
    timeout_s: float
    fields: Mapping[str, Any]
    fingerprint: str
    draws_seed: bool = False
    decides_model: bool = False
    wording: Wording | None = field(default=None, compare=False, repr=False)

    @property
    def task(self) -> str:
        """Its name in doit: `portraits:mallsing`."""
        return f"{self.job}:{self.slug}"

    def decided(self, *, seed: int | None = None, model: str | None = None) -> Output:
        """The same output, its seed or model now decided; what is None stays as it was."""
        request = self.request
        if seed is not None and self.wording is not None:
            prompt, negative = self.wording.of(seed)
            request = replace(request, prompt=prompt, negative=negative)
        request = replace(request, seed=request.seed if seed is None else seed, model=model or request.model)
        fields = canonical(request, self.parameters)
        is_settled = request.seed is not None and (request.model or not self.decides_model)
        return replace(self, request=request, fields=fields, fingerprint=fingerprint(fields) if is_settled else "")

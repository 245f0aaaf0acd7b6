"""An output: the image file that a job asks for, and the request that it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from imagegen.config.encoding import Encoding
from imagegen.plan.request import Request, canonical, fingerprint

__all__ = ["Output"]


@dataclass(frozen=True)
class Output:
    """One image file of a job.

    slug: its name within the job, unique there. path: relative to the project, with forward slashes.
    fields: the canonical form of the request. fingerprint: of it; empty while its seed is not drawn.
    draws_seed: whether the seed is a decision of a draw. timeout_s: seconds.
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

    @property
    def task(self) -> str:
        """Its name in doit: `portraits:mallsing`."""
        return f"{self.job}:{self.slug}"

    def with_seed(self, seed: int) -> Output:
        """The same output, its seed now drawn."""
        request = replace(self.request, seed=seed)
        fields = canonical(request, self.parameters)
        return replace(self, request=request, fields=fields, fingerprint=fingerprint(fields))

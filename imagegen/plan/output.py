"""An output: the image file that a job asks for, and the request that it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from imagegen.config.job import Encoding
from imagegen.plan.prompt_template import PromptTemplate
from imagegen.plan.request import Request, canonical_fields, fingerprint

__all__ = ["DERIVE", "ONE_OFF", "Origin", "Output"]

DERIVE = "derive"
"""In place of a backend's name: the output is derived from others, with none."""

ONE_OFF = "image"
"""In place of a job's name: one-off images. No job can have it, since the task that makes them has it."""


@dataclass(frozen=True)
class Origin:
    """An output that another one is made from: the image of its thumbnail, or its reference image.

    key: what it is there, in the request's `images`. task: its name in doit. path: of its file, relative to the
    project; empty while it has not been looked up. sha256: of its file; empty while that is not settled.
    where: `file:line:column` of who names it; empty where the job's own structure does.
    """

    key: str
    task: str
    path: str = ""
    sha256: str = ""
    where: str = ""


@dataclass(frozen=True)
class Output:
    """One image file of a job.

    slug: its name within the job, unique there. path: relative to the project, with forward slashes.
    base: the slug without the variant. variant: 1 …, 0 where the job has none; of a picked one the slug is the base.
    fields: the canonical form of the request. fingerprint: of it; empty while its seed or model is not decided, or what
    it is made from not settled. own_seed: whether the item gives the seed. draws_seed: whether the seed is a decision
    of a draw. decides_model: whether the model is one, because it is the only one there is. timeout_s: seconds.
    origins: the outputs that it is made from. template: of a prompt that a drawn seed decides; else None.
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
    has_random_seed: bool = False
    has_open_model: bool = False
    origins: tuple[Origin, ...] = ()
    base: str = ""
    variant: int = 0
    has_own_seed: bool = False
    template: PromptTemplate | None = field(default=None, compare=False, repr=False)

    @property
    def task(self) -> str:
        """Its name in doit: `portraits:mallsing`."""
        return f"{self.job}:{self.slug}"

    @property
    def full_slug(self) -> str:
        """Its slug with the variant also where that was picked: its seed and the decisions on it go by this."""
        return f"{self.base}-v{self.variant}" if self.variant else self.slug

    @property
    def store_name(self) -> str:
        """The name that its images have in the store, also before and after a pick."""
        return f"{self.job}:{self.full_slug}"

    @property
    def is_derived(self) -> bool:
        """Whether no backend makes it, but we do, from other outputs."""
        return self.request.backend == DERIVE

    @property
    def has_known_origins(self) -> bool:
        """Whether all that it is made from is there and known."""
        return all(origin.sha256 for origin in self.origins)

    def with_decisions(
        self, *, seed: int | None = None, model: str | None = None, origins: Sequence[Origin] | None = None
    ) -> Output:
        """The same output, its seed, model or origins now decided; what is None stays as it was.

        Of an origin that is not settled, its task's name stands in the request in place of the sha256.
        """
        request = self.request
        origins = self.origins if origins is None else tuple(origins)
        extra = request.extra
        if origins:
            images = {origin.key: origin.sha256 or origin.task for origin in origins}
            extra = {**extra, "images": {**extra.get("images", {}), **images}}
        if seed is not None and self.template is not None:
            prompt, negative = self.template.of(seed)
            request = replace(request, prompt=prompt, negative=negative)
        seed = request.seed if seed is None else seed
        request = replace(request, seed=seed, model=model or request.model, extra=extra)
        fields = canonical_fields(request, self.parameters)
        decided = replace(self, request=request, fields=fields, fingerprint="", origins=origins)
        has_seed = seed is not None or self.is_derived
        if has_seed and (request.model or not self.has_open_model) and decided.has_known_origins:
            return replace(decided, fingerprint=fingerprint(fields))
        return decided

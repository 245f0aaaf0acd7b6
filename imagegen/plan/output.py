"""An output: the image file that a job asks for, and the request that it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from imagegen.config.job import DEFAULT_TIMEOUT_S, Encoding, Job, Step
from imagegen.config.schema import Overwrite
from imagegen.plan.prompt_template import PromptTemplate
from imagegen.plan.request import Request, canonical_fields, fingerprint

__all__ = ["DERIVE", "ONE_OFF", "PREVIEW", "STEPS_FIELD", "Origin", "Output", "plan_derived_output"]

DERIVE = "derive"
"""In place of a backend's name: the output is derived from others, with none."""

STEPS_FIELD = "derive_steps"
"""The key of a derived picture's steps in its request, where `steps` are those of sampling."""

ONE_OFF = "image"
"""In place of a job's name: one-off images. No job can have it, since the task that makes them has it."""

PREVIEW = "preview"
"""Before a job's name, `preview/portraits`: previews of its images. No job can have such a name."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What an output is made from: the image of a thumbnail, a reference image, or a file of the job's folder."""

    key: str  # its key in the request's `images`
    task: str  # the name in doit of the output that it is; empty for a file that is no output
    path: str = ""  # of its file, relative to the project; empty while it has not been looked up
    sha256: str = ""  # of its file; empty while that is not known
    where: str = ""  # `file:line:column` of what names it; empty if the job's structure does

    @property
    def name(self) -> str:
        """Return what a person calls it: its name in doit, or its path."""
        return self.task or self.path

    @property
    def remedy(self) -> str:
        """Return what to do if its file is missing."""
        return f"doit {self.task}" if self.task else "put the file back, and run doit again"


@dataclass(frozen=True, slots=True)
class Output:
    """One image file of a job."""

    job: str
    slug: str  # its name within the job, unique there
    path: str  # relative to the project, with forward slashes
    request: Request
    parameters: frozenset[str]  # the request fields that count
    encoding: Encoding
    overwrite: Overwrite
    timeout_s: float
    fingerprint: str
    """Of `fields`; empty while its seed or model is not decided, or one of its origins not finished."""
    has_random_seed: bool = False
    has_open_model: bool = False  # its job names none: the only model there is becomes a decision
    origins: tuple[Origin, ...] = ()  # the outputs that it is made from
    base: str = ""  # the slug without the variant
    variant: int = 0  # 1 …; 0: the job has none; the slug of a picked one is the base
    has_own_seed: bool = False  # the item gives it
    template: PromptTemplate | None = field(default=None, compare=False, repr=False)
    """Of a prompt that depends on a random seed; else None."""
    alpha_step: Step | None = field(default=None, compare=False, repr=False)
    """The step of a derived file that is not possible with an image without transparency; None if there is none."""

    @property
    def task(self) -> str:
        """Return its name in doit: `portraits:mallsing`."""
        return f"{self.job}:{self.slug}"

    @property
    def has_job(self) -> bool:
        """Return whether a job asks for it: it is neither a one-off image nor a preview."""
        return self.job != ONE_OFF and not self.job.startswith(f"{PREVIEW}/")

    @property
    def fields(self) -> Mapping[str, Any]:
        """Return the canonical form of the request. It is not kept: few ask, and it is as large as all the rest."""
        return canonical_fields(self.request, self.parameters)

    @property
    def full_slug(self) -> str:
        """Return the slug with the variant, also if that was picked: its seed and decisions go by this."""
        return f"{self.base}-v{self.variant}" if self.variant else self.slug

    @property
    def store_name(self) -> str:
        """Return the name of its images in the store, the same before and after a pick."""
        return f"{self.job}:{self.full_slug}"

    @property
    def is_derived(self) -> bool:
        """Whether it is made from other outputs, without a backend."""
        return self.request.backend == DERIVE

    @property
    def uses_seed(self) -> bool:
        """Whether its seed decides its pixels, or its prompt at random."""
        return "seed" in self.parameters or self.template is not None

    @property
    def has_known_origins(self) -> bool:
        """Whether everything that it is made from is finished."""
        return all(origin.sha256 for origin in self.origins)

    def with_decisions(
        self, *, seed: int | None = None, model: str | None = None, origins: Sequence[Origin] | None = None
    ) -> Output:
        """Return the output with its seed, model or origins decided; None leaves them as they are.

        While an origin is not finished, the request has its name instead of its sha256.
        """
        request = self.request
        origins = self.origins if origins is None else tuple(origins)
        extra = request.extra
        if origins:
            images = {origin.key: origin.sha256 or origin.name for origin in origins}
            extra = {**extra, "images": {**extra.get("images", {}), **images}}
        if seed is not None and self.template is not None:
            prompt, negative = self.template.render(seed)
            request = replace(request, prompt=prompt, negative=negative)
        seed = request.seed if seed is None else seed
        request = replace(request, seed=seed, model=model or request.model, extra=extra)
        decided = replace(self, request=request, fingerprint="", origins=origins)
        has_seed = seed is not None or self.is_derived
        if has_seed and (request.model or not self.has_open_model) and decided.has_known_origins:
            return replace(decided, fingerprint=fingerprint(decided.fields))
        return decided


def plan_derived_output(
    job: Job, slug: str, path: str, recipe: Mapping[str, Any], encoding: Encoding, origins: tuple[Origin, ...]
) -> Output:
    """Return a derived output. recipe: what decides the file, besides its encoding and its origins."""
    extra = {**recipe, "format": encoding.format, "quality": encoding.quality, "metadata": encoding.metadata}
    size = {key: extra.pop(key) for key in ("width", "height") if key in extra}
    output = Output(
        job=job.name,
        slug=slug,
        path=path,
        request=Request(DERIVE, slug, "", extra=extra, **size),
        parameters=frozenset({*extra, *size, "images"}),
        encoding=encoding,
        overwrite=job.output.overwrite,
        timeout_s=DEFAULT_TIMEOUT_S,
        fingerprint="",
        origins=origins,
    )
    return output.with_decisions()

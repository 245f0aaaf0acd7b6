"""The backends of one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from imagegen.backends.base import Backend
from imagegen.config.schema import Sections
from imagegen.errors import ImagegenError, Problem, did_you_mean

__all__ = ["Backends"]


class Backends:
    """Each is made when it is first asked for, and once.

    registry: what makes each, by its name. cluster: the address of the Dask cluster that draws, empty for none.
    """

    def __init__(self, registry: Mapping[str, Callable[[], Backend]], cluster: str = "") -> None:
        self.registry = registry
        self._cluster = cluster
        self._made: dict[str, Backend | ImagegenError] = {}
        """Each backend, or why it cannot be used."""

    def __getitem__(self, name: str) -> Backend:
        """Raises ImagegenError where there is none of that name, or it cannot be used."""
        self.check_name(name)
        if name not in self._made:
            try:
                self._made[name] = self.registry[name]()
            except ImagegenError as error:
                self._made[name] = error
        found = self._made[name]
        if isinstance(found, ImagegenError):
            raise ImagegenError(*found.problems)
        return found

    def check_name(self, name: str) -> None:
        """That there is a backend of this name, usable or not. Raises ImagegenError."""
        if name not in self.registry:
            what = f"there is no backend '{name}'{did_you_mean(name, self.registry)}"
            raise ImagegenError(Problem("", what, f"choose one of {', '.join(sorted(self.registry))}"))

    def unusable(self) -> dict[str, ImagegenError]:
        """Those of the registry that cannot be used, by name, with what is wrong with them."""
        found = {}
        for name in self.registry:
            try:
                self[name]
            except ImagegenError as error:
                found[name] = error
        return found

    def is_remote(self, name: str) -> bool:
        """Whether a cluster draws for this backend. Stand-ins are drawn faster than they are sent."""
        return bool(self._cluster) and self[name].is_generator

    def drawing(self, name: str) -> Backend:
        """What draws for this backend in one run: itself, or the cluster in its place. Raises ImagegenError."""
        if not self.is_remote(name):
            return self[name]
        from imagegen.backends.cluster import ClusterBackend

        return ClusterBackend(self[name], self._cluster)

    def sections(self) -> Sections:
        """Each backend's name → the schema of its section in a job."""
        unusable = self.unusable()
        return {name: None if name in unusable else self[name].options for name in self.registry}

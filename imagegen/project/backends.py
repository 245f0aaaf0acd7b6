"""The backends of one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from imagegen.backends.base import Backend
from imagegen.errors import ImagegenError, Problem, did_you_mean

__all__ = ["Backends"]


class Backends:
    """Each is made when it is first asked for, and once.

    registry: what makes each, by its name. cluster: the address of the Dask cluster that draws, empty for none.
    """

    def __init__(self, registry: Mapping[str, Callable[[], Backend]], cluster: str = "") -> None:
        self.registry = registry
        self._cluster = cluster
        self._made: dict[str, Backend] = {}

    def __getitem__(self, name: str) -> Backend:
        """Raises ImagegenError where there is none of that name, or it cannot be used."""
        if name not in self._made:
            if name not in self.registry:
                raise ImagegenError(
                    Problem(
                        "",
                        f"there is no backend '{name}'{did_you_mean(name, self.registry)}",
                        f"choose one of {', '.join(sorted(self.registry))}",
                    )
                )
            try:
                self._made[name] = self.registry[name]()
            except Exception as error:  # a backend of somebody else's can fail in any way
                what = f"the backend {name} cannot be used: {type(error).__name__}: {error}"
                raise ImagegenError(Problem("", what, "mend or uninstall the package that brings it")) from None
        return self._made[name]

    def is_remote(self, name: str) -> bool:
        """Whether a cluster draws for this backend. Stand-ins are drawn faster than they are sent."""
        return bool(self._cluster) and self[name].is_generator

    def drawing(self, name: str) -> Backend:
        """What draws for this backend in one run: itself, or the cluster in its place. Raises ImagegenError."""
        if not self.is_remote(name):
            return self[name]
        from imagegen.backends.cluster import ClusterBackend

        return ClusterBackend(self[name], self._cluster)

    def sections(self) -> dict[str, Mapping[str, Any]]:
        """Each backend's name → the schema of its section in a job. Raises ImagegenError."""
        return {name: self[name].options for name in self.registry}

"""Images that are drawn by the workers of a Dask cluster, each with the backend that is local to it.

`backend` stands here for the backend that draws there, `link` is the connection, `crew` the workers and what each can
draw, `carried` what a request takes along, `worker` what runs at a worker. Dask schedules, moves bytes, sees to GPUs,
and gives a dead worker's images to others.
"""

from __future__ import annotations

from imagegen.backends.cluster.backend import ClusterBackend
from imagegen.backends.cluster.connection import missing_package

__all__ = ["ClusterBackend", "missing_package"]

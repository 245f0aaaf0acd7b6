"""All versions of one image, as the page compares them: with what each is restored by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from imagegen.execute import versions as stored
from imagegen.plan.output import Output
from imagegen.project import Project
from imagegen.report.gallery.page import EARLIER, THUMBS
from imagegen.report.gallery.provenance import provenance_of

__all__ = ["list_versions"]


def list_versions(project: Project, output: Output) -> list[dict[str, Any]]:
    """Return what `doit restore --list` lists, the newest first, as JSON values. Raises OSError.

    Those whose image is not in the store are left out: it is the present one, or nothing can bring it back.
    """
    output = project.with_origins(project.with_decisions(output))
    versions = stored.list_versions(project, output)
    numbered = ((number, one) for number, one in enumerate(versions, start=1) if one.files)
    return [{"number": number, **_version(output, one)} for number, one in numbered]


def _version(output: Output, version: stored.ImageVersion) -> Mapping[str, Any]:
    sha256 = min(version.files, key=lambda one: version.files[one] is None)  # rather an output's file than a backend's
    return {
        "sha256": sha256,
        "thumb": f"{THUMBS}/{sha256}.webp",
        "href": f"{EARLIER}/{sha256}{PurePosixPath(output.path).suffix}",
        "is_now": version.is_now,
        "by_hand": version.by_hand,
        **vars(provenance_of(version.record, version.request)),
    }

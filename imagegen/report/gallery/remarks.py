"""Adds to the pictures of a job what people said of them: marks and notes."""

from __future__ import annotations

from dataclasses import replace

from imagegen.errors import ImagegenError
from imagegen.plan.remark import Remark
from imagegen.project import Project
from imagegen.project.remarks import read_remarks
from imagegen.report.gallery.picture import Group, Picture, ShownRemark
from imagegen.state.review_file import ReviewFile

__all__ = ["add_remarks"]


def add_remarks(project: Project, group: Group) -> Group:
    """Return the group with the marks and notes of its pictures; with a notice if they cannot be read.

    What its pictures had before doesn't count.
    """
    file = ReviewFile()
    try:
        file = read_remarks(project, group.name)
    except ImagegenError as error:
        group = replace(group, notices=(*group.notices, *map(str, error.problems)))
    if not file.remarks and not any(picture.mark or picture.note for picture in group.pictures):
        return group
    return replace(group, pictures=tuple(_with_remarks(project, file, picture) for picture in group.pictures))


def _with_remarks(project: Project, file: ReviewFile, picture: Picture) -> Picture:
    slug = _full_slug(picture)
    mark, note = file.find(slug, "mark"), file.find(slug, "note")
    sha256 = None
    if (mark or note) and not picture.is_given:
        state = project.hashes.state(picture.path)
        sha256 = state.sha256 if state else None  # of a Git LFS pointer, that of the picture
    shown = (None, None) if picture.is_given else (_shown(mark, sha256), _shown(note, sha256))
    return picture if (picture.mark, picture.note) == shown else replace(picture, mark=shown[0], note=shown[1])


def _full_slug(picture: Picture) -> str:
    """Return the slug with the variant, also of a picked one: what is said of it stays through a pick."""
    if picture.variant:
        return f"{picture.item.partition(':')[2]}-v{picture.variant}"
    return picture.task.partition(":")[2]


def _shown(remark: Remark | None, sha256: str | None) -> ShownRemark | None:
    if remark is None or remark.value is None:
        return None
    return ShownRemark(remark.value, remark.time, remark.by, remark.is_about(sha256))

"""What `doit gallery` says on the console."""

from __future__ import annotations

from imagegen.report.console import counted, printable
from imagegen.report.gallery.folder import PAGE, Written

__all__ = ["lines"]


def lines(written: Written) -> list[str]:
    """One line for the page, and one for each image that it cannot show."""
    said = counted(written.count, "image")
    if written.made:
        said += f", {written.made} made small"
    return [f"{written.state:<10} {PAGE}  {said}", *(printable(str(problem)) for problem in written.wrong)]

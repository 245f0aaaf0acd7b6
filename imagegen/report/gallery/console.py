"""What `doit gallery` says on the console."""

from __future__ import annotations

from collections.abc import Sequence

from imagegen.report.console import counted, printable
from imagegen.report.gallery.folder import PAGE, Written

__all__ = ["lines"]


def lines(written: Written, broken: Sequence[str] = ()) -> list[str]:
    """One line for the page, one for broken jobs, if any, and one for each image that it cannot show."""
    said = counted(written.count, "image")
    if written.made:
        said += f", {written.made} made small"
    of_broken = f"{counted(len(broken), 'broken job')}, shown as recorded: {', '.join(broken)}  (doit doctor)"
    told = [f"{written.state:<10} {PAGE}  {said}", *([of_broken] if broken else [])]
    return [*told, *(printable(str(problem)) for problem in written.wrong)]

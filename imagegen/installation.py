"""How imagegen itself is installed, and what to do if a package that it needs is not.

A checkout that was installed with `pip install -e` is upgraded by `git pull`, which installs nothing; and what pip
recorded of its requirements is that of the day when it was installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from imagegen import DISTRIBUTION
from imagegen.errors import Problem

__all__ = ["explain_import_error", "find_checkout"]

_PACKAGE = Path(__file__).parent


def find_checkout() -> Path | None:
    """Return the folder of the checkout that this package is used from; None if it is not used from one."""
    folder = _PACKAGE.parent
    return folder if (folder / "pyproject.toml").exists() else None


def explain_import_error(error: BaseException) -> Problem | None:
    """Return what to install if the error is that a package is missing that imagegen imports; else None."""
    trace = error.__traceback__
    if not isinstance(error, ModuleNotFoundError) or not error.name or trace is None:
        return None
    while trace.tb_next is not None:
        trace = trace.tb_next
    name = error.name.partition(".")[0]
    if name == _PACKAGE.name or _PACKAGE not in Path(trace.tb_frame.f_code.co_filename).parents:
        return None  # a fault of imagegen; or of a dodo file, or of a backend of another package
    import shlex

    checkout = find_checkout()
    source = f"-e {shlex.quote(str(checkout))}" if checkout else DISTRIBUTION
    what = f"imagegen needs the package '{name}', which is not installed"
    return Problem("", what, f"{sys.executable} -m pip install {source}")

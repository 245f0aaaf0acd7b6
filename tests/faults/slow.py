"""Copied into a test's project, where its dodo.py imports it: file operations take their time, so that a kill hits them.

SLOW is the most that one takes, in seconds.
"""

from __future__ import annotations

import os
import random
import time
from typing import Any

_MOST_S = float(os.environ.get("SLOW", 0))


def _slowed(name: str) -> None:
    real = getattr(os, name)

    def slowed(*args: Any, **kwargs: Any) -> Any:
        if name == "write" and bytes(args[1]).startswith(
            b'{"event"'
        ):  # the backend's diary, which the test needs whole
            return real(*args, **kwargs)
        time.sleep(random.uniform(0, _MOST_S))  # noqa: S311 - no secret
        if name == "write" and len(args[1]) > 1:  # a kill may come in the middle of it, too
            half = len(args[1]) // 2
            done = real(args[0], args[1][:half])
            if done < half:
                return done
            time.sleep(random.uniform(0, _MOST_S))  # noqa: S311
            return done + real(args[0], args[1][half:])
        return real(*args, **kwargs)

    setattr(os, name, slowed)


if _MOST_S:
    for _name in ("write", "fsync", "replace", "unlink", "truncate"):
        _slowed(_name)

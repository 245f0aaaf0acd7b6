"""The times in lines that are committed: ISO 8601 in UTC, with milliseconds, so that they sort as texts."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

__all__ = ["timestamp", "timestamp_after"]


def timestamp() -> str:
    """Return the present time."""
    return _text(datetime.now(timezone.utc))


def timestamp_after(latest: str) -> str:
    """Return the present time, or one just after `latest` if another machine's clock was ahead of this one."""
    now = timestamp()
    if latest < now:
        return now
    try:
        return _text(datetime.fromisoformat(latest.replace("Z", "+00:00")) + timedelta(milliseconds=1))
    except (ValueError, OverflowError):
        return latest  # of two that are equally late, the one further down counts


def _text(time: datetime) -> str:
    return time.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""Opens a page in the user's browser, and never in one that would take over the terminal."""

from __future__ import annotations

import os
import sys

__all__ = ["open_in_browser"]

_IN_TERMINAL = frozenset({"elinks", "links", "links2", "lynx", "w3m", "www-browser"})


def open_in_browser(url: str) -> str:
    """Open the address in a window, and return why that is not possible; empty if it was done."""
    import webbrowser  # it looks for every browser there is

    has_windows = sys.platform in ("win32", "cygwin", "darwin")
    if not has_windows and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "there is no screen here to open a browser on (neither DISPLAY nor WAYLAND_DISPLAY is set)"
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return "no browser was found here"
    if getattr(browser, "basename", "") in _IN_TERMINAL:
        return f"the only browser found here is {getattr(browser, 'basename', '')}, which would take over the terminal"
    return "" if browser.open(url) else "the browser did not open it"

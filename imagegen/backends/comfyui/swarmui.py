"""SwarmUI, which passes calls on to the ComfyUI behind it: at which address, and what it answers in ComfyUI's place.

Source of the facts: SwarmUI's ComfyUIRedirectHelper.cs, WebServer.cs and WebUtil.cs, of August 2026.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from imagegen.backends.address import is_local
from imagegen.backends.json_api import Refused, Unreachable

__all__ = ["START", "explain_answer", "find_address", "is_swarmui"]

_PATH = "/ComfyBackendDirect"
"""Where it passes calls on. It finds a path in other capitals too, but does not take that off what it passes on."""
START = "SwarmUI must run, with a ComfyUI backend: see Server → Backends there"
"""What to do if no ComfyUI answers there."""
_NOWHERE = "/Error/404"
"""Where it redirects all that it does not know."""
_NO_BACKEND = b"No ComfyUI backend available, loading failed."
_NOT_REACHED = b"<h1>Error 500: Internal Server Error</h1>"
_DENIED = b"Permission denied."
"""What its pages say."""


def is_swarmui(url: str) -> bool:
    """Return whether this is the address of a ComfyUI behind SwarmUI."""
    return url.endswith(_PATH)


def find_address(url: str) -> str:
    """Return the address of the ComfyUI behind the SwarmUI that answers at this one."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{_PATH}"


def explain_answer(url: str, status: int, location: str, page: bytes) -> Refused | Unreachable | None:
    """Return what an answer means that is not a success; None if it is not one of SwarmUI's own.

    Args:
        location: the header of a redirect.
    """
    if location == _NOWHERE or (status == 404 and url.lower().endswith(_PATH.lower()) and not is_swarmui(url)):
        what = f"{url} is not the address of a ComfyUI, but of SwarmUI"
        return Refused(
            what, f"make it {find_address(url)} (COMFYUI_URL, or comfyui.server.url in [tool.imagegen])", status
        )
    if status == 400 and _NO_BACKEND in page:
        return Unreachable("SwarmUI has no ComfyUI backend that runs; it may be loading")
    if status == 500 and _NOT_REACHED in page:
        return Unreachable("SwarmUI cannot reach its ComfyUI; its log says why")
    if status == 401 and _DENIED in page:
        return Refused(f"SwarmUI at {url} asks for a login, or does not let its user use ComfyUI", _log_in(url), status)
    return None


def _log_in(url: str) -> str:
    """Return what to do: it knows its users by a cookie, unless they are on its own machine."""
    if is_local(url):
        return "in SwarmUI's settings, turn on AllowLocalhostBypass, so that this machine needs no login"
    port = urlsplit(url).port or 7801
    tunnel = f"ssh -N -L {port}:127.0.0.1:{port} {urlsplit(url).hostname}"
    return f"reach it as from its own machine, which needs no login: {tunnel}, and http://127.0.0.1:{port}{_PATH}"

"""What answers at an address where another API was expected: which program it is, and the settings that use it."""

from __future__ import annotations

import re
from contextlib import suppress

from imagegen.backends.a1111.programs import identify
from imagegen.backends.json_api import JsonApi, Refused

__all__ = ["find_other_server"]


def find_other_server(api: JsonApi, own: str) -> Refused | None:
    """Return what is wrong if one of the other APIs answers, or this one at another path; None if none does.

    Args:
        api: what does not answer as it should. Nothing is asked of it any more, but from the root of its address.
        own: the backend that it was for.

    Raises:
        Unreachable: nothing answers any more.
    """
    api.root = re.sub(r"(/sdapi|/api)?/v[01]\Z", "", api.url)
    for backend in sorted(("openai", "comfyui", "a1111"), key=lambda name: name != own):
        with suppress(Refused):
            url = f"{api.root}/v1" if backend == "openai" else api.root
            if (backend, url) != (own, api.url) and (program := _recognise(api, backend)):
                hint = f"write {'' if backend == own else f'backend: {backend}, and '}{backend}.server.url: {url}"
                return Refused(f"what answers at {api.url} is {program}", hint)
    return None


def _recognise(api: JsonApi, backend: str) -> str:
    """Return the name of the program that has this backend's API; empty if there is none."""
    if backend == "comfyui":
        return "ComfyUI" if "system" in (api.look("/system_stats") or {}) else ""
    if backend == "openai":
        is_list = isinstance((api.look("/v1/models") or {}).get("data"), list)
        return "a server with OpenAI's API" if is_list else ""
    return found[0].name if (found := identify(api.find)) else ""

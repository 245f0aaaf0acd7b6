"""A stand-in for a ComfyUI server, over real HTTP and websockets: for tests, with no model and nothing patched.

It behaves as ComfyUI 0.33.0 does (or an older `version`), traps included, and draws with Pillow. Nothing that a run
needs imports it. `tests/backends/comfyui/test_standin.py` holds it against a real server.
"""

from imagegen.backends.comfyui.standin.server import StandIn
from imagegen.backends.comfyui.standin.world import Fault

__all__ = ["Fault", "StandIn"]

"""A fake ComfyUI server, over real HTTP and websockets: for tests, with no model and nothing patched.

It behaves as ComfyUI 0.33.0 does (or an older `version`), traps included, and draws with Pillow. `test_fake_server.py`
holds it against a real server.
"""

from tests.backends.comfyui.fake_server.server import FakeComfyUI
from tests.backends.comfyui.fake_server.world import Fault

__all__ = ["FakeComfyUI", "Fault"]

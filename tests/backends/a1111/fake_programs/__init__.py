"""What each program with A1111's API makes of a request: what it lists, ignores, refuses, and silently takes instead.

Read in the sources of A1111 1.10, Forge, reForge, SD.Next, koboldcpp 1.117 and Draw Things; seen on a real sd-server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.backends.a1111.fake_programs.a1111 import A1111, Forge, ReForge, SdNext
from tests.backends.a1111.fake_programs.draw_things import DrawThings
from tests.backends.a1111.fake_programs.program import Picture, Program, RejectedError
from tests.backends.a1111.fake_programs.stable_diffusion_cpp import KoboldCpp, SdServer

__all__ = ["PROGRAMS", "Picture", "Program", "RejectedError"]

PROGRAMS: Mapping[str, Callable[[], Program]] = {
    one.name: one for one in (A1111, Forge, ReForge, SdNext, KoboldCpp, SdServer, DrawThings)
}

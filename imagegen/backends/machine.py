"""Which system and processor this machine has."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass

__all__ = ["Machine", "this_machine"]


@dataclass(frozen=True)
class Machine:
    """A machine. system, processor: as Python's `platform` names them."""

    system: str
    processor: str

    @property
    def is_apple_silicon(self) -> bool:
        """Whether it is a Mac with Apple silicon."""
        return (self.system, self.processor) == ("Darwin", "arm64")


def this_machine() -> Machine:
    """Return the one that this runs on; of a Mac its true processor, which a translated Python does not see."""
    system, processor = platform.system(), platform.machine()
    if (system, processor) == ("Darwin", "x86_64"):
        asked = subprocess.run(["/usr/sbin/sysctl", "-n", "hw.optional.arm64"], capture_output=True, check=False)
        processor = "arm64" if asked.stdout.strip() == b"1" else processor
    return Machine(system, processor)

"""For all tests."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# no test is timed: the machines that run them are often busy with something else
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# what a script starts in the background ignores Ctrl-C, and so would all that it starts: tests press it
signal.signal(signal.SIGINT, signal.default_int_handler)

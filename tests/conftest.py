"""For all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# no test is timed: the machines that run them are often busy with something else
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

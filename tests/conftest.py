"""Fixtures that every test may use. The real engines start once a session, and only if a test asks for them."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

from tests.engines import engines

__all__ = ["engines"]

# The same examples each time, however slow the machine is: a test that fails must fail again.
settings.register_profile(
    "pulse",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=15 if os.environ.get("TESTS_QUICK") else 50,  # `make quick`
)
settings.load_profile("pulse")

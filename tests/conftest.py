"""Fixtures that every test may use. The real engines start once a session, and only if a test asks for them."""

from __future__ import annotations

from tests.engines import engines

__all__ = ["engines"]

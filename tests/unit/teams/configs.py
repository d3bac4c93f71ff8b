"""Teams out of pieces of TOML."""

from __future__ import annotations

from datetime import UTC, datetime

from services.teams.models import Team
from services.teams.reading import read


def team(text: str) -> Team:
    """The one team whose table is `text`."""
    return read("[teams.t]\n" + text)["t"].team


def ms(text: str) -> int:
    """An ISO time, UTC unless it says otherwise, in milliseconds."""
    at = datetime.fromisoformat(text)
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)

"""Who is on call: a person a week in turn, and those who stand in."""

from __future__ import annotations

from datetime import timedelta

from services.teams import words, zones
from services.teams.models import OnCall

WEEK_DAYS = 7


def on_call(rota: OnCall | None, zone: str, at_ms: int) -> str | None:
    """Who is on call at a moment, in milliseconds UTC; None where there is no rota.

    Weeks are counted by the calendar, so a week in which the clock is put forward or back is a week like any other.
    Before the rota's start the same turn is taken to have gone on for ever.
    """
    if rota is None:
        return None
    for override in reversed(rota.overrides):
        if zones.instant(zone, override.start) <= at_ms < zones.instant(zone, override.end):
            return override.person
    today = zones.local(zone, at_ms).date()
    handed = today - timedelta(days=(today.weekday() - rota.hand_over.weekday) % WEEK_DAYS)
    if zones.instant(zone, words.at_minute(handed, rota.hand_over.minute)) > at_ms:
        handed -= timedelta(days=WEEK_DAYS)
    return rota.people[(handed - rota.start).days // WEEK_DAYS % len(rota.people)]


def next_hand_over(rota: OnCall, zone: str, at_ms: int) -> int:
    """When the turn next goes to another person, in milliseconds UTC; overrides are not looked at."""
    today = zones.local(zone, at_ms).date()
    ahead = today + timedelta(days=(rota.hand_over.weekday - today.weekday()) % WEEK_DAYS)
    found = zones.instant(zone, words.at_minute(ahead, rota.hand_over.minute))
    if found > at_ms:
        return found
    return zones.instant(zone, words.at_minute(ahead + timedelta(days=WEEK_DAYS), rota.hand_over.minute))

"""A team as it is set, made into the record that the log holds: its calendar expanded, all lengths in milliseconds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import structs

from schemas.feedback import Policy
from services.teams import calendars
from services.teams.lines import Path, line_of, lines_of
from services.teams.models import Team, day_minutes
from services.teams.reading import TEAMS, BadTeams, Wrong, dotted, read
from stream.domain.reading import MOST_BYTES

REV_DIGITS: Final = 32


class Unfit(ValueError):
    """A team whose calendar makes no record: it works too little for its promise, or in too many pieces."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path
        self.message = message


def policies_in(text: str, now_ms: int) -> dict[str, Policy]:
    """The record of each team of a file, by name, in its order. Raises BadTeams with every line that is wrong."""
    teams = read(text)
    found: dict[str, Policy] = {}
    wrong: list[Wrong] = []
    for name, configured in teams.items():
        try:
            found[name] = policy_of(configured.team, configured.document, now_ms)
        except Unfit as error:
            path = (TEAMS, name, *error.path)
            wrong.append(Wrong(line_of(lines_of(text), path), dotted(path), error.message))
    if wrong:
        raise BadTeams(wrong)
    return found


def policy_of(team: Team, document: Mapping[str, Any], now_ms: int) -> Policy:
    """The record of a team. `document`: the same as plain JSON, which goes with it.

    Within a quarter the same team always makes the same record; `rev` is a hash of all the rest. Raises Unfit.
    """
    policy = over(team, document, calendars.span_of(now_ms))
    hours = policy.open
    ahead_ms = sum(max(0, hours[at + 1] - max(hours[at], now_ms)) for at in range(0, len(hours), 2))
    if team.calendar.hours is not None and ahead_ms < policy.resolve_ms:
        raise Unfit(("calendar",), "works so little in the next two years that the promise cannot be kept")
    encoded = msgspec.json.encode(policy, order="deterministic")
    if len(encoded) + REV_DIGITS > MOST_BYTES:
        raise Unfit(("calendar",), f"has too many pieces: a team with all its hours has at most {MOST_BYTES} bytes")
    return structs.replace(policy, rev=hashlib.sha256(encoded).hexdigest()[:REV_DIGITS])


def over(team: Team, document: Mapping[str, Any], span: calendars.Interval) -> Policy:
    """What a team promises, its calendar expanded over a span of time; without a `rev`."""
    day, clocks = day_minutes(team.calendar), team.clocks
    contact_ms = clocks.contact.ms(day)
    working = calendars.working(team.calendar, team.timezone, *span)
    return Policy(
        rev="",
        contact_ms=contact_ms,
        resolve_ms=max(contact_ms, clocks.resolve.ms(day)),  # the usual three days may be short ones
        open=tuple(edge for interval in working or () for edge in interval),
        until_ms=span[1] if working else None,
        remind_ms=tuple(sorted((one.ms(day) for one in clocks.reminders), reverse=True)),
        escalate_ms=tuple(level.after.ms(day) for level in team.escalation),
        raise_within_ms=clocks.raise_within.ms(),
        root_causes=team.root_causes,
        config=dict(document),
        reask_ms=None if clocks.reask_after is None else clocks.reask_after.ms(),
    )

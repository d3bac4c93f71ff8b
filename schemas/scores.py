"""`team-scores.v1`: the rolling scores of one team, all windows and both policies. Key: the team.

Compacted; whoever reads it keeps the greatest `version` of a team.
"""

from __future__ import annotations

import msgspec


class Counts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Counted answers of one window and policy: `[detractors, passives, promoters]`."""

    detractors: int
    passives: int
    promoters: int


class WindowScore(msgspec.Struct, frozen=True):
    """One window `(as_of - minutes, as_of]`: `all` counts each answer, `latest` each respondent's newest."""

    minutes: int
    all: Counts
    latest: Counts


class TeamScores(msgspec.Struct, frozen=True):
    """Exact for every minute t with `as_of <= t < valid_until` (minutes since 1970-01-01 UTC).

    `valid_until` is null when no answer is left in any window: then nothing changes until the next answer.
    `version` = generation * 2**48 + offset of the record that last changed the team.
    """

    team: str
    as_of: int
    valid_until: int | None
    version: int
    windows: list[WindowScore]
    v: int = 1

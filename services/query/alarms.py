"""Score alarms, as the alerts service has left them in ClickHouse."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from services.query.store import Store
from stream.domain.scores import Tally

_OPEN: Final = """
SELECT team, toUInt32(toRelativeDayNum(since)) AS since, before, now FROM alarms FINAL
WHERE team IN {teams:Array(String)} AND ended_at IS NULL
"""

_LISTED: Final = """
SELECT alarm_id, team, toUInt32(toRelativeDayNum(since)) AS since, toUnixTimestamp64Milli(raised_at) AS raised_ms,
    toUnixTimestamp64Milli(ended_at) AS ended_ms, ending, before, after, now
FROM alarms FINAL
WHERE ({every:Bool} OR team = {team:String}) AND ({state:String} = '' OR ({state:String} = 'open') = isNull(ended_at))
ORDER BY raised_at DESC, alarm_id
LIMIT {limit:UInt32}"""


class AlarmRow(msgspec.Struct, frozen=True):
    """A team whose score fell: the first day of the lower score (since 1970, UTC), `[D, N, P]` before and since."""

    team: str
    since: int
    before: tuple[int, int, int]
    now: tuple[int, int, int]

    @property
    def was(self) -> Tally:
        """The answers of the 180 days before."""
        return Tally(*self.before)

    @property
    def fell_to(self) -> Tally:
        """The answers since."""
        return Tally(*self.now)


class LoggedAlarm(msgspec.Struct, frozen=True):
    """An alarm with its three counts, each `[D, N, P]`. `ending` empty: it stands."""

    alarm_id: str
    team: str
    since: int
    raised_ms: int
    ended_ms: int | None
    ending: Literal["", "recovered", "withdrawn", "settled"]
    before: tuple[int, int, int]
    after: tuple[int, int, int]
    now: tuple[int, int, int]


async def listed(
    store: Store, team: str | None, state: Literal["open", "ended"] | None, limit: int
) -> list[LoggedAlarm]:
    """The newest alarms, of a team or of all. Raises Unavailable."""
    given = {"every": team is None, "team": team or "", "state": state or "", "limit": limit}
    return await store.rows("alarms_listed", _LISTED, LoggedAlarm, **given)


async def standing(store: Store, teams: list[str]) -> dict[str, AlarmRow]:
    """The alarms that stand, by team. A team without one is not in the result."""
    if not teams:
        return {}
    return {row.team: row for row in await store.rows("alarms", _OPEN, AlarmRow, teams=teams)}

"""Score alarms that stand, as the alerts service has left them in ClickHouse."""

from __future__ import annotations

from typing import Final

import msgspec

from services.query.store import Store
from stream.domain.scores import Tally

_OPEN: Final = """
SELECT team, toUInt32(toRelativeDayNum(since)) AS since, before, now FROM alarms FINAL
WHERE team IN {teams:Array(String)} AND ended_at IS NULL
"""


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


async def standing(store: Store, teams: list[str]) -> dict[str, AlarmRow]:
    """The alarms that stand, by team. A team without one is not in the result."""
    if not teams:
        return {}
    return {row.team: row for row in await store.rows("alarms", _OPEN, AlarmRow, teams=teams)}

"""What teams promise: the newest policy of each, and every policy that a team has had."""

from __future__ import annotations

from typing import Final

import msgspec

from services.query.store import Store

_NEWEST: Final = """
SELECT team, version, toUnixTimestamp64Milli(set_at) AS set_ms, rev, toUnixTimestamp64Milli(until) AS until_ms
FROM policies
WHERE team > {after:String}
ORDER BY team, version DESC
LIMIT 1 BY team
LIMIT {most:UInt32}"""

_HISTORY: Final = """
SELECT team, version, toUnixTimestamp64Milli(set_at) AS set_ms, rev, toUnixTimestamp64Milli(until) AS until_ms,
    contact_ms, resolve_ms, root_causes, config
FROM policies FINAL
WHERE team = {team:String}
ORDER BY version DESC
LIMIT {most:UInt32}"""

# Those of the team's list; of a team without one, what its cases have been resolved with.
_CAUSES: Final = """
SELECT team, if(empty(max(listed) AS list), arraySort(groupUniqArrayArray(used)), list) AS causes
FROM
(
    SELECT team, argMax(root_causes, version) AS listed, [] :: Array(String) AS used
    FROM policies WHERE team IN {teams:Array(String)} GROUP BY team
    UNION ALL
    SELECT team, [] :: Array(String) AS listed, groupUniqArray(100)(cause) AS used
    FROM followups FINAL WHERE team IN {teams:Array(String)} AND cause != '' GROUP BY team
)
GROUP BY team"""


class Newest(msgspec.Struct):
    """Which policy of a team holds. `until_ms`: how far its calendar is expanded; None around the clock."""

    team: str
    version: int
    set_ms: int
    rev: str
    until_ms: int | None


class Past(Newest):
    """One policy that a team has, or had. `config`: a JSON object."""

    contact_ms: int
    resolve_ms: int
    root_causes: list[str]
    config: str


async def newest(store: Store, after: str, most: int) -> list[Newest]:
    """The policies that hold, by team, of the teams after that name. Raises Unavailable."""
    return await store.rows("policies", _NEWEST, Newest, after=after, most=most)


async def history(store: Store, team: str, most: int) -> list[Past]:
    """The policies of a team, newest first; none for one that has only the built-in promise. Raises Unavailable."""
    return await store.rows("policy_history", _HISTORY, Past, team=team, most=most)


class _Causes(msgspec.Struct):
    team: str
    causes: list[str]


async def causes(store: Store, teams: list[str]) -> dict[str, list[str]]:
    """What cases of each team are resolved with. A team of which nothing is known is not in the result."""
    rows = await store.rows("followup_causes", _CAUSES, _Causes, teams=teams) if teams else []
    return {row.team: row.causes for row in rows}

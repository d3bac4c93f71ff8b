"""Counts a team and day from the panes in ClickHouse, as they stand: late, edited and excluded answers included."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, Protocol, TypeVar

import aiohttp
import clickhouse_connect
import msgspec
from clickhouse_connect.driver import AsyncClient
from clickhouse_connect.driver.exceptions import Error

from stream.domain.scores import Tally

_SETTINGS: Final = (
    " SETTINGS do_not_merge_across_partitions_select_final = 1, output_format_json_quote_64bit_integers = 0"
)
# Every change of a minute's counts has a greater version.
_VERSIONS: Final = (
    "SELECT team, max(version) AS version FROM panes WHERE minute > toDateTime({since:UInt32}) GROUP BY team"
)
# A minute is named by its end, so midnight is the last minute of a day.
_DAYS: Final = """
SELECT team, toUInt32(intDiv(toUnixTimestamp(minute) - 1, 86400)) AS day,
    sum(arraySum(arraySlice(scores, 1, 7))) AS detractors,
    sum(arraySum(arraySlice(scores, 8, 2))) AS passives,
    sum(arraySum(arraySlice(scores, 10, 2))) AS promoters
FROM panes FINAL WHERE team IN {teams:Array(String)} AND minute > toDateTime({since:UInt32}) GROUP BY team, day
"""
_CONNECT_S: Final = 3.0
_ANSWER_S: Final = 20.0
_DAY_S: Final = 86_400
Row = TypeVar("Row", bound=msgspec.Struct)


class Unreachable(Exception):
    """ClickHouse cannot be asked right now. Its text names the error's type and nothing else."""


class Counts(Protocol):
    """Where counts come from. `since`: the first day, since 1970 (UTC). Both raise Unreachable."""

    async def versions(self, since: int) -> Mapping[str, int]:
        """Each team with counts since then, and a number that grows whenever one of them changes."""
        ...

    async def days(self, teams: Sequence[str], since: int) -> Mapping[str, Mapping[int, Tally]]:
        """The counts of these teams, day by day. Days and teams without any answer may be missing."""
        ...


class _Version(msgspec.Struct):
    team: str
    version: int


class _Day(msgspec.Struct):
    team: str
    day: int
    detractors: int
    passives: int
    promoters: int


class ClickHouseCounts:
    """Reads the table `panes`. The client is made at the first question, and again after a failure to make it."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._client: AsyncClient | None = None

    async def versions(self, since: int) -> Mapping[str, int]:
        rows = await self._rows(_VERSIONS, _Version, since=since * _DAY_S)
        return {row.team: row.version for row in rows}

    async def days(self, teams: Sequence[str], since: int) -> Mapping[str, Mapping[int, Tally]]:
        found: defaultdict[str, dict[int, Tally]] = defaultdict(dict)
        for row in await self._rows(_DAYS, _Day, teams=list(teams), since=since * _DAY_S):
            found[row.team][row.day] = Tally(row.detractors, row.passives, row.promoters)
        return found

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def _rows(self, sql: str, row: type[Row], **bound: object) -> list[Row]:
        try:
            async with asyncio.timeout(_ANSWER_S):
                if self._client is None:
                    self._client = await clickhouse_connect.get_async_client(
                        dsn=self._dsn, connect_timeout=_CONNECT_S, send_receive_timeout=_ANSWER_S, query_retries=0
                    )
                body = await self._client.raw_query(sql + _SETTINGS, parameters=bound, fmt="JSONEachRow")
            return msgspec.json.Decoder(row).decode_lines(body)
        except (Error, aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unreachable(type(error).__name__) from None

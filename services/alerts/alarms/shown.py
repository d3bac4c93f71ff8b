"""Alarms in ClickHouse, where the query service finds them. SQLite is the truth; this table follows it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Final

import aiohttp
import clickhouse_connect
from clickhouse_connect.driver import AsyncClient
from clickhouse_connect.driver.exceptions import Error

from services.alerts.alarms.counts import Unreachable
from services.alerts.alarms.records import Alarm
from stream.domain.scores import Tally

_COLUMNS: Final = (
    *("alarm_id", "team", "since", "raised_at", "ended_at", "ending"),
    *("before", "after", "now", "version"),
)
_CONNECT_S: Final = 3.0
_ANSWER_S: Final = 20.0
_EPOCH: Final = date(1970, 1, 1)


class Shown:
    """Writes what has changed since it was last written; after a start, the newest alarm of each team once more."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._client: AsyncClient | None = None
        self._written: dict[str, Alarm] = {}

    async def write(self, newest: Mapping[str, Alarm], now_ms: int) -> None:
        """Write those of the teams' newest alarms that are new here. Raises Unreachable; then it is asked again."""
        changed = [alarm for team, alarm in newest.items() if self._written.get(team) != alarm]
        if not changed:
            return
        try:
            async with asyncio.timeout(_ANSWER_S):
                if self._client is None:
                    self._client = await clickhouse_connect.get_async_client(
                        dsn=self._dsn, connect_timeout=_CONNECT_S, send_receive_timeout=_ANSWER_S, query_retries=0
                    )
                await self._client.insert("alarms", list(_rows(changed, now_ms)), _COLUMNS)
        except (Error, aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unreachable(type(error).__name__) from None
        self._written |= {alarm.team: alarm for alarm in changed}

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()


def _rows(alarms: Iterable[Alarm], now_ms: int) -> Iterable[list[object]]:
    for alarm in alarms:
        ended = None if alarm.ended_ms is None else _moment(alarm.ended_ms)
        yield [
            *(alarm.alarm_id, alarm.team, _EPOCH + timedelta(days=alarm.since), _moment(alarm.raised_ms)),
            *(ended, alarm.ending or "", _counts(alarm.before), _counts(alarm.after), _counts(alarm.now), now_ms),
        ]


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1_000, UTC)


def _counts(tally: Tally) -> list[int]:
    return [tally.detractors, tally.passives, tally.promoters]

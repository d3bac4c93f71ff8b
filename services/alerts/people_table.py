"""The text of an answer in ClickHouse, one row at a time. An outage is `not found`: an alert waits for no database."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import aiohttp
import clickhouse_connect
import msgspec
import structlog
from clickhouse_connect.driver import AsyncClient
from clickhouse_connect.driver.exceptions import Error

from services.alerts.people import Absence, Text

log = structlog.get_logger()

_QUERY: Final = """
SELECT toUInt64(revision) AS revision, comment, respondent_id, name, email, phone
FROM people FINAL WHERE team = {team:String} AND response_id = {response_id:String} LIMIT 1
"""
_AT_ONCE: Final = 8
_CONNECT_S: Final = 1.0
_ANSWER_S: Final = 2.0
# After a failure nobody is asked for a while, so that an outage costs each alert nothing but its wait.
_REST_S: Final = 0.2


class ClickHouseTable:
    """Reads `people`. The client is made at the first question and again after a failure to make it."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._client: AsyncClient | None = None
        self._connecting = asyncio.Lock()
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._rest_until_s = 0.0
        self._down = False

    async def read(self, team: str, response_id: str) -> Text | Absence:
        """The text of one answer; NOT_FOUND also when ClickHouse cannot be asked. Erased rows are not there."""
        if time.monotonic() < self._rest_until_s:
            return Absence.NOT_FOUND
        try:
            async with self._places, asyncio.timeout(_ANSWER_S):
                client = await self._connected()
                raw = await client.raw_query(
                    _QUERY, parameters={"team": team, "response_id": response_id}, fmt="JSONEachRow"
                )
            row = msgspec.json.decode(raw, type=Text) if raw.strip() else None
        except (Error, aiohttp.ClientError, OSError, TimeoutError, msgspec.MsgspecError) as error:
            self._rest_until_s = time.monotonic() + _REST_S
            if not self._down:
                log.warning("people_table_unreachable", error=type(error).__name__)
            self._down = True
            return Absence.NOT_FOUND
        self._down = False
        return Absence.NOT_FOUND if row is None else _with_nulls(row)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def _connected(self) -> AsyncClient:
        async with self._connecting:
            if self._client is None:
                self._client = await clickhouse_connect.get_async_client(
                    dsn=self._dsn, connect_timeout=_CONNECT_S, send_receive_timeout=_ANSWER_S, query_retries=0
                )
            return self._client


def _with_nulls(row: Text) -> Text:
    """The table has no nulls: an empty text is none."""
    return Text(
        row.revision,
        row.comment or None,
        row.respondent_id or None,
        row.name or None,
        row.email or None,
        row.phone or None,
    )

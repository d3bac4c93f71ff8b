"""ClickHouse, as the queries see it: typed rows out, every value bound, never a hang."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final, TypeVar

import aiohttp
import msgspec
import structlog
from clickhouse_connect import get_async_client
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import Error, ProgrammingError
from pydantic import SecretStr

from services.common.problems import Unavailable
from services.query.metrics import STORE_SECONDS

log = structlog.get_logger()
Row = TypeVar("Row", bound=msgspec.Struct)

# Tables are partitioned by what never changes about a row, so FINAL need not look across partitions.
SETTINGS: Final = """
SETTINGS do_not_merge_across_partitions_select_final = 1, output_format_json_quote_64bit_integers = 0"""

# Server errors that pass by themselves: overload, time-outs, tables that a migration is about to make.
_PASSING: Final = frozenset({60, 81, 159, 160, 202, 209, 210, 236, 241, 242, 243, 252, 319, 394, 425, 439})


class _One(msgspec.Struct):
    one: int


class StoreError(Exception):
    """ClickHouse refused a query of ours: a mistake in this program. Carries the error's number, never its text."""


class Store:
    """Runs queries with a bound on how many run at once and how long one may take.

    Every method raises `Unavailable` for an outage, an overload or a time-out. The client is made on first use and
    made anew after a failure to connect, so the service may start before ClickHouse does.
    """

    def __init__(self, dsn: SecretStr, *, at_once: int = 8, timeout_s: float = 10.0) -> None:
        self._dsn = dsn
        self._slots = asyncio.Semaphore(at_once)
        self._timeout_s = timeout_s
        self._making = asyncio.Lock()
        self._client: AsyncClient | None = None
        self._answered_at = float("-inf")

    async def rows(self, name: str, sql: str, row: type[Row], **bound: Any) -> list[Row]:
        """The rows of a query, decoded into `row` by column name. `bound` are the `{name:Type}` of the SQL."""
        started = time.monotonic()
        outcome = "error"
        try:
            async with asyncio.timeout(self._timeout_s), self._slots:
                client = await self._connected()
                body = await client.raw_query(sql + SETTINGS, parameters=bound, fmt="JSONEachRow")
            decoded = msgspec.json.Decoder(row).decode_lines(body)
            outcome = "ok"
            self._answered_at = time.monotonic()
        except (Error, aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError) as error:
            code = error.code if isinstance(error, Error) else None
            if code in _PASSING or (code is None and not isinstance(error, ProgrammingError)):
                outcome = "unavailable"
                log.warning("store_unavailable", query=name, error=type(error).__name__, code=code)
                raise Unavailable("the store cannot answer right now; try again shortly", retry_after_s=2) from error
            log.error("store_refused", query=name, error=type(error).__name__, code=code)
            raise StoreError(f"query {name}: {type(error).__name__} {code}") from None
        finally:
            STORE_SECONDS.labels(name, outcome).observe(time.monotonic() - started)
        return decoded

    async def ping(self) -> None:
        """Ask something small."""
        await self.rows("ping", "SELECT 1 AS one", _One)

    def answered_s_ago(self) -> float:
        """Seconds since ClickHouse last answered; infinite when it never has."""
        return time.monotonic() - self._answered_at

    async def close(self) -> None:
        """Give the connections back."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _connected(self) -> AsyncClient:
        if self._client is None:
            async with self._making:
                if self._client is None:
                    self._client = await get_async_client(
                        dsn=self._dsn.get_secret_value(),
                        connect_timeout=2,
                        send_receive_timeout=self._timeout_s,
                        compress=False,
                        query_retries=1,
                        autogenerate_session_id=False,
                    )
        return self._client

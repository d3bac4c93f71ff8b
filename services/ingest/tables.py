"""The tables `people` and `answers`, asked who said what. Nothing is asked but for an erasure."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import aiohttp
import clickhouse_connect
import msgspec
import structlog
from clickhouse_connect.driver import AsyncClient
from clickhouse_connect.driver.exceptions import Error
from pydantic import SecretStr

from schemas.commands import Way
from services.common.problems import Unavailable
from services.ingest.whose import Contact, Given

log = structlog.get_logger()
Row = TypeVar("Row", Contact, Given)

_ASK_S: Final = 30.0
_LAST_DIGITS: Final = 6  # of a phone number: written with or without its country code, they are the same

_MAY_HOLD: Final[dict[Way, str]] = {
    "id": "respondent_id = {value:String}",
    "email": "lowerUTF8(email) = {value:String}",
    "phone": "endsWith(replaceRegexpAll(phone, '[^0-9]', ''), {value:String})",
}
_CONTACTS: Final = "SELECT DISTINCT respondent_id, email, phone FROM people FINAL WHERE MAY_HOLD"
_GIVEN: Final = """
SELECT team, response_id, argMax(respondent, version) AS who, toUnixTimestamp64Milli(min(known_at)) AS received_ms
FROM answers
WHERE (team, response_id) IN (SELECT team, response_id FROM answers WHERE respondent IN {keys:Array(String)})
GROUP BY team, response_id
HAVING who IN {keys:Array(String)} AND NOT max(erased)
ORDER BY team, response_id
SETTINGS output_format_json_quote_64bit_integers = 0"""


class Tables:
    """See `Stored`. The client is made when it is first needed, and again after a failure."""

    def __init__(self, dsn: SecretStr) -> None:
        self._dsn = dsn
        self._client: AsyncClient | None = None
        self._asking = asyncio.Lock()

    async def contacts(self, way: Way, value: str) -> list[Contact]:
        """See `Stored`."""
        asked = value[-_LAST_DIGITS:] if way == "phone" else value
        return await self._rows(_CONTACTS.replace("MAY_HOLD", _MAY_HOLD[way]), Contact, value=asked)

    async def given_by(self, keys: Sequence[str]) -> list[Given]:
        """See `Stored`."""
        return await self._rows(_GIVEN, Given, keys=list(keys))

    async def close(self) -> None:
        """Give the connections back."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _rows(self, sql: str, row: type[Row], **bound: Any) -> list[Row]:
        try:
            async with asyncio.timeout(_ASK_S), self._asking:
                if self._client is None:
                    self._client = await clickhouse_connect.get_async_client(
                        dsn=self._dsn.get_secret_value(),
                        connect_timeout=5,
                        send_receive_timeout=_ASK_S,
                        query_retries=0,
                        autogenerate_session_id=False,
                    )
                body = await self._client.raw_query(sql, parameters=bound, fmt="JSONEachRow")
            return msgspec.json.Decoder(row).decode_lines(body)
        except (Error, aiohttp.ClientError, OSError, TimeoutError, msgspec.MsgspecError) as error:
            # From None: errors quote what was asked for.
            log.warning("tables_not_asked", error=type(error).__name__)
            await self.close()
            raise Unavailable(
                "what this person has said cannot be looked for right now; send the command again, that is safe",
                retry_after_s=2,
            ) from None

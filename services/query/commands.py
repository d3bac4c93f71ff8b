"""What has become of commands on cases, as it is stored."""

from __future__ import annotations

from typing import Final

import msgspec

from services.query.store import Store

_COMMAND: Final = """
SELECT act, refused_for, allowed, causes, state, n, toUnixTimestamp64Milli(at) AS at_ms
FROM followup_commands FINAL
WHERE case_id = {case_id:String} AND command_id = {command_id:String}"""


class CommandRow(msgspec.Struct, frozen=True):
    """What has become of a command. `refused_for` empty: applied. `act`: the record of the log, JSON."""

    act: str
    refused_for: str
    allowed: list[str]
    causes: list[str]
    state: str
    n: int
    at_ms: int


async def command(store: Store, case_id: str, command_id: str) -> CommandRow | None:
    """What has become of a command; None when nothing is stored of it."""
    rows = await store.rows("command", _COMMAND, CommandRow, case_id=case_id, command_id=command_id)
    return rows[0] if rows else None

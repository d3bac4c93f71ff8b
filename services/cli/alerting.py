"""`pulse silence` and `pulse resend`: asked of the alerts service, and what it answered."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from services.cli import output
from services.cli.client import Client
from services.cli.codes import Exit, Fail
from services.cli.instance import KeyName, find

_LENGTH: Final = re.compile(r"([1-9]\d{0,4})([mhd])")
_MINUTES: Final = {"m": 1, "h": 60, "d": 24 * 60}
_LONGEST_MIN: Final = 30 * 24 * 60

Ask = Callable[[Client], Awaitable[Any]]


def _asked(ask: Ask, needs: KeyName, data: Path | None, url: str | None, key: str | None) -> Any:
    async def run() -> Any:
        async with Client(find("alerts", needs, data, url, key)) as client:
            return await ask(client)

    return asyncio.run(run())


def minutes_of(length: str) -> int:
    """Minutes of `30m`, `2h` or `3d`. Raises Fail."""
    found = _LENGTH.fullmatch(length)
    minutes = int(found[1]) * _MINUTES[found[2]] if found else 0
    if not 0 < minutes <= _LONGEST_MIN:
        raise Fail(Exit.USAGE, f"--for must look like 30m, 2h or 3d, at most 30d, not {length!r}")
    return minutes


def silence(
    team: str | None,
    channel: str | None,
    lasts: str,
    reason: str,
    data: Path | None,
    url: str | None,
    key: str | None,
    *,
    as_json: bool,
) -> None:
    """Make a silence and show it."""
    body = {"team": team, "channel": channel, "minutes": minutes_of(lasts), "reason": reason}
    made = _asked(lambda client: client.send("POST", "/v1/silences", body), "admin", data, url, key)
    _show([made], as_json=as_json)


def silences(data: Path | None, url: str | None, key: str | None, *, as_json: bool) -> None:
    """Show what is held back."""
    found = _asked(lambda client: client.get("/v1/silences"), "read", data, url, key)
    _show(found["silences"], as_json=as_json)


def end(silence_id: str, data: Path | None, url: str | None, key: str | None, *, as_json: bool) -> None:
    """End a silence and show it."""
    ended = _asked(lambda client: client.send("DELETE", f"/v1/silences/{silence_id}"), "admin", data, url, key)
    _show([ended], as_json=as_json)


def _show(found: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        output.print_json({"silences": found})
        return
    rows = [(one["team"] or "all", one["channel"] or "all", one["until"], one["reason"], one["id"]) for one in found]
    output.print_table(("team", "channel", "until", "reason", "id"), rows)


def resend(
    message: str | None, channel: str | None, data: Path | None, url: str | None, key: str | None, *, as_json: bool
) -> None:
    """Ask for it, and show how many events are pending again."""
    body = {"id": message, "channel": channel}
    resent = _asked(lambda client: client.send("POST", "/v1/deliveries/resend", body), "admin", data, url, key)[
        "resent"
    ]
    if as_json:
        output.print_json({"resent": resent})
        return
    output.print_table(("channel", "told again"), [(name, str(count)) for name, count in sorted(resent.items())])

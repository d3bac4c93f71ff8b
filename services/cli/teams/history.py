"""`pulse config history TEAM`: what a team has promised, as the log has it."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

from services.cli import output
from services.cli.client import Client
from services.cli.codes import Exit, Fail
from services.cli.instance import find


def history(team: str, limit: int, data: Path | None, url: str | None, key: str | None, *, as_json: bool) -> None:
    """The policies of a team, newest first, and what of its table each has changed."""

    async def run() -> dict[str, Any]:
        async with Client(find("query", "read", data, url, key)) as query:
            # One more than is shown: what the last one changed is seen from the one before.
            path = f"/v1/teams/{quote(team, safe='')}/policies"
            found: dict[str, Any] = await query.get(path, {"limit": str(limit + 1)})
            return found

    document = asyncio.run(run())
    items = document["items"]
    if not items:
        raise Fail(
            Exit.NOT_FOUND, f"{team} has no policy in the log: it works around the clock, as every team at first"
        )
    if as_json:
        output.print_json(document | {"items": items[:limit]})
        return
    changes = [_changed(newer["config"], older["config"]) for newer, older in pairwise(items)]
    rows = [
        (str(item["set_at"])[:16].replace("T", " "), item["rev"][:8], _until(item["until"]), what)
        for item, what in zip(items[:limit], [*changes, "first"][:limit], strict=True)
    ]
    output.print_table(("set", "rev", "hours known until", "changed"), rows)


def _changed(newer: dict[str, Any], older: dict[str, Any]) -> str:
    names = [name for name in {**newer, **older} if newer.get(name) != older.get(name)]
    return ", ".join(names) or "renewed"


def _until(at: str | None) -> str:
    return "for ever" if at is None else at[:10]

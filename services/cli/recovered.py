"""`pulse recovery`: whether follow-ups win customers back."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from services.cli import output
from services.cli.client import Client
from services.cli.instance import find


def show(
    team: str, params: Mapping[str, str | None], data: Path | None, url: str | None, key: str | None, *, as_json: bool
) -> None:
    """Print how many were asked again, how many answered, and from which score to which."""

    async def get() -> Any:
        async with Client(find("query", "read", data, url, key)) as client:
            given = {name: value for name, value in params.items() if value is not None}
            return await client.get(f"/v1/teams/{quote(team, safe='')}/recovery", given)

    found = asyncio.run(get())
    if as_json:
        output.print_json(found)
        return
    sys.stdout.write("\n".join(lines_of(found)) + "\n")
    if found["pairs"]:
        output.print_table(
            ("before", "now", "customers"),
            [tuple(str(pair[name]) for name in ("before", "after", "cases")) for pair in found["pairs"]],
            right=("before", "now", "customers"),
        )


def lines_of(found: Mapping[str, Any]) -> list[str]:
    """The numbers in words."""
    asked = f"{found['team']}: {output.counted(found['asked'], 'customer')} asked again, {found['answered']:,} answered"
    if not found["answered"]:
        return [asked]
    return [
        asked,
        f"recovered {found['recovered']:,} ({found['rate']:.0f} %): promoters {found['promoters']:,}, passives "
        f"{found['passives']:,}; detractors still {found['detractors']:,}",
        f"mean score {found['mean_before']:.1f} before, {found['mean_after']:.1f} now",
    ]

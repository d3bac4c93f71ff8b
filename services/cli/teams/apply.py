"""`pulse config apply FILE`: puts what the file says in force, team by team, where it differs from what the log has."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from schemas.feedback import Policy
from services.cli import output
from services.cli.client import Client
from services.cli.commanding import Doors, behind, deadline_in, position_of, was_seen
from services.cli.teams.command import policies

PAGE: Final = 1_000  # teams asked for at once


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one team. `position`: of its record in the log; None where nothing had changed."""

    team: str
    position: str | None = None


def apply(file: Path, where: Doors, wait_s: float, *, dry_run: bool, as_json: bool) -> None:
    """Write the teams that have changed to the log, and wait until the fold has them. Nothing is sent of a bad file."""
    wanted = policies(file)
    if dry_run:
        changed = asyncio.run(_changed(where, wanted))
        _tell([Outcome(team, "" if team in changed else None) for team in wanted], as_json=as_json, done=False)
        return

    async def run() -> tuple[list[Outcome], bool]:
        outcomes = await put(where, wanted)
        positions = [outcome.position for outcome in outcomes if outcome.position is not None]
        async with Client(where.query) as query:
            return outcomes, not positions or await was_seen(query, positions, deadline_in(wait_s))

    outcomes, seen = asyncio.run(run())
    if not seen:
        raise behind(wait_s, {"teams": [_document(outcome) for outcome in outcomes], "seen": False})
    _tell(outcomes, as_json=as_json, done=True)


async def put(where: Doors, wanted: Mapping[str, Policy]) -> list[Outcome]:
    """Send those of the policies that are not in force already; what became of each. Raises Fail."""
    changed = await _changed(where, wanted)
    async with Client(where.ingest) as ingest:
        outcomes = []
        for team, policy in wanted.items():
            if team not in changed:
                outcomes.append(Outcome(team))
                continue
            told = await ingest.send("PUT", f"/v1/teams/{quote(team, safe='')}/policy", policy.config)
            outcomes.append(Outcome(team, position_of(told["receipt"])))
        return outcomes


async def _changed(where: Doors, wanted: Mapping[str, Policy]) -> frozenset[str]:
    """The teams whose policy is not the one that holds."""
    held: dict[str, str] = {}
    after = ""
    async with Client(where.query) as query:
        while True:
            items = (await query.get("/v1/policies", {"after": after, "limit": str(PAGE)}))["items"]
            held |= {item["team"]: item["rev"] for item in items}
            if len(items) < PAGE:
                return frozenset(team for team, policy in wanted.items() if held.get(team) != policy.rev)
            after = items[-1]["team"]


def _tell(outcomes: list[Outcome], *, as_json: bool, done: bool) -> None:
    if as_json:
        output.print_json({"teams": [_document(outcome) for outcome in outcomes], "seen": done, "dry_run": not done})
        return
    word = "in force" if done else "would change"
    for outcome in outcomes:
        state = "unchanged" if outcome.position is None else word
        at = f", log position {outcome.position}" if outcome.position else ""
        sys.stdout.write(f"{outcome.team}: {state}{at}\n")


def _document(outcome: Outcome) -> dict[str, Any]:
    changed = outcome.position is not None
    return {"team": outcome.team, "changed": changed, "position": outcome.position or None}

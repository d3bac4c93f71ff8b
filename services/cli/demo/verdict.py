"""Does the instance say what the log says? Every window and policy of the sample's teams, against the recount."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from services.cli.client import Client
from services.cli.demo.receiver import Inbox
from services.cli.demo.recount import Recount, raised_since, read_log, recount
from services.cli.instance import generation_of
from stream.domain.minutes import WINDOWS, window_name

POLICIES: Final = ("all", "latest")
DELIVERY_S: Final = 60.0
_TRIES: Final = 5


@dataclass
class Verdict:
    """What was compared and what came out. `differences` and `missing` are empty when all is well."""

    compared: int = 0
    differences: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    raised: int = 0
    delivered: int = 0
    undelivered: list[str] = field(default_factory=list)
    forged: int = 0

    @property
    def good(self) -> bool:
        """Scores equal the recount, nothing is missing, and every follow-up was delivered; there must be one."""
        return not (self.differences or self.missing or self.undelivered or self.forged) and self.delivered > 0


async def judge(
    query: Client,
    kafka: str,
    teams: Iterable[str],
    sent: Iterable[Mapping[str, Any]],
    at_least: str,
    inbox: Inbox,
    since_ms: int,
) -> Verdict:
    """Compare, and wait for the deliveries of what was raised since `since_ms`.

    An answer that somebody posts meanwhile moves a score between the two readings, so a difference counts only
    when it is there several times.
    """
    names, generation = list(teams), generation_of()
    verdict = Verdict()
    counted = Recount()
    for attempt in range(_TRIES):
        scores = await _scores(query, names, at_least)
        counted = recount(await read_log(kafka, names, generation))
        verdict.compared = len(scores)
        verdict.differences = [text for score in scores if (text := _difference(score, counted)) is not None]
        if not verdict.differences:
            break
        await asyncio.sleep(0.2 * attempt)
    # The last revision of an id is what the log must hold.
    newest = {(body["team"], body["response_id"]): body["score"] for body in sent}
    for key, score in newest.items():
        held = counted.answers.get(key)
        if held is None or held.record["score"] != score:
            verdict.missing.append(key[1])
    raised = await raised_since(kafka, names, since_ms, generation)
    verdict.raised = len(raised)
    await _delivered(set(raised), inbox)
    verdict.undelivered = sorted(set(raised) - set(inbox.bodies))
    verdict.delivered, verdict.forged = len(set(raised) & set(inbox.bodies)), inbox.forged
    return verdict


async def _scores(query: Client, teams: Iterable[str], at_least: str) -> list[dict[str, Any]]:
    found = []
    for team in teams:
        for minutes in WINDOWS:
            for policy in POLICIES:
                params = {"window": window_name(minutes), "policy": policy, "at_least": at_least}
                found.append(await query.get(f"/v1/teams/{team}/score", params) | {"minutes": minutes})
    return found


def _difference(score: Mapping[str, Any], counted: Recount) -> str | None:
    as_of = int(datetime.fromisoformat(score["as_of"]).timestamp()) // 60
    told = (score["detractors"], score["passives"], score["promoters"])
    truth = counted.count(score["team"], score["minutes"], score["policy"], as_of)
    if told == truth:
        return None
    return f"{score['team']} {score['window']} {score['policy']} as of {score['as_of']}: told {told}, recounted {truth}"


async def _delivered(event_ids: set[str], inbox: Inbox) -> None:
    """Until every id has been delivered, or the patience ends."""
    loop = asyncio.get_running_loop()
    until = loop.time() + DELIVERY_S
    while not event_ids <= set(inbox.bodies) and loop.time() < until:  # noqa: ASYNC110 - the inbox has no event
        await asyncio.sleep(0.05)

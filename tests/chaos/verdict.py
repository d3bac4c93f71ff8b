"""What an instance came to, held against the log itself: nothing lost, nothing twice, everything agrees."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import clickhouse_connect
import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.topics import FOLLOWUPS, PARTITIONS, TEAM_SCORES
from services.cli.demo.receiver import Inbox
from services.cli.demo.recount import Recount, read_log, recount
from tests.chaos.senders import TEAMS, Sending

WITHIN_S = 180.0
LIVE_WINDOWS = (60, 1_440, 10_080, 43_200, 129_600)


@dataclass(frozen=True)
class Verdict:
    """Figures that must all be zero, but for the first four."""

    acknowledged: int
    repeats: int
    cases: int
    delivered: int
    missing: int
    log_holds_unsent: int
    scores_off: tuple[str, ...]
    panes_off: tuple[str, ...]
    detractors_without_case: int
    cases_raised_twice: int
    not_delivered: int
    forged: int

    @property
    def faults(self) -> dict[str, Any]:
        """What is not as it must be."""
        must_be_nothing = {name: getattr(self, name) for name in list(self.__dataclass_fields__)[4:]}
        return {name: value for name, value in must_be_nothing.items() if value}


async def judge(ready: dict[str, Any], sending: Sending, inbox: Inbox) -> Verdict:
    """Wait until everything is folded and stored, then compare."""
    await caught_up(ready)
    entries = await read_log(ready["kafka"], TEAMS)
    counted = recount(entries)
    in_log = {response_id for _, response_id in counted.answers}
    raised = await _raised(ready["kafka"])
    await _delivered({event for events in raised.values() for event in events}, inbox)
    published = await _published(ready["kafka"])
    store = clickhouse_connect.get_client(dsn=ready["clickhouse"])
    try:
        panes = store.query("SELECT team, minute, scores FROM panes FINAL").result_rows
        answers = store.query(
            "SELECT response_id, argMax(case_id, version), argMax(score, version) FROM answers GROUP BY response_id"
        ).result_rows
    finally:
        store.close()
    case_of = {response_id: case_id for response_id, case_id, _ in answers}
    detractors = [key for key, answer in counted.answers.items() if answer.record["score"] <= 6]
    events = {event for of_case in raised.values() for event in of_case}
    return Verdict(
        acknowledged=len(sending.acknowledged),
        repeats=sending.repeats,
        cases=len(raised),
        delivered=len(inbox.bodies),
        missing=len(sending.acknowledged.keys() - in_log),
        log_holds_unsent=len(in_log - sending.acknowledged.keys()),
        scores_off=tuple(_scores_off(published, counted)),
        panes_off=tuple(_panes_off(panes, counted)),
        detractors_without_case=sum(not case_of.get(response_id) for _, response_id in detractors),
        cases_raised_twice=sum(len(of_case) > 1 for of_case in raised.values()),
        not_delivered=len(events - inbox.bodies.keys()),
        forged=inbox.forged,
    )


async def caught_up(ready: dict[str, Any]) -> None:
    """Wait until every record of the log is folded, and what it caused is stored."""
    deadline = time.monotonic() + WITHIN_S
    said: Any = None
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {ready['keys']['read']}"}) as http:
        while time.monotonic() < deadline:
            try:
                async with http.get(f"{ready['query']}/v1/position") as response:
                    said = await response.json()
                    if response.status == 200 and said["caught_up"]:
                        return
            except (aiohttp.ClientError, TimeoutError) as error:
                said = error
            await asyncio.sleep(0.2)
    raise AssertionError(f"not caught up after {WITHIN_S} s: {said}")


async def _delivered(events: set[str], inbox: Inbox) -> None:
    deadline = time.monotonic() + WITHIN_S
    while events - inbox.bodies.keys() and time.monotonic() < deadline:
        await asyncio.sleep(0.1)


async def _raised(kafka: str) -> dict[str, set[str]]:
    """Event ids of `followup.raised` by case id."""
    raised: dict[str, set[str]] = defaultdict(set)
    for _, record in await _all(kafka, FOLLOWUPS):
        if record.get("kind") == "followup.raised":
            raised[record["case"]["case_id"]].add(record["event_id"])
    return raised


async def _published(kafka: str) -> dict[str, dict[str, Any]]:
    """The newest published scores of each team."""
    newest: dict[str, dict[str, Any]] = {}
    for _, record in await _all(kafka, TEAM_SCORES):
        if record["version"] >= newest.get(record["team"], record)["version"]:
            newest[record["team"]] = record
    return newest


async def _all(kafka: str, topic: str) -> list[tuple[bytes | None, dict[str, Any]]]:
    places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="earliest")
    found: list[tuple[bytes | None, dict[str, Any]]] = []
    await consumer.start()
    try:
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        await consumer.seek_to_beginning(*places)
        while any([await consumer.position(place) < ends[place] for place in places]):
            for batch in (await consumer.getmany(timeout_ms=1_000)).values():
                found += [(record.key, msgspec.json.decode(record.value)) for record in batch if record.value]
    finally:
        await consumer.stop()
    return found


def _scores_off(published: dict[str, dict[str, Any]], counted: Recount) -> list[str]:
    """Windows whose published counts are not those of a recount at the minute they are for."""
    off = []
    for team in {team for team, _ in counted.answers}:
        scores = published.get(team)
        if scores is None:
            off.append(f"{team}: nothing published")
            continue
        for window in scores["windows"]:
            for policy in ("all", "latest"):
                want = counted.count(team, window["minutes"], policy, scores["as_of"])
                if tuple(window[policy]) != want:
                    off.append(f"{team} {window['minutes']} {policy}: {window[policy]}, recounted {want}")
    return off


def _panes_off(panes: Sequence[Any], counted: Recount) -> list[str]:
    """Teams whose panes in ClickHouse do not sum to a recount of everything."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for team, _, scores in panes:
        for slot, part in enumerate((scores[:7], scores[7:9], scores[9:])):
            sums[team][slot] += sum(part)
    teams = {team for team, _ in counted.answers}
    forever = 1 << 40
    return [
        f"{team}: {sums[team]}, recounted {want}"
        for team in teams
        if tuple(sums[team]) != (want := counted.count(team, forever, "all", forever - 1))
    ]

"""A recount of the log by the shortest code that can do it, sharing nothing with the fold.

It holds every record in memory and counts anew for each question, so it is for samples and tests, not for service.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.generations import FIRST, Generation
from schemas.topics import APPENDED_HEADER, FEEDBACK, FOLLOWUPS

_MINUTE_MS: Final = 60_000
_HORIZON_MS: Final = 400 * 86_400_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of a topic, decoded. `appended_ms` is the broker's time of it."""

    team: str
    offset: int
    appended_ms: int
    record: dict[str, Any]


@dataclass
class _Answer:
    event_ms: int
    first_offset: int
    history: bool
    record: dict[str, Any]


@dataclass
class Recount:
    """Answers of some teams as the log has them. Counts are (detractors, passives, promoters)."""

    answers: dict[tuple[str, str], _Answer] = field(default_factory=dict)

    def apply(self, entry: Entry) -> None:
        """Take one record; they must come in log order within a team."""
        record = entry.record
        if record["type"] != "answer":
            return
        key = (entry.team, record["response_id"])
        held = self.answers.get(key)
        answered_ms = record.get("answered_ms")
        revision = record.get("revision", 0)
        if held is None:
            if revision > 0 and answered_ms is None:
                return  # a revision of an answer nobody has seen
            event_ms = entry.appended_ms if answered_ms is None else min(answered_ms, entry.appended_ms)
            self.answers[key] = _Answer(event_ms, entry.offset, event_ms < entry.appended_ms - _HORIZON_MS, record)
        elif revision >= held.record.get("revision", 0):
            held.record = record

    def count(self, team: str, minutes: int, policy: str, as_of: int) -> tuple[int, int, int]:
        """Counted answers of the window (as_of - minutes, as_of], both in minutes since 1970 UTC."""
        counted = [
            answer
            for (of, _), answer in self.answers.items()
            if of == team and not answer.history and not answer.record.get("test") and _pane(answer) <= as_of
        ]
        if policy == "latest":
            newest: dict[str, _Answer] = {}
            for answer in sorted(counted, key=lambda answer: (answer.event_ms, answer.first_offset)):
                newest[answer.record.get("respondent") or f"answer {answer.first_offset}"] = answer
            counted = list(newest.values())
        scores = [answer.record["score"] for answer in counted if _pane(answer) > as_of - minutes]
        return (
            sum(score <= 6 for score in scores),
            sum(7 <= score <= 8 for score in scores),
            sum(score >= 9 for score in scores),
        )


def _pane(answer: _Answer) -> int:
    return -(-answer.event_ms // _MINUTE_MS)


def recount(entries: Iterable[Entry]) -> Recount:
    """The recount of some records."""
    result = Recount()
    for entry in entries:
        result.apply(entry)
    return result


async def read_log(kafka: str, teams: Iterable[str], generation: Generation = FIRST) -> list[Entry]:
    """Every record of some teams in `feedback.v1`, from the beginning to the end it has now."""
    return await _read(kafka, generation, FEEDBACK, teams)


async def raised_since(
    kafka: str, teams: Iterable[str], since_ms: int, generation: Generation = FIRST
) -> dict[str, dict[str, Any]]:
    """Follow-ups raised for some teams since a time, by event id, from `followups.v1`."""
    return {
        entry.record["event_id"]: entry.record["case"]
        for entry in await _read(kafka, generation, FOLLOWUPS, teams)
        if entry.record.get("kind") == "followup.raised" and entry.record["at_ms"] >= since_ms
    }


async def _read(kafka: str, generation: Generation, topic: str, teams: Iterable[str]) -> list[Entry]:
    keys: Mapping[bytes, str] = {team.encode(): team for team in teams}
    numbers = sorted({generation.partition_of(key) for key in keys})
    places = [TopicPartition(generation.topic(topic), number) for number in numbers]
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="earliest")
    entries: list[Entry] = []
    await consumer.start()
    try:
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        await consumer.seek_to_beginning(*places)
        while any([await consumer.position(place) < ends[place] for place in places]):
            for batch in (await consumer.getmany(timeout_ms=1_000)).values():
                for message in batch:
                    team = keys.get(message.key)
                    if team is not None and message.value is not None:
                        original = dict(message.headers).get(APPENDED_HEADER)
                        appended_ms = message.timestamp if original is None else int(original)
                        record = msgspec.json.decode(message.value)
                        entries.append(Entry(team, message.offset, appended_ms, record))
    finally:
        await consumer.stop()
    return entries

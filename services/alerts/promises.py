"""Whom a team wants told, and when: its newest policy, followed in `team-policies.v1`, asked about each event.

A team that names targets in its table is told through those; every other through the outlets that are for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer

from schemas.followups import FollowupEvent
from schemas.generations import FIRST, Generation
from schemas.policies import TeamPolicy
from schemas.topics import TEAM_POLICIES
from services.alerts.grouping import ASKING, TOLD
from services.alerts.kafka import Backlog, kept_up, partitions_of
from services.alerts.outlets import Route
from services.alerts.people import People, Text, Whose
from services.alerts.store import Store
from services.alerts.store_groups import told_of
from services.teams.models import Team
from services.teams.reading import dotted, team_of
from services.teams.routing import Told, facts_of, looks_for_words, targets_for

log = structlog.get_logger()

_POLL_MS: Final = 1_000
_RECORDS: Final = 500
_decode: Final = msgspec.json.Decoder(TeamPolicy).decode

AT_ONCE: Final = 100  # comments that are looked for; most are in memory, one that is not may take seconds
Due = Mapping[str, int]  # name of an outlet → when it is told, milliseconds UTC; 0: at once


class Book:
    """The newest policy of each team, as far as `team-policies.v1` has been read."""

    def __init__(self) -> None:
        self.read = asyncio.Event()  # all that stood there at the start has been
        self._held: dict[str, tuple[int, Team]] = {}

    def of(self, team: str) -> Team | None:
        """What is set for a team; None for one that has no policy of its own, or none that can be read."""
        held = self._held.get(team)
        return None if held is None else held[1]

    def take(self, value: bytes | None) -> None:
        """One record. What cannot be read, or was written by a version that knows more, changes nothing."""
        try:
            record = _decode(value or b"")
        except msgspec.MsgspecError:
            log.warning("policy_record_unreadable")
            return
        held = self._held.get(record.team)
        if held is not None and held[0] >= record.version:
            return
        team = team_of(record.policy.config)
        if isinstance(team, list):
            log.error("policy_unusable", team=record.team, fields=[dotted(path) for path, _ in team])
            return
        self._held[record.team] = (record.version, team)


class PolicyTail:
    """Fills a `Book`, from the beginning of the topic on. `run` ends only by cancellation."""

    topic: Final = TEAM_POLICIES

    def __init__(self, bootstrap: str, book: Book, generation: Generation = FIRST) -> None:
        self.read = book.read
        self._bootstrap = bootstrap
        self._book = book
        self._generation = generation

    async def run(self) -> None:
        """Read until cancelled; an outage is retried in place."""
        await kept_up(self._read, TEAM_POLICIES)

    async def _read(self) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        try:
            await consumer.start()
            partitions = partitions_of(TEAM_POLICIES, self._generation)
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            backlog = Backlog(consumer, partitions)
            while True:
                if not self._book.read.is_set() and await backlog.is_read():
                    self._book.read.set()
                batches: Mapping[Any, Sequence[Any]] = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_RECORDS)
                for records in batches.values():
                    for record in records:
                        self._book.take(record.value)
        finally:
            await consumer.stop()


class Telling:
    """Says of events which outlets are told, and when."""

    def __init__(
        self,
        book: Book,
        people: People,
        store: Store,
        usual: Route,
        outlets: Iterable[str],
    ) -> None:
        self._book = book
        self._people = people
        self._store = store
        self._usual = usual
        self._outlets = frozenset(outlets)

    async def of(self, events: Sequence[FollowupEvent]) -> list[Due]:
        """One answer an event, in their order. The same events get the same answers: time is that of the event.

        What is said of a case is routed anew each time, to whoever is on call then. How it goes on (somebody has it,
        it is resolved) is told to all who have been told of the case, and to nobody else. That the customer is to be
        asked again is work for a machine: every outlet of the team may have it.
        """
        await self._book.read.wait()
        following = {event.case.case_id for event in events if event.kind not in TOLD}
        before = await self._store.write(lambda file: told_of(file, following)) if following else {}
        comments = await comments_of(self._people, [event.case for event in events if self._depends_on_words(event)])
        found: list[Due] = []
        for event in events:
            case = event.case
            team = self._book.of(case.team)
            if team is None or not (team.targets or team.routes or team.escalation) or event.kind in ASKING:
                due: Due = dict.fromkeys(self._usual(case, event.at_ms), 0)
            elif event.kind in TOLD:
                due = self._routed(team, event, comments.get((case.team, case.response_id)))
            else:
                due = dict.fromkeys(before.get(case.case_id, ()), 0)
            if following:
                before.setdefault(case.case_id, set()).update(due)
            found.append(due)
        return found

    def _depends_on_words(self, event: FollowupEvent) -> bool:
        team = self._book.of(event.case.team)
        return event.kind in TOLD and team is not None and looks_for_words(team)

    def _routed(self, team: Team, event: FollowupEvent, comment: str | None) -> Due:
        told = targets_for(team, facts_of(event.case, comment=comment, level=event.level or 0), event.at_ms)
        return due_of(told, event.case.team, self._outlets, self._usual(event.case, event.at_ms))


async def comments_of(people: People, wanted: Iterable[Whose]) -> Mapping[tuple[str, str], str | None]:
    """What people wrote, by team and answer: each is looked up once, many at a time."""
    places = asyncio.Semaphore(AT_ONCE)

    async def comment(whose: Whose) -> str | None:
        async with places:
            found = await people.expect(whose)
            return found.comment if isinstance(found, Text) else None

    each = {(whose.team, whose.response_id): whose for whose in wanted}
    return dict(zip(each, await asyncio.gather(*map(comment, each.values())), strict=True))


def due_of(told: Told, team: str, outlets: Collection[str], usual: Iterable[str]) -> Due:
    """When each outlet is told. Names that are none are left out; where none is one, better everybody than nobody."""
    names = {*told.now, *told.later}
    unknown = sorted(names.difference(outlets))
    if unknown:
        log.error("targets_unknown", team=team, targets=unknown)
    if not names.intersection(outlets):
        return dict.fromkeys(usual, 0 if told.now else told.later_ms or 0)
    due = dict.fromkeys(told.later, told.later_ms or 0) | dict.fromkeys(told.now, 0)
    return {name: at_ms for name, at_ms in due.items() if name in outlets}

"""The text of a note that came to nothing goes after a day, and no other does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from schemas.people import person_key
from schemas.topics import PARTITIONS, PEOPLE, partition_of
from stream.domain.messages import Message
from stream.notes import AFTER_MS, EVERY_MS, Orphans
from stream.rows import Key
from stream.store import Unreachable
from tests.unit.stream.fakes import Record
from tests.unit.worker.copies import Partitions
from tests.unit.worker.fakes import FakeOutbox

NOW_MS = 1_790_000_000_000
TEAM, OTHER = "support", "billing"
HERE, THERE = partition_of(TEAM.encode()), partition_of(OTHER.encode())


class Tables:
    """Plays ClickHouse. `through`: how far each partition is stored."""

    def __init__(self, *notes: Key) -> None:
        self.notes = list(notes)
        self.through: dict[int, int] = {}
        self.before_ms: list[int] = []
        self.away = False

    def stored_through(self, generation: int) -> Mapping[int, int]:
        if self.away:
            raise Unreachable("played")
        return self.through

    def unnamed_notes(self, before_ms: int) -> Sequence[Key]:
        self.before_ms.append(before_ms)
        return self.notes


def orphans(tables: Tables, ends: Mapping[int, int]) -> tuple[Orphans, FakeOutbox]:
    logs = {number: [Record(at, NOW_MS, None, b"{}") for at in range(end)] for number, end in ends.items()}
    outbox = FakeOutbox()
    return Orphans(Partitions(logs, PARTITIONS), tables, outbox, partition_of, 1), outbox


@pytest.fixture
def tables() -> Tables:
    return Tables((TEAM, "n-1"), (OTHER, "n-2"))


async def test_a_text_goes_once_the_tables_are_past_the_log_of_an_earlier_look(tables: Tables) -> None:
    looking, outbox = orphans(tables, {HERE: 5, THERE: 7})
    tables.through = {HERE: 5, THERE: 6}  # of the other's partition something may still be on its way
    assert await looking.look([HERE, THERE], NOW_MS) == 0  # nobody knows yet what stood in the log before
    assert await looking.look([HERE, THERE], NOW_MS + EVERY_MS) == 1
    assert outbox.sent == [Message(PEOPLE, person_key(TEAM, "n-1"), None)]
    assert tables.before_ms == [NOW_MS - AFTER_MS, NOW_MS + EVERY_MS - AFTER_MS]
    tables.through[THERE] = 7
    tables.notes = tables.notes[1:]
    assert await looking.look([HERE, THERE], NOW_MS + 2 * EVERY_MS) == 1
    assert outbox.sent[1:] == [Message(PEOPLE, person_key(OTHER, "n-2"), None)]


async def test_it_looks_once_an_hour_and_at_its_own_partitions_only(tables: Tables) -> None:
    looking, outbox = orphans(tables, {HERE: 1, THERE: 1})
    tables.through = {HERE: 1, THERE: 1}
    assert await looking.look([HERE], NOW_MS) == 0
    assert await looking.look([HERE], NOW_MS + EVERY_MS - 1) == 0
    assert len(tables.before_ms) == 1
    assert await looking.look([HERE, THERE], NOW_MS + EVERY_MS) == 1  # the other one came only now
    assert [message.key for message in outbox.sent] == [person_key(TEAM, "n-1")]


async def test_an_outage_of_the_tables_costs_an_hour(tables: Tables) -> None:
    looking, outbox = orphans(tables, {HERE: 1})
    tables.through = {HERE: 1}
    assert await looking.look([HERE], NOW_MS) == 0
    tables.away = True
    assert await looking.look([HERE], NOW_MS + EVERY_MS) == 0
    assert outbox.sent == []
    tables.away = False
    assert await looking.look([HERE], NOW_MS + 2 * EVERY_MS) == 1

"""Looking up comment and contact."""

from __future__ import annotations

import asyncio
import time

import msgspec

from schemas.people import Person, person_key
from services.alerts.people import Absence, Cache, People, Text
from services.alerts.people_tail import PeopleTail
from tests.unit.alerts.builders import FakeTable, raised, until

EVENT = raised(personal=True)
KEY = person_key(EVENT.case.team, EVENT.case.response_id)


def test_the_newest_revision_stays_whatever_comes_later() -> None:
    cache = Cache()
    cache.put(KEY, Text(2, "second"))
    cache.put(KEY, Text(1, "first, sent again"))
    assert cache.get(KEY) == Text(2, "second")
    cache.put(KEY, Text(2, "second, mended"))
    assert cache.get(KEY) == Text(2, "second, mended")


def test_a_tombstone_removes_the_text_and_no_later_text_brings_it_back() -> None:
    cache = Cache()
    cache.put(KEY, Text(0, "mine"))
    cache.erase(KEY)
    cache.put(KEY, Text(9, "again"))
    assert cache.get(KEY) is Absence.ERASED


def test_the_cache_is_bounded_in_entries_and_drops_what_was_not_used() -> None:
    cache = Cache(entries_max=3)
    for name in (b"a", b"b", b"c"):
        cache.put(name, Text(0, "x"))
    cache.get(b"a")
    cache.put(b"d", Text(0, "x"))
    assert len(cache) == 3
    assert cache.get(b"b") is Absence.NOT_FOUND
    assert cache.get(b"a") == Text(0, "x")


def test_the_cache_is_bounded_in_bytes() -> None:
    cache = Cache(bytes_max=100_000)
    for number in range(1_000):
        cache.put(b"%d" % number, Text(0, "x" * 4_000))
    assert 20 <= len(cache) <= 25


def test_a_text_shows_nothing_of_itself() -> None:
    assert "Ane" not in f"{Text(0, 'Ane')!r} {Text(0, 'Ane')}"


def test_the_tail_takes_texts_and_tombstones_and_passes_over_the_rest() -> None:
    cache = Cache()
    tail = PeopleTail("unused:9092", cache)
    person = Person("support", "r", comment="Hej", email="a@b.dk", answers={"why": "because"})
    tail.take(b"support|r", msgspec.json.encode(person))
    assert cache.get(b"support|r") == Text(0, "Hej", email="a@b.dk")
    tail.take(b"support|q", b"not json")
    tail.take(None, b"{}")
    assert len(cache) == 1
    tail.take(b"support|r", None)
    assert cache.get(b"support|r") is Absence.ERASED


async def test_a_case_without_text_asks_nobody() -> None:
    table = FakeTable()
    assert await People(Cache(), table).expect(raised().case) is None
    assert table.asked == 0


async def test_what_memory_holds_is_had_at_once_without_the_table() -> None:
    cache, table = Cache(), FakeTable()
    cache.put(KEY, Text(0, "here"))
    assert await People(cache, table).expect(EVENT.case) == Text(0, "here")
    assert table.asked == 0


async def test_what_memory_does_not_hold_comes_from_the_table_and_is_kept() -> None:
    table = FakeTable({EVENT.case.response_id: Text(0, "from yesterday")})
    people = People(Cache(), table)
    assert await people.expect(EVENT.case) == Text(0, "from yesterday")
    assert await people.lookup(EVENT.case) == Text(0, "from yesterday")
    assert table.asked == 1


async def test_two_channels_that_wait_for_one_text_both_get_it() -> None:
    """Both waits end in the same moment, and what the first finds in the table wakes the second."""
    people = People(Cache(), FakeTable({EVENT.case.response_id: Text(0, "mine")}), wait_s=0.01)
    assert await asyncio.gather(*(people.expect(EVENT.case) for _ in range(2))) == [Text(0, "mine")] * 2


async def test_text_that_comes_a_moment_later_is_taken_when_it_comes() -> None:
    cache = Cache()
    waiting = [asyncio.create_task(People(cache, FakeTable()).expect(EVENT.case)) for _ in range(2)]
    await asyncio.sleep(0)
    began_s = time.monotonic()
    cache.put(KEY, Text(0, "late"))
    assert await asyncio.gather(*waiting) == [Text(0, "late")] * 2
    assert time.monotonic() - began_s < 0.04


async def test_text_that_never_comes_is_given_up_after_the_wait() -> None:
    table = FakeTable()
    assert await People(Cache(), table, wait_s=0.4).expect(EVENT.case) is Absence.NOT_FOUND
    assert table.asked >= 2


async def test_an_erased_text_is_not_waited_for_and_the_table_cannot_bring_it_back() -> None:
    cache = Cache()
    cache.erase(KEY)
    table = FakeTable({EVENT.case.response_id: Text(0, "not deleted there yet")})
    assert await People(cache, table).expect(EVENT.case) is Absence.ERASED
    assert table.asked == 0


async def test_a_tombstone_that_comes_while_the_table_answers_wins() -> None:
    cache = Cache()
    answering = asyncio.Event()
    erased = asyncio.Event()

    class SlowTable(FakeTable):
        async def read(self, team: str, response_id: str) -> Text | Absence:
            answering.set()
            await erased.wait()
            return Text(0, "read before it was deleted")

    looking = asyncio.create_task(People(cache, SlowTable()).lookup(EVENT.case))
    await until(answering.is_set)
    cache.erase(KEY)
    erased.set()
    assert await looking is Absence.ERASED


async def test_clickhouse_is_not_asked_before_the_topic_was_read_up_to_where_it_ended_at_the_start() -> None:
    """It may hold the text of what a tombstone there has deleted."""
    read, cache = asyncio.Event(), Cache()
    table = FakeTable({EVENT.case.response_id: Text(0, "erased a minute ago")})
    people = People(cache, table, 0.05, read)
    asking = asyncio.create_task(people.expect(EVENT.case))
    await asyncio.sleep(0.2)
    assert (asking.done(), table.asked, await people.lookup(EVENT.case)) == (False, 0, Absence.NOT_FOUND)
    cache.erase(KEY)
    read.set()
    assert await asking is Absence.ERASED
    assert table.asked == 0


async def test_a_topic_that_cannot_be_read_is_waited_for_once_and_then_messages_go_without_text() -> None:
    table = FakeTable({EVENT.case.response_id: Text(0, "mine")})
    people = People(Cache(), table, 0, asyncio.Event(), read_within_s=0.1)
    began_s = time.monotonic()
    found = await asyncio.gather(*(people.expect(EVENT.case) for _ in range(3)))
    assert found == [Absence.NOT_FOUND] * 3
    assert await people.expect(EVENT.case) is Absence.NOT_FOUND
    assert 0.1 <= time.monotonic() - began_s < 5
    assert table.asked == 0

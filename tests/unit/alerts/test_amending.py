"""What is still to be told follows its case, and what goes is gone from the disk."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from schemas.followups import FollowupEvent, Kind, Reask
from services.alerts.deliveries import Delivery
from services.alerts.flow import Flow
from services.alerts.lanes import Lane
from services.alerts.people import Cache, People
from services.alerts.retries import HOUR_MS
from services.alerts.store import Store
from services.alerts.store_file import FILE
from services.alerts.store_sweep import KEPT_MS
from tests.unit.alerts.builders import FakeTable, now_ms, raised, until
from tests.unit.alerts.test_flow import fetched
from tests.unit.alerts.test_lanes import FakeChannel

NOW_MS = now_ms()
SURVEY = "after-the-unmistakable-call"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.close()


def later(event: FollowupEvent, kind: Kind, n: int = 2, **case: object) -> FollowupEvent:
    """A further event of a case."""
    changed = msgspec.structs.replace(event.case, n=n, **case)
    return msgspec.structs.replace(event, event_id=f"{event.event_id[:-1]}{n}", kind=kind, case=changed)


def bytes_of(folder: Path) -> bytes:
    """Every byte of every file of a folder."""
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


async def pending(store: Store) -> list[Delivery]:
    return await store.due("webhook", NOW_MS + HOUR_MS, 100)


async def test_a_withdrawn_case_is_not_told_and_its_event_leaves_the_file_and_the_wal(
    store: Store, tmp_path: Path
) -> None:
    gone, stays = raised(0, survey=SURVEY), raised(1, survey="another-call")
    await store.add([Delivery("webhook", gone), Delivery("pager", gone), Delivery("webhook", stays)], NOW_MS)
    assert SURVEY.encode() in bytes_of(tmp_path)
    assert await store.amend([later(gone, "followup.withdrawn", state="withdrawn", survey=None)], NOW_MS) == []
    rows = await store.rows(None, gone.case.case_id, 10)
    assert {(row.channel, row.state, row.last_status) for row in rows} == {
        ("webhook", "given_up", "withdrawn"),
        ("pager", "given_up", "withdrawn"),
    }
    assert await pending(store) == [Delivery("webhook", stays)]
    left = bytes_of(tmp_path)
    assert SURVEY.encode() not in left
    assert b"another-call" in left


async def test_what_a_customer_answered_when_asked_again_is_not_told_once_it_is_gone(
    store: Store, tmp_path: Path
) -> None:
    answered = raised(kind="followup.reasked", reask=Reask("the-unmistakable-id", 9, NOW_MS))
    await store.add([Delivery("webhook", answered)], NOW_MS)
    assert b"the-unmistakable-id" in bytes_of(tmp_path)
    await store.amend([later(answered, "followup.reask_forgotten", reask=None)], NOW_MS)
    assert [delivery.event.case.reask for delivery in await pending(store)] == [None]
    assert b"the-unmistakable-id" not in bytes_of(tmp_path)


async def test_an_erased_answer_of_a_case_that_goes_on_is_told_as_the_erasure_left_it(
    store: Store, tmp_path: Path
) -> None:
    event = raised(0, survey=SURVEY, personal=True, respondent="5a" * 16)
    await store.add([Delivery("webhook", event)], NOW_MS)
    erased = later(event, "followup.answer_erased", survey=None, personal=False, medium=None)
    await store.amend([erased], NOW_MS)
    (told,) = await pending(store)
    assert (told.event.event_id, told.event.kind, told.event.at_ms) == (event.event_id, event.kind, event.at_ms)
    assert told.event.case == erased.case
    assert SURVEY.encode() not in bytes_of(tmp_path)


async def test_an_earlier_state_of_the_case_that_comes_again_does_not_replace_a_later_one(store: Store) -> None:
    event = raised(0)
    await store.add([Delivery("webhook", event)], NOW_MS)
    second, third = (later(event, "followup.answer_erased", n, score=n) for n in (2, 3))
    for amended in (third, second, third):
        await store.amend([amended], NOW_MS)
    assert [delivery.event.case for delivery in await pending(store)] == [third.case]


async def test_a_case_that_is_reopened_before_anyone_was_told_is_told_under_its_first_id(store: Store) -> None:
    event = raised(0)
    withdrawn = later(event, "followup.withdrawn", 2, state="withdrawn")
    reopened = later(event, "followup.reopened", 3)
    await store.add([Delivery("webhook", event)], NOW_MS)
    await store.amend([withdrawn], NOW_MS)
    (revived,) = await store.amend([reopened], NOW_MS)
    assert (revived.key, revived.event.kind, revived.event.case) == (event.event_id, "followup.raised", reopened.case)
    assert await pending(store) == [revived]
    # All of it once more, as after a crash.
    assert await store.add([Delivery("webhook", event)], NOW_MS) == []
    await store.amend([withdrawn, reopened], NOW_MS)
    assert [delivery.key for delivery in await pending(store)] == [event.event_id]


async def test_what_was_delivered_or_given_up_otherwise_stays_as_it_is(store: Store) -> None:
    delivered, failed = Delivery("webhook", raised(0)), Delivery("webhook", raised(1))
    await store.add([delivered, failed], NOW_MS)
    await store.settle(delivered, "delivered", 1, "204", None, NOW_MS)
    await store.settle(failed, "given_up", 12, "500", None, NOW_MS)
    before = await store.rows(None, None, 10)
    for number in (0, 1):
        for kind in ("followup.withdrawn", "followup.reopened", "followup.answer_erased"):
            assert await store.amend([later(raised(number), kind)], NOW_MS) == []
    assert await store.rows(None, None, 10) == before


async def test_an_attempt_that_ends_after_the_withdrawal_does_not_bring_the_delivery_back(store: Store) -> None:
    retried, told = Delivery("webhook", raised(0)), Delivery("webhook", raised(1))
    await store.add([retried, told], NOW_MS)
    await store.amend([later(one.event, "followup.withdrawn") for one in (retried, told)], NOW_MS)
    await store.settle(retried, "pending", 1, "503", NOW_MS + 1_000, NOW_MS)
    await store.settle(told, "delivered", 1, "204", None, NOW_MS)
    assert await pending(store) == []
    assert {row.event_id: (row.state, row.last_status) for row in await store.rows(None, None, 10)} == {
        retried.key: ("given_up", "withdrawn"),
        told.key: ("delivered", "204"),
    }


async def test_a_reader_in_the_way_of_the_wal_puts_its_emptying_off_to_the_next_sweep(
    store: Store, tmp_path: Path
) -> None:
    store._write.execute("PRAGMA busy_timeout = 10")  # noqa: SLF001 # the test need not wait as long as a service may
    event = raised(0, survey=SURVEY)
    await store.add([Delivery("webhook", event)], NOW_MS)
    reader = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    try:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM deliveries").fetchone()
        await store.amend([later(event, "followup.withdrawn")], NOW_MS)
        assert SURVEY.encode() in bytes_of(tmp_path)
    finally:
        reader.close()
    await store.sweep(NOW_MS, ["webhook"])
    assert SURVEY.encode() not in bytes_of(tmp_path)


async def test_a_whole_log_that_comes_again_revives_nobody(store: Store) -> None:
    """A log copied to a new generation says everything once more: an old reopening must not undo a later withdrawal."""
    event = raised(0)
    story = [
        later(event, "followup.withdrawn", 2, state="withdrawn"),
        later(event, "followup.reopened", 3),
        later(event, "followup.withdrawn", 4, state="withdrawn"),
    ]
    await store.add([Delivery("webhook", event)], NOW_MS)
    for each in story:
        await store.amend([each], NOW_MS)
    for each in story:
        assert await store.amend([each], NOW_MS) == []
        assert await pending(store) == []


async def test_what_a_case_was_told_by_is_forgotten_with_everything_else_of_it(store: Store, tmp_path: Path) -> None:
    event = raised(0)
    await store.amend([later(event, "followup.withdrawn", 2, state="withdrawn")], NOW_MS)
    assert event.case.case_id.encode() in bytes_of(tmp_path)
    await store.sweep(event.at_ms + KEPT_MS + 1, ["webhook"])
    with sqlite3.connect(tmp_path / FILE) as file:
        assert file.execute("SELECT count(*) FROM amended").fetchone() == (0,)
    file.close()


async def told_of(store: Store, *events: FollowupEvent) -> list[str]:
    """The ids of what a channel is sent when these events come in one fetch, and then once more."""
    channel = FakeChannel()
    lane = Lane(channel, store, People(Cache(), FakeTable()))
    flow = Flow("unused:9092", store, [lane])
    fetch = fetched(*map(msgspec.json.encode, events))
    await flow.take(fetch)
    running = asyncio.create_task(lane.run())
    try:
        await until(lambda: _settled(store))
        await flow.take(fetch)
        await until(lambda: _settled(store))
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await lane.drain(1)
    return channel.ids


async def test_a_case_raised_and_withdrawn_in_one_fetch_is_never_sent(store: Store) -> None:
    event, other = raised(0), raised(1)
    assert await told_of(store, event, later(event, "followup.withdrawn", state="withdrawn"), other) == [other.event_id]


async def test_a_case_raised_withdrawn_and_reopened_in_one_fetch_is_sent_once(store: Store) -> None:
    event = raised(0)
    withdrawn = later(event, "followup.withdrawn", 2, state="withdrawn")
    assert await told_of(store, event, withdrawn, later(event, "followup.reopened", 3)) == [event.event_id]


async def _settled(store: Store) -> bool:
    return not await store.rows("pending", None, 10)

"""Telling again what nobody has acknowledged: the whole group, once an interval, until somebody takes it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from schemas.followups import Kind, State
from services.alerts.channels import Message
from services.alerts.grouping import REPEATED, Grouping
from services.alerts.ledger import Ledger
from services.alerts.store import Store
from services.alerts.store_file import FILE
from services.alerts.targets import mail, wording
from services.alerts.targets.guard import Guard
from tests.unit.alerts.builders import raised, until
from tests.unit.alerts.test_grouping import DOWN, MINUTE_MS, Channel, Clock, clock, covered, leap, told

__all__ = ["clock"]  # the fixture

HOUR_MS = 60 * MINUTE_MS
EVERY_MS = 4 * HOUR_MS


class Place:
    """A folder, and processes that come and go in it; `channel` keeps what it was told by all of them."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder = folder
        self.clock = clock
        self.channel = Channel()
        self.start()

    def start(self, repeat_ms: int = EVERY_MS) -> None:
        self.store = Store(self.folder)
        self.store.groupings["slack"] = Grouping(0, 5 * MINUTE_MS, repeat_ms=repeat_ms)

    def restart(self, repeat_ms: int = EVERY_MS) -> None:
        self.store.close()
        self.start(repeat_ms)

    @property
    def again(self) -> list[set[str]]:
        """The cases of each message that told again."""
        return [{one.event.case.case_id for one in message.told} for message in self.channel.sent if message.repeated]

    async def live(self, *leaps_ms: int) -> None:
        """A process that works, and to which time leaps."""
        async with told(self.store, self.clock, self.channel) as (_, lane):
            for by_ms in leaps_ms:
                await leap(self.clock, lane, by_ms)
                await self.quiet()

    async def quiet(self) -> None:
        """All that is due has been told."""

        async def none_due() -> bool:
            return not await self.store.due("slack", self.clock(), 9)

        await until(none_due)

    async def raise_(self, *numbers: int) -> None:
        async with told(self.store, self.clock, self.channel) as (flow, lane):
            await flow.tell([raised(number, at_ms=self.clock()) for number in numbers])
            await self.quiet()
            await leap(self.clock, lane, 5 * MINUTE_MS)
            await self.quiet()

    async def happens(self, number: int, kind: Kind, state: State, n: int = 2) -> None:
        async with told(self.store, self.clock, self.channel) as (flow, _):
            await flow.tell([raised(number, at_ms=self.clock(), kind=kind, state=state, n=n)])


def ids(*numbers: int) -> set[str]:
    return {raised(number).case.case_id for number in numbers}


@pytest.fixture
async def place(tmp_path: Path, clock: Clock) -> AsyncIterator[Place]:
    place = Place(tmp_path, clock)
    yield place
    place.store.close()


async def test_a_group_that_is_still_open_is_told_again_once_an_interval_and_all_of_it(place: Place) -> None:
    await place.raise_(0, 1, 2)
    await place.live(EVERY_MS - 10 * MINUTE_MS)
    assert place.again == []
    await place.live(10 * MINUTE_MS, HOUR_MS, HOUR_MS, 2 * HOUR_MS)
    assert place.again == [ids(0, 1, 2)] * 2
    assert len({message.id for message in place.channel.sent}) == len(place.channel.sent) == 4
    rows = await place.store.rows("delivered", None, 99)
    assert sorted(row.kind for row in rows) == ["followup.raised"] * 3 + [REPEATED] * 6


@pytest.mark.parametrize("restarts", [False, True])
async def test_an_acknowledgement_stops_it_case_by_case_and_the_clock_with_the_last(
    place: Place, restarts: bool
) -> None:
    await place.raise_(0, 1)
    await place.happens(0, "followup.acknowledged", "acknowledged")
    if restarts:
        place.restart()
    await place.live(EVERY_MS)
    await place.happens(1, "followup.snoozed", "snoozed")
    if restarts:
        place.restart()
    await place.live(EVERY_MS, EVERY_MS)
    assert place.again == [ids(1)]
    assert await place.store.next_due_ms("slack", place.clock()) is None
    await place.happens(1, "followup.woke", "open", n=3)
    await place.raise_(2)
    await place.live(EVERY_MS)
    assert place.again == [ids(1), ids(1, 2)]


async def test_restarts_neither_lose_nor_double_it(place: Place) -> None:
    await place.raise_(0)
    for _ in range(12):
        place.restart()
        await place.live(HOUR_MS)
    assert place.again == [ids(0)] * 3
    place.restart()
    await place.live(0, 3 * HOUR_MS)
    assert len(place.again) == 3


async def test_what_is_acknowledged_while_a_repetition_waits_is_not_told_again(place: Place) -> None:
    await place.raise_(0, 1)
    place.channel.answer = DOWN
    async with told(place.store, place.clock, place.channel) as (_, lane):
        await leap(place.clock, lane, EVERY_MS)
        await until(lambda: place.again == [ids(0, 1)])
    await place.happens(0, "followup.acknowledged", "acknowledged")
    (given_up,) = await place.store.rows("given_up", None, 9)
    assert (given_up.kind, given_up.last_status) == (REPEATED, "not_open")
    place.channel.answer = Channel().answer
    assert await Ledger(place.store).again(None, None, place.clock()) == {}
    await place.live(MINUTE_MS)
    assert place.again[1:] == [ids(1)]


async def test_a_silence_and_quiet_hours_hold_it_back_and_it_is_told_once_when_they_are_over(place: Place) -> None:
    await place.raise_(0)
    ledger, until_ms = Ledger(place.store), place.clock() + 3 * EVERY_MS
    silence = await ledger.silence("support", None, until_ms, "", place.clock())
    await place.live(2 * EVERY_MS)
    assert place.again == []
    assert await place.store.next_due_ms("slack", place.clock()) == until_ms
    morning_ms = place.clock() + HOUR_MS
    place.store.quiet = lambda team, channel, now_ms: morning_ms if now_ms < morning_ms else 0
    assert await ledger.end(silence.id, place.clock())
    await place.live(0)
    assert place.again == []
    assert await place.store.next_due_ms("slack", place.clock()) == morning_ms
    await place.live(HOUR_MS, MINUTE_MS)
    assert place.again == [ids(0)]


async def test_what_was_told_a_moment_ago_waits_for_the_next_time(place: Place) -> None:
    await place.raise_(0)
    await place.live(EVERY_MS - 15 * MINUTE_MS)
    await place.raise_(1)
    await place.live(10 * MINUTE_MS)
    assert place.again == [ids(0)]
    await place.live(EVERY_MS)
    assert place.again == [ids(0), ids(0, 1)]


async def test_a_group_of_which_all_was_told_a_moment_ago_waits_as_long_as_its_first_has_to(place: Place) -> None:
    await place.raise_(0)
    await place.live(EVERY_MS - 20 * MINUTE_MS)
    await place.raise_(1)
    await place.happens(0, "followup.acknowledged", "acknowledged")
    await place.live(15 * MINUTE_MS)
    assert place.again == []
    await place.live(EVERY_MS - 15 * MINUTE_MS)
    assert place.again == [ids(1)]


async def test_it_is_off_unless_asked_for_and_counts_from_when_it_is_asked_for(place: Place) -> None:
    place.restart(0)
    await place.raise_(0)
    await place.live(EVERY_MS, EVERY_MS)
    assert place.again == []
    place.restart()
    await place.live(0)
    assert place.again == []
    await place.live(EVERY_MS)
    assert place.again == [ids(0)]


async def test_teams_have_clocks_of_their_own(place: Place) -> None:
    await place.raise_(0)
    async with told(place.store, place.clock, place.channel) as (flow, _):
        await leap(place.clock, _, HOUR_MS)
        await flow.tell([raised(7, team="billing", at_ms=place.clock())])
        await covered(place.store, 2)
    await place.live(EVERY_MS - HOUR_MS, HOUR_MS)
    assert place.again == [ids(0), {raised(7, team="billing").case.case_id}]


async def test_a_file_without_clocks_gets_them_when_it_is_opened(place: Place) -> None:
    await place.raise_(0)
    place.store.close()
    with sqlite3.connect(place.folder / FILE) as file:
        file.executescript("DROP TABLE repeats; DROP INDEX open_cases")
    file.close()
    place.start()
    await place.live(0, EVERY_MS)
    assert place.again == [ids(0)]


def message(count: int, **given: Any) -> Message:
    return Message(raised().__class__(raised().event_id, "followup.raised", 0, raised().case), count=count, **given)


def test_a_message_says_that_it_is_still_open() -> None:
    assert wording.headline(message(1, repeated=True)) == "Still open: 3 of 10 in support"
    assert wording.headline(message(4, repeated=True)) == "4 follow-ups still open in support"


def test_a_mail_goes_into_the_thread_of_the_case() -> None:
    server = mail.Server("localhost", 25, "none", "", "")
    sent = mail.Mail(Guard.__new__(Guard), server, name="m", sender="pulse@example.com", to=("a@example.com",))
    first, again = (
        message_from_bytes(sent.mail_of(message(1, repeated=repeated), datetime.now(UTC))) for repeated in (False, True)
    )
    assert again["In-Reply-To"] == first["Message-ID"] != again["Message-ID"]
    assert again["Subject"] == f"Re: {first['Subject']}"

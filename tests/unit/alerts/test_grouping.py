"""Storms: the first case at once, the rest in few messages, none missing, none twice; silences; telling again."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from schemas.followups import FollowupEvent, Kind
from services.alerts.channels import Message
from services.alerts.flow import Flow
from services.alerts.grouping import SHOWN, Grouping, Pace, Rate, group_id
from services.alerts.lanes import Lane
from services.alerts.ledger import Ledger
from services.alerts.people import Cache, People
from services.alerts.retries import Outcome
from services.alerts.store import Store
from services.alerts.store_file import FILE
from tests.unit.alerts.builders import FakeTable, now_ms, raised, until

OK = Outcome("delivered", "200")
DOWN = Outcome("retry", "503")
MINUTE_MS = 60_000
GROUPING = Grouping(0, 5 * MINUTE_MS)


class Channel:
    """Keeps what it is told, and answers as it is set to."""

    def __init__(self, name: str = "slack", answer: Outcome = OK) -> None:
        self.name = name
        self.answer = answer
        self.sent: list[Message] = []

    def wants(self, event: FollowupEvent) -> bool:
        return True

    async def send(self, message: Message) -> Outcome:
        self.sent.append(message)
        return self.answer


class Clock:
    """The time, ahead of the real one by `ahead_ms`."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return now_ms() + self.ahead_ms


@pytest.fixture
def store(tmp_path: Path) -> Iterable[Store]:
    opened = Store(tmp_path)
    opened.groupings["slack"] = GROUPING
    yield opened
    opened.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("services.alerts.flow.wall_clock_ms", clock)
    return clock


@asynccontextmanager
async def told(
    store: Store, clock: Clock, channel: Channel, rate: Rate | None = None, *, follows: bool = True
) -> AsyncIterator[tuple[Flow, Lane]]:
    lane = Lane(channel, store, People(Cache(), FakeTable(), 0.05), clock, lambda: 0.0, rate, follows=follows)
    running = asyncio.create_task(lane.run())
    yield Flow("unused:9092", store, [lane]), lane
    await lane.drain(1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def covered(store: Store, count: int) -> None:
    async def all_told() -> bool:
        return len(await store.rows("delivered", None, 1_000)) >= count

    await until(all_told)


async def leap(clock: Clock, lane: Lane, by_ms: int) -> None:
    clock.ahead_ms += by_ms
    lane.look()


async def test_a_storm_is_one_message_at_once_and_one_for_the_rest(store: Store, clock: Clock) -> None:
    channel = Channel()
    async with told(store, clock, channel) as (flow, lane):
        for number in range(40):
            await flow.tell([raised(number)])
        await covered(store, 1)
        assert [message.count for message in channel.sent] == [1]
        await leap(clock, lane, GROUPING.interval_ms)
        await covered(store, 40)
    first, rest = channel.sent
    assert (first.id, first.count, first.incident) == (raised(0).event_id, 1, "")
    assert (rest.count, len(rest.told)) == (39, SHOWN)
    assert rest.id == rest.incident == group_id("slack", [raised(1).event_id, "more"])
    rows = await store.rows(None, None, 1_000)
    assert Counter(row.message_id for row in rows) == {first.id: 1, rest.id: 39}


async def test_each_team_is_a_group_of_its_own_and_quiet_comes_back(store: Store, clock: Clock) -> None:
    channel = Channel()
    async with told(store, clock, channel) as (flow, lane):
        await flow.tell([raised(number, team=team) for team in ("a", "b") for number in range(3)])
        await covered(store, 2)
        await leap(clock, lane, GROUPING.interval_ms)
        await covered(store, 6)
        await leap(clock, lane, GROUPING.interval_ms)
        await flow.tell([raised(9, team="a")])
        await covered(store, 7)
    assert Counter((message.event.case.team, message.count) for message in channel.sent) == {
        ("a", 1): 2,
        ("a", 2): 1,
        ("b", 1): 1,
        ("b", 2): 1,
    }


async def test_a_deadline_does_not_wait_for_the_end_of_a_storm_but_a_storm_of_deadlines_does(
    store: Store, clock: Clock
) -> None:
    channel = Channel()
    async with told(store, clock, channel, follows=False) as (flow, lane):
        await flow.tell([raised(number) for number in range(5)])
        await until(lambda: len(channel.sent) == 1)
        late: list[Kind] = ["followup.breached", "followup.escalated"]
        await flow.tell([raised(kind=kind, n=2 + number) for number, kind in enumerate(late)])  # of one moment
        await until(lambda: [message.event.kind for message in channel.sent] == ["followup.raised", *late])
        await flow.tell([raised(number, kind="followup.escalated", n=3) for number in range(1, 5)])
        await leap(clock, lane, GROUPING.interval_ms)
        await covered(store, 11)
    assert sorted((message.event.kind, message.count) for message in channel.sent[3:]) == [
        ("followup.escalated", 4),
        ("followup.raised", 4),
    ]


async def test_with_a_wait_the_first_waits_too_and_all_go_together(store: Store, clock: Clock) -> None:
    store.groupings["slack"] = Grouping(30_000, 5 * MINUTE_MS)
    channel = Channel()
    async with told(store, clock, channel) as (flow, lane):
        await flow.tell([raised(0)])
        await flow.tell([raised(1)])
        assert channel.sent == []
        await leap(clock, lane, 31_000)
        await covered(store, 2)
    assert [message.count for message in channel.sent] == [2]


async def test_a_group_that_failed_keeps_its_id_and_its_cases_over_a_restart(store: Store, clock: Clock) -> None:
    channel = Channel()
    async with told(store, clock, channel) as (flow, lane):
        await flow.tell([raised(number) for number in range(5)])
        await covered(store, 1)
        channel.answer = DOWN
        await leap(clock, lane, GROUPING.interval_ms)
        await until(lambda: len(channel.sent) == 2)
        await flow.tell([raised(number) for number in range(5, 8)])  # these are of the next message
    again = Channel()
    async with told(store, clock, again) as (_, lane):
        await leap(clock, lane, 2_000)
        await covered(store, 5)
        await leap(clock, lane, GROUPING.interval_ms)
        await covered(store, 8)
    assert (again.sent[0].id, again.sent[0].count) == (channel.sent[1].id, 4)
    assert [message.count for message in again.sent] == [4, 3]


async def test_a_case_that_is_withdrawn_while_it_waits_leaves_its_group(store: Store, clock: Clock) -> None:
    channel = Channel()
    async with told(store, clock, channel) as (flow, lane):
        await flow.tell([raised(number) for number in range(4)])
        await flow.tell([raised(2, kind="followup.withdrawn", n=2, state="withdrawn")])
        await covered(store, 2)  # the first case, and that one ended
        await leap(clock, lane, GROUPING.interval_ms)
        await covered(store, 4)
    group = next(message for message in channel.sent if message.count > 1)
    assert group.count == 2
    assert raised(2).case.case_id not in {one.event.case.case_id for one in group.told}


async def test_the_incident_of_a_group_ends_with_the_last_of_its_cases(store: Store, clock: Clock) -> None:
    channel = Channel()
    async with told(store, clock, channel) as (flow, lane):
        await flow.tell([raised(number) for number in range(3)])
        await covered(store, 1)
        await leap(clock, lane, GROUPING.interval_ms)
        await covered(store, 3)
        group = channel.sent[-1].id
        for count, (number, state) in enumerate(
            [(1, "acknowledged"), (2, "rescored"), (1, "rescored"), (0, "rescored")], 4
        ):
            n = 2 if count < 6 or number == 0 else 3
            await flow.tell([raised(number, kind="followup.rescored", n=n, state=state)])
            await covered(store, count)
    told_after = [(message.incident, message.event.case.state) for message in channel.sent[2:]]
    # The first ends alone: its case was told alone. That one of the group is still open ends nothing.
    assert told_after == [(group, "acknowledged"), (group, "resolved"), ("", "rescored")]


async def test_what_goes_on_with_a_case_waits_until_the_case_itself_was_told(store: Store, clock: Clock) -> None:
    store.groupings.clear()
    channel = Channel(answer=DOWN)
    async with told(store, clock, channel) as (flow, lane):
        await flow.tell([raised(0)])
        await until(lambda: len(channel.sent) == 1)
        await flow.tell([raised(0, kind="followup.rescored", n=2, state="rescored")])
        await lane.drain(1)
        assert len(channel.sent) == 1
    again = Channel()
    async with told(store, clock, again) as (_, lane):
        await leap(clock, lane, 5_000)
        await covered(store, 2)
    assert [message.event.kind for message in again.sent] == ["followup.raised", "followup.rescored"]


async def test_a_silence_holds_back_and_nothing_is_lost_when_it_ends(store: Store, clock: Clock) -> None:
    ledger, channel = Ledger(store), Channel()
    await ledger.silence("support", None, clock() + MINUTE_MS, "moving house", clock())
    async with told(store, clock, channel) as (flow, lane):
        await flow.tell([raised(number) for number in range(3)])
        await flow.tell([raised(7, team="billing")])
        await covered(store, 1)
        assert [message.event.case.team for message in channel.sent] == ["billing"]
        await leap(clock, lane, MINUTE_MS + 1_000)
        await covered(store, 4)
    assert [message.count for message in channel.sent] == [1, 3]


async def test_a_silence_that_is_ended_tells_at_once_and_outlives_a_restart(
    store: Store, clock: Clock, tmp_path: Path
) -> None:
    ledger, channel = Ledger(store), Channel()
    made = await ledger.silence(None, "slack", clock() + 3_600_000, "", clock())
    with sqlite3.connect(tmp_path / FILE) as file:
        assert file.execute("SELECT id FROM silences").fetchall() == [(made.id,)]
    async with told(store, clock, channel) as (flow, lane):
        await flow.tell([raised(0)])
        await flow.tell([raised(1)])
        assert channel.sent == []
        assert await ledger.end(made.id, clock()) == made
        lane.look()
        await covered(store, 2)
        assert await ledger.end(made.id, clock()) is None
    assert [message.count for message in channel.sent] == [2]


async def test_what_was_given_up_is_told_again_under_its_id_and_its_attempts_are_kept(
    store: Store, clock: Clock
) -> None:
    channel, ledger = Channel(answer=Outcome("invalid", "400")), Ledger(store)
    async with told(store, clock, channel) as (flow, lane):
        await flow.tell([raised(0)])
        await until(lambda: len(channel.sent) == 1)

        async def given_up() -> bool:
            return len(await store.rows("given_up", None, 10)) == 1

        await until(given_up)
        channel.answer = OK
        assert await ledger.again("other", None, clock()) == {}
        assert await ledger.again(None, raised(0).event_id, clock()) == {"slack": 1}
        lane.look()
        await covered(store, 1)
    assert [message.id for message in channel.sent] == [raised(0).event_id] * 2
    attempts = await ledger.attempts(raised(0).event_id)
    assert [(one.number, one.verdict, one.status) for one in attempts] == [
        (1, "invalid", "400"),
        (1, "delivered", "200"),
    ]


async def test_a_file_of_the_first_version_is_read_on(tmp_path: Path) -> None:
    event = raised()
    first = Store(tmp_path)
    first.close()
    with sqlite3.connect(tmp_path / FILE) as file:
        file.executescript(
            "DROP INDEX by_message; DROP INDEX waiting; ALTER TABLE deliveries DROP COLUMN team;"
            "ALTER TABLE deliveries DROP COLUMN message_id;"
            "DROP TABLE groups; DROP TABLE cases; DROP TABLE attempts; DROP TABLE silences; DROP TABLE seen;"
            "PRAGMA user_version = 1"
        )
        file.execute(
            "INSERT INTO deliveries (event_id, channel, kind, case_id, at_ms, event, state, attempts, last_status,"
            " next_ms) VALUES (?, 'webhook', 'followup.raised', ?, ?, ?, 'pending', 1, '503', 5)",
            (event.event_id, event.case.case_id, event.at_ms, msgspec.json.encode(event)),
        )
    file.close()
    second = Store(tmp_path)
    (due,) = await second.due("webhook", now_ms(), 10)
    assert (due.key, due.event, due.attempts) == (event.event_id, event, 1)
    second.close()


def test_a_pace_lets_a_burst_through_and_then_one_after_the_other() -> None:
    pace = Pace(Rate(5, 1.0))
    assert [pace.taken(100.0) for _ in range(8)] == [0, 0, 0, 0, 0, 1, 2, 3]
    assert pace.taken(200.0) == 0


@pytest.mark.parametrize("per_second", [1, 2, 7])
def test_no_minute_has_more_than_the_rate_allows(per_second: int) -> None:
    pace, now_s, at_s = Pace(Rate(60, 1.0)), 0.0, []
    for _ in range(600):
        now_s += pace.taken(now_s)
        at_s.append(now_s)
        now_s += 1 / (per_second * 10)
    assert max(sum(1 for one in at_s if start <= one < start + 60) for start in at_s) <= 120


async def test_a_storm_over_five_teams_is_told_in_few_messages_with_nothing_missing(store: Store, clock: Clock) -> None:
    """60 seconds of 20 a second in one go; the clock leaps as the seconds would."""
    channel = Channel()
    events = [raised(number, team=f"team-{number % 5}") for number in range(1_200)]
    async with told(store, clock, channel) as (flow, lane):
        for first in range(0, len(events), 20):
            await flow.tell(events[first : first + 20])
            clock.ahead_ms += 1_000
        await covered(store, 5)
        await leap(clock, lane, GROUPING.interval_ms)

        async def none_left() -> bool:
            return not await store.rows("pending", None, 1)

        await until(none_left)
    assert len(channel.sent) == 10
    assert sum(message.count for message in channel.sent) == 1_200
    assert {message.event.case.team for message in channel.sent[:5]} == {f"team-{number}" for number in range(5)}
    assert await store.rows("given_up", None, 1) == []

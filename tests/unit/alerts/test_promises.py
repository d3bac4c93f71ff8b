"""Whom a team wants told: its newest policy, asked about each event, and else everybody."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.feedback import Policy
from schemas.followups import FollowupEvent, Kind
from schemas.policies import TeamPolicy
from services.alerts.deliveries import Delivery
from services.alerts.flow import Flow
from services.alerts.lanes import Lane
from services.alerts.people import Absence, Cache, People, Text
from services.alerts.promises import AT_ONCE, Book, Telling
from services.alerts.store import Store
from tests.unit.alerts.builders import FakeTable, raised
from tests.unit.alerts.test_flow import Silent
from tests.unit.teams.configs import ms

TEAM = "support"
NAMES = ("mail", "ada", "ben", "lead", "everybody")
TOML = """
timezone = "Europe/Copenhagen"
targets = ["mail", "on-call"]
[[routes]]
words = ["lawyer"]
to = ["lead"]
[[escalation]]
after = "0m"
to = ["lead"]
[on_call]
start = 2026-11-02
people = ["ada", "ben"]
[quiet]
hours = { mon-sun = "20:00-08:00" }
let_through = { targets = ["mail"] }
"""
NOON_MS = ms("2026-11-04T12:00+01:00")  # ada's week
NIGHT_MS = ms("2026-11-08T23:00+01:00")
MORNING_MS = ms("2026-11-09T08:00+01:00")  # an hour later it is ben's


def policy(text: str = TOML, version: int = 1, **more: Any) -> bytes:
    table = msgspec.to_builtins(tomllib.loads(text)) | more
    return msgspec.json.encode(TeamPolicy(TEAM, version, 0, Policy("rev", config=table)))


def event(kind: Kind = "followup.raised", at_ms: int = NOON_MS, n: int = 1, level: int | None = None) -> FollowupEvent:
    first = raised()
    case = msgspec.structs.replace(first.case, team=TEAM, n=n, personal=True)
    return msgspec.structs.replace(
        first, event_id=f"{case.case_id}-{n}", kind=kind, at_ms=at_ms, case=case, level=level
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterable[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def book() -> Book:
    held = Book()
    held.take(policy())
    held.read.set()
    return held


def telling(book: Book, store: Store, comment: str | None = None, names: Sequence[str] = NAMES) -> Telling:
    cache = Cache()
    if comment is not None:
        case = event().case
        cache.put(f"{TEAM}|{case.response_id}".encode(), Text(comment=comment))
    return Telling(book, People(cache, FakeTable(), wait_s=0), store, lambda *_: frozenset({"everybody"}), names)


async def test_a_team_is_told_as_it_wants(book: Book, store: Store) -> None:
    (due,) = await telling(book, store).of([event()])
    assert due == {"mail": 0, "ada": 0}


async def test_words_in_the_comment_are_looked_for(book: Book, store: Store) -> None:
    (due,) = await telling(book, store, "My lawyer will call").of([event()])
    assert due == {"lead": 0}


async def test_what_an_answer_came_with_stands_in_its_case(store: Store) -> None:
    book = Book()
    book.take(
        policy('routes = [{ segment = { attributes = { tier = ["gold"] } }, to = ["lead"] }]\ntargets = ["mail"]')
    )
    book.read.set()
    golden = event()
    golden = msgspec.structs.replace(golden, case=msgspec.structs.replace(golden.case, attributes={"tier": "gold"}))
    assert await telling(book, store).of([golden, event()]) == [{"lead": 0}, {"mail": 0}]


class SlowTable(FakeTable):
    """Takes a moment for each question, and remembers how many it has had at once."""

    def __init__(self, texts: dict[str, Text]) -> None:
        super().__init__(texts)
        self.at_once = self.most = 0

    async def read(self, team: str, response_id: str) -> Text | Absence:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0.01)
        self.at_once -= 1
        return await super().read(team, response_id)


async def test_comments_are_looked_up_many_at_a_time_each_once_and_the_order_stays(book: Book, store: Store) -> None:
    events = [raised(number, at_ms=NOON_MS, team=TEAM, personal=True) for number in range(3 * AT_ONCE)]
    again = msgspec.structs.replace(events[0], kind="followup.reminder")
    odd = {one.case.response_id: Text(comment="My lawyer says") for one in events[1::2]}
    table = SlowTable(odd)
    asked = Telling(book, People(Cache(), table, wait_s=0), store, lambda *_: frozenset(), NAMES)
    dues = await asked.of([*events, again])
    usual, lead = {"mail": 0, "ada": 0}, {"lead": 0}
    assert dues == [usual, lead] * (3 * AT_ONCE // 2) + [usual]
    assert (table.asked, table.most) == (3 * AT_ONCE, AT_ONCE)


async def test_an_escalation_goes_to_its_level_and_waits_for_nobody(book: Book, store: Store) -> None:
    (due,) = await telling(book, store).of([event("followup.escalated", NIGHT_MS, level=1)])
    assert due == {"lead": 0}


async def test_in_quiet_hours_what_is_not_let_through_waits_for_who_is_on_call_then(book: Book, store: Store) -> None:
    (due,) = await telling(book, store).of([event(at_ms=NIGHT_MS)])
    assert due == {"mail": 0, "ada": MORNING_MS}


async def test_how_a_case_goes_on_is_told_to_those_who_know_of_it_and_nobody_else(book: Book, store: Store) -> None:
    await store.add([Delivery("ben", event(n=1))], NOON_MS)
    told = await telling(book, store).of(
        [event("followup.rescored", n=2), event("followup.reminder", n=3), event("followup.withdrawn", n=4)]
    )
    assert told == [{"ben": 0}, {"mail": 0, "ada": 0}, {"ben": 0, "mail": 0, "ada": 0}]


async def test_that_a_customer_is_to_be_asked_again_is_for_machines_whatever_the_routes(
    book: Book, store: Store
) -> None:
    await store.add([Delivery("ben", event(n=1))], NOON_MS)
    told = await telling(book, store).of([event("followup.reask", NIGHT_MS, n=2), event("followup.reasked", n=3)])
    assert told == [{"everybody": 0}, {"everybody": 0}]


async def test_a_team_without_a_policy_or_without_targets_is_told_as_every_team_is(store: Store) -> None:
    book = Book()
    book.read.set()
    assert await telling(book, store).of([event()]) == [{"everybody": 0}]
    book.take(policy('timezone = "UTC"'))
    assert await telling(book, store).of([event("followup.rescored")]) == [{"everybody": 0}]


async def test_unknown_targets_are_left_out_and_if_all_are_everybody_is_told(book: Book, store: Store) -> None:
    assert await telling(book, store, names=("mail", "everybody")).of([event()]) == [{"mail": 0}]
    assert await telling(book, store, names=("everybody",)).of([event()]) == [{"everybody": 0}]


async def test_nobody_is_told_before_all_policies_have_been_read(store: Store) -> None:
    book = Book()
    waiting = asyncio.create_task(telling(book, store).of([event()]))
    await asyncio.sleep(0)
    book.take(policy())
    assert not waiting.done()
    book.read.set()
    assert await waiting == [{"mail": 0, "ada": 0}]


def test_the_newest_policy_holds_and_what_cannot_be_used_changes_nothing() -> None:
    book = Book()
    book.take(policy(version=5))
    for older_or_odd in (
        policy('targets = ["old"]', version=4),
        policy(version=6, from_the_future=1),
        b"not JSON",
        None,
    ):
        book.take(older_or_odd)
    held = book.of(TEAM)
    assert held is not None
    assert held.targets == ("mail", "on-call")
    book.take(policy('targets = ["new"]', version=7))
    assert getattr(book.of(TEAM), "targets", None) == ("new",)


async def test_what_waits_for_the_morning_is_on_disk_and_not_too_old_then(book: Book, store: Store) -> None:
    now_ms = event().at_ms
    late_ms = now_ms + 60 * 3_600_000
    (new,) = await store.add([Delivery("ada", event(), due_ms=late_ms)], now_ms)
    assert new.due_ms == late_ms
    assert await store.due("ada", late_ms - 1, 9) == []
    (due,) = await store.due("ada", late_ms, 9)
    assert due.key == event().event_id


async def test_a_flow_stores_what_the_telling_says(book: Book, store: Store) -> None:
    lanes = [Lane(Silent(name), store, People(Cache(), FakeTable())) for name in NAMES]
    for lane in lanes:
        lane.disabled = True
    flow = Flow("unused:9092", store, lanes, telling=telling(book, store))
    happened = msgspec.structs.replace(event(), at_ms=raised().at_ms)
    await flow.tell([happened])
    rows = await store.rows(None, happened.case.case_id, 10)
    assert {row.channel for row in rows} <= {"mail", "ada", "ben"}
    assert "mail" in {row.channel for row in rows}

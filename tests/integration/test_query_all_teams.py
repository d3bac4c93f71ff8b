"""Answers over all teams: read in spans of time, and the same as if everything had been sorted at once."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from services.query import answers
from services.query.answers import Filter, Place
from services.query.params import BandName
from services.query.store import Row, Store
from tests.engines import Engines
from tests.unit.query.samples import NOON_MS, State, Tables, filled, person_row, settings, standing, uid

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

SECOND_MS = 1_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
# How long ago answers were given: crowded in the last minutes, then with gaps of months and years.
AGES_MS = [0, SECOND_MS, 59_999, 60_000, 60_001, HOUR_MS, 3 * DAY_MS, 40 * DAY_MS, 700 * DAY_MS, 3_000 * DAY_MS]
BANDS: dict[BandName, range] = {"detractor": range(7), "passive": range(7, 9), "promoter": range(9, 11)}
NEEDLES = 5  # every fifth answer's comment holds the word that is looked for


def spread() -> list[State]:
    """Answers of four teams at such times, some at the very same; edits, and some erased or not counted."""
    rng = random.Random(7)
    states: list[State] = []
    for number in range(240):
        event_ms = NOON_MS - rng.choice(AGES_MS) - rng.choice([0, 0, 1, 500, 20 * SECOND_MS])
        state = State(
            *(rng.choice(["a", "b", "c", "d"]), uid(number), len(states) + 1, event_ms, NOON_MS, number),
            *(rng.randrange(11), "", rng.choice([(), (), ("test",)])),
        )
        states.append(state)
        if rng.random() < 0.3:
            states.append(state.edited(len(states) + 1, NOON_MS, score=rng.randrange(11)))
        if rng.random() < 0.1:
            states.append(state.erasure(len(states) + 1, NOON_MS))
    return states


class Watched(Store):
    """A store that remembers the times it was asked about, (after, to] in milliseconds."""

    asked: list[tuple[int, int]]

    async def rows(self, name: str, sql: str, row: type[Row], **bound: Any) -> list[Row]:
        """See `Store`."""
        if name == "answers":
            self.asked.append((bound["from_ms"], bound["to_ms"]))
        return await super().rows(name, sql, row, **bound)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store(engines: Engines) -> AsyncIterator[Watched]:
    states = spread()
    with filled(engines.database(), states) as written:
        texts = [person_row(s.team, s.response_id, "a needle here") for s in states if is_marked(s)]
        written.insert("people", texts)
        opened = Watched(settings(written.url).clickhouse)
        opened.asked = []
        yield opened
        await opened.close()


def is_marked(state: State) -> bool:
    return int(state.response_id.replace("-", ""), 16) % NEEDLES == 0


def expected(which: Filter) -> list[tuple[str, str, int]]:
    """(team, id, score) the slow way."""
    found = [
        state
        for state in standing(spread())
        if not state.erased
        and (which.band is None or state.score in BANDS[which.band])
        and (which.from_ms is None or state.event_ms > which.from_ms)
        and (which.to_ms is None or state.event_ms <= which.to_ms)
        and (not which.q or is_marked(state))
    ]
    found.sort(key=lambda state: (state.event_ms, state.response_id, state.team), reverse=True)
    return [(state.team, state.response_id, state.score) for state in found]


@pytest.mark.parametrize("limit", [1, 7, 200])
@pytest.mark.parametrize(
    "which",
    [
        pytest.param(Filter(), id="all"),
        pytest.param(Filter(band="passive"), id="band"),
        pytest.param(Filter(q="needle"), id="search"),
        pytest.param(Filter(q="needle", band="promoter", from_ms=NOON_MS - 50 * DAY_MS), id="search-band-from"),
        pytest.param(Filter(from_ms=NOON_MS - 60_000, to_ms=NOON_MS - SECOND_MS), id="from-to"),
        pytest.param(Filter(to_ms=NOON_MS - 41 * DAY_MS), id="old"),
        pytest.param(Filter(to_ms=NOON_MS - 5_000 * DAY_MS), id="none"),
    ],
)
async def test_pages_over_all_teams_are_everything_in_order(store: Watched, which: Filter, limit: int) -> None:
    found: list[tuple[str, str, int]] = []
    place: Place | None = None
    while True:
        rows, place = await answers.page(store, which, place, limit)
        found += [(row.team, row.response_id, row.score) for row, _ in rows]
        if place is None:
            break
        assert len(rows) == limit
    assert found == expected(which)


async def test_a_search_reads_everything_at_once_and_spans_only_for_a_word_that_many_say(
    store: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    which = Filter(q="needle")
    store.asked = []
    rare, _ = await answers.page(store, which, None, 200)
    assert len(store.asked) == 1
    monkeypatch.setattr(answers, "_FEW", 3)
    store.asked = []
    common, _ = await answers.page(store, which, None, 200)
    assert len(store.asked) > 1
    assert [(row.team, row.response_id, row.score) for row, _ in rare] == expected(which)
    assert common == rare


async def test_a_cursor_goes_on_where_it_was_whatever_has_come_since(engines: Engines) -> None:
    old = [State("a", uid(n), n, NOON_MS - n * HOUR_MS, NOON_MS, n, 9) for n in range(1, 7)]
    with filled(engines.database(), old) as written:
        reading = Store(settings(written.url).clickhouse)
        first, place = await answers.page(reading, Filter(), None, 2)
        assert place is not None
        later = msgspec.json.decode(msgspec.json.encode(place), type=Place)  # as a cursor carries it
        written.states([State("b", uid(50), 50, NOON_MS, NOON_MS, 50, 3), old[0].edited(51, NOON_MS, score=0)])
        second, _ = await answers.page(reading, Filter(), later, 10)
        assert [row.response_id for row, _ in first + second] == [uid(n) for n in range(1, 7)]
        await reading.close()


def crowd(written: Tables, count: int, apart_ms: int) -> None:
    written.states(State("crowd", uid(n), n + 1, NOON_MS - n * apart_ms, NOON_MS, n, n % 11) for n in range(count))


async def test_a_page_is_read_from_little_more_than_the_time_it_covers(engines: Engines) -> None:
    with filled(engines.database()) as written:
        crowd(written, 3_000, 10 * SECOND_MS)  # six a minute for eight hours
        reading = Watched(settings(written.url).clickhouse)
        place: Place | None = None
        for _ in range(3):
            reading.asked = []
            rows, place = await answers.page(reading, Filter(), place, 50)
            assert len(rows) == 50
            covered_ms = rows[0][0].event_ms - rows[-1][0].event_ms
            assert max(to - after for after, to in reading.asked) <= 8 * covered_ms
            assert [to for _, to in reading.asked[1:]] == [after for after, _ in reading.asked[:-1]]
        await reading.close()


async def test_years_without_answers_are_not_asked_about(engines: Engines) -> None:
    with filled(engines.database()) as written:
        written.states(State("rare", uid(n), n + 1, NOON_MS - n * 2_000 * DAY_MS, NOON_MS, n, 9) for n in range(3))
        reading = Watched(settings(written.url).clickhouse)
        reading.asked = []
        rows, place = await answers.page(reading, Filter(), None, 50)
        assert (len(rows), place) == (3, None)
        assert len(reading.asked) <= 8
        nothing = Filter(from_ms=NOON_MS - 1_900 * DAY_MS, to_ms=NOON_MS - DAY_MS)
        reading.asked = []
        assert await answers.page(reading, nothing, None, 50) == ([], None)
        assert reading.asked == []
        await reading.close()

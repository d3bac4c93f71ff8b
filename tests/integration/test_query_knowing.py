"""Two times: what a window is of, and what was known. And what is left of an answer that was erased: a count."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from services.query import scores
from services.query.app import build_app
from stream.domain import ids
from stream.domain.minutes import ceil_minute
from tests.engines import Engines
from tests.integration.test_query_scores import DAY_MS, day, drawn, scenario_states
from tests.unit.query.samples import (
    NOON_MS,
    Api,
    State,
    Tables,
    case_row,
    clock,
    filled,
    filled_store,
    iso,
    person_row,
    recount,
    served,
    settings,
    uid,
)

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

WEEK = 7 * 1_440


@pytest.fixture(scope="module")
def tables(engines: Engines) -> Iterator[Tables]:
    with filled(engines.database(), scenario_states()) as written:
        yield written


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tables: Tables) -> AsyncIterator[Api]:
    """The service at day 9 of the scenario."""
    async with served(build_app(settings(tables.url), now_ms=clock(NOON_MS))) as running:
        yield running


@pytest.mark.parametrize(
    ("policy", "known", "expected"),
    [
        ("all", 7, [None, 100, 0, 0, 0, -25, -25, -25, -200 / 3, -50]),
        ("all", 7.5, [None, 100, 100, 200 / 3, 200 / 3, 25, 25, 25, 0, -50]),
        ("latest", 7, [None, 100, 0, 0, 0, -200 / 3, -200 / 3, -200 / 3, -200 / 3, -50]),
    ],
)
async def test_a_series_goes_by_what_was_known(api: Api, policy: str, known: float, expected: list[Any]) -> None:
    asked: dict[str, Any] = {"window": "7d", "step": "1d", "from_": iso(day(0)), "to": iso(day(9))}
    found = await api.ok("/v1/teams/rolling/series", policy=policy, known_at=iso(day(known)), **asked)
    by_score = [
        (await api.ok("/v1/teams/rolling/score", policy=policy, as_of=iso(day(k)), known_at=iso(day(known))))["nps"]
        for k in range(10)
    ]
    assert [point["nps"] for point in found["points"]] == by_score
    states = scenario_states()
    for k, point in enumerate(found["points"]):
        tally = recount(states, ceil_minute(day(k)), WEEK, policy, "rolling", day(known))
        assert (point["detractors"], point["passives"], point["promoters"]) == (
            tally.detractors,
            tally.passives,
            tally.promoters,
        )
    assert [None if nps is None else round(nps, 6) for nps in by_score] == [
        None if nps is None else round(nps, 6) for nps in expected
    ]


async def test_what_was_shown_then_is_compared_with_what_is_known_now(api: Api) -> None:
    then, now = iso(day(7)), iso(NOON_MS)
    asked = {"a": "rolling", "b": "rolling", "as_of": then}
    found = await api.ok("/v1/compare", known_at=now, b_known_at=then, **asked)
    assert (found["a"]["nps"], found["b"]["nps"], found["difference"]["nps"]) == (40.0, -25.0, 65.0)
    assert found["a"]["as_of"] == found["b"]["as_of"] == then
    same = await api.ok("/v1/compare", known_at=then, **asked)
    assert (same["a"]["nps"], same["b"]["nps"]) == (-25.0, -25.0)
    latest = await api.ok("/v1/compare", policy="latest", b_known_at=then, **asked)
    assert (latest["a"]["nps"], latest["b"]["nps"]) == (25.0, pytest.approx(-200 / 3))


@pytest.mark.parametrize("seed", range(2))
async def test_a_series_as_it_was_known_is_a_recount_of_what_was_known(engines: Engines, seed: int) -> None:
    rng = random.Random(300 + seed)
    states = drawn(rng, ["alpha", "beta"], 120)
    async with filled_store(engines.database(), states) as (_, store):
        for policy in ("all", "latest"):
            known_ms = NOON_MS - rng.randrange(20 * DAY_MS)
            first = ceil_minute(NOON_MS) - 40 * 1_000
            common: dict[str, Any] = {"minutes": WEEK, "policy": policy, "first": first, "step": 1_000, "points": 41}
            found = await scores.series(store, None, **common, now_ms=NOON_MS, each=False, known_ms=known_ms)
            for k in range(41):
                assert found[""][k] == recount(states, first + k * 1_000, WEEK, policy, None, known_ms)


AT = NOON_MS - 3_600_000
ERASED_MS = NOON_MS - 60_000


def gone_and_kept() -> list[State]:
    """Two answers of r, the newer of which is erased; one of s, a test, erased; one of nobody."""
    kept = [State("gone", uid(1), 1, AT - 2, AT, 1, 10, "r"), State("gone", uid(4), 4, AT, AT, 4, 7)]
    lost = [
        State("gone", uid(2), 2, AT - 1, AT, 2, 0, "r"),
        State("gone", uid(3), 3, AT - 1, AT, 3, 2, "s", reasons=("test",)),
    ]
    return [*kept, *lost, lost[0].erasure(5, ERASED_MS), lost[1].erasure(6, ERASED_MS)]


@pytest.mark.parametrize("deleted", [False, True], ids=["just-erased", "deleted-by-the-sink"])
async def test_an_erased_answer_is_omitted_and_counted_whatever_was_known(engines: Engines, deleted: bool) -> None:
    states = gone_and_kept()
    kept = [state for state in states if state.erased or not deleted or state.response_id in (uid(1), uid(4))]
    with filled(engines.database(), kept) as written:
        written.insert("people", [person_row("gone", uid(2), "personal words")])
        written.insert("followups", [case_row("gone", 70, AT, response_id=uid(1), answers=[uid(1), uid(2)])])
        async with served(build_app(settings(written.url), now_ms=clock(NOON_MS))) as api:
            for known_ms in (None, NOON_MS, ERASED_MS - 1, AT):
                known = {} if known_ms is None else {"known_at": iso(known_ms)}
                for policy in ("all", "latest"):
                    for path in ("/v1/teams/gone/score", "/v1/score"):
                        found = await api.ok(path, policy=policy, **known)
                        counts = (found["detractors"], found["passives"], found["promoters"])
                        assert (counts, found["excluded"]) == ((0, 1, 1), {"erased": 2}), (known, policy)
                    series = await api.ok("/v1/teams/gone/series", policy=policy, **known)
                    assert series["points"][-1]["n"] == 2
            before = await api.ok("/v1/teams/gone/score", known_at=iso(AT - 3))
            assert (before["n"], before["excluded"]) == (0, {})  # nobody had said anything yet
            elsewhere = await api.ok("/v1/teams/gone/score", as_of=iso(AT - 2 * 3_600_000))
            assert elsewhere["excluded"] == {}
            listed = await api.ok("/v1/responses", team="gone")
            assert [item["response_id"] for item in listed["items"]] == [uid(4), uid(1)]
            assert (await api.ok("/v1/responses", team="gone", q="personal"))["items"] == []
            assert (await api.ok("/v1/responses", team="gone", band="detractor"))["items"] == []
            case = await api.ok(f"/v1/followups/{uid(70)}")
            assert [(one["response_id"], one["score"]) for one in case["answers"]] == [(uid(1), 10), (uid(2), None)]


async def test_a_team_all_of_whose_answers_were_erased_is_empty_and_not_unknown(tables: Tables, api: Api) -> None:
    only = State("silent", uid(80), 1, AT, AT, 1, 3)
    tables.states([only.erasure(2, ERASED_MS)])
    found = await api.ok("/v1/teams/silent/score")
    assert (found["state"], found["nps"], found["excluded"]) == ("empty", None, {"erased": 1})
    assert (await api.ok("/v1/teams/silent/score", window="1m"))["n"] == 0


async def test_answers_of_one_instant_stand_in_the_order_of_the_newest_log_that_holds_both(
    tables: Tables, api: Api
) -> None:
    """A log was copied: of the first answer there are rows of both generations, of the second one only the newer."""
    first = State("moved", uid(90), ids.version(1, 10), AT, AT, 10, 2, "s")
    copied = replace(first, version=ids.version(2, 3), first_offset=3)
    second = State("moved", uid(91), ids.version(2, 4), AT, AT, 4, 10, "s")
    tables.states([first, copied, second])
    found = await api.ok("/v1/teams/moved/score", policy="latest", known_at=iso(NOON_MS))
    assert (found["detractors"], found["promoters"]) == (0, 1)

"""Scores out of the real ClickHouse: the contract's scenario, both sources, both policies, what was known when."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from schemas.changes import Policy
from services.query import scores
from services.query.app import build_app
from services.query.params import Ask
from services.query.sources import choose
from services.query.store import Store
from stream.domain.minutes import HORIZON_MS, MINUTE_MS, ceil_minute
from stream.domain.scores import Tally
from tests.engines import Engines
from tests.unit.query.samples import (
    NOON_MS,
    Api,
    State,
    Tables,
    at_minute,
    clock,
    filled,
    filled_store,
    iso,
    left_out,
    recount,
    served,
    settings,
    uid,
)

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

DAY_MS = 86_400_000
WEEK = 7 * 1_440


@pytest.fixture(scope="module")
def tables(engines: Engines) -> Iterator[Tables]:
    with filled(engines.database()) as written:
        yield written


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store(tables: Tables) -> AsyncIterator[Store]:
    opened = Store(settings(tables.url).clickhouse)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tables: Tables) -> AsyncIterator[Api]:
    """The service at day 9 of the scenario."""
    async with served(build_app(settings(tables.url), now_ms=clock(NOON_MS))) as running:
        yield running


def day(number: float) -> int:
    """Milliseconds of a day of the scenario; day 9 is now."""
    return int(NOON_MS - (9 - number) * DAY_MS)


def scenario_states() -> list[State]:
    """Contract, rolling scenario: A 10 @d1; B 3 @d2; C 8 @d3; A 6 @d5; D 9 @d6, received d9; B edits 3→9, d7.5."""
    first = [
        State("rolling", uid(1), 1, day(1), day(1), 1, 10, "a"),
        State("rolling", uid(2), 2, day(2), day(2), 2, 3, "b"),
        State("rolling", uid(3), 3, day(3), day(3), 3, 8, "c"),
        State("rolling", uid(4), 4, day(5), day(5), 4, 6, "a"),
        State("rolling", uid(5), 6, day(6), day(9), 6, 9, "d"),
    ]
    edit = first[1].edited(5, day(7.5), score=9, revision=1)
    return [*first, edit]


async def test_the_live_windows_are_those_of_the_newest_scores(engines: Engines) -> None:
    tables = Tables(engines.database())
    store = Store(settings(tables.url).clickhouse)
    try:
        assert await scores.live_windows(store) == [60, 1_440, WEEK, 43_200, 129_600]
        for team, version, listed in (("b", 1, (60, WEEK)), ("a", 2, (60, WEEK)), ("b", 5, (90, WEEK, 527_040))):
            same = {"team": team, "version": version, "policy": "all", "as_of": 0, "valid_until": None}
            tables.insert("scores", [{**same, "minutes": minutes} for minutes in listed])
        assert await scores.live_windows(store) == [90, WEEK, 527_040]
    finally:
        await store.close()
        tables.close()


@pytest.fixture(scope="module")
def scenario(tables: Tables) -> None:
    tables.states(scenario_states())


@pytest.mark.parametrize(
    ("as_of", "known", "policy", "nps", "counts"),
    [
        pytest.param(7, 7, "all", -25.0, (2, 1, 1), id="d7-known-at-d7"),
        pytest.param(7, 7, "latest", -200 / 3, (2, 1, 0), id="d7-known-at-d7-latest"),
        pytest.param(7, 7.5, "all", 25.0, (1, 1, 2), id="d7-after-the-edit"),
        pytest.param(7, 7.5, "latest", 0.0, (1, 1, 1), id="d7-after-the-edit-latest"),
        pytest.param(9, None, "all", 0.0, (1, 1, 1), id="d9"),
        pytest.param(9, None, "latest", 0.0, (1, 1, 1), id="d9-latest"),
        pytest.param(7, None, "all", 40.0, (1, 1, 3), id="d7-asked-at-d9"),
        pytest.param(7, None, "latest", 25.0, (1, 1, 2), id="d7-asked-at-d9-latest"),
        pytest.param(7, 9, "all", 40.0, (1, 1, 3), id="d7-known-at-d9"),
        pytest.param(9, 9, "latest", 0.0, (1, 1, 1), id="d9-known-at-d9-latest"),
    ],
)
@pytest.mark.usefixtures("scenario")
async def test_the_rolling_scenario_holds(
    api: Api, as_of: int, known: float | None, policy: str, nps: float, counts: tuple[int, int, int]
) -> None:
    params: dict[str, Any] = {"window": "7d", "policy": policy, "as_of": iso(day(as_of))}
    if known is not None:
        params["known_at"] = iso(day(known))
    found = await api.ok("/v1/teams/rolling/score", **params)
    assert (found["detractors"], found["passives"], found["promoters"]) == counts
    assert found["nps"] == pytest.approx(nps)
    assert (found["team"], found["window"], found["policy"]) == ("rolling", "7d", policy)
    assert (found["as_of"], found["to"], found["from"]) == (iso(day(as_of)), iso(day(as_of)), iso(day(as_of - 7)))
    assert found["state"] == ("ok" if sum(counts) >= 5 else "too_few")


@pytest.mark.usefixtures("scenario")
async def test_the_series_goes_through_the_scenario(api: Api) -> None:
    asked: dict[str, Any] = {"window": "7d", "step": "1d", "from_": iso(day(0)), "to": iso(day(9))}
    by_policy = {
        "all": [None, 100, 100, 200 / 3, 200 / 3, 25, 40, 40, 25, 0],
        "latest": [None, 100, 100, 200 / 3, 200 / 3, 0, 25, 25, 25, 0],
    }
    for policy, expected in by_policy.items():
        found = await api.ok("/v1/teams/rolling/series", policy=policy, **asked)
        assert [point["nps"] for point in found["points"]] == [
            None if n is None else pytest.approx(n) for n in expected
        ]
        assert [point["at"] for point in found["points"]] == [iso(day(k)) for k in range(10)]
        assert found["points"][0]["margin"] is None
        assert found["points"][0]["state"] == "empty"


@pytest.mark.usefixtures("scenario")
async def test_the_next_change_that_time_alone_brings_is_told(api: Api) -> None:
    found = await api.ok("/v1/teams/rolling/score", window="7d")
    # C leaves the window (d2, d9] at d10; B has left at d9.
    assert found["valid_until"] == iso(day(10))
    past = await api.ok("/v1/teams/rolling/score", window="7d", as_of=iso(day(4)))
    assert past["valid_until"] == iso(day(5))
    old = await api.ok("/v1/teams/rolling/score", window="all")
    assert old["valid_until"] is None


VECTORS = [
    # detractors, passives, promoters, nps, adjusted Wald, score interval
    (1, 2, 3, 33.333, (-26.743, 71.188), (-31.107, 75.396)),
    (0, 0, 10, 100.0, (47.504, 100.0), (44.493, 100.0)),
    (5, 0, 5, 0.0, (-51.127, 51.127), (-52.681, 52.681)),
    (10, 20, 70, 60.0, (45.270, 71.235), (45.217, 71.277)),
]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: "-".join(map(str, vector[:3])))
async def test_the_vectors_hold_from_the_table_to_the_answer(
    tables: Tables, api: Api, vector: tuple[int, int, int, float, tuple[float, float], tuple[float, float]]
) -> None:
    d, n, p, nps, wald, score = vector
    team = f"vector.{d}.{n}.{p}"
    bands = [0] * d + [7] * n + [10] * p
    tables.states(State(team, uid(i), i + 1, NOON_MS - i * 1000, NOON_MS, i, s) for i, s in enumerate(bands))
    for method, (low, high) in (("adjusted_wald", wald), ("score", score)):
        found = await api.ok(f"/v1/teams/{team}/score", margin=method)
        assert found["nps"] == pytest.approx(nps, abs=0.0005)
        assert (found["detractors"], found["passives"], found["promoters"]) == (d, n, p)
        assert found["margin"]["low"] == pytest.approx(low, abs=0.0006)
        assert found["margin"]["high"] == pytest.approx(high, abs=0.0006)
        assert (found["margin"]["method"], found["margin"]["level"]) == (method, 0.95)
        assert sum(found["shares"].values()) == 100


def drawn(rng: random.Random, teams: list[str], count: int) -> list[State]:
    """Random answers of a few weeks: edits, exclusions, late ones, ties, unknown respondents, whole minutes, erasures.

    Of every other erased answer the sink has not yet deleted what was said.
    """
    states: list[State] = []
    for number in range(count):
        event_ms = NOON_MS - rng.randrange(0, 25 * 1_440) * MINUTE_MS - rng.choice([0, 0, 1, 59_999, 30_000])
        state = State(
            *(rng.choice(teams), uid(rng.randrange(2**100)), len(states) + 1, event_ms),
            *(min(NOON_MS, event_ms + rng.choice([0, 5_000, DAY_MS])), number, rng.randrange(11)),
            respondent=rng.choice(["", "r1", "r2", "r3", "r4", "r5"]),
            reasons=rng.choice([(), (), (), (), ("test",), ("bot", "test")]),
        )
        states.append(state)
        while rng.random() < 0.3:
            state = state.edited(
                len(states) + 1,
                rng.randrange(state.known_ms, NOON_MS + 1),
                score=rng.randrange(11),
                respondent=rng.choice([state.respondent, "r1"]),
                reasons=rng.choice([(), state.reasons, ("duplicate_person",)]),
            )
            states.append(state)
        if rng.random() < 0.1:
            states.append(state.erasure(len(states) + 1, rng.randrange(state.known_ms, NOON_MS + 1)))
    gone = {state.response_id for state in states if state.erased and state.version % 2}
    return [state for state in states if state.erased or state.response_id not in gone]


@pytest.mark.parametrize("seed", range(3))
async def test_both_sources_agree_with_a_recount_over_random_answers(engines: Engines, seed: int) -> None:
    rng = random.Random(seed)
    teams = ["alpha", "beta"]
    states = drawn(rng, teams, 120)
    async with filled_store(engines.database(), states) as (written, store):
        written.states(rng.sample(states, 40), with_panes=False)  # written twice, as a sink may
        for _ in range(30):
            policy: Policy = rng.choice(["all", "latest"])
            window = rng.choice(["1h", "90m", "24h", "7d", "17d", "1095d", "all"])
            as_of = ceil_minute(NOON_MS) - rng.choice([0, 0, 1, rng.randrange(30 * 1_440)])
            known_ms = rng.choice([None, None, NOON_MS - rng.randrange(30 * DAY_MS)])
            asked = Ask(rng.choice([*teams, None]), window, policy, as_of, known_ms)
            found = await scores.score(store, asked, NOON_MS)
            expected = recount(states, as_of, asked.minutes, policy, asked.team, known_ms)
            assert found.tally == expected, asked
            assert found.excluded == left_out(states, as_of, asked.minutes, asked.team, known_ms), asked
            holds_until_told(states, asked, found)


def holds_until_told(states: list[State], asked: Ask, found: scores.Score) -> None:
    """The counts stay as they are up to the minute before `valid_until`; and change by `leaving` at the latest."""
    end = asked.as_of + 400 if found.valid_until is None else found.valid_until
    assert end > asked.as_of
    for t in {asked.as_of + 1, (asked.as_of + end) // 2, end - 1}:
        if asked.as_of <= t < end:
            assert recount(states, t, asked.minutes, asked.policy, asked.team, asked.known_ms) == found.tally, (
                asked,
                t,
            )


@pytest.mark.parametrize("seed", range(3))
async def test_where_panes_and_answers_can_both_tell_they_agree(engines: Engines, seed: int) -> None:
    rng = random.Random(100 + seed)
    states = drawn(rng, ["alpha", "beta"], 150)
    live = ceil_minute(NOON_MS)
    async with filled_store(engines.database(), states) as (_, store):
        for policy in ("all", "latest"):
            for window in ("1h", "24h", "7d", "30d", "90d"):
                for team in ("alpha", None):
                    asked = Ask(team, window, policy, live)
                    assert choose(policy, asked.after, live, None, NOON_MS) == "panes"
                    by_panes = await scores.score(store, asked, NOON_MS)
                    by_answers = await scores.score(store, Ask(team, window, policy, live, NOON_MS), NOON_MS)
                    assert by_panes.tally == by_answers.tally
                    assert by_panes.valid_until == by_answers.valid_until
                    assert by_panes.excluded == by_answers.excluded


@pytest.mark.parametrize("seed", range(3))
async def test_a_series_is_the_score_at_each_of_its_points(engines: Engines, seed: int) -> None:
    rng = random.Random(200 + seed)
    states = drawn(rng, ["alpha", "beta"], 120)
    async with filled_store(engines.database(), states) as (_, store):
        for policy in ("all", "latest"):
            for minutes in (60, 1_440, 7 * 1_440, None):
                step = rng.choice([1, 7, 60, 1_000, 1_440])
                first = ceil_minute(NOON_MS) - 60 * step - rng.randrange(1_440)
                common: dict[str, Any] = {"minutes": minutes, "policy": policy, "first": first, "step": step}
                found = await scores.series(store, None, points=60, now_ms=NOON_MS, each=True, **common)
                overall = await scores.series(store, None, points=60, now_ms=NOON_MS, each=False, **common)
                for k in range(60):
                    t = first + k * step
                    for team in ("alpha", "beta"):
                        told = found[team][k] if team in found else Tally()
                        assert told == recount(states, t, minutes, policy, team), (policy, minutes, t)
                    assert overall[""][k] == recount(states, t, minutes, policy)


async def test_history_beyond_the_horizon_is_in_long_windows_only(tables: Tables, api: Api) -> None:
    ages_ms = NOON_MS - HORIZON_MS - 500 * DAY_MS
    states = [
        State("old", uid(11), 1, ages_ms, NOON_MS, 1, 10, history=True),
        State("old", uid(12), 2, ages_ms + 1, NOON_MS, 2, 9, history=True),
        State("old", uid(13), 3, NOON_MS - DAY_MS, NOON_MS, 3, 2),
    ]
    tables.states(states)
    assert (await api.ok("/v1/teams/old/score", window="all"))["n"] == 3
    assert (await api.ok("/v1/teams/old/score", window="1095d"))["n"] == 3
    assert (await api.ok("/v1/teams/old/score", window="1095d", policy="latest"))["promoters"] == 2
    assert (await api.ok("/v1/teams/old/score", window="899d"))["n"] == 1
    assert (await api.ok("/v1/teams/old/score", window="90d"))["n"] == 1
    then = await api.ok("/v1/teams/old/score", window="7d", as_of=iso(ages_ms + DAY_MS))
    assert (then["n"], then["valid_until"]) == (2, iso(at_minute(ceil_minute(ages_ms) + WEEK)))
    found = await api.ok("/v1/teams/old/score", window="all")
    assert (found["from"], found["valid_until"]) == (None, None)


async def test_what_is_not_counted_is_told_by_reason_and_in_no_denominator(tables: Tables, api: Api) -> None:
    at = NOON_MS - 3_600_000
    states = [
        State("apart", uid(21), 1, at, at, 1, 9),
        State("apart", uid(22), 2, at, at, 2, 0, reasons=("test",)),
        State("apart", uid(23), 3, at, at, 3, 1, reasons=("bot", "test")),
        State("apart", uid(24), 4, at, at, 4, 2),
        State("apart", uid(25), 5, at, at, 5, 2, reasons=("invalid",)),
    ]
    excluded_later = states[3].edited(6, at + 1000, reasons=("duplicate_person",))
    included_later = states[4].edited(7, at + 2000, reasons=())
    tables.states([*states, excluded_later, included_later])
    found = await api.ok("/v1/teams/apart/score")
    assert found["excluded"] == {"bot": 1, "duplicate_person": 1, "test": 2}
    assert (found["n"], found["promoters"], found["detractors"]) == (2, 1, 1)
    before = await api.ok("/v1/teams/apart/score", known_at=iso(at))
    assert before["excluded"] == {"bot": 1, "invalid": 1, "test": 2}
    assert (before["n"], before["detractors"]) == (2, 1)


async def test_a_window_takes_its_last_minute_and_leaves_its_first(tables: Tables, api: Api) -> None:
    live = ceil_minute(NOON_MS)
    events = [at_minute(live), at_minute(live) - 59_999, at_minute(live - 60) + 1, at_minute(live - 60)]
    tables.states(State("edge", uid(31 + k), k + 1, at, at, k, 10) for k, at in enumerate(events))
    # The pane that ends at the window's beginning is outside; the millisecond after it is inside.
    assert (await api.ok("/v1/teams/edge/score", window="1h"))["n"] == 3
    assert (await api.ok("/v1/teams/edge/score", window="1h", policy="latest"))["n"] == 3
    assert (await api.ok("/v1/teams/edge/score", window="1h", known_at=iso(NOON_MS)))["n"] == 3
    assert (await api.ok("/v1/teams/edge/score", window="61m"))["n"] == 4
    assert (await api.ok("/v1/teams/edge/score", window="1h", as_of=iso(NOON_MS - 1)))["n"] == 2


@pytest.mark.usefixtures("scenario")
async def test_empty_is_null_and_an_unknown_team_is_404(api: Api) -> None:
    found = await api.ok("/v1/teams/rolling/score", window="1h")
    assert (found["n"], found["nps"], found["display"], found["margin"], found["shares"]) == (0, None, None, None, None)
    assert (found["state"], found["version"], found["excluded"]) == ("empty", 0, {})
    for path in ("/v1/teams/nobody/score", "/v1/teams/nobody/series", "/v1/compare?a=rolling&b=nobody"):
        status, body, _ = await api.get(path)
        assert (status, body["code"]) == (404, "not_found")


@pytest.mark.usefixtures("scenario")
async def test_the_version_is_the_greatest_of_what_was_read(api: Api) -> None:
    assert (await api.ok("/v1/teams/rolling/score", window="7d", known_at=iso(day(7))))["version"] == 4
    assert (await api.ok("/v1/teams/rolling/score", window="7d", known_at=iso(day(9))))["version"] == 6


async def test_two_teams_and_two_windows_are_compared(tables: Tables, api: Api) -> None:
    at = NOON_MS - 3_600_000
    good = [State("good", uid(41_000 + k), k + 1, at, at, k, 10 if k < 80 else 7) for k in range(100)]
    poor = [State("poor", uid(42_000 + k), k + 1, at, at, k, 2 if k < 50 else 9) for k in range(100)]
    tables.states([*good, *poor])
    found = await api.ok("/v1/compare", a="good", b="poor")
    assert (found["a"]["nps"], found["b"]["nps"], found["difference"]["nps"]) == (80.0, 0.0, 80.0)
    assert found["difference"]["low"] < 80 < found["difference"]["high"]
    assert found["difference"]["p_value"] < 0.001
    same = await api.ok("/v1/compare", a="good", b="good", b_as_of=iso(NOON_MS - 2 * 3_600_000))
    assert (same["b"]["n"], same["difference"]) == (0, None)
    overall = await api.ok("/v1/compare", a="*", b="good", window="2h", b_window="7d")
    assert (overall["a"]["team"], overall["a"]["window"], overall["b"]["window"]) == (None, "2h", "7d")


async def test_teams_are_listed_by_name_with_scores_and_pages(engines: Engines) -> None:
    names = [f"team-{number:02d}" for number in range(7)]
    states = [State(name, uid(50 + k), 1, NOON_MS, NOON_MS, 1, 10) for k, name in enumerate(names)]
    with filled(engines.database(), states) as written:
        written.states([State("only-history", uid(60), 1, NOON_MS - 900 * DAY_MS, NOON_MS, 1, 10)], with_panes=False)
        async with served(build_app(settings(written.url), now_ms=clock(NOON_MS))) as api:
            listed: list[str] = []
            cursor: dict[str, str] = {}
            while True:
                page = await api.ok("/v1/teams", limit=3, **cursor)
                listed += [item["team"] for item in page["items"]]
                if page["next_cursor"] is None:
                    break
                cursor = {"cursor": page["next_cursor"]}
            assert listed == ["only-history", *names]
            everything = await api.ok("/v1/teams", window="all")
            assert [item["score"]["n"] for item in everything["items"]] == [1] * 8
            assert (await api.ok("/v1/teams"))["items"][0]["score"]["state"] == "empty"
            assert (await api.ok("/v1/score"))["n"] == 7


async def test_an_empty_installation_has_an_empty_score(engines: Engines) -> None:
    async with served(build_app(settings(engines.database()), now_ms=clock(NOON_MS))) as api:
        found = await api.ok("/v1/score")
        assert (found["team"], found["n"], found["nps"], found["state"]) == (None, 0, None, "empty")
        assert (await api.ok("/v1/teams"))["items"] == []

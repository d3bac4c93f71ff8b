"""Where a number comes from, out of the real ClickHouse: all pages together recount to it, whatever comes meanwhile."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from schemas.topics import TEAM_CHANGES, partition_of
from services.query.app import build_app
from stream.domain.minutes import MINUTE_MS, ceil_minute, parse_window
from stream.domain.scores import Tally
from tests.engines import Engines
from tests.integration.test_query_scores import DAY_MS, day, drawn, scenario_states
from tests.unit.query.samples import (
    NOON_MS,
    READ_KEY,
    Api,
    State,
    Tables,
    clock,
    filled,
    iso,
    left_out,
    person_row,
    recount,
    served,
    settings,
    standing,
    uid,
)

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

GENERATION = 1 << 48


def stored(tables: Tables, team: str, through: int) -> None:
    """As the sink writes it last: everything of the team's partition below `through` is stored."""
    row = {"topic": TEAM_CHANGES, "partition": partition_of(team.encode()), "through": through}
    tables.insert("positions", [row | {"version": GENERATION + through}])


@pytest.fixture(scope="module")
def tables(engines: Engines) -> Iterator[Tables]:
    with filled(engines.database(), scenario_states()) as written:
        stored(written, "rolling", 7)
        yield written


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tables: Tables) -> AsyncIterator[Api]:
    """The service at day 9 of the scenario."""
    async with served(build_app(settings(tables.url), now_ms=clock(NOON_MS))) as running:
        yield running


async def every_page(api: Api, team: str, limit: int, **params: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The first page and the answers of all pages. What every page says of the number is the same."""
    path = f"/v1/teams/{team}/score/explain"
    first = page = await api.ok(path, limit=limit, **params)
    items = list(first["items"])
    while page["next_cursor"] is not None:
        assert len(page["items"]) == limit
        page = await api.ok(path, limit=limit, **params, cursor=page["next_cursor"])
        assert {k: v for k, v in page.items() if k not in ("items", "next_cursor")} == {
            k: v for k, v in first.items() if k not in ("items", "next_cursor")
        }
        items += page["items"]
    return first, items


def tally_of(items: list[dict[str, Any]]) -> Tally:
    return Tally.of_histogram([sum(1 for item in items if item["score"] == score) for score in range(11)])


def counts(found: dict[str, Any]) -> Tally:
    return Tally(found["detractors"], found["passives"], found["promoters"])


@pytest.mark.parametrize(
    ("as_of", "known", "policy", "nps", "behind"),
    [
        pytest.param(7, 7, "all", -25.0, {1: 10, 2: 3, 3: 8, 4: 6}, id="d7-known-at-d7"),
        pytest.param(7, 7, "latest", -200 / 3, {2: 3, 3: 8, 4: 6}, id="d7-known-at-d7-latest"),
        pytest.param(7, 7.5, "all", 25.0, {1: 10, 2: 9, 3: 8, 4: 6}, id="d7-after-the-edit"),
        pytest.param(7, 7.5, "latest", 0.0, {2: 9, 3: 8, 4: 6}, id="d7-after-the-edit-latest"),
        pytest.param(9, None, "all", 0.0, {3: 8, 4: 6, 5: 9}, id="d9"),
        pytest.param(7, None, "all", 40.0, {1: 10, 2: 9, 3: 8, 4: 6, 5: 9}, id="d7-asked-at-d9"),
        pytest.param(7, None, "latest", 25.0, {2: 9, 3: 8, 4: 6, 5: 9}, id="d7-asked-at-d9-latest"),
    ],
)
@pytest.mark.parametrize("limit", [1, 3, 50])
async def test_the_rolling_scenario_is_explained(
    api: Api, as_of: int, known: float | None, policy: str, nps: float, behind: dict[int, int], limit: int
) -> None:
    params = {"policy": policy, "as_of": iso(day(as_of))} | ({} if known is None else {"known_at": iso(day(known))})
    found, items = await every_page(api, "rolling", limit, **params)
    assert found["nps"] == pytest.approx(nps)
    assert {item["response_id"]: item["score"] for item in items} == {uid(n): score for n, score in behind.items()}
    assert tally_of(items) == counts(found)
    assert [item["event_at"] for item in items] == sorted((item["event_at"] for item in items), reverse=True)
    asked = await api.ok("/v1/teams/rolling/score", **params)
    same = ("nps", "display", "n", "shares", "margin", "state", "excluded", "as_of", "from", "to", "window", "policy")
    assert {name: found[name] for name in same} == {name: asked[name] for name in same}


async def test_it_says_up_to_where_the_log_is_in_it(api: Api) -> None:
    partition = partition_of(b"rolling")
    now = await api.ok("/v1/teams/rolling/score/explain")
    assert now["log"] == {"partition": partition, "through": 7, "record": f"{partition}:6", "version": 6}
    assert now["known_at"] == iso(day(9))
    then = await api.ok("/v1/teams/rolling/score/explain", known_at=iso(day(7)))
    assert (then["log"]["record"], then["known_at"]) == (f"{partition}:4", iso(day(7)))
    edited = next(item for item in then["items"] if item["response_id"] == uid(3))
    assert (edited["record"], edited["band"], edited["known_at"]) == (f"{partition}:3", "passive", iso(day(3)))
    before = await api.ok("/v1/teams/rolling/score/explain", known_at=iso(day(0)))
    assert (before["log"]["record"], before["n"], before["items"]) == (None, 0, [])


def as_logged(states: list[State]) -> list[State]:
    """The same states in one log: the later an answer came to stand so, the higher its version."""
    ordered = sorted(states, key=lambda state: state.known_ms)
    return [replace(state, version=number) for number, state in enumerate(ordered, 1)]


@pytest.mark.parametrize("seed", range(3))
async def test_all_pages_together_recount_to_the_number(engines: Engines, seed: int) -> None:
    rng = random.Random(400 + seed)
    states = as_logged(drawn(rng, ["alpha", "beta"], 150))
    with filled(engines.database(), states) as written:
        for team in ("alpha", "beta"):
            stored(written, team, len(states) + 100)
        async with served(build_app(settings(written.url), now_ms=clock(NOON_MS))) as api:
            for _ in range(25):
                team, policy = rng.choice(["alpha", "beta"]), rng.choice(["all", "latest"])
                window = rng.choice(["1h", "24h", "7d", "17d", "1095d", "all"])
                as_of = ceil_minute(NOON_MS) - rng.choice([0, 1, rng.randrange(30 * 1_440)])
                known_ms = rng.choice([None, NOON_MS - rng.randrange(30 * DAY_MS)])
                params = {"window": window, "policy": policy, "as_of": iso(as_of * MINUTE_MS)}
                params |= {} if known_ms is None else {"known_at": iso(known_ms)}
                found, items = await every_page(api, team, rng.choice([1, 7, 200]), **params)
                expected = recount(states, as_of, parse_window(window), policy, team, known_ms)
                assert counts(found) == tally_of(items) == expected, params
                assert len({item["response_id"] for item in items}) == len(items)
                assert found["excluded"] == left_out(states, as_of, parse_window(window), team, known_ms), params
                scored = await api.ok(f"/v1/teams/{team}/score", **params)
                assert (counts(scored), scored["excluded"]) == (expected, found["excluded"])
                stood = {s.response_id: s for s in standing([s for s in states if s.team == team], known_ms)}
                assert all(stood[i["response_id"]].version == i["version"] for i in items)


@pytest.mark.parametrize("policy", ["all", "latest"])
async def test_what_comes_meanwhile_changes_no_page(tables: Tables, api: Api, policy: str) -> None:
    team = f"stable-{policy}"
    at = NOON_MS - 3_600_000
    states = [State(team, uid(100 + n), n + 1, at + n, at + n, n + 1, n % 11, f"r{n % 8}") for n in range(30)]
    tables.states(states)
    stored(tables, team, 31)
    expected, everything = await every_page(api, team, 200, policy=policy)
    page = await api.ok(f"/v1/teams/{team}/score/explain", policy=policy, limit=7)
    items = list(page["items"])
    number = 40
    while page["next_cursor"] is not None:
        # An answer of the same respondents, an edit and an exclusion, before each page.
        more = [
            State(team, uid(200 + number), number, at + number, NOON_MS, number, 10, f"r{number % 8}"),
            states[number % 30].edited(number + 1, NOON_MS, score=0, revision=1),
            states[(number + 7) % 30].edited(number + 2, NOON_MS, reasons=("bot",)),
        ]
        tables.states(more, with_panes=False)
        number += 3
        stored(tables, team, number)
        page = await api.ok(f"/v1/teams/{team}/score/explain", policy=policy, limit=7, cursor=page["next_cursor"])
        assert counts(page) == counts(expected)
        items += page["items"]
    assert items == everything
    anew, _ = await every_page(api, team, 200, policy=policy)
    assert anew["log"]["version"] > expected["log"]["version"]
    assert counts(anew) != counts(expected)


async def test_what_is_only_half_stored_is_not_in_it_yet(tables: Tables, api: Api) -> None:
    states = [State("half", uid(300 + n), GENERATION + n, NOON_MS - n, NOON_MS, n, 9) for n in (1, 2, 3)]
    tables.states(states)
    unknown = await api.ok("/v1/teams/half/score/explain")
    assert (unknown["n"], unknown["log"]["through"]) == (0, 0)
    stored(tables, "half", 3)
    found = await api.ok("/v1/teams/half/score/explain")
    assert (found["n"], found["log"]["through"], found["log"]["version"]) == (2, 3, GENERATION + 2)
    stored(tables, "half", 4)
    assert (await api.ok("/v1/teams/half/score/explain"))["n"] == 3


async def test_what_another_generation_has_stored_says_nothing_of_this_one(tables: Tables) -> None:
    second = settings(tables.url).model_copy(update={"generation": 2, "partitions": 5})
    async with served(build_app(second, now_ms=clock(NOON_MS))) as api:
        found = await api.ok("/v1/teams/rolling/score/explain")
    assert (found["n"], found["log"]["through"]) == (0, 0)


async def test_an_erasure_between_two_pages_shows_as_one(tables: Tables, api: Api) -> None:
    states = [State("leaves", uid(400 + n), n, NOON_MS - n, NOON_MS - n, n, 9, respondent="r") for n in (1, 2, 3)]
    tables.states(states)
    stored(tables, "leaves", 4)
    tables.insert("people", [person_row("leaves", uid(403), "words")])
    first = await api.ok("/v1/teams/leaves/score/explain", limit=1)
    tables.states([states[2].erasure(5, NOON_MS)], with_panes=False)
    second = await api.ok("/v1/teams/leaves/score/explain", limit=5, cursor=first["next_cursor"])
    assert [item["response_id"] for item in first["items"] + second["items"]] == [uid(401), uid(402)]
    assert (second["n"], second["excluded"]) == (2, {"erased": 1})
    newest = await api.ok("/v1/teams/leaves/score/explain", policy="latest")
    assert [item["response_id"] for item in newest["items"]] == [uid(401)]


async def test_a_cursor_of_another_question_is_refused(api: Api) -> None:
    path = "/v1/teams/rolling/score/explain"
    asked: dict[str, Any] = {"limit": 1, "as_of": iso(day(7)), "known_at": iso(day(7.5))}
    cursor = (await api.ok(path, **asked))["next_cursor"]
    for change in ({"window": "24h"}, {"policy": "latest"}, {"as_of": iso(day(6))}, {"known_at": iso(day(7))}):
        status, body, _ = await api.get(path, **(asked | change), cursor=cursor)
        assert (status, body["errors"][0]["path"]) == (422, "cursor")
    assert (await api.get("/v1/teams/other/score/explain", cursor=cursor))[0] == 422
    alone = await api.ok(path, limit=1, cursor=cursor)  # what the cursor pins need not be said again
    assert alone == await api.ok(path, **asked, cursor=cursor)
    assert (alone["as_of"], alone["known_at"]) == (iso(day(7)), iso(day(7.5)))


async def test_the_page_shows_it_and_the_cards_lead_there(api: Api) -> None:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        async with browser.get(api.url + "/teams/rolling/explain") as answer:
            assert 'name="key"' in await answer.text()
        async with browser.post(api.url + "/login", data={"key": READ_KEY}) as answer:
            assert 'href="/teams/rolling/explain?window=7d"' in await answer.text()
        query = {"window": "7d", "as_of": iso(day(7)), "known_at": iso(day(7))}
        async with browser.get(api.url + "/teams/rolling/explain", params=query) as answer:
            html = await answer.text()
        assert (answer.status, html.count("<tr><td>")) == (200, 4)
        assert "100 · (1 − 2) / 4 = -25.0" in html
        assert f"record {partition_of(b'rolling')}:4 of the log" in html
        assert "together they recount to the score" in html
        assert "Answers of the 7\u00a0d to" in html
        for unknown in ("nobody", "No%20Team", "%3Cb%3E"):
            async with browser.get(f"{api.url}/teams/{unknown}/explain") as answer:
                told = await answer.text()
            assert (answer.status, answer.content_type) == (404, "text/html")
            assert "There is no such team" in told
            assert '<a href="/">' in told
            assert "<b>" not in told
        async with browser.get(api.url + "/teams/rolling/explain?cursor=W10") as answer:
            assert (answer.status, answer.content_type) == (422, "text/html")


async def test_a_team_never_seen_is_404(api: Api) -> None:
    status, body, _ = await api.get("/v1/teams/nobody/score/explain")
    assert (status, body["code"]) == (404, "not_found")

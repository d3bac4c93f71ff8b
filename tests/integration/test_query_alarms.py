"""Score alarms, read from the real ClickHouse as the alerts service leaves them there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from services.query.app import build_app
from tests.engines import Engines
from tests.unit.query.samples import NOON_MS, Api, Tables, clock, served, settings, uid

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

DAY_S = 86_400


def alarm_row(number: int, team: str, days_ago: int, **more: Any) -> dict[str, Any]:
    return {
        "alarm_id": uid(number),
        "team": team,
        "since": "2026-10-20",
        "raised_at": NOON_MS / 1_000 - days_ago * DAY_S,
        "ended_at": None,
        "ending": "",
        "before": [360, 540, 900],
        "after": [60, 20, 20],
        "now": [66, 22, 32],
        "version": number,
        **more,
    }


@pytest.fixture(scope="module")
def tables(engines: Engines) -> Iterator[Tables]:
    written = Tables(engines.database())
    ended = {"ended_at": NOON_MS / 1_000, "ending": "recovered", "version": 99}
    written.insert("alarms", [alarm_row(1, "alpha", 9), alarm_row(2, "beta", 3), alarm_row(3, "beta", 2)])
    written.insert("alarms", [alarm_row(1, "alpha", 9, **ended), alarm_row(3, "beta", 2, after=[0, 0, 0])])
    yield written
    written.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tables: Tables) -> AsyncIterator[Api]:
    async with served(build_app(settings(tables.url), now_ms=clock(NOON_MS))) as running:
        yield running


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({}, [3, 2, 1]),
        ({"team": "beta"}, [3, 2]),
        ({"state": "open"}, [3, 2]),
        ({"state": "ended"}, [1]),
        ({"team": "beta", "state": "ended"}, []),
        ({"limit": "1"}, [3]),
    ],
)
async def test_alarms_are_listed_newest_first_each_as_it_was_last_written(
    api: Api, asked: dict[str, str], numbers: list[int]
) -> None:
    found = (await api.ok("/v1/alarms", **asked))["items"]
    assert [one["alarm_id"] for one in found] == [uid(number) for number in numbers]


async def test_an_alarm_says_since_when_how_far_and_whether_it_is_over(api: Api) -> None:
    empty, _, over = (await api.ok("/v1/alarms"))["items"]
    assert (over["state"], over["ending"], over["since"]) == ("ended", "recovered", "2026-10-20")
    assert over["ended_at"][:10] == "2026-11-01"
    assert over["raised_at"] < over["ended_at"]
    assert over["before"] == {
        "n": 1_800,
        "detractors": 360,
        "passives": 540,
        "promoters": 900,
        "nps": 30.0,
        "display": 30,
    }
    assert (over["after"]["nps"], over["now"]["n"]) == (-40, 120)
    assert over["change"]["low"] < over["change"]["points"] == -70 < over["change"]["high"] < 0
    assert (empty["state"], empty["after"]["nps"], empty["after"]["display"], empty["change"]) == (
        "open",
        None,
        None,
        None,
    )


async def test_what_makes_no_sense_is_refused(api: Api) -> None:
    for name, value in (("state", "closed"), ("team", "A B"), ("limit", "0"), ("colour", "red")):
        status, _, _ = await api.get("/v1/alarms", **{name: value})
        assert status == 422

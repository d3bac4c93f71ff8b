"""What teams promise, read from the real ClickHouse: which policy holds, and all there were."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from services.query.app import build_app
from tests.engines import Engines
from tests.unit.query.samples import NOON_MS, Api, Tables, clock, served, settings

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

NOON = "2026-11-01T12:00:00Z"
YEAR_MS = 31_536_000_000


def policy_row(team: str, version: int, *, until_ms: int | None = None, **more: Any) -> dict[str, Any]:
    until = None if until_ms is None else until_ms / 1000
    return {
        "team": team,
        "version": version,
        "set_at": NOON_MS / 1000,
        "rev": f"r{version}",
        "until": until,
        "contact_ms": 3_600_000,
        "resolve_ms": 7_200_000,
        "root_causes": ["billing"],
        "config": '{"name":"A"}',
        **more,
    }


@pytest.fixture(scope="module")
def tables(engines: Engines) -> Iterator[Tables]:
    written = Tables(engines.database())
    written.insert("policies", [policy_row("alpha", 9), policy_row("beta", 3, until_ms=NOON_MS + YEAR_MS)])
    # Older ones, and one that stands twice, come in any order. The newest of alpha is around the clock, none before.
    written.insert("policies", [policy_row("alpha", 7, until_ms=NOON_MS, config="{}"), policy_row("alpha", 9)])
    yield written
    written.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tables: Tables) -> AsyncIterator[Api]:
    async with served(build_app(settings(tables.url), now_ms=clock(NOON_MS))) as running:
        yield running


async def test_of_each_team_the_newest_policy_holds(api: Api) -> None:
    listed = (await api.ok("/v1/policies"))["items"]
    assert [(item["team"], item["rev"]) for item in listed] == [("alpha", "r9"), ("beta", "r3")]
    assert (listed[0]["set_at"][:19] + "Z", listed[0]["until"]) == (NOON, None)
    assert listed[1]["until"][:4] == "2027"


async def test_teams_are_listed_page_by_page(api: Api) -> None:
    first = (await api.ok("/v1/policies", limit="1"))["items"]
    rest = (await api.ok("/v1/policies", after=first[0]["team"]))["items"]
    assert [item["team"] for item in first + rest] == ["alpha", "beta"]


async def test_a_team_has_a_history_newest_first(api: Api) -> None:
    found = await api.ok("/v1/teams/alpha/policies")
    assert [item["rev"] for item in found["items"]] == ["r9", "r7"]
    assert [item["config"] for item in found["items"]] == [{"name": "A"}, {}]
    newest = found["items"][0]
    assert (newest["contact_ms"], newest["resolve_ms"], newest["root_causes"]) == (3_600_000, 7_200_000, ["billing"])
    assert len((await api.ok("/v1/teams/alpha/policies", limit="1"))["items"]) == 1


async def test_a_team_with_the_built_in_promise_has_no_history(api: Api) -> None:
    assert await api.ok("/v1/teams/gamma/policies") == {"team": "gamma", "items": []}

"""Where a score comes from, in a real Chromium: legible on a desk and on a phone, and back from a wrong address."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from schemas.topics import TEAM_CHANGES
from services.query.app import build_app
from stream.domain.ids import version
from tests.browser.chromium import axe_violations
from tests.engines import Engines
from tests.unit.query.samples import NOON_MS, READ_KEY, Api, State, Tables, clock, filled, served, settings, uid

pytestmark = [pytest.mark.real, pytest.mark.browser]

# A folder to keep the screenshots in, for people to look at.
SHOTS = os.environ.get("TEST_SCREENSHOTS", "")
SCORES = [10, 9, 3, 7, 10, 0, 8, 9]


@pytest.fixture
def tables(engines: Engines) -> Iterator[Tables]:
    answers = [
        State("checkout", uid(2**100 + k), k + 1, NOON_MS - k * 3_600_123, NOON_MS, k + 1, score, f"r{k}")
        for k, score in enumerate(SCORES)
    ]
    apart = State("checkout", uid(7), 20, NOON_MS - 5_000, NOON_MS, 20, 2, reasons=("bot",))
    with filled(engines.database(), [*answers, apart]) as written:
        rows = [{"partition": partition, "through": 21, "version": version(1, 21)} for partition in range(16)]
        written.insert("positions", [row | {"topic": TEAM_CHANGES} for row in rows])
        yield written


@pytest.fixture
async def api(tables: Tables) -> AsyncIterator[Api]:
    async with served(build_app(settings(tables.url), now_ms=clock(NOON_MS))) as running:
        yield running


async def opened(page: Page, api: Api, path: str) -> None:
    await page.goto(f"{api.url}/#key={READ_KEY}")
    await expect(page.locator("#board")).to_be_visible()
    await page.goto(api.url + path)


async def shot(page: Page, name: str, tmp_path: Path) -> None:
    await page.screenshot(path=str((Path(SHOTS) if SHOTS else tmp_path) / f"explain-{name}.png"), full_page=True)


@pytest.mark.parametrize(
    ("name", "page_options"),
    [
        ("desktop", {"viewport": {"width": 1280, "height": 800}}),
        ("phone", {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2}),
        ("dark", {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"}),
    ],
)
async def test_dates_and_ids_stay_whole_and_only_the_table_scrolls(
    page: Page, page_options: dict[str, Any], api: Api, name: str, tmp_path: Path
) -> None:
    await opened(page, api, "/teams/checkout/explain?window=7d")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Pulse / checkout")
    await expect(page.get_by_role("row")).to_have_count(len(SCORES) + 1)
    await shot(page, name, tmp_path)
    heights = await page.locator("tbody td").evaluate_all("cells => cells.map(cell => cell.clientHeight)")
    assert len(set(heights)) == 1, "a cell broke into lines"
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert await axe_violations(page) == ""


@pytest.mark.parametrize("page_options", [{"viewport": {"width": 390, "height": 844}}])
async def test_a_team_that_nobody_knows_is_told_with_a_way_back(
    page: Page, page_errors: list[str], page_options: dict[str, Any], api: Api, tmp_path: Path
) -> None:
    await opened(page, api, "/teams/chekout/explain")
    await expect(page.get_by_role("heading")).to_have_text("There is no such team")
    await shot(page, "missing", tmp_path)
    assert await axe_violations(page) == ""
    await page.get_by_role("link").click()
    await expect(page.locator("#board")).to_be_visible()
    page_errors.clear()  # Chromium logs the 404

"""The page behind a link, on a phone in a real Chromium: one button, pressed by a thumb or by the keyboard."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from services.alerts.people import Text
from tests.browser.chromium import axe_violations
from tests.unit.alerts.builders import raised
from tests.unit.alerts.tapping import TapDoor, tap_door

pytestmark = pytest.mark.browser

# A folder to keep the screenshots in, for people to look at.
SHOTS = os.environ.get("TEST_SCREENSHOTS", "")
EVENT = raised(personal=True)
TEXT = Text(
    0,
    "I have been waiting for two weeks and nobody called me back.\n\nThe form says within 10 hours, which is a joke: "
    "https://example.com/a/very/long/address/that/does/not/break/anywhere/at/all/and/goes/on",
    "cust-7",
    "Ane Holm-Østergaard",
    "ane.holm.oestergaard@customer.example.com",
    "+4520304050",
)


@pytest.fixture(params=["light", "dark"])
def page_options(request: pytest.FixtureRequest) -> dict[str, Any]:
    size = {"width": 360, "height": 740}
    return {"color_scheme": request.param, "viewport": size, "has_touch": True, "is_mobile": True}


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[TapDoor]:
    async with tap_door(tmp_path, {EVENT.case.response_id: TEXT}) as opened:
        await opened.raise_case(EVENT)
        yield opened


async def shot(page: Page, name: str, options: dict[str, Any]) -> None:
    if SHOTS:
        await page.screenshot(path=Path(SHOTS) / f"tap-{name}-{options['color_scheme']}.png", full_page=True)


async def test_a_case_is_taken_with_one_tap(page: Page, door: TapDoor, page_options: dict[str, Any]) -> None:
    await page.goto(door.link(EVENT, "I’ve got it"))
    await expect(page.get_by_role("heading", name="3 of 10 in support")).to_be_visible()
    await shot(page, "open", page_options)
    assert await axe_violations(page) == ""
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    button = page.get_by_role("button", name="I’ve got it")
    box = await button.bounding_box()
    assert box is not None
    assert box["height"] >= 44
    await page.get_by_label("Your name, for the record").fill("Bo Lind")
    await button.tap()
    await expect(page.get_by_role("status")).to_contain_text("is on record")
    await expect(page.get_by_text("acknowledged")).to_be_visible()
    await shot(page, "done", page_options)
    assert await axe_violations(page) == ""
    assert [act.kind for act in door.acts] == ["acknowledge"]


async def test_a_link_that_is_cut_says_so(
    page: Page, door: TapDoor, page_options: dict[str, Any], page_errors: list[str]
) -> None:
    await page.goto(door.link(EVENT, "Contacted")[:-4])
    await expect(page.get_by_role("heading", name="This is no link of ours")).to_be_visible()
    await shot(page, "cut", page_options)
    assert await axe_violations(page) == ""
    page_errors.clear()  # the browser tells of the 404

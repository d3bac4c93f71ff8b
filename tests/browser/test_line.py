"""The whole line as two people see it: a customer answers in the widget, a team lead's page moves by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.e2e.instances import running

pytestmark = [pytest.mark.real, pytest.mark.browser]

WITHIN_MS = 30_000  # a whole instance starts on two cores beside the browser


async def _answer(browser: Browser, address: str, score: int) -> None:
    """Answer as a new customer would."""
    context = await browser.new_context()
    customer = await context.new_page()
    await customer.goto(address)
    await customer.get_by_role("radio", name=str(score)).first.check(force=True)
    await customer.get_by_role("button", name="Send").click()
    await expect(customer.get_by_text("Thank you").first).to_be_visible(timeout=WITHIN_MS)
    await context.close()


@pytest.mark.timeout(400)
async def test_an_answer_given_in_the_widget_moves_the_number_on_the_page(
    page: Page, browser: Browser, tmp_path: Path
) -> None:
    with running(tmp_path / "instance") as instance:
        ready = instance.ready
        survey = f"{ready['ingest']}/demo?team=front-desk"
        await _answer(browser, survey, 8)
        await page.goto(f"{ready['query']}/#key={ready['keys']['read']}")
        card = page.locator('[data-card="front-desk"]')
        await expect(card.locator('[data-field="answers"]')).to_contain_text("1", timeout=WITHIN_MS)
        await expect(page.locator("#live")).to_contain_text("Live", timeout=WITHIN_MS)
        await _answer(browser, survey, 3)
        await expect(card.locator('[data-field="share-d"]')).to_have_text("50 %", timeout=WITHIN_MS)
        await expect(page.locator("[data-case]")).to_have_count(1, timeout=WITHIN_MS)
        await page.goto("about:blank")  # the page would complain, and rightly, when its service stops

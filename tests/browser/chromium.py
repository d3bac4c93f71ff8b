"""A real Chromium for the browser tests: a fresh context a test, and no silent errors in the page."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",  # or it looks up its maker's hosts at every start
    "--disable-component-update",
    "--disable-sync",
]
TIMEOUT_MS = 10_000


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Debian's chromium. Missing: the test is skipped on a developer's machine and fails in CI."""
    if not os.access(CHROMIUM, os.X_OK):
        missing = f"{CHROMIUM} is missing: install Debian's package chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        await launched.close()


@pytest.fixture
def page_options() -> dict[str, Any]:
    """Options of the page's context, such as `color_scheme` or `viewport`; a test overrides the fixture to set them."""
    return {}


@pytest.fixture
def page_errors() -> list[str]:
    """What the page logged as errors or threw. A test that provokes some looks at them and clears the list."""
    return []


@pytest.fixture
async def page(browser: Browser, page_options: dict[str, Any], page_errors: list[str]) -> AsyncIterator[Page]:
    """A page in a context of its own. The test fails if it logged an error or threw one."""
    context = await browser.new_context(**page_options)
    context.set_default_timeout(TIMEOUT_MS)
    opened = await context.new_page()
    opened.on("console", lambda message: page_errors.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: page_errors.append(str(error)))
    yield opened
    await context.close()
    assert page_errors == [], page_errors


async def axe_violations(page: Page) -> str:
    """What axe-core finds wrong with the page as it stands, as a report; empty if nothing."""
    results = await Axe().run(page)
    return str(results.generate_report()) if results.violations_count else ""

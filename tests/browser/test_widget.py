"""The widget in a real Chromium, over the real door and the real Kafka: by keyboard alone, and for every eye."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from aiohttp import web
from playwright.async_api import Browser, Page, Route, expect

from schemas.feedback import Answer
from schemas.people import Person
from schemas.topics import FEEDBACK, PEOPLE
from tests.browser.chromium import axe_violations
from tests.engines import Engines
from tests.integration.ingest_service import IngestService, record_at, records, serving, until
from tests.unit.ingest.fakes import WIDGET

pytestmark = [pytest.mark.real, pytest.mark.browser]

# A folder to keep the screenshots in, for people to look at.
SHOTS = os.environ.get("TEST_SCREENSHOTS", "")


@pytest.fixture(scope="module")
def sites() -> Iterator[list[socket.socket]]:
    """Two free addresses for web sites elsewhere: the first is an allowed origin, the second is not."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    yield listeners
    for listener in listeners:
        listener.close()


def origin_of(site: socket.socket) -> str:
    return f"http://127.0.0.1:{site.getsockname()[1]}"


@pytest.fixture(scope="module")
def ingest(engines: Engines, sites: list[socket.socket]) -> Iterator[IngestService]:
    engines.topics()
    yield from serving(engines.kafka, PULSE_WIDGET_ORIGINS=json.dumps([origin_of(sites[0])]))


@pytest.fixture
async def demo(ingest: IngestService) -> Callable[..., str]:
    await ingest.ready()
    return lambda team="demo", **more: "&".join(
        [f"{ingest.url}/demo?team={team}", *(f"{name}={value}" for name, value in more.items())]
    )


async def shot(page: Page, name: str, tmp_path: Path) -> None:
    await page.screenshot(path=str((Path(SHOTS) if SHOTS else tmp_path) / f"{name}.png"), full_page=True)


async def accepted(page: Page, act: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
    """Do something that posts; the body of the 202."""
    async with page.expect_response(lambda reply: reply.url.endswith("/v1/responses") and reply.status == 202) as reply:
        await act()
    body = await (await reply.value).json()
    assert isinstance(body, dict)
    return body


async def test_a_keyboard_alone_takes_an_answer_from_the_question_to_the_log(
    page: Page, demo: Callable[..., str], engines: Engines, tmp_path: Path
) -> None:
    team = f"keys-{time.time_ns()}"
    await page.goto(demo(team))
    assert await axe_violations(page) == ""

    focused = page.locator("pulse-widget input:focus")
    await page.keyboard.press("Tab")
    await expect(focused).to_have_value("0")
    assert await page.locator("pulse-widget textarea").is_hidden()
    await page.keyboard.press("Space")
    for score in ("1", "2", "3"):
        await page.keyboard.press("ArrowRight")
        await expect(focused).to_have_value(score)
    await page.keyboard.press("Tab")
    await expect(page.locator("pulse-widget textarea")).to_be_focused()
    await page.keyboard.type("Waited two weeks, naïvely")
    await page.keyboard.press("Tab")
    await expect(focused).to_have_value("none")
    await page.keyboard.press("ArrowRight")
    await expect(focused).to_have_value("email")
    await page.keyboard.press("Tab")

    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Your e-mail address")).to_be_focused()
    await expect(page.get_by_text("Please write an e-mail address")).to_be_visible()
    assert await axe_violations(page) == ""
    await page.keyboard.type("ada@example.com")
    await expect(page.get_by_text("Please write an e-mail address")).to_be_hidden()
    await shot(page, "filled", tmp_path)
    await page.keyboard.press("Tab")
    body = await accepted(page, lambda: page.keyboard.press("Enter"))

    thanks = page.get_by_role("status").filter(has_text="Thank you for telling us.")
    await expect(thanks).to_be_focused()
    await expect(thanks).to_contain_text("Somebody will get back to you.")
    assert await axe_violations(page) == ""
    await shot(page, "thanks", tmp_path)

    receipt = body["receipt"]
    assert receipt["topic"] == FEEDBACK
    record = await record_at(engines.kafka, FEEDBACK, receipt["partition"], receipt["offset"])
    answer = msgspec.json.decode(record.value, type=Answer)
    assert (record.key, answer.score, answer.response_id) == (team.encode(), 3, body["response_id"])
    assert (answer.medium, answer.channel, answer.survey, answer.personal) == ("email", "widget", "demo", True)
    key = f"{team}|{body['response_id']}".encode()
    [person] = [each for each in await records(engines.kafka, PEOPLE) if each.key == key]
    text = msgspec.json.decode(person.value, type=Person)
    assert (text.comment, text.email) == ("Waited two weeks, naïvely", "ada@example.com")


@pytest.mark.parametrize(
    ("score", "thanks"),
    [
        ("6", "Thank you for telling us."),
        ("7", "Thank you!"),
        ("8", "Thank you!"),
        ("9", "Thank you, that is great to hear!"),
    ],
)
async def test_the_thanks_fit_the_band(page: Page, demo: Callable[..., str], score: str, thanks: str) -> None:
    await page.goto(demo())
    await page.get_by_role("radio", name=score, exact=True).check()
    body = await accepted(page, page.get_by_role("button", name="Send").click)
    assert body["response_id"]
    await expect(page.get_by_role("status").filter(has_text=thanks)).to_be_visible()


async def test_the_ends_of_the_scale_say_what_they_mean(page: Page, demo: Callable[..., str]) -> None:
    await page.goto(demo())
    await expect(page.get_by_role("radio", name="0, Not at all likely")).to_be_visible()
    await expect(page.get_by_role("radio", name="10, Extremely likely")).to_be_visible()
    group = page.get_by_role("group", name="How likely are you to recommend us to a friend or colleague?")
    await expect(group.get_by_role("radio")).to_have_count(11)


async def test_the_widget_speaks_the_language_it_is_told(page: Page, demo: Callable[..., str]) -> None:
    await page.goto(demo(locale="da-DK"))
    await expect(page.get_by_role("group", name="Hvor sandsynligt er det")).to_be_visible()
    assert await axe_violations(page) == ""


async def test_a_retry_has_the_same_id_and_the_page_says_what_is_going_on(
    page: Page, page_errors: list[str], demo: Callable[..., str]
) -> None:
    await page.goto(demo())
    seen: list[str] = []

    async def first_two_fail(route: Route) -> None:
        seen.append(msgspec.json.decode(route.request.post_data_buffer or b"")["response_id"])
        if len(seen) == 1:
            await route.abort()
        elif len(seen) == 2:
            await route.fulfill(status=503, headers={"Retry-After": "0"}, body="")
        else:
            await route.continue_()

    await page.clock.install()
    await page.route("**/v1/responses", first_two_fail)
    await page.get_by_role("radio", name="9", exact=True).check()
    await page.get_by_role("button", name="Send").click()
    status = page.get_by_role("status").first
    await expect(status).to_have_text("No luck yet, trying again…")
    await page.clock.run_for(1_000)
    await until(lambda: len(seen) == 2, "a second attempt")
    await page.clock.run_for(2_000)
    await expect(page.get_by_text("Thank you, that is great to hear!")).to_be_visible()
    assert len(seen) == 3
    assert len(set(seen)) == 1
    assert len(page_errors) == 2
    page_errors.clear()


async def test_a_failure_is_told_honestly_and_nothing_that_was_written_is_gone(
    page: Page, page_errors: list[str], demo: Callable[..., str]
) -> None:
    await page.goto(demo())
    attempts = 0

    async def fail(route: Route) -> None:
        nonlocal attempts
        attempts += 1
        await route.abort()

    def more_than(before: int) -> bool:
        return attempts > before

    await page.clock.install()
    await page.route("**/v1/responses", fail)
    await page.get_by_role("radio", name="9", exact=True).check()
    await page.get_by_label("What is the main reason").fill("keep me")
    await page.get_by_role("button", name="Send").click()
    for wait_ms in (1_000, 2_000, 4_000, 8_000):
        before = attempts
        await expect(page.get_by_role("status").first).to_have_text("No luck yet, trying again…")
        await page.clock.run_for(wait_ms)
        await until(partial(more_than, before), "another attempt")
    await expect(page.get_by_role("status").first).to_contain_text("Your answer has not been saved")
    await expect(page.get_by_label("What is the main reason")).to_have_value("keep me")
    assert attempts == 5
    await page.unroute("**/v1/responses")
    await accepted(page, page.get_by_role("button", name="Try again").click)
    page_errors.clear()


async def test_a_refused_answer_is_not_sent_again(page: Page, page_errors: list[str], demo: Callable[..., str]) -> None:
    await page.goto(demo())

    async def refuse(route: Route) -> None:
        await route.fulfill(status=422, body="")

    await page.route("**/v1/responses", refuse)
    await page.get_by_role("radio", name="9", exact=True).check()
    await page.get_by_role("button", name="Send").click()
    await expect(page.get_by_role("status").first).to_contain_text("the server did not accept it")
    assert len(page_errors) == 1
    page_errors.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("name", "width", "height", "zoom"),
    [("wide", 1280, 900, 1), ("narrow", 320, 700, 1), ("zoomed", 640, 450, 2)],
)
async def test_the_page_is_usable_in_every_size_and_light(
    browser: Browser,
    demo: Callable[..., str],
    tmp_path: Path,
    scheme: Any,
    name: str,
    width: int,
    height: int,
    zoom: int,
) -> None:
    """Zoomed: 1280 by 900 at 200 % is 640 by 450 points with twice the pixels each way."""
    context = await browser.new_context(
        color_scheme=scheme,
        viewport={"width": width, "height": height},
        device_scale_factor=zoom,
        reduced_motion="reduce",
    )
    page = await context.new_page()
    await page.goto(demo())
    await page.get_by_role("radio", name="8", exact=True).check()
    await page.get_by_role("radio", name="By phone").check()
    assert await axe_violations(page) == ""
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "scrolls sideways"
    sizes = await page.locator("pulse-widget .option").evaluate_all(
        "boxes => boxes.map(box => box.getBoundingClientRect()).map(({width, height}) => [width, height])"
    )
    assert all(width >= 24 and height >= 40 for width, height in sizes), sizes
    await shot(page, f"{name}-{scheme}", tmp_path)
    await context.close()


async def test_a_page_elsewhere_carries_the_widget_only_from_an_allowed_origin(
    page: Page, page_errors: list[str], ingest: IngestService, sites: list[socket.socket]
) -> None:
    await ingest.ready()
    # Not every page has a secure context, and with it this function.
    await page.add_init_script("delete Crypto.prototype.randomUUID")
    tag = f'<script src="{ingest.url}/widget.js" data-team="shop" data-key="{WIDGET}"></script>'
    html = f'<!doctype html><html lang="en"><title>Shop</title><link rel="icon" href="data:,"><body>{tag}</body></html>'

    async def carry(_: web.Request) -> web.Response:
        return web.Response(text=html, content_type="text/html")

    shop = web.Application()
    shop.router.add_get("/", carry)
    runner = web.AppRunner(shop)
    await runner.setup()
    try:
        for site in sites:
            await web.SockSite(runner, site.dup()).start()
        allowed, other = map(origin_of, sites)
        await page.goto(allowed)
        await page.get_by_role("radio", name="9", exact=True).check()
        body = await accepted(page, page.get_by_role("button", name="Send").click)
        assert UUID(body["response_id"]).version == 4
        await expect(page.get_by_text("Thank you, that is great to hear!")).to_be_visible()
        assert page_errors == []

        await page.goto(other)
        await page.get_by_role("radio", name="9", exact=True).check()
        await page.get_by_role("button", name="Send").click()
        await expect(page.get_by_role("status").first).to_have_text("No luck yet, trying again…")
        assert any("CORS" in text for text in page_errors)
        await page.goto("about:blank")
        page_errors.clear()
    finally:
        await runner.cleanup()

"""The page in a real Chromium, over the real Kafka and ClickHouse: live, honest about it, and for every eye."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from playwright.async_api import Browser, Page, expect

from schemas.followups import Case, FollowupEvent
from schemas.scores import Counts, TeamScores, WindowScore
from schemas.topics import FOLLOWUPS, TEAM_CHANGES, TEAM_SCORES, partition_of
from services.query.app import build_app
from services.query.feed import Feed
from stream.domain.ids import version
from stream.domain.minutes import WINDOWS, ceil_minute
from stream.domain.scores import Tally
from tests.browser.chromium import axe_violations
from tests.engines import Engines
from tests.unit.query.samples import READ_KEY, Api, State, Tables, case_row, person_row, served, settings, uid

pytestmark = [pytest.mark.real, pytest.mark.browser]

# A folder to keep the screenshots in, for people to look at.
SHOTS = os.environ.get("TEST_SCREENSHOTS", "")
HOUR_MS = 3_600_000
Send = Callable[[str, str, msgspec.Struct], Awaitable[None]]


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
async def tables(engines: Engines) -> AsyncIterator[Tables]:
    engines.topics()
    written = Tables(engines.database())
    yield written
    written.close()


@pytest.fixture
def feed() -> Feed:
    return Feed()


@pytest.fixture
async def api(engines: Engines, tables: Tables, feed: Feed) -> AsyncIterator[Api]:
    async with served(build_app(settings(tables.url, engines.kafka), feed=feed)) as running:
        yield running


@pytest.fixture
async def send(engines: Engines) -> AsyncIterator[Send]:
    async with AIOKafkaProducer(bootstrap_servers=engines.kafka, acks="all") as producer:

        async def send_one(topic: str, team: str, record: msgspec.Struct) -> None:
            key = team.encode()
            await producer.send_and_wait(topic, msgspec.json.encode(record), key, partition_of(key))

        yield send_one


def answers(team: str, scores: list[int], first: int = 1, age_ms: int = 5 * 60_000) -> list[State]:
    """One answer a score, a second apart, the newest `age_ms` ago; versions and ids from `first` on."""
    newest = wall_ms() - age_ms
    return [
        State(team, uid(first + k), first + k, newest - k * 1000, newest - k * 1000, first + k, score)
        for k, score in enumerate(scores)
    ]


def everything_is_stored(tables: Tables, through: int) -> None:
    rows = [{"partition": partition, "through": through, "version": version(1, through)} for partition in range(16)]
    tables.insert("positions", [row | {"topic": topic} for row in rows for topic in (TEAM_CHANGES, FOLLOWUPS)])


def team_scores(team: str, tally: Tally, version: int) -> TeamScores:
    counts = Counts(tally.detractors, tally.passives, tally.promoters)
    windows = [WindowScore(minutes, counts, counts) for minutes in WINDOWS]
    return TeamScores(team, ceil_minute(wall_ms()), None, version, windows)


async def shot(page: Page, name: str, tmp_path: Path) -> None:
    await page.screenshot(path=str((Path(SHOTS) if SHOTS else tmp_path) / f"dashboard-{name}.png"), full_page=True)


async def opened(page: Page, api: Api, path: str = "/") -> None:
    """Open the page as the printed address does, and wait until it is live."""
    await page.goto(f"{api.url}/#key={READ_KEY}")
    await expect(page.locator("#board")).to_be_visible()
    if path != "/":
        await page.goto(api.url + path)
    await expect(page.locator("#live")).to_have_text("Live")


def card(page: Page, team: str) -> Any:
    return page.locator(f'[data-card="{team}"]')


def score(page: Page, team: str) -> Any:
    return card(page, team).locator('[data-field="score"]')


async def test_an_answer_moves_the_number_without_a_reload(page: Page, api: Api, tables: Tables, send: Send) -> None:
    states = answers("alpha", [10] * 6 + [7] * 2 + [2] * 2)
    tables.states(states)
    await opened(page, api)
    await expect(score(page, "alpha")).to_have_text("+40")
    await expect(score(page, "")).to_have_text("+40")
    await page.evaluate("window.kept = true")

    more = [*states, *answers("alpha", [0] * 10, first=100)]
    tables.states(more)
    everything_is_stored(tables, 200)
    await send(TEAM_SCORES, "alpha", team_scores("alpha", Tally(12, 2, 6), 109))
    await expect(score(page, "alpha")).to_have_text("−30")
    await expect(card(page, "alpha").locator('[data-field="answers"]')).to_have_text("20 answers")
    await expect(card(page, "alpha").locator('[data-field="share-d"]')).to_have_text("60 %")
    await expect(card(page, "alpha").locator('[data-field="margin-text"]')).to_contain_text("likely between −6")
    # What the event does not carry is fetched: the score over all teams.
    await expect(score(page, "")).to_have_text("−30")
    assert await page.evaluate("window.kept") is True


async def test_a_new_team_and_a_followup_appear_by_themselves(page: Page, api: Api, tables: Tables, send: Send) -> None:
    await opened(page, api)
    await expect(page.get_by_text("No answers yet")).to_be_visible()
    await expect(page.get_by_text("Nobody is waiting for a call.")).to_be_visible()
    await page.evaluate("window.kept = true")

    tables.states(answers("first-team", [10] * 5))
    everything_is_stored(tables, 10)
    await send(TEAM_SCORES, "first-team", team_scores("first-team", Tally(0, 0, 5), 5))
    await expect(score(page, "first-team")).to_have_text("+100")

    now = wall_ms()
    row = case_row("first-team", 1, now - 60_000, medium="phone", score=0)
    tables.insert("followups", [row])
    script = "<img src=x onerror=\"document.title='taken over'\"> & <b>bold</b>"
    tables.insert("people", [person_row("first-team", row["response_id"], script)])
    case = Case(
        *(row["case_id"], "first-team", row["response_id"], 0, "open", 1, now, now, now + HOUR_MS, now + HOUR_MS),
        *((row["response_id"],), 6),
    )
    await send(FOLLOWUPS, "first-team", FollowupEvent(uid(9), "followup.raised", now, case))
    waiting = page.locator(f'[data-case="{row["case_id"]}"]')
    await expect(waiting.locator("blockquote")).to_have_text(script)
    await expect(waiting).to_contain_text("Nobody has it yet")
    await expect(waiting).to_contain_text("by phone")
    await expect(card(page, "first-team").locator(".cases")).to_contain_text("1 open follow-up")
    assert "taken over" not in await page.title()
    assert await page.evaluate("window.kept") is True


async def test_a_new_team_appears_also_when_its_event_is_ahead_of_the_tables(
    page: Page, api: Api, tables: Tables, send: Send
) -> None:
    await opened(page, api)
    await expect(page.get_by_text("No answers yet")).to_be_visible()
    async with page.expect_request("**/fragments/cards**"):
        await send(TEAM_SCORES, "late-team", team_scores("late-team", Tally(0, 0, 5), 5))
    await asyncio.sleep(1)
    tables.states(answers("late-team", [10] * 5))
    everything_is_stored(tables, 10)
    await expect(score(page, "late-team")).to_have_text("+100", timeout=8_000)


async def test_a_key_in_the_address_signs_in_and_stays_nowhere(page: Page, api: Api) -> None:
    await opened(page, api)
    assert READ_KEY not in page.url
    assert await page.evaluate("document.cookie") == ""
    await page.goto(f"{api.url}/?window=24h#key={READ_KEY}")
    await expect(page.locator("#board")).to_be_visible()
    assert READ_KEY not in page.url
    [cookie] = await page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert READ_KEY not in cookie["value"]
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Read key")).to_be_visible()
    await page.get_by_label("Read key").fill(READ_KEY)
    await page.keyboard.press("Enter")
    await expect(page.locator("#board")).to_be_visible()


async def test_a_wrong_key_is_told_at_the_field(page: Page, page_errors: list[str], api: Api) -> None:
    await page.goto(api.url)
    assert await axe_violations(page) == ""
    await page.get_by_label("Read key").fill("wrong")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("not a key that may read")
    assert await axe_violations(page) == ""
    page_errors.clear()  # Chromium logs the 401


async def test_the_page_says_when_it_is_not_live(page: Page, page_errors: list[str], api: Api, feed: Feed) -> None:
    live = page.locator("#live")
    await opened(page, api)
    feed.set_connected(False)
    await expect(live).to_have_text("Delayed; numbers may be old")
    feed.set_connected(True)
    await expect(live).to_have_text("Live")
    feed.close()
    await expect(live).to_have_text("Reconnecting…")
    feed.closed = False
    await expect(live).to_have_text("Live")
    await page.context.clear_cookies()
    feed.close()
    await expect(live).to_have_text("Signed out: reload to sign in", timeout=20_000)
    page_errors.clear()  # Chromium logs the 401


async def test_too_few_and_none_are_never_shown_as_a_zero(page: Page, api: Api, tables: Tables, tmp_path: Path) -> None:
    tables.states([*answers("few", [10, 0, 5]), *answers("long-ago", [10] * 8, first=50, age_ms=20 * 24 * HOUR_MS)])
    tables.states(answers("level", [10] * 5 + [0] * 5, first=100))
    await opened(page, api)
    await expect(score(page, "few")).to_have_text("too few answers: 3")
    await expect(score(page, "long-ago")).to_have_text("no answers")
    await expect(card(page, "long-ago").locator('[data-field="margin"]')).to_be_hidden()
    await expect(score(page, "level")).to_have_text("0")
    await shot(page, "few", tmp_path)
    await page.get_by_role("link", name="30 d").click()
    await expect(score(page, "long-ago")).to_have_text("+100")
    await expect(page.get_by_role("link", name="30 d")).to_have_attribute("aria-current", "page")


async def test_it_works_without_javascript(browser: Browser, api: Api, tables: Tables) -> None:
    tables.states(answers("plain", [10] * 6 + [2] * 2))
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(api.url)
    await page.get_by_label("Read key").fill(READ_KEY)
    await page.get_by_role("button", name="Sign in").click()
    await expect(score(page, "plain")).to_have_text("+50")
    await expect(page.locator("#live")).to_have_text("Reload to update")
    await page.get_by_role("link", name="24 h").click()
    await expect(score(page, "plain")).to_have_text("+50")
    await context.close()


async def test_the_keyboard_reaches_everything_and_shows_where_it_is(page: Page, api: Api, tables: Tables) -> None:
    tables.states(answers("keys", [10] * 6))
    await opened(page, api)
    focused = page.locator(":focus")
    windows = ["1 h", "24 h", "7 d", "30 d", "90 d"]
    expected = ["Skip to the teams", *windows, "Sign out", "6 answers", "Open", "Closed lately", "API"]
    for text in expected:
        await page.keyboard.press("Tab")
        await expect(focused).to_have_text(text)
        assert await focused.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"
    await focused.press("Enter")
    await expect(page.get_by_role("heading", name="GET /v1/teams", exact=True)).to_be_visible()
    assert await axe_violations(page) == ""


def full_house(tables: Tables) -> None:
    """Teams of every kind, long names and comments, follow-ups early and late."""
    now = wall_ms()
    comment = (
        "Waited 40 minutes on the phone and then was cut off. Nobody called back although I was promised it twice, "
        "and the invoice is still wrong. I have been a customer for eleven years and this is the first time that I "
        "think about leaving; the new portal is slow as well."
    )
    rows: list[dict[str, Any]] = []
    people: list[dict[str, Any]] = []
    names = ["billing", "onboarding", "support-dk", "a-team-with-a-rather-long-name-that-somebody-chose.2026", "few"]
    for t, name in enumerate(names):
        count = 3 if name == "few" else 240
        states = [
            State(
                *(name, uid(10_000 * t + k + 1), 10_000 * t + k + 1, now - (k * 83 * 60_000) - 60_000, now, k),
                (7 * k * (t + 3) + k // 9) % 11 if k % (t + 2) else 10,
            )
            for k in range(count)
        ]
        tables.states(states)
        for k in range(0, 12, 3):
            n = 100 * t + k
            rows.append(
                case_row(
                    *(name, n + 1, now - (1 + k) * HOUR_MS),
                    owner=["", "Mette"][k % 2],
                    medium="phone" if k else "",
                    score=k % 7,
                    state="open" if k < 9 else "acknowledged",
                    contact_due_at=(now - HOUR_MS if k == 9 else now + 3 * HOUR_MS) / 1000,
                )
            )
            people.append(person_row(name, rows[-1]["response_id"], comment if k % 2 else "Too slow"))
    tables.insert("followups", rows)
    tables.insert("people", people)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "width", "height"), [("wide", 1280, 900), ("narrow", 320, 700)])
async def test_the_page_is_usable_in_every_size_and_light(
    browser: Browser, api: Api, tables: Tables, tmp_path: Path, scheme: Any, name: str, width: int, height: int
) -> None:
    full_house(tables)
    context = await browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
    page = await context.new_page()
    await opened(page, api)
    assert await axe_violations(page) == ""
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "scrolls sideways"
    clipped = await page.locator(".card, .case").evaluate_all(
        "boxes => boxes.filter(box => box.scrollWidth > box.clientWidth + 1).map(box => box.innerText)"
    )
    assert clipped == []
    await shot(page, f"{name}-{scheme}", tmp_path)
    await context.close()


@pytest.mark.parametrize("name", ["empty-wide", "empty-narrow"])
async def test_an_empty_installation_shows_how_to_begin(browser: Browser, api: Api, tmp_path: Path, name: str) -> None:
    viewport: Any = {"width": 320 if name.endswith("narrow") else 1280, "height": 800}
    context = await browser.new_context(viewport=viewport)
    page = await context.new_page()
    await opened(page, api)
    await expect(page.get_by_text("No answers yet")).to_be_visible()
    await expect(page.locator("pre")).to_contain_text("/v1/responses")
    assert await axe_violations(page) == ""
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "scrolls sideways"
    await shot(page, name, tmp_path)
    await context.close()


async def test_movement_is_left_out_for_those_who_ask(browser: Browser, api: Api, tables: Tables, send: Send) -> None:
    tables.states(answers("calm", [10] * 6))
    for motion, animation in (("no-preference", "moved"), ("reduce", "none")):
        context = await browser.new_context(reduced_motion=motion)  # type: ignore[arg-type]  # the two literals
        page = await context.new_page()
        await opened(page, api)
        # Nothing is stored up to the event's record, so the card stays the one the event has marked.
        await send(TEAM_SCORES, "calm", team_scores("calm", Tally(1, 0, 6), 9_000))
        await expect(score(page, "calm")).to_have_text("+71")
        assert await card(page, "calm").evaluate("node => getComputedStyle(node).animationName") == animation
        await context.close()

"""Working on follow-ups in a real Chromium: by mouse and by keyboard, while others work on them too."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from msgspec import structs
from playwright.async_api import Locator, Page, expect

from schemas.feedback import Act
from schemas.followups import Case, FollowupEvent, Reask, Refused
from schemas.topics import FOLLOWUPS, TEAM_CHANGES, partition_of
from services.query.app import build_app
from stream.domain.ids import version
from stream.domain.moves import allowed
from stream.rows import TABLES, followups_rows
from tests.browser.chromium import axe_violations
from tests.engines import Engines
from tests.unit.query.samples import READ_KEY, Api, Tables, person_row, served, settings, uid

pytestmark = [pytest.mark.real, pytest.mark.browser]

SHOTS = os.environ.get("TEST_SCREENSHOTS", "")
HOUR_MS = 3_600_000
STATES = {"acknowledge": "acknowledged", "contact": "contacted", "resolve": "resolved", "reopen": "open"}
TIMES = {"raised_at", "changed_at", "contact_due_at", "resolve_due_at", "contacted_at", "agreed_at", "resolved_at"}
TIMES |= {"reask_due_at", "reask_answered_at"}


class Desk:
    """Plays log, fold and sink for a few cases: decides on acts, stores what comes of them, and tells it."""

    def __init__(self, tables: Tables, producer: AIOKafkaProducer) -> None:
        self.tables, self.producer = tables, producer
        self.cases: dict[str, Case] = {}
        self.version = 100

    async def raised(self, number: int, team: str, comment: str, **fields: Any) -> Case:
        """A case that is on the board."""
        now = time.time_ns() // 1_000_000
        case = Case(
            *(uid(number), team, uid(number + 500), 2, "open", 0, now - HOUR_MS, now, now + 9 * HOUR_MS),
            *(now + 71 * HOUR_MS, (uid(number + 500),), 1),
        )
        self.tables.insert("people", [person_row(team, case.response_id, comment)])
        return await self.tell(structs.replace(case, **fields), "followup.raised")

    async def publish(self, team: str, act: Act, text: str | None = None) -> None:
        case = self.cases[act.case_id]
        if act.kind == "resolve" and act.cause == "weather":
            told = Refused(uid(self.version), 1, team, act, "unknown_cause", 1, allowed(case.state), case.state, case.n)
            await self.send(structs.replace(told, causes=("price", "waiting time")))
            return
        if act.expect_n not in (None, case.n):
            told = Refused(uid(self.version), 1, team, act, "stale", 1, allowed(case.state), case.state, case.n)
            await self.send(told)
            return
        fields: dict[str, Any] = {
            "state": STATES.get(act.kind, case.state),
            "owner": act.owner or case.owner or act.actor,
        }
        if act.kind == "contact":
            reached = act.outcome == "reached"
            fields |= {"attempts": case.attempts + 1, "contacts": case.contacts + reached}
            fields["state"] = "contacted" if reached else "acknowledged"
        await self.tell(structs.replace(case, **fields), "followup.noted", act)

    async def tell(self, case: Case, kind: Any, act: Act | None = None) -> Case:
        """The case as it stands is its next event: stored first, so that a page may fetch it."""
        self.version += 1
        case = self.cases[case.case_id] = structs.replace(case, n=case.n + 1, version=version(1, self.version))
        event = FollowupEvent(uid(self.version), kind, case.changed_ms, case, act=act)
        for table, row in followups_rows(None, msgspec.json.encode(event), 0, 1):
            named = dict(zip(TABLES[table], row, strict=True))
            if table == "followups":
                times = {name: ms / 1000 for name, ms in named.items() if name in TIMES and ms is not None}
                self.tables.insert(table, [named | times])
        through: dict[str, Any] = {"through": self.version + 1, "version": version(1, self.version + 1)}
        rows = [through | {"partition": p, "topic": topic} for p in range(16) for topic in (TEAM_CHANGES, FOLLOWUPS)]
        self.tables.insert("positions", rows)
        await self.send(event)
        return case

    async def send(self, record: FollowupEvent | Refused) -> None:
        """Say it in the topic."""
        team = (record.team if isinstance(record, Refused) else record.case.team).encode()
        await self.producer.send_and_wait(FOLLOWUPS, msgspec.json.encode(record), team, partition_of(team))

    async def close(self) -> None:
        """The producer is the fixture's."""


@pytest.fixture
async def desk(engines: Engines) -> AsyncIterator[Desk]:
    engines.topics()
    tables = Tables(engines.database())
    async with AIOKafkaProducer(bootstrap_servers=engines.kafka, acks="all") as producer:
        yield Desk(tables, producer)
    tables.close()


@pytest.fixture
async def api(engines: Engines, desk: Desk) -> AsyncIterator[Api]:
    async with served(build_app(settings(desk.tables.url, engines.kafka), acts=desk)) as running:
        yield running


async def opened(page: Page, api: Api) -> None:
    await page.goto(f"{api.url}/#key={READ_KEY}")
    await expect(page.locator("#live")).to_have_text("Live")


def of(page: Page, case: Case) -> Locator:
    return page.locator(f'[data-case="{case.case_id}"]')


async def shot(page: Page, name: str, tmp_path: Path) -> None:
    await page.screenshot(path=str((Path(SHOTS) if SHOTS else tmp_path) / f"acting-{name}.png"), full_page=True)


async def test_a_case_says_that_its_customer_was_asked_again(
    page: Page, page_errors: list[str], api: Api, desk: Desk, tmp_path: Path
) -> None:
    now = time.time_ns() // 1_000_000
    once = await desk.raised(1, "support", "Still broken.", reask_of=uid(99))
    twice = await desk.raised(2, "billing", "Charged twice.", reask=Reask(uid(700), 9, now), reask_due_ms=now - HOUR_MS)
    plain = await desk.raised(3, "billing", "Wrong name.")
    await opened(page, api)
    await expect(of(page, once).locator('[data-field="again"]')).to_have_text("unhappy again, after an earlier case")
    await expect(of(page, twice).locator('[data-field="again"]')).to_have_text("asked again: 9")
    await expect(of(page, plain).locator('[data-field="again"]')).to_have_count(0)
    await shot(page, "asked-again", tmp_path)
    assert await axe_violations(page) == ""
    assert page_errors == []


async def test_a_case_is_taken_tried_and_resolved(
    page: Page, page_errors: list[str], api: Api, desk: Desk, tmp_path: Path
) -> None:
    case = await desk.raised(1, "support", "Nobody called me back.", medium="phone")
    await desk.raised(2, "billing", "Charged twice.", contact_due_ms=time.time_ns() // 1_000_000 - 2 * HOUR_MS)
    await opened(page, api)
    await page.evaluate("window.kept = true")
    mine = of(page, case)
    await mine.get_by_role("button", name="I’ve got it").click()
    await expect(mine.locator(".told")).to_have_text("Say who you are first, above the follow-ups.")
    await expect(page.get_by_label("You are")).to_be_focused()
    await page.keyboard.type("kim")
    await mine.get_by_role("button", name="I’ve got it").focus()
    await page.keyboard.press("Enter")
    await expect(mine.locator('[data-field="state"]')).to_have_text("acknowledged")
    await expect(mine.locator('[data-field="owner"]')).to_have_text("kim")
    await expect(mine.get_by_role("button", name="I’ve got it")).to_have_count(0)
    # The keyboard stays where it was at work.
    assert await page.evaluate("document.activeElement.closest('[data-case]')?.dataset.case") == case.case_id
    await mine.get_by_role("button", name="No answer").click()
    await expect(mine).to_contain_text("tried once, not reached")
    await shot(page, "board", tmp_path)

    await mine.get_by_text("Resolve…").click()
    assert await axe_violations(page) == ""
    await mine.get_by_label("Why was the customer unhappy?").fill("weather")
    await page.keyboard.press("Enter")
    await expect(mine.locator(".told")).to_have_text("This team resolves with: price, waiting time.")
    await mine.get_by_label("Why was the customer unhappy?").fill("price")
    await mine.get_by_role("button", name="Resolve", exact=True).click()
    await expect(mine.locator(".told")).to_have_text("Resolved")
    await expect(page.locator("#announced")).to_have_text("Resolved")
    await expect(page.locator("#followups-title")).to_contain_text("1 waiting")
    await mine.get_by_role("button", name="Reopen").click()
    await expect(mine.get_by_role("button", name="Contacted")).to_be_visible()
    await expect(page.locator("#followups-title")).to_contain_text("2 waiting")
    assert await page.evaluate("window.kept") is True
    assert all("409" in error for error in page_errors), page_errors
    page_errors.clear()  # Chromium logs the 409


@pytest.mark.parametrize("page_options", [{"viewport": {"width": 360, "height": 780}, "color_scheme": "dark"}])
async def test_what_somebody_is_writing_stays_while_others_work(
    page: Page, page_errors: list[str], api: Api, desk: Desk, tmp_path: Path
) -> None:
    case = await desk.raised(1, "support", "Nobody called me back.")
    other = await desk.raised(2, "support", "Too slow.")
    await opened(page, api)
    await page.get_by_label("You are").fill("kim")
    mine = of(page, case)
    await mine.get_by_text("More…").click()
    note = mine.get_by_label("Note", exact=True)
    await note.fill("Wants a refund")
    await desk.tell(
        structs.replace(desk.cases[other.case_id], owner="lee", state="acknowledged"), "followup.acknowledged"
    )
    await expect(of(page, other).locator('[data-field="owner"]')).to_have_text("lee")
    await expect(note).to_have_value("Wants a refund")
    await expect(note).to_be_focused()
    assert await axe_violations(page) == ""
    assert await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    await shot(page, "phone", tmp_path)

    # Somebody else was faster with this very case.
    await desk.tell(structs.replace(desk.cases[case.case_id], owner="lee"), "followup.assigned")
    await mine.get_by_role("button", name="Write down").click()
    await expect(mine.locator(".told")).to_have_text("Somebody has changed it meanwhile; look again.")
    await note.focus()
    await page.keyboard.press("Escape")
    await expect(mine.locator('[data-field="owner"]')).to_have_text("lee")
    assert all("412" in error for error in page_errors), page_errors
    page_errors.clear()  # Chromium logs the 412


@pytest.mark.parametrize(
    "page_options", [{"viewport": {"width": 390, "height": 844}}, {"viewport": {"width": 1280, "height": 844}}]
)
async def test_what_closed_lately_is_found_and_reopened_there(
    page: Page, api: Api, desk: Desk, tmp_path: Path, page_options: dict[str, Any]
) -> None:
    now_ms = time.time_ns() // 1_000_000
    waiting = await desk.raised(
        1, "support", "Nobody called me back, and the form said within 10 hours.", medium="phone"
    )
    resolved = await desk.raised(2, "billing", "Charged twice.", owner="kim", attempts=2, contacts=1)
    closed = structs.replace(resolved, state="resolved", cause="price", resolved_ms=now_ms - 2 * HOUR_MS)
    await desk.tell(closed, "followup.resolved")
    other = await desk.raised(3, "support", "Slow.")
    await desk.tell(structs.replace(other, state="rescored", changed_ms=now_ms - 3 * HOUR_MS), "followup.rescored")
    width = page_options["viewport"]["width"]
    await opened(page, api)
    await expect(of(page, waiting)).to_contain_text("first contact due in 9 h")
    await shot(page, f"open-{width}", tmp_path)

    await page.get_by_role("link", name="Closed lately").click()
    await expect(page.locator("#live")).to_have_text("Live")
    await expect(page.locator("[data-case]")).to_have_count(2)
    await expect(page.locator("[data-case]").first).to_have_attribute("data-case", resolved.case_id)
    mine = of(page, resolved)
    await expect(mine).to_contain_text("resolved 2 h ago: price")
    await expect(of(page, other)).to_contain_text("rescored 3 h ago")
    await expect(of(page, other).get_by_role("button", name="Reopen")).to_have_count(0)  # the customer's to take back
    assert await axe_violations(page) == ""
    assert await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    await shot(page, f"closed-{width}", tmp_path)

    await page.get_by_label("You are").fill("lee")
    await mine.get_by_role("button", name="Reopen").click()
    await expect(mine.locator(".told")).to_have_text("Reopened")
    await expect(page.locator("#followups-title")).to_contain_text("2 waiting")
    await page.get_by_role("link", name="Open", exact=True).click()
    await expect(of(page, resolved).locator('[data-field="state"]')).to_have_text("open")
    await expect(of(page, other)).to_have_count(0)
    await page.goto("about:blank")  # the page would complain, and rightly, when its service stops

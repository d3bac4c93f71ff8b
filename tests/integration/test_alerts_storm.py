"""A storm of detractors, told through every channel of a real process that is killed on the way."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from services.alerts.store_file import FILE
from tests.integration.test_alerts_process import Instance, instance, kill_9, started
from tests.unit.alerts.builders import SECRET, raised, until
from tests.unit.alerts.vendors import (
    KEY,
    HttpVendor,
    MailVendor,
    check_pagerduty,
    check_slack,
    check_webhook,
)
from tests.unit.alerts.wire import publish

pytestmark = pytest.mark.real
__all__ = ["instance"]  # the fixture

TEAMS = 5


class Receivers:
    """The four ends, and the file that names them."""

    def __init__(self, folder: Path, interval: str) -> None:
        self.config = folder / "targets.toml"
        self.hooks = HttpVendor(check_webhook, 204)
        self.slack = HttpVendor(check_slack, 200)
        self.pager = HttpVendor(check_pagerduty, 202)
        self.mail = MailVendor()
        self._interval = interval

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        http = (self.hooks, self.slack, self.pager)
        for vendor in http:
            await vendor.server.start_server()
        hooks, slack, pager = (str(vendor.server.make_url("/x")) for vendor in http)
        port = await self.mail.start()
        grouping = f'group_interval = "{self._interval}"'
        self.config.write_text(
            f"""
[targets.hooks]
kind = "webhook"
url = "{hooks}"
secret = "{SECRET}"
[targets.slack]
kind = "slack"
url = "{slack}"
{grouping}
[targets.pager]
kind = "pagerduty"
routing_key = "{KEY}"
url = "{pager}"
{grouping}
[targets.mail]
kind = "email"
host = "127.0.0.1"
port = {port}
security = "none"
from = "pulse@example.com"
to = ["care@example.com"]
{grouping}
"""
        )
        yield
        for vendor in http:
            await vendor.away()
        await self.mail.away()

    def ids(self) -> dict[str, list[str]]:
        mails = [str(mail["X-Pulse-Message"]) for mail in self.mail.mails]
        return {"hooks": self.hooks.ids, "slack": self.slack.ids, "pager": self.pager.ids, "mail": mails}

    def wrong(self) -> list[str]:
        return [*self.hooks.wrong, *self.slack.wrong, *self.pager.wrong, *self.mail.wrong]


def messages(folder: Path) -> dict[str, Counter[str]]:
    """Channel → message → how many cases it told, of what was delivered."""
    with closing(sqlite3.connect(folder / FILE)) as file:
        rows = file.execute(
            "SELECT channel, message_id, count(*) FROM deliveries WHERE state = 'delivered' GROUP BY 1, 2"
        ).fetchall()
    told: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for channel, message_id, count in rows:
        told[channel][message_id] = count
    return told


async def storm(instance: Instance, count: int, seconds: float, kills: int, interval: str) -> None:
    """`count` detractors over `seconds`; the process is killed `kills` times; nothing may be missing."""
    receivers = Receivers(instance.folder.parent, interval)
    events = [raised(number, team=f"team-{number % TEAMS}") for number in range(count)]
    began_s = 0.0
    async with receivers.listening():
        more = {
            "PULSE_ALERTS_CONFIG": str(receivers.config),
            "PULSE_ALERTS_PUBLIC_URL": "https://alerts.example.com",
            "PULSE_ALERTS_BOARD_URL": "https://pulse.example.com/",
        }

        async def feed() -> None:
            size = max(TEAMS, count // 20)
            for first in range(0, count, size):
                await publish(instance.kafka, events[first : first + size])
                await asyncio.sleep(max(began_s + (first + size) / count * seconds - time.monotonic(), 0))

        async with started(instance, "", **more) as process:
            began_s = time.monotonic()
            feeding = asyncio.create_task(feed())
            # The first alert of each team, on every channel, before anything is killed.
            await until(lambda: all(len(ids) >= TEAMS for ids in receivers.ids().values()), 20)
            first_s = time.monotonic() - began_s
            kill_9(process)
        for _ in range(kills - 1):
            async with started(instance, "", **more) as process:
                await asyncio.sleep(seconds / (kills + 1))
                kill_9(process)
        async with started(instance, "", **more):
            await feeding
            await until(lambda: instance.states() == {"delivered": 4 * count}, seconds + 60)
    told = messages(instance.folder)
    for channel, ids in receivers.ids().items():
        assert sum(told[channel].values()) == count
        # At least once each, under one id: a kill may repeat a message on its way, never make another of it.
        assert {"pager": _pager(told), "mail": set(told["mail"])}.get(channel, set(told[channel])) == set(ids)
    assert receivers.wrong() == []
    assert len(told["hooks"]) == count
    sent = {channel: len(ids) for channel, ids in receivers.ids().items()}
    print(f"{count} cases, {kills} kills: first of all teams {first_s:.2f} s, messages {sent}")  # noqa: T201


def _pager(told: dict[str, Counter[str]]) -> set[str]:
    """What PagerDuty saw as dedup_key: the case of a message that told one, else the message."""
    cases = [raised(number, team=f"team-{number % TEAMS}") for number in range(2_000)]
    case_of = {event.event_id: event.case.case_id for event in cases}
    return {case_of[message] if count == 1 else message for message, count in told["pager"].items()}


async def test_a_small_storm_with_a_kill_reaches_every_channel(instance: Instance) -> None:
    await storm(instance, 200, 2.0, 1, "2s")


@pytest.mark.soak
async def test_1200_detractors_in_a_minute_with_kills_reach_every_channel(instance: Instance) -> None:
    await storm(instance, 1_200, 60.0, 20, "15s")

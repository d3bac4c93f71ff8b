"""Score alarms on the real ClickHouse: from the panes to a signed message, and to `GET /v1/alarms`' list."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import clickhouse_connect
import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from schemas.feedback import Policy
from schemas.policies import TeamPolicy
from services.alerts.alarms.counts import ClickHouseCounts, Unreachable
from services.alerts.alarms.records import DAY_MS
from services.alerts.alarms.watch import Watch
from services.alerts.app import Alerts, opened
from services.alerts.ledger import Ledger
from services.common.settings import AlertsSettings
from services.query.app import build_app
from stream.domain.scores import Tally
from tests.engines import Engines
from tests.unit.alerts.builders import SECRET, now_ms, until
from tests.unit.alerts.wire import Receiver, write_policy
from tests.unit.query.samples import READ_KEY, Api, served, settings

pytestmark = pytest.mark.real

Pane = tuple[str, datetime, list[int], list[int], int]


def pane(team: str, at: datetime, version: int, d: int, n: int, p: int) -> Pane:
    """One minute: detractors of score 6, passives of 7, promoters of 9."""
    scores = [0, 0, 0, 0, 0, 0, d, n, 0, p, 0]
    return team, at, scores, scores, version


async def insert(dsn: str, panes: list[Pane]) -> None:
    client = await clickhouse_connect.get_async_client(dsn=dsn)
    # Of days of half a year; an insert into more than 100 partitions would be refused, these are 9.
    await client.insert("panes", panes, ["team", "minute", "scores", "latest", "version"])
    await client.close()


async def test_a_fall_in_the_panes_is_told_by_a_signed_webhook(engines: Engines, tmp_path: Path) -> None:
    dsn = engines.database()
    today = now_ms() // DAY_MS
    noon = datetime.fromtimestamp(today * DAY_MS / 1_000 - 43_200, UTC)  # of yesterday
    usual = [pane("support", noon - timedelta(days=day), 5, 2, 3, 5) for day in range(10, 200)]
    low = [pane("support", noon - timedelta(days=day), 5, 6, 2, 2) for day in range(10)]
    await insert(dsn, usual + low)
    # A minute is named by its end, so the one of midnight is the day before; its counts have been corrected since.
    midnight = noon + timedelta(hours=12)
    await insert(dsn, [pane("edge", midnight, 7, 1, 0, 0)])
    await insert(dsn, [pane("edge", midnight, 8, 0, 2, 1), pane("edge", midnight + timedelta(minutes=1), 6, 0, 0, 4)])

    counts = ClickHouseCounts(dsn)
    assert await counts.versions(today - 270) == {"support": 5, "edge": 8}
    assert (await counts.days(["edge"], today - 270))["edge"] == {today - 1: Tally(0, 2, 1), today: Tally(0, 0, 4)}
    assert (await counts.days(["edge"], today))["edge"] == {today: Tally(0, 0, 4)}
    await counts.close()
    away = ClickHouseCounts("http://127.0.0.1:9/pulse")
    with pytest.raises(Unreachable):
        await away.versions(0)
    await away.close()

    engines.topics(anew=True)
    config = {"targets": ["nobody"], "routes": [{"kinds": ["alarm"], "to": ["webhook"]}]}
    await write_policy(engines.kafka, TeamPolicy("support", 1, 0, Policy("rev", config=config)))
    async with Receiver() as receiver, Receiver() as other:
        targets = tmp_path / "targets.toml"
        targets.write_text(f'[targets.other]\nkind = "webhook"\nurl = "{other.url}"\nsecret = "{SECRET}"\n')
        place = AlertsSettings(
            kafka=engines.kafka,
            clickhouse=SecretStr(dsn),
            alerts_dir=tmp_path / "alerts",
            alerts_allow=("127.0.0.1",),
            alerts_webhook_url=receiver.url,
            alerts_webhook_secret=SecretStr(SECRET),
            alerts_config=str(targets),
            alarms_every=timedelta(seconds=0.1),
        )
        async with opened(place) as alerts:
            ledger = Ledger(alerts.store)
            silence = await ledger.silence("support", None, now_ms() + DAY_MS, "moving", now_ms())
            looking = asyncio.create_task(_working(alerts))
            await until(lambda: _waits(alerts, silence.until_ms), 20)
            assert receiver.came == []
            await ledger.end(silence.id, now_ms())
            alerts.look()
            await until(lambda: looking.done() or receiver.came, 20)
            async with served(build_app(settings(dsn))) as api:
                await until(lambda: _falling(api), 20)
                line = await _falling(api)
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            ((alarm, told),) = await alerts.alarms.file.listed("support", None, 9)
        async with opened(place) as alerts:
            counts = ClickHouseCounts(dsn)
            assert await Watch(counts, alerts.alarms.file, 0.05).look(now_ms()) == []
            await counts.close()
    assert other.came == []
    ((_, headers, body),) = receiver.came
    sent = Webhook(SECRET).verify(body, headers)
    assert sent["type"] == "alarm.raised"
    assert (sent["data"]["team"], sent["data"]["alarm_id"]) == ("support", alarm.alarm_id)
    assert (sent["data"]["before"]["nps"], sent["data"]["after"]["nps"]) == (30, -40)
    assert [one.note_id for one in told] == [headers["webhook-id"]]
    assert ": +30 before, −40 since, of 100 answers</a>" in line
    assert re.search(r'href="/teams/support/explain\?window=1[3-5]\d{3}m"', line)


async def _working(alerts: Alerts) -> None:
    """Alarms, and the policies that say who is told of them; follow-ups are not read."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(alerts.alarms.run())
        for tail in alerts.tails:
            tasks.create_task(tail.run())


async def _waits(alerts: Alerts, until_ms: int) -> bool:
    return await alerts.alarms.file.next_due_ms("webhook") == until_ms


async def _falling(api: Api) -> str:
    """The line of the team's card that says so; empty: there is none."""
    headers = {"Authorization": f"Bearer {READ_KEY}"}
    async with aiohttp.ClientSession(headers=headers) as browser, browser.get(api.url + "/fragments/cards") as answer:
        found = re.search(r'<p class="falling">.*</p>', await answer.text())
    return found[0] if found else ""

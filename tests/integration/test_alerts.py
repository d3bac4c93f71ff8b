"""Alerts on the real Kafka and ClickHouse, against a receiver that answers as each test says."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import clickhouse_connect
import msgspec
import pytest
from aiohttp import web
from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import SecretStr
from standardwebhooks import Webhook

from schemas.changes import Position
from schemas.feedback import Policy
from schemas.followups import FollowupEvent
from schemas.people import Person
from schemas.policies import TeamPolicy
from schemas.topics import FOLLOWUPS, PARTITIONS
from services.alerts.app import Alerts, MakeOutlets, configured, opened
from services.alerts.flow import GROUP
from services.alerts.outlets import Outlet
from services.alerts.people_tail import PeopleTail
from services.alerts.promises import PolicyTail
from services.alerts.retries import FIRST_WITHIN_MS
from services.alerts.targets.addresses import Allowed
from services.alerts.targets.guard import Guard
from services.alerts.targets.webhook import SignedWebhook
from services.common.settings import AlertsSettings
from tests.engines import Engines
from tests.unit.alerts.builders import SECRET, now_ms, raised, until
from tests.unit.alerts.wire import Answer, Receiver, committed, everything_in, publish, write_person, write_policy

pytestmark = pytest.mark.real


@pytest.fixture
def place(engines: Engines, tmp_path: Path) -> AlertsSettings:
    """Empty topics, an empty people table and an empty folder."""
    engines.topics(anew=True)
    return AlertsSettings(
        kafka=engines.kafka,
        clickhouse=SecretStr(engines.database()),
        alerts_dir=tmp_path / "alerts",
        alerts_port=0,
        alerts_webhook_secret=SecretStr(SECRET),
        alerts_allow=("127.0.0.1",),
    )


@asynccontextmanager
async def working(
    place: AlertsSettings, url: str = "", make_outlets: MakeOutlets = configured
) -> AsyncIterator[Alerts]:
    """The service's parts at work in this process, reading."""
    given = {"alerts_webhook_url": url} if url else {"alerts_webhook_secret": SecretStr("")}
    async with opened(place.model_copy(update=given), make_outlets) as alerts:
        task = asyncio.create_task(alerts.work())
        try:
            await until(lambda: task.done() or alerts.ready() is None, 30)
            assert not task.done(), task.result()
            yield alerts
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def person_of(event: FollowupEvent, comment: str = "Nobody called me back.") -> Person:
    case = event.case
    return Person(
        case.team, case.response_id, comment=comment, name="Ane Holm", email="ane@example.com", respondent_id="cust-7"
    )


async def states(alerts: Alerts) -> dict[str, tuple[str, int, str | None]]:
    return {
        row.event_id: (row.state, row.attempts, row.last_status) for row in await alerts.store.rows(None, None, 999)
    }


async def delivered(alerts: Alerts, count: int, within_s: float = 20) -> None:
    async def enough() -> bool:
        return len(await alerts.store.rows("delivered", None, 999)) >= count

    await until(enough, within_s)


async def test_what_sends_surveys_hears_who_is_to_be_asked_again_and_nobody_else_does(
    place: AlertsSettings, tmp_path: Path
) -> None:
    first = raised(at_ms=now_ms(), personal=True)
    resolved = msgspec.structs.replace(first.case, n=3, state="resolved", resolved_ms=first.at_ms)
    event = FollowupEvent(str(uuid.uuid4()), "followup.reask", now_ms(), resolved)
    async with Receiver() as people, Receiver() as surveys:
        file = tmp_path / "targets.toml"
        file.write_text(
            f'[targets.people]\nkind = "webhook"\nurl = "{people.url}"\nsecret = "{SECRET}"\n'
            f'[targets.surveys]\nkind = "webhook"\nurl = "{surveys.url}"\nsecret = "{SECRET}"\n'
            'events = ["followup.reask"]\n'
        )
        policy = Policy("rev", config={"targets": ["people"]})
        await write_policy(place.kafka, TeamPolicy(first.case.team, 1, 0, policy))
        await write_person(place.kafka, person_of(first), msgspec.json.encode(person_of(first)))
        async with working(place.model_copy(update={"alerts_config": str(file)})) as alerts:
            await publish(place.kafka, [first, event])
            await delivered(alerts, 2)
    ((_, headers, body),) = surveys.came
    sent = Webhook(SECRET).verify(body, headers)
    assert (sent["type"], sent["data"]["case_id"]) == ("followup.reask", first.case.case_id)
    assert sent["data"]["respondent"]["email"] == "ane@example.com"
    assert headers["webhook-id"] == event.event_id
    ((_, headers, _),) = people.came
    assert headers["webhook-id"] == first.event_id


async def test_a_raised_case_arrives_signed_with_the_text_of_its_answer(place: AlertsSettings) -> None:
    event = raised(at_ms=now_ms(), personal=True, callback_ms=1_795_186_800_000)
    async with Receiver() as receiver, working(place, receiver.url) as alerts:
        await write_person(place.kafka, person_of(event), msgspec.json.encode(person_of(event)))
        await publish(place.kafka, [Position(partition=0, through=9), b"junk", event])
        await delivered(alerts, 1)
    ((_, headers, body),) = receiver.came
    sent = Webhook(SECRET).verify(body, headers)
    assert sent["type"] == "followup.raised"
    assert sent["data"]["case_id"] == event.case.case_id
    assert sent["data"]["comment"] == "Nobody called me back."
    assert sent["data"]["respondent"] == {
        "id": "cust-7",
        "name": "Ane Holm",
        "email": "ane@example.com",
        "phone": None,
        "medium": "phone",
        "callback_at": "2026-11-20T15:00:00.000Z",
    }
    assert "text_missing" not in sent["data"]
    assert headers["webhook-id"] == event.event_id


async def test_text_that_left_memory_comes_from_clickhouse(place: AlertsSettings) -> None:
    event = raised(personal=True)
    client = await clickhouse_connect.get_async_client(dsn=place.clickhouse.get_secret_value())
    columns = ["team", "response_id", "revision", "comment", "name", "version", "deleted"]
    row = [event.case.team, event.case.response_id, 1, "From yesterday.", "Ane Holm", 5, 0]
    await client.insert("people", [row], columns)
    await client.close()
    async with Receiver() as receiver, working(place, receiver.url) as alerts:
        await publish(place.kafka, [event])
        await delivered(alerts, 1)
    data = receiver.data(event)
    assert (data["comment"], data["respondent"]["name"], data["respondent"]["email"]) == (
        "From yesterday.",
        "Ane Holm",
        None,
    )


async def test_text_that_comes_after_the_event_is_waited_for(place: AlertsSettings) -> None:
    event = raised(personal=True)
    async with Receiver() as receiver, working(place, receiver.url) as alerts:
        await publish(place.kafka, [event])
        await write_person(place.kafka, person_of(event), msgspec.json.encode(person_of(event)))
        await delivered(alerts, 1)
    assert receiver.data(event)["comment"] == "Nobody called me back."


async def test_erased_text_is_not_told_even_if_clickhouse_still_has_it(place: AlertsSettings) -> None:
    event = raised(personal=True)
    client = await clickhouse_connect.get_async_client(dsn=place.clickhouse.get_secret_value())
    columns = ["team", "response_id", "comment", "version"]
    await client.insert("people", [[event.case.team, event.case.response_id, "Forget me.", 1]], columns)
    await client.close()
    await write_person(place.kafka, person_of(event), msgspec.json.encode(person_of(event)))
    await write_person(place.kafka, person_of(event), None)
    async with Receiver() as receiver, working(place, receiver.url) as alerts:
        await publish(place.kafka, [event])
        await delivered(alerts, 1)
    data = receiver.data(event)
    assert (data["comment"], data["text_missing"]) == (None, True)


async def test_until_both_topics_were_read_the_service_is_not_ready_and_tells_nobody_erased_text(
    place: AlertsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = raised(personal=True)
    client = await clickhouse_connect.get_async_client(dsn=place.clickhouse.get_secret_value())
    columns = ["team", "response_id", "comment", "version"]
    await client.insert("people", [[event.case.team, event.case.response_id, "Forget me.", 1]], columns)
    await client.close()
    await write_person(place.kafka, person_of(event), None)
    gates = {PeopleTail: asyncio.Event(), PolicyTail: asyncio.Event()}

    def held_back(kind: type[PeopleTail | PolicyTail]) -> None:
        run = kind.run

        async def run_later(self: Any) -> None:
            await gates[kind].wait()
            await run(self)

        monkeypatch.setattr(kind, "run", run_later)

    for kind in gates:
        held_back(kind)
    async with Receiver() as receiver:
        given = place.model_copy(update={"alerts_webhook_url": receiver.url})
        async with opened(given) as alerts:
            task = asyncio.create_task(alerts.work())
            await publish(place.kafka, [event])
            await until(lambda: alerts.ready() == "people.v1 is still being read")
            gates[PolicyTail].set()

            async def stored() -> bool:
                return bool(await alerts.store.rows("pending", None, 1))

            await until(stored)
            await asyncio.sleep(0.5)
            assert (receiver.came, alerts.ready()) == ([], "people.v1 is still being read")
            gates[PeopleTail].set()
            await delivered(alerts, 1)
            assert alerts.ready() is None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for gate in gates.values():
            gate.clear()
        gates[PeopleTail].set()
        async with opened(given) as alerts:
            task = asyncio.create_task(alerts.work())
            await until(lambda: alerts.ready() == "team-policies.v1 is still being read")
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    data = receiver.data(event)
    assert (data["comment"], data["text_missing"]) == (None, True)


async def test_an_outage_of_clickhouse_costs_the_text_and_not_the_alert(place: AlertsSettings) -> None:
    event = raised(personal=True)
    down = place.model_copy(update={"clickhouse": SecretStr("http://127.0.0.1:1/default")})
    async with Receiver() as receiver, working(down, receiver.url) as alerts:
        await publish(place.kafka, [event])
        began_s = time.monotonic()
        await delivered(alerts, 1)
        assert time.monotonic() - began_s < 5
    data = receiver.data(event)
    assert (data["comment"], data["respondent"]["name"], data["text_missing"]) == (None, None, True)
    assert data["team"] == "support"


async def test_a_receiver_that_was_down_gets_everything_once_it_is_up(place: AlertsSettings) -> None:
    events = [raised(number) for number in range(5)]
    async with Receiver() as first:
        port = first.port
    async with working(place, f"http://127.0.0.1:{port}/hook") as alerts:
        await publish(place.kafka, events)

        async def tried() -> bool:
            seen = await states(alerts)
            return len(seen) == 5 and all(attempts >= 1 for _, attempts, _ in seen.values())

        await until(tried)
        assert {(state, status) for state, _, status in (await states(alerts)).values()} == {("pending", "connection")}
        async with Receiver(port=port) as receiver:
            await delivered(alerts, 5)
            assert sorted(receiver.ids()) == sorted(event.event_id for event in events)


async def test_retry_after_is_honoured(place: AlertsSettings) -> None:
    def busy_once(count: int) -> web.StreamResponse:
        return web.Response(status=503, headers={"Retry-After": "3"}) if count == 1 else web.Response(status=200)

    event = raised()
    async with Receiver(busy_once) as receiver, working(place, receiver.url) as alerts:
        await publish(place.kafka, [event])
        await delivered(alerts, 1)
        assert receiver.ids() == [event.event_id] * 2
        assert 3 <= receiver.came[1][0] - receiver.came[0][0] < 5
        assert (await states(alerts))[event.event_id] == ("delivered", 2, "200")


async def test_a_410_stops_the_target_until_the_service_is_started_again(place: AlertsSettings) -> None:
    events = [raised(number) for number in range(3)]
    async with Receiver(lambda _: web.Response(status=410)) as receiver, working(place, receiver.url) as alerts:
        await publish(place.kafka, events[:1])
        await until(lambda: receiver.came)
        await publish(place.kafka, events[1:])

        async def all_stored() -> bool:
            return len(await states(alerts)) == 3

        await until(all_stored)
        assert receiver.ids() == [events[0].event_id]
    async with Receiver() as receiver, working(place, receiver.url) as alerts:
        await delivered(alerts, 3)
        assert set(receiver.ids()) == {event.event_id for event in events}


async def test_a_redirect_is_a_failure(place: AlertsSettings) -> None:
    event = raised()
    async with Receiver() as elsewhere:
        answer = web.Response(status=302, headers={"Location": elsewhere.url})
        async with Receiver(lambda _: answer) as receiver, working(place, receiver.url) as alerts:
            await publish(place.kafka, [event])

            async def put_off() -> bool:
                return (await states(alerts)).get(event.event_id) == ("pending", 1, "302")

            await until(put_off)
        assert elsewhere.came == []


async def test_a_target_that_hangs_does_not_delay_another(place: AlertsSettings) -> None:
    events = [raised(number) for number in range(40)]
    async with Receiver() as slow, Receiver() as quick:
        slow.hold.clear()

        async def both(_: AlertsSettings, stack: AsyncExitStack) -> list[Outlet]:
            guard = Guard("127.0.0.1", Allowed.of(["127.0.0.1"]))
            session = await stack.enter_async_context(guard.session())
            return [
                Outlet(SignedWebhook(session, slow.url, SECRET)),
                Outlet(SignedWebhook(session, quick.url, SECRET, name="second")),
            ]

        async with working(place, make_outlets=both) as alerts:
            await publish(place.kafka, events)
            began_s = time.monotonic()
            await delivered(alerts, len(events))
            assert time.monotonic() - began_s < 5
            assert set(quick.ids()) == {event.event_id for event in events}
            assert len(slow.came) < len(events)
            slow.hold.set()
            await delivered(alerts, 2 * len(events))
        assert sorted(slow.ids()) == sorted(quick.ids())


async def test_events_read_again_are_not_sent_again(place: AlertsSettings) -> None:
    events = [raised(number, team=f"team-{number % 3}") for number in range(20)]
    async with Receiver() as receiver:
        async with working(place, receiver.url) as alerts:
            await publish(place.kafka, [*events, *events])
            await delivered(alerts, 20)
            await publish(place.kafka, events)

            async def all_committed() -> bool:
                return await committed(place.kafka) == 60

            await until(all_committed)
        rewound = AIOKafkaConsumer(bootstrap_servers=place.kafka, group_id=GROUP, enable_auto_commit=False)
        await rewound.start()
        everything = [TopicPartition(FOLLOWUPS, number) for number in range(PARTITIONS)]
        rewound.assign(everything)
        await rewound.commit(dict.fromkeys(everything, 0))
        await rewound.stop()
        async with working(place, receiver.url) as alerts:
            await until(all_committed)
            assert len(await states(alerts)) == 20
        assert sorted(receiver.ids()) == sorted(event.event_id for event in events)


async def test_the_first_start_tells_the_last_day_and_gives_up_what_is_older_visibly(place: AlertsSettings) -> None:
    old = [raised(number, at_ms=now_ms() - FIRST_WITHIN_MS - 60_000) for number in range(30)]
    young = raised(100, at_ms=now_ms() - FIRST_WITHIN_MS // 2)
    await publish(place.kafka, [*old, young])
    async with Receiver() as receiver, working(place, receiver.url) as alerts:
        await delivered(alerts, 1)
        seen = await states(alerts)
        assert seen.pop(young.event_id) == ("delivered", 1, "204")
        assert set(seen.values()) == {("given_up", 0, "too_old")}
        assert len(seen) == 30
        assert receiver.ids() == [young.event_id]


async def test_without_a_channel_the_log_is_read_and_nothing_is_told_later(place: AlertsSettings) -> None:
    async with working(place) as alerts:
        await publish(place.kafka, [raised()])

        async def all_committed() -> bool:
            return await committed(place.kafka) == 1

        await until(all_committed)
        assert await states(alerts) == {}
    later = raised(1)
    async with Receiver() as receiver, working(place, receiver.url) as alerts:
        await publish(place.kafka, [later])
        await delivered(alerts, 1)
        assert receiver.ids() == [later.event_id]


async def test_a_broker_killed_and_started_again_is_read_on(place: AlertsSettings, engines: Engines) -> None:
    before, after = raised(0), raised(1)
    async with Receiver() as receiver, working(place, receiver.url) as alerts:
        await publish(place.kafka, [before])
        await delivered(alerts, 1)
        engines.kafka_engine.kill()
        engines.kafka_engine.start()
        await asyncio.to_thread(engines.kafka_engine.wait)
        await publish(place.kafka, [after])
        await delivered(alerts, 2, within_s=60)
        assert receiver.ids() == [before.event_id, after.event_id]
        await until(lambda: alerts.ready() is None, 30)


async def test_personal_text_is_neither_on_disk_nor_in_logs(
    place: AlertsSettings, capfd: pytest.CaptureFixture[str]
) -> None:
    event = raised(personal=True)
    marker = uuid.uuid4().hex
    person = Person(event.case.team, event.case.response_id, comment=f"c{marker}", name=f"n{marker}", phone=marker)
    answers: Answer = lambda count: web.Response(status=503 if count == 1 else 200)  # noqa: E731
    async with Receiver(answers) as receiver, working(place, receiver.url) as alerts:
        await write_person(place.kafka, person, msgspec.json.encode(person))
        await publish(place.kafka, [event])
        await until(lambda: receiver.came)
        assert marker.encode() not in everything_in(place.alerts_dir)
        await delivered(alerts, 1)
        assert all(marker.encode() in body for _, _, body in receiver.came)
    assert marker.encode() not in everything_in(place.alerts_dir)
    written = capfd.readouterr()
    assert marker not in written.out + written.err


async def test_a_team_s_policy_says_who_is_told_and_its_quiet_hours_wait_on_disk(place: AlertsSettings) -> None:
    event = raised(personal=False, attributes={"tier": "gold"})
    hour = datetime.now(UTC).hour
    hours = {"mon-sun": f"{(hour - 1) % 24:02}:00-{(hour + 2) % 24:02}:00"}
    quiet = {"hours": hours, "let_through": {"targets": ["nobody"]}}
    segment = {"attributes": {"tier": ["gold"]}}
    config = {"targets": ["nobody"], "routes": [{"segment": segment, "to": ["webhook"]}], "quiet": quiet}
    policy = TeamPolicy(event.case.team, 1, 0, Policy("rev", config=config))
    await write_policy(place.kafka, policy)
    elsewhere = raised(team="elsewhere")
    async with Receiver() as receiver, working(place, receiver.url) as alerts:
        await publish(place.kafka, [event, elsewhere])
        await delivered(alerts, 1)
        (waiting,) = await alerts.store.rows("pending", event.case.case_id, 5)
    assert receiver.data(elsewhere)["team"] == "elsewhere"
    ends = datetime.fromtimestamp((waiting.next_ms or 0) / 1_000, UTC)
    assert (waiting.channel, ends.hour, ends.minute) == ("webhook", (hour + 2) % 24, 0)

"""The HTTP side of alerts, and what stops its start."""

from __future__ import annotations

import socket
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import aiohttp
import msgspec
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from services.alerts.advocacy.asks import Asks, Change
from services.alerts.alarms.records import DAY_MS, Alarm, alarm_id
from services.alerts.alarms.store import AlarmsFile
from services.alerts.alarms.wording import note_of
from services.alerts.app import build_app, run
from services.alerts.deliveries import Attempt, Delivery
from services.alerts.store import Store
from services.common.keys import key_hash
from services.common.settings import AlertsSettings, KeyKind
from stream.domain.scores import Tally
from tests.unit.alerts.builders import SECRET, now_ms, raised
from tests.unit.alerts.serving import Now, served

KEYS: dict[KeyKind, tuple[str, ...]] = {
    "read": (key_hash("read-key"),),
    "admin": (key_hash("admin-key"),),
    "write": (key_hash("write-key"),),
    "import": (key_hash("import-key"),),
}


def settings_in(folder: Path, **given: Any) -> AlertsSettings:
    return AlertsSettings(
        kafka="127.0.0.1:1",
        clickhouse=SecretStr("http://127.0.0.1:1"),
        alerts_dir=folder,
        alerts_port=0,
        key_hashes=KEYS,
        **given,
    )


class Door:
    """The app on a free port."""

    def __init__(self, url: str, store: Store, alarms: AlarmsFile, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.store = store
        self.alarms = alarms
        self.asks = Asks(alarms)
        self.session = session
        self.reason: str | None = None
        self.looked = 0

    async def get(self, path: str, key: str | None = "read-key") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with self.session.get(self.url + path, headers=headers) as answer:
            is_json = "json" in answer.content_type
            return answer.status, await (answer.json(content_type=None) if is_json else answer.text())

    async def ask(self, method: str, path: str, body: Any, key: str | None = "admin-key") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with self.session.request(method, self.url + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    def look(self) -> None:
        self.looked += 1


NOW, STORE, ALARMS, ASKS = Now(), Now(), Now(), Now()


@pytest.fixture(scope="module")
def app() -> FastAPI:
    store, alarms = cast("Store", STORE), cast("AlarmsFile", ALARMS)
    asks = cast("Asks", ASKS)
    return build_app(settings_in(Path()), store, alarms, asks, lambda: NOW.reason, lambda: NOW.look())


@pytest.fixture
async def door(app: FastAPI, tmp_path: Path) -> AsyncIterator[Door]:
    store = STORE.it = Store(tmp_path)
    alarms = ALARMS.it = AlarmsFile(tmp_path, lambda *_: {"webhook": 0})
    async with aiohttp.ClientSession() as session:
        door = NOW.it = Door("", store, alarms, session)
        ASKS.it = door.asks
        async with served(app) as door.url:
            yield door
    alarms.close()
    store.close()


async def test_health_metrics_and_description_need_no_key(door: Door) -> None:
    for path in ("/livez", "/readyz", "/metrics", "/openapi.json"):
        assert (await door.get(path, None))[0] == 200
    assert "pulse_alerts_pending" in (await door.get("/metrics", None))[1]
    door.reason = "followups.v1 is not being read yet"
    status, body = await door.get("/readyz", None)
    assert (status, body["detail"]) == (503, door.reason)


async def test_the_description_tells_the_key_and_every_refusal(door: Door) -> None:
    _, described = await door.get("/openapi.json", None)
    operation = described["paths"]["/v1/deliveries"]["get"]
    assert set(operation["responses"]) == {"200", "401", "403", "422"}
    assert operation["security"] == [{"HTTPBearer": []}]
    assert "application/problem+json" in operation["responses"]["422"]["content"]


@pytest.mark.parametrize(
    ("key", "status"),
    [(None, 401), ("wrong", 401), ("write-key", 403), ("import-key", 403), ("read-key", 200), ("admin-key", 200)],
)
async def test_deliveries_need_a_read_or_admin_key(door: Door, key: str | None, status: int) -> None:
    assert (await door.get("/v1/deliveries", key))[0] == status


async def test_deliveries_show_what_was_told_and_what_is_still_to_be_told(door: Door) -> None:
    at_ms = now_ms()
    first, second = (Delivery("webhook", raised(number, at_ms=at_ms + number)) for number in range(2))
    await door.store.add([first, second], at_ms)
    await door.store.settle(first, "delivered", 1, "204", None, at_ms + 20)
    await door.store.settle(second, "pending", 3, "timeout", at_ms + 30_000, at_ms)
    status, body = await door.get("/v1/deliveries")
    assert status == 200
    newest, oldest = body["deliveries"]
    assert (newest["id"], newest["state"], newest["attempts"]) == (second.key, "pending", 3)
    assert (newest["last_status"], newest["settled_at"]) == ("timeout", None)
    assert newest["next_attempt_at"] is not None
    assert (oldest["state"], oldest["last_status"], oldest["next_attempt_at"]) == ("delivered", "204", None)
    assert (oldest["kind"], oldest["channel"]) == ("followup.raised", "webhook")
    for query, keys in (
        ("state=delivered", [first.key]),
        (f"case_id={second.event.case.case_id}", [second.key]),
        ("limit=1", [second.key]),
        ("state=given_up", []),
    ):
        _, body = await door.get(f"/v1/deliveries?{query}")
        assert [delivery["id"] for delivery in body["deliveries"]] == keys


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("write-key", 403), ("read-key", 200), ("admin-key", 200)])
async def test_alarms_need_a_read_or_admin_key(door: Door, key: str | None, status: int) -> None:
    assert (await door.get("/v1/alarms", key))[0] == status


async def test_promoters_are_listed_newest_first_with_who_was_told(door: Door) -> None:
    def given(number: int, version: int = 1, **fields: Any) -> Change:
        usual: dict[str, Any] = {"known_ms": now_ms() + number, "score": 10, "attributes": {"consent": "testimonial"}}
        return Change(str(uuid.UUID(int=number)), version, **(usual | fields))

    told = {"webhook": 0}
    await door.asks.take([("support", given(1), told), ("sales", given(2), told), ("support", given(3), told)])
    await door.asks.take([("support", given(1, 2, score=3), {})])
    for query, ids in (
        ("", [3, 2, 1]),
        ("?team=support&state=open", [3]),
        ("?state=withdrawn", [1]),
        ("?limit=1", [3]),
    ):
        status, body = await door.get(f"/v1/promoters{query}")
        assert (status, [uuid.UUID(one["response_id"]).int for one in body["promoters"]]) == (200, ids)
    _, body = await door.get("/v1/promoters?state=open&team=sales")
    ((one,),) = body.values()
    assert (one["state"], [(said["channel"], said["state"]) for said in one["told"]]) == (
        "open",
        [("webhook", "pending")],
    )
    assert (await door.get("/v1/promoters", "write-key"))[0] == 403
    assert (await door.get("/v1/promoters?state=closed"))[0] == 422


async def test_alarms_are_shown_with_their_counts_and_who_was_told(door: Door) -> None:
    before, after = Tally(360, 540, 900), Tally(60, 20, 20)
    one = Alarm(
        alarm_id("support", 20_000),
        "support",
        1,
        20_000,
        19_999,
        20_001,
        before,
        after,
        after,
        17.0,
        3,
        20_010 * DAY_MS,
    )
    other = msgspec.structs.replace(
        one, alarm_id=alarm_id("sales", 20_000), team="sales", ended_ms=20_011 * DAY_MS, ending="settled"
    )
    await door.alarms.write([one, other], [note_of(one)])
    _, body = await door.get("/v1/alarms?state=open&team=support")
    (shown,) = body["alarms"]
    assert (shown["since"], shown["since_first"], shown["since_last"]) == ("2024-10-04", "2024-10-03", "2024-10-05")
    assert (shown["before"]["n"], shown["before"]["from"], shown["before"]["to"]) == (1_800, "2024-04-07", "2024-10-03")
    assert (shown["after"]["nps"], shown["change"]["points"], shown["ending"]) == (-40, -70, None)
    assert [(one["channel"], one["state"], one["attempts"]) for one in shown["told"]] == [("webhook", "pending", 0)]
    _, body = await door.get("/v1/alarms?state=ended")
    assert [(one["alarm_id"], one["ending"], one["told"]) for one in body["alarms"]] == [
        (other.alarm_id, "settled", [])
    ]
    assert (await door.get("/v1/alarms?team=No team"))[0] == 422


@pytest.mark.parametrize("query", ["state=lost", "limit=0", "limit=1001", "limit=x", "case_id=" + "x" * 65])
async def test_a_bad_parameter_is_named(door: Door, query: str) -> None:
    status, body = await door.get(f"/v1/deliveries?{query}")
    assert status == 422
    assert [error["path"] for error in body["errors"]] == [query.partition("=")[0]]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/silences", {"minutes": 5}),
        ("DELETE", "/v1/silences/x", None),
        ("POST", "/v1/deliveries/resend", {}),
    ],
)
@pytest.mark.parametrize(("key", "refused"), [(None, 401), ("read-key", 403), ("write-key", 403), ("admin-key", None)])
async def test_only_an_admin_key_changes_anything(
    door: Door, method: str, path: str, body: dict[str, Any] | None, key: str | None, refused: int | None
) -> None:
    status, _ = await door.ask(method, path, body, key)
    assert status == refused if refused else status in (200, 201, 404)


async def test_a_silence_is_made_listed_and_ended_once(door: Door) -> None:
    status, made = await door.ask("POST", "/v1/silences", {"team": "billing", "minutes": 120, "reason": "moving"})
    assert (status, made["team"], made["channel"], made["reason"]) == (201, "billing", None, "moving")
    assert (await door.get("/v1/silences"))[1] == {"silences": [made]}
    assert await door.ask("DELETE", f"/v1/silences/{made['id']}", None) == (200, made)
    assert (await door.ask("DELETE", f"/v1/silences/{made['id']}", None))[0] == 404
    assert (await door.get("/v1/silences"))[1] == {"silences": []}


@pytest.mark.parametrize(
    "body", [{}, {"minutes": 0}, {"minutes": 43_201}, {"minutes": 5, "team": "A B"}, {"minuts": 5}]
)
async def test_a_silence_that_makes_no_sense_is_refused(door: Door, body: dict[str, Any]) -> None:
    assert (await door.ask("POST", "/v1/silences", body))[0] == 422


async def test_what_was_given_up_goes_again_and_every_attempt_is_told(door: Door) -> None:
    delivery = Delivery("webhook", raised())
    await door.store.add([delivery], now_ms())
    attempt = Attempt(delivery.key, "webhook", now_ms(), 12, "retry", "503", 41, 1)
    await door.store.settle(delivery, "given_up", 12, "503", None, now_ms(), attempt)
    assert await door.ask("POST", "/v1/deliveries/resend", {"channel": "other"}) == (200, {"resent": {}})
    assert await door.ask("POST", "/v1/deliveries/resend", {"id": delivery.key}) == (200, {"resent": {"webhook": 1}})
    assert door.looked == 2
    _, body = await door.get("/v1/deliveries")
    assert [(row["state"], row["attempts"]) for row in body["deliveries"]] == [("pending", 0)]
    _, body = await door.get(f"/v1/deliveries/{delivery.key}/attempts")
    (told,) = body["attempts"]
    assert (told["number"], told["verdict"], told["status"], told["took_ms"]) == (12, "retry", "503", 41)


@pytest.fixture
def plain_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """`run` sets up the logs of a whole process; here it leaves those of the other tests alone."""
    monkeypatch.setattr("services.alerts.app.logs.configure", lambda *_: None)


@pytest.mark.usefixtures("plain_logs")
@pytest.mark.parametrize(
    ("url", "secret"), [("http://127.0.0.1:9/", ""), ("", SECRET), ("http://127.0.0.1:9/", "whsec_short")]
)
def test_bad_settings_stop_the_start_with_status_2(
    tmp_path: Path, url: str, secret: str, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = settings_in(tmp_path, alerts_webhook_url=url, alerts_webhook_secret=secret)
    with pytest.raises(SystemExit) as stopped:
        run(settings)
    assert stopped.value.code == 2
    assert "PULSE_ALERTS_WEBHOOK_" in "".join(capfd.readouterr())


@pytest.mark.usefixtures("plain_logs")
def test_a_port_that_is_taken_stops_the_start_with_status_1(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit) as stopped:
        run(settings_in(tmp_path).model_copy(update={"alerts_port": taken.getsockname()[1]}))
    assert stopped.value.code == 1
    assert "ddress already in use" in "".join(capfd.readouterr())

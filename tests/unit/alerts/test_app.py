"""The HTTP side of alerts, and what stops its start."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from services.alerts.app import build_app, run
from services.alerts.deliveries import Delivery
from services.alerts.store import Store
from services.common.keys import key_hash
from services.common.settings import AlertsSettings, KeyKind
from tests.unit.alerts.builders import SECRET, now_ms, raised
from tests.unit.ingest.fakes import ask

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
    """The app, and its store. `reason`: why it is not ready."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)
        self.reason: str | None = None
        self._app = build_app(settings_in(folder), self.store, lambda: self.reason)

    async def get(self, address: str, key: str | None = "read-key") -> tuple[int, Any]:
        path, _, query = address.partition("?")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        reply = await ask(self._app, "GET", path, headers=headers, query=query)
        is_json = "json" in reply.headers["content-type"]
        return reply.status, reply.json() if is_json else reply.body.decode()


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    door = Door(tmp_path)
    yield door
    door.store.close()


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


@pytest.mark.parametrize("query", ["state=lost", "limit=0", "limit=1001", "limit=x", "case_id=" + "x" * 65])
async def test_a_bad_parameter_is_named(door: Door, query: str) -> None:
    status, body = await door.get(f"/v1/deliveries?{query}")
    assert status == 422
    assert [error["path"] for error in body["errors"]] == [query.partition("=")[0]]


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

"""The signed webhook: what is sent, and what becomes of each thing a target may do."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import get_args

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from standardwebhooks import Webhook, WebhookVerificationError

from schemas.followups import Kind, Reask
from services.alerts.channels import Message
from services.alerts.people import Absence, Text
from services.alerts.targets.config import BadSettings, from_variables
from services.alerts.targets.webhook import BODY_MAX_BYTES, SignedWebhook, body_of
from services.alerts.targets.wording import iso
from tests.unit.alerts.builders import SECRET, raised
from tests.unit.alerts.vendors import LOCAL

AT_MS = 1_795_186_740_123
TEXT = Text(2, "Waited an hour.", "cust-7", "Ane Holm", "ane@example.com", "+4520304050")


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


class Target:
    """A receiver that answers as `answer` says and keeps what came."""

    def __init__(self, answer: web.Response) -> None:
        self.answer = answer
        self.came: list[tuple[str, dict[str, str], bytes]] = []
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._take)
        self._server = TestServer(app)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        self.came.append((request.method, dict(request.headers), await request.read()))
        return self.answer

    async def __aenter__(self) -> str:
        await self._server.start_server()
        return str(self._server.make_url("/hook"))

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()


def test_the_body_is_the_contract_to_the_letter() -> None:
    event = raised(at_ms=AT_MS, callback_ms=AT_MS + 60_000, personal=True)
    body = msgspec.json.decode(body_of(Message(event, TEXT)))
    assert body == {
        "type": "followup.raised",
        "timestamp": "2026-11-20T14:59:00.123Z",
        "data": {
            "case_id": event.case.case_id,
            "response_id": event.case.response_id,
            "team": "support",
            "score": 3,
            "comment": "Waited an hour.",
            "raised_at": "2026-11-20T14:59:00.123Z",
            "due_at": "2026-11-21T00:59:00.123Z",
            "respondent": {
                "id": "cust-7",
                "name": "Ane Holm",
                "email": "ane@example.com",
                "phone": "+4520304050",
                "medium": "phone",
                "callback_at": "2026-11-20T15:00:00.123Z",
            },
        },
    }


def test_what_asks_customers_again_is_told_whom_and_what_they_answered() -> None:
    event = raised(at_ms=AT_MS, kind="followup.reask", state="resolved", resolved_ms=AT_MS - 1_000)
    told = msgspec.json.decode(body_of(Message(event, TEXT)))
    assert told["type"] == "followup.reask"
    assert told["data"]["case_id"] == event.case.case_id
    assert told["data"]["respondent"]["email"] == "ane@example.com"
    assert told["data"]["reask"] == {"resolved_at": "2026-11-20T14:58:59.123Z"}
    answered = raised(at_ms=AT_MS, kind="followup.reasked", reask=Reask("r", 9, AT_MS))
    told = msgspec.json.decode(body_of(Message(answered, TEXT)))
    pair = {"response_id": "r", "score": 9, "answered_at": "2026-11-20T14:59:00.123Z"}
    assert told["data"]["reask"] == {"resolved_at": None} | pair


async def test_a_webhook_gets_what_it_asks_for_and_nothing_else(session: aiohttp.ClientSession) -> None:
    events = [raised(kind=kind) for kind in get_args(Kind)]
    usual = SignedWebhook(session, "https://example.com", SECRET)
    asking = SignedWebhook(session, "https://example.com", SECRET, events=("followup.reask",))
    assert [event.kind for event in events if usual.wants(event)] == ["followup.raised"]
    assert [event.kind for event in events if asking.wants(event)] == ["followup.reask"]


def test_without_text_every_field_is_there_and_null() -> None:
    data = msgspec.json.decode(body_of(Message(raised(at_ms=AT_MS, medium=None))))["data"]
    assert data["comment"] is None
    assert data["respondent"] == dict.fromkeys(("id", "name", "email", "phone", "medium", "callback_at"))
    assert "text_missing" not in data


@pytest.mark.parametrize("missing", list(Absence))
def test_text_that_should_be_there_and_is_not_is_said_to_be_missing(missing: Absence) -> None:
    data = msgspec.json.decode(body_of(Message(raised(personal=True), None, missing)))["data"]
    assert data["text_missing"] is True
    assert data["comment"] is None


@pytest.mark.parametrize("letter", ["x", "ø", "😀", '"', "\\", "\n", "\x01"])
def test_the_longest_comment_never_makes_a_body_above_20_kilobytes(letter: str) -> None:
    text = Text(0, letter * 4_000, "i" * 200, "\x01" * 200, "e" * 254, "p" * 40)
    body = body_of(Message(raised(team="t" * 64), text))
    data = msgspec.json.decode(body)["data"]
    assert len(body) <= BODY_MAX_BYTES
    assert data["comment"] == letter * len(data["comment"])
    assert data.get("comment_cut", False) == (len(data["comment"]) < 4_000)


def test_only_a_comment_of_control_characters_is_cut() -> None:
    for letter, cut in (("😀", False), ('"', False), ("\x01", True)):
        data = msgspec.json.decode(body_of(Message(raised(), Text(0, letter * 4_000))))["data"]
        assert ("comment_cut" in data) is cut


def test_times_are_iso_8601_in_utc_with_milliseconds() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000Z"
    assert iso(AT_MS) == "2026-11-20T14:59:00.123Z"


async def test_what_arrives_is_verified_by_the_standard_webhooks_package(session: aiohttp.ClientSession) -> None:
    event = raised(personal=True)
    target = Target(web.Response(status=204))
    async with target as url:
        outcome = await SignedWebhook(session, url, SECRET).send(Message(event, TEXT))
    ((method, headers, body),) = target.came
    assert (outcome.verdict, outcome.status, method) == ("delivered", "204", "POST")
    assert headers["webhook-id"] == event.event_id
    assert headers["Content-Type"] == "application/json"
    assert Webhook(SECRET).verify(body, headers)["data"]["case_id"] == event.case.case_id
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.replace(b"Ane", b"Eva"), headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(b"another secret of thirty-two byt").decode()).verify(body, headers)


@pytest.mark.parametrize(("status", "verdict"), [(200, "delivered"), (404, "refused"), (410, "gone"), (500, "retry")])
async def test_the_status_decides(session: aiohttp.ClientSession, status: int, verdict: str) -> None:
    async with Target(web.Response(status=status, text="x" * 100_000)) as url:
        outcome = await SignedWebhook(session, url, SECRET).send(Message(raised()))
    assert (outcome.verdict, outcome.status) == (verdict, str(status))


async def test_a_redirect_is_not_followed(session: aiohttp.ClientSession) -> None:
    elsewhere = Target(web.Response(status=200))
    async with elsewhere as url, Target(web.Response(status=307, headers={"Location": url})) as first:
        outcome = await SignedWebhook(session, first, SECRET).send(Message(raised()))
    assert (outcome.verdict, outcome.status) == ("refused", "307")
    assert elsewhere.came == []


async def test_retry_after_is_read_from_the_answer(session: aiohttp.ClientSession) -> None:
    async with Target(web.Response(status=503, headers={"Retry-After": "7"})) as url:
        outcome = await SignedWebhook(session, url, SECRET).send(Message(raised()))
    assert (outcome.verdict, outcome.wait_ms, outcome.pause_ms) == ("retry", 7_000, 7_000)


async def test_a_target_that_is_not_there_is_an_outcome(session: aiohttp.ClientSession) -> None:
    async with Target(web.Response()) as url:
        pass  # gone again
    outcome = await SignedWebhook(session, url, SECRET).send(Message(raised()))
    assert (outcome.verdict, outcome.status) == ("retry", "connection")


async def test_a_name_that_nobody_knows_is_an_outcome(session: aiohttp.ClientSession) -> None:
    outcome = await SignedWebhook(session, "http://nobody.invalid/", SECRET).send(Message(raised()))
    assert (outcome.verdict, outcome.status) == ("retry", "dns")


@pytest.mark.parametrize(
    ("said", "verdict", "status"),
    [
        pytest.param(b"", "retry", "timeout", id="says-nothing"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", "retry", "bad_answer", id="speaks-no-http"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\nhalf", "delivered", "200", id="stops-half-way"),
    ],
)
async def test_a_strange_target_is_an_outcome(
    session: aiohttp.ClientSession, said: bytes, verdict: str, status: str
) -> None:
    over = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await over.wait()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    outcome = await SignedWebhook(session, f"http://127.0.0.1:{port}/", SECRET, timeout_s=0.5).send(Message(raised()))
    over.set()
    server.close()
    assert (outcome.verdict, outcome.status) == (verdict, status)


@pytest.mark.parametrize(
    ("url", "secret", "names"),
    [
        pytest.param("https://example.com/hook", "", "PULSE_ALERTS_WEBHOOK_SECRET is not", id="url-alone"),
        pytest.param("", SECRET, "PULSE_ALERTS_WEBHOOK_URL is not", id="secret-alone"),
        pytest.param("ftp://example.com", SECRET, "PULSE_ALERTS_WEBHOOK_URL must", id="scheme"),
        pytest.param("example.com/hook", SECRET, "PULSE_ALERTS_WEBHOOK_URL must", id="no-scheme"),
        pytest.param("https:///hook", SECRET, "PULSE_ALERTS_WEBHOOK_URL must", id="no-host"),
        pytest.param("https://example.com:70000/", SECRET, "PULSE_ALERTS_WEBHOOK_URL must", id="port"),
        pytest.param("https://example.com", "hunter2", "whsec_", id="no-prefix"),
        pytest.param("https://example.com", SECRET.removeprefix("whsec_"), "whsec_", id="prefix-missing"),
        pytest.param("https://example.com", "whsec_not base64!", "whsec_", id="not-base64"),
        pytest.param("https://example.com", "whsec_", "24 to 64", id="empty"),
        pytest.param("https://example.com", "whsec_" + base64.b64encode(b"x" * 23).decode(), "24 to 64", id="short"),
        pytest.param("https://example.com", "whsec_" + base64.b64encode(b"x" * 65).decode(), "24 to 64", id="long"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name_without_quoting_the_secret(
    url: str, secret: str, names: str
) -> None:
    with pytest.raises(BadSettings, match="PULSE_ALERTS_WEBHOOK") as refused:
        from_variables(url, secret, LOCAL)
    assert names in str(refused.value)
    assert not secret.removeprefix("whsec_") or secret.removeprefix("whsec_") not in str(refused.value)


def test_neither_url_nor_secret_means_no_webhook() -> None:
    assert from_variables("", "", LOCAL) == []


@pytest.mark.parametrize("size", [24, 64])
def test_a_secret_of_24_to_64_bytes_and_a_local_target_that_is_allowed_are_fine(size: int) -> None:
    secret = "whsec_" + base64.b64encode(b"s" * size).decode()
    (target,) = from_variables("http://127.0.0.1:9000/hook", secret, LOCAL)
    assert (target.name, target.made.host, target.teams) == ("webhook", "127.0.0.1", None)


def test_while_a_secret_is_changed_both_sign() -> None:
    other = "whsec_" + base64.b64encode(b"the secret of last year, 32 byte").decode()

    async def send() -> dict[str, str]:
        target = Target(web.Response(status=204))
        async with target as url, aiohttp.ClientSession() as session:
            await SignedWebhook(session, url, SECRET, other).send(Message(raised()))
        ((_, headers, body),) = target.came
        for secret in (SECRET, other):
            Webhook(secret).verify(body, headers)
        return headers

    assert asyncio.run(send())["webhook-signature"].count("v1,") == 2

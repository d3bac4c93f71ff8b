"""The other end of each kind of target, for the contract tests: a server that checks what its vendor documents."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any, ClassVar, Literal, Protocol

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiosmtpd.smtp import SMTP as SmtpServer  # noqa: N811
from aiosmtpd.smtp import Envelope, Session
from standardwebhooks import Webhook

from benchmarks import documented
from services.alerts.channels import Channel
from services.alerts.targets.addresses import Allowed
from services.alerts.targets.alertmanager import Alertmanager
from services.alerts.targets.guard import Guard
from services.alerts.targets.mail import Mail, Server
from services.alerts.targets.pagerduty import PagerDuty
from services.alerts.targets.slack import Slack
from services.alerts.targets.webhook import SignedWebhook
from tests.unit.alerts.builders import SECRET

Mood = Literal["well", "busy", "broken", "refusing", "silent"]
LOCAL = Allowed.of(["127.0.0.1"])
BOARD = "https://pulse.example.com/"
KEY = "0123456789abcdef0123456789ABCDEF"
STATUS: dict[Mood, int] = {"well": 200, "busy": 429, "broken": 500, "refusing": 403}


class Vendor(Protocol):
    """`came` is what was accepted for checking, `ids` the stable id in each, `wrong` what the vendor would refuse."""

    channel: Channel
    mood: Mood
    reached: int

    @property
    def ids(self) -> list[str]: ...
    @property
    def said(self) -> str: ...
    @property
    def wrong(self) -> list[str]: ...
    async def away(self) -> None: ...


Check = Callable[[dict[str, str], bytes], tuple[str, list[str]]]


@dataclass
class HttpVendor:
    """A vendor that is posted to. `check` gives the stable id of a request and what is wrong with it."""

    check: Check
    accepted: int
    mood: Mood = "well"
    reached: int = 0
    ids: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.channel: Channel
        self.over = asyncio.Event()
        app = web.Application()
        app.router.add_post("/{path:.*}", self._take)
        self.server = TestServer(app)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        self.reached += 1
        if self.mood == "silent":
            await self.over.wait()
        body = await request.read()
        if self.mood == "well":
            found, wrong = self.check(dict(request.headers), body)
            self.ids.append(found)
            self.wrong += wrong
            self.bodies.append(body)
            return web.Response(status=self.accepted, text="ok")
        return web.Response(status=STATUS[self.mood], headers={"Retry-After": "7"} if self.mood == "busy" else {})

    @property
    def said(self) -> str:
        return "\n".join(_texts(msgspec.json.decode(self.bodies[-1])))

    async def away(self) -> None:
        await self.server.close()


def _texts(value: Any) -> list[str]:
    """Every text within a document."""
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [value] if isinstance(value, str) else []


def check_webhook(headers: dict[str, str], body: bytes) -> tuple[str, list[str]]:
    Webhook(SECRET).verify(body, headers)
    wrong = [] if len(body) <= 20_000 else ["body over 20 kB"]
    return headers["webhook-id"], wrong


def check_slack(headers: dict[str, str], body: bytes) -> tuple[str, list[str]]:
    return documented.slack_id(body), documented.slack(body)


def check_pagerduty(headers: dict[str, str], body: bytes) -> tuple[str, list[str]]:
    return msgspec.json.decode(body)["dedup_key"], documented.pagerduty(body, KEY)


def check_alertmanager(headers: dict[str, str], body: bytes) -> tuple[str, list[str]]:
    (alert,) = msgspec.json.decode(body)
    labels = alert["labels"]
    wrong = [name for name in labels if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name)]
    wrong += [name for name in alert["annotations"] if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name)]
    if not (
        documented.is_time(alert["startsAt"])
        and documented.is_time(alert["endsAt"])
        and alert["startsAt"] <= alert["endsAt"]
    ):
        wrong.append("times")
    if not labels["alertname"] or not all(isinstance(value, str) and value for value in labels.values()):
        wrong.append("labels")
    return labels.get("case") or labels["alarm"], wrong


class _Hooks:
    """What aiosmtpd calls; it looks at every attribute of its handler, so this has no others."""

    def __init__(self, vendor: MailVendor) -> None:
        self.handle_RCPT = vendor.take_recipient
        self.handle_DATA = vendor.take_mail


class MailVendor:
    """A real SMTP server, aiosmtpd, on a free port."""

    CODES: ClassVar[dict[Mood, str]] = {
        "busy": "451 try again later",
        "broken": "421 shutting down",
        "refusing": "550 no such mailbox",
    }

    def __init__(self, **options: Any) -> None:
        self.mood: Mood = "well"
        self.reached = 0
        self.mails: list[EmailMessage] = []
        self.envelopes: list[Envelope] = []
        self.wrong: list[str] = []
        self.over = asyncio.Event()
        self._options = options
        self._open: list[SmtpServer] = []
        self.channel: Channel

    async def start(self, tls: ssl.SSLContext | None = None) -> int:
        loop = asyncio.get_running_loop()

        def connected() -> SmtpServer:
            self.reached += 1
            self._open.append(SmtpServer(_Hooks(self), loop=loop, hostname="mail.test", **self._options))
            return self._open[-1]

        self.server = await loop.create_server(connected, "127.0.0.1", 0, ssl=tls)
        port: int = self.server.sockets[0].getsockname()[1]
        return port

    async def take_recipient(
        self, server: SmtpServer, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.mood == "silent":
            await self.over.wait()
        if self.mood in self.CODES:
            return self.CODES[self.mood]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def take_mail(self, server: SmtpServer, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.envelopes.append(envelope)
        self.mails.append(documented.mail_of(envelope.content))
        self.wrong += documented.email(envelope.content)
        return "250 OK"

    @property
    def ids(self) -> list[str]:
        return [str(mail["Message-ID"]) for mail in self.mails]

    @property
    def said(self) -> str:
        text, html = (part.get_content() for part in self.mails[-1].iter_parts())
        self.wrong += ["markup of a customer"] if re.search(r"<(script|img|a href='javascript)", html) else []
        return f"{self.mails[-1]['Subject']}\n{text}"

    async def away(self) -> None:
        self.over.set()
        self.server.close()
        for connection in self._open:
            if connection.transport is not None:
                assert isinstance(connection.transport, asyncio.Transport)
                connection.transport.abort()
        for _ in range(10):  # the loop closes what it was told to close, some turns later
            await asyncio.sleep(0)


@asynccontextmanager
async def vendor_of(kind: str, allowed: Allowed = LOCAL, timeout_s: float = 5.0) -> AsyncIterator[Vendor]:
    """The vendor of one kind at work, and a channel to it, named after its kind."""
    guard = Guard("127.0.0.1", allowed)
    if kind == "email":
        vendor = MailVendor()
        server = Server("127.0.0.1", await vendor.start(), "none")
        mail = Mail(
            guard,
            server,
            name=kind,
            sender="pulse@example.com",
            to=("a@example.com", "b@example.com"),
            board=BOARD,
            timeout_s=timeout_s,
        )
        vendor.channel = mail
        yield vendor
        await mail.close()
        await vendor.away()
        return
    checks: dict[str, tuple[Check, int]] = {
        "webhook": (check_webhook, 204),
        "slack": (check_slack, 200),
        "pagerduty": (check_pagerduty, 202),
        "alertmanager": (check_alertmanager, 200),
    }
    http = HttpVendor(*checks[kind])
    await http.server.start_server()
    url = str(http.server.make_url("/services/T0/B0/x"))
    async with guard.session() as session:
        make: dict[str, Callable[[], Channel]] = {
            "webhook": lambda: SignedWebhook(session, url, SECRET, timeout_s=timeout_s),
            "slack": lambda: Slack(session, url, name=kind, board=BOARD, timeout_s=timeout_s),
            "pagerduty": lambda: PagerDuty(session, KEY, name=kind, url=url, board=BOARD, timeout_s=timeout_s),
            "alertmanager": lambda: Alertmanager(session, url, name=kind, board=BOARD, timeout_s=timeout_s),
        }
        http.channel = make[kind]()
        yield http
    http.over.set()
    await http.away()

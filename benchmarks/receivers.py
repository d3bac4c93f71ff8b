"""The far ends of four channels on the loopback: a webhook's, Slack, PagerDuty and a real SMTP server.

Each notes only when a message came; whether it is what its vendor documents, and rightly signed, is looked at when the
clock has stopped (`checked`).
"""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import msgspec
from aiohttp import web
from aiosmtpd.smtp import SMTP as SmtpServer  # noqa: N811
from aiosmtpd.smtp import Envelope, Session
from standardwebhooks import Webhook

from benchmarks import documented

SENDER: Final = "pulse@example.com"
CARE: Final = "care@example.com"
_MANY: Final = re.compile(r"(\d+) unhappy answers in (.+)")
_MANY_MAILED: Final = re.compile(rb"^Subject: (\d+) unhappy answers in ", re.MULTILINE)
_ONE: Final = re.compile(r"\d+ of 10 in (\S+)")
_CASE: Final = re.compile(r"case ([0-9a-f-]{36})")


class Came(NamedTuple):
    """One message: when, its stable id, of which team, of how many cases, and of which one if it is of one."""

    at_s: float
    id: str
    team: str
    cases: int
    case_id: str


class _Hooks:
    """What aiosmtpd calls; it looks at every attribute of its handler, so this has no others."""

    def __init__(self, mails: list[tuple[float, bytes]]) -> None:
        async def taken(server: SmtpServer, session: Session, envelope: Envelope) -> str:
            assert isinstance(envelope.content, bytes)
            mails.append((time.perf_counter(), envelope.content))
            return "250 OK"

        self.handle_DATA = taken


class Receivers:
    """All four. Teams share `slacks` channels of Slack and `pagers` services of PagerDuty, in turn.

    `interval`: of the groups of Slack and PagerDuty; `mail_interval`: of e-mail. `mails`: what came, and when.
    """

    def __init__(self, slacks: int, pagers: int, interval: str, mail_interval: str = "0s") -> None:
        self._secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self._slacks, self._pagers, self._interval, self._mail_interval = slacks, pagers, interval, mail_interval
        self._keys = [secrets.token_hex(16) for _ in range(pagers)]
        self._webhook = Webhook(self._secret)
        self._hooks: list[tuple[float, bytes, dict[str, str]]] = []
        self._slack: list[tuple[float, bytes]] = []
        self._pager: list[tuple[float, bytes, int]] = []
        self.mails: list[tuple[float, bytes]] = []
        self._http_port = self._smtp_port = 0
        self._runner: web.AppRunner | None = None
        self._smtp: asyncio.Server | None = None
        self._sessions: list[SmtpServer] = []

    async def start(self) -> None:
        """Listen: on free ports the first time, on the same ones after that."""
        app = web.Application()
        app.router.add_post("/hook", self._take_hook)
        app.router.add_post("/slack/{number}", self._take_slack)
        app.router.add_post("/pagerduty/{number}", self._take_pager)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._http_port).start()
        self._http_port = self._runner.addresses[0][1]
        loop, hooks = asyncio.get_running_loop(), _Hooks(self.mails)

        def connected() -> SmtpServer:
            self._sessions.append(SmtpServer(hooks, loop=loop, hostname="mail.test"))
            return self._sessions[-1]

        self._smtp = await loop.create_server(connected, "127.0.0.1", self._smtp_port)
        self._smtp_port = self._smtp.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Be gone: nobody listens, and what was connected is not any more."""
        if self._smtp is not None:
            self._smtp.close()
        if self._runner is not None:
            await self._runner.cleanup()
        await self._turns()  # whoever was about to be connected is now
        for session in self._sessions:
            if session.transport is not None:
                cast("asyncio.Transport", session.transport).abort()  # uvloop's own is one too
        await self._turns()

    async def _turns(self) -> None:
        """What the loop is told to do is done some turns later."""
        for _ in range(10):
            await asyncio.sleep(0)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen for the length of the block."""
        await self.start()
        try:
            yield
        finally:
            await self.stop()

    def configure(self, file: Path, teams: Sequence[str]) -> None:
        """Write the targets file: a webhook and one mailbox for all, Slack and PagerDuty shared out among `teams`."""
        http = f"http://127.0.0.1:{self._http_port}"
        tables = [f'[targets.hooks]\nkind = "webhook"\nurl = "{http}/hook"\nsecret = "{self._secret}"']
        tables.append(
            f'[targets.mail]\nkind = "email"\nhost = "127.0.0.1"\nport = {self._smtp_port}\nsecurity = "none"\n'
            f'from = "{SENDER}"\nto = ["{CARE}"]\ngroup_interval = "{self._mail_interval}"'
        )
        interval = f'group_interval = "{self._interval}"'
        for number in range(self._slacks):
            tables.append(
                f'[targets.slack-{number}]\nkind = "slack"\nurl = "{http}/slack/{number}"\n'
                f"teams = {list(teams[number :: self._slacks])}\n{interval}"
            )
        for number, key in enumerate(self._keys):
            tables.append(
                f'[targets.pager-{number}]\nkind = "pagerduty"\nrouting_key = "{key}"\n'
                f'url = "{http}/pagerduty/{number}"\nteams = {list(teams[number :: self._pagers])}\n{interval}'
            )
        file.write_text('allow = ["127.0.0.1"]\n' + "\n".join(tables))

    def counts(self) -> dict[str, int]:
        """Cases told so far, a channel."""
        return {
            "webhook": len(self._hooks),
            "e-mail": sum(int(many[1]) if (many := _MANY_MAILED.search(mail)) else 1 for _, mail in self.mails),
            "slack": sum(_of_slack(*one).cases for one in self._slack),
            "pagerduty": sum(_of_pager(at_s, body).cases for at_s, body, _ in self._pager),
        }

    def checked(self, *, texts: bool = True) -> dict[str, list[Came]]:
        """Every message, in the order of arrival, a channel. Raises RuntimeError with what a vendor would refuse.

        `texts`: a webhook must have its comment, which an alert is not held back for when it cannot be looked up.
        """
        wrong: Counter[str] = Counter()
        hooks = []
        for at_s, body, headers in self._hooks:
            data: dict[str, Any] = self._webhook.verify(body, headers)["data"]
            wrong["webhook without its text"] += texts and not data["comment"]
            hooks.append(Came(at_s, headers["webhook-id"], data["team"], 1, data["case_id"]))
        for _, content in self.mails:
            wrong.update(f"e-mail: {one}" for one in documented.email(content))
        for _, body in self._slack:
            wrong.update(f"Slack: {one}" for one in documented.slack(body))
        for _, body, number in self._pager:
            wrong.update(f"PagerDuty: {one}" for one in documented.pagerduty(body, self._keys[number]))
        if wrong := +wrong:  # + leaves out the zeros
            raise RuntimeError(f"messages that are not as documented: {dict(wrong)}")
        return {
            "webhook": hooks,
            "e-mail": [_of_mail(*one) for one in self.mails],
            "slack": [_of_slack(*one) for one in self._slack],
            "pagerduty": [_of_pager(at_s, body) for at_s, body, _ in self._pager],
        }

    async def _take_hook(self, request: web.Request) -> web.Response:
        body = await request.read()
        self._hooks.append((time.perf_counter(), body, dict(request.headers)))
        return web.Response(status=204)

    async def _take_slack(self, request: web.Request) -> web.Response:
        body = await request.read()
        self._slack.append((time.perf_counter(), body))
        return web.Response(text="ok")

    async def _take_pager(self, request: web.Request) -> web.Response:
        body = await request.read()
        self._pager.append((time.perf_counter(), body, int(request.match_info["number"])))
        return web.Response(status=202)


def _of_mail(at_s: float, content: bytes) -> Came:
    mail = documented.mail_of(content)
    message_id, subject = str(mail["X-Pulse-Message"]), str(mail["Subject"])
    if many := _MANY.fullmatch(subject):
        return Came(at_s, message_id, many[2], int(many[1]), "")
    one = _ONE.match(subject)
    if one is None:
        raise RuntimeError(f"an e-mail that says nothing of a case: {subject}")
    return Came(at_s, message_id, one[1], 1, str(mail["Message-ID"])[1:].partition("@")[0])


def _of_slack(at_s: float, body: bytes) -> Came:
    text: str = msgspec.json.decode(body)["text"]
    head, message_id = text.partition("\n")[0], documented.slack_id(body)
    if many := _MANY.fullmatch(head):
        return Came(at_s, message_id, many[2], int(many[1]), "")
    one, case = _ONE.fullmatch(head), _CASE.search(body.decode())
    if one is None or case is None:
        raise RuntimeError(f"a message to Slack that says nothing of a case: {head}")
    return Came(at_s, message_id, one[1], 1, case[1])


def _of_pager(at_s: float, body: bytes) -> Came:
    event = msgspec.json.decode(body)
    details, key = event["payload"]["custom_details"], event["dedup_key"]
    return Came(at_s, key, details["team"], details["cases"], key if details["cases"] == 1 else "")

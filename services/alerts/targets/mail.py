"""E-mail: text and HTML, over SMTP. A case is one thread: each message refers to the one that raised it.

`Message-ID` is made of the message's id, so a repeated message is the same message. The address of the server is
resolved once, passes the guard, and the socket to it is handed to aiosmtplib. As many connections as were wanted at
once lately are kept: a new one costs more than the message.
"""

from __future__ import annotations

import asyncio
import html
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

import aiosmtplib
import structlog
from aiosmtplib import SMTP

from schemas.followups import FollowupEvent
from services.alerts.alarms.records import Note, NoteKind
from services.alerts.channels import Message
from services.alerts.grouping import TOLD
from services.alerts.retries import BUSY_PAUSE_MS, REFUSED_WAIT_MS, Outcome
from services.alerts.targets import notes, wording
from services.alerts.targets.guard import AddressRefused, Guard
from services.alerts.targets.mime import composed
from services.alerts.targets.posting import TIMEOUT_S, refused_address

log = structlog.get_logger()

Security = Literal["starttls", "tls", "none"]
PORTS: Final[dict[Security, int]] = {"starttls": 587, "tls": 465, "none": 25}
_IDLE_S: Final = 20.0  # shorter than any server's patience


@dataclass(frozen=True, slots=True)
class Server:
    """Where mail is handed in. `security`: TLS asked for in the open, TLS from the first byte, or none at all."""

    host: str
    port: int
    security: Security = "starttls"
    username: str = ""
    password: str = ""
    context: ssl.SSLContext | None = None


class Mail:
    """A channel of kind `email`: one message to all of `to`."""

    def __init__(
        self,
        guard: Guard,
        server: Server,
        *,
        name: str,
        sender: str,
        to: tuple[str, ...],
        board: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.name = name
        self._guard = guard
        self._server = server
        self._sender = sender
        self._to = to
        self._board = board
        self._timeout_s = timeout_s
        self._idle: list[tuple[float, SMTP]] = []

    def wants(self, event: FollowupEvent) -> bool:
        return event.kind in TOLD

    async def send(self, message: Message) -> Outcome:
        return await self._hand_in(self.mail_of(message, datetime.now(UTC)), message.id)

    def says(self, kind: NoteKind) -> bool:
        return True

    async def say(self, note: Note) -> Outcome:
        mail = notes.mail(note, self._sender, self._to, self._board, datetime.now(UTC))
        return await self._hand_in(mail, note.note_id)

    async def _hand_in(self, mail: bytes, message_id: str) -> Outcome:
        client: SMTP | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                client = await self._client()
                wrong, _ = await client.sendmail(self._sender, list(self._to), mail)
        except BaseException as error:
            if client is not None:
                client.close()
            if not isinstance(error, Exception):
                raise
            return _outcome_of(error)
        self._idle.append((asyncio.get_running_loop().time(), client))
        if wrong:
            log.warning("recipients_refused", channel=self.name, event_id=message_id, count=len(wrong))
        return Outcome("delivered", "250" if not wrong else "250_some_refused")

    async def close(self) -> None:
        """Close what is kept open."""
        while self._idle:
            self._idle.pop()[1].close()

    async def _client(self) -> SMTP:
        """A connection that is ready for a message: one used a moment ago, or a new one."""
        now_s = asyncio.get_running_loop().time()
        while self._idle and now_s - self._idle[0][0] >= _IDLE_S:
            self._idle.pop(0)[1].close()
        while self._idle:
            _, client = self._idle.pop()  # the one used last: what is not needed any more grows old
            if client.is_connected:
                return client
            client.close()
        server = self._server
        opened = await self._guard.connected(server.port)
        client = SMTP(
            hostname=server.host,
            port=None,
            sock=opened,
            use_tls=server.security == "tls",
            start_tls=server.security == "starttls",
            username=server.username or None,
            password=server.password or None,
            tls_context=server.context,
            local_hostname="[127.0.0.1]",
            timeout=self._timeout_s,
        )
        await client.connect()  # takes the socket, and closes it when this fails
        return client

    def mail_of(self, message: Message, now: datetime) -> bytes:
        """The message, ready to be sent."""
        case = message.event.case
        domain = self._sender.rpartition("@")[2]
        subject, message_id = wording.headline(message), f"{message.id}@{domain}"
        more = {"X-Pulse-Message": message.id}
        if message.count == 1:
            subject = f"{case.score} of 10 in {case.team} (follow-up {case.case_id[:8]})"
            thread = f"{case.case_id}@{domain}"
            if message.event.kind == "followup.raised" and not message.repeated:
                message_id = thread
            else:
                subject = f"Re: {subject}"
                more |= {"In-Reply-To": f"<{thread}>", "References": f"<{thread}>"}
        text, html_text = _text(message, self._board), _html(message, self._board)
        return composed(message_id, subject, self._sender, self._to, now, more, text, html_text)


def _outcome_of(error: Exception) -> Outcome:
    """4xx passes, 5xx somebody has to mend, and so are a wrong password and a server without the TLS asked for."""
    if isinstance(error, AddressRefused):
        return refused_address()
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        codes = [one.code for one in error.recipients]
        return _answered(max(codes) if all(code >= 500 for code in codes) else min(codes))
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return _answered(error.code)
    # aiosmtplib says with the bare class that the server knows no STARTTLS.
    if isinstance(error, aiosmtplib.SMTPNotSupported) or type(error) is aiosmtplib.SMTPException:
        return Outcome("refused", "not_supported", REFUSED_WAIT_MS)
    if isinstance(error, TimeoutError):
        return Outcome("retry", "timeout")
    if isinstance(error, ssl.SSLError):
        return Outcome("retry", "tls")
    if isinstance(error, (aiosmtplib.SMTPException, OSError)):
        return Outcome("retry", "tls" if isinstance(error.__cause__, ssl.SSLError) else "connection")
    raise error


def _answered(code: int) -> Outcome:
    if code == 421:  # the server closes: too many connections, or it is about to stop
        return Outcome("retry", "421", pause_ms=BUSY_PAUSE_MS)
    return Outcome("retry", str(code)) if code < 500 else Outcome("refused", str(code), REFUSED_WAIT_MS)


def _text(message: Message, board: str) -> str:
    lines = [wording.headline(message), ""]
    if message.count == 1:
        (told,) = message.told
        words = wording.comment(told)
        lines += [*(f"> {line}" for line in words.splitlines()), ""] if words else []
        lines += [f"Deadline: {wording.deadline(told)}"]
        lines += [f"{label}: {value}" for label, value in wording.contact(told)]
    else:
        lines += [f"- {wording.one_line(told)}" for told in message.told]
        lines += [rest] if (rest := wording.rest(message)) else []
    links = [f"{link.label}: {link.url}" for link in message.links]
    return "\n".join([*lines, "", *links, *([f"The board: {board}"] if board else [])]) + "\n"


def _html(message: Message, board: str) -> str:
    parts = [f"<h2>{html.escape(wording.headline(message))}</h2>"]
    if message.count == 1:
        (told,) = message.told
        words = wording.comment(told)
        if words:
            parts.append(f"<blockquote style='white-space:pre-wrap'>{html.escape(words)}</blockquote>")
        facts = [("Deadline", wording.deadline(told)), *wording.contact(told)]
        parts += ["<p>", "<br>".join(f"<b>{label}:</b> {html.escape(value)}" for label, value in facts), "</p>"]
    else:
        items = "".join(f"<li>{html.escape(wording.one_line(told))}</li>" for told in message.told)
        parts.append(f"<ul>{items}</ul>")
        parts += [f"<p>{rest}</p>"] if (rest := wording.rest(message)) else []
    if message.links:
        links = " · ".join(f"<a href='{html.escape(one.url)}'>{html.escape(one.label)}</a>" for one in message.links)
        parts.append(f"<p>{links}</p>")
    if board:
        parts.append(f"<p><a href='{html.escape(board)}'>Open the board</a></p>")
    return f"<!doctype html><html lang='en'><meta charset='utf-8'><body>{''.join(parts)}</body></html>\n"

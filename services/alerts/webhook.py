"""The signed webhook: one POST a raised case, as Standard Webhooks has it (standardwebhooks.com).

The secret's owner verifies `webhook-signature` over `webhook-id.webhook-timestamp.body`. The id is the event's, the
same at each attempt; the timestamp is the attempt's.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
from standardwebhooks import Webhook

from schemas.followups import FollowupEvent
from services.alerts.channels import Message
from services.alerts.retries import Outcome, outcome_of
from services.common.clock import wall_clock_ms

BODY_MAX_BYTES: Final = 20_000
TIMEOUT_S: Final = 15.0
_ANSWER_MAX_BYTES: Final = 64 * 1024
_ANSWER_TIMEOUT_S: Final = 2.0
_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 # the prefix is public


class BadSettings(ValueError):
    """The settings of a channel make no sense; the text names the variable and what it must be."""


def checked(url: str, secret: str) -> tuple[str, str] | None:
    """Target and secret of the webhook; None: no webhook is wanted. Raises BadSettings."""
    if not url and not secret:
        return None
    if not url:
        raise BadSettings("PULSE_ALERTS_WEBHOOK_SECRET is set but PULSE_ALERTS_WEBHOOK_URL is not: set both or neither")
    if not secret:
        raise BadSettings("PULSE_ALERTS_WEBHOOK_URL is set but PULSE_ALERTS_WEBHOOK_SECRET is not: set both or neither")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise BadSettings("PULSE_ALERTS_WEBHOOK_URL must be http://host[:port]/path or https://…")
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(_SECRET_PREFIX) or not 24 <= len(key) <= 64:
        raise BadSettings("PULSE_ALERTS_WEBHOOK_SECRET must be whsec_ and the base64 of 24 to 64 random bytes")
    return url, secret


class SignedWebhook:
    """The channel `webhook`. `session` belongs to the caller, so that connections outlive a message."""

    name = "webhook"

    def __init__(self, session: aiohttp.ClientSession, url: str, secret: str, timeout_s: float = TIMEOUT_S) -> None:
        self._session = session
        self._url = url
        self._signer = Webhook(secret)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)

    def wants(self, event: FollowupEvent) -> bool:
        return event.kind == "followup.raised"

    async def send(self, message: Message) -> Outcome:
        body = body_of(message)
        now = datetime.now(UTC)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "nps-pulse-alerts",
            "webhook-id": message.event.event_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(message.event.event_id, now, body.decode()),
        }
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as answer:
                outcome = outcome_of(answer.status, answer.headers.get("Retry-After"), wall_clock_ms())
                # The status is the answer. The body is read, a little of it, only to keep the connection.
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                        left = _ANSWER_MAX_BYTES
                        while left > 0 and (chunk := await answer.content.read(left)):
                            left -= len(chunk)
                return outcome
        except TimeoutError:
            return Outcome("retry", "timeout")
        except (aiohttp.ClientSSLError, aiohttp.ClientConnectorCertificateError):
            return Outcome("retry", "tls")
        except aiohttp.ClientConnectorDNSError:
            return Outcome("retry", "dns")
        except aiohttp.ClientConnectionError:
            return Outcome("retry", "connection")
        except aiohttp.ClientError:
            return Outcome("retry", "bad_answer")


def body_of(message: Message) -> bytes:
    """The body: type, timestamp, data; at most 20,000 bytes.

    `text_missing` and `comment_cut` are there only when true. A comment that does not fit is cut: its 4,000
    characters may be written in six bytes each.
    """
    event, case, text = message.event, message.event.case, message.text
    data: dict[str, Any] = {
        "case_id": case.case_id,
        "response_id": case.response_id,
        "team": case.team,
        "score": case.score,
        "comment": text.comment if text else None,
        "raised_at": iso(case.raised_ms),
        "due_at": iso(case.contact_due_ms),
        "respondent": {
            "id": text.respondent_id if text else None,
            "name": text.name if text else None,
            "email": text.email if text else None,
            "phone": text.phone if text else None,
            "medium": case.medium,
            "callback_at": iso(case.callback_ms) if case.callback_ms is not None else None,
        },
    }
    if message.missing is not None:
        data["text_missing"] = True
    body = _encoded(event, data)
    while len(body) > BODY_MAX_BYTES and data["comment"]:
        data["comment_cut"] = True
        data["comment"] = data["comment"][: len(data["comment"]) * 9 // 10]
        body = _encoded(event, data)
    return body


def _encoded(event: FollowupEvent, data: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"type": event.kind, "timestamp": iso(event.at_ms), "data": data})


def iso(at_ms: int) -> str:
    """ISO 8601, UTC, milliseconds: `2026-11-20T14:59:00.000Z`."""
    moment = datetime.fromtimestamp(at_ms // 1_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1_000:03d}Z"

"""The signed webhook: one POST a raised case, or what else it asks for, as Standard Webhooks has it
(standardwebhooks.com).

The secret's owner verifies `webhook-signature` over `webhook-id.webhook-timestamp.body`. The id is the event's, the
same at each attempt; the timestamp is the attempt's. While a secret is changed both sign, one signature each.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
import msgspec
from standardwebhooks import Webhook

from schemas.followups import Case, FollowupEvent
from services.alerts.alarms.records import Note, NoteKind
from services.alerts.channels import Message
from services.alerts.grouping import ASKING
from services.alerts.retries import Outcome
from services.alerts.targets.posting import TIMEOUT_S, post
from services.alerts.targets.wording import iso

BODY_MAX_BYTES: Final = 20_000
RAISED: Final = "followup.raised"
EVENTS: Final = (RAISED, *sorted(ASKING))  # what one may ask for
_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 # the prefix is public
SECRET_FORM: Final = "whsec_ and the base64 of 24 to 64 random bytes"  # noqa: S105 # says what one looks like


def is_secret(secret: str) -> bool:
    """Whether a secret has the form of Standard Webhooks."""
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return False
    return secret.startswith(_SECRET_PREFIX) and 24 <= len(key) <= 64


class SignedWebhook:
    """A channel of kind `webhook`. `session` belongs to the caller, so that connections outlive a message.

    The first of `secrets` is the present one; any other still signs too, until its owner has moved on.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *secrets: str,
        name: str = "webhook",
        timeout_s: float = TIMEOUT_S,
        events: Collection[str] = (RAISED,),
    ) -> None:
        self.name = name
        self._session = session
        self._url = url
        self._signers: Sequence[Webhook] = [Webhook(secret) for secret in secrets]
        self._timeout_s = timeout_s
        self._events = frozenset(events)

    def wants(self, event: FollowupEvent) -> bool:
        return event.kind in self._events

    async def send(self, message: Message) -> Outcome:
        return await self._post(message.id, body_of(message))

    def says(self, kind: NoteKind) -> bool:
        return True

    async def say(self, note: Note) -> Outcome:
        return await self._post(note.note_id, _fitting(note.kind, note.at_ms, dict(note.data)))

    async def _post(self, webhook_id: str, body: bytes) -> Outcome:
        now = datetime.now(UTC)
        headers = {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signer.sign(webhook_id, now, body.decode()) for signer in self._signers),
        }
        return await post(self._session, self._url, body, headers, self._timeout_s)


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
            "callback_at": _time(case.callback_ms),
        },
    }
    if event.kind in ASKING:
        data["reask"] = {"resolved_at": _time(case.resolved_ms), **_pair(case)}
    if message.missing is not None:
        data["text_missing"] = True
    return _fitting(event.kind, event.at_ms, data)


def _pair(case: Case) -> dict[str, Any]:
    """What the customer answered when they were asked again; nothing before that."""
    if case.reask is None:
        return {}
    found = case.reask
    return {"response_id": found.response_id, "score": found.score, "answered_at": iso(found.answered_ms)}


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else iso(at_ms)


def _fitting(kind: str, at_ms: int, data: dict[str, Any]) -> bytes:
    """The body, with as much of the comment as fits."""

    def encoded() -> bytes:
        return msgspec.json.encode({"type": kind, "timestamp": iso(at_ms), "data": data})

    body = encoded()
    while len(body) > BODY_MAX_BYTES and data.get("comment"):
        data |= {"comment_cut": True, "comment": data["comment"][: len(data["comment"]) * 9 // 10]}
        body = encoded()
    return body

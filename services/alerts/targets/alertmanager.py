"""Alertmanager: each open case is an alert, posted to `/api/v2/alerts`, firing until the case is closed.

Labels say which alert it is and never change over its life; what changes, and what a person wrote, are annotations.
Alertmanager resolves by itself what it has not heard of for its `resolve_timeout`, so `endsAt` is always sent: the
resolution deadline while the case is open, the moment it closed afterwards.
"""

from __future__ import annotations

from typing import Any, Final

import aiohttp
import msgspec

from schemas.followups import FollowupEvent
from services.alerts.alarms.records import Note, NoteKind
from services.alerts.channels import Message
from services.alerts.grouping import ASKING, CLOSED
from services.alerts.retries import Outcome
from services.alerts.targets import notes, wording
from services.alerts.targets.posting import TIMEOUT_S, post

PATH: Final = "/api/v2/alerts"
ALERT_NAME: Final = "PulseFollowup"
_DAY_MS: Final = 86_400_000


class Alertmanager:
    """A channel of kind `alertmanager`. `labels` are added to each alert; `token` goes as a bearer token."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        name: str,
        labels: dict[str, str] | None = None,
        token: str = "",
        board: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.name = name
        self._session = session
        self._url = url.rstrip("/") + PATH
        self._labels = labels or {}
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._board = board
        self._timeout_s = timeout_s

    def wants(self, event: FollowupEvent) -> bool:
        if event.kind in ASKING:
            return False
        return event.kind in ("followup.raised", "followup.reopened") or event.case.state in CLOSED

    async def send(self, message: Message) -> Outcome:
        return await post(self._session, self._url, self.body_of(message), self._headers, self._timeout_s)

    def says(self, kind: NoteKind) -> bool:
        return kind.startswith("alarm.")

    async def say(self, note: Note) -> Outcome:
        body = notes.alertmanager(note, self._labels, self._board)
        return await post(self._session, self._url, body, self._headers, self._timeout_s)

    def body_of(self, message: Message) -> bytes:
        """A list of one alert. An erased or withdrawn case is told to end, without a word of what it was."""
        event, case = message.event, message.event.case
        (told, *_) = message.told
        closed = case.state in CLOSED
        annotations = {"summary": wording.headline(message), "description": wording.deadline(told)}
        if not closed:
            annotations |= {"comment": wording.comment(told) or "", **dict(wording.contact(told))}
        ends_ms = event.at_ms if closed else max(case.resolve_due_ms, event.at_ms + _DAY_MS)
        alert: dict[str, Any] = {
            "labels": {**self._labels, "alertname": ALERT_NAME, "team": case.team, "case": case.case_id},
            "annotations": {key.replace("-", "_").lower(): value for key, value in annotations.items() if value},
            "startsAt": wording.iso(case.raised_ms),
            "endsAt": wording.iso(ends_ms),
        }
        if self._board:
            alert["generatorURL"] = self._board
        return msgspec.json.encode([alert])

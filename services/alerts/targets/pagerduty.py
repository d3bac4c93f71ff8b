"""PagerDuty: Events API v2. A case is one incident, by `dedup_key`; what happens to the case happens to the incident.

| the case is | event_action |
| --- | --- |
| open (raised, reopened) | trigger |
| acknowledged, contacted, snoozed | acknowledge |
| resolved, rescored, withdrawn, joined | resolve |

Source: developer.pagerduty.com, "Events API v2": 202 accepted, 400 not to be repeated, 429 and 5xx later.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, Literal

import aiohttp
import msgspec

from schemas.followups import FollowupEvent, State
from services.alerts.alarms.records import Note, NoteKind
from services.alerts.channels import Message
from services.alerts.retries import MINUTE_MS, Outcome
from services.alerts.targets import notes, wording
from services.alerts.targets.posting import TIMEOUT_S, post

URL: Final = "https://events.pagerduty.com/v2/enqueue"
Action = Literal["trigger", "acknowledge", "resolve"]
Severity = Literal["critical", "error", "warning", "info"]
SUMMARY_MAX: Final = 1_024
ACTIONS: Final[dict[State, Action]] = {
    "open": "trigger",
    "acknowledged": "acknowledge",
    "contacted": "acknowledge",
    "snoozed": "acknowledge",
    "resolved": "resolve",
    "rescored": "resolve",
    "withdrawn": "resolve",
    "joined": "resolve",
}
# What brings a case from one of these states to another, or should reach its incident; a note, say, does not.
_MOVES: Final = frozenset(
    {
        *("followup.raised", "followup.reopened", "followup.woke"),
        *("followup.breached", "followup.escalated"),
        *("followup.acknowledged", "followup.contacted", "followup.snoozed"),
        *("followup.resolved", "followup.rescored", "followup.withdrawn", "followup.joined"),
    }
)


class PagerDuty:
    """A channel of kind `pagerduty`: one integration (routing) key."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        routing_key: str,
        *,
        name: str,
        url: str = URL,
        severity: Severity = "error",
        board: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.name = name
        self._session = session
        self._key = routing_key
        self._url = url
        self._severity = severity
        self._board = board
        self._timeout_s = timeout_s

    def wants(self, event: FollowupEvent) -> bool:
        return event.kind in _MOVES

    async def send(self, message: Message) -> Outcome:
        return await self._post(self.body_of(message))

    def says(self, kind: NoteKind) -> bool:
        return kind.startswith("alarm.")

    async def say(self, note: Note) -> Outcome:
        return await self._post(notes.pagerduty(note, self._key, self._severity, self._board))

    async def _post(self, body: bytes) -> Outcome:
        outcome = await post(self._session, self._url, body, {}, self._timeout_s)
        if outcome.status == "400":
            return replace(outcome, verdict="invalid")
        if outcome.status == "429":
            # The limit is one of a minute: less than that would only be refused again.
            return replace(
                outcome, wait_ms=max(outcome.wait_ms, MINUTE_MS), pause_ms=max(outcome.pause_ms, MINUTE_MS // 2)
            )
        return outcome

    def body_of(self, message: Message) -> bytes:
        """The event. A payload goes with a trigger only: PagerDuty wants none with the others."""
        event, case = message.event, message.event.case
        body: dict[str, Any] = {
            "routing_key": self._key,
            "event_action": ACTIONS[case.state],
            "dedup_key": message.incident or case.case_id,
        }
        if body["event_action"] != "trigger":
            return msgspec.json.encode(body)
        details: dict[str, Any] = {"team": case.team, "cases": message.count}
        if message.count > 1:
            details["shown"] = [wording.one_line(told) for told in message.told]
        else:
            (told,) = message.told
            details |= {"case": case.case_id, "score": case.score, "deadline": wording.deadline(told)}
            details |= {"comment": wording.comment(told)} | dict(wording.contact(told))
        body |= {
            "payload": {
                "summary": f"{wording.headline(message)}, {wording.deadline(message.told[0])}"[:SUMMARY_MAX],
                "source": case.team,
                "severity": self._severity,
                "timestamp": wording.iso(event.at_ms),
                "component": case.survey or "nps",
                "group": case.team,
                "class": "detractor",
                "custom_details": details,
            },
            "client": "Pulse",
        }
        links = [{"href": link.url, "text": link.label} for link in message.links]
        if self._board:
            body["client_url"] = self._board
            links.append({"href": self._board, "text": "The board"})
        if links:
            body["links"] = links
        return msgspec.json.encode(body)

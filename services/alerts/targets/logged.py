"""The log as a channel: one line an event, for whoever ships logs anyway. No text of a person stands in it."""

from __future__ import annotations

import structlog

from schemas.followups import FollowupEvent
from services.alerts.alarms.records import Note, NoteKind
from services.alerts.channels import Message
from services.alerts.retries import Outcome

log = structlog.get_logger()


class Logged:
    """A channel of kind `log`."""

    def __init__(self, *, name: str) -> None:
        self.name = name

    def wants(self, event: FollowupEvent) -> bool:
        return True

    def says(self, kind: NoteKind) -> bool:
        return True

    async def say(self, note: Note) -> Outcome:
        log.info("note", target=self.name, note_id=note.note_id, kind=note.kind, team=note.team, headline=note.headline)
        return Outcome("delivered", "logged")

    async def send(self, message: Message) -> Outcome:
        case = message.event.case
        log.info(
            "followup",
            target=self.name,
            event_id=message.id,
            kind=message.event.kind,
            team=case.team,
            case_id=case.case_id,
            state=case.state,
            score=case.score,
        )
        return Outcome("delivered", "logged")

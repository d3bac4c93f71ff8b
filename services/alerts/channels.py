"""The seam: what a channel is. `webhook.py` is the first one; another is a class with these three members.

A channel gets each event it wants at least once, with one stable id. Retries, storage and order are not its concern.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from schemas.followups import FollowupEvent
from services.alerts.people import Absence, Text
from services.alerts.retries import Outcome


@dataclass(frozen=True, slots=True)
class Message:
    """One event to tell people about. `text` is None where the case has none, or where `missing` says why not."""

    event: FollowupEvent
    text: Text | None = None
    missing: Absence | None = None


class Channel(Protocol):
    """One way to tell people. `name` keys what is stored: it must stay the same over restarts."""

    @property
    def name(self) -> str: ...

    def wants(self, event: FollowupEvent) -> bool:
        """Whether this channel tells about such an event. Must give the same answer each time."""
        ...

    async def send(self, message: Message) -> Outcome:
        """One attempt, within 15 s. Whatever the target does is an outcome, never an exception."""
        ...

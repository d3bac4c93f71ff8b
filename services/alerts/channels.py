"""The seam: what a channel is. `targets/` holds one file a kind; another is a class with these three members.

A channel gets each event it wants at least once, with one stable id. Retries, storage and order are not its concern.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from schemas.followups import FollowupEvent
from services.alerts.people import Absence, Text
from services.alerts.retries import Outcome
from services.alerts.taps import Link


@dataclass(frozen=True, slots=True)
class Told:
    """One event and the text of its answer, which is None where the case has none, or where `missing` says why not."""

    event: FollowupEvent
    text: Text | None = None
    missing: Absence | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What to tell people: one event, or the events of a group, of which `more` is what is shown beside the first.

    `count` is how many there are, shown or not. `given_id` is the id of a group; one event goes under its own.
    `incident` names what the target keeps open (a group's, where the case was told in one); empty: the case itself.
    `links` do one thing each with the case, for people. `repeated`: what was told before, and is still open.
    """

    event: FollowupEvent
    text: Text | None = None
    missing: Absence | None = None
    more: tuple[Told, ...] = ()
    count: int = 1
    given_id: str = ""
    incident: str = ""
    links: tuple[Link, ...] = ()
    repeated: bool = False

    @property
    def id(self) -> str:
        """The same at each attempt."""
        return self.given_id or self.event.event_id

    @property
    def told(self) -> tuple[Told, ...]:
        """What is shown, at least one."""
        return (Told(self.event, self.text, self.missing), *self.more)


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

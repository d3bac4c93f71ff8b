"""What the door asks of the log. `publisher.py` keeps this promise with Kafka; tests have a fake that can fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from schemas.responses import Receipt


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One checked record on its way to `feedback.v1`, and one for `people.v1` if there is text to keep.

    Both go to `partition`, the one of the team's key. `person_key` and `person` are both None or both set. What goes
    to every partition has no `team`, and no `response_id` either: it is empty.
    """

    response_id: str
    team: bytes | None
    partition: int
    record: bytes
    person_key: bytes | None = None
    person: bytes | None = None


class NotHeld(Exception):
    """The record is not known to be held. Sending it again with the same id is safe. `reason` is for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Publisher(Protocol):
    """Where answers and commands go."""

    def refusal(self) -> str | None:
        """Why nothing can be taken right now; None when it can. Cheap: asked before every answer."""
        ...

    def unready(self) -> str | None:
        """Why this door should get no new callers, though it may still take answers; None when it should."""
        ...

    async def publish(self, outgoing: Outgoing) -> Receipt:
        """Write both records and wait until all in-sync replicas have them.

        Raises:  NotHeld when one of them was refused or not acknowledged in time. It may stand in the log yet.
        """
        ...

    async def publish_all(self, outgoing: Sequence[Outgoing]) -> list[Receipt | NotHeld]:
        """The same for many, in this order: no record is queued before those ahead of it. One outcome each."""
        ...

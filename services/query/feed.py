"""Live events in memory: one short ring that every stream reads at its own pace. No Kafka, no HTTP.

A stream holds a number, not a queue, so a slow reader costs nothing: when the ring has moved past it, it is told to
read everything again (`reset`). Of several scores of one team that wait, only the newest is worth sending.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, Literal

EventName = Literal["score", "followup", "correction"]
KEEP: Final = 4_096


@dataclass(frozen=True, slots=True)
class Event:
    """One event, its data encoded once for all streams. `at_s` is when it came, on the loop's clock."""

    number: int
    name: EventName
    team: str
    data: bytes
    at_s: float


class Feed:
    """The newest events of this process. Ids are `epoch-number`: another process's id is known to be unknown."""

    def __init__(self, keep: int = KEEP, epoch: str | None = None) -> None:
        self._epoch = epoch or secrets.token_hex(4)
        self._ring: deque[Event] = deque(maxlen=keep)
        self._next = 1
        self._wake = asyncio.Event()
        self.closed = False
        self.connected = False

    @property
    def head(self) -> int:
        """Number of the newest event; 0 before the first."""
        return self._next - 1

    def publish(self, name: EventName, team: str, data: bytes, at_s: float) -> None:
        """Add one event and wake the streams."""
        self._ring.append(Event(self._next, name, team, data, at_s))
        self._next += 1
        self._stir()

    def set_connected(self, connected: bool) -> None:
        """Say whether events flow, so that streams can tell."""
        if connected != self.connected:
            self.connected = connected
            self._stir()

    def close(self) -> None:
        """End every stream."""
        self.closed = True
        self._stir()

    def since(self, number: int) -> list[Event] | None:
        """Events after `number`, oldest first; None when some of them are gone already."""
        missed = self.head - number
        if missed <= 0:
            return []
        if missed > len(self._ring):
            return None
        return [self._ring[i] for i in range(len(self._ring) - missed, len(self._ring))]

    def number_before(self, at_s: float) -> int:
        """Number of the newest event that came before `at_s`, as far as the ring still tells."""
        newer = sum(1 for event in self._ring if event.at_s >= at_s)
        return self.head - newer

    def event_id(self, number: int) -> str:
        """The id a client may come back with."""
        return f"{self._epoch}-{number}"

    def resume(self, event_id: str | None) -> int | None:
        """The number an id names; the head for no id; None for an id of another process or of no kind."""
        if not event_id:
            return self.head
        epoch, _, number = event_id.partition("-")
        if epoch != self._epoch or not number.isascii() or not number.isdigit() or len(number) > 15:
            return None
        return int(number) if int(number) <= self.head else None

    async def changed(self, within_s: float) -> None:
        """Return when something was published, the connection changed or the feed was closed; or after a while."""
        wake = self._wake
        try:
            async with asyncio.timeout(within_s):
                await wake.wait()
        except TimeoutError:
            return

    def _stir(self) -> None:
        wake, self._wake = self._wake, asyncio.Event()
        wake.set()


def worth_sending(events: Iterable[Event], teams: Collection[str] | None) -> list[Event]:
    """Events of `teams` (None: all), in order, without scores that a newer one of the same team replaces."""
    chosen = [event for event in events if teams is None or event.team in teams]
    newest = {event.team: event.number for event in chosen if event.name == "score"}
    return [event for event in chosen if event.name != "score" or newest[event.team] == event.number]

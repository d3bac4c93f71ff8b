"""A delivery: one message to one channel, about one event or a group of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from schemas.followups import FollowupEvent

State = Literal["pending", "delivered", "given_up"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message to be told through one channel: `event`, and `more` of its group; `count` of them in all.

    `due_ms` 0: at once. `repeated`: it was told before, and nobody has acknowledged it since.
    """

    channel: str
    event: FollowupEvent
    attempts: int = 0
    message_id: str = ""
    more: tuple[FollowupEvent, ...] = ()
    count: int = 1
    due_ms: int = 0
    repeated: bool = False

    @property
    def key(self) -> str:
        return self.message_id or self.event.event_id


@dataclass(frozen=True, slots=True)
class Row:
    """One event on one channel as `/v1/deliveries` shows it. Times are milliseconds UTC."""

    event_id: str
    kind: str
    case_id: str
    channel: str
    state: State
    attempts: int
    last_status: str | None
    at_ms: int
    next_ms: int | None
    settled_ms: int | None
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt as it went."""

    message_id: str
    channel: str
    at_ms: int
    number: int
    verdict: str
    status: str
    took_ms: int
    events: int


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing is told of a team (None: any) to a channel (None: any) until `until_ms`; it is told then."""

    id: str
    team: str | None
    channel: str | None
    until_ms: int
    made_ms: int
    reason: str

    def holds(self, team: str, channel: str, now_ms: int) -> bool:
        """Whether it holds back what is told of a team to a channel now."""
        return now_ms < self.until_ms and self.team in (None, team) and self.channel in (None, channel)


def silent_until(silences: Iterable[Silence], team: str, channel: str, now_ms: int) -> int:
    """Until when silences hold back what is told of a team to a channel, milliseconds UTC; 0: none does."""
    return max((one.until_ms for one in silences if one.holds(team, channel, now_ms)), default=0)

"""A delivery: one event to be told through one channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schemas.followups import FollowupEvent

State = Literal["pending", "delivered", "given_up"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event to be told through one channel."""

    channel: str
    event: FollowupEvent
    attempts: int = 0

    @property
    def key(self) -> str:
        return self.event.event_id


@dataclass(frozen=True, slots=True)
class Row:
    """A delivery as `/v1/deliveries` shows it. Times are milliseconds UTC."""

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

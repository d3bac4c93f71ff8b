"""How a storm becomes a few messages. Pure: times in, times out.

The first case of a quiet group goes at once (or after `wait_ms`). Those that come within `interval_ms` after a message
wait for its end and go together, with a count. A group is the cases of one team on one target, and one kind of event: a
deadline is not told late because a case began a minute ago. What tells how a case goes on (an acknowledgement, its end)
is never held back.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from schemas.followups import FollowupEvent, Kind, State

NEWS: Final = frozenset({"followup.raised", "followup.reopened"})  # a case begins
# What people are told: that, and what the clock says of a case nobody has taken.
TOLD: Final = NEWS | {"followup.reminder", "followup.breached", "followup.escalated"}
# For machines that ask customers: that one is to be asked again, and has answered.
ASKING: Final = frozenset({"followup.reask", "followup.reasked"})
CLOSED: Final[frozenset[State]] = frozenset({"resolved", "rescored", "withdrawn", "joined"})
NEWS_SQL: Final = ", ".join(f"'{kind}'" for kind in sorted(NEWS))
REPEATED: Final = "followup.repeated"  # no event of the log: a case that was told, told again
SHOWN: Final = 10  # cases of a group that a message shows; the rest it counts


@dataclass(frozen=True, slots=True)
class Grouping:
    """`wait_ms` before a group's first message, `interval_ms` between two of one group; `kinds`: which events.

    `repeat_ms`: after how long what is still open, and was acknowledged by nobody, is told again; 0: never.
    """

    wait_ms: int = 0
    interval_ms: int = 0
    kinds: frozenset[str] = TOLD
    repeat_ms: int = 0


@dataclass(frozen=True, slots=True)
class Rate:
    """What a target takes: `burst` at once, then one every `every_s`."""

    burst: int
    every_s: float


class Pace:
    """Keeps to a rate: `wait` returns when the next message may go."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._next_s = 0.0  # when the target would be idle if every message took `every_s`

    def taken(self, now_s: float) -> float:
        """Take the next place; seconds until it comes."""
        self._next_s = max(self._next_s, now_s) + self._rate.every_s
        return max(self._next_s - now_s - self._rate.burst * self._rate.every_s, 0.0)

    async def wait(self) -> None:
        """Wait for the next place."""
        await asyncio.sleep(self.taken(asyncio.get_running_loop().time()))


def is_news(event: FollowupEvent) -> bool:
    """Whether an event begins something: it need not wait for what came before it."""
    return event.kind in NEWS


def group_of(kind: Kind, team: str) -> str:
    """The key of an event's group among those of its target: cases that begin are one kind."""
    return team if kind in NEWS else f"{team}/{kind}"


def group_id(channel: str, event_ids: Sequence[str]) -> str:
    """The id of a message about these events, oldest first: of one, the event's own."""
    first = event_ids[0]
    return first if len(event_ids) == 1 else str(uuid.uuid5(uuid.UUID(first), f"group/{channel}"))

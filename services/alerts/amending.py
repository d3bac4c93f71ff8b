"""What is still to be told follows its case: nobody is told about an answer that was erased or withdrawn meanwhile.

| event | what is pending of its case |
| --- | --- |
| `followup.answer_erased` | tells the case as the erasure left it |
| `followup.reask_forgotten` | the same: what the customer answered when asked again is gone |
| `followup.withdrawn` | is given up as `withdrawn`, and its event goes |
| `followup.reopened` | what was given up as `withdrawn` is pending again |

Each does nothing when it comes again, also not when a whole log does (`pulse repartition`): an event that is older than
the newest one applied to its case is passed over. No text of a person is stored here; what goes is ids, the score and
the context.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec import structs

from schemas.followups import FollowupEvent, Kind
from services.alerts.deliveries import Delivery
from services.alerts.grouping import NEWS_SQL

WITHDRAWN: Final = "withdrawn"
_REWRITING: Final[frozenset[Kind]] = frozenset({"followup.answer_erased", "followup.reask_forgotten"})
AMENDING: Final[frozenset[Kind]] = _REWRITING | {"followup.withdrawn", "followup.reopened"}


@dataclass(frozen=True, slots=True)
class Amended:
    """What changed: `withdrawn` names the channel of each delivery given up, `revived` are pending again."""

    rewritten: int = 0
    withdrawn: list[str] = field(default_factory=list)
    revived: list[Delivery] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.rewritten or self.withdrawn or self.revived)


def amend(file: sqlite3.Connection, event: FollowupEvent, now_ms: int) -> Amended:
    """Apply one event of a case to its deliveries; runs within a transaction."""
    newest = file.execute("SELECT n FROM amended WHERE case_id = ?", (event.case.case_id,)).fetchone()
    if newest is not None and event.case.n < newest[0]:
        return Amended()
    file.execute(
        "INSERT INTO amended (case_id, n, at_ms) VALUES (?, ?, ?)"
        " ON CONFLICT (case_id) DO UPDATE SET n = excluded.n, at_ms = excluded.at_ms",
        (event.case.case_id, event.case.n, event.at_ms),
    )
    if event.kind == "followup.withdrawn":
        return Amended(withdrawn=_withdraw(file, event, now_ms))
    if event.kind == "followup.reopened":
        return Amended(revived=_revive(file, event, now_ms))
    if event.kind in _REWRITING:
        return Amended(rewritten=_rewrite(file, event))
    return Amended()


def _withdraw(file: sqlite3.Connection, event: FollowupEvent, now_ms: int) -> list[str]:
    # Before any change: a cursor must not run over rows that it moves.
    pending = file.execute(
        f"SELECT channel FROM deliveries WHERE case_id = ? AND state = 'pending' AND kind IN ({NEWS_SQL})",  # noqa: S608
        (event.case.case_id,),
    ).fetchall()
    file.execute(
        "UPDATE deliveries SET state = 'given_up', last_status = ?, next_ms = NULL, settled_ms = ?"  # noqa: S608
        f" WHERE case_id = ? AND state = 'pending' AND kind IN ({NEWS_SQL})",
        (WITHDRAWN, now_ms, event.case.case_id),
    )
    # What was given up for another reason is not told again either, by anybody's wish. That it ended is still told.
    file.execute("UPDATE deliveries SET event = NULL WHERE case_id = ? AND state = 'given_up'", (event.case.case_id,))
    return [channel for (channel,) in pending]


def _revive(file: sqlite3.Connection, event: FollowupEvent, now_ms: int) -> list[Delivery]:
    """Told under its first id, so that a target which did get it drops it."""
    found = file.execute(
        "SELECT event_id, channel, kind, at_ms, attempts FROM deliveries"
        " WHERE case_id = ? AND state = 'given_up' AND last_status = ?",
        (event.case.case_id, WITHDRAWN),
    ).fetchall()
    revived = [
        Delivery(channel, FollowupEvent(event_id, kind, at_ms, event.case, event.case.response_id), attempts)
        for event_id, channel, kind, at_ms, attempts in found
    ]
    for delivery in revived:
        file.execute(
            "UPDATE deliveries SET state = 'pending', last_status = NULL, next_ms = ?, settled_ms = NULL, event = ?"
            " WHERE event_id = ? AND channel = ?",
            (now_ms, msgspec.json.encode(delivery.event), delivery.key, delivery.channel),
        )
    return revived


def _rewrite(file: sqlite3.Connection, event: FollowupEvent) -> int:
    rows = file.execute(
        "SELECT event_id, channel, event FROM deliveries WHERE case_id = ? AND event IS NOT NULL", (event.case.case_id,)
    ).fetchall()
    rewritten = 0
    for event_id, channel, raw in rows:
        told = msgspec.json.decode(raw, type=FollowupEvent)
        if told.case.n < event.case.n:
            raw = msgspec.json.encode(structs.replace(told, case=event.case))
            file.execute("UPDATE deliveries SET event = ? WHERE event_id = ? AND channel = ?", (raw, event_id, channel))
            rewritten += 1
    return rewritten

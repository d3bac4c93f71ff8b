"""Events, texts and a people table for the tests of alerts."""

from __future__ import annotations

import asyncio
import base64
import inspect
import time
import uuid
from collections.abc import Callable
from typing import Any

from schemas.followups import Case, FollowupEvent, Kind
from services.alerts.people import Absence, Text

SECRET = "whsec_" + base64.b64encode(b"an alert's secret of 32 bytes ok").decode()


def now_ms() -> int:
    return int(time.time() * 1_000)


def raised(
    number: int = 0,
    *,
    at_ms: int | None = None,
    team: str = "support",
    kind: Kind = "followup.raised",
    **case: Any,
) -> FollowupEvent:
    """An event, `followup.raised` unless said otherwise, whose ids follow from `team`, `number` and `n`."""
    at_ms = now_ms() if at_ms is None else at_ms
    response_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{team}/{number}"))
    case_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{team}{response_id}"))
    fields: dict[str, Any] = {
        "case_id": case_id,
        "team": team,
        "response_id": response_id,
        "score": 3,
        "state": "open",
        "n": 1,
        "raised_ms": at_ms,
        "changed_ms": at_ms,
        "contact_due_ms": at_ms + 36_000_000,
        "resolve_due_ms": at_ms + 259_200_000,
        "answers": (response_id,),
        "version": 7,
        "medium": "phone",
    }
    fields |= case
    event_id = str(uuid.uuid5(uuid.UUID(case_id), str(fields["n"])))
    return FollowupEvent(event_id, kind, at_ms, Case(**fields), response_id)


class FakeTable:
    """Plays ClickHouse: what `texts` holds by response_id; counts how often it is asked."""

    def __init__(self, texts: dict[str, Text] | None = None) -> None:
        self.texts = texts or {}
        self.asked = 0

    async def read(self, team: str, response_id: str) -> Text | Absence:
        self.asked += 1
        return self.texts.get(response_id, Absence.NOT_FOUND)


async def until(condition: Callable[[], Any], within_s: float = 10.0) -> None:
    """Wait for a condition, which may be a coroutine function, with a deadline."""
    async with asyncio.timeout(within_s):
        while True:
            held = condition()
            if await held if inspect.isawaitable(held) else held:
                return
            await asyncio.sleep(0.005)

"""Stand-ins for what the routes of acts work with: a log that takes them or not, a store that has cases or none."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from schemas.feedback import Act
from schemas.followups import Case, FollowupEvent, Refused
from services.common.problems import Unavailable
from services.query.outcomes import Outcomes
from services.query.store import Store
from tests.unit.query.samples import NOON_MS, settings, uid

Row = TypeVar("Row", bound=msgspec.Struct)
CASE = Case(
    case_id=uid(7),
    team="alpha",
    response_id=uid(70),
    score=2,
    state="open",
    n=3,
    raised_ms=NOON_MS,
    changed_ms=NOON_MS,
    contact_due_ms=NOON_MS + 36_000_000,
    resolve_due_ms=NOON_MS + 259_200_000,
    answers=(uid(70),),
    version=41,
    respondent="anna",
)


class FakeActs:
    """Takes acts while it is `up`. `answer`: what becomes of each, told at once; None: nothing is heard of it."""

    def __init__(self, outcomes: Outcomes) -> None:
        self.outcomes = outcomes
        self.up = True
        self.published: list[tuple[str, Act, str | None]] = []
        self.answer: Case | Refused | None = None

    async def publish(self, team: str, act: Act, text: str | None = None) -> None:
        if not self.up:
            raise Unavailable("the log does not answer", retry_after_s=1)
        self.published.append((team, act, text))
        if isinstance(self.answer, Case):
            self.tell(FollowupEvent(uid(99), "followup.acknowledged", NOON_MS, self.answer, act=act))
        elif self.answer is not None:
            self.tell(msgspec.structs.replace(self.answer, act=act))

    def tell(self, outcome: FollowupEvent | Refused) -> None:
        """The topic says so."""
        self.outcomes.take(msgspec.json.encode(outcome))

    async def close(self) -> None:
        """Nothing is open."""


class FakeStore(Store):
    """Gives rows by the name of a query; none for any other. An `outage` fails each."""

    def __init__(self) -> None:
        super().__init__(settings("http://127.0.0.1:1/pulse").clickhouse)
        self.found: dict[str, list[dict[str, Any]]] = {}
        self.outage = False

    async def rows(self, name: str, sql: str, row: type[Row], **bound: Any) -> list[Row]:
        if self.outage:
            raise Unavailable("the store is away", retry_after_s=2)
        return [msgspec.convert(one, row) for one in self.found.get(name, [])]

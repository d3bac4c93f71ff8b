"""Whether customers were won back: what those say who were asked again about a case, beside what they said before."""

from __future__ import annotations

from typing import Final

import msgspec

from services.query.store import Store

# When somebody was asked: when it fell due, which the case tells as a change of its own; else when they answered.
_PAIRS: Final = """
SELECT score AS before, reask_score AS after, count() AS cases
FROM
(
    SELECT score, reask_score,
        if(reask_due_at <= changed_at, reask_due_at, reask_answered_at) AS asked_at
    FROM followups FINAL
    WHERE team = {team:String}
)
WHERE asked_at > fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
    AND asked_at <= fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
GROUP BY before, after
ORDER BY before, after"""


class Pair(msgspec.Struct, frozen=True):
    """So many cases went from one score to another; `after` is None where nobody has answered."""

    before: int
    after: int | None
    cases: int


async def pairs(store: Store, team: str, from_ms: int, to_ms: int) -> list[Pair]:
    """Every customer of a team who was asked again after `from_ms` and up to `to_ms`, by the two scores."""
    return await store.rows("recovery", _PAIRS, Pair, team=team, from_ms=from_ms, to_ms=to_ms)

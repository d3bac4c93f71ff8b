"""How far the log has been worked off, and waiting for it: reading one's own write."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

import msgspec

from schemas.generations import FIRST, Generation
from schemas.topics import FOLLOWUPS, TEAM_CHANGES
from services.common.problems import Unavailable
from services.query.params import invalid
from services.query.store import Store
from services.query.views import PartitionView

POLL_S: Final = 0.025
WAIT_S: Final = 5.0

# What is stored of a partition is what both topics have come to; one of which nothing is stored yet counts as 0.
# Offsets of another generation of the log say nothing of this one.
_SUNK: Final = """
SELECT partition, if(uniqExact(topic) = {topics:UInt8}, min(through), 0) AS through
FROM positions FINAL
WHERE topic IN {names:Array(String)} AND bitShiftRight(version, 48) = {generation:UInt64}
GROUP BY partition"""


class _Through(msgspec.Struct):
    partition: int
    through: int


class Sunk:
    """Offsets below which everything can be read. Callers that wait at the same time share one query."""

    def __init__(self, store: Store, generation: Generation = FIRST) -> None:
        self._generation = generation
        self._store = store
        self._reading: asyncio.Task[list[int]] | None = None

    async def offsets(self) -> list[int]:
        """By partition. Raises Unavailable."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(_looked_at)
        # A caller that goes away must not cancel what the others wait for.
        return await asyncio.shield(self._reading)

    async def reach(self, receipts: Iterable[tuple[int, int]]) -> None:
        """Return once every receipt's record can be read. Raises Unavailable after 5 s, or when the store is out, and
        Invalid for a partition that the log does not have."""
        wanted: dict[int, int] = {}
        for partition, offset in receipts:
            if partition not in self._generation.numbers():
                raise invalid("at_least", f"partition must be 0..{self._generation.partitions - 1}{self._which()}")
            wanted[partition] = max(offset, wanted.get(partition, -1))
        if not wanted:
            return
        deadline = asyncio.get_running_loop().time() + WAIT_S
        while True:
            sunk = await self.offsets()
            if all(sunk[partition] > offset for partition, offset in wanted.items()):
                return
            if asyncio.get_running_loop().time() >= deadline:
                behind = {f"{p}": sunk[p] for p, offset in wanted.items() if sunk[p] <= offset}
                raise Unavailable(
                    f"at_least: not everything could be read within {WAIT_S:g} s{self._which()}",
                    retry_after_s=1,
                    sunk=behind,
                )
            await asyncio.sleep(POLL_S)

    def _which(self) -> str:
        """What to add where a receipt may be one of an earlier generation: it counts places that are no more."""
        number = self._generation.number
        return f"; this is generation {number} of the log, and holds all that an earlier one did" if number > 1 else ""

    async def _read(self) -> list[int]:
        names = [TEAM_CHANGES, FOLLOWUPS]
        bound = {"names": names, "topics": len(names), "generation": self._generation.number}
        rows = await self._store.rows("sunk", _SUNK, _Through, **bound)
        through = {row.partition: row.through for row in rows}
        return [through.get(partition, 0) for partition in self._generation.numbers()]


def _looked_at(task: asyncio.Task[list[int]]) -> None:
    """Every caller may have gone by the time a read fails; asyncio would call that a forgotten error."""
    if not task.cancelled():
        task.exception()


def partition_views(ends: list[int], folded: list[int], sunk: list[int]) -> list[PartitionView]:
    """One view a partition. `folded` and `sunk` were read before or after `ends`, so neither may pass it."""
    return [
        PartitionView(partition=partition, end=end, folded=min(end, folded[partition]), sunk=min(end, sunk[partition]))
        for partition, end in enumerate(ends)
    ]

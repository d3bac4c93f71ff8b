"""Waiting until a receipt can be read."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec
import pytest

from schemas.generations import Generation
from schemas.topics import PARTITIONS
from services.common.problems import Invalid, Unavailable
from services.query import position
from services.query.position import Sunk, partition_views
from services.query.store import Store


class Stored:
    """Plays the store: what is sunk, how often it was asked, and whether it is there at all."""

    def __init__(self) -> None:
        self.through: dict[int, int] = {}
        self.asked = 0
        self.asked_thrice = asyncio.Event()
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def rows(self, _name: str, _sql: str, row: type[msgspec.Struct], **_: Any) -> list[Any]:
        self.asked += 1
        if self.asked == 3:
            self.asked_thrice.set()
        await self.gate.wait()
        if self.down:
            raise Unavailable("down", retry_after_s=1)
        return [row(partition, through) for partition, through in self.through.items()]

    @property
    def sunk(self) -> Sunk:
        return Sunk(cast(Store, self))


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(position, "WAIT_S", 0.2)
    monkeypatch.setattr(position, "POLL_S", 0.005)


async def test_nothing_to_wait_for_asks_nothing() -> None:
    stored = Stored()
    await stored.sunk.reach([])
    assert stored.asked == 0


async def test_a_receipt_is_reached_when_the_offset_after_it_is_sunk() -> None:
    stored = Stored()
    stored.through = {3: 7}
    waiting = asyncio.create_task(stored.sunk.reach([(3, 7), (3, 2)]))
    await asyncio.wait_for(stored.asked_thrice.wait(), 1)
    assert not waiting.done()
    stored.through = {3: 8}
    await asyncio.wait_for(waiting, 1)


async def test_a_receipt_that_is_not_reached_is_refused_and_says_how_far_it_is() -> None:
    stored = Stored()
    stored.through = {3: 7, 4: 9}
    with pytest.raises(Unavailable) as refused:
        await stored.sunk.reach([(3, 7), (4, 8)])
    assert refused.value.retry_after_s == 1
    assert refused.value.extra == {"sunk": {"3": 7}}


async def test_a_receipt_that_may_be_of_an_earlier_generation_is_refused_with_the_generation_named() -> None:
    second = Sunk(cast(Store, Stored()), Generation(2, 5))
    with pytest.raises(Unavailable) as waited:
        await second.reach([(4, 9)])
    assert "this is generation 2 of the log" in str(waited.value.detail)
    with pytest.raises(Invalid) as refused:
        await second.reach([(5, 9)])
    (error,) = refused.value.errors or []
    assert error["message"].startswith("partition must be 0..4; this is generation 2 of the log")


async def test_a_receipt_of_a_partition_that_the_log_does_not_have_is_refused_at_once() -> None:
    stored = Stored()
    with pytest.raises(Invalid) as refused:
        await stored.sunk.reach([(PARTITIONS, 0)])
    assert refused.value.errors == [{"path": "at_least", "message": "partition must be 0..15"}]
    assert stored.asked == 0


async def test_those_who_wait_together_share_a_query_and_one_leaving_disturbs_nobody() -> None:
    stored = Stored()
    stored.through = {0: 1}
    stored.gate.clear()
    sunk = stored.sunk
    waiting = [asyncio.create_task(sunk.reach([(0, 0)])) for _ in range(20)]
    await asyncio.sleep(0)
    waiting.pop().cancel()
    await asyncio.sleep(0)
    stored.gate.set()
    await asyncio.gather(*waiting)
    assert stored.asked == 1


async def test_an_outage_of_the_store_is_told_at_once() -> None:
    stored = Stored()
    stored.down = True
    with pytest.raises(Unavailable, match="down"):
        await stored.sunk.reach([(0, 0)])


def test_nothing_is_shown_beyond_the_end_of_the_log() -> None:
    views = partition_views([5] * PARTITIONS, [7] * PARTITIONS, [3] * PARTITIONS)
    assert len(views) == PARTITIONS
    assert (views[0].end, views[0].folded, views[0].sunk) == (5, 5, 3)

"""Text that was deleted leaves the disk of a quiet broker too.

Kafka compacts only segments that have ended, and ends one only with the next record: of a partition of `people.v1` to
which nobody writes any more, the last segment would stay as it is for ever. So, when a segment's time has passed since
the last thing was said there, one record more is appended, which says nothing (`schemas.people.roll_key`). One is
enough: whatever lies before it is in segments that have ended then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Final

from schemas.people import roll_key, rolled_after
from schemas.topics import PEOPLE
from stream.domain.messages import Message
from stream.domain.view import LogRecord
from stream.log import Log
from stream.outbox import Outbox

MARGIN_MS: Final = 10_000  # clocks of doors differ by up to 5 s
_LOOK_BACK: Final = 64  # offsets: the last ones may hold no record

SegmentMs = Callable[[], Awaitable[int]]


def to_append(last: LogRecord | None, now_ms: int, segment_ms: int) -> bytes | None:
    """The key of the record that ends a partition's segment; None when nothing has to be ended, or not yet.

    `last`: the partition's last record, None for none. `segment_ms`: after which a segment ends.
    """
    if last is None:
        return None
    after_ms = None if last.value is not None else rolled_after(last.key or b"")
    if after_ms is None:
        return roll_key(last.timestamp) if now_ms - last.timestamp > segment_ms + MARGIN_MS else None
    ended = last.timestamp - after_ms > segment_ms
    return roll_key(after_ms) if not ended and now_ms - after_ms > segment_ms + MARGIN_MS else None


class Rolling:
    """See the module. `people`: the topic, of which `committed` is not asked. Outages are waited out."""

    def __init__(self, people: Log, outbox: Outbox, segment_ms: SegmentMs) -> None:
        self._people = people
        self._outbox = outbox
        self._segment_ms = segment_ms

    async def look(self, partitions: Iterable[int], now_ms: int) -> list[int]:
        """End the segments of these partitions that are to be ended; gives the partitions they were of."""
        segment_ms = await self._segment_ms()
        done = []
        for number in partitions:
            key = to_append(await self._last(number), now_ms, segment_ms)
            if key is not None:
                await self._outbox.send(number, [Message(PEOPLE, key, None)])
                done.append(number)
        return done

    async def _last(self, partition: int) -> LogRecord | None:
        first, end = await self._people.bounds(partition)
        last = None
        async with aclosing(self._people.read(partition, max(first, end - _LOOK_BACK), end)) as batches:
            async for records in batches:
                last = records[-1]
        return last

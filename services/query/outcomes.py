"""What has become of commands, as `followups.v1` tells it: whoever waits for one is woken, the newest are remembered.

Every instance follows the topic, so it does not matter which one a command came through.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final, TypeVar

import msgspec

from schemas.followups import Case, FollowupEvent, FollowupRecord, Refused

KEEP: Final = 4_096  # outcomes, and cases: minutes of a busy day; what is older stands in ClickHouse

Outcome = FollowupEvent | Refused
K = TypeVar("K")
V = TypeVar("V")

_DECODER: Final[msgspec.json.Decoder[FollowupRecord]] = msgspec.json.Decoder(FollowupRecord)


class Outcomes:
    """See the module. Not for threads."""

    def __init__(self, keep: int = KEEP) -> None:
        self._keep = keep
        self._outcomes: OrderedDict[str, Outcome] = OrderedDict()
        self._cases: OrderedDict[str, Case] = OrderedDict()
        self._waiting: dict[str, list[asyncio.Event]] = {}

    def take(self, value: bytes) -> None:
        """One record of `followups.v1`. Raises msgspec.MsgspecError for one that cannot be read."""
        record = _DECODER.decode(value)
        if isinstance(record, FollowupEvent):
            case = record.case
            known = self._cases.get(case.case_id)
            if known is None or known.version <= case.version:
                self._remember(self._cases, case.case_id, case)
            if record.act is not None:
                self._tell(record.act.command_id, record)
        elif isinstance(record, Refused):
            self._tell(record.act.command_id, record)

    def case(self, case_id: str) -> Case | None:
        """A case as it was told of lately; None when it was not."""
        return self._cases.get(case_id)

    def of(self, command_id: str) -> Outcome | None:
        """What has become of a command lately; None when nothing is known of it."""
        return self._outcomes.get(command_id)

    async def wait(self, command_id: str, within_s: float) -> Outcome | None:
        """The outcome of a command, as soon as it is told; None when it is not told in time."""
        if self.of(command_id) is None:
            waiting = self._waiting.setdefault(command_id, [])
            told = asyncio.Event()
            waiting.append(told)
            try:
                async with asyncio.timeout(within_s):
                    await told.wait()
            except TimeoutError:
                pass
            finally:
                waiting.remove(told)
                if not waiting:
                    self._waiting.pop(command_id, None)
        return self.of(command_id)

    def _tell(self, command_id: str, outcome: Outcome) -> None:
        self._remember(self._outcomes, command_id, outcome)
        for told in self._waiting.get(command_id, ()):
            told.set()

    def _remember(self, kept: OrderedDict[K, V], key: K, value: V) -> None:
        kept[key] = value
        kept.move_to_end(key)
        if len(kept) > self._keep:
            kept.popitem(last=False)

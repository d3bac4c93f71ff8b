"""What became of commands that were sent from here, as `followups.v1` tells it: done, or refused and why."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from schemas.followups import FollowupEvent, Refused

DONE: Final = "done"
_KEPT: Final = 1_000


class Outcomes:
    """The newest thousand, in memory: somebody waits for a second, and the board has the rest."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, str] = OrderedDict()
        self._waiting: dict[str, asyncio.Event] = {}

    def note(self, record: FollowupEvent | Refused) -> None:
        """Take what a record says of a command, if it does."""
        if record.act is None:
            return
        self._known[record.act.command_id] = record.reason if isinstance(record, Refused) else DONE
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        if waiting := self._waiting.pop(record.act.command_id, None):
            waiting.set()

    async def wait(self, command_id: str, timeout_s: float) -> str | None:
        """`done`, or the reason of a refusal; None when nothing is known after `timeout_s`."""
        if command_id not in self._known:
            waiting = self._waiting.setdefault(command_id, asyncio.Event())
            try:
                async with asyncio.timeout(timeout_s):
                    await waiting.wait()
            except TimeoutError:
                self._waiting.pop(command_id, None)
        return self._known.get(command_id)

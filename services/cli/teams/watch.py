"""`pulse config apply FILE --watch`: applies the file again when it changes, and now and then, until it is stopped.

A broken edit is told and changes nothing: what was in force stays in force. Applying an unchanged file writes nothing,
but once a quarter the calendars reach further, and with that the records change: so they never run out.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from services.cli.codes import Fail
from services.cli.commanding import Doors
from services.cli.teams.apply import Outcome, put
from services.cli.teams.command import policies
from services.common.logs import configure

LOOK_S: Final = 2.0  # at the file
AGAIN_S: Final = 3_600.0  # after a success, though nothing has changed
RETRY_S: Final = 10.0  # after the instance could not take it

log = structlog.get_logger()


@dataclass
class Watched:
    """What is known of a file: what stood in it when it was last looked at, and when it is due to be applied."""

    file: Path
    seen: str | None = None
    due_s: float = 0.0

    async def look(self, now_s: float, send: Callable[[], Awaitable[list[Outcome]]]) -> None:
        """Apply the file if it has changed or is due."""
        found = _digest(self.file)
        if found == self.seen and now_s < self.due_s:
            return
        self.seen = found
        try:
            outcomes = await send()
        except Fail as fail:
            bad_file = "problems" in fail.document or found is None
            self.due_s = now_s + (AGAIN_S if bad_file else RETRY_S)
            problem = fail.message if bad_file else str(fail.document.get("error", fail.message))
            if bad_file:
                log.error("teams_refused", file=str(self.file), problem=problem)
            else:
                log.warning("teams_not_applied", file=str(self.file), problem=problem, again_in_s=RETRY_S)
            return
        self.due_s = now_s + AGAIN_S
        changed = [outcome.team for outcome in outcomes if outcome.position is not None]
        log.info("teams_applied", file=str(self.file), teams=len(outcomes), changed=changed)


def run(file: Path, where: Callable[[], Doors]) -> None:
    """`watch` in a process of its own, which says what it does in its log."""
    configure("teams", "json")
    asyncio.run(watch(file, where))


async def watch(file: Path, where: Callable[[], Doors]) -> None:
    """Until SIGTERM or SIGINT. `where` is asked each time: an instance may have moved."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    watched = Watched(file)

    async def send() -> list[Outcome]:
        return await put(where(), await asyncio.to_thread(policies, file))

    while not stopping.is_set():
        await watched.look(loop.time(), send)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), LOOK_S)


def _digest(file: Path) -> str | None:
    """What stands in a file, as a hash; None when it cannot be read."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return None

"""The one writer of a SQLite file: what is asked for while a transaction is on its way shares the next one.

A transaction costs its fsync and every page it touched, whether one row changes in it or a hundred: of 4 to 12 ms on a
cloud disk, a hundred a second leave no time for anything else. One thread, in the order asked.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeGuard, TypeVar

import structlog

from services.alerts import metrics
from services.alerts.store_file import PASSING

log = structlog.get_logger()
T = TypeVar("T")

# Work that shares one transaction: nobody's wait becomes long by much.
MOST_TOGETHER: Final = 64
_REST_S: Final = 1.0


def passes(error: BaseException) -> TypeGuard[sqlite3.OperationalError]:
    """Whether an error is the disk's, and will pass."""
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF in PASSING


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    work: Callable[[], Any]
    durable: bool
    done: asyncio.Future[Any]


class StoreWriter:
    """Runs pieces of work on `file`, each wholly or not at all. `trouble` names what the disk refuses, meanwhile."""

    def __init__(self, file: sqlite3.Connection) -> None:
        self.trouble: str | None = None
        self._file = file
        self._thread = ThreadPoolExecutor(1, "store-writer")
        self._asked: deque[_Asked] = deque()
        self._writing: asyncio.Task[None] | None = None

    async def transaction(self, work: Callable[[], T], *, durable: bool = False) -> T:
        """Run `work` in a transaction, again and again while the disk refuses. `durable`: it outlives a power cut.

        Raises what `work` raises; of others' work in the same transaction nothing is lost by that.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._asked.append(_Asked(work, durable, done))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(), name="store-writer")
        return await done

    async def alone(self, work: Callable[[], T]) -> T:
        """Run `work` outside of any transaction, in its turn."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Wait for what is under way."""
        self._thread.shutdown()

    async def _write(self) -> None:
        """Until nothing is asked for."""
        while self._asked:
            # What nobody waits for any more has not begun yet, and does not.
            together = [self._asked.popleft() for _ in range(min(len(self._asked), MOST_TOGETHER))]
            together = [asked for asked in together if not asked.done.done()]
            try:
                results = await self.alone(lambda: self._transaction(together))  # noqa: B023 # awaited at once
            except Exception as error:  # noqa: BLE001 # whoever waits for it raises it
                if passes(error):
                    self._asked.extendleft(reversed(together))
                    await self._rest(error)
                    continue
                results = [error] * len(together)
            else:
                self.trouble = None
            for asked, result in zip(together, results, strict=True):
                if asked.done.done():
                    continue
                if isinstance(result, Exception):
                    asked.done.set_exception(result)
                else:
                    asked.done.set_result(result)

    def _transaction(self, together: Sequence[_Asked]) -> list[Any]:
        """The result of each, or the error it raised. Raises what the transaction as a whole ends in."""
        file, results = self._file, []
        file.execute(f"PRAGMA synchronous = {'FULL' if any(asked.durable for asked in together) else 'NORMAL'}")
        file.execute("BEGIN IMMEDIATE")
        try:
            for asked in together:
                file.execute("SAVEPOINT work")
                try:
                    results.append(asked.work())
                except Exception as error:
                    if passes(error):
                        raise
                    file.execute("ROLLBACK TO work")
                    results.append(error)
                file.execute("RELEASE work")
            file.execute("COMMIT")
        except BaseException:
            if file.in_transaction:
                file.execute("ROLLBACK")
            raise
        return results

    async def _rest(self, error: sqlite3.OperationalError) -> None:
        if self.trouble is None:
            log.error("store_refused", error=error.sqlite_errorname)
        self.trouble = error.sqlite_errorname
        metrics.STORE_REFUSED.inc()
        await asyncio.sleep(_REST_S)

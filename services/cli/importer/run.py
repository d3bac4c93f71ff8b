"""One import from beginning to end: read, parse, send, settle; what a signal or a failure leaves can be resumed."""

from __future__ import annotations

import asyncio
import csv
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from schemas.responses import BatchItem
from services.cli.client import Client
from services.cli.codes import Exit, Fail
from services.cli.importer.journal import Journal
from services.cli.importer.mapping import Mapping
from services.cli.importer.rejects import Rejects
from services.cli.importer.rows import Item, Options, Parser, Rejected
from services.cli.importer.send import Sender
from services.cli.importer.source import Records, Source, Unreadable
from services.cli.importer.tallies import Summary
from services.cli.instance import Door
from services.cli.output import note
from services.common.clock import wall_clock_ms

_BREATH: Final = 500  # rows between two looks at signals and the progress bar
_DRAIN_S: Final = 5.0

# Called now and then with the bytes read and the summary so far.
Progress = Callable[[int, Summary], None]


@dataclass(frozen=True, slots=True)
class Job:
    """What to import. No door: a dry run."""

    source: Source
    delimiter: str
    mapping: Mapping
    options: Options
    rejects: Path
    door: Door | None
    journal: Journal | None
    give_up_s: float


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it. `unreadable` says why the file could not be read to its end; `resumed_from` is a row."""

    summary: Summary
    rejects_written: bool
    resumed_from: int
    unreadable: str | None


class AnotherLog(Exception):
    """The log is not the one the journal speaks of: nothing it says was sent may be skipped."""


async def run(job: Job, progress: Progress) -> Result:
    """Import. Raises Fail; rows settled until then stay settled, and the journal knows them."""
    task = asyncio.current_task()
    if task is not None:
        with suppress(NotImplementedError, ValueError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    if job.door is None:
        return await _Run(job, None, progress).go()
    async with Client(job.door, connections=8) as client:
        await client.reach()  # an outage later on is waited out; that there is nobody should be said at once
        try:
            return await _Run(job, client, progress).go()
        except AnotherLog:
            if job.journal is not None:
                job.journal.forget()
            return await _Run(job, client, progress).go()


class _Run:
    def __init__(self, job: Job, client: Client | None, progress: Progress) -> None:
        self._job = job
        self._progress = progress
        self._journal = job.journal
        self._sender = None if client is None else Sender(client, self._settled, job.give_up_s, note)
        self._summary = Summary()
        found = None if job.journal is None else job.journal.found
        self._skip_through = 0 if found is None else found.row
        self._found = found
        self._rejects: Rejects | None = None

    async def go(self) -> Result:
        unreadable = None
        with Records(self._job.source, self._job.delimiter) as records:
            header = self._header(records)
            self._rejects = Rejects(self._job.rejects, self._job.source.path, header)
            parser = Parser(self._job.mapping.positions(header), len(header), self._job.options, wall_clock_ms())
            try:
                try:
                    await self._rows(records, parser)
                except Unreadable as error:
                    unreadable = error.message
                if self._sender is not None:
                    await self._sender.finish()
                self._progress(records.bytes_read, self._summary)
            except asyncio.CancelledError:
                raise await self._stopped() from None
            except Fail:
                await self._leave(_DRAIN_S)
                raise
            finally:
                self._rejects.close()
                if self._journal is not None:
                    self._journal.close()
                if self._sender is not None:
                    await self._sender.drain(0)
        if self._journal is not None:
            self._journal.done()
        return Result(self._summary, self._rejects.written, self._skip_through, unreadable)

    def _header(self, records: Records) -> list[str]:
        try:
            for header in records:
                if header:
                    return header
        except csv.Error as error:
            raise Fail(Exit.USAGE, f"{self._job.source.path}: its first line is no CSV header ({error})") from None
        raise Fail(Exit.USAGE, f"{self._job.source.path} holds no header")

    async def _rows(self, records: Records, parser: Parser) -> None:
        row = 0
        while True:
            try:
                record = next(records)
            except StopIteration:
                return
            except csv.Error as error:
                row += 1
                self._reject(Rejected(row, records.line, "malformed", str(error), [records.raw.rstrip("\r\n")]))
                continue
            if not record:
                continue  # a blank line is no row
            row += 1
            parsed = parser.parse(row, records.line, record)
            if isinstance(parsed, Rejected):
                self._reject(parsed)
            else:
                await self._take(parsed)
            if row % _BREATH == 0:
                self._progress(records.bytes_read, self._summary)
                if self._journal is not None and self._sender is not None and row > self._skip_through:
                    self._journal.settle(self._sender.through(), self._summary.positions)
                await asyncio.sleep(0)

    async def _take(self, item: Item) -> None:
        self._summary.rows += 1
        if self._sender is None:
            self._summary.accept(item)
        elif item.row > self._skip_through:
            await self._sender.put(item)
        elif self._journal is not None and (refused := self._journal.refused.get(item.row)) is not None:
            self._write(Rejected(item.row, item.line, refused.reason, refused.detail, item.cells))
        elif self._found is not None and item.row == self._found.probe:
            self._same_log(await self._sender.one(item))
            self._summary.accept(item)
        else:
            self._summary.accept(item)

    def _same_log(self, probed: BatchItem) -> None:
        """Sent again, an answer of this log stands above every position known of it."""
        receipt, found = probed.receipt, self._found
        if found is None or receipt is None or receipt.offset <= found.positions.get(receipt.partition, receipt.offset):
            raise AnotherLog
        for partition, offset in found.positions.items():
            self._summary.receipt(partition, offset)
        self._summary.receipt(receipt.partition, receipt.offset)

    def _settled(self, item: Item, result: BatchItem) -> None:
        if result.status == "accepted" and result.receipt is not None:
            self._summary.accept(item)
            self._summary.receipt(result.receipt.partition, result.receipt.offset)
            if self._journal is not None:
                self._journal.accepted(item)
            return
        error = result.errors[0] if result.errors else None
        field = re.sub(r"^\[\d+\]\.?", "", error.path) if error else ""
        refused = Rejected(
            item.row,
            item.line,
            f"{field or 'row'}_invalid",
            error.message if error else "refused by the door",
            item.cells,
        )
        if self._journal is not None:
            self._journal.refuse(refused)
        self._write(refused)

    def _reject(self, rejected: Rejected) -> None:
        self._summary.rows += 1
        self._write(rejected)

    def _write(self, rejected: Rejected) -> None:
        self._summary.rejected[rejected.reason] += 1
        if self._rejects is not None:
            self._rejects.write(rejected)

    async def _leave(self, seconds: float) -> int:
        """Let batches on their way arrive, and note in the journal how far everything is settled."""
        if self._sender is None:
            return 0
        await self._sender.drain(seconds)
        through = max(self._sender.through(), self._skip_through)
        if self._journal is not None:
            self._journal.settle(through, self._summary.positions, now=True)
        return through

    async def _stopped(self) -> Fail:
        through = await self._leave(_DRAIN_S)
        return Fail(
            Exit.INTERRUPTED, f"stopped; everything through row {through} is held, the same command goes on there"
        )

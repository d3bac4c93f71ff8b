"""`pulse replay --verify` and `--rebuild`: checks what was asked for, runs it, and tells what came of it."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import typer

from schemas import topics
from services.cli import output
from services.cli.codes import Exit, Fail
from services.cli.replay.place import Place, find_place, log_of
from services.common.logs import configure
from stream.app import WORKER_GROUP, calm_gc
from stream.checkpoints import Checkpoints, copy_database
from stream.domain.messages import TOPICS
from stream.errors import LogMismatch, StateInUse
from stream.fetched import records_off_the_wire
from stream.log import KafkaLog
from stream.replay import Progressed, Report, locked, rebuild, verify
from stream.state import State, folder_of, peek, shared_memory

_COLUMNS: Final = (
    *("partition", "position", "records", "keys compared", "different"),
    *("outputs compared", "different ", "seconds", "records/s"),
)


def run_replay(*, verify: bool, rebuild: bool, partitions: Sequence[int], data: Path | None, as_json: bool) -> None:
    """Do one of the two for the partitions named, or for all. Exits with 1 when anything differs."""
    if verify == rebuild:
        raise Fail(Exit.USAGE, "say --verify or --rebuild")
    place = find_place(data)
    configure("replay", "console")
    records_off_the_wire()
    calm_gc()
    count = place.generation.partitions
    if partitions and max(partitions) >= count:
        raise Fail(Exit.USAGE, f"the log has {count} partitions, 0 to {count - 1}")
    chosen = sorted(set(partitions)) or list(place.generation.numbers())
    try:
        reports = asyncio.run(_run(place, chosen, rebuild=rebuild, as_json=as_json))
    except StateInUse as error:
        raise Fail(Exit.USAGE, str(error)) from None
    except LogMismatch as error:
        raise Fail(Exit.FAILED, str(error)) from None
    good = all(report.equal for report in reports)
    if as_json:
        output.print_json({"ok": good, "partitions": [_document(report) for report in reports]})
    else:
        _print(reports, rebuilt=rebuild)
    if not good:
        raise typer.Exit(Exit.FAILED)


async def _run(place: Place, partitions: Sequence[int], *, rebuild: bool, as_json: bool) -> list[Report]:
    with output.progress(quiet=as_json) as bar:
        tasks = {
            number: bar.add_task(f"partition {number}", total=None, detail="", visible=False) for number in partitions
        }

        def progressed(partition: int, done: int, total: int) -> None:
            bar.update(tasks[partition], completed=done, total=total, detail=f"{done:,}", visible=done < total)

        async with log_of(place) as kafka:
            if rebuild:
                return await _rebuild(place, partitions, kafka, progressed)
            return await _verify(place, partitions, kafka, progressed)


async def _verify(place: Place, partitions: Sequence[int], kafka: str, progressed: Progressed) -> list[Report]:
    log = _log(place, kafka)
    said = {name: _log(place, kafka, name) for name in TOPICS}
    reports = []
    with tempfile.TemporaryDirectory(prefix="pulse-replay-") as folder:
        scratch = Path(folder)
        for number in partitions:
            if not take_copy(place, number, scratch / "held"):
                continue
            held = State(scratch / "held", shared_memory())
            try:
                reports.append(await verify(number, held, log, said, scratch / "folded", place.generation, progressed))
            finally:
                held.close()
    if not reports:
        raise Fail(
            Exit.NOT_READY,
            "there is nothing to verify yet: a running worker's state is taken from its checkpoints "
            "(PULSE_CHECKPOINT_DIR, the first after PULSE_CHECKPOINT_EVERY), a stopped one's from its folder",
        )
    return reports


def _log(place: Place, kafka: str, topic: str = topics.FEEDBACK) -> KafkaLog:
    return KafkaLog(kafka, place.generation.group(WORKER_GROUP), place.generation.topic(topic))


def take_copy(place: Place, partition: int, target: Path) -> bool:
    """Copy the furthest state of a partition that nobody has open; False when there is none, or only empty ones.

    States of stopped workers and checkpoints: all are folded from the same log.
    """
    found: list[tuple[int, Path, bool]] = []
    for path in (folder_of(root, partition) for root in place.states):
        with suppress(StateInUse, OSError, ValueError), locked(path, partition):
            found.append((peek(path).position, path, True))
    if place.checkpoints is not None:
        readable = Checkpoints(place.checkpoints, target).readable(partition)
        found += [(meta.position, one.path, False) for one, meta in readable]
    for position, path, lockable in sorted(found, reverse=True):
        if not position:
            break
        shutil.rmtree(target, ignore_errors=True)
        with suppress(StateInUse, OSError):  # a worker may have started, or taken the checkpoint away
            with locked(path, partition) if lockable else nullcontext():
                copy_database(path, target, lambda: False)
            return True
    return False


async def _rebuild(place: Place, partitions: Sequence[int], kafka: str, progressed: Progressed) -> list[Report]:
    log = _log(place, kafka)
    homes = {
        number: [root for root in place.states if folder_of(root, number).is_dir()] or [place.states[0]]
        for number in partitions
    }
    for number, roots in homes.items():
        for root in roots:
            with suppress(OSError), locked(folder_of(root, number), number):
                pass  # nobody has it open: else it is refused before anything is folded
    return [
        await rebuild(number, root, log, place.generation, progressed)
        for number, roots in homes.items()
        for root in roots
    ]


def _document(report: Report) -> dict[str, Any]:
    return asdict(report) | {"equal": report.equal, "records_per_s": report.per_s}


def _print(reports: Sequence[Report], *, rebuilt: bool) -> None:
    rows = []
    for report in reports:
        compared = (
            ("", "", "", "")
            if rebuilt or report.refused
            else (
                *(f"{report.keys.compared:,}", f"{report.keys.different:,}"),
                *(f"{report.outputs.compared:,}", f"{report.outputs.different:,}"),
            )
        )
        rows.append(
            (
                *(str(report.partition), f"{report.position:,}", f"{report.records:,}"),
                *compared,
                *(f"{report.seconds:.1f}", f"{report.per_s:,}"),
            )
        )
    output.print_table(_COLUMNS, rows, right=_COLUMNS)
    for report in reports:
        if report.refused:
            sys.stdout.write(f"partition {report.partition} cannot be compared: {report.refused}\n")
        for name in (*report.keys.first, *report.outputs.first):
            sys.stdout.write(f"partition {report.partition} differs: {name}\n")
    records, seconds = sum(report.records for report in reports), sum(report.seconds for report in reports)
    verdict = "rebuilt" if rebuilt else "equal" if all(report.equal for report in reports) else "NOT equal"
    sys.stdout.write(f"{verdict}: {records:,} records, {records / seconds if seconds else 0:,.0f} records/s\n")

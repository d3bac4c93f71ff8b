"""`pulse repartition`: which generations there are, the copy, its proof, and what to do next.

The order is the design: (1) the old log is closed, so that nothing can come in that would not be copied; (2) the new
topics are made, empty; (3) the log and the texts are copied; (4) both logs are folded and compared; (5) the new log is
sealed, which lets services begin with it. Cut short anywhere before (5), it is run again, and (2) throws away what
there was; or it is undone, and the old log goes on.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from aiokafka.errors import KafkaError

from deploy import generations
from deploy.errors import DeployError, EngineUnavailable
from deploy.generations import Found
from schemas import topics
from schemas.generations import LAST, Generation
from services.cli import output
from services.cli.codes import Exit, Fail
from services.cli.repartition.shown import Outcome, document, show
from services.cli.replay.place import Place, find_place, log_of
from services.common.logs import configure
from stream.app import WORKER_GROUP, calm_gc
from stream.copying import Copied, KafkaTarget, Seen, copy_log, copy_people, look
from stream.facts import compared, facts_of
from stream.fetched import records_off_the_wire
from stream.log import KafkaLog

Stage = Callable[[str], Callable[[int, int], None]]  # a stage's name → what to tell of its progress


def run_repartition(
    *, partitions: int | None, generation: int | None, undo: bool, drop_old: bool, data: Path | None, as_json: bool
) -> None:
    """Do one of the three. Exits with 1 when the copy does not come to the same as the log: it is not sealed then."""
    if (partitions is not None) + undo + drop_old != 1:
        raise Fail(Exit.USAGE, "say one of --partitions, --undo and --drop-old")
    place = find_place(data)
    configure("repartition", "console")
    records_off_the_wire()
    calm_gc()
    try:
        if partitions is None:
            asyncio.run(_tidy(place, undo=undo, as_json=as_json))
            return
        new = Generation(generation or place.generation.number + 1, partitions)
        if not place.generation.number < new.number <= LAST:
            raise Fail(Exit.USAGE, f"--generation must be from {place.generation.number + 1} to {LAST}")
        outcome = asyncio.run(_run(place, new, as_json=as_json))
    except EngineUnavailable as error:
        raise Fail(Exit.UNREACHABLE, f"{error}; run it again") from None
    except DeployError as error:
        raise Fail(Exit.FAILED, str(error)) from None
    except (KafkaError, TimeoutError) as error:
        raise Fail(Exit.UNREACHABLE, f"Kafka: {type(error).__name__}; run it again, it begins anew") from None
    if as_json:
        output.print_json(document(outcome))
    else:
        show(outcome)
    if not outcome.equal:
        raise typer.Exit(Exit.FAILED)


async def _run(place: Place, new: Generation, *, as_json: bool) -> Outcome:
    old = place.generation
    async with log_of(place) as kafka:
        _may_begin(old, new, await generations.generations(kafka))
        with output.progress(quiet=as_json) as bar:

            def stage(name: str) -> Callable[[int, int], None]:
                task = bar.add_task(name, total=None, detail="")
                return lambda done, total: bar.update(task, completed=done, total=total, detail=f"{done:,}")

            await generations.close_log(kafka, old)
            await generations.make_generation(kafka, new)
            seen, copied = await _copy(kafka, old, new, stage)
            outcome = await _compare(kafka, old, new, seen, copied, stage)
        if outcome.equal:
            await generations.seal(kafka, new)
    return outcome


def _may_begin(old: Generation, new: Generation, found: list[Found]) -> None:
    """Refuse what would not come to a right copy."""
    here = next((one for one in found if one.generation.number == old.number), None)
    if here is None or not here.whole:
        raise Fail(Exit.USAGE, f"there is no whole generation {old.number} of the log here (PULSE_GENERATION)")
    if here.generation.partitions != old.partitions:
        raise Fail(Exit.USAGE, f"the log has {here.generation.partitions} partitions: set PULSE_PARTITIONS to that")
    for one in found:
        number = one.generation.number
        if number > old.number and one.whole:
            raise Fail(
                Exit.USAGE,
                f"generation {number} is whole already: start everything with PULSE_GENERATION={number} and "
                f"PULSE_PARTITIONS={one.generation.partitions}",
            )
        if number > old.number and number != new.number:
            raise Fail(Exit.USAGE, f"generation {number} is being made: say --generation {number}, or --undo first")


def _log(kafka: str, generation: Generation, topic: str = topics.FEEDBACK) -> KafkaLog:
    return KafkaLog(kafka, generation.group(WORKER_GROUP), generation.topic(topic))


async def _copy(kafka: str, old: Generation, new: Generation, stage: Stage) -> tuple[Seen, Copied]:
    log, people = _log(kafka, old), _log(kafka, old, topics.PEOPLE)
    seen = await look(log, old, stage("looking for commands"))
    async with KafkaTarget(kafka, new) as target:
        copied = await copy_log(log, old, new, target, seen, stage("copying the log"))
        copied.texts = await copy_people(people, old, new, target, stage("copying the texts"))
    return seen, copied


async def _compare(kafka: str, old: Generation, new: Generation, seen: Seen, copied: Copied, stage: Stage) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="pulse-repartition-") as folder:
        before = await facts_of(
            _log(kafka, old), old, seen.known_ms, Path(folder), seen.incomplete, stage("folding the old log")
        )
        after = await facts_of(
            _log(kafka, new), new, seen.known_ms, Path(folder), lambda _: (), stage("folding the new log")
        )
    return Outcome(old, new, seen, copied, list(compared(before, after)))


async def _tidy(place: Place, *, undo: bool, as_json: bool) -> None:
    async with log_of(place) as kafka:
        found = await generations.generations(kafka)
        told = await (_undo if undo else _drop_old)(kafka, place.generation, found)
    if as_json:
        output.print_json(told)
    else:
        sys.stdout.write(f"deleted: {', '.join(told['deleted']) or 'nothing'}\n")
        if undo:
            sys.stdout.write(f"{place.generation.topic(topics.FEEDBACK)} takes records again\n")


async def _undo(kafka: str, old: Generation, found: list[Found]) -> dict[str, Any]:
    """Throw an unfinished generation away. One that is whole may hold answers that stand nowhere else."""
    later = [one for one in found if one.generation.number > old.number]
    whole = [one for one in later if one.whole]
    if whole:
        number = whole[-1].generation.number
        raise Fail(Exit.USAGE, f"generation {number} is whole, and may have answers of its own: it is not undone")
    if not any(one.generation == old for one in found):
        raise Fail(Exit.USAGE, f"there is no generation {old.number} of {old.partitions} partitions to go back to")
    deleted = [name for one in later for name in await generations.drop_generation(kafka, one.generation)]
    await generations.reopen_log(kafka, old)
    return {"deleted": deleted}


async def _drop_old(kafka: str, now: Generation, found: list[Found]) -> dict[str, Any]:
    """Delete the generations before the one in use: an erasure no longer reaches the texts in them."""
    if not any(one.generation == now and one.whole for one in found):
        raise Fail(Exit.USAGE, f"there is no whole generation {now.number} of {now.partitions} partitions here")
    if found[-1].generation != now:
        raise Fail(Exit.USAGE, f"generation {found[-1].generation.number} is later: set PULSE_GENERATION to it")
    earlier = [one.generation for one in found if one.generation.number < now.number]
    return {"deleted": [name for one in earlier for name in await generations.drop_generation(kafka, one)]}

"""`pulse rehearse`: reads the log, plays it with the promises of a file, and says what would have come of it."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import msgspec

from schemas import topics
from schemas.people import Person, person_key
from services.cli import output
from services.cli.rehearse.play import Gathered, Instead, begin
from services.cli.rehearse.report import Counted, count
from services.cli.replay.place import Place, find_place, log_of
from services.cli.teams.command import load
from services.cli.teams.command import policies as checked
from services.common.clock import wall_clock_ms
from services.common.logs import configure
from services.teams import calendars, policies
from services.teams.reading import Configured
from services.teams.routing import looks_for_words
from stream.app import WORKER_GROUP, calm_gc
from stream.fetched import records_off_the_wire
from stream.log import KafkaLog
from stream.replay import Progressed, fold_log
from stream.state import State, shared_memory

DAY_MS: Final = 86_400_000
BEFORE_MS: Final = 400 * DAY_MS  # cases of that age may still be told of
_TEAM_COLUMNS: Final = (
    *("team", "cases", "first contact missed", "resolution missed"),
    *("reminders", "escalations"),
)
_TARGET_COLUMNS: Final = (
    *("team", "target", "messages", "of new cases", "reminders", "deadlines missed", "escalations"),
    *("at night", "waited"),
)
_person: Final = msgspec.json.Decoder(Person)


def run_rehearsal(file: Path, days: int, data: Path | None, *, as_json: bool) -> None:
    """Play the whole log, and tell what the last `days` of it would have meant."""
    checked(file)
    teams = load(file)
    place = find_place(data)
    configure("rehearse", "console")
    records_off_the_wire()
    calm_gc()
    now_ms = wall_clock_ms()
    records, counted = asyncio.run(_run(place, teams, now_ms - days * DAY_MS, now_ms, quiet=as_json))
    if as_json:
        output.print_json({"days": days, "records": records, **_document(counted)})
    else:
        _print(counted, days, records)


async def _run(
    place: Place, teams: Mapping[str, Configured], since_ms: int, now_ms: int, *, quiet: bool
) -> tuple[int, Counted]:
    gathered = Gathered({name: one.team for name, one in teams.items()}, since_ms, now_ms)
    with output.progress(quiet=quiet) as bar:
        task = bar.add_task("rehearsing", total=None, detail="")

        def progressed(partition: int, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, detail=f"partition {partition}")

        async with log_of(place) as kafka:
            records = await play(place, kafka, teams, gathered, (since_ms, now_ms), progressed)
            return records, await told(place, kafka, teams, gathered)


async def play(
    place: Place,
    kafka: str,
    teams: Mapping[str, Configured],
    gathered: Gathered,
    span: calendars.Interval,
    progressed: Progressed,
) -> int:
    """Fold every partition from its beginning with these promises; how many records that were."""
    since_ms, now_ms = span
    ends_ms = calendars.span_of(now_ms)[1]
    wanted = {
        name: policies.over(one.team, one.document, (since_ms - BEFORE_MS, ends_ms)) for name, one in teams.items()
    }
    log = Instead(_log(place, kafka, topics.FEEDBACK), teams, now_ms)
    generation, folded = place.generation, 0
    with tempfile.TemporaryDirectory(prefix="pulse-rehearse-") as folder:
        for number in generation.numbers():
            first, end = await log.bounds(number)
            if first == end:
                continue
            state = State(Path(folder) / str(number), shared_memory())
            try:
                state.commit(begin(wanted, generation.number), ())
                done, _ = await fold_log(state, number, log, end, generation, gathered.listen, progressed)
                folded += done - 1  # the tick is ours
            finally:
                state.close()
    return folded


async def told(place: Place, kafka: str, teams: Mapping[str, Configured], gathered: Gathered) -> Counted:
    """Whom each of the messages would have gone to. Comments are read only for teams that look for words in them."""
    wordy = {name for name, one in teams.items() if looks_for_words(one.team)}
    wanted = {
        (telling.case.team, telling.case.response_id)
        for telling in gathered.tellings
        if telling.case.team in wordy and telling.case.personal
    }
    comments = await _comments(place, kafka, wanted)
    return count({name: one.team for name, one in teams.items()}, gathered.tellings, comments)


async def _comments(place: Place, kafka: str, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The comments of some answers, as they stand now; nothing of those that were erased."""
    asked = frozenset(person_key(*names) for names in wanted)
    found: dict[bytes, Person] = {}
    if not asked:
        return {}
    log = _log(place, kafka, topics.PEOPLE)
    for number in place.generation.numbers():
        async with aclosing(log.read(number, *await log.bounds(number))) as batches:
            async for records in batches:
                for record in records:
                    if record.key not in asked:
                        continue
                    person = None if record.value is None else _person.decode(record.value)
                    if person is None:
                        found.pop(record.key, None)
                    elif record.key not in found or person.revision >= found[record.key].revision:
                        found[record.key] = person
    return {(person.team, person.response_id): person.comment for person in found.values() if person.comment}


def _log(place: Place, kafka: str, topic: str) -> KafkaLog:
    return KafkaLog(kafka, place.generation.group(WORKER_GROUP), place.generation.topic(topic))


def _document(counted: Counted) -> dict[str, Any]:
    teams = [{"team": name, **asdict(counts)} for name, counts in counted.teams.items()]
    targets = [{"team": team, "target": name, **asdict(counts)} for (team, name), counts in counted.targets.items()]
    return {"teams": teams, "targets": targets}


def _print(counted: Counted, days: int, records: int) -> None:
    rows = [(name, *(f"{value:,}" for value in asdict(counts).values())) for name, counts in counted.teams.items()]
    output.print_table(_TEAM_COLUMNS, rows, right=_TEAM_COLUMNS[1:])
    sys.stdout.write("\n")
    told_rows = [
        (team, name, *(f"{value:,}" for value in asdict(counts).values()))
        for (team, name), counts in counted.targets.items()
    ]
    output.print_table(_TARGET_COLUMNS, told_rows, right=_TARGET_COLUMNS[2:])
    sys.stdout.write(f"\nthe last {output.counted(days, 'day')} of {output.counted(records, 'record')}\n")

"""`pulse import`: checks what was asked for, runs it with a progress bar, and tells what came of it."""

from __future__ import annotations

import asyncio
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from schemas.responses import TEAM_PATTERN, whole
from services.cli import output
from services.cli.codes import Exit, Fail
from services.cli.importer import journal as journals
from services.cli.importer.cells import Instants
from services.cli.importer.mapping import close, parse_map
from services.cli.importer.rows import Options
from services.cli.importer.run import Job, Result, run
from services.cli.importer.source import find_delimiter, inspect
from services.cli.importer.tallies import Summary
from services.cli.instance import find
from stream.domain.scores import shares


def import_file(
    file: Path,
    maps: list[str],
    *,
    date_format: str | None,
    timezone: str,
    default_team: str | None,
    slugify: bool,
    delimiter: str | None,
    encoding: str | None,
    rejects: Path | None,
    dry_run: bool,
    give_up_s: float,
    data: Path | None,
    url: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Run one import and print its summary. Raises Fail."""
    mapping = parse_map(maps, default_team=default_team)
    options = Options(Instants(_format(date_format), _zone(timezone)), _team(default_team), slugify)
    if not file.is_file():
        raise Fail(Exit.USAGE, f"{file} is no file" if file.exists() else f"there is no file {file}")
    door = None if dry_run else find("ingest", "import", data, url, key)
    source = inspect(file, encoding)
    journal = None
    if door is not None:
        choices = {
            "map": mapping.columns,
            "date_format": date_format,
            "timezone": timezone,
            "default_team": default_team,
            "slugify": slugify,
            "delimiter": delimiter,
        }
        journal = journals.Journal(journals.folder(door.data) / f"{journals.key_of(source, door.url, choices)}.jsonl")
        journal.load()
    job = Job(
        source=source,
        delimiter=find_delimiter(source, mapping, delimiter),
        mapping=mapping,
        options=options,
        rejects=rejects or Path(f"{file.stem}.rejects.csv"),
        door=door,
        journal=journal,
        give_up_s=give_up_s,
    )
    result = _run(job, as_json=as_json)
    document = _document(job, result)
    if not as_json:
        _print(job, result)
    if result.unreadable is not None:
        raise Fail(Exit.FAILED, f"{file}: {result.unreadable}", document)
    if result.summary.rows and not result.summary.accepted:
        raise Fail(Exit.FAILED, f"no row of {file} was accepted; {job.rejects} says why", document)
    if as_json:
        output.print_json(document)


def _run(job: Job, *, as_json: bool) -> Result:
    with output.progress(quiet=as_json) as bar:
        task = bar.add_task(job.source.path.name, total=job.source.size, detail="")

        def show(read: int, summary: Summary) -> None:
            bar.update(task, completed=read, detail=f"{summary.accepted:,} in, {summary.rejected.total():,} rejected")

        return asyncio.run(run(job, show))


def _format(date_format: str | None) -> str | None:
    if date_format is not None:
        try:
            datetime.strptime("", date_format)  # noqa: DTZ007 - only the format is looked at
        except ValueError as error:
            if "directive" in str(error) or "stray" in str(error):
                raise Fail(Exit.USAGE, f"--date-format: {error}") from None
    return date_format


def _zone(timezone: str) -> ZoneInfo:
    try:
        return ZoneInfo(timezone)
    except (OSError, ValueError, LookupError):
        hint = close(timezone, sorted(available_timezones()))
        raise Fail(
            Exit.USAGE, f"--timezone: there is no zone {timezone!r}{hint}; use a name such as Europe/Berlin"
        ) from None


def _team(default_team: str | None) -> str | None:
    if default_team is not None and not re.search(whole(TEAM_PATTERN), default_team):
        raise Fail(Exit.USAGE, "--default-team must be 1 to 64 of a-z, 0-9, dot, underscore, hyphen")
    return default_team


def _document(job: Job, result: Result) -> dict[str, Any]:
    return {
        "file": str(job.source.path),
        "encoding": job.source.encoding,
        "delimiter": job.delimiter,
        "dry_run": job.door is None,
        **result.summary.document(),
        "resumed_from": result.resumed_from,
        "rejects_file": str(job.rejects) if result.rejects_written else None,
        "error": result.unreadable,
    }


def _print(job: Job, result: Result) -> None:
    summary = result.summary
    facts = summary.document()
    tally = summary.tally
    verb = "would be sent" if job.door is None else "accepted"
    lines = [
        f"{job.source.path.name}: {summary.rows:,} rows, {summary.accepted:,} {verb}, {facts['rejected']:,} rejected",
    ]
    if job.source.encoding not in ("utf-8", "utf-8-sig"):
        lines.append(f"  read as    {job.source.encoding}; if letters look wrong, name another with --encoding")
    percent = shares(tally)
    if percent is not None:
        lines.append(
            f"  counted    {tally.total:,}: promoters {tally.promoters:,} ({percent[2]} %), passives {tally.passives:,}"
            f" ({percent[1]} %), detractors {tally.detractors:,} ({percent[0]} %); NPS {facts['nps']:.2f}"
        )
    if summary.tests:
        lines.append(f"  tests      {summary.tests:,}, not counted")
    lines += [f"  rejected   {count:,} {reason}" for reason, count in facts["rejected_by_reason"].items()]
    if result.rejects_written:
        lines.append(f"  see        {job.rejects}")
    lines.append(f"  teams      {len(summary.teams):,}")
    for team, names in list(summary.merged.items())[:20]:
        lines.append(f"  one team   {team} = {', '.join(map(repr, names))}")
    if summary.identical:
        lines.append(
            f"  identical  {summary.identical:,} rows equal an earlier row in every mapped column; each counts"
        )
    if summary.history:
        lines.append(f"  history    {summary.history:,} older than 400 days: in no live window, raise no follow-up")
    if summary.clock:
        told = ", ".join(f"{count:,} {kind}" for kind, count in facts["clock"].items())
        lines.append(f"  clock      {told} local times (daylight saving): see docs/guide/importing.md")
    if result.resumed_from:
        lines.append(f"  resumed    after row {result.resumed_from:,}, where an earlier run stopped")
    sys.stdout.write("\n".join(lines) + "\n")

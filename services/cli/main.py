"""All commands of `pulse`: here those that run something; the modules `commands_…` have the others.

Each body lives elsewhere and is imported when it runs, so that `--help` is instant.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli import (
    commands_alarms,
    commands_alerts,
    commands_config,
    commands_followup,
    commands_read,
    commands_write,
)
from services.cli.base import app
from services.cli.instance import Data, Key, Url
from services.cli.output import Json

PortBase = Annotated[
    int | None,
    typer.Option(help="First of the ports it takes; 0: any free ones. Default: 8600, or others if taken.", max=65_000),
]


__all__ = [
    "app",
    "commands_alarms",
    "commands_alerts",
    "commands_config",
    "commands_followup",
    "commands_read",
    "commands_write",
]


@app.command()
def up(
    data: Annotated[Path, typer.Option(help="Data folder of the instance.", envvar="PULSE_DATA")] = Path(".pulse"),
    port_base: PortBase = None,
    workers: Annotated[int, typer.Option(help="Stream workers.", min=1, max=16)] = 1,
    kafka: Annotated[str | None, typer.Option(help="Use this Kafka, host:port, instead of starting one.")] = None,
    clickhouse: Annotated[str | None, typer.Option(help="Use this ClickHouse URL instead of starting one.")] = None,
    teams: Annotated[
        Path | None, typer.Option(help="A file of teams to keep in force, also as it changes.", envvar="PULSE_TEAMS")
    ] = None,
    as_json: Json = False,
) -> None:
    """Start everything on this machine, and keep it running until Ctrl-C."""
    from deploy.local.up import up as supervise

    if teams is not None:
        from services.cli.teams.command import policies

        policies(teams)  # a file that cannot be used is told before anything is started
        teams = teams.resolve()
    raise typer.Exit(supervise(data, port_base, workers, as_json, kafka, clickhouse, teams))


@app.command()
def demo(
    data: Annotated[Path, typer.Option(help="Data folder of the instance.", envvar="PULSE_DATA")] = Path(".pulse"),
    port_base: PortBase = None,
    once: Annotated[bool, typer.Option("--once", help="End by itself; 0 if the scores equal a recount.")] = False,
    as_json: Json = False,
) -> None:
    """Start an instance, play a sample of answers into it, and show what comes out."""
    from services.cli.demo.command import run_demo

    run_demo(data, port_base, once=once, as_json=as_json)


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="A CSV file; delimiter and encoding are found out.")],
    maps: Annotated[
        list[str],
        typer.Option("--map", help="field=COLUMN,… : team, score, answered_at; comment, respondent, email, … (docs)."),
    ],
    date_format: Annotated[
        str | None, typer.Option(help="strptime format of times, such as '%m/%d/%y %H:%M'; default ISO 8601.")
    ] = None,
    timezone: Annotated[str, typer.Option(help="Zone of times that carry none, such as Europe/Berlin.")] = "UTC",
    default_team: Annotated[str | None, typer.Option(help="Team of rows whose team cell is blank.")] = None,
    slugify: Annotated[bool, typer.Option("--slugify", help="Make valid team names of any names.")] = False,
    delimiter: Annotated[str | None, typer.Option(help="One character, or tab, when it is not found out.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Encoding, when it is not found out.")] = None,
    rejects: Annotated[
        Path | None, typer.Option(help="Where rejected rows go; default NAME.rejects.csv in this folder.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and check everything, send nothing.")] = False,
    give_up: Annotated[float, typer.Option(help="Seconds without any progress before giving up.", min=1)] = 300,
    data: Data = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Import a CSV export. Importing it twice, or a longer export of the same data, counts nothing twice."""
    from services.cli.importer.command import import_file

    import_file(
        file,
        maps,
        date_format=date_format,
        timezone=timezone,
        default_team=default_team,
        slugify=slugify,
        delimiter=delimiter,
        encoding=encoding,
        rejects=rejects,
        dry_run=dry_run,
        give_up_s=give_up,
        data=data,
        url=url,
        key=key,
        as_json=as_json,
    )


@app.command()
def doctor(
    data: Data = None,
    port_base: PortBase = None,
    as_json: Json = False,
) -> None:
    """Find what is wrong with a set-up, and say what to do about it."""
    from services.cli.doctor.command import run_doctor

    run_doctor(data, port_base, as_json=as_json)


@app.command()
def replay(
    verify: Annotated[
        bool, typer.Option("--verify", help="Fold the log anew and compare with state and outputs; 1 if they differ.")
    ] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Replace a lost or broken state; its worker must not run.")
    ] = False,
    partition: Annotated[
        list[int] | None,
        typer.Option(help="Only this partition; may be given several times.", min=0, show_default=False),
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Fold the log from its start: to check a worker's state against it, or to make one anew."""
    from services.cli.replay.command import run_replay

    run_replay(verify=verify, rebuild=rebuild, partitions=partition or [], data=data, as_json=as_json)


@app.command()
def rehearse(
    teams: commands_config.Teams = commands_config.DEFAULT_TEAMS,
    days: Annotated[int, typer.Option(help="How far back to tell of.", min=1, max=400)] = 90,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Play the log with the promises of a file: how many alerts, missed deadlines and calls at night it would mean."""
    from services.cli.rehearse.command import run_rehearsal

    run_rehearsal(teams, days, data, as_json=as_json)


@app.command()
def repartition(
    partitions: Annotated[
        int | None, typer.Option(help="Copy the log to so many partitions.", min=1, max=10_000, show_default=False)
    ] = None,
    generation: Annotated[
        int | None, typer.Option(help="Number of the new generation; default: the next.", show_default=False)
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Throw an unfinished copy away; the old log goes on.")] = False,
    drop_old: Annotated[
        bool, typer.Option("--drop-old", help="Delete the topics of the generations before the one in use.")
    ] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Copy the log to another number of partitions: a new generation, compared with the old one before it is used."""
    from services.cli.repartition.command import run_repartition

    run_repartition(
        partitions=partitions, generation=generation, undo=undo, drop_old=drop_old, data=data, as_json=as_json
    )


def _service(name: str) -> None:
    from services.cli.serving import serve

    serve(name)


@app.command()
def ingest() -> None:
    """Run the ingest service with settings from the environment."""
    _service("ingest")


@app.command()
def worker() -> None:
    """Run one stream worker with settings from the environment."""
    _service("worker")


@app.command()
def sink() -> None:
    """Run the sink with settings from the environment."""
    _service("sink")


@app.command()
def query() -> None:
    """Run the query service with settings from the environment."""
    _service("query")


@app.command()
def alerts() -> None:
    """Run the alerts service with settings from the environment."""
    _service("alerts")

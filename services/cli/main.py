"""All commands of `pulse`. Each body lives elsewhere and is imported when it runs, so that `--help` is instant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from services.cli import output
from services.cli.codes import Exit, Fail
from services.cli.instance import Data, Key, Url
from services.cli.output import Json

PortBase = Annotated[
    int | None,
    typer.Option(help="First of the ports it takes; 0: any free ones. Default: 8600, or others if taken.", max=65_000),
]


class Commands(TyperGroup):
    """Turns an expected failure into one line on stderr and its exit code, never a traceback."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except Fail as fail:
            if output.wants_json(ctx):
                output.print_json(fail.document)
            output.note(f"pulse: {fail.message}")
            raise typer.Exit(fail.code) from None


# \b keeps the lines as they are.
_EXIT_CODES = "\b\nExit codes:\n" + "\n".join(f"  {code.value:<4} {code.about}" for code in Exit)

app = typer.Typer(
    name="pulse",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Rolling Net Promoter Score and owned follow-ups, in real time.",
    epilog=_EXIT_CODES,
)


@app.command()
def up(
    data: Annotated[Path, typer.Option(help="Data folder of the instance.", envvar="PULSE_DATA")] = Path(".pulse"),
    port_base: PortBase = None,
    workers: Annotated[int, typer.Option(help="Stream workers.", min=1, max=16)] = 1,
    kafka: Annotated[str | None, typer.Option(help="Use this Kafka, host:port, instead of starting one.")] = None,
    clickhouse: Annotated[str | None, typer.Option(help="Use this ClickHouse URL instead of starting one.")] = None,
    as_json: Json = False,
) -> None:
    """Start everything on this machine, and keep it running until Ctrl-C."""
    from deploy.local.up import up as supervise

    raise typer.Exit(supervise(data, port_base, workers, as_json, kafka, clickhouse))


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
def score(
    team: Annotated[str | None, typer.Argument(help="A team; all teams together when left out.")] = None,
    window: Annotated[str, typer.Option(help="Length of the window: 90m, 24h, 7d, …, or all.")] = "7d",
    policy: Annotated[str, typer.Option(help="all: each answer; latest: each respondent's newest.")] = "all",
    as_of: Annotated[str | None, typer.Option(help="End of the window, ISO 8601; default now.")] = None,
    known_at: Annotated[str | None, typer.Option(help="Count only what was known then, ISO 8601.")] = None,
    at_least: Annotated[str | None, typer.Option(help="Wait for receipts, partition:offset[,…].")] = None,
    data: Data = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Show a rolling score with its margin."""
    from services.cli import reading

    params = {"window": window, "policy": policy, "as_of": as_of, "known_at": known_at, "at_least": at_least}
    reading.score(team, params, data, url, key, as_json=as_json)


@app.command()
def explain(
    team: Annotated[str, typer.Argument(help="The team.")],
    window: Annotated[str, typer.Option(help="Length of the window: 90m, 24h, 7d, …, or all.")] = "7d",
    policy: Annotated[str, typer.Option(help="all: each answer; latest: each respondent's newest.")] = "all",
    as_of: Annotated[str | None, typer.Option(help="End of the window, ISO 8601; default now.")] = None,
    known_at: Annotated[str | None, typer.Option(help="Count only what was known then, ISO 8601.")] = None,
    at_least: Annotated[str | None, typer.Option(help="Wait for receipts, partition:offset[,…].")] = None,
    limit: Annotated[int, typer.Option(help="Most answers to show.", min=1)] = 50,
    data: Data = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Show where a score comes from: what is left out, up to where, and the answers, recounted."""
    from services.cli import reading

    params = {"window": window, "policy": policy, "as_of": as_of, "known_at": known_at, "at_least": at_least}
    reading.explain(team, params, limit, data, url, key, as_json=as_json)


@app.command()
def teams(
    window: Annotated[str, typer.Option(help="Length of the window: 90m, 24h, 7d, …, or all.")] = "7d",
    policy: Annotated[str, typer.Option(help="all: each answer; latest: each respondent's newest.")] = "all",
    data: Data = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """List the teams with their scores and open follow-ups."""
    from services.cli import reading

    reading.teams({"window": window, "policy": policy}, data, url, key, as_json=as_json)


@app.command()
def followups(
    team: Annotated[str | None, typer.Option(help="Only this team.")] = None,
    state: Annotated[str | None, typer.Option(help="Only this state: open, acknowledged, …")] = None,
    owner: Annotated[str | None, typer.Option(help="Only this owner.")] = None,
    due_before: Annotated[str | None, typer.Option(help="Only those due before this time, ISO 8601.")] = None,
    limit: Annotated[int, typer.Option(help="Most cases to show.", min=1)] = 50,
    data: Data = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """List follow-up cases, newest first."""
    from services.cli import reading

    params = {"team": team, "state": state, "owner": owner, "due_before": due_before}
    reading.followups(params, limit, data, url, key, as_json=as_json)


Wait = Annotated[float, typer.Option("--wait", help="Seconds to wait until it is seen to be done.", min=1)]
QueryUrl = Annotated[str | None, typer.Option("--query-url", help="Address of the query service, beside --url.")]
Reason = Annotated[str, typer.Option("--reason", help="test, bot, invalid or duplicate_person.")]


@app.command()
def exclude(
    team: Annotated[str, typer.Argument(help="The answer's team.")],
    response_id: Annotated[str, typer.Argument(help="The answer's id.")],
    reason: Reason,
    wait: Wait = 60,
    data: Data = None,
    url: Url = None,
    query_url: QueryUrl = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Do not count an answer, whatever becomes of it, until `include` takes that back."""
    from services.cli import commanding

    where = commanding.doors(data, url, query_url, key)
    commanding.mark("exclude", team, response_id, reason, where, wait, as_json=as_json)


@app.command()
def include(
    team: Annotated[str, typer.Argument(help="The answer's team.")],
    response_id: Annotated[str, typer.Argument(help="The answer's id.")],
    reason: Reason,
    wait: Wait = 60,
    data: Data = None,
    url: Url = None,
    query_url: QueryUrl = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Take an exclusion back: the answer counts again unless another reason stands."""
    from services.cli import commanding

    where = commanding.doors(data, url, query_url, key)
    commanding.mark("include", team, response_id, reason, where, wait, as_json=as_json)


@app.command()
def erase(
    team: Annotated[str | None, typer.Option(help="The team of the answer.")] = None,
    response: Annotated[str | None, typer.Option(help="The id of the answer.")] = None,
    respondent_id: Annotated[str | None, typer.Option(help="A person by the id that answers give.")] = None,
    respondent_email: Annotated[str | None, typer.Option(help="A person by e-mail address.")] = None,
    respondent_phone: Annotated[str | None, typer.Option(help="A person by phone number.")] = None,
    wait: Wait = 60,
    data: Data = None,
    url: Url = None,
    query_url: QueryUrl = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Forget an answer, or all answers of a person, for ever, and print a certificate of it."""
    from services.cli import commanding

    ways = (("id", respondent_id), ("email", respondent_email), ("phone", respondent_phone))
    whom = commanding.Whom(team, response, tuple((name, value) for name, value in ways if value is not None))
    commanding.erase(whom, commanding.doors(data, url, query_url, key), wait, as_json=as_json)


@app.command()
def tail(
    team: Annotated[str | None, typer.Option(help="Only this team.")] = None,
    count: Annotated[int | None, typer.Option(help="Stop after so many events.", min=1)] = None,
    data: Data = None,
    url: Url = None,
    key: Key = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document a line, one for each event.")
    ] = False,
) -> None:
    """Follow scores, follow-ups and corrections as they happen, until Ctrl-C."""
    from services.cli import reading

    reading.tail({"team": team}, count, data, url, key, as_json=as_json)


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
        typer.Option(help="Only this partition; may be given several times.", min=0, max=15, show_default=False),
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Fold the log from its start: to check a worker's state against it, or to make one anew."""
    from services.cli.replay.command import run_replay

    run_replay(verify=verify, rebuild=rebuild, partitions=partition or [], data=data, as_json=as_json)


config = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Settings of the services.")
app.add_typer(config, name="config")


@config.command()
def check(
    services: Annotated[
        list[str] | None, typer.Argument(help="ingest, worker, sink, query, alerts; default all.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Check the PULSE_ variables of the environment: missing, wrong and misspelled ones."""
    from services.cli.configuration import check as check_settings

    check_settings(services or [], as_json=as_json)


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

"""The commands about settings: `pulse config …`, of the services and of the teams."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli.base import app
from services.cli.commands_write import QueryUrl, Wait
from services.cli.instance import Data, Key, Url
from services.cli.output import Json

Teams = Annotated[Path, typer.Option("--teams", help="The file of teams.", envvar="PULSE_TEAMS")]
DEFAULT_TEAMS = Path("teams.toml")

config = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Settings of the services, and what the teams promise."
)
app.add_typer(config, name="config")


@config.command()
def check(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SERVICE|FILE.toml]…",
            help="ingest, worker, sink, query, alerts, or a file of teams; default all services.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a file of teams, or the PULSE_ variables of the environment: missing, wrong and misspelled."""
    files = [Path(name) for name in what or [] if name.endswith(".toml")]
    if files:
        from services.cli.teams.command import check as check_teams

        check_teams(files, [name for name in what or [] if not name.endswith(".toml")], as_json=as_json)
        return
    from services.cli.configuration import check as check_settings

    check_settings(what or [], as_json=as_json)


@config.command()
def show(
    team: Annotated[str, typer.Argument(help="The team.")],
    teams: Teams = DEFAULT_TEAMS,
    as_json: Json = False,
) -> None:
    """Show what a file says of a team: all that holds for it, when it works next, who is on call."""
    from services.cli.teams.command import show as show_team

    show_team(team, teams, as_json=as_json)


@config.command()
def apply(
    file: Annotated[Path, typer.Argument(help="The file of teams.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say which teams would change, and send nothing.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Apply it again whenever it changes, and in time, until Ctrl-C.")
    ] = False,
    wait: Wait = 60,
    data: Data = None,
    url: Url = None,
    query_url: QueryUrl = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Put a file of teams in force: each team whose record differs from what the log has."""
    from services.cli import commanding

    if watch:
        from services.cli.teams.watch import run

        run(file, lambda: commanding.doors(data, url, query_url, key))
        return
    from services.cli.teams.apply import apply as apply_teams

    where = commanding.doors(data, url, query_url, key)
    apply_teams(file, where, wait, dry_run=dry_run, as_json=as_json)


@config.command()
def history(
    team: Annotated[str, typer.Argument(help="The team.")],
    limit: Annotated[int, typer.Option(help="Most policies to show.", min=1, max=199)] = 20,
    data: Data = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Show what a team has promised, and since when."""
    from services.cli.teams.history import history as show_history

    show_history(team, limit, data, url, key, as_json=as_json)

"""The commands about settings: `pulse config …`, of the services and of the teams."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli.base import app
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

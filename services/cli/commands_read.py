"""The commands that read: scores and where they come from, teams, follow-ups, what happens."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.base import app
from services.cli.instance import Data, Key, Url
from services.cli.output import Json


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
    due_in: Annotated[
        str | None, typer.Option("--due-in", help="Only those due within 90m, 2h, 1d, the most urgent first.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Most cases to show.", min=1)] = 50,
    data: Data = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """List follow-up cases, newest first."""
    from services.cli import reading

    params = {"team": team, "state": state, "owner": owner, "due_before": due_before, **reading.within(due_in)}
    reading.followups(params, limit, data, url, key, as_json=as_json)


@app.command()
def recovery(
    team: Annotated[str, typer.Argument(help="The team.")],
    since: Annotated[str | None, typer.Option("--from", help="Only those asked after this time, ISO 8601.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Only those asked up to this time, ISO 8601.")] = None,
    data: Data = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Show what customers say who were asked again after their case was resolved."""
    from services.cli import recovered

    recovered.show(team, {"from": since, "to": until}, data, url, key, as_json=as_json)


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

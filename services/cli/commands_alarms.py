"""The commands about whole teams and happy customers: whose score fell, and who may be asked for a testimonial."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.base import app
from services.cli.instance import Data, Key, Url
from services.cli.output import Json

Team = Annotated[str | None, typer.Argument(help="Only this team; default all.", show_default=False)]


@app.command()
def alarms(
    team: Team = None,
    state: Annotated[str | None, typer.Option(help="Only those that are open, or ended.")] = None,
    limit: Annotated[int, typer.Option(help="Most alarms to show.", min=1, max=200)] = 50,
    data: Data = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """List score alarms, newest first: whose score fell, since when, and how far."""
    from services.cli import reading_alarms

    reading_alarms.alarms({"team": team, "state": state}, limit, data, url, key, as_json=as_json)


@app.command()
def promoters(
    team: Team = None,
    state: Annotated[str | None, typer.Option(help="Only those that are open, or withdrawn.")] = None,
    limit: Annotated[int, typer.Option(help="Most promoters to show.", min=1, max=1_000)] = 50,
    data: Data = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """List promoters who agreed to be asked for a testimonial, newest first, and who was told of them."""
    from services.cli import reading_alarms

    reading_alarms.promoters({"team": team, "state": state}, limit, data, url, key, as_json=as_json)

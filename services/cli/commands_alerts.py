"""The commands about who is told: hold back for a while, tell again what was given up."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.base import app
from services.cli.instance import Data, Key, Url
from services.cli.output import Json

Channel = Annotated[str | None, typer.Option(help="Only this channel (target); default all.")]


@app.command()
def silence(
    team: Annotated[str | None, typer.Argument(help="Only this team; default all.", show_default=False)] = None,
    channel: Channel = None,
    lasts: Annotated[str | None, typer.Option("--for", help="How long: 30m, 2h or 3d; at most 30d.")] = None,
    reason: Annotated[str, typer.Option(help="Why, for others to read.")] = "",
    end: Annotated[str | None, typer.Option(help="End the silence of this id.")] = None,
    data: Data = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Hold back what people are told, for a while; without --for, list what is held back. The board shows it all."""
    from services.cli import alerting

    if end is not None:
        alerting.end(end, data, url, key, as_json=as_json)
    elif lasts is not None:
        alerting.silence(team, channel, lasts, reason, data, url, key, as_json=as_json)
    else:
        alerting.silences(data, url, key, as_json=as_json)


@app.command()
def resend(
    message: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Only this event or message.", show_default=False)
    ] = None,
    channel: Channel = None,
    data: Data = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Tell again what was given up, under its old ids: everything, or that of a channel, or one message."""
    from services.cli import alerting

    alerting.resend(message, channel, data, url, key, as_json=as_json)

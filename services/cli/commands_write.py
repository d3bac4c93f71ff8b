"""The commands that write to the log: an answer is not to be counted, or to be forgotten."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.base import app
from services.cli.instance import Data, Key, Url
from services.cli.output import Json

Wait = Annotated[float, typer.Option("--wait", help="Seconds to wait until it is seen to be done.", min=0.1)]
QueryUrl = Annotated[str | None, typer.Option("--query-url", help="Address of the query service, beside --url.")]
Reason = Annotated[str, typer.Option("--reason", help="test, bot, invalid or duplicate_person.")]


def _mark(kind: str, about: str) -> None:
    """The command `kind`: one reason set on an answer, or taken back."""

    @app.command(kind, help=about)
    def mark(
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
        from services.cli import commanding

        where = commanding.doors(data, url, query_url, key)
        commanding.mark(kind, team, response_id, reason, where, wait, as_json=as_json)


_mark("exclude", "Do not count an answer, whatever becomes of it, until `include` takes that back.")
_mark("include", "Take an exclusion back: the answer counts again unless another reason stands.")


@app.command()
def windows(
    listed: Annotated[
        str | None, typer.Argument(metavar="[LIST]", help="Such as 1h,24h,7d: ascending, none over 366d.")
    ] = None,
    wait: Wait = 60,
    data: Data = None,
    url: Url = None,
    query_url: QueryUrl = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Show the live windows; with a list, say which are live from now on, for every team."""
    from services.cli import commanding

    where = commanding.doors(data, url, query_url, key)
    if listed is None:
        commanding.show_windows(where, as_json=as_json)
    else:
        commanding.set_windows(listed.split(","), where, wait, as_json=as_json)


@app.command()
def erase(
    team: Annotated[str | None, typer.Option(help="The team of the answer.")] = None,
    response: Annotated[str | None, typer.Option(help="The id of the answer.")] = None,
    respondent_id: Annotated[str | None, typer.Option(help="A person by the id that answers give.")] = None,
    respondent_email: Annotated[str | None, typer.Option(help="A person by e-mail address.")] = None,
    respondent_phone: Annotated[str | None, typer.Option(help="A person by phone number.")] = None,
    linked: Annotated[
        bool, typer.Option(help="Erase what the same person gave under another key, where answers hold what is given.")
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be erased.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, on a terminal either.")] = False,
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
    whom = commanding.Whom(team, response, tuple((name, value) for name, value in ways if value is not None), linked)
    where = commanding.doors(data, url, query_url, key)
    commanding.erase(whom, where, wait, dry_run=dry_run, sure=yes, as_json=as_json)

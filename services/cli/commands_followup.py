"""`pulse followup …`: what people do with one follow-up."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from services.cli.base import Commands, app
from services.cli.instance import Data, Key, Url
from services.cli.output import Json

followup = typer.Typer(
    cls=Commands, no_args_is_help=True, rich_markup_mode=None, help="Look at one follow-up, and work on it."
)
app.add_typer(followup, name="followup")

Case = Annotated[str, typer.Argument(help="The case's id; `pulse followups` lists them.")]
Actor = Annotated[str | None, typer.Option("--as", help="Who does it. Default: your user name.", envvar="PULSE_ACTOR")]
Note = Annotated[str | None, typer.Option("--note", help="Something to remember beside it.")]
Seen = Annotated[int | None, typer.Option("--if-n", help="Only if the case still has this many events.", min=0)]
Wait = Annotated[float, typer.Option("--wait", help="Seconds to wait for what comes of it.", min=0.1)]
Medium = Annotated[str | None, typer.Option("--medium", help="phone, e-mail, …")]


def _act(kind: str, case: str, fields: dict[str, Any], options: dict[str, Any]) -> None:
    from services.cli import acting

    acting.act(kind, case, fields, acting.Options(**options))


@followup.command()
def show(case: Case, data: Data = None, url: Url = None, key: Key = None, as_json: Json = False) -> None:
    """Show a follow-up: how it stands, what the customer said, and who did what."""
    from services.cli import acting

    acting.show(case, data, url, key, as_json=as_json)


@followup.command()
def acknowledge(
    case: Case,
    actor: Actor = None,
    note: Note = None,
    if_n: Seen = None,
    wait: Wait = 10,
    data: Data = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """I've got it."""
    _act("acknowledge", case, {}, _options(locals()))


@followup.command()
def assign(
    case: Case,
    owner: Annotated[str | None, typer.Argument(help="Who has it from now on; nobody when left out.")] = None,
    actor: Actor = None,
    note: Note = None,
    if_n: Seen = None,
    wait: Wait = 10,
    data: Data = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Give it to somebody, or to nobody."""
    _act("assign", case, {"owner": owner}, _options(locals()))


@followup.command("note")
def note_(
    case: Case,
    text: Annotated[str, typer.Argument(help="Personal text: it goes when the customer is erased.")],
    actor: Actor = None,
    if_n: Seen = None,
    wait: Wait = 10,
    data: Data = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Write something down."""
    _act("note", case, {"note": text}, _options(locals()))


@followup.command()
def contact(
    case: Case,
    outcome: Annotated[
        str, typer.Argument(help="reached, message_left, replied; no_answer or failed when nobody was reached.")
    ],
    medium: Medium = None,
    actor: Actor = None,
    note: Note = None,
    if_n: Seen = None,
    wait: Wait = 10,
    data: Data = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """The customer was contacted, or it was tried."""
    _act("contact", case, {"outcome": outcome, "medium": medium}, _options(locals()))


@followup.command()
def callback(
    case: Case,
    at: Annotated[str, typer.Argument(help="The time agreed: ISO 8601 with a zone, or from now: 90m, 2h, 1d.")],
    medium: Medium = None,
    actor: Actor = None,
    note: Note = None,
    if_n: Seen = None,
    wait: Wait = 10,
    data: Data = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """The customer is to be called back at a time."""
    _act("callback", case, {"at": at, "medium": medium}, _options(locals()))


@followup.command()
def snooze(
    case: Case,
    until: Annotated[str, typer.Argument(help="Until when: ISO 8601 with a zone, or from now: 90m, 2h, 1d.")],
    actor: Actor = None,
    note: Note = None,
    if_n: Seen = None,
    wait: Wait = 10,
    data: Data = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Nothing to do with it until a time."""
    _act("snooze", case, {"until": until}, _options(locals()))


@followup.command()
def resolve(
    case: Case,
    cause: Annotated[str, typer.Argument(help="Why the customer was unhappy; one of the team's list, if it has one.")],
    actor: Actor = None,
    note: Note = None,
    if_n: Seen = None,
    wait: Wait = 10,
    data: Data = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """It is done."""
    _act("resolve", case, {"cause": cause}, _options(locals()))


@followup.command()
def reopen(
    case: Case,
    actor: Actor = None,
    note: Note = None,
    if_n: Seen = None,
    wait: Wait = 10,
    data: Data = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """It was not done."""
    _act("reopen", case, {}, _options(locals()))


_SHARED = ("actor", "note", "if_n", "wait", "data", "url", "key", "as_json")


def _options(given: dict[str, Any]) -> dict[str, Any]:
    """What every command takes, of all that one was given."""
    return {name: given.get(name) for name in _SHARED}

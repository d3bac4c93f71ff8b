"""`pulse followup …`: what people do with one follow-up."""

from __future__ import annotations

import inspect
from collections.abc import Callable
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
Fields = dict[str, Any]


@followup.command()
def show(case: Case, data: Data = None, url: Url = None, key: Key = None, as_json: Json = False) -> None:
    """Show a follow-up: how it stands, what the customer said, and who did what."""
    from services.cli import acting

    acting.show(case, data, url, key, as_json=as_json)


def _options(
    actor: Actor = None,
    note: Note = None,
    if_n: Seen = None,
    wait: Wait = 10,
    data: Data = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """What every act takes, after what it takes of its own."""


_SHARED = inspect.signature(_options, eval_str=True).parameters


def _act(kind: str) -> Callable[[Callable[..., Fields]], Callable[..., Fields]]:
    """Make a command of a function that gives an act's own fields: its parameters come between the case and the shared
    options, its docstring is the command's help."""

    def made(fields_of: Callable[..., Fields]) -> Callable[..., Fields]:
        own = inspect.signature(fields_of, eval_str=True).parameters
        # A note is all that a note says.
        shared = {name: one for name, one in _SHARED.items() if (kind, name) != ("note", "note")}

        def command(**given: Any) -> None:
            from services.cli import acting

            options = {"note": None} | {name: given[name] for name in shared}
            acting.act(kind, given["case"], fields_of(**{name: given[name] for name in own}), acting.Options(**options))

        case = inspect.Parameter("case", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Case)
        command.__signature__ = inspect.Signature([case, *own.values(), *shared.values()])  # type: ignore[attr-defined]
        command.__doc__ = fields_of.__doc__
        followup.command(kind)(command)
        return fields_of

    return made


@_act("acknowledge")
def acknowledge() -> Fields:
    """I've got it."""
    return {}


@_act("assign")
def assign(
    owner: Annotated[str | None, typer.Argument(help="Who has it from now on; nobody when left out.")] = None,
) -> Fields:
    """Give it to somebody, or to nobody."""
    return {"owner": owner}


@_act("note")
def note_(text: Annotated[str, typer.Argument(help="Personal text: it goes when the customer is erased.")]) -> Fields:
    """Write something down."""
    return {"note": text}


@_act("contact")
def contact(
    outcome: Annotated[
        str, typer.Argument(help="reached, message_left, replied; no_answer or failed when nobody was reached.")
    ],
    medium: Medium = None,
) -> Fields:
    """The customer was contacted, or it was tried."""
    return {"outcome": outcome, "medium": medium}


@_act("callback")
def callback(
    at: Annotated[str, typer.Argument(help="The time agreed: ISO 8601 with a zone, or from now: 90m, 2h, 1d.")],
    medium: Medium = None,
) -> Fields:
    """The customer is to be called back at a time."""
    return {"at": at, "medium": medium}


@_act("snooze")
def snooze(
    until: Annotated[str, typer.Argument(help="Until when: ISO 8601 with a zone, or from now: 90m, 2h, 1d.")],
) -> Fields:
    """Nothing to do with it until a time."""
    return {"until": until}


@_act("resolve")
def resolve(
    cause: Annotated[str, typer.Argument(help="Why the customer was unhappy; one of the team's list, if it has one.")],
) -> Fields:
    """It is done."""
    return {"cause": cause}


@_act("reopen")
def reopen() -> Fields:
    """It was not done."""
    return {}

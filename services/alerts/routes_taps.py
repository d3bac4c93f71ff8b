"""The page behind a link of a message. GET shows the case and a button; only the button's POST acts."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qs, quote, unquote

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from schemas.followups import FollowupEvent
from services.alerts.channels import Told
from services.alerts.ledger import Ledger
from services.alerts.outcomes import DONE, Outcomes
from services.alerts.people import Absence, People, Text
from services.alerts.taps import LABELS, PATH, Tap, Taps
from services.alerts.targets import wording
from services.common import docs
from services.common.acts import Acts
from services.common.clock import wall_clock_ms
from services.common.problems import Unavailable
from stream.domain.moves import allowed

WAIT_S: Final = 2.0
_TEXT_S: Final = 1.0
_MOST_BYTES: Final = 2_048
_COOKIE: Final = "pulse_who"
_COOKIE_S: Final = 180 * 86_400
_STYLE: Final = docs.STYLE.decode() + (files("services.alerts.pages") / "tap.css").read_text(encoding="utf-8")
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
_PAGES: Final = Environment(
    loader=PackageLoader("services.alerts", "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_REFUSED: Final = {
    "stale": "The case has changed meanwhile.",
    "not_allowed": "That cannot be done with the case as it stands now.",
    "unknown_case": "There is no such case any more.",
}


@dataclass(frozen=True, slots=True)
class Counter:
    """What the page needs. `board` is the address of the board, `secure` whether people come by https."""

    taps: Taps
    ledger: Ledger
    people: People
    acts: Acts
    outcomes: Outcomes
    board: str
    secure: bool


def router(counter: Counter) -> APIRouter:
    """The routes of the page."""
    routes = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @routes.get(PATH + "{token}")
    async def show(request: Request, token: str) -> HTMLResponse:
        """What the case is, and the button. Does nothing else: scanners follow links."""
        tap = counter.taps.read(token)
        if not isinstance(tap, Tap):
            return _gone(tap)
        event = await counter.ledger.case(tap.case_id)
        who = unquote(request.cookies.get(_COOKIE, ""))
        return await _case(counter, tap, event, said=_not_now(tap, event), who=who if _is_name(who) else "")

    @routes.post(PATH + "{token}")
    async def act(request: Request, token: str) -> HTMLResponse:
        """Do it, once, and say what came of it."""
        tap = counter.taps.read(token)
        if not isinstance(tap, Tap):
            return _gone(tap)
        event = await counter.ledger.case(tap.case_id)
        known = await counter.outcomes.wait(tap.command_id, 0)
        refusal = None if known else _not_now(tap, event)
        if refusal is not None:
            return await _case(counter, tap, event, status=409, said=refusal)
        who = await _name(request)
        if who is None:
            said = "Please give your name: one line, at most 64 characters."
            return await _case(counter, tap, event, status=422, said=said, who="")
        if known is None:
            try:
                await counter.acts.publish(tap.team, tap.command(who, wall_clock_ms()))
            except Unavailable as error:
                said = "It could not be put on record just now. Please press the button again in a moment."
                sorry = await _case(counter, tap, event, status=503, said=said, who=who)
                sorry.headers["Retry-After"] = str(error.retry_after_s or 1)
                return sorry
            known = await counter.outcomes.wait(tap.command_id, WAIT_S)
        said = {
            DONE: f"Done: “{LABELS[tap.action]}” is on record.",
            None: "Passed on. It will be on the board in a moment.",
        }.get(known) or _REFUSED.get(str(known), "It was refused: the board says why.")
        status = 200 if known in (DONE, None) else 409
        answer = await _case(counter, tap, await counter.ledger.case(tap.case_id), status=status, said=said, done=True)
        answer.set_cookie(
            _COOKIE, quote(who), max_age=_COOKIE_S, path=PATH, secure=counter.secure, httponly=True, samesite="lax"
        )
        return answer

    return routes


def _not_now(tap: Tap, event: FollowupEvent | None) -> str | None:
    """Why the case as it stands has no use for this; None: it may be done."""
    if event is None or tap.action in allowed(event.case.state):
        return None
    return f"Nothing to do: the case is {event.case.state}."


def _is_name(text: str) -> bool:
    return 0 < len(text) <= 64 and text.isprintable() and text == text.strip()


async def _name(request: Request) -> str | None:
    """The name in a form; None: none that makes sense."""
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > _MOST_BYTES:
            return None
    try:
        name = parse_qs(raw.decode(), max_num_fields=5).get("who", [""])[0].strip()
    except ValueError:  # not UTF-8, or too many fields
        return None
    return name if _is_name(name) else None


def _page(status: int, **values: Any) -> HTMLResponse:
    blank: dict[str, Any] = {"said": "", "comment": "", "facts": [], "button": "", "who": "", "board": ""}
    text = _PAGES.get_template("tap.html").render(style=Markup(_STYLE), **(blank | values))  # noqa: S704 # our own file
    return HTMLResponse(text, status_code=status, headers=_HEADERS)


def _gone(why: str) -> HTMLResponse:
    if why == "expired":
        said = "Links work for seven days. The board has the case as it stands."
        return _page(410, heading="This link has expired", said=said)
    return _page(404, heading="This is no link of ours", said="Perhaps a part of it was lost on the way.")


async def _case(
    counter: Counter,
    tap: Tap,
    event: FollowupEvent | None,
    *,
    status: int = 200,
    said: str | None = None,
    who: str = "",
    done: bool = False,
) -> HTMLResponse:
    """The case, with the button where it may still be pressed."""
    button = "" if done or _not_now(tap, event) else LABELS[tap.action]
    if event is None:  # told long ago, or by another instance: what can be done is all there is to say
        return _page(
            status, heading=f"A case of {tap.team}", said=said or "", button=button, who=who, board=counter.board
        )
    case = event.case
    found = await counter.people.expect(case, _TEXT_S)
    missing = found if isinstance(found, Absence) else None
    told = Told(event, found if isinstance(found, Text) else None, missing)
    facts: list[tuple[str, str, str]] = [("State", case.state, "")]
    if case.owner:
        facts.append(("Owner", case.owner, ""))
    # A date is not broken over two lines.
    facts.append(("Deadline", wording.deadline(told).replace("-", "\u2011"), ""))
    facts += [(label, value, _href(label, value)) for label, value in wording.contact(told)]
    return _page(
        status,
        heading=f"{case.score} of 10 in {case.team}",
        said=said or "",
        comment=wording.comment(told, 4_000) or "",
        facts=facts,
        button=button,
        who=who,
        board=counter.board,
    )


def _href(label: str, value: str) -> str:
    """What a thumb would do with it."""
    if label == "Phone":
        return f"tel:{quote(value, safe='+')}"
    return f"mailto:{quote(value, safe='@')}" if label == "E-mail" else ""

"""The page, its pieces, signing in and out, and the API's description for people."""

from __future__ import annotations

import asyncio
import hashlib
import re
from importlib.resources import files
from typing import Annotated, Any, Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from pydantic import StringConstraints

from schemas.responses import TEAM_PATTERN
from services.common import docs
from services.common.problems import Invalid, NotFound, TooLarge, Unavailable
from services.query.board import Shown, read_board, read_waiting, window_links, window_of
from services.query.deps import Own, at_least, reader, same_site, signed_in
from services.query.params import AsOf, Cursor, KnownAt, PolicyParam, Window
from services.query.routes_explain import explained
from services.query.scores import live_windows
from services.query.sessions import LIFE_S
from services.query.words import headline, named_window_text
from stream.domain.minutes import window_name

Names = list[Annotated[str, StringConstraints(pattern=TEAM_PATTERN)]]

ANSWERS_A_PAGE: Final = 100
_MAX_FORM: Final = 2_048
_LOOK_BACK_S: Final = 5.0  # an event may run ahead of its rows: streams of a page begin a little before it was read
_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_STATIC: Final[dict[str, bytes]] = {"base.css": docs.STYLE} | {
    item.name: item.read_bytes()
    for item in (files("services.query.pages") / "static").iterdir()
    if item.name.rpartition(".")[2] in _TYPES
}
_TAGS: Final = {name: hashlib.sha256(content).hexdigest()[:16] for name, content in _STATIC.items()}
_PAGES: Final = Environment(
    loader=PackageLoader("services.query.pages"),
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def _address(name: str) -> str:
    """Where a static file is; another address once it has changed."""
    return f"/static/{name}?v={_TAGS[name]}"


_PAGES.globals["static"] = _address

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


def render(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page. Everything put into it is escaped."""
    return HTMLResponse(_PAGES.get_template(template).render(**values), status_code=status)


def missing(status: int, heading: str, detail: str) -> HTMLResponse:
    """What there is not, with the way back to the board."""
    return render("missing.html", status, heading=heading, detail=detail)


def unavailable(problem: Unavailable) -> HTMLResponse:
    """The store does not answer; the page tries again by itself."""
    answer = render("problem.html", problem.status)
    answer.headers.update(problem.headers())
    return answer


@router.get("/")
async def get_board(
    request: Request,
    own: Own,
    window: Window = "7d",
    after: Annotated[str, Query(max_length=64)] = "",
    cases: Shown = "open",
) -> Response:
    """Scores and follow-ups; without a session, a form to sign in. A window that is not live: the usual one."""
    if not signed_in(own, request):
        return render("sign_in.html", wrong=False)
    since = own.feed.event_id(own.feed.number_before(asyncio.get_running_loop().time() - _LOOK_BACK_S))
    try:
        live = await live_windows(own.store)
        minutes = window_of(live, window)
        board = await read_board(own, minutes, after)
        waiting = await read_waiting(own, cases)
    except Unavailable as problem:
        return unavailable(problem)
    return render(
        "board.html",
        board=board,
        waiting=waiting,
        window=window_name(minutes),
        windows=window_links(live),
        after=after,
        since=since,
    )


@router.get("/fragments/cards", dependencies=[Depends(reader), Depends(at_least)])
async def get_cards(
    own: Own,
    window: Window = "7d",
    after: Annotated[str, Query(max_length=64)] = "",
    team: Annotated[Names, Query(max_length=100)] = [],  # noqa: B006  FastAPI copies the default
) -> Response:
    """The score cards: a page of teams, or only the teams named."""
    minutes = window_of(await live_windows(own.store), window)
    board = await read_board(own, minutes, after, sorted(set(team)) or None)
    return render("cards.html", board=board, window=window_name(minutes), after=after)


@router.get("/fragments/followups", dependencies=[Depends(reader), Depends(at_least)])
async def get_cases(
    own: Own,
    window: Window = "7d",
    after: Annotated[str, Query(max_length=64)] = "",
    cases: Shown = "open",
) -> Response:
    """The follow-ups that wait, or those that closed last. `window` and `after` are kept by its links."""
    return render("followups.html", waiting=await read_waiting(own, cases), window=window, after=after)


@router.get("/teams/{team}/explain")
async def get_explanation(
    request: Request,
    own: Own,
    team: str,
    window: Window = "7d",
    policy: PolicyParam = "all",
    as_of: AsOf = None,
    known_at: KnownAt = None,
    cursor: Cursor = None,
) -> Response:
    """Where a team's score comes from, for people. A name that no team can have is that of no team."""
    if not signed_in(own, request):
        return render("sign_in.html", wrong=False)
    try:
        if re.search(TEAM_PATTERN, team) is None:
            raise NotFound("no team can have this name")
        found = await explained(own, team, window, policy, as_of, known_at, ANSWERS_A_PAGE, cursor)
    except NotFound as problem:
        return missing(problem.status, "There is no such team", f"No answer has come for a team called {team[:64]}.")
    except Invalid as problem:
        return missing(problem.status, "This address leads nowhere", "Something in it is not as Pulse writes it.")
    except Unavailable as problem:
        return unavailable(problem)
    return render(
        "explain.html",
        found=found,
        answers=found.items,
        headline=headline(found),
        length=named_window_text(found.window),
        first=cursor is None,
    )


@router.get("/session", status_code=204, response_class=Response, dependencies=[Depends(reader)])
async def get_session() -> None:
    """Whether this browser is signed in: 204, or 401. Asks no store."""


@router.post("/login")
async def post_login(request: Request, own: Own) -> Response:
    """Exchange a key for a session."""
    same_site(request)
    form = parse_qs((await _small_body(request)).decode("utf-8", "replace"), max_num_fields=10)
    token = own.sessions.begin(form.get("key", [""])[0].strip(), own.now_ms())
    if token is None:
        return render("sign_in.html", status=401, wrong=True)
    answer = RedirectResponse("/", status_code=303)
    answer.set_cookie(
        own.sessions.cookie,
        token,
        max_age=LIFE_S,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@router.post("/logout")
async def post_logout(request: Request, own: Own) -> Response:
    """Forget the session in this browser."""
    same_site(request)
    answer = RedirectResponse("/", status_code=303)
    answer.delete_cookie(own.sessions.cookie, httponly=True, samesite="strict")
    return answer


@router.get("/docs")
async def get_docs(request: Request) -> Response:
    """The API's description for people."""
    style, icon = _address("base.css"), _address("icon.svg")
    page = docs.render(request.app.openapi(), home="/", style=style, icon=icon, keys="a read or admin key")
    return HTMLResponse(page)


@router.get("/static/{name}")
async def get_static(name: str, request: Request) -> Response:
    """Style, script and icon. Their addresses change with their content, so browsers may keep them."""
    if name not in _STATIC:
        raise NotFound("there is no such file")
    tag = f'"{_TAGS[name]}"'
    headers = {"Cache-Control": "public, max-age=86400", "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(_STATIC[name], media_type=_TYPES[name.rpartition(".")[2]], headers=headers)


async def _small_body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM:
            raise TooLarge(f"the form may have at most {_MAX_FORM} bytes")
    return body

"""What the routes work with, made once in `app.py`, and the dependencies that guard them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, cast
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials

from services.common.acts import Acts
from services.common.keys import Keyring
from services.common.problems import Forbidden, Unauthorized
from services.common.settings import QuerySettings
from services.query.feed import Feed
from services.query.log import Log
from services.query.outcomes import Outcomes
from services.query.params import AtLeast, parse_receipt, refuse_unknown
from services.query.position import Sunk
from services.query.sessions import Sessions
from services.query.store import Store


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a route may need. `now_ms` is the clock."""

    settings: QuerySettings
    store: Store
    log: Log
    acts: Acts
    outcomes: Outcomes
    sunk: Sunk
    feed: Feed
    keyring: Keyring
    sessions: Sessions
    now_ms: Callable[[], int]


def services(request: Request) -> Services:
    """The app's services."""
    return cast(Services, request.app.state.services)


Own = Annotated[Services, Depends(services)]
_bearer = HTTPBearer(auto_error=False, description="a read or admin key; browsers may carry a session cookie instead")


def signed_in(own: Services, request: Request) -> bool:
    """Whether the request carries a session of ours."""
    return own.sessions.holds(request.cookies.get(own.sessions.cookie), own.now_ms())


async def reader(
    request: Request, own: Own, _: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> None:
    """A dependency: 401 without a key or session of ours, 403 for a key that may not read."""
    header = request.headers.get("authorization")
    if header is None:
        if not signed_in(own, request):
            raise Unauthorized("send Authorization: Bearer with a read key, or sign in at /")
        return
    rights = own.keyring.rights(header.encode("latin-1"))
    if rights is None:
        raise Unauthorized("this key is not known")
    if "read" not in rights:
        raise Forbidden("a read or admin key is needed")


async def actor(
    request: Request, own: Own, _: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> None:
    """A dependency: 401 without a key or session of ours, 403 for a key that may not act, or a form of another site."""
    header = request.headers.get("authorization")
    if header is None:
        await reader(request, own, None)
        same_site(request)
        return
    rights = own.keyring.rights(header.encode("latin-1"))
    if rights is None:
        raise Unauthorized("this key is not known")
    if "act" not in rights:
        raise Forbidden("a read or admin key is needed")


def same_site(request: Request) -> None:
    """Refuse what another site's page sends. Raises Forbidden.

    Browsers say where a request comes from; one too old to do so still sends an Origin. A client that is no browser
    sends neither, and carries no cookie either.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        elsewhere = site not in ("same-origin", "none")
    else:
        elsewhere = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if elsewhere:
        raise Forbidden("forms are taken from this site's own pages only")


async def at_least(own: Own, at_least: AtLeast = []) -> None:  # noqa: B006  FastAPI copies the default
    """A dependency: wait until the receipts that a request names can be read; 503 after 5 s."""
    await own.sunk.reach(parse_receipt(receipt) for receipt in at_least)


# Who may read; which parameters there are; and only then waiting, for that may take seconds.
READ = [Depends(reader), Depends(refuse_unknown)]
READ_AT_LEAST = [*READ, Depends(at_least)]
ACT = [Depends(actor), Depends(refuse_unknown), Depends(at_least)]

"""Commands of an operator: do not count an answer, count it again, forget an answer or a person, set windows, promise.

Each passes, in this order: an admin key, its type and size, its fields, the log. Doing one twice is harmless, so a
503 may always be sent again. Their OpenAPI operations stand in `openapi.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
import structlog
from fastapi import APIRouter, Depends, Request, Response
from msgspec import inspect

from schemas.commands import (
    ErasureAccepted,
    ErasureFound,
    ErasureIn,
    KnownAs,
    MarkIn,
    PersonIn,
    PolicyAccepted,
    WhoseKey,
    WindowsAccepted,
    WindowsIn,
)
from schemas.feedback import Erase, EraseRespondent, Exclude, Include, Policy, Windows
from schemas.generations import FIRST, Generation
from schemas.responses import Accepted, FieldError, RespondentIn, ResponseId, Team
from services.common.clock import wall_clock_ms
from services.common.keys import Keyring
from services.common.problems import Forbidden, Invalid, Problem, Unauthorized, Unavailable
from services.ingest import metrics, strict
from services.ingest.body import JSON, SINGLE_LIMIT, Gone, media_type, read_body
from services.ingest.policies import policy_in
from services.ingest.port import NotHeld, Outgoing, Publisher
from services.ingest.whose import Secrets, Stored, Whole, whole
from stream.domain.minutes import are_windows, parse_window

EXCLUDE_PATH: Final = "/v1/teams/{team}/responses/{response_id}/exclude"
INCLUDE_PATH: Final = "/v1/teams/{team}/responses/{response_id}/include"
ERASE_PATH: Final = "/v1/teams/{team}/responses/{response_id}"
ERASURES_PATH: Final = "/v1/erasures"
WINDOWS_PATH: Final = "/v1/windows"
KEYS_PATH: Final = "/v1/respondent-keys"
POLICY_PATH: Final = "/v1/teams/{team}/policy"
RETRY_AFTER_S: Final = 1
AT_ONCE: Final = 500  # erasures of single answers on their way to the log

log = structlog.get_logger()
Body = TypeVar("Body", MarkIn, WhoseKey, ErasureIn, WindowsIn)
_IN_PATH: Final[dict[str, inspect.Type]] = {
    "team": inspect.type_info(Team),
    "response_id": inspect.type_info(ResponseId),
}


def router(
    publisher: Publisher,
    keyring: Keyring,
    secrets: Secrets,
    generation: Generation = FIRST,
    stored: Stored | None = None,
) -> APIRouter:
    """The routes. Their answers are written by msgspec, like those of the hot ones.

    `stored`: where to look for everything that a person has said; None: an erasure is what the fold knows.
    """
    routes = APIRouter(dependencies=[Depends(_admin(keyring))], include_in_schema=False)
    one = partial(_one, publisher, generation)

    @routes.post(EXCLUDE_PATH)
    async def exclude(request: Request) -> Response:
        team, response_id = _named(request)
        asked = await _body(request, MarkIn)
        return await one("exclude", team, response_id, Exclude(response_id, asked.reason))

    @routes.post(INCLUDE_PATH)
    async def include(request: Request) -> Response:
        team, response_id = _named(request)
        asked = await _body(request, MarkIn)
        return await one("include", team, response_id, Include(response_id, asked.reason))

    @routes.delete(ERASE_PATH)
    async def erase(request: Request) -> Response:
        team, response_id = _named(request)
        return await one("erase", team, response_id, Erase(response_id))

    @routes.post(ERASURES_PATH)
    async def erase_respondent(request: Request) -> Response:
        asked = await _body(request, ErasureIn)
        found = Whole(_key_asked(asked, secrets))
        if stored is not None:
            person = asked.respondent if asked.linked else None
            found = await whole(stored, found.key, person, secrets, wall_clock_ms())
        searched, linked, by_id = stored is not None, list(found.linked), len(found.forgotten)
        if asked.dry_run:
            return _reply(200, ErasureFound(found.key, searched, found.answers, linked, by_id))
        receipts = await _forget(publisher, generation, found)
        return _reply(202, ErasureAccepted(found.key, receipts, searched, found.answers, linked, by_id))

    @routes.post(WINDOWS_PATH)
    async def set_windows(request: Request) -> Response:
        minutes = _minutes(await _body(request, WindowsIn))
        receipts = await _everywhere(publisher, generation, "windows", Windows(minutes))
        return _reply(202, WindowsAccepted(list(minutes), receipts))

    @routes.put(POLICY_PATH)
    async def set_policy(request: Request) -> Response:
        team = _in_path(request)["team"]
        try:
            policy = await policy_in(await _json(request), wall_clock_ms())
        except Invalid as invalid:
            raise _counted(invalid) from None
        (receipt,) = await _held(publisher, "policy", [_outgoing(generation, team, policy)])
        return _reply(202, PolicyAccepted(team, policy.rev, receipt, policy.until_ms))

    @routes.post(KEYS_PATH)
    async def known_as(request: Request) -> Response:
        asked = await _body(request, WhoseKey)
        return _reply(200, KnownAs(_key_of(asked.respondent, secrets)))

    return routes


def _admin(keyring: Keyring) -> Any:
    async def admin(request: Request) -> None:
        header = request.headers.get("authorization")
        rights = keyring.rights(None if header is None else header.encode("latin-1"))
        if rights is None:
            raise _counted(Unauthorized("send Authorization: Bearer and an admin key"))
        if "admin" not in rights:
            raise _counted(Forbidden("this key may not command; use an admin key"))

    return admin


def _named(request: Request) -> tuple[str, str]:
    """Team and id out of the address. Raises Invalid with `team`, `response_id` or both."""
    found = _in_path(request)
    return found["team"], found["response_id"]


def _in_path(request: Request) -> dict[str, str]:
    """What the address names. Raises Invalid with each that is wrong."""
    found: dict[str, str] = request.path_params
    errors = [error for name, value in found.items() for error in strict.walk(value, _IN_PATH[name], name)]
    if errors:
        raise _counted(strict.invalid(errors))
    return found


async def _body(request: Request, of: type[Body]) -> Body:
    """The body, checked like that of an answer.

    Raises:  what `_json` raises; Invalid with the path of every bad field.
    """
    value: Any = await _json(request)
    errors = [*strict.walk(value, inspect.type_info(of))]
    if isinstance(value, strict.Members):
        errors += _rules(value, of)
    if errors:
        raise _counted(strict.invalid(strict.told(errors)))
    return msgspec.convert(value, of)


async def _json(request: Request) -> Any:
    """The body as it is read, unchecked. Raises UnsupportedMedia, TooLarge, TooSlow, NotJson."""
    headers = dict(request.scope["headers"])
    try:
        media_type(headers, (JSON,))
        return strict.load(await read_body(request.receive, headers, SINGLE_LIMIT))
    except Gone:
        raise Problem("the client is gone") from None
    except Problem as problem:
        raise _counted(problem) from None


def _rules(value: strict.Members, of: type[Body]) -> Iterator[FieldError]:
    """What the types cannot say: of some members exactly one is given."""
    if of is ErasureIn and (value.get("respondent") is None) == (value.get("respondent_key") is None):
        yield FieldError("respondent", "give either respondent or respondent_key")
    person = value.get("respondent")
    if isinstance(person, strict.Members) and sum(person.get(name) is not None for name in _WAYS) != 1:
        yield FieldError("respondent", "give exactly one of id, email and phone")


_WAYS: Final = PersonIn.__struct_fields__


def _key_asked(asked: ErasureIn, secrets: Secrets) -> str:
    if asked.respondent is None:
        return asked.respondent_key or ""
    return _key_of(asked.respondent, secrets)


def _key_of(person: PersonIn, secrets: Secrets) -> str:
    """The key that this person's answers have. Raises Invalid for a phone number that cannot be read: it has none."""
    who = RespondentIn(id=person.id, email=person.email, phone=person.phone)
    key = secrets.key_of(who)
    if key is None:
        unknown = FieldError("respondent.phone", "is no phone number that answers could be known by")
        raise _counted(strict.invalid([unknown]))
    return key


def _minutes(asked: WindowsIn) -> tuple[int, ...]:
    """The windows in minutes. Raises Invalid for a list that the fold would not take."""
    try:
        minutes = tuple(parse_window(window) or 0 for window in asked.windows)
    except ValueError:  # more days than there are
        minutes = ()
    if not are_windows(minutes):
        raise _counted(strict.invalid([FieldError("windows", "must ascend, and none may be over 366d")]))
    return minutes


async def _one(
    publisher: Publisher,
    generation: Generation,
    kind: metrics.Command,
    team: str,
    response_id: str,
    record: Exclude | Include | Erase,
) -> Response:
    (receipt,) = await _held(publisher, kind, [_outgoing(generation, team, record)])
    return _reply(202, Accepted(response_id, receipt))


def _outgoing(generation: Generation, team: str, record: Exclude | Include | Erase | Policy) -> Outgoing:
    key = team.encode()
    response_id = "" if isinstance(record, Policy) else record.response_id
    return Outgoing(response_id, key, generation.partition_of(key), msgspec.json.encode(record))


async def _forget(publisher: Publisher, generation: Generation, found: Whole) -> list[Any]:
    """A person by each key, and by its id each answer that the fold has forgotten who gave. Raises Unavailable."""
    receipts = []
    for key in found.keys:
        receipts += await _everywhere(publisher, generation, "erase_respondent", EraseRespondent(key))
    for start in range(0, len(found.forgotten), AT_ONCE):
        some = found.forgotten[start : start + AT_ONCE]
        records = [_outgoing(generation, one.team, Erase(one.response_id)) for one in some]
        receipts += await _held(publisher, "erase", records)
    return receipts


async def _everywhere(
    publisher: Publisher, generation: Generation, kind: metrics.Command, record: EraseRespondent | Windows
) -> list[Any]:
    """It concerns every team, so one record stands in every partition; held means held by all of them."""
    encoded = msgspec.json.encode(record)
    outgoing = [Outgoing("", None, partition, encoded) for partition in generation.numbers()]
    return await _held(publisher, kind, outgoing)


async def _held(publisher: Publisher, kind: metrics.Command, outgoing: list[Outgoing]) -> list[Any]:
    """The receipts of all, in their order. Raises Unavailable unless the log acknowledged every one."""
    refusal = publisher.refusal()
    if refusal is not None:
        raise _again(kind, refusal)
    outcomes = await publisher.publish_all(outgoing)
    lost = [outcome for outcome in outcomes if isinstance(outcome, NotHeld)]
    if lost:
        raise _again(kind, lost[0].reason)
    metrics.COMMANDS.labels(kind, "accepted").inc()
    log.info("command_held", kind=kind, records=len(outcomes))
    return outcomes


def _again(kind: metrics.Command, reason: str) -> Unavailable:
    metrics.COMMANDS.labels(kind, "retry").inc()
    return _counted(Unavailable(f"{reason}; send the command again, that is safe", retry_after_s=RETRY_AFTER_S))


Known = TypeVar("Known", bound=Problem)


def _counted(problem: Known) -> Known:
    metrics.PROBLEMS.labels(problem.code).inc()
    return problem


def _reply(status: int, body: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(body), status_code=status, media_type="application/json")

"""What people do with a case: the command goes to the log, and the answer says what came of it there.

Only the fold decides. The route waits a second for it; then it says where the outcome will stand.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Header, Path, Request, Response
from msgspec import structs
from pydantic import BaseModel

from schemas.feedback import Act, ActKind
from schemas.followups import Refused
from services.common.problems import Conflict, NotFound, Problem, Stale, TooLarge, Unavailable, UnsupportedMedia
from services.query import acting, commands, followups
from services.query.acting import ActIn
from services.query.commands import CommandRow
from services.query.deps import ACT, READ_AT_LEAST, Own, Services
from services.query.followups import CaseRow
from services.query.outcomes import Outcome
from services.query.params import from_ms, invalid
from services.query.people import Personal, look_up
from services.query.routes_followups import CaseId, case_members
from services.query.views import AcceptedView, CommandView, FollowupView

WAIT_S: Final = 1.0
COMMANDS: Final = "/followups/{id}/commands/{command_id}"

router = APIRouter(prefix="/v1", tags=["follow-ups"])

_ABOUT: Final[dict[ActKind, str]] = {
    "acknowledge": "I've got it",
    "assign": "Give a case to somebody, or to nobody",
    "note": "Write something down about a case",
    "contact": "The customer was contacted, or an attempt was made",
    "callback": "Agree on a time to call the customer back",
    "snooze": "Nothing to do with a case until a time",
    "resolve": "A case is done",
    "reopen": "A resolved case is not done",
}
_DETAILS: Final = {
    "unknown_case": "there is no such case any more",
    "stale": "the case has changed since; read it again",
    "time_is_past": "the time lies in the past",
    "nobody_unhappy": "no answer of the case asks for it any more",
    "nobody_left": "every answer of the case is erased, so nothing may be written about it",
    "too_many_notes": "the case has as many notes as it can hold",
}


@router.get(COMMANDS, summary="What has become of a command", dependencies=READ_AT_LEAST)
async def get_command(
    own: Own, case_id: CaseId, command_id: Annotated[uuid.UUID, Path(description="the command's id")]
) -> CommandView:
    """Where a 202 points. 404 for an unknown case; a command that nothing is known of is `pending`."""
    await _team_of(own, str(case_id))
    return CommandView(**await _became(own, str(case_id), str(command_id)))


async def act(
    kind: ActKind, body: type[ActIn], own: Services, request: Request, case_id: str, key: str | None, match: str | None
) -> Response:
    """Everything that the routes below do: check, publish, wait, answer."""
    expect_n, key = acting.parse_match(match), acting.check_key(key)
    asked = acting.parse(await _body(request), body)
    command = acting.command(kind, case_id, asked, expect_n, key)
    team = await _team_of(own, case_id)
    known = None if key is None else await _known(own, command)
    if known is None:
        await own.acts.publish(team, command, asked.note)
        known = await own.outcomes.wait(command.command_id, WAIT_S) or await _stored(own, command)
    if known is None:
        address = "/v1" + COMMANDS.format(id=case_id, command_id=command.command_id)
        pending = AcceptedView(**_view(case_id, command.command_id, None), status_url=address)
        return _reply(202, pending, {"Location": address})
    _same(known, command)
    return await _told(own, known)


def _endpoint(kind: ActKind, body: type[ActIn]) -> Callable[..., Awaitable[Response]]:
    async def endpoint(
        request: Request,
        own: Own,
        case_id: CaseId,
        idempotency_key: Annotated[
            str | None, Header(description="makes it safe to send the request again: it is the same command")
        ] = None,
        if_match: Annotated[
            str | None, Header(description='the `n` of the case as it was seen, such as `"4"`: 412 once it has changed')
        ] = None,
    ) -> Response:
        return await act(kind, body, own, request, str(case_id), idempotency_key, if_match)

    endpoint.__doc__ = body.__doc__
    return endpoint


for _kind, _body_type in acting.BODIES.items():
    router.add_api_route(
        f"/followups/{{id}}/{_kind}",
        _endpoint(_kind, _body_type),
        methods=["POST"],
        dependencies=ACT,
        name=_kind,
        operation_id=f"{_kind}_followup",
        summary=_ABOUT[_kind],
        response_model=FollowupView,
        responses={
            202: {"model": AcceptedView, "description": "The log holds it; what becomes of it is not known yet"}
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{_body_type.__name__}"}}},
            }
        },
    )


async def _body(request: Request) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMedia("send application/json")
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > acting.MOST_BYTES:
            raise TooLarge(f"a body may have at most {acting.MOST_BYTES} bytes")
    return raw


async def _team_of(own: Services, case_id: str) -> str:
    """The team of a case. Raises NotFound; one that was raised this moment may not be stored yet."""
    recent = own.outcomes.case(case_id)
    if recent is not None:
        return recent.team
    stored = await followups.one(own.store, case_id)
    if stored is None:
        raise NotFound("there is no follow-up case with this id")
    return stored.team


# -- outcomes ------------------------------------------------------------------------------------------------------

Known = Outcome | CommandRow


async def _known(own: Services, command: Act) -> Known | None:
    """What has become of a command that may have been sent before."""
    return own.outcomes.of(command.command_id) or await commands.command(own.store, command.case_id, command.command_id)


async def _stored(own: Services, command: Act) -> CommandRow | None:
    """The same from the store alone, once it was not told in time. An outage there takes nothing back."""
    try:
        return await commands.command(own.store, command.case_id, command.command_id)
    except Unavailable:
        return None


def _same(known: Known, command: Act) -> None:
    """Raises Invalid when another command has been sent with this key."""
    before = msgspec.json.decode(known.act, type=Act) if isinstance(known, CommandRow) else known.act
    if before is not None and structs.replace(before, note=None) != structs.replace(command, note=None):
        raise invalid("Idempotency-Key", "has been used for another command on this case")


async def _told(own: Services, known: Known) -> Response:
    """200 with the case; else raises the problem that says why not."""
    if isinstance(known, Refused):
        raise _refusal(known.reason, known.state, known.n, known.allowed, known.causes)
    if isinstance(known, CommandRow):
        if known.refused_for:
            raise _refusal(known.refused_for, known.state or None, known.n or None, known.allowed, known.causes)
        case_id = msgspec.json.decode(known.act, type=Act).case_id
        case = await followups.one(own.store, case_id)
        if case is None:
            raise NotFound("there is no follow-up case with this id")
    else:
        recent = own.outcomes.case(known.case.case_id) or known.case
        case = followups.row_of(max(recent, known.case, key=lambda case: case.version))
    view = FollowupView(**case_members(case, await _text(own, case), own.now_ms()))
    return _reply(200, view, {"ETag": f'"{case.n}"'})


async def _text(own: Services, case: CaseRow) -> Personal | None:
    """The case is as it is also while its text cannot be looked up."""
    try:
        return (await look_up(own.store, [(case.team, case.response_id)])).get((case.team, case.response_id))
    except Unavailable:
        return None


def _refusal(reason: str, state: str | None, n: int | None, may: Sequence[str], causes: Sequence[str]) -> Problem:
    detail = _DETAILS.get(reason, reason)
    if reason == "not_allowed":
        detail = f"not with a case that is {state}; allowed: {', '.join(may) or 'nothing'}"
    elif reason == "unknown_cause":
        detail = f"the team resolves cases with: {', '.join(causes)}"
    if reason == "unknown_case":
        return NotFound(detail, reason=reason)
    kind = Stale if reason == "stale" else Conflict
    more: dict[str, Any] = {"causes": list(causes)} if causes else {}
    return kind(detail, reason=reason, state=state, n=n, allowed=list(may), **more)


async def _became(own: Services, case_id: str, command_id: str) -> dict[str, Any]:
    recent = own.outcomes.of(command_id)
    if recent is not None and recent.act is not None and recent.act.case_id == case_id:
        return _view(case_id, command_id, recent)
    return _view(case_id, command_id, await commands.command(own.store, case_id, command_id))


def _view(case_id: str, command_id: str, known: Known | None) -> dict[str, Any]:
    members: dict[str, Any] = {"command_id": command_id, "case_id": case_id, "status": "pending", "at": None}
    members |= {"reason": None, "state": None, "n": None, "allowed": []}
    if known is None:
        return members
    members["at"] = from_ms(known.at_ms)
    if isinstance(known, CommandRow):
        members |= {"state": known.state or None, "n": known.n or None, "reason": known.refused_for or None}
        members["allowed"] = known.allowed
    elif isinstance(known, Refused):
        members |= {"state": known.state, "n": known.n, "reason": known.reason, "allowed": list(known.allowed)}
    else:
        members |= {"state": known.case.state, "n": known.case.n}
    return members | {"status": "applied" if members["reason"] is None else "refused"}


def _reply(status: int, view: BaseModel, headers: dict[str, str]) -> Response:
    return Response(view.model_dump_json(by_alias=True), status, headers, media_type="application/json")

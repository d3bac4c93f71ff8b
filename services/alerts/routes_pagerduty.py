"""PagerDuty's webhook, in: an incident acknowledged there acknowledges the case here.

Source: developer.pagerduty.com, "Webhooks", pages "Overview" (the payload), "Behavior" and "Verifying signatures":
`X-PagerDuty-Signature` holds one or more `v1=` and the hex HMAC-SHA256 of the body, one for each secret. An answer is
due within 5 s; after a 5xx it is sent again for 48 h, after a 4xx never, and three in a row that were given up stop the
subscription for a day. So what is truly theirs is never refused: what cannot be used is passed over.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
import structlog
from fastapi import APIRouter, Header, Request, Response

from schemas.feedback import Act
from services.alerts.ledger import Ledger
from services.common import problems
from services.common.acts import Acts
from services.common.clock import wall_clock_ms
from stream.domain.moves import allowed

log = structlog.get_logger()

RETRIED_MS: Final = 48 * 3_600_000
AHEAD_MS: Final = 5 * 60_000
MOST_BYTES: Final = 256 * 1024
_ACTOR: Final = "PagerDuty"


class _Agent(msgspec.Struct):
    type: str = ""
    summary: str | None = None


class _Incident(msgspec.Struct):
    incident_key: str | None = None


class _Event(msgspec.Struct):
    id: str
    event_type: str
    occurred_at: datetime
    data: msgspec.Raw = msgspec.Raw(b"{}")  # of another shape for each type of event
    agent: _Agent | None = None


class _Body(msgspec.Struct):
    event: _Event


def signed(body: bytes, header: str, secrets: Sequence[str]) -> bool:
    """Whether one of the header's signatures is that of one of the secrets."""
    given = [part.strip().removeprefix("v1=") for part in header.split(",") if part.strip().startswith("v1=")]
    wanted = [hmac.new(secret.encode(), body, hashlib.sha256).hexdigest() for secret in secrets]
    return any(hmac.compare_digest(one.encode(), other.encode()) for one in given for other in wanted)


def _actor(agent: _Agent | None) -> str:
    """Who acknowledged: a person by name, anything else (an integration, a rule) as PagerDuty."""
    name = (agent.summary or "")[:64].strip() if agent is not None and agent.type == "user_reference" else ""
    return name if name.isprintable() and name else _ACTOR


def router(ledger: Ledger, acts: Acts | None, inbound: Mapping[str, Sequence[str]]) -> APIRouter:
    """The route. `inbound` has the secrets of each target that PagerDuty may call back."""
    routes = APIRouter(prefix="/v1", tags=["alerts"])
    refusals: dict[int | str, dict[str, Any]] = {
        401: {"description": "No signature of a secret we know"},
        404: {"description": "No such target, or it takes no webhooks"},
        413: {"description": "Too large"},
        422: {"description": "Not an event of theirs"},
        503: {"description": "The log does not take it now: PagerDuty tries again"},
    }

    @routes.post(
        "/pagerduty/{target}", status_code=202, responses=refusals, summary="An incident was acknowledged in PagerDuty"
    )
    async def take(request: Request, target: str, x_pagerduty_signature: Annotated[str, Header()] = "") -> Response:
        """Acknowledges the case, or the cases of the group, that the incident is about.

        Other events, old ones and those that were taken already change nothing.
        """
        secrets = inbound.get(target)
        if not secrets or acts is None:
            raise problems.NotFound("no such target, or it has no webhook_secret")
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BYTES:
                raise problems.TooLarge(f"at most {MOST_BYTES} bytes")
        if not signed(body, x_pagerduty_signature, secrets):
            raise problems.Unauthorized("X-PagerDuty-Signature is not that of a secret we know")
        try:
            event = msgspec.json.decode(body, type=_Body).event
            at_ms = int(event.occurred_at.timestamp() * 1_000)
        except (msgspec.MsgspecError, ValueError, OverflowError):
            raise problems.Invalid("not an event of PagerDuty's") from None
        now_ms = wall_clock_ms()
        if event.event_type != "incident.acknowledged":
            return Response(status_code=202)
        if not now_ms - RETRIED_MS <= at_ms <= now_ms + AHEAD_MS:
            log.warning("pagerduty_event_passed_over", target=target, reason="too old, or from the future")
        elif not await ledger.seen(f"pagerduty/{target}/{event.id}"):
            await _acknowledge(event)
            await ledger.see(f"pagerduty/{target}/{event.id}", now_ms)
        return Response(status_code=202)

    async def _acknowledge(event: _Event) -> None:
        try:
            incident = msgspec.json.decode(event.data, type=_Incident).incident_key or ""
        except msgspec.MsgspecError:
            incident = ""
        for found in await ledger.cases_of(incident):
            if "acknowledge" not in allowed(found.case.state):
                continue  # our own acknowledgement comes back, say
            case_id = found.case.case_id
            command_id = str(uuid.uuid5(uuid.UUID(case_id), f"pagerduty/{event.id}"))
            assert acts is not None  # noqa: S101 # said above
            await acts.publish(found.case.team, Act(command_id, case_id, "acknowledge", _actor(event.agent)))
            log.info("acknowledged_in_pagerduty", case_id=case_id)

    return routes

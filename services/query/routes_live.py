"""Live events, and how far the log has been worked off."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from pydantic import StringConstraints

from schemas.responses import TEAM_PATTERN
from services.query.deps import READ_AT_LEAST, Own
from services.query.live import HEARTBEAT_S, stream
from services.query.position import partition_views
from services.query.views import PositionView

router = APIRouter(prefix="/v1")


class EventStream(StreamingResponse):
    """A response that goes on for as long as the client stays."""

    media_type = "text/event-stream"


@router.get("/live", tags=["live"], summary="Live events", response_class=EventStream, dependencies=READ_AT_LEAST)
async def get_live(
    own: Own,
    team: Annotated[
        list[Annotated[str, StringConstraints(pattern=TEAM_PATTERN)]],
        Query(description="only events of these teams; repeat it for several", max_length=200),
    ] = [],  # noqa: B006  FastAPI copies the default
    last_event_id: Annotated[
        str | None, Query(max_length=64, description="as the header Last-Event-ID, which wins")
    ] = None,
    last_event_id_header: Annotated[str | None, Header(alias="Last-Event-ID", max_length=64)] = None,
) -> EventStream:
    """Server-sent events from now on: `score`, `followup`, `correction`, and about the stream itself `status`, `reset`.

    `score` is absolute and the newest counts; when several wait, older ones are left out. A client that comes back with
    Last-Event-ID gets what it missed while this process still holds it (4,096 events), else `reset`: read everything
    again. `status` comes at once, every 15 s, and when events cease or begin to flow.
    """
    body = stream(own.feed, team or None, last_event_id_header or last_event_id, own.now_ms, HEARTBEAT_S)
    return EventStream(body, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})


@router.get("/position", tags=["position"], summary="How far the log has been worked off", dependencies=READ_AT_LEAST)
async def get_position(own: Own) -> PositionView:
    """Per partition: where the log ends, below which offset it has been folded, and below which it can be read here."""
    sunk = await own.sunk.offsets()
    ends, folded = await own.log.ends_and_commits()
    partitions = partition_views(ends, folded, sunk)
    return PositionView(
        generation=own.settings.generation,
        caught_up=all(row.sunk >= row.end for row in partitions),
        partitions=partitions,
    )

"""Two processes of one name: the earlier one ends.

A member of a group with a name (static membership) is replaced by whoever joins later under that name. The broker then
answers the earlier one FENCED_INSTANCE_ID, if it gave its name. aiokafka gives it when it joins, but neither with a
heartbeat nor with a commit, and does not know the answer: a member that was replaced would join again, and the two
would take the partitions from each other for ever.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, TypeAlias

import aiokafka
from aiokafka.errors import UnknownMemberIdError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, SyncGroupRequest
from aiokafka.protocol.types import Int16, Int32, Schema, String

from stream.errors import Fenced, fatal_on_error

FENCED: Final = 82  # FENCED_INSTANCE_ID

Send: TypeAlias = Callable[[Any], Awaitable[Any]]


class HeartbeatResponse_v3(Response):  # type: ignore[misc]  # noqa: N801  as aiokafka names versions; it has no types
    """Kafka's protocol, API 12, version 3."""

    API_KEY = 12
    API_VERSION = 3
    SCHEMA = Schema(("throttle_time_ms", Int32), ("error_code", Int16))


class HeartbeatRequest_v3(RequestStruct):  # type: ignore[misc]  # noqa: N801
    """The first version that has the member's name."""

    API_KEY = 12
    API_VERSION = 3
    RESPONSE_TYPE = HeartbeatResponse_v3
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("generation_id", Int32),
        ("member_id", String("utf-8")),
        ("group_instance_id", String("utf-8")),
    )


class NamedHeartbeat(Request[HeartbeatRequest_v3]):  # type: ignore[misc]
    """A heartbeat of a member with a name."""

    API_KEY = 12

    def __init__(self, group: str, generation: int, member: str, name: str) -> None:
        self._fields = group, generation, member, name

    def build(self, request_struct_class: type[HeartbeatRequest_v3]) -> HeartbeatRequest_v3:
        return request_struct_class(*self._fields)


def fenced_send(coordinator: Any, name: str, end: Callable[[str], None]) -> Send:
    """The coordinator's way to send, with heartbeats that give the member's name. `end` is called when it was replaced.

    A commit does not give the name and is told that the member is unknown, as one that was away too long would be: a
    heartbeat then tells which it is, before the member joins again.
    """
    send: Send = coordinator._send_req  # noqa: SLF001  there is no seam for it

    async def beat() -> Any:
        response = await send(NamedHeartbeat(coordinator.group_id, coordinator.generation, coordinator.member_id, name))
        if response.error_code == FENCED:
            end(name)
        return response

    async def sending(request: Any) -> Any:
        if isinstance(request, HeartbeatRequest):
            return await beat()
        response = await send(request)
        codes = set(_codes(request, response))
        if UnknownMemberIdError.errno in codes:
            await beat()
        if FENCED in codes:
            end(name)
        return response

    return sending


def _codes(request: Any, response: Any) -> Iterator[int]:
    """The error codes of an answer to a join, a sync or a commit."""
    if isinstance(request, JoinGroupRequest | SyncGroupRequest):
        yield response.error_code
    elif isinstance(request, OffsetCommitRequest):
        for _, partitions in response.topics:
            yield from (code for _, code in partitions)


def end_fenced(name: str) -> None:
    """End the process at once: another one has its partitions."""
    with fatal_on_error():
        raise Fenced(name)


class NamedConsumer(aiokafka.AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka ships no types
    """aiokafka's consumer, as a member of a group with a name."""

    async def start(self) -> None:
        """See aiokafka. It joins when it is given topics, which is later."""
        await super().start()
        coordinator, name = self._coordinator, self._group_instance_id
        if name is not None:
            coordinator._send_req = fenced_send(coordinator, name, end_fenced)  # noqa: SLF001

"""Of two processes of one name the earlier one ends, before it can take anything from the other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.group import HeartbeatRequest, SyncGroupRequest

from stream.fencing import FENCED, HeartbeatRequest_v3, NamedHeartbeat, fenced_send

UNKNOWN, ILLEGAL = 25, 22
COMMIT = OffsetCommitRequest("group", 7, "member", -1, [])
HEARTBEAT = HeartbeatRequest("group", 7, "member")


class Broker:
    """A coordinator whose broker answers as it is told; `ended` says for whom the process was to end."""

    def __init__(self, **codes: int) -> None:
        self.codes = codes
        self.sent: list[Any] = []
        self.ended: list[str] = []
        coordinator = SimpleNamespace(group_id="group", generation=7, member_id="member", _send_req=self.answer)
        self.send = fenced_send(coordinator, "worker-0", self.ended.append)

    async def answer(self, request: Any) -> Any:
        self.sent.append(request)
        if isinstance(request, OffsetCommitRequest):
            return SimpleNamespace(topics=[("log", [(0, 0), (1, self.codes.get("commit", 0))])])
        name = "heartbeat" if isinstance(request, NamedHeartbeat) else "group"
        return SimpleNamespace(error_code=self.codes.get(name, 0))


async def test_a_heartbeat_gives_the_name_and_what_is_answered_is_handed_on() -> None:
    broker = Broker(heartbeat=ILLEGAL)
    assert (await broker.send(HEARTBEAT)).error_code == ILLEGAL
    (sent,) = broker.sent
    encoded = sent.prepare({12: (0, 4)})
    assert isinstance(encoded, HeartbeatRequest_v3)
    assert encoded.encode() == b"\x00\x05group\x00\x00\x00\x07\x00\x06member\x00\x08worker-0"
    assert broker.ended == []


@pytest.mark.parametrize("code", [0, UNKNOWN, ILLEGAL])
async def test_a_member_that_was_away_too_long_may_join_again(code: int) -> None:
    broker = Broker(heartbeat=code, commit=UNKNOWN, group=code)
    for request in (HEARTBEAT, COMMIT, SyncGroupRequest("group", 7, "member", "worker-0", [])):
        await broker.send(request)
    assert broker.ended == []


async def test_a_replaced_member_ends_with_its_next_heartbeat() -> None:
    broker = Broker(heartbeat=FENCED)
    await broker.send(HEARTBEAT)
    assert broker.ended == ["worker-0"]


async def test_a_replaced_member_ends_with_its_next_commit_before_it_joins_again() -> None:
    broker = Broker(heartbeat=FENCED, commit=UNKNOWN)
    await broker.send(COMMIT)
    assert broker.ended == ["worker-0"]
    assert [type(sent) for sent in broker.sent] == [OffsetCommitRequest, NamedHeartbeat]


async def test_a_replaced_member_ends_when_it_joins_with_its_old_id() -> None:
    broker = Broker(group=FENCED)
    await broker.send(SyncGroupRequest("group", 7, "member", "worker-0", []))
    assert broker.ended == ["worker-0"]


async def test_a_commit_that_is_taken_asks_nothing_more() -> None:
    broker = Broker(heartbeat=FENCED)
    await broker.send(COMMIT)
    assert (broker.sent, broker.ended) == ([COMMIT], [])

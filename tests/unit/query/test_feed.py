"""The ring of live events, and what a stream says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.query.feed import Feed, worth_sending
from services.query.live import stream
from tests.unit.query.samples import NOON_MS, clock


def filled(count: int, keep: int = 100) -> Feed:
    feed = Feed(keep, epoch="e")
    for number in range(1, count + 1):
        feed.publish("score", f"team-{number}", b"{}", float(number))
    return feed


def test_a_reader_gets_what_came_after_its_number() -> None:
    feed = filled(5)
    found = feed.since(3)
    assert found is not None
    assert [event.number for event in found] == [4, 5]
    assert feed.since(5) == []


def test_a_reader_that_fell_behind_the_ring_is_told_so() -> None:
    feed = filled(10, keep=4)
    assert feed.since(5) is None
    assert feed.since(6) is not None


def test_an_id_of_this_process_is_resumed_and_any_other_is_not() -> None:
    feed = filled(5)
    assert feed.resume("e-3") == 3
    assert feed.resume(None) == 5
    assert feed.resume("") == 5
    for foreign in ("f-3", "e-6", "e-", "e-x", "3", "e--1", "e-" + "9" * 30, "e-٣"):
        assert feed.resume(foreign) is None


def test_a_page_may_begin_a_little_before_now() -> None:
    feed = filled(5)
    assert feed.number_before(3.5) == 3
    assert feed.number_before(0.0) == 0
    assert feed.number_before(9.0) == 5


def test_only_the_newest_waiting_score_of_a_team_is_sent_but_every_other_event() -> None:
    feed = Feed(epoch="e")
    for name, team in (("score", "a"), ("followup", "a"), ("score", "b"), ("score", "a"), ("followup", "a")):
        feed.publish(name, team, b"{}", 0.0)  # type: ignore[arg-type]
    events = feed.since(0)
    assert events is not None
    assert [event.number for event in worth_sending(events, None)] == [2, 3, 4, 5]
    assert [event.number for event in worth_sending(events, ["b"])] == [3]


class Reader:
    """Reads frames of a stream, one at a time."""

    def __init__(self, frames: AsyncIterator[bytes]) -> None:
        self._frames = frames
        self._waiting: list[dict[str, str]] = []

    async def next(self) -> dict[str, Any]:
        while not self._waiting:
            chunk = await asyncio.wait_for(anext(self._frames), 5)
            for block in chunk.decode().split("\n\n"):
                fields = dict(line.split(": ", 1) for line in block.splitlines())
                if "event" in fields:
                    self._waiting.append(fields)
        fields = self._waiting.pop(0)
        return {**fields, "data": json.loads(fields["data"])}


def reader(feed: Feed, teams: list[str] | None = None, last_id: str | None = None, beat_s: float = 60.0) -> Reader:
    return Reader(stream(feed, teams, last_id, clock(NOON_MS), beat_s))


async def test_a_stream_first_says_whether_it_is_live() -> None:
    feed = Feed()
    frames = reader(feed)
    status = await frames.next()
    assert status["event"] == "status"
    assert status["data"] == {"live": False, "now": "2026-11-01T12:00:00Z"}
    feed.set_connected(True)
    assert (await frames.next())["data"]["live"] is True


async def test_a_stream_sends_what_is_published_after_it_began() -> None:
    feed = filled(3)
    frames = reader(feed)
    await frames.next()
    feed.publish("followup", "a", b'{"n": 1}', 0.0)
    event = await frames.next()
    assert (event["event"], event["id"], event["data"]) == ("followup", "e-4", {"n": 1})


async def test_a_stream_of_one_team_leaves_out_the_others() -> None:
    feed = Feed(epoch="e")
    frames = reader(feed, ["b"])
    await frames.next()
    feed.publish("score", "a", b"{}", 0.0)
    feed.publish("score", "b", b"{}", 0.0)
    assert (await frames.next())["id"] == "e-2"


async def test_a_returning_client_gets_what_it_missed() -> None:
    feed = filled(3)
    frames = reader(feed, last_id="e-1")
    await frames.next()
    assert [(await frames.next())["id"] for _ in range(2)] == ["e-2", "e-3"]


async def test_a_client_of_another_process_is_told_to_read_everything_again() -> None:
    frames = reader(filled(3), last_id="gone-7")
    reset = await frames.next()
    assert (reset["event"], reset["id"], reset["data"]) == ("reset", "e-3", {"reason": "unknown_id"})


async def test_a_slow_client_is_told_to_read_everything_again_and_costs_no_memory() -> None:
    feed = Feed(4, epoch="e")
    frames = reader(feed)
    await frames.next()
    for number in range(20):
        feed.publish("score", f"t{number}", b"{}", 0.0)
    reset = await frames.next()
    assert (reset["event"], reset["id"], reset["data"]) == ("reset", "e-20", {"reason": "behind"})
    feed.publish("score", "t", b"{}", 0.0)
    assert (await frames.next())["id"] == "e-21"


async def test_a_quiet_stream_beats_even_while_other_teams_are_busy() -> None:
    feed = Feed(epoch="e")
    feed.set_connected(True)
    frames = reader(feed, ["quiet"], beat_s=0.05)
    await frames.next()

    async def others() -> None:
        while True:
            feed.publish("score", "busy", b"{}", 0.0)
            await asyncio.sleep(0.005)

    busy = asyncio.create_task(others())
    assert (await frames.next())["event"] == "status"
    busy.cancel()


async def test_closing_the_feed_ends_every_stream() -> None:
    feed = Feed()
    frames = stream(feed, None, None, clock(NOON_MS), 60.0)
    await anext(frames)
    await anext(frames)
    waiting = asyncio.ensure_future(anext(frames))
    await asyncio.sleep(0)
    feed.close()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(waiting, 5)

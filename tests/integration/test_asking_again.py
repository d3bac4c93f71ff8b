"""Asking again over the real engines: due in a worker, told to a survey tool, answered, read, forgotten, verified."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas import topics
from schemas.feedback import Act, Answer, Erase, Policy
from schemas.followups import FollowupEvent, FollowupRecord, Kind
from services.query.app import build_app
from stream.comparing import compare_states
from stream.domain import ids
from stream.domain.fold import fold
from stream.domain.view import UNLIMITED
from stream.state import State, folder_of, shared_memory
from tests.engines import Engines
from tests.integration.stream_place import Place, Sent, record, until
from tests.unit.query.samples import Api, served, settings
from tests.unit.stream.fakes import FakeState

pytestmark = pytest.mark.real

TEAM = "team-3"
AFTER_MS = 1_500


@pytest.fixture
def place(engines: Engines, tmp_path: Path) -> Iterator[Place]:
    engines.topics(anew=True)
    place = Place(engines, tmp_path)
    yield place
    place.end()


def new(score: int, respondent: str, **more: Any) -> Answer:
    return Answer(str(uuid.uuid4()), score, uuid.uuid4().hex, respondent=respondent, **more)


def said(what: Act | Erase) -> Sent:
    return TEAM.encode(), msgspec.json.encode(what), topics.partition_of(TEAM.encode()), ()


def case_of(answer: Answer) -> str:
    return ids.uuid5(TEAM, answer.response_id)


async def events(place: Place, *kinds: Kind) -> list[FollowupEvent]:
    records = [msgspec.json.decode(one.value, type=FollowupRecord) for one in await place.read(topics.FOLLOWUPS)]
    found = {one.event_id: one for one in records if isinstance(one, FollowupEvent) and one.kind in kinds}
    return list(found.values())


async def test_customers_are_asked_once_at_their_time_and_what_they_say_stands_beside_their_case(
    place: Place, engines: Engines
) -> None:
    url = engines.database()
    worker, sink = place.worker(), place.sink(url)
    await worker.ready()
    await sink.ready()
    unhappy = [new(score, f"customer-{score}") for score in (0, 3, 6)]
    resolved = [Act(str(uuid.uuid4()), case_of(answer), "resolve", "kim", cause="price") for answer in unhappy]
    policy = Policy("p", reask_ms=AFTER_MS)
    await place.send([record(TEAM, policy), *(record(TEAM, one) for one in unhappy), *map(said, resolved)])

    async def asked() -> bool:
        return len(await events(place, "followup.reask")) == len(unhappy)

    await until(asked)
    partition = topics.partition_of(TEAM.encode())
    ticks = [one.timestamp for one in await place.read(topics.FEEDBACK) if one.partition == partition and not one.key]
    for event in await events(place, "followup.reask"):
        assert event.case.resolved_ms is not None
        assert event.at_ms == event.case.reask_due_ms == event.case.resolved_ms + AFTER_MS
        assert min(at_ms for at_ms in ticks if at_ms >= event.at_ms) - event.at_ms <= 1_000

    worker.kill()  # and nobody is asked again by the next one
    worker.start()
    now = [
        new(8, "customer-0", reask_of=case_of(unhappy[0])),
        new(2, "customer-3, by another address", reask_of=case_of(unhappy[1])),
    ]
    stray = new(10, "nobody", reask_of=str(uuid.uuid4()))
    await place.send([*(record(TEAM, one) for one in (*now, stray)), record(TEAM, now[0])])
    await place.folded()
    await place.sunk()
    assert len(await events(place, "followup.reask")) == len(unhappy)
    assert (await place.counted()).check() == len(unhappy) + len(now) + 1

    async with served(build_app(settings(url))) as api:
        found = await api.ok(f"/v1/teams/{TEAM}/recovery")
        assert (found["asked"], found["answered"], found["recovered"], found["rate"]) == (3, 2, 1, 50.0)
        assert [(pair["before"], pair["after"]) for pair in found["pairs"]] == [(0, 8), (3, 2)]
        first, second = [await api.ok(f"/v1/followups/{case_of(one)}") for one in unhappy[:2]]
        assert (first["state"], first["reask"]["score"], first["reask"]["band"]) == ("resolved", 8, "passive")
        assert second["reask"]["response_id"] == now[1].response_id
        assert [event["kind"] for event in second["history"]][-2:] == ["followup.reask", "followup.reasked"]
        again = await api.ok(f"/v1/followups/{case_of(now[1])}")
        assert (again["state"], again["reask_of"]) == ("open", case_of(unhappy[1]))
        answers = await answers_of(api)
        assert answers[stray.response_id]["reask_of"] == stray.reask_of
        assert answers[unhappy[0].response_id]["reask_of"] is None

        await place.send(said(Erase(one.response_id)) for one in now)
        await place.folded()
        await place.sunk()
        found = await api.ok(f"/v1/teams/{TEAM}/recovery")
        assert (found["asked"], found["answered"], found["pairs"]) == (3, 0, [])
        for one in unhappy[:2]:
            case = await api.ok(f"/v1/followups/{case_of(one)}")
            assert (case["reask"], case["history"][-1]["kind"]) == (None, "followup.reask_forgotten")
        assert (await api.ok(f"/v1/followups/{case_of(now[1])}"))["reask_of"] is None

    assert (await worker.stop())[0] == 0
    held = State(folder_of(place.state(), partition), shared_memory())
    try:
        tally = compare_states(
            held.scan(b"", b"", b"\xff", UNLIMITED), sorted((await folded_anew(place, partition)).data.items())
        )
    finally:
        held.close()
    assert tally.compared > 20
    assert (tally.different, tally.first) == (0, [])


async def folded_anew(place: Place, partition: int) -> FakeState:
    """The state of a partition by its log, one record a batch."""
    state = FakeState()
    for one in await place.read(topics.FEEDBACK):
        if one.partition == partition:
            state.commit(fold(state, [one], partition), ())
    return state


async def answers_of(api: Api) -> dict[str, dict[str, Any]]:
    return {one["response_id"]: one for one in (await api.ok("/v1/responses", team=TEAM))["items"]}

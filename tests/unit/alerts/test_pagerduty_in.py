"""PagerDuty's webhook, in: a table of forged, old and repeated ones, of which none is taken."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.alerts.grouping import Grouping
from tests.unit.alerts.builders import now_ms, raised
from tests.unit.alerts.pagerduty_in import acknowledged, signature
from tests.unit.alerts.tapping import TapDoor, tap_door

NEW, OLD = "the present secret", "the secret of last year"
EVENT = raised()


def body(kind: str = "incident.acknowledged", age: timedelta = timedelta(), **more: Any) -> bytes:
    """An event about the case's incident."""
    return acknowledged(EVENT.case.case_id, age=age, event_type=kind, **more)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[TapDoor]:
    async with tap_door(tmp_path, inbound={"pager": (NEW, OLD)}) as opened:
        await opened.raise_case(EVENT)
        yield opened


async def send(door: TapDoor, raw: bytes, header: str | None = None, target: str = "pager") -> int:
    headers = {"X-PagerDuty-Signature": signature(raw, NEW) if header is None else header}
    status, _ = await door.ask("POST", f"{door.url}/v1/pagerduty/{target}", data=raw, headers=headers)
    return status


@pytest.mark.parametrize("secrets", [(NEW,), (OLD,), ("unknown", NEW), (OLD, "unknown")])
async def test_an_acknowledgement_there_is_one_here_by_the_person_who_gave_it(
    door: TapDoor, secrets: tuple[str, ...]
) -> None:
    raw = body()
    assert await send(door, raw, signature(raw, *secrets)) == 202
    ((team, act),) = door.log.acts
    assert (team, act.kind, act.case_id, act.actor) == ("support", "acknowledge", EVENT.case.case_id, "Bo Lind")


async def test_a_group_acknowledged_there_acknowledges_its_open_cases(door: TapDoor) -> None:
    door.store.groupings["pager"] = Grouping(30_000, 300_000)
    events = [raised(number, team="billing") for number in range(1, 5)]
    await door.raise_case(*events)
    await door.raise_case(raised(2, team="billing", kind="followup.rescored", n=2, state="rescored"))
    deliveries = await door.store.due("pager", now_ms() + 31_000, 10)
    (group,) = [delivery for delivery in deliveries if delivery.count > 1]
    assert await send(door, acknowledged(group.key)) == 202
    wanted = {event.case.case_id for event in events} - {events[1].case.case_id}
    assert {act.case_id for act in door.acts} == wanted


@pytest.mark.parametrize(
    "header",
    ["", "v1=", "v1=00", "v0={good}", "{good}", "v1={good}0", "v1={other}", "v1={upper}", "v1=é", "v1={cut}"],
)
async def test_no_forged_signature_is_taken(door: TapDoor, header: str) -> None:
    raw = body()
    good = signature(raw, NEW).removeprefix("v1=")
    other = signature(raw, "unknown").removeprefix("v1=")
    text = header.format(good=good, other=other, upper=good.upper(), cut=good[:-1])
    assert await send(door, raw, text) == 401
    assert door.acts == []


async def test_no_body_that_was_changed_on_the_way_is_taken(door: TapDoor) -> None:
    raw = body()
    header = signature(raw, NEW)
    for place in range(0, len(raw), 5):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        assert await send(door, changed, header) == 401
    assert door.acts == []


@pytest.mark.parametrize(
    "age", [timedelta(hours=48, minutes=1), timedelta(days=30), timedelta(minutes=-6), timedelta(days=-400)]
)
async def test_what_is_too_old_or_from_the_future_is_not_taken(door: TapDoor, age: timedelta) -> None:
    assert await send(door, body(age=age)) == 202  # three refusals in a row would end the subscription
    assert door.acts == []


async def test_a_retry_of_theirs_and_a_replay_are_taken_once(door: TapDoor) -> None:
    raw = body(age=timedelta(hours=47))
    for _ in range(3):
        assert await send(door, raw) == 202
    assert len(door.acts) == 1


async def test_what_the_log_did_not_take_is_asked_for_again(door: TapDoor) -> None:
    raw = body()
    door.log.down = True
    assert await send(door, raw) == 503
    door.log.down = False
    assert await send(door, raw) == 202
    assert len(door.acts) == 1


NOTE = {
    "incident": {"id": "Q0NPSCASE", "type": "incident_reference"},
    "id": "P2",
    "content": "…",
    "type": "incident_note",
}


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (body("incident.triggered"), 202),
        (body("incident.annotated", data=NOTE), 202),
        (body("service.updated", agent=None, client=None, data={"id": "PF9", "type": "service"}), 202),
        (body("pagey.ping", agent={"id": "P1", "type": "user_reference"}, data={"message": "Hi", "type": "ping"}), 202),
        (acknowledged("no-such-case"), 202),
        (acknowledged(None), 202),
        (body(data={"incident_key": 7}), 202),
        (body(data=None), 202),
        (b"{}", 422),
        (b"not json", 422),
        (b"x" * 300_000, 413),
    ],
)
async def test_other_events_and_nonsense_do_nothing(door: TapDoor, raw: bytes, status: int) -> None:
    assert await send(door, raw) == status
    assert door.acts == []


async def test_a_case_that_has_moved_on_is_left_alone_and_an_unknown_target_is_not_found(door: TapDoor) -> None:
    await door.raise_case(raised(kind="followup.rescored", n=2, state="rescored"))
    assert await send(door, body()) == 202
    assert await send(door, body(), target="other") == 404
    assert door.acts == []


@pytest.mark.parametrize(
    "agent",
    [
        None,
        {"id": "PCARE00", "type": "service_reference", "summary": "Customer care"},
        {"id": "P1", "type": "user_reference"},
        {"id": "P1", "type": "user_reference", "summary": "  "},
        {"id": "P1", "type": "user_reference", "summary": "Bo\nLind"},
    ],
)
async def test_who_is_no_person_with_a_name_is_called_pagerduty(door: TapDoor, agent: dict[str, str] | None) -> None:
    assert await send(door, body(agent=agent)) == 202
    assert [act.actor for act in door.acts] == ["PagerDuty"]

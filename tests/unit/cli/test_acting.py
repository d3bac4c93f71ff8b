"""`pulse followup …` against fixed answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.cli.acting import moment
from services.cli.codes import Exit, Fail
from tests.unit.cli.conftest import FakeService, Pulse

ID = "fd1aa411-f007-5088-8bbc-1b48a04ec4be"
PATH = f"/v1/followups/{ID}"
CASE: dict[str, Any] = {
    "case_id": ID,
    "team": "support",
    "state": "acknowledged",
    "owner": "kim",
    "due_at": "2026-11-23T02:49:27Z",
    "snoozed_until": None,
    "cause": None,
}
LINE = f"{ID} of support is acknowledged, owner kim, due 2026-11-23 02:49"


@pytest.mark.parametrize(
    ("arguments", "body", "done"),
    [
        (["acknowledge", ID], {}, "acknowledged"),
        (["assign", ID, "lee", "--note", "Yours."], {"owner": "lee", "note": "Yours."}, "assigned"),
        (["assign", ID], {"owner": None}, "assigned"),
        (["note", ID, "Ring her mother."], {"note": "Ring her mother."}, "noted"),
        (["contact", ID, "failed", "--medium", "sms"], {"outcome": "failed", "medium": "sms"}, "contact noted"),
        (["callback", ID, "2026-11-24T09:00:00Z"], {"at": "2026-11-24T09:00:00Z"}, "callback agreed"),
        (["snooze", ID, "2026-11-24T09:00:00Z"], {"until": "2026-11-24T09:00:00Z"}, "snoozed"),
        (["resolve", ID, "price"], {"cause": "price"}, "resolved"),
        (["reopen", ID], {}, "reopened"),
    ],
)
def test_an_act_is_sent_and_said(
    pulse: Pulse, service: FakeService, data: Path, arguments: list[str], body: dict[str, Any], done: str
) -> None:
    service.says(f"POST {PATH}/{arguments[0]}", CASE)
    result = pulse("followup", *arguments, "--as", "kim", "--data", str(data))
    assert (result.exit_code, result.stdout) == (0, f"{done}: {LINE}\n")
    assert service.sent == [(f"POST {PATH}/{arguments[0]}", "Bearer read-key", {"actor": "kim"} | body)]


@pytest.mark.parametrize(
    ("members", "more"),
    [
        ({"reask": None, "reask_due_at": None}, ""),
        ({"reask": None, "reask_due_at": "2026-12-07T02:49:27Z"}, ", asked again 2026-12-07 02:49"),
        ({"reask": {"score": 9}, "reask_due_at": "2026-12-07T02:49:27Z", "score": 3}, ", asked again: 3 → 9"),
    ],
)
def test_a_case_says_when_its_customer_is_asked_again_and_what_they_answered(
    pulse: Pulse, service: FakeService, data: Path, members: dict[str, Any], more: str
) -> None:
    service.says(f"POST {PATH}/resolve", CASE | members)
    assert pulse("followup", "resolve", ID, "price", "--data", str(data)).stdout == f"resolved: {LINE}{more}\n"


def test_who_acts_is_the_user_unless_told(
    pulse: Pulse, service: FakeService, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    service.says(f"POST {PATH}/acknowledge", CASE)
    pulse("followup", "acknowledge", ID, "--data", str(data))
    pulse("followup", "acknowledge", ID, "--data", str(data), env={"PULSE_ACTOR": "bo"})
    assert [body["actor"] for _, _, body in service.sent] == ["ada", "bo"]


def test_a_snoozed_or_resolved_case_says_more_in_its_line(pulse: Pulse, service: FakeService, data: Path) -> None:
    until = {"state": "snoozed", "snoozed_until": "2026-11-24T09:00:00Z", "owner": None}
    service.says(f"POST {PATH}/snooze", CASE | until)
    assert pulse("followup", "snooze", ID, "2h", "--data", str(data)).stdout == (
        f"snoozed: {ID} of support is snoozed, nobody's, until 2026-11-24 09:00, due 2026-11-23 02:49\n"
    )
    service.says(f"POST {PATH}/resolve", CASE | {"state": "resolved", "due_at": None, "cause": "price"})
    assert pulse("followup", "resolve", ID, "price", "--data", str(data)).stdout == (
        f"resolved: {ID} of support is resolved, owner kim, cause price\n"
    )


def test_json_is_the_case(pulse: Pulse, service: FakeService, data: Path) -> None:
    service.says(f"POST {PATH}/acknowledge", CASE)
    assert json.loads(pulse("followup", "acknowledge", ID, "--json", "--data", str(data)).stdout) == CASE


def test_a_refusal_says_why_and_ends_with_another_code(pulse: Pulse, service: FakeService, data: Path) -> None:
    detail = "not with a case that is contacted; allowed: assign, note"
    service.says(f"POST {PATH}/acknowledge", {"detail": detail, "allowed": ["assign", "note"]}, 409)
    result = pulse("followup", "acknowledge", ID, "--data", str(data))
    assert (result.exit_code, result.stderr) == (Exit.USAGE, f"pulse: {detail}\n")


def test_what_comes_of_it_later_is_waited_for(pulse: Pulse, service: FakeService, data: Path) -> None:
    address = f"{PATH}/commands/7"
    outcomes = [(202, {"status": "pending", "status_url": address}), (200, CASE)]
    states = ["pending", "pending", "applied"]

    def answer(_: dict[str, str]) -> tuple[int, bytes]:
        status, body = outcomes.pop(0)
        return status, json.dumps(body).encode()

    service.answers[f"POST {PATH}/acknowledge"] = answer
    service.answers[address] = lambda _: (200, json.dumps({"status": states.pop(0)}).encode())
    result = pulse("followup", "acknowledge", ID, "--as", "kim", "--data", str(data))
    assert (result.exit_code, result.stdout, states) == (0, f"acknowledged: {LINE}\n", [])


def test_what_does_not_come_in_time_has_an_address(pulse: Pulse, service: FakeService, data: Path) -> None:
    address = f"{PATH}/commands/7"
    service.says(f"POST {PATH}/acknowledge", {"status": "pending", "status_url": address}, 202)
    service.says(address, {"status": "pending"})
    result = pulse("followup", "acknowledge", ID, "--wait", "0.1", "--data", str(data))
    assert result.exit_code == Exit.NOT_READY
    assert result.stderr.endswith(f"{service.url}{address} will tell\n")


def test_times_may_be_from_now() -> None:
    now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    assert moment("90m", now) == (now + timedelta(minutes=90)).isoformat(timespec="milliseconds")
    assert moment("2026-11-24T09:00:00+01:00", now) == "2026-11-24T09:00:00+01:00"
    with pytest.raises(Fail):
        moment("all", now)


def test_what_is_due_soon_is_asked_for_by_its_clock(pulse: Pulse, service: FakeService, data: Path) -> None:
    service.says("/v1/followups", {"items": [], "next_cursor": None})
    assert pulse("followups", "--due-in", "1h", "--data", str(data)).exit_code == 0
    ((_, query, _),) = service.asked
    assert query["order"] == "due"
    ahead = datetime.fromisoformat(query["due_before"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < ahead <= timedelta(hours=1)
    assert pulse("followups", "--due-in", "soon", "--data", str(data)).exit_code == Exit.USAGE


def test_a_case_is_shown_with_what_was_said_and_done(pulse: Pulse, service: FakeService, data: Path) -> None:
    nothing = ("actor", "outcome", "medium", "cause", "note", "until", "owner", "clock", "level")
    event: dict[str, Any] = dict.fromkeys(nothing)
    history = [
        event | {"at": "2026-11-22T16:49:27Z", "n": 1, "kind": "followup.raised"},
        event | {"at": "2026-11-22T16:50:00Z", "n": 2, "kind": "followup.assigned", "actor": "kim", "owner": "lee"},
        event
        | {"at": "2026-11-22T16:51:00Z", "n": 3, "kind": "followup.contact_failed", "actor": "lee"}
        | {"outcome": "no_answer", "medium": "phone", "note": "Engaged."},
        event
        | {"at": "2026-11-22T16:52:00Z", "n": 4, "kind": "followup.snoozed", "actor": "lee"}
        | {"until": "2026-11-23T08:00:00Z"},
        event | {"at": "2026-11-22T16:53:00Z", "n": 5, "kind": "followup.escalated"} | {"clock": "contact", "level": 2},
    ]
    more = {
        "contact": {"name": "Ada Berg", "email": None, "phone": "+45 1", "id": None},
        "answers": [{"score": 3, "comment": "Nobody called me back."}, {"score": None, "comment": None}],
        "contacts": 0,
        "attempts": 1,
        "allowed": ["acknowledge", "note"],
        "history": history,
    }
    service.says(PATH, CASE | more)
    lines = pulse("followup", "show", ID, "--data", str(data)).stdout.splitlines()
    assert lines[:6] == [
        LINE,
        "customer: Ada Berg, +45 1",
        "answered 3: Nobody called me back.",
        "answered ?",
        "contacts: 0 of 1 attempt",
        "may be done: acknowledge, note",
    ]
    told = [line.split() for line in lines[8:]]
    assert told[1][2:] == ["2", "assigned", "kim", "to", "lee"]
    assert told[2][2:] == ["3", "contact", "failed", "lee", "no_answer,", "phone,", "Engaged."]
    assert told[3][2:] == ["4", "snoozed", "lee", "2026-11-23", "08:00"]
    assert told[4][2:] == ["5", "escalated", "first", "contact,", "level", "2"]

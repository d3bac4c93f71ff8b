"""`exclude`, `include` and `erase` against fixed answers: what is sent, what is waited for, what is certified."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.cli import commanding
from services.cli.codes import Exit
from tests.unit.cli.conftest import FakeService, Pulse

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
CASE = "fd1aa411-f007-5088-8bbc-1b48a04ec4be"
KEY, OTHER = "5a" * 16, "6b" * 16
ANSWER = f"/v1/teams/support/responses/{ID}"
RECEIPT = {"topic": "feedback.v1", "partition": 8, "offset": 17}
ADMIN = "Bearer admin-key"


def position(folded: int = 18) -> dict[str, Any]:
    rows = [{"partition": number, "end": folded, "folded": folded, "sunk": folded} for number in range(16)]
    return {"generation": 1, "caught_up": True, "partitions": rows}


def held(answer_rows: int, people_rows: int, *, answers: int = 1, rejects: int = 0) -> dict[str, Any]:
    listed = [{"team": "support", "response_id": ID}, {"team": "sales", "response_id": ID}][:answers]
    cases = [CASE] if answers else []
    rows = {"answer_rows": answer_rows, "people_rows": people_rows, "note_rows": min(people_rows, 1)}
    return {"answers": listed, "more": False, "cases": cases, "rejects": rejects, **rows}


def is_erasure(what: str, body: Any) -> bool:
    return what == "POST /v1/erasures" and not body.get("dry_run")


@pytest.fixture
def door(service: FakeService) -> FakeService:
    """An instance that holds three rows and one text of an answer until it is erased, and one row then."""

    def stored(query: dict[str, str]) -> tuple[int, bytes]:
        erased = any(what.startswith("DELETE") or is_erasure(what, body) for what, _, body in service.sent)
        if "respondent_key" in query:
            return 200, json.dumps(held(5, 2, answers=0 if erased else 2, rejects=1)).encode()
        return 200, json.dumps(held(1, 0) if erased else held(3, 1)).encode()

    service.answers["/v1/stored"] = stored
    service.says("/v1/position", position())
    service.says("/v1/deliveries", {"deliveries": []})
    accepted = {"response_id": ID, "receipt": RECEIPT}
    for what in (f"POST {ANSWER}/exclude", f"POST {ANSWER}/include", f"DELETE {ANSWER}"):
        service.says(what, accepted, 202)
    receipts = [RECEIPT | {"partition": number} for number in range(16)]
    service.says("POST /v1/erasures", {"respondent_key": KEY, "receipts": receipts, "linked": []}, 202)
    return service


@pytest.mark.parametrize("kind", ["exclude", "include"])
def test_a_mark_is_sent_with_the_admin_key_and_waited_for(
    kind: str, pulse: Pulse, door: FakeService, data: Path
) -> None:
    done = pulse(kind, "support", ID, "--reason", "bot", "--data", str(data))
    assert (done.exit_code, done.stdout) == (0, f"{kind}d for bot: {ID} of support, log position 8:17\n")
    assert door.sent == [(f"POST {ANSWER}/{kind}", ADMIN, {"reason": "bot"})]
    assert ("/v1/position", {"at_least": "8:17"}, ADMIN) in door.asked
    said = json.loads(pulse(kind, "support", ID, "--reason", "bot", "--json", "--data", str(data)).stdout)
    assert said == {"team": "support", "response_id": ID, kind: "bot", "position": "8:17", "seen": True}


def test_the_windows_are_sent_to_every_partition_and_waited_for(pulse: Pulse, door: FakeService, data: Path) -> None:
    receipts = [RECEIPT | {"partition": number} for number in range(16)]
    door.says("POST /v1/windows", {"minutes": [60, 10_080], "receipts": receipts}, 202)
    done = pulse("windows", "1h,7d", "--data", str(data))
    assert (done.exit_code, done.stdout) == (0, "live windows: 1h, 7d\n")
    assert door.sent == [("POST /v1/windows", ADMIN, {"windows": ["1h", "7d"]})]
    said = json.loads(pulse("windows", "1h,7d", "--json", "--data", str(data)).stdout)
    assert (said["windows"], said["seen"], len(said["positions"])) == (["1h", "7d"], True, 16)


def test_the_live_windows_are_shown(pulse: Pulse, door: FakeService, data: Path) -> None:
    door.says("/v1/windows", {"windows": ["1h", "7d"]})
    assert pulse("windows", "--data", str(data)).stdout == "live windows: 1h, 7d\n"
    assert json.loads(pulse("windows", "--json", "--data", str(data)).stdout) == {"windows": ["1h", "7d"]}
    assert not door.sent


def test_windows_that_are_not_folded_in_time_are_told(pulse: Pulse, door: FakeService, data: Path) -> None:
    door.says("POST /v1/windows", {"minutes": [60], "receipts": [RECEIPT | {"offset": 18}]}, 202)
    done = pulse("windows", "1h", "--wait", "0.2", "--data", str(data))
    assert done.exit_code == Exit.NOT_READY


def test_an_erased_answer_is_certified_store_by_store(pulse: Pulse, door: FakeService, data: Path) -> None:
    done = pulse("erase", "--team", "support", "--response", ID, "--json", "--data", str(data))
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["complete"]
    (erasure,) = said["erasures"]
    assert (erasure["kind"], erasure["team"], erasure["response_id"]) == ("response", "support", ID)
    assert (erasure["positions"], erasure["seen"], erasure["gone"]) == (["8:17"], True, True)
    assert {row["store"]: (row["before"], row["now"]) for row in erasure["stores"]} == {
        "log (feedback.v1)": (None, None),
        "worker state": (None, None),
        "people.v1": (None, None),
        "ClickHouse answers": (3, 1),
        "ClickHouse people": (1, 0),
        "ClickHouse people, notes": (1, 0),
        "follow-ups (followups.v1)": (1, 1),
        "rejects (rejects.v1)": (0, 0),
        "alerts (SQLite)": (0, 0),
    }
    notes = {row["store"]: row["note"] for row in erasure["stores"]}
    assert "430 days" in notes["log (feedback.v1)"]
    assert "compaction, 1 day and a quarter of an hour later at the latest" in notes["people.v1"]


def test_people_are_asked_for_by_key_and_erased_by_it_one_way_after_another(
    pulse: Pulse, door: FakeService, data: Path
) -> None:
    people = ("--respondent-email", "zaphod@example.com", "--respondent-phone", "+45 33 12 34 56")
    done = pulse("erase", *people, "--data", str(data))
    assert done.exit_code == 0, done.output
    assert [(what, body) for what, _, body in door.sent] == [
        ("POST /v1/erasures", {"respondent": {"email": "zaphod@example.com"}, "linked": True, "dry_run": True}),
        ("POST /v1/erasures", {"respondent": {"phone": "+45 33 12 34 56"}, "linked": True, "dry_run": True}),
        ("POST /v1/erasures", {"respondent_key": KEY}),  # the fake door knows both by one key
    ]
    assert f"respondent {KEY} (by email), 2 answers" in done.stdout
    assert "7:17 8:17 9:17" in done.stdout
    assert "what the person has used besides, give too" in done.stdout
    assert "zaphod" not in done.output


def test_a_certificate_fits_a_screen_and_counts_in_english(pulse: Pulse, door: FakeService, data: Path) -> None:
    far = [RECEIPT | {"partition": number, "offset": 17_000_000} for number in range(16)]
    door.says("POST /v1/erasures", {"respondent_key": KEY, "receipts": far, "linked": []}, 202)
    door.says("/v1/position", position(folded=17_000_001))
    done = pulse("erase", "--respondent-id", "c-1", "--data", str(data))
    assert done.exit_code == 0, done.output
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "2 answers, " in done.stdout
    door.says("/v1/stored", held(1, 0))
    assert "(by id), 1 answer, " in pulse("erase", "--respondent-id", "c-1", "--data", str(data)).stdout


@pytest.fixture
def known_by_id(door: FakeService) -> FakeService:
    """The person is known by an id too."""
    linked = [{"known_by": "id", "respondent_key": OTHER, "answers": 2}]
    receipts = [RECEIPT | {"partition": number} for number in range(16)]
    door.says("POST /v1/erasures", {"respondent_key": KEY, "receipts": receipts, "linked": linked}, 202)
    return door


EMAIL = ("--respondent-email", "zaphod@example.com")


def test_the_other_keys_of_a_person_are_shown_and_erased_each_with_its_certificate(
    pulse: Pulse, known_by_id: FakeService, data: Path
) -> None:
    done = pulse("erase", *EMAIL, "--data", str(data))
    assert done.exit_code == 0, done.output
    assert f"also erased: respondent {OTHER} (by id), whose answers hold the e-mail address" in done.stderr
    assert [body for what, _, body in known_by_id.sent if is_erasure(what, body)] == [
        {"respondent_key": KEY},
        {"respondent_key": OTHER},
    ]
    assert f"erased: respondent {OTHER} (by id), 2 answers" in done.stdout
    said = json.loads(pulse("erase", *EMAIL, "--json", "--data", str(data)).stdout)
    assert [(one["known_by"], one["linked_by"]) for one in said["erasures"]] == [("email", None), ("id", "email")]


def test_a_dry_run_shows_everything_and_erases_nothing(pulse: Pulse, known_by_id: FakeService, data: Path) -> None:
    done = pulse("erase", *EMAIL, "--dry-run", "--data", str(data))
    assert (done.exit_code, done.stdout.splitlines()[0]) == (0, "nothing was erased; this would be:")
    assert all(any(key in line for line in done.stdout.splitlines()) for key in (KEY, OTHER))
    said = json.loads(pulse("erase", *EMAIL, "--dry-run", "--json", "--data", str(data)).stdout)
    assert (said["dry_run"], [one["answers"] for one in said["erasures"]]) == (True, [2, 2])
    said = json.loads(
        pulse("erase", "--team", "support", "--response", ID, "--dry-run", "--json", "--data", str(data)).stdout
    )
    assert [(one["response_id"], one["answers"]) for one in said["erasures"]] == [(ID, 1)]
    assert not [what for what, _, body in known_by_id.sent if what.startswith("DELETE") or is_erasure(what, body)]


def test_other_keys_are_not_asked_for_when_they_are_not_wanted(pulse: Pulse, door: FakeService, data: Path) -> None:
    assert pulse("erase", *EMAIL, "--no-linked", "--data", str(data)).exit_code == 0
    assert door.sent[0][2] == {"respondent": {"email": EMAIL[1]}, "linked": False, "dry_run": True}


@pytest.mark.parametrize(("answer", "erased"), [("n", 0), ("y", 2)])
def test_a_terminal_is_asked_before_more_is_erased_than_was_named(
    answer: str, erased: int, pulse: Pulse, known_by_id: FakeService, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commanding, "on_a_terminal", lambda: True)
    done = pulse("erase", *EMAIL, "--data", str(data), input=f"{answer}\n")
    assert (done.exit_code == 0) == bool(erased)
    assert len([body for what, _, body in known_by_id.sent if is_erasure(what, body)]) == erased
    assert pulse("erase", *EMAIL, "--yes", "--data", str(data)).exit_code == 0


def test_a_person_nobody_knows_is_erased_all_the_same(pulse: Pulse, door: FakeService, data: Path) -> None:
    door.says("/v1/stored", held(0, 0, answers=0))
    done = pulse("erase", "--respondent-id", "c-1", "--json", "--data", str(data))
    assert done.exit_code == 0, done.output
    (erasure,) = json.loads(done.stdout)["erasures"]
    assert (erasure["answers"], erasure["gone"], len(erasure["positions"])) == (0, True, 16)


@pytest.mark.parametrize("rows", [(1, 1), (2, 0)])
def test_a_row_that_is_left_is_told_with_the_certificate_so_far(
    rows: tuple[int, int], pulse: Pulse, door: FakeService, data: Path
) -> None:
    door.says("/v1/stored", held(*rows))
    asked = ("erase", "--team", "support", "--response", ID, "--wait", "0.2", "--data", str(data))
    done = pulse(*asked)
    assert done.exit_code == Exit.NOT_READY
    assert "run it again" in done.stderr
    assert "ClickHouse people" in done.stdout
    said = json.loads(pulse(*asked, "--json").stdout)
    assert (said["complete"], said["exit_code"]) == (False, Exit.NOT_READY)
    assert [(one["seen"], one["gone"]) for one in said["erasures"]] == [(True, False)]


def test_a_note_that_is_left_is_not_certified_as_gone(pulse: Pulse, door: FakeService, data: Path) -> None:
    door.says("/v1/stored", held(1, 0) | {"note_rows": 1})
    asked = ("erase", "--team", "support", "--response", ID, "--wait", "0.2", "--data", str(data))
    assert pulse(*asked).exit_code == Exit.NOT_READY
    assert CASE in {query.get("case") for path, query, _ in door.asked if path == "/v1/stored"}


@pytest.mark.parametrize("behind", ["fold", "read side"])
def test_a_fold_or_a_read_side_that_is_behind_is_waited_for_and_then_told(
    behind: str, pulse: Pulse, door: FakeService, data: Path
) -> None:
    if behind == "fold":
        door.says("/v1/position", position(folded=17))
    else:
        door.says("/v1/position", {"title": "not yet"}, 503)
    done = pulse("exclude", "support", ID, "--reason", "test", "--wait", "0.2", "--json", "--data", str(data))
    assert done.exit_code == Exit.NOT_READY
    assert json.loads(done.stdout)["seen"] is False
    done = pulse("erase", "--team", "support", "--response", ID, "--wait", "0.2", "--json", "--data", str(data))
    assert done.exit_code == Exit.NOT_READY
    assert [one["seen"] for one in json.loads(done.stdout)["erasures"]] == [False]


def test_alerts_that_do_not_answer_are_no_reason_to_fail(pulse: Pulse, door: FakeService, data: Path) -> None:
    door.says("/v1/deliveries", {"title": "away"}, 503)
    done = pulse("erase", "--team", "support", "--response", ID, "--json", "--data", str(data))
    assert done.exit_code == 0
    assert json.loads(done.stdout)["erasures"][0]["stores"][-1]["now"] is None


def test_what_the_door_refuses_is_told_by_field(pulse: Pulse, door: FakeService, data: Path) -> None:
    problem = {"title": "no", "detail": "no", "errors": [{"path": "reason", "message": "must be one of …"}]}
    door.says(f"POST {ANSWER}/exclude", problem, 422)
    done = pulse("exclude", "support", ID, "--reason", "rude", "--data", str(data))
    assert (done.exit_code, done.stderr) == (Exit.USAGE, "pulse: reason: must be one of …\n")


def test_a_log_that_takes_nothing_is_told_to_be_tried_again(pulse: Pulse, door: FakeService, data: Path) -> None:
    door.says(f"DELETE {ANSWER}", {"title": "no", "detail": "the log cannot be reached"}, 503)
    done = pulse("erase", "--team", "support", "--response", ID, "--data", str(data))
    assert done.exit_code == Exit.NOT_READY
    assert "the log cannot be reached" in done.stderr


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--team", "support"),
        ("--response", ID),
        ("--team", "support", "--respondent-id", "c-1"),
        ("--team", "support", "--response", ID, "--respondent-id", "c-1"),
    ],
)
def test_what_to_erase_must_be_clear(options: tuple[str, ...], pulse: Pulse, door: FakeService, data: Path) -> None:
    done = pulse("erase", *options, "--data", str(data))
    assert done.exit_code == Exit.USAGE
    assert door.sent == []


def test_addresses_do_as_well_as_a_folder_but_both_are_needed(pulse: Pulse, door: FakeService) -> None:
    asked = ("erase", "--team", "support", "--response", ID, "--key", "k", "--url", door.url)
    done = pulse(*asked)
    assert done.exit_code == Exit.USAGE
    assert "--query-url" in done.stderr
    assert pulse(*asked, "--query-url", door.url).exit_code == 0
    assert {key for _, key, _ in door.sent} == {"Bearer k"}


def test_an_address_that_is_none_is_the_doors_to_refuse(pulse: Pulse, door: FakeService, data: Path) -> None:
    done = pulse("exclude", "../teams", "a/b?c", "--reason", "bot", "--data", str(data))
    assert done.exit_code == Exit.NOT_FOUND  # the fake door knows no such address
    assert [what for what, _, _ in door.sent] == ["POST /v1/teams/..%2Fteams/responses/a%2Fb%3Fc/exclude"]

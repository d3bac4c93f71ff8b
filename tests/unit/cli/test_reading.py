"""`score`, `teams`, `followups` and `tail` against fixed answers."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from services.cli.codes import Exit
from services.cli.reading import live_line, printable
from tests.unit.cli.conftest import FakeService, Pulse

NUMBERS: dict[str, Any] = {
    "n": 6,
    "detractors": 1,
    "passives": 2,
    "promoters": 3,
    "nps": 33.333,
    "display": 33,
    "shares": {"detractors": 17, "passives": 33, "promoters": 50},
    "margin": {"low": -26.743, "high": 71.188, "method": "adjusted_wald", "level": 0.95},
    "state": "ok",
}
NOTHING = NUMBERS | {"n": 0, "nps": None, "display": None, "shares": None, "margin": None, "state": "empty"}
SCORE = NUMBERS | {
    "team": "checkout",
    "window": "7d",
    "policy": "all",
    "as_of": "2026-11-22T10:00:00Z",
    "excluded": {"test": 2},
}


def test_a_score_is_shown_with_margin_and_counts(pulse: Pulse, service: FakeService, data: Path) -> None:
    service.says("/v1/teams/checkout/score", SCORE)
    result = pulse("score", "checkout", "--data", str(data), "--at-least", "3:17")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "checkout, 7d to 2026-11-22 10:00, policy all",
        "NPS 33   margin -27 … 71   n 6",
        "promoters 3 (50 %)   passives 2 (33 %)   detractors 1 (17 %)",
        "not counted: test 2",
    ]
    query = {"window": "7d", "policy": "all", "at_least": "3:17"}
    assert service.asked == [("/v1/teams/checkout/score", query, "Bearer read-key")]


def test_no_answers_are_no_score(pulse: Pulse, service: FakeService, data: Path) -> None:
    service.says("/v1/score", SCORE | NOTHING | {"team": None, "excluded": {}})
    lines = pulse("score", "--data", str(data)).stdout.splitlines()
    assert lines == ["all teams, 7d to 2026-11-22 10:00, policy all", "no answers in this window"]


def test_few_answers_are_told(pulse: Pulse, service: FakeService, data: Path) -> None:
    service.says("/v1/score", SCORE | {"state": "too_few", "excluded": {}})
    assert "(too few answers to trust)" in pulse("score", "--data", str(data)).stdout


def test_json_is_what_the_service_said(pulse: Pulse, service: FakeService, data: Path) -> None:
    service.says("/v1/score", SCORE)
    assert json.loads(pulse("score", "--json", "--data", str(data)).stdout) == SCORE


def behind(number: int, score: int, band: str) -> dict[str, Any]:
    return {
        "response_id": f"answer-{number}",
        "score": score,
        "band": band,
        "event_at": "2026-11-22T09:59:01.500000Z",
        "known_at": "2026-11-22T09:59:02Z",
        "revision": 0,
        "respondent": None,
        "record": f"3:{number}",
        "version": number,
    }


EXPLAINED = SCORE | {
    "n": 2,
    "promoters": 1,
    "passives": 0,
    "detractors": 1,
    "nps": 0.0,
    "display": 0,
    "excluded": {"erased": 1, "test": 2},
    "known_at": "2026-11-22T09:59:02.559000Z",
    "next_cursor": None,
    "log": {"partition": 3, "through": 9, "record": "3:8", "version": 8},
    "items": [behind(8, 10, "promoter"), behind(7, 2, "detractor")],
}
EXPLAIN = "/v1/teams/checkout/score/explain"


def test_a_score_is_explained_down_to_its_answers(pulse: Pulse, service: FakeService, data: Path) -> None:
    service.says(EXPLAIN, EXPLAINED)
    result = pulse("explain", "checkout", "--data", str(data), "--known-at", "2026-11-22T10:00:00Z")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[:5] == [
        "checkout, 7d to 2026-11-22 10:00, policy all",
        "known at 2026-11-22 09:59:02: record 3:8, everything below 3:9 was stored",
        "NPS 0 = 100 · (promoters 1 - detractors 1) / 2   passives 0",
        "not counted: erased 1, test 2",
        "the answers below recount to it",
    ]
    assert lines[-1].split() == [
        *("2026-11-22", "09:59:01", "2", "detractor", "2026-11-22", "09:59:02", "0", "3:7", "answer-7"),
    ]
    asked = {"window": "7d", "policy": "all", "known_at": "2026-11-22T10:00:00Z", "limit": "50"}
    assert service.asked == [(EXPLAIN, asked, "Bearer read-key")]


def test_a_score_of_no_answers_is_explained_without_a_division(pulse: Pulse, service: FakeService, data: Path) -> None:
    nothing: dict[str, Any] = {"n": 0, "promoters": 0, "detractors": 0, "nps": None, "display": None, "items": []}
    service.says(EXPLAIN, EXPLAINED | nothing)
    assert pulse("explain", "checkout", "--data", str(data)).stdout.splitlines()[2:] == [
        "no answers in this window",
        "not counted: erased 1, test 2",
    ]


def test_the_answers_of_all_pages_are_recounted(pulse: Pulse, service: FakeService, data: Path) -> None:
    items = EXPLAINED["items"]
    pages = {
        None: EXPLAINED | {"items": items[:1], "next_cursor": "two"},
        "two": EXPLAINED | {"items": items[1:]},
    }
    service.answers[EXPLAIN] = lambda query: (200, json.dumps(pages[query.get("cursor")]).encode())
    whole = pulse("explain", "checkout", "--json", "--data", str(data))
    assert (whole.exit_code, json.loads(whole.stdout)) == (0, EXPLAINED)
    part = pulse("explain", "checkout", "--limit", "1", "--data", str(data))
    assert part.exit_code == 0
    assert "recount to it" not in part.stdout
    assert "--limit 2 shows all" in part.stderr


def test_answers_that_do_not_recount_to_the_number_are_a_failure(
    pulse: Pulse, service: FakeService, data: Path
) -> None:
    service.says(EXPLAIN, EXPLAINED | {"detractors": 2, "n": 3})
    result = pulse("explain", "checkout", "--data", str(data))
    assert result.exit_code == Exit.FAILED
    assert "the answers below recount to it" not in result.stdout
    assert "recount to (1, 0, 1) promoters, passives, detractors, not to (1, 0, 2)" in result.stderr
    document = json.loads(pulse("explain", "checkout", "--json", "--data", str(data)).stdout)
    assert document["exit_code"] == Exit.FAILED


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (404, Exit.NOT_FOUND, "because"),
        (401, Exit.USAGE, "refused the key (because)"),
        (403, Exit.USAGE, "refused the key (because)"),
        (422, Exit.USAGE, "window: must be so"),
        (429, Exit.NOT_READY, "cannot do that right now: because"),
        (503, Exit.NOT_READY, "cannot do that right now: because"),
        (500, Exit.FAILED, "answered 500: because"),
    ],
)
def test_a_refusal_is_one_line_and_an_exit_code(
    pulse: Pulse, service: FakeService, data: Path, status: int, code: Exit, message: str
) -> None:
    body: dict[str, Any] = {"title": "No", "detail": "because"}
    if status == 422:
        body["errors"] = [{"path": "window", "message": "must be so"}]
    service.says("/v1/score", body, status)
    result = pulse("score", "--data", str(data))
    assert result.exit_code == code
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_answer_that_is_no_json_is_not_ours(pulse: Pulse, service: FakeService, data: Path) -> None:
    service.answers["/v1/score"] = lambda _: (200, b"<html>")
    result = pulse("score", "--data", str(data))
    assert result.exit_code == Exit.UNREACHABLE
    assert "is not a Pulse service" in result.stderr


def test_an_instance_that_does_not_run_is_told(pulse: Pulse, data: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    client = json.loads((data / "client.json").read_text())
    (data / "client.json").write_text(json.dumps(client | {"query": address}))
    result = pulse("teams", "--data", str(data))
    assert result.exit_code == Exit.UNREACHABLE
    assert f"`pulse up --data {data}` starts it" in result.stderr
    assert "is the address right?" in pulse("teams", "--url", address, "--key", "k").stderr


def team(name: str) -> dict[str, Any]:
    return {
        "team": name,
        "score": NUMBERS,
        "open_followups": 2,
        "overdue_followups": 1,
        "next_due_at": "2026-11-22T12:00:00Z",
    }


def test_teams_are_read_through_every_page(pulse: Pulse, service: FakeService, data: Path) -> None:
    pages = {
        None: {"window": "7d", "items": [team("a")], "next_cursor": "two"},
        "two": {"window": "7d", "items": [team("b")], "next_cursor": None},
    }
    service.answers["/v1/teams"] = lambda query: (200, json.dumps(pages[query.get("cursor")]).encode())
    document = json.loads(pulse("teams", "--json", "--data", str(data)).stdout)
    assert [item["team"] for item in document["items"]] == ["a", "b"]
    assert document["next_cursor"] is None
    row = next(line for line in pulse("teams", "--data", str(data)).stdout.splitlines() if line.startswith("a "))
    assert row.split() == ["a", "33", "-27", "…", "71", "6", "2", "1", "2026-11-22", "12:00"]


def case(number: int) -> dict[str, Any]:
    return {
        "case_id": f"case-{number}",
        "team": "checkout",
        "score": 3,
        "state": "open",
        "raised_at": "2026-11-22T10:00:00Z",
        "due_at": "2026-11-22T20:00:00Z",
        "overdue": {"contact": True, "resolve": False},
        "owner": None,
        "comment": "bad\x1b[31m\nred",
    }


RECOVERY: dict[str, Any] = {
    "team": "support",
    "asked": 3,
    "answered": 2,
    "detractors": 1,
    "passives": 0,
    "promoters": 1,
    "recovered": 1,
    "rate": 50.0,
    "mean_before": 2.5,
    "mean_after": 6.5,
    "pairs": [{"before": 2, "after": 4, "cases": 1}, {"before": 3, "after": 9, "cases": 1}],
}


def test_a_recovery_says_how_many_were_won_back_and_from_which_score_to_which(
    pulse: Pulse, service: FakeService, data: Path
) -> None:
    service.says("/v1/teams/support/recovery", RECOVERY)
    result = pulse("recovery", "support", "--from", "2026-10-01T00:00:00Z", "--data", str(data))
    assert service.asked == [
        ("/v1/teams/support/recovery", {"from": "2026-10-01T00:00:00Z"}, "Bearer read-key"),
    ]
    lines = result.stdout.splitlines()
    assert lines[:3] == [
        "support: 3 customers asked again, 2 answered",
        "recovered 1 (50 %): promoters 1, passives 0; detractors still 1",
        "mean score 2.5 before, 6.5 now",
    ]
    assert [line.split() for line in lines[-2:]] == [["2", "4", "1"], ["3", "9", "1"]]


def test_a_recovery_of_a_team_that_nobody_has_answered_says_no_more(
    pulse: Pulse, service: FakeService, data: Path
) -> None:
    nobody = RECOVERY | {"asked": 1, "answered": 0, "pairs": []}
    service.says("/v1/teams/support/recovery", nobody)
    assert pulse("recovery", "support", "--data", str(data)).stdout == "support: 1 customer asked again, 0 answered\n"
    assert json.loads(pulse("recovery", "support", "--json", "--data", str(data)).stdout) == nobody


def test_followups_are_cut_to_the_limit_and_more_are_told(pulse: Pulse, service: FakeService, data: Path) -> None:
    service.says("/v1/followups", {"items": [case(1), case(2)], "next_cursor": "more"})
    result = pulse("followups", "--limit", "2", "--state", "open", "--data", str(data))
    assert service.asked == [("/v1/followups", {"state": "open", "limit": "2"}, "Bearer read-key")]
    assert "case-2" in result.stdout
    assert "open late" in result.stdout
    assert "--limit 4" in result.stderr


def test_a_stranger_s_text_cannot_steer_the_terminal(pulse: Pulse, service: FakeService, data: Path) -> None:
    service.says("/v1/followups", {"items": [case(1)], "next_cursor": None})
    assert "bad [31m red" in pulse("followups", "--data", str(data)).stdout
    assert printable("a\x00b\u202ec", 10) == "a b c"
    assert printable("a" * 20, 10) == "aaaaaaaaa…"


EVENTS = (
    "retry: 2000\n\n"
    'event: status\ndata: {"live": true, "now": "x"}\n\n'
    'id: e-1\nevent: followup\ndata: {"kind": "followup.raised", "at": "2026-11-22T10:00:00Z", "team": "checkout",\n'
    'data: "score": 3, "case_id": "c"}\n\n'
    'id: e-2\nevent: reset\ndata: {"reason": "behind"}\n\n'
)


def test_live_events_are_one_line_each(pulse: Pulse, service: FakeService, data: Path) -> None:
    service.answers["/v1/live"] = lambda _: (200, EVENTS.encode())
    result = pulse("tail", "--count", "2", "--team", "checkout", "--data", str(data))
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "2026-11-22 10:00  raised      checkout  score 3, case c",
        "reset  {'reason': 'behind'}",
    ]
    assert service.asked[0][:2] == ("/v1/live", {"team": "checkout"})


def test_live_events_as_json_are_one_document_a_line(pulse: Pulse, service: FakeService, data: Path) -> None:
    service.answers["/v1/live"] = lambda _: (200, EVENTS.encode())
    lines = pulse("tail", "--json", "--count", "2", "--data", str(data)).stdout.splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["followup", "reset"]


def test_scores_and_corrections_read_as_sentences() -> None:
    window = {"window": "1h", "all": NUMBERS, "latest": NUMBERS}
    assert (
        live_line("score", {"team": "a", "as_of": "2026-11-22T10:00:00Z", "windows": [window]})
        == "2026-11-22 10:00  score       a  1h 33 (n 6)"
    )
    moves = [{"window": "7d", "policy": policy, "before": NOTHING, "after": NUMBERS} for policy in ("all", "latest")]
    told = {"team": "a", "known_at": "2026-11-22T10:00:00Z", "cause": "late", "windows": moves}
    assert live_line("correction", told) == "2026-11-22 10:00  correction  a  late  7d – → 33"

"""What live events say of the records of three topics."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from schemas.changes import AnswerChange, Correction, PaneDelta, Position, TeamChanges, WindowMove
from schemas.followups import Case, FollowupEvent
from schemas.scores import Counts, TeamScores, WindowScore
from schemas.topics import FEEDBACK, FOLLOWUPS, TEAM_CHANGES, TEAM_SCORES
from services.query.events import LIVE_VIEWS, events_of
from stream.domain.minutes import ceil_minute
from tests.unit.query.samples import NOON_MS, uid
from tests.unit.stream.fakes import DAY, START_MS, LogBuilder, play, response_id

VERSION = (1 << 48) + 1_017


def one(topic: str, record: msgspec.Struct) -> tuple[str, str, dict[str, Any]]:
    [(name, team, data)] = events_of(topic, 3, msgspec.json.encode(record), 5)
    LIVE_VIEWS[name].model_validate_json(data)
    return name, team, json.loads(data)


def test_scores_come_with_all_that_follows_from_the_counts() -> None:
    window = WindowScore(10_080, all=Counts(2, 1, 1), latest=Counts(10, 20, 70))
    name, team, data = one(TEAM_SCORES, TeamScores("alpha", ceil_minute(NOON_MS), None, VERSION, [window]))
    assert (name, team) == ("score", "alpha")
    assert data["record"] == "3:1017"
    assert data["as_of"] == "2026-11-01T12:00:00Z"
    [found] = data["windows"]
    assert found["window"] == "7d"
    assert (found["all"]["nps"], found["all"]["display"], found["all"]["state"]) == (-25.0, -25, "too_few")
    assert (found["latest"]["nps"], found["latest"]["state"]) == (60.0, "ok")
    assert found["latest"]["shares"] == {"detractors": 10, "passives": 20, "promoters": 70}


def test_whatever_windows_are_live_are_told_by_their_shortest_names() -> None:
    windows = [WindowScore(minutes, Counts(0, 0, 1), Counts(0, 0, 1)) for minutes in (90, 480, 527_040)]
    _, _, data = one(TEAM_SCORES, TeamScores("alpha", ceil_minute(NOON_MS), None, VERSION, windows))
    assert [found["window"] for found in data["windows"]] == ["90m", "8h", "366d"]


def test_a_followup_names_its_case_and_no_person() -> None:
    case = Case(
        *(uid(1), "alpha", uid(2), 3, "open", 1),
        *(NOON_MS, NOON_MS, NOON_MS + 36_000_000, NOON_MS + 259_200_000, (uid(2),), VERSION),
    )
    event = FollowupEvent(uid(9), "followup.raised", NOON_MS, case, uid(2))
    name, team, data = one(FOLLOWUPS, event)
    assert (name, team, data["kind"], data["case_id"], data["n"]) == ("followup", "alpha", "followup.raised", uid(1), 1)
    assert data["contact_due_at"] == "2026-11-01T22:00:00Z"


def test_only_the_corrections_of_changes_are_events() -> None:
    move = WindowMove(10_080, "all", (2, 1, 1), (1, 1, 2))
    delta = PaneDelta(ceil_minute(NOON_MS) - 9, "all", 3, -1)
    correction = Correction(uid(5), VERSION, NOON_MS, ceil_minute(NOON_MS), "revision", uid(2), [delta], [move])
    answer = AnswerChange(uid(2), VERSION, NOON_MS, NOON_MS, 1, 9)
    name, team, data = one(TEAM_CHANGES, TeamChanges("alpha", answers=[answer], corrections=[correction]))
    assert (name, team, data["cause"]) == ("correction", "alpha", "revision")
    assert data["deltas"] == [{"minute": "2026-11-01T11:51:00Z", "policy": "all", "score": 3, "change": -1}]
    [moved] = data["windows"]
    assert (moved["window"], moved["before"]["nps"], moved["after"]["nps"]) == ("7d", -25.0, 25.0)
    assert (data["id"], data["version"], data["record"]) == (uid(5), VERSION, "3:1017")


def test_what_the_fold_corrects_is_told_with_its_deltas_and_each_window_before_and_after() -> None:
    """The contract's rolling scenario: D is received late, B edits; each moves the live seven days by its deltas."""
    log = LogBuilder()

    def given(number: int, score: int, on_day: float, received: float, **more: Any) -> None:
        log.now_ms = START_MS + int(received * DAY)
        log.answer(number, score, answered_ms=START_MS + int(on_day * DAY), **more)

    for number, score, on_day, who in ((1, 10, 1, "a"), (2, 3, 2, "b"), (3, 8, 3, "c"), (4, 6, 5, "a")):
        given(number, score, on_day, on_day, respondent=who)
    given(2, 9, 2, 7.5, respondent="b", revision=1)
    given(5, 9, 6, 9, respondent="d")
    newer, *told = [
        json.loads(data)
        for out in play(log.records).outputs
        if out.topic == TEAM_CHANGES
        for name, _, data in events_of(out.topic, 3, msgspec.json.encode(out.message), 5)
        if name == "correction"
    ]
    assert (newer["cause"], newer["record"]) == ("newer_answer", "3:3")  # A's 6 takes A's 10 out of `latest`
    latest = sorted((d["score"], d["change"]) for d in newer["deltas"] if d["policy"] == "latest")
    assert latest == [(6, 1), (10, -1)]
    assert [(one["cause"], one["response_id"], one["record"]) for one in told] == [
        ("revision", response_id(2), "3:4"),
        ("late", response_id(5), "3:5"),
    ]
    assert len({one["id"] for one in told}) == 2
    for one, deltas in zip(told, ([(3, -1), (9, 1)], [(9, 1)]), strict=True):
        for policy in ("all", "latest"):
            assert [(d["score"], d["change"]) for d in one["deltas"] if d["policy"] == policy] == deltas
        for move in one["windows"]:
            before, after = move["before"], move["after"]
            moved = {band: after[band] - before[band] for band in ("detractors", "passives", "promoters")}
            assert moved == {
                "detractors": sum(change for score, change in deltas if score <= 6),
                "passives": 0,
                "promoters": sum(change for score, change in deltas if score >= 9),
            }
    week = {
        (i, move["policy"]): move for i, one in enumerate(told) for move in one["windows"] if move["window"] == "7d"
    }
    # At d7.5 the window (d0.5, d7.5] holds A 10, B, C 8, A 6.
    assert (week[0, "all"]["before"]["nps"], week[0, "all"]["after"]["nps"]) == (-25.0, 25.0)
    assert (week[1, "all"]["after"]["nps"], week[1, "latest"]["after"]["nps"]) == (0.0, 0.0)


@pytest.mark.parametrize("topic", [FOLLOWUPS, TEAM_CHANGES])
def test_positions_are_no_events(topic: str) -> None:
    assert list(events_of(topic, 0, msgspec.json.encode(Position(0, 7)), 5)) == []


def test_a_record_of_no_known_type_is_an_error_and_another_topic_is_nothing() -> None:
    with pytest.raises(msgspec.MsgspecError):
        list(events_of(TEAM_CHANGES, 0, b'{"type":"news"}', 5))
    assert list(events_of(FEEDBACK, 0, b"{}", 5)) == []

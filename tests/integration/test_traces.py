"""The traces of the fold's state machine, end to end: the real Kafka, worker, sink and ClickHouse, against the recount.

Each trace has a partition of its own. Its records carry their append times in the header of a copied log; they are all
in the log before the worker starts, so that no tick of the present comes between them.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest

from schemas import topics
from tests.engines import Engines
from tests.integration.stream_place import Counted, Place, Sent
from tests.unit.stream import traces
from tests.unit.stream.fakes import PARTITION
from tests.unit.stream.holding import OPEN, named
from tests.unit.stream.knowing import KnowingRecount
from tests.unit.stream.recount import Recount
from tests.unit.stream.traces import Trace

pytestmark = pytest.mark.real

Rows = list[tuple[Any, ...]]


@pytest.fixture
def place(engines: Engines, tmp_path: Path) -> Iterator[Place]:
    engines.topics(anew=True)
    place = Place(engines, tmp_path)
    yield place
    place.end()


def names_of(partition: int) -> Iterator[str]:
    """Teams that belong to a partition."""
    return (name for name in (f"trace-{n}" for n in range(10_000)) if topics.partition_of(name.encode()) == partition)


def moved(trace: Trace, partition: int) -> list[Sent]:
    """The records of a trace in another partition: teams of its own become that one's, a stranger stays a stranger."""
    own, strange = names_of(partition), names_of((partition + 1) % topics.PARTITIONS)
    keys: dict[bytes, bytes] = {}
    sent: list[Sent] = []
    for record in trace.records:
        key = record.key
        if key is not None and key == key.lower():
            if key not in keys:
                keys[key] = next(own if topics.partition_of(key) == PARTITION else strange).encode()
            key = keys[key]
        appended = dict(record.headers).get(topics.APPENDED_HEADER, str(record.timestamp).encode())
        sent.append((key, record.value, partition, ((topics.APPENDED_HEADER, appended),)))
    return [(key, _renamed(value, trace, keys), number, headers) for key, value, number, headers in sent]


def _renamed(value: bytes | None, trace: Trace, teams: dict[bytes, bytes]) -> bytes | None:
    """With the cases that have other ids, because their teams have other names."""
    if value is None or b'"act"' not in value:
        return value
    answers = {
        json.loads(record.value)["response_id"]
        for record in trace.records
        if record.value and b'"answer"' in record.value
    }
    for before, after in teams.items():
        for answer in answers:
            value = value.replace(named(before.decode(), answer).encode(), named(after.decode(), answer).encode())
    return value


def truths(said: Counted) -> dict[int, Recount]:
    """The recount of every partition's log, as Kafka holds it."""
    return {number: KnowingRecount.of(log, number) for number, log in said.log.items() if log}


def rows_of(url: str, sql: str) -> Rows:
    with clickhouse_connect.get_client(dsn=url) as client:
        return [tuple(row) for row in client.query(sql).result_rows]


def assert_scores_hold(said: Counted, truth: Recount) -> None:
    for team, minutes in truth.panes().items():
        assert not minutes or team in said.scores
    for team in {team for team, _ in truth.answers} & said.scores.keys():
        scores = said.scores[team]
        for window in scores.windows:
            for policy, shown in (("all", window.all), ("latest", window.latest)):
                counts = truth.counts(team, policy, scores.as_of, window.minutes)
                assert (shown.detractors, shown.passives, shown.promoters) == counts, (team, window.minutes, policy)


def stored_panes(url: str) -> dict[tuple[str, int], list[int]]:
    found = rows_of(url, "SELECT team, intDiv(toUnixTimestamp(minute), 60), scores, latest FROM panes FINAL")
    return {(team, minute): [*every, *latest] for team, minute, every, latest in found if any([*every, *latest])}


def within(
    panes: Iterable[tuple[tuple[str, int], list[int]]], recounts: dict[int, Recount]
) -> dict[tuple[str, int], list[int]]:
    """Those inside the horizon of their team's log: the fold changes no older one, and ClickHouse keeps them."""
    closed = {
        team: truth.closed
        for truth in recounts.values()
        for team, _ in (*truth.answers, *truth.forgotten, *truth.erased)
    }
    return {(team, minute): pane for (team, minute), pane in panes if minute >= closed[team]}


def assert_answers_hold(found: Rows, recounts: dict[int, Recount]) -> dict[tuple[str, str], str]:
    """The last state of every answer in ClickHouse; gives each its case."""
    stored = {(team, response_id): row for team, response_id, *row in found}
    expected = {name: answer for truth in recounts.values() for name, answer in truth.answers.items()}
    gone = {name for truth in recounts.values() for name in truth.erased}
    forgotten = {name for truth in recounts.values() for name in truth.forgotten}
    assert {name for name, row in stored.items() if not row[-1]} == expected.keys() | (forgotten - gone)
    assert {name for name, row in stored.items() if row[-1]} <= gone
    for name, answer in expected.items():
        event_ms, score, revision, respondent, reasons, history, _, _ = stored[name]
        assert (event_ms, score, revision) == (answer.event_ms, answer.score, answer.revision)
        assert (respondent or None, frozenset(reasons), history) == (answer.respondent, answer.reasons, answer.history)
    return {name: stored[name][6] for name in expected}


def assert_cases_hold(cases: Rows, case_of: dict[tuple[str, str], str], recounts: dict[int, Recount]) -> None:
    """Every detractor that calls for it is in an open case, of which a respondent has one."""
    states = {case_id: state for case_id, _, _, state, _ in cases}
    answers = {name: answer for truth in recounts.values() for name, answer in truth.answers.items()}
    for name, answer in answers.items():
        assert case_of[name] or not answer.calls, "a detractor that nobody follows up"
        if case_of[name] and answer.detractor:
            assert states[case_of[name]] in OPEN | {"resolved"}
    unhappy: dict[str, bool] = defaultdict(bool)
    for name, case_id in case_of.items():
        unhappy[case_id] |= answers[name].detractor
    opened = {case_id for case_id, state in states.items() if state in OPEN}
    resolved = {case_id for case_id, state in states.items() if state == "resolved"}
    assert opened == {case_id for case_id in unhappy if case_id and unhappy[case_id]} - resolved
    of_respondent = Counter((team, who) for _, team, _, state, who in cases if state in OPEN and who)
    assert set(of_respondent.values()) <= {1}, "two open cases of one respondent"
    assert all(case_id == named(team, response_id) for case_id, team, response_id, _, _ in cases)


async def test_every_trace_comes_to_what_the_recount_says_in_the_topics_and_in_clickhouse(
    place: Place, engines: Engines
) -> None:
    kept = traces.load()
    assert len(kept) <= topics.PARTITIONS
    await place.send(sent for number, trace in enumerate(kept) for sent in moved(trace, number))
    url = engines.database()
    place.worker()
    place.sink(url)
    await place.folded()
    await place.sunk()
    said = await place.counted()
    recounts = truths(said)
    assert set(range(len(kept))) <= recounts.keys()
    for number, trace in enumerate(kept):
        own = KnowingRecount.of(said.log[number][: len(trace.records)], number)
        original = KnowingRecount.of(trace.records, PARTITION)
        assert [one.score for one in own.answers.values()] == [one.score for one in original.answers.values()]
        assert Counter(own.rejected.values()) == Counter(original.rejected.values())
    for truth in recounts.values():
        assert_scores_hold(said, truth)
    counted = (
        ((team, minute), pane)
        for truth in recounts.values()
        for team, minutes in truth.panes().items()
        for minute, pane in minutes.items()
    )
    assert within(stored_panes(url).items(), recounts) == within(counted, recounts)
    found = rows_of(
        url,
        "SELECT team, response_id, toUnixTimestamp64Milli(event_at), score, revision, respondent, reasons, history, "
        "case_id, erased FROM answers FINAL ORDER BY version DESC LIMIT 1 BY team, response_id",
    )
    case_of = assert_answers_hold(found, recounts)
    assert_cases_hold(
        rows_of(url, "SELECT case_id, team, response_id, state, respondent FROM followups FINAL"), case_of, recounts
    )
    raised = Counter((event.case.case_id, event.case.raised_ms) for event in said.raised)
    assert set(raised.values()) <= {1}, "a case is raised once"
    events = rows_of(url, "SELECT case_id, n FROM followup_events FINAL ORDER BY case_id, raised_at, n")
    for (before, last), (case_id, n) in pairwise([("", 0), *events]):
        assert n == 1 or (case_id, n) == (before, last + 1), "an event is missing, or there twice"
    assert len(events) == len(said.events)
    rejected = rows_of(url, "SELECT partition, offset, reason FROM rejects FINAL")
    assert {(partition, offset): reason for partition, offset, reason in rejected} == {
        (number, offset): reason for number, truth in recounts.items() for offset, reason in truth.rejected.items()
    }

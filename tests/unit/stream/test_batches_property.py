"""Where the log is cut into batches, and how often a part of it is read again, changes nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.changes import AnswerChange, PaneChange, Position
from schemas.scores import TeamScores
from stream.domain import ordinary
from stream.domain.values import META
from tests.unit.stream.fakes import PARTITION, LogBuilder, Record, Run, play
from tests.unit.stream.logs import PROPERTY, cut_logs
from tests.unit.stream.said import read

Log = list[Record]


def once_each(run: Run) -> dict[str, Any]:
    """Everything that is said once per causing record: id to content. Fails when an id stands for two things."""
    said: dict[str, Any] = {}
    for event in run.events:
        # The id of an answer that was forgotten may come again, and its case with it.
        name = f"{event.event_id} {event.at_ms}"
        assert said.setdefault(name, event) == event
    for team, correction in run.corrections:
        assert said.setdefault(correction.id, (team, correction)) == (team, correction)
    for reject in run.rejects:
        assert said.setdefault(reject.id, reject) == reject
    return said


def answer_states(run: Run) -> dict[tuple[str, str, int], AnswerChange]:
    """(team, response id, version) to the answer as it stood. Fails when one version is two different states."""
    states: dict[tuple[str, str, int], AnswerChange] = {}
    for team, answer in run.answers:
        assert states.setdefault((team, answer.response_id, answer.version), answer) == answer
    return states


def last_said(run: Run) -> tuple[dict[str, TeamScores], dict[tuple[str, int], PaneChange]]:
    return run.scores, run.panes


@PROPERTY
@given(cut_logs())
def test_other_batch_cuts_give_the_same_events_and_the_same_last_value_of_every_key(
    drawn: tuple[Log, list[int]],
) -> None:
    log, cuts = drawn
    cut, single = play(log, cuts), play(log, range(len(log)))
    assert cut.state.data == single.state.data
    assert once_each(cut) == once_each(single)
    assert answer_states(cut) == answer_states(single)
    assert last_said(cut) == last_said(single)
    for run in (cut, single):
        assert len(run.events) == len({(event.event_id, event.at_ms) for event in run.events})
        assert len(run.corrections) == len({correction.id for _, correction in run.corrections})


@PROPERTY
@given(cut_logs())
def test_the_fast_path_does_what_the_general_one_does(drawn: tuple[Log, list[int]]) -> None:
    log, cuts = drawn
    fast = play(log, cuts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordinary, "apply", lambda work, steps, at: at)
        general = play(log, cuts)
    assert fast.state.data == general.state.data
    assert fast.outputs == general.outputs


@PROPERTY
@given(cut_logs(), st.data())
def test_replaying_from_any_earlier_offset_changes_nothing_and_says_nothing_new(
    drawn: tuple[Log, list[int]], data: st.DataObject
) -> None:
    log, cuts = drawn
    stop = data.draw(st.integers(1, len(log)), label="folded until")
    start = data.draw(st.integers(0, stop - 1), label="read again from")
    run = play(log[:stop], [cut for cut in cuts if cut < stop])
    before, said = dict(run.state.data), len(run.outputs)
    effects = run.fold(log[start:stop])
    assert run.state.data == before
    assert {type(out.message) for out in read(effects.outputs)} == {Position}
    assert effects.meta == META.unpack(before[b"m"])
    del run.outputs[said:]
    run.fold(log[start:])  # a batch that begins below the position and goes on above it
    whole = play(log)
    assert run.state.data == whole.state.data
    assert once_each(run) == once_each(whole)


def test_every_batch_ends_with_its_position_on_both_topics_that_carry_one() -> None:
    log = LogBuilder()
    log.answer(1, 10)
    log.answer(2, 3)
    effects = Run().fold(log.records)
    *_, changes, followups = read(effects.outputs)
    assert (changes.topic, followups.topic) == ("team-changes.v1", "followups.v1")
    assert changes.message == followups.message == Position(PARTITION, 2)
    assert msgspec.json.decode(msgspec.json.encode(changes.message))["type"] == "position"

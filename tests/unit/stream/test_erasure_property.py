"""Erasure: nothing of an erased answer is left in the state, and its text goes each time it comes."""

from __future__ import annotations

from collections import Counter

from hypothesis import given

from schemas.people import person_key
from tests.unit.stream.acting import assert_notes_hold
from tests.unit.stream.fakes import PARTITION, Record, play
from tests.unit.stream.holding import assert_erased_hold
from tests.unit.stream.knowing import KnowingRecount
from tests.unit.stream.logs import PROPERTY, cut_logs


@PROPERTY
@given(cut_logs())
def test_of_an_erased_answer_only_its_id_is_left(drawn: tuple[list[Record], list[int]]) -> None:
    log, cuts = drawn
    run, truth = play(log, cuts), KnowingRecount.of(log, PARTITION)
    assert_erased_hold(run.state, truth)
    last = {(team, answer.response_id): answer for team, answer in run.answers}
    for name in truth.erased:
        said = last.get(name)
        assert said is None or said.erased
    assert {name for name, answer in last.items() if answer.erased} <= truth.erased
    assert not [answer for name, answer in last.items() if name in truth.answers and answer.erased]


@PROPERTY
@given(cut_logs())
def test_its_text_goes_with_it_and_again_whenever_it_comes_back(drawn: tuple[list[Record], list[int]]) -> None:
    log, cuts = drawn
    truth, at_once = KnowingRecount.of(log, PARTITION), play(log, cuts)
    one_by_one = play(log, range(len(log)))
    texts = Counter(person_key(*name) for name in truth.tombstones)
    notes = set(one_by_one.tombstones) - set(texts)
    assert Counter(key for key in one_by_one.tombstones if key not in notes) == texts
    # A batch that says a thing several times may say it once.
    assert set(at_once.tombstones) == set(texts) | notes
    assert_notes_hold(set(at_once.tombstones), at_once.state, truth)

"""A record that cannot be used becomes a reject with a reason; no record can make the fold raise."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.rejects import Reject
from stream.domain.ids import NAMESPACE
from tests.unit.stream.fakes import (
    DAY,
    PARTITION,
    START_MS,
    TEAMS,
    TICK,
    LogBuilder,
    Record,
    Run,
    answer_value,
    play,
    response_id,
)
from tests.unit.stream.logs import OTHER_PARTITION, PROPERTY

TEAM = TEAMS[0].encode()
GOOD = answer_value(1, 9)


def changed(**fields: Any) -> bytes:
    """A good answer with some fields other than they should be."""
    return json.dumps({**json.loads(GOOD), **fields}).encode()


BAD = {
    "no-value": (TEAM, None, "no_value"),
    "empty": (TEAM, b"", "undecodable"),
    "not-json": (TEAM, b"{", "undecodable"),
    "not-utf-8": (TEAM, b'{"type":"answer","response_id":"\xff"}', "undecodable"),
    "lone-surrogate": (TEAM, b'{"type":"answer","response_id":"\\ud800"}', "undecodable"),
    "not-an-object": (TEAM, b"[]", "undecodable"),
    "nested-too-deep": (TEAM, b'{"type":"tick","x":' + b"[" * 60_000, "undecodable"),
    "no-type": (TEAM, b"{}", "undecodable"),
    "unknown-type": (TEAM, b'{"type":"guess"}', "undecodable"),
    "no-score": (TEAM, b'{"type":"answer","response_id":"a","content":"c"}', "undecodable"),
    "score-11": (TEAM, changed(score=11), "undecodable"),
    "score-minus-1": (TEAM, changed(score=-1), "undecodable"),
    "score-fraction": (TEAM, changed(score=6.5), "undecodable"),
    "score-whole-fraction": (TEAM, changed(score=9.0), "undecodable"),
    "score-text": (TEAM, changed(score="9"), "undecodable"),
    "score-true": (TEAM, changed(score=True), "undecodable"),
    "score-null": (TEAM, changed(score=None), "undecodable"),
    "time-before-1970": (TEAM, changed(answered_ms=-1), "undecodable"),
    "time-after-9999": (TEAM, changed(answered_ms=1 << 60), "undecodable"),
    "no-key": (None, GOOD, "no_key"),
    "empty-key": (b"", GOOD, "no_key"),
    "key-not-ascii": ("kø".encode(), GOOD, "bad_key"),
    "key-upper-case": (b"Team", GOOD, "bad_key"),
    "key-with-newline": (b"team\n", GOOD, "bad_key"),
    "key-too-long": (b"t" * 65, GOOD, "bad_key"),
    "key-endless": (b"t" * 100_000, GOOD, "bad_key"),
    "wrong-partition": (OTHER_PARTITION.encode(), GOOD, "wrong_partition"),
    "revision-below-0": (TEAM, changed(revision=-1, answered_ms=START_MS), "bad_field"),
    "revision-endless": (TEAM, changed(revision=1 << 70, answered_ms=START_MS), "bad_field"),
    "response-id-too-long": (TEAM, changed(response_id=response_id(1) + "0"), "bad_field"),
    "response-id-empty": (TEAM, changed(response_id=""), "bad_field"),
    "record-too-large": (TEAM, GOOD + b" " * 65_536, "too_large"),
    "revision-of-an-unknown-answer": (TEAM, changed(revision=1), "unknown_original"),
}


@pytest.mark.parametrize(("key", "value", "reason"), BAD.values(), ids=BAD.keys())
def test_an_unusable_record_is_rejected_with_its_reason_and_the_good_ones_around_it_count(
    key: bytes | None, value: bytes | None, reason: str
) -> None:
    log = LogBuilder(first_offset=40)
    log.answer(8, 10)
    bad = log.append(key, value)
    log.answer(9, 10)
    run = play(log.records)
    (reject,) = run.rejects
    assert reject == Reject(
        id=str(uuid.uuid5(uuid.UUID(bytes=NAMESPACE), f"1|{PARTITION}|41|reject")),
        topic="feedback.v1",
        partition=PARTITION,
        offset=41,
        at_ms=bad.timestamp,
        reason=reason,
        detail=reject.detail,
        key=None if key is None else key.decode()[:256],
        record=None if reason == "too_large" else value,
    )
    assert reject.detail
    assert run.scores[TEAMS[0]].windows[0].all.promoters == 2


def test_a_rejected_record_moves_stream_time_on_all_the_same() -> None:
    log = LogBuilder()
    log.answer(1, 10)
    log.now_ms += DAY
    log.append(TEAM, b"{")
    run = play(log.records)
    assert run.state.meta.known_ms == log.now_ms
    assert [window.all.promoters for window in run.scores[TEAMS[0]].windows[:3]] == [0, 0, 1]


def test_a_revision_of_an_unknown_answer_with_a_time_is_an_answer() -> None:
    log = LogBuilder()
    log.answer(1, 10, revision=3, answered_ms=log.now_ms)
    run = play(log.records)
    assert (run.rejects, run.scores[TEAMS[0]].windows[0].all.promoters) == ([], 1)


def test_a_tick_needs_no_key_and_takes_any() -> None:
    log = LogBuilder()
    log.append(None, TICK)
    log.append(b"\xff", TICK)
    assert play(log.records).rejects == []


@pytest.mark.parametrize("value", [b"", b"soon", b"-5", b"9" * 20, b"9" * 5_000, "٣".encode()])
def test_a_header_that_is_no_time_is_left_aside(value: bytes) -> None:
    record = Record(0, START_MS, TEAM, GOOD, [("pulse-appended-ms", value)])
    assert play([record]).state.meta.known_ms == START_MS


def test_the_append_time_of_a_copied_log_is_the_one_in_its_header() -> None:
    record = Record(0, START_MS + DAY, TEAM, GOOD, [("x", b"1"), ("pulse-appended-ms", str(START_MS).encode())])
    run = play([record])
    assert run.state.meta.known_ms == START_MS
    assert [change.event_ms for _, change in run.answers] == [START_MS]


_ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 80), 1 << 80)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(["x" * 60_000, response_id(1), START_MS, START_MS - 500 * DAY, 0, 10]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=3,
)
_FIELDS = st.sampled_from(sorted({*json.loads(GOOD), "answered_ms", "revision", "respondent", "test", "personal"}
    | {"survey", "channel", "locale", "medium", "callback_ms", "age_group", "attributes", "v", "another"}))  # fmt: skip
_VALUES = (
    st.dictionaries(_FIELDS, _ANY, max_size=4).map(lambda fields: changed(**fields))
    | st.binary(max_size=60)
    | st.none()
)
_KEYS = st.sampled_from([TEAM] * 5 + [None, b"", b"\xff", b"Team", b"a" * 70_000])
_HEADERS = st.lists(st.tuples(st.just("pulse-appended-ms"), st.binary(max_size=9)), max_size=1)


@settings(PROPERTY, max_examples=PROPERTY.max_examples // 4)
@given(st.lists(st.tuples(_KEYS, _VALUES, _HEADERS, st.integers(0, 500 * DAY)), min_size=1, max_size=6))
def test_no_record_makes_the_fold_raise(drawn: list[tuple[bytes | None, bytes | None, list[Any], int]]) -> None:
    run = Run()
    for offset, (key, value, headers, later_ms) in enumerate(drawn):
        run.fold([Record(offset, START_MS + later_ms, key, value, headers)])
    assert run.state.meta.position == len(drawn)

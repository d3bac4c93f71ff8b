"""Where a state stands, and which log it was made from."""

from __future__ import annotations

import zlib

from msgspec import structs

from stream.domain.fold import fold, record_crc
from stream.domain.values import FOLD_VERSION, Meta
from tests.unit.stream.fakes import DAY, PARTITION, START_MS, TEAMS, FakeState, LogBuilder, Record, Run, play
from tests.unit.stream.said import read


def test_the_position_follows_the_last_record_and_tells_it_by_time_and_checksum() -> None:
    log = LogBuilder(first_offset=40)
    log.answer(1, 9)
    log.now_ms += 5
    last = log.answer(2, 9)
    meta = play(log.records).state.meta
    assert meta == Meta(
        position=42,
        known_ms=START_MS + 5,
        before_ms=START_MS + 5,
        before_crc=zlib.crc32((last.key or b"") + (last.value or b"")),
        generation=1,
        fold_version=FOLD_VERSION,
        quiet_until=0,
    )


def test_a_record_of_a_copied_log_is_told_by_its_own_time_while_stream_time_is_the_first_logs() -> None:
    record = Record(0, START_MS + DAY, None, b'{"type":"tick"}', [("pulse-appended-ms", b"%d" % START_MS)])
    meta = play([record]).state.meta
    assert (meta.known_ms, meta.before_ms) == (START_MS, START_MS + DAY)


def test_stream_time_never_goes_back_while_the_brokers_clock_may() -> None:
    log = LogBuilder()
    log.answer(1, 9)
    log.now_ms -= 5_000
    log.answer(2, 9)
    run = play(log.records)
    assert (run.state.meta.known_ms, run.state.meta.before_ms) == (START_MS, START_MS - 5_000)
    assert [change.known_ms for _, change in run.answers] == [START_MS, START_MS]


def test_the_checksum_of_a_record_without_key_or_value_is_that_of_nothing() -> None:
    assert record_crc(Record(0, 0, None, None)) == 0
    assert record_crc(Record(0, 0, b"a", b"b")) == zlib.crc32(b"ab")


def test_a_batch_leaves_how_far_the_state_was_rebuilt_in_quiet() -> None:
    log = LogBuilder()
    log.answer(1, 9)
    log.answer(2, 9)
    run = play(log.records[:1])
    run.state.set_meta(structs.replace(run.state.meta, quiet_until=99))
    run.fold(log.records[1:])
    assert run.state.meta.quiet_until == 99


def test_a_batch_without_records_changes_nothing_but_says_where_the_partition_stands() -> None:
    log = LogBuilder()
    log.answer(1, 9)
    run = play(log.records)
    before = dict(run.state.data)
    effects = run.fold([])
    assert run.state.data == before
    assert [out.key for out in effects.outputs] == [None, None]


def test_the_generation_of_the_log_is_in_the_state_and_in_every_version() -> None:
    log = LogBuilder()
    log.answer(1, 3, respondent="anna")
    state = FakeState()
    effects = fold(state, log.records, PARTITION, generation=7)
    assert effects.meta.generation == 7
    run = Run(state, read(effects.outputs))
    version = (7 << 48) + 0
    assert run.scores[TEAMS[0]].version == version
    assert [change.version for _, change in run.answers] == [version]
    assert [pane.version for pane in run.panes.values()] == [version]
    assert [event.case.version for event in run.events] == [version]

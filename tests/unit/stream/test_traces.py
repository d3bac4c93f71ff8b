"""Logs that were hard once, kept as data: replayed whole, cut at every record, and by a worker that keeps dying."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.stream import traces
from tests.unit.stream.fakes import LogBuilder, play
from tests.unit.stream.partition import Reference, Worker
from tests.unit.stream.traces import Trace, text_of

TRACES = traces.load()


def folded(trace: Trace) -> Reference:
    """The trace in single records, each step measured against the recount."""
    reference = Reference()
    for record in trace.records:
        reference.append(record)
    return reference


@pytest.mark.parametrize("trace", TRACES, ids=[trace.name for trace in TRACES])
def test_a_trace_holds_at_each_record_and_wherever_it_is_cut(trace: Trace) -> None:
    reference = folded(trace)
    every = [[index] for index in range(1, len(trace.records))]
    for cuts in ([], trace.cuts, *every):
        worker = Worker(reference)
        for edge in [*cuts, len(trace.records)]:
            worker.apply([record for record in worker.ahead() if record in trace.records[:edge]])
        worker.assert_told_the_same()


@pytest.mark.parametrize("trace", TRACES, ids=[trace.name for trace in TRACES])
def test_a_trace_holds_through_a_death_at_every_step_and_the_loss_of_the_disk(trace: Trace) -> None:
    worker = Worker(folded(trace))
    for step in range(len(trace.records)):
        worker.die_before_the_write(worker.ahead()[:3])
        worker.write(worker.ahead()[: 1 + step % 3])
        worker.send(most=1)
        worker.keep_a_copy()
        worker.lose_the_disk(copy=step * 7, step=1 + step % 4)
        worker.apply(worker.ahead()[:2])
        worker.replay(step)
    worker.apply(worker.ahead())
    worker.assert_told_the_same()


@pytest.mark.parametrize("trace", TRACES, ids=[trace.name for trace in TRACES])
def test_a_trace_says_what_it_is_about_and_is_the_text_that_its_records_make(trace: Trace) -> None:
    path = traces.FOLDER / f"{trace.name}.json"
    assert path.read_text(encoding="utf-8") == text_of(trace.about, trace.cuts, trace.records)
    assert len(trace.about) > 20


def test_records_survive_being_data_byte_for_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = LogBuilder()
    log.answer(1, 3, respondent="anna")
    log.append(b"team-9", b'{"type":"answer"', [("pulse-appended-ms", b"12")], skip=2)
    log.append(None, None)
    log.append(None, b'{ "type":"tick"}')
    (tmp_path / "one.json").write_text(text_of("what there is to keep", [1], log.records), encoding="utf-8")
    monkeypatch.setattr(traces, "FOLDER", tmp_path)
    (trace,) = traces.load()
    assert (trace.name, trace.cuts) == ("one", [1])
    assert [(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in trace.records] == [
        (r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in log.records
    ]
    assert play(trace.records).state.data == play(log.records).state.data


def test_a_folder_without_traces_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "FOLDER", tmp_path)
    with pytest.raises(FileNotFoundError):
        traces.load()

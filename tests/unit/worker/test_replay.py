"""A replay against what a worker came to: the same is equal however it was cut, and anything else is named."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from msgspec import structs

from schemas import topics
from schemas.changes import TeamChanges
from schemas.followups import FollowupEvent
from schemas.generations import FIRST
from schemas.scores import TeamScores
from stream.comparing import Outputs, Tally, compare_states, named
from stream.domain import keys, messages, values
from stream.domain.fold import fold
from stream.domain.view import UNLIMITED
from stream.domain.windows import fresh
from stream.errors import LogMismatch, StateInUse
from stream.replay import Report, locked, rebuild, verify
from stream.state import State, folder_of, peek, shared_memory
from tests.unit.stream.fakes import DAY, PARTITION, TEAMS, LogBuilder, Record, play
from tests.unit.stream.logs import PROPERTY, cut_logs
from tests.unit.stream.said import Out, written
from tests.unit.worker.fakes import FakeLog


def a_log(records: int = 40) -> list[Record]:
    """Answers of two teams, some unhappy, some edited, one record nobody can use."""
    builder = LogBuilder()
    for number in range(records):
        builder.now_ms += 61_000
        builder.answer(number % 25, (number * 7) % 11, team=TEAMS[number % 2], revision=number // 25)
    builder.append(b"not a team", b"{}")
    return builder.records


def replayed(log: Sequence[Record], said: Iterable[Out], position: int | None = None, since_ms: int = 0) -> Tally:
    """A fold of the whole log up to a position, against messages that stand in the topics in that order."""
    position = log[-1].offset + 1 if position is None else position
    outputs = Outputs(1, log[0].offset, position, since_ms)
    for message in written(play([record for record in log if record.offset < position]).outputs):
        outputs.said(message.topic, message.value)
    for message in written(said):
        outputs.stands(message.topic, message.value)
    return outputs.finish()


@given(cut_logs())
@PROPERTY
def test_whatever_the_cuts_a_replay_says_the_same_and_comes_to_the_same_keys(
    drawn: tuple[list[Record], list[int]],
) -> None:
    log, cuts = drawn
    held, folded = play(log, cuts), play(log)
    tally = replayed(log, held.outputs)
    assert (tally.different, tally.first) == (0, [])
    states = compare_states(sorted(held.state.data.items()), sorted(folded.state.data.items()))
    assert (states.different, states.first) == (0, [])
    assert states.compared == len(folded.state.data)


@given(cut_logs())
@PROPERTY
def test_what_the_worker_has_said_since_does_no_harm(drawn: tuple[list[Record], list[int]]) -> None:
    log, cuts = drawn
    for position in [log[cut - 1].offset + 1 for cut in cuts]:
        tally = replayed(log, play(log, cuts).outputs, position)
        assert (tally.different, tally.first) == (0, [])


def test_what_was_said_twice_or_in_older_versions_does_no_harm() -> None:
    log = a_log()
    one_by_one = play(log, range(1, len(log))).outputs
    tally = replayed(log, [*one_by_one, *one_by_one[-30:]])
    assert tally.different == 0
    assert tally.compared > 60


def changed(out: Out, **fields: Any) -> Out:
    assert out.message is not None
    return out._replace(message=structs.replace(out.message, **fields))


def scores(outputs: list[Out]) -> int:
    return next(i for i, out in reversed(list(enumerate(outputs))) if isinstance(out.message, TeamScores))


def test_another_score_of_the_same_version_is_named() -> None:
    log = a_log()
    said = play(log).outputs
    at = scores(said)
    said[at] = changed(said[at], as_of=1)
    tally = replayed(log, said)
    assert tally.different == 1
    assert tally.first == [f"team-scores.v1 {said[at].key.decode()}"]  # type: ignore[union-attr]


def test_a_score_that_is_missing_is_named_unless_a_newer_one_has_taken_its_place() -> None:
    log = a_log()
    said = play(log).outputs
    taken = said.pop(scores(said))
    assert replayed(log, said).first == [f"team-scores.v1 {taken.key.decode()} is missing in the topic"]  # type: ignore[union-attr]
    later = changed(taken, version=(1 << 48) + 10_000)
    assert replayed(log, [*said, later]).different == 0


def test_an_event_nobody_should_have_said_is_named_but_not_one_of_another_generation() -> None:
    log = a_log()
    said = play(log).outputs
    out = next(out for out in said if isinstance(out.message, FollowupEvent))
    other = changed(out, event_id="0" * 36)
    (line,) = replayed(log, [*said, other]).first
    assert line == f"followups.v1 {'0' * 36} stands in the topic, the fold does not say it"
    assert isinstance(out.message, FollowupEvent)
    case = structs.replace(out.message.case, version=(2 << 48) + 1)
    assert replayed(log, [*said, changed(other, case=case)]).different == 0


def test_a_changed_pane_answer_correction_and_reject_are_each_found() -> None:
    log = a_log()
    said = play(log, range(1, len(log))).outputs
    found = 0
    for at, out in enumerate(said):
        if not isinstance(out.message, TeamChanges):
            continue
        for kind, change in (
            ("panes", {"latest": [9] * 11}),
            ("corrections", {"as_of": 1}),
            ("answers", {"score": 99}),
        ):
            items = getattr(out.message, kind)
            if items:
                wrong = structs.replace(out.message, **{kind: [structs.replace(items[0], **change), *items[1:]]})
                tally = replayed(log, [*said[:at], out._replace(message=wrong), *said[at + 1 :]])
                assert tally.different <= 1
                found += tally.different
    assert found > 30
    reject = next(i for i, out in enumerate(said) if out.topic == topics.REJECTS)
    assert replayed(log, said[:reject] + said[reject + 1 :]).different == 1


def test_nothing_is_missed_in_what_retention_has_taken_from_a_topic() -> None:
    log = a_log()
    said = [out for out in play(log, range(1, len(log))).outputs if out.topic == topics.FOLLOWUPS]
    everything = play(log, range(1, len(log))).outputs
    outputs = Outputs(1, 0, log[-1].offset + 1)
    for message in written(everything):
        outputs.said(message.topic, message.value)
    outputs.truncated(topics.FOLLOWUPS)
    for message in written([out for out in everything if out.topic != topics.FOLLOWUPS] + said[len(said) // 2 :]):
        outputs.stands(message.topic, message.value)
    assert outputs.finish().different == 0


def test_keys_of_either_side_and_other_values_are_named_and_what_is_local_is_not() -> None:
    run = play(a_log())
    held = dict(run.state.data)
    held[keys.META] = values.META.pack(structs.replace(run.state.meta, quiet_until=9))
    held[keys.OUTBOX + keys.number(4)] = b"waiting"
    answer = next(key for key in held if key[:1] == b"r")
    pane = next(key for key in held if key[:1] == b"p")
    equal = compare_states(sorted(held.items()), sorted(run.state.data.items()))
    assert (equal.compared, equal.different) == (len(run.state.data), 0)
    del held[answer]
    held[pane] = values.PANE.pack([1] * 22)
    held[keys.team("zz")] = values.TEAM.pack(fresh(1, (60,)))
    tally = compare_states(sorted(held.items()), sorted(run.state.data.items()))
    assert tally.different == 3
    assert tally.first == [named(pane), named(answer), "w·zz"]


def test_what_is_older_than_the_log_need_not_be_there() -> None:
    log = a_log()
    run = play(log)
    late_ms = log[20].timestamp
    gone = (b"r", b"p", b"c", b"l", b"a", b"q", b"h", b"w", b"d", b"y")
    kept = {key: raw for key, raw in run.state.data.items() if key[:1] not in gone}
    tally = compare_states(sorted(run.state.data.items()), sorted(kept.items()), log[-1].timestamp + DAY)
    assert (tally.compared, tally.different) == (len(kept), 0)
    assert compare_states(sorted(run.state.data.items()), sorted(kept.items()), late_ms).different > 5


# -- whole, on a real RocksDB -----------------------------------------------------------------------------------------


class World:
    """What a worker has left: its state, and the topics, one message a batch."""

    def __init__(self, root: Path, records: list[Record], position: int) -> None:
        self.root = root
        self.log = FakeLog(records, committed=position)
        self.log.batch = 7
        self.path = folder_of(root / "state", PARTITION)
        self.state = State(self.path, shared_memory(8))
        self.topics = {name: FakeLog() for name in messages.TOPICS}
        for at in range(0, len(records), 3):
            batch = records[at : at + 3]
            effects = fold(self.state, batch, PARTITION)
            self.state.commit(effects, effects.outputs)
            for message in effects.outputs:
                held = self.topics[message.topic].records
                held.append(Record(len(held), batch[-1].timestamp, message.key, message.value))
        self.told: list[tuple[int, int, int]] = []

    async def verify(self) -> Report:
        return await verify(
            *(PARTITION, self.state, self.log, self.topics, self.root / "scratch", FIRST),
            lambda *done: self.told.append(done),
        )

    def keys(self, state: State) -> dict[bytes, bytes]:
        return {key: raw for key, raw in state.scan(b"", b"", b"\xff", UNLIMITED) if key[:1] != keys.OUTBOX}


async def test_a_sound_state_is_equal_in_every_key_and_output(tmp_path: Path) -> None:
    records = a_log()
    world = World(tmp_path, records, 0)
    report = await world.verify()
    assert report.equal, (report.keys.first, report.outputs.first)
    assert (report.partition, report.position, report.records) == (PARTITION, 41, 41)
    assert report.keys.compared == len(play(records).state.data)
    assert report.outputs.compared > 60
    assert report.per_s > 0
    assert world.told[-1] == (PARTITION, 41, 41)
    assert not (tmp_path / "scratch").exists()
    world.state.close()


async def test_one_changed_key_is_found_and_named(tmp_path: Path) -> None:
    world = World(tmp_path, a_log(), 0)
    (pane, _), *_ = world.state.scan(b"p", b"", b"\xff", 1)
    effects = fold(world.state, [], PARTITION)
    effects.changes[pane] = values.PANE.pack([3] * 22)
    world.state.commit(effects, ())
    report = await world.verify()
    assert not report.equal
    assert report.keys.first == [named(pane)]
    world.state.close()


async def test_a_state_of_another_log_or_fold_is_not_compared_at_all(tmp_path: Path) -> None:
    world = World(tmp_path, a_log(), 0)
    last = world.log.records[-1]
    world.log.records[-1] = structs_replace(last, last.timestamp + 1)
    assert (await world.verify()).refused == "the record before it is another one"
    world.state.set_meta(structs.replace(world.state.meta, fold_version=values.FOLD_VERSION + 1))
    report = await world.verify()
    assert report.refused is not None
    assert report.refused.startswith("made by fold version")
    assert not report.equal
    world.state.close()


def structs_replace(record: Record, timestamp: int) -> Record:
    return Record(record.offset, timestamp, record.key, record.value)


async def test_a_broken_state_is_replaced_by_what_the_log_says_is_committed(tmp_path: Path) -> None:
    records = a_log()
    world = World(tmp_path, records, 30)
    world.state.close()
    (world.path / "CURRENT").write_text("broken")
    report = await rebuild(PARTITION, tmp_path / "state", world.log, FIRST, lambda *_: None)
    assert (report.position, report.records) == (30, 30)
    state = State(world.path, shared_memory(8))
    expected = play(records[:30]).state
    assert state.meta == structs.replace(expected.meta, quiet_until=30)
    assert not list(state.outbox())
    found = world.keys(state) | {keys.META: b""}
    assert found == expected.data | {keys.META: b""}
    state.close()
    assert [path.name for path in (tmp_path / "state").iterdir()] == [world.path.name]


async def test_a_log_that_is_shorter_than_what_is_committed_replaces_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, a_log(), 30)
    world.log.group = 99
    world.state.close()
    with pytest.raises(LogMismatch, match="committed 99"):
        await rebuild(PARTITION, tmp_path / "state", world.log, FIRST, lambda *_: None)
    assert peek(world.path).position == 41


async def test_a_lost_state_is_made_anew(tmp_path: Path) -> None:
    world = World(tmp_path, a_log(), 30)
    world.state.close()
    shutil.rmtree(tmp_path / "state")
    await rebuild(PARTITION, tmp_path / "state", world.log, FIRST, lambda *_: None)
    state = State(world.path, shared_memory(8))
    assert state.meta.position == 30
    state.close()


OPENER = """
import sys
from pathlib import Path
from stream.state import State, shared_memory
state = State(Path(sys.argv[1]), shared_memory(8))
print("open", flush=True)
sys.stdin.read()
"""


def test_a_state_that_a_worker_has_open_is_left_alone(tmp_path: Path) -> None:
    world = World(tmp_path, a_log(), 30)
    world.state.close()
    root = str(Path(__file__).parents[3])
    with subprocess.Popen(
        [sys.executable, "-c", OPENER, str(world.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": root},
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"open\n"
        with pytest.raises(StateInUse, match="stop it first"):
            asyncio.run(rebuild(PARTITION, tmp_path / "state", world.log, FIRST, lambda *_: None))
        worker.communicate()
    with locked(world.path, PARTITION):  # and the other way round: no worker opens what is being replaced
        done = subprocess.run(
            [sys.executable, "-c", OPENER, str(world.path)],
            env=os.environ | {"PYTHONPATH": root},
            capture_output=True,
            check=False,
            input=b"",
        )
    assert done.returncode
    assert b"LOCK" in done.stderr

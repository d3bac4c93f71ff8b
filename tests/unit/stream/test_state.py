"""What a state promises, held by the dict of the tests and by RocksDB alike; what kill -9 leaves of the real one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.domain import keys
from stream.domain.values import META, Meta
from stream.domain.view import UNLIMITED
from stream.domain.work import Effects
from stream.state import Message, State, shared_memory
from tests.unit.stream.fakes import FakeState, LogBuilder, Run, play
from tests.unit.stream.test_rolling import scenario

AnyState = FakeState | State
ROOT = Path(__file__).parents[3]


@pytest.fixture(params=["dict", "rocksdb"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnyState]:
    made: AnyState = FakeState() if request.param == "dict" else State(tmp_path / "state", shared_memory(8))
    yield made
    made.close()


def effects(position: int = 0, **named: bytes | None) -> Effects:
    """Changes of the keys named, and a position."""
    return of_keys(position, {key.encode(): value for key, value in named.items()})


def of_keys(position: int, changes: dict[bytes, bytes | None]) -> Effects:
    meta = Meta(position=position, known_ms=10 * position)
    return Effects({**changes, keys.META: META.pack(meta)}, [], meta)


def fill(state: AnyState, *names: bytes) -> None:
    state.commit(of_keys(1, {name: b"v" + name for name in names}), ())


def test_get_many_answers_in_the_order_asked_with_none_for_what_is_not_there(state: AnyState) -> None:
    fill(state, b"pa", b"pb", b"pc")
    assert list(state.get_many([b"pc", b"px", b"pa", b"pc"])) == [b"vpc", None, b"vpa", b"vpc"]
    assert list(state.get_many([])) == []
    assert list(state.get_many((b"pb",))) == [b"vpb"]


def test_an_empty_value_is_a_value(state: AnyState) -> None:
    state.commit(effects(1, xa=b""), ())
    assert list(state.get_many([b"xa"])) == [b""]
    assert list(state.scan(b"x", b"", b"z", UNLIMITED)) == [(b"xa", b"")]


def test_scan_gives_pairs_from_start_until_before_stop_in_key_order(state: AnyState) -> None:
    fill(state, b"o9", b"pd", b"pa", b"pc", b"pb", b"q0")
    assert [key for key, _ in state.scan(b"p", b"b", b"d", UNLIMITED)] == [b"pb", b"pc"]
    assert list(state.scan(b"p", b"a", b"b", UNLIMITED)) == [(b"pa", b"vpa")]
    assert [key for key, _ in state.scan(b"p", b"", b"\xff", UNLIMITED)] == [b"pa", b"pb", b"pc", b"pd"]
    assert list(state.scan(b"p", b"d", b"b", UNLIMITED)) == []
    assert list(state.scan(b"p", b"e", b"\xff", UNLIMITED)) == []


@pytest.mark.parametrize(("limit", "found"), [(0, []), (1, [b"pa"]), (2, [b"pa", b"pb"]), (9, [b"pa", b"pb", b"pc"])])
def test_scan_gives_at_most_its_limit(state: AnyState, limit: int, found: list[bytes]) -> None:
    fill(state, b"pa", b"pb", b"pc")
    assert [key for key, _ in state.scan(b"p", b"", b"\xff", limit)] == found


@pytest.mark.parametrize(
    ("limit", "found"), [(0, []), (1, [b"ac2"]), (2, [b"ac2", b"ac1"]), (9, [b"ac2", b"ac1", b"ac"])]
)
def test_scan_back_gives_the_last_keys_of_a_prefix_first(state: AnyState, limit: int, found: list[bytes]) -> None:
    fill(state, b"ab9", b"ac", b"ac1", b"ac2", b"ad0", b"b")
    assert [key for key, _ in state.scan_back(b"ac", limit)] == found


def test_scan_back_reaches_the_greatest_event_time_and_offset_there_can_be(state: AnyState) -> None:
    anna, annb = keys.answers_of("team", "anna"), keys.answers_of("team", "annb")
    greatest = keys.answer_of(anna, (1 << 64) - 1, (1 << 64) - 1)
    fill(state, greatest, keys.answer_of(anna, 5, 6), keys.answer_of(annb, 1, 1))
    assert [key for key, _ in state.scan_back(anna, 1)] == [greatest]
    assert list(state.scan_back(keys.answers_of("team", "ann"), UNLIMITED)) == []


def test_a_scan_may_be_left_before_its_end_and_another_begun_within_it(state: AnyState) -> None:
    fill(state, b"pa", b"pb", b"pc")
    outer = iter(state.scan(b"p", b"", b"\xff", UNLIMITED))
    assert next(outer)[0] == b"pa"
    assert [key for key, _ in state.scan(b"p", b"b", b"\xff", UNLIMITED)] == [b"pb", b"pc"]
    assert next(outer)[0] == b"pb"


def test_a_commit_puts_deletes_and_moves_the_position(state: AnyState) -> None:
    assert state.meta == Meta()
    state.commit(effects(1, pa=b"1", pb=b"2"), ())
    state.commit(effects(2, pa=None, pb=b"3", pc=None), ())
    assert list(state.get_many([b"pa", b"pb", b"pc"])) == [None, b"3", None]
    assert state.meta == Meta(position=2, known_ms=20)
    assert [key for key, _ in state.scan(b"p", b"", b"\xff", UNLIMITED)] == [b"pb"]


def test_meta_can_be_set_alone(state: AnyState) -> None:
    state.commit(effects(7, pa=b"1"), ())
    meta = Meta(position=7, known_ms=70, before_ms=5, before_crc=6, generation=2, fold_version=1, quiet_until=99)
    state.set_meta(meta)
    assert state.meta == meta
    assert list(state.get_many([b"pa"])) == [b"1"]


def test_the_outbox_holds_each_batchs_messages_by_position_oldest_first_until_they_are_cleared(state: AnyState) -> None:
    first = [Message("team-changes.v1", b"team", b"{}"), Message("followups.v1", None, b"\x00\xff")]
    second = [Message("team-scores.v1", b"", b"")]
    state.commit(effects(300, pa=b"1"), first)
    state.commit(effects(70_000), second)
    state.commit(effects(70_001), ())
    assert list(state.outbox()) == [(300, first), (70_000, second)]
    state.clear_outbox(300)
    state.clear_outbox(300)
    assert list(state.outbox()) == [(70_000, second)]
    state.clear_outbox(70_000)
    assert list(state.outbox()) == []


def test_clear_leaves_nothing_and_the_state_can_be_used_on(state: AnyState) -> None:
    state.commit(effects(3, pa=b"1"), [Message("followups.v1", None, b"")])
    state.clear()
    assert (state.meta, list(state.outbox()), list(state.get_many([b"pa"]))) == (Meta(), [], [None])
    state.commit(effects(1, pa=b"2"), ())
    assert list(state.get_many([b"pa"])) == [b"2"]


def everything(state: AnyState) -> dict[bytes, bytes]:
    return dict(state.scan(b"", b"", b"\xff" * 9, UNLIMITED))


@pytest.mark.parametrize("cuts", [(), (3,), tuple(range(1, 9))], ids=["whole", "two", "one-by-one"])
def test_the_fold_leaves_the_same_keys_in_rocksdb_as_in_a_dict(tmp_path: Path, cuts: tuple[int, ...]) -> None:
    log = scenario()
    real = State(tmp_path / "state", shared_memory(8))
    run = Run(real)  # type: ignore[arg-type]
    for lo, hi in zip((0, *cuts), (*cuts, len(log)), strict=True):
        run.fold(log[lo:hi])
    assert everything(real) == play(log, cuts).state.data
    real.close()
    again = State(tmp_path / "state", shared_memory(8))
    assert again.meta.position == len(log)
    again.close()


def test_a_long_log_with_many_windows_moving_is_the_same_in_rocksdb_as_in_a_dict(tmp_path: Path) -> None:
    log = LogBuilder()
    for number in range(400):
        log.now_ms += (number % 7) * 1_800_000
        age = (number % 5) * 3_600_000
        respondent = f"r{number % 13}" if number % 3 else None
        fields = {"respondent": respondent} if respondent else {}
        log.answer(number % 250, number % 11, answered_ms=log.now_ms - age, revision=number // 250, **fields)
    real = State(tmp_path / "state", shared_memory(8))
    run = Run(real)  # type: ignore[arg-type]
    for at in range(0, 400, 90):
        run.fold(log.records[at : at + 90])
    assert everything(real) == play(log.records).state.data
    real.close()


def test_another_process_cannot_open_a_state_that_is_open(tmp_path: Path) -> None:
    held = State(tmp_path / "state", shared_memory(8))
    with pytest.raises(Exception, match=r"(?i)lock"):
        State(tmp_path / "state", shared_memory(8))
    held.close()


WRITER = """
import sys
from pathlib import Path
from stream.domain import keys
from stream.domain.values import META, Meta
from stream.domain.work import Effects
from stream.state import Message, State, shared_memory

state = State(Path(sys.argv[1]), shared_memory(8))
position = state.meta.position
for sent, _ in list(state.outbox())[:-1]:
    state.clear_outbox(sent)
while True:
    position += 1
    meta = Meta(position=position)
    changes = {b"p%03d" % n: b"%d" % position for n in range(200)}
    state.commit(Effects({**changes, keys.META: META.pack(meta)}, [], meta), [Message("t", None, b"%d" % position)])
    if position > 1:
        state.clear_outbox(position - 1)
    print(position, flush=True)
"""


def test_kill_9_between_and_within_commits_loses_no_commit_and_leaves_none_half(tmp_path: Path) -> None:
    path, reached = tmp_path / "state", 0
    for kills in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert writer.stdout is not None
        lines = iter(writer.stdout.readline, b"")
        last = reached
        while last < reached + 20 + 7 * kills:
            last = int(next(lines))
        writer.send_signal(signal.SIGKILL)
        printed = [int(line) for line in lines]
        writer.wait(timeout=10)
        writer.stdout.close()
        acknowledged = printed[-1] if printed else last
        state = State(path, shared_memory(8))
        reached = state.meta.position
        assert reached in {acknowledged, acknowledged + 1}  # the last one may have been written and not yet told
        values = {value for _, value in state.scan(b"p", b"", b"\xff", UNLIMITED)}
        assert values == {b"%d" % reached}
        *older, newest = state.outbox()
        assert newest == (reached, [Message("t", None, b"%d" % reached)])
        assert [position for position, _ in older] in ([], [reached - 1])
        state.close()

"""What a state promises, held by the dict of the tests and by RocksDB alike; what kill -9 leaves of the real one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.domain import keys
from stream.domain.messages import Message
from stream.domain.values import META, Meta
from stream.domain.view import UNLIMITED
from stream.domain.work import Effects
from stream.state import State, peek, shared_memory
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
from stream.domain.messages import Message
from stream.state import State, shared_memory

state = State(Path(sys.argv[1]), shared_memory(8, unsaved_mib=0.05))
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


def test_kill_9_leaves_the_last_save_whole_with_what_had_not_been_said(tmp_path: Path) -> None:
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
        while last < reached + 300 + 7 * kills:
            last = int(next(lines))
        writer.send_signal(signal.SIGKILL)
        writer.wait(timeout=10)
        writer.stdout.close()
        before, state = reached, State(path, shared_memory(8))
        reached = state.meta.position
        assert before < reached  # some save went through
        values = {value for _, value in state.scan(b"p", b"", b"\xff", UNLIMITED)}
        assert values == {b"%d" % reached}
        said = dict(state.outbox())
        assert said[reached] == [Message("t", None, b"%d" % reached)]
        state.close()


def on_disk(path: Path) -> State:
    """What a crash now would leave: the files as they are, opened elsewhere."""
    copy = path.with_name(f"{path.name}.crashed")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(path, copy)
    return State(copy, shared_memory(8))


def test_what_was_not_saved_is_lost_in_a_crash_and_nothing_else(tmp_path: Path) -> None:
    state = State(tmp_path / "state", shared_memory(8))
    first, second = [Message("t", None, b"1")], [Message("t", None, b"2")]
    state.commit(effects(1, pa=b"1"), first)
    state.save(wait=True)
    state.commit(effects(2, pa=b"2"), second)
    crashed = on_disk(tmp_path / "state")
    assert (crashed.meta.position, list(crashed.outbox())) == (1, [(1, first)])
    assert list(crashed.get_many([b"pa"])) == [b"1"]
    crashed.close()
    state.close()
    again = State(tmp_path / "state", shared_memory(8))
    assert (again.meta.position, list(again.outbox())) == (2, [(1, first), (2, second)])
    again.close()


def test_a_save_takes_along_only_what_has_not_been_said(tmp_path: Path) -> None:
    state = State(tmp_path / "state", shared_memory(8))
    for position in (1, 2):
        state.commit(effects(position), [Message("t", None, b"%d" % position)])
    state.clear_outbox(1)
    state.save(wait=True)
    crashed = on_disk(tmp_path / "state")
    assert [position for position, _ in crashed.outbox()] == [2]
    crashed.close()
    state.close()


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("why", ["much", "long"])
def test_a_state_that_holds_much_or_has_for_long_saves_by_itself_when_the_next_batch_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str, said: bool
) -> None:
    """What came until then, with that of its outputs that is not acknowledged; usually everything is."""
    state = State(tmp_path / "state", shared_memory(8, unsaved_mib=0.01))
    state.commit(effects(1, pa=b"x" * (20_000 if why == "much" else 1)), [Message("t", None, b"1")])
    if said:
        state.clear_outbox(1)
    if why == "long":
        monkeypatch.setattr("stream.state._SAVE_EVERY_S", -1.0)
    assert peek(tmp_path / "state").position == 0
    state.commit(effects(2, pa=b"y"), [Message("t", None, b"2")])
    give_up = time.monotonic() + 10
    while peek(tmp_path / "state").position == 0 and time.monotonic() < give_up:
        time.sleep(0.01)  # the save does not wait for the file
    crashed = on_disk(tmp_path / "state")
    assert (crashed.meta.position, [position for position, _ in crashed.outbox()]) == (1, [] if said else [1])
    crashed.close()
    assert (state.meta.position, [position for position, _ in state.outbox()]) == (2, [2] if said else [1, 2])
    monkeypatch.undo()
    state.close()


def test_copies_that_are_made_while_batches_are_written_hold_whole_batches(tmp_path: Path) -> None:
    state = State(tmp_path / "state", shared_memory(8, unsaved_mib=0.05))
    names = [f"p{number * 7919 % 200:03d}" for number in range(200)]  # in no order
    copies = [tmp_path / f"copy-{number}" for number in range(4)]

    def write(position: int) -> None:
        written = dict.fromkeys(names, b"%d" % position) | {f"x{position - 1}": None, f"x{position}": b""}
        state.commit(effects(position, **written), [Message("t", None, b"%d" % position)])
        state.clear_outbox(position - 1)

    def copy_all() -> None:
        for path in copies:
            state.snapshot(path)

    write(position := 1)
    copying = threading.Thread(target=copy_all)
    copying.start()
    while copying.is_alive():
        write(position := position + 1)
    copying.join()
    for path in copies:
        copy = State(path, shared_memory(8))
        at = copy.meta.position
        assert list(copy.scan(b"p", b"", b"\xff", UNLIMITED)) == [(b"p%03d" % n, b"%d" % at) for n in range(200)]
        assert [key for key, _ in copy.scan(b"x", b"", b"\xff", UNLIMITED)] == [b"x%d" % at]
        assert at in dict(copy.outbox())
        copy.close()
    state.close()


def test_what_is_written_while_a_copy_is_made_takes_its_outbox_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RocksDB saves once more when it makes the copy, and what came meanwhile is in it."""
    state = State(tmp_path / "state", shared_memory(8))
    state.commit(effects(1, pa=b"1"), [Message("t", None, b"1")])
    save = state.save

    def save_and_go_on(wait: bool = False) -> None:
        save(wait)
        state.clear_outbox(1)
        state.commit(effects(2, pa=b"2"), [Message("t", None, b"2")])

    monkeypatch.setattr(state, "save", save_and_go_on)
    state.snapshot(tmp_path / "copy")
    monkeypatch.undo()
    copy = State(tmp_path / "copy", shared_memory(8))
    assert (copy.meta.position, [position for position, _ in copy.outbox()]) == (2, [2])
    copy.close()
    state.commit(effects(3), [Message("t", None, b"3")])
    state.save(wait=True)
    assert [position for position, _ in state.outbox()] == [2, 3]
    state.close()

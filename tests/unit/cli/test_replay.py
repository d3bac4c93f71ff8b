"""`pulse replay` before it reaches a log: what it takes for the place, which copy it takes, what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.generations import FIRST, Generation
from services.cli.codes import Exit, Fail
from services.cli.replay.command import run_replay, take_copy
from services.cli.replay.place import Place, find_place
from stream.checkpoints import Checkpoints
from stream.domain import keys
from stream.domain.values import META, Meta
from stream.domain.work import Effects
from stream.state import State, folder_of, peek, shared_memory


def a_state(root: Path, position: int) -> State:
    state = State(folder_of(root, 0), shared_memory(8))
    meta = Meta(position=position)
    state.commit(Effects({keys.META: META.pack(meta)}, [], meta), ())
    return state


@pytest.fixture
def place(tmp_path: Path) -> Place:
    states = tuple(tmp_path / "state" / f"worker-{n}" for n in range(2))
    return Place("k:9092", FIRST, states, tmp_path / "checkpoints", tmp_path)


def test_the_furthest_state_that_nobody_has_open_is_taken(place: Place, tmp_path: Path) -> None:
    for root, position in zip(place.states, (5, 8), strict=True):
        a_state(root, position).close()
    assert take_copy(place, 0, tmp_path / "copy")
    assert peek(tmp_path / "copy").position == 8
    assert not take_copy(place, 1, tmp_path / "other")


def test_an_empty_state_is_nothing_to_compare(place: Place, tmp_path: Path) -> None:
    a_state(place.states[0], 0).close()
    assert not take_copy(place, 0, tmp_path / "copy")


def test_a_checkpoint_that_is_further_is_taken(place: Place, tmp_path: Path) -> None:
    assert place.checkpoints is not None
    state = a_state(place.states[0], 9)
    made = Checkpoints(place.checkpoints, place.states[0]).make(0, state.snapshot, lambda: False)
    state.close()
    a_state(place.states[1], 8).close()
    (folder_of(place.states[0], 0) / "CURRENT").unlink()
    assert take_copy(place, 0, tmp_path / "copy")
    assert peek(tmp_path / "copy").position == 9
    assert made.path.exists()


def test_a_data_folder_says_where_everything_is(data: Path) -> None:
    found = find_place(data, {})
    assert found.states == (data / "state" / "worker-0",)
    assert found.checkpoints == data / "checkpoints"
    assert (found.generation, found.data) == (FIRST, data)


def test_a_worker_s_own_settings_say_it_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PULSE_DATA", raising=False)
    for name, value in {"KAFKA": "k:9092", "STATE_DIR": str(tmp_path), "GENERATION": "3"}.items():
        monkeypatch.setenv(f"PULSE_{name}", value)
    assert find_place(None) == Place("k:9092", Generation(3), (tmp_path / "g3",), None, None)


@pytest.mark.parametrize("both", [True, False])
def test_one_of_the_two_has_to_be_said(both: bool) -> None:
    with pytest.raises(Fail, match="--verify or --rebuild") as found:
        run_replay(verify=both, rebuild=both, partitions=[], data=None, as_json=False)
    assert found.value.code == Exit.USAGE


def test_without_an_instance_the_command_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Fail, match="no instance in") as found:
        run_replay(verify=True, rebuild=False, partitions=[], data=tmp_path, as_json=False)
    assert found.value.code == Exit.UNREACHABLE

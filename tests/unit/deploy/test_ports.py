"""Which ports an instance gets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploy.errors import PortTaken
from deploy.local import ports
from deploy.local.ports import MAX_WORKERS, OFFSETS, STEP, choose, first_taken, free_base, ports_of


@contextmanager
def listening_on(port: int) -> Iterator[None]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        yield


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "RELEASE_S", 0.0)


def test_every_port_follows_from_the_base() -> None:
    assert ports_of(8600, workers=2) == {
        "ingest": 8600,
        "query": 8601,
        "alerts": 8602,
        "kafka": 8603,
        "kafka-controller": 8604,
        "clickhouse": 8605,
        "sink": 8606,
        "worker-0": 8610,
        "worker-1": 8611,
    }


def test_the_next_base_is_beyond_the_last_port_of_this_one() -> None:
    assert max([*OFFSETS.values(), *ports_of(0, MAX_WORKERS).values()]) < STEP


def test_a_free_base_has_every_port_free() -> None:
    assert first_taken(ports_of(free_base(3), 3)) is None


def test_a_base_that_was_asked_for_is_used() -> None:
    base = free_base()
    assert choose(base, remembered=free_base(), workers=1) == base


def test_a_base_that_was_asked_for_and_is_taken_is_refused_with_the_port() -> None:
    base = free_base()
    with listening_on(base + 1), pytest.raises(PortTaken, match=rf"port {base + 1} \(query\)"):
        choose(base, remembered=None, workers=1)


def test_a_port_that_another_cluster_stands_in_for_need_not_be_free() -> None:
    base = free_base()
    with listening_on(base + 3):
        assert choose(base, None, 1, unused=frozenset({"kafka"})) == base


@pytest.mark.parametrize("asked", [None, 0])
def test_the_base_used_last_is_kept_when_it_is_free(asked: int | None) -> None:
    last = free_base()
    assert choose(asked, remembered=last, workers=1) == last


@pytest.mark.parametrize("asked", [None, 0])
def test_the_base_used_last_is_given_up_when_it_is_taken(asked: int | None) -> None:
    last = free_base()
    with listening_on(last):
        assert choose(asked, remembered=last, workers=1) != last


def test_without_a_wish_the_next_block_is_taken_when_the_usual_one_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = free_base()
    monkeypatch.setattr(ports, "DEFAULT_BASE", usual)
    with listening_on(usual + 5):
        assert choose(None, remembered=None, workers=1) > usual

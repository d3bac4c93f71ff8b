"""The writer: what is asked for together is one transaction, and each piece of it whole or not at all."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from services.alerts import store_writer
from services.alerts.store_writer import MOST_TOGETHER, StoreWriter
from tests.unit.alerts.builders import until


class Place:
    """A file with one table, its writer, and every statement that was run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.file.execute("PRAGMA journal_mode = WAL")
        self.file.execute("CREATE TABLE seen (word TEXT PRIMARY KEY)")
        self.said: list[str] = []
        self.file.set_trace_callback(self.said.append)
        self.writer = StoreWriter(self.file)

    def put(self, word: str) -> None:
        self.file.execute("INSERT INTO seen VALUES (?)", (word,))

    def words(self) -> list[str]:
        return [word for (word,) in self.file.execute("SELECT word FROM seen ORDER BY rowid")]


@pytest.fixture
def place(tmp_path: Path) -> Iterable[Place]:
    made = Place(tmp_path / "file.sqlite3")
    yield made
    made.writer.close()
    made.file.close()


async def test_what_comes_while_it_writes_shares_the_next_transaction_in_the_order_asked(place: Place) -> None:
    free = threading.Event()

    def slow() -> None:
        free.wait(5)
        place.put("first")

    first = asyncio.create_task(place.writer.transaction(slow))
    await asyncio.sleep(0.01)
    rest = [
        asyncio.create_task(place.writer.transaction(lambda word=word: place.put(word)))  # type: ignore[misc]
        for word in map(str, range(MOST_TOGETHER + 1))
    ]
    await asyncio.sleep(0)
    free.set()
    await asyncio.gather(first, *rest)
    assert place.words() == ["first", *map(str, range(MOST_TOGETHER + 1))]
    assert place.said.count("COMMIT") == 3


async def test_a_transaction_is_as_durable_as_the_most_durable_piece_of_it(place: Place) -> None:
    await asyncio.gather(
        place.writer.transaction(lambda: place.put("a")), place.writer.transaction(lambda: place.put("b"), durable=True)
    )
    await place.writer.transaction(lambda: place.put("c"))
    assert [said for said in place.said if "synchronous" in said] == [
        "PRAGMA synchronous = FULL",
        "PRAGMA synchronous = NORMAL",
    ]


async def test_a_piece_that_fails_leaves_nothing_and_takes_nothing_from_the_others(place: Place) -> None:
    def fails() -> None:
        place.put("half")
        place.put("a")

    before, failed, after = await asyncio.gather(
        place.writer.transaction(lambda: place.put("a")),
        place.writer.transaction(fails),
        place.writer.transaction(lambda: len(place.words())),
        return_exceptions=True,
    )
    assert (before, after, place.words()) == (None, 1, ["a"])
    assert isinstance(failed, sqlite3.IntegrityError)


async def test_a_disk_that_refuses_is_waited_out_and_the_order_stays(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_writer, "_REST_S", 0.01)
    place.file.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(place.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    asked = [asyncio.create_task(place.writer.transaction(lambda: place.put("a")))]
    await until(lambda: place.writer.trouble)
    asked.append(asyncio.create_task(place.writer.transaction(lambda: place.put("b"))))
    assert place.writer.trouble == "SQLITE_BUSY"
    other.execute("COMMIT")
    other.close()
    await asyncio.gather(*asked)
    assert place.words() == ["a", "b"]
    assert [place.writer.trouble] == [None]


async def test_what_nobody_waits_for_any_more_does_not_begin(place: Place) -> None:
    free = threading.Event()
    first = asyncio.create_task(place.writer.transaction(lambda: free.wait(5)))
    await asyncio.sleep(0.01)
    given_up = asyncio.create_task(place.writer.transaction(lambda: place.put("a")))
    await asyncio.sleep(0)
    given_up.cancel()
    free.set()
    await asyncio.gather(first, given_up, return_exceptions=True)
    await place.writer.transaction(lambda: place.put("b"))
    assert place.words() == ["b"]

"""What is kept on disk."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.alerts.deliveries import Delivery
from services.alerts.retries import FIRST_WITHIN_MS, HOUR_MS
from services.alerts.store import Store
from services.alerts.store_file import FILE, DirInUse, NotOurFile
from services.alerts.store_sweep import KEPT_MS, STEP_ROWS
from tests.unit.alerts.builders import now_ms, raised, until

NOW_MS = now_ms()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.close()


def deliveries(count: int, channel: str = "webhook", at_ms: int = NOW_MS) -> list[Delivery]:
    return [Delivery(channel, raised(number, at_ms=at_ms)) for number in range(count)]


async def test_an_event_is_stored_once_per_channel(store: Store) -> None:
    both = [*deliveries(2), *deliveries(2, "pager")]
    assert await store.add(both, NOW_MS) == both
    assert await store.add(both, NOW_MS) == []
    assert await store.add([*deliveries(3), *deliveries(3)], NOW_MS) == deliveries(3)[2:]
    assert len(await store.rows(None, None, 100)) == 5


async def test_a_delivered_event_that_comes_again_stays_delivered(store: Store) -> None:
    (one,) = deliveries(1)
    await store.add([one], NOW_MS)
    await store.settle(one, "delivered", 1, "204", None, NOW_MS)
    assert await store.add([one], NOW_MS) == []
    assert await store.due("webhook", NOW_MS + HOUR_MS, 10) == []


async def test_what_is_due_is_read_back_whole_and_oldest_first(store: Store) -> None:
    given = deliveries(3)
    await store.add(given, NOW_MS)
    await store.settle(given[0], "pending", 2, "503", NOW_MS + 5_000, NOW_MS)
    assert await store.due("webhook", NOW_MS, 10) == given[1:]
    assert await store.next_due_ms("webhook", NOW_MS) == NOW_MS + 5_000
    later = await store.due("webhook", NOW_MS + 5_000, 10)
    assert later[-1] == Delivery("webhook", given[0].event, attempts=2)
    assert await store.due("webhook", NOW_MS + 5_000, 1) == given[1:2]
    assert await store.due("pager", NOW_MS + 5_000, 10) == []
    assert await store.next_due_ms("pager", 0) is None


async def test_an_event_older_than_a_day_at_first_sight_is_given_up_and_shown(store: Store) -> None:
    old = deliveries(1, at_ms=NOW_MS - FIRST_WITHIN_MS - 1)
    assert await store.add(old, NOW_MS) == []
    assert await store.due("webhook", NOW_MS + HOUR_MS, 10) == []
    (row,) = await store.rows("given_up", None, 10)
    assert (row.last_status, row.attempts, row.next_ms, row.settled_ms) == ("too_old", 0, None, NOW_MS)


async def test_an_event_older_than_anything_kept_leaves_no_row(store: Store) -> None:
    assert await store.add(deliveries(1, at_ms=NOW_MS - KEPT_MS - 1), NOW_MS) == []
    assert await store.rows(None, None, 10) == []


async def test_rows_are_filtered_limited_and_newest_first(store: Store) -> None:
    given = [Delivery("webhook", raised(number, at_ms=NOW_MS + number)) for number in range(5)]
    await store.add(given, NOW_MS + 10)
    await store.settle(given[1], "delivered", 1, "200", None, NOW_MS)
    rows = await store.rows(None, None, 3)
    assert [row.event_id for row in rows] == [delivery.key for delivery in reversed(given[2:])]
    assert [row.event_id for row in await store.rows("delivered", None, 10)] == [given[1].key]
    case_id = given[3].event.case.case_id
    assert [row.case_id for row in await store.rows("pending", case_id, 10)] == [case_id]
    assert await store.rows("delivered", case_id, 10) == []


async def test_a_delivered_row_holds_the_event_no_longer(store: Store, tmp_path: Path) -> None:
    (one,) = deliveries(1)
    await store.add([one], NOW_MS)
    await store.settle(one, "delivered", 1, "200", None, NOW_MS)
    with sqlite3.connect(tmp_path / FILE) as file:
        assert file.execute("SELECT state, event FROM deliveries").fetchall() == [("delivered", None)]


async def test_settled_rows_leave_after_thirty_days_in_small_steps_and_pending_ones_stay(store: Store) -> None:
    given = deliveries(STEP_ROWS + 20)
    await store.add(given, NOW_MS)
    for delivery in given[1:]:
        await store.settle(delivery, "delivered", 1, "200", None, NOW_MS)
    assert await store.sweep(NOW_MS + KEPT_MS, ["webhook"]) == 0
    assert await store.sweep(NOW_MS + KEPT_MS + 1, ["webhook"]) == STEP_ROWS
    assert await store.sweep(NOW_MS + KEPT_MS + 1, ["webhook"]) == 19
    (row,) = await store.rows(None, None, 10)
    assert row.state == "pending"


async def test_what_waits_a_day_for_a_channel_that_is_not_there_is_given_up(store: Store) -> None:
    await store.add([*deliveries(2, "gone"), *deliveries(1)], NOW_MS)
    assert await store.sweep(NOW_MS + FIRST_WITHIN_MS, ["webhook"]) == 0
    assert await store.sweep(NOW_MS + FIRST_WITHIN_MS + 1, ["webhook"]) == 2
    assert {row.channel: (row.state, row.last_status) for row in await store.rows(None, None, 10)} == {
        "gone": ("given_up", "too_old"),
        "webhook": ("pending", None),
    }


async def test_a_second_process_is_kept_out_and_told_the_pid(store: Store, tmp_path: Path) -> None:
    with pytest.raises(DirInUse, match=f"in use by process {os.getpid()}"):
        Store(tmp_path)


async def test_a_file_of_another_version_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute("PRAGMA user_version = 99")
    file.close()
    with pytest.raises(NotOurFile, match="version 99"):
        Store(tmp_path)


async def test_everything_survives_a_restart(tmp_path: Path) -> None:
    first = Store(tmp_path)
    given = deliveries(2)
    await first.add(given, NOW_MS)
    await first.settle(given[0], "pending", 4, "timeout", NOW_MS + HOUR_MS, NOW_MS)
    first.close()
    second = Store(tmp_path)
    assert await second.due("webhook", NOW_MS, 10) == given[1:]
    assert await second.next_due_ms("webhook", NOW_MS) == NOW_MS + HOUR_MS
    second.close()


def test_what_was_added_survives_kill_9_of_the_process(tmp_path: Path) -> None:
    program = f"""
import asyncio, os, signal
from pathlib import Path
from services.alerts.store import Store
from tests.unit.alerts.test_store import deliveries
asyncio.run(Store(Path({str(tmp_path)!r})).add(deliveries(7), {NOW_MS}))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL
    with sqlite3.connect(tmp_path / FILE) as file:
        assert file.execute("SELECT count(*) FROM deliveries WHERE state = 'pending'").fetchone() == (7,)
    file.close()


async def test_a_disk_that_refuses_is_waited_out_and_named_meanwhile(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.alerts.store_writer._REST_S", 0.01)
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    await store.sweep(NOW_MS, [])
    store._write.execute("PRAGMA busy_timeout = 0")  # noqa: SLF001 # the test need not wait five seconds
    other.execute("BEGIN IMMEDIATE")
    adding = asyncio.create_task(store.add(deliveries(1), NOW_MS))
    await until(lambda: store.trouble)
    assert store.trouble == "SQLITE_BUSY"
    other.execute("ROLLBACK")
    other.close()
    assert len(await adding) == 1
    assert store.trouble is None


async def test_an_error_that_does_not_pass_is_raised(store: Store) -> None:
    store._write.execute("DROP TABLE alive")  # noqa: SLF001 # a file damaged from outside
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await store.sweep(NOW_MS, [])

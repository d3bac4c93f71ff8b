"""The jars of the local Kafka, with a fetch that makes files instead of downloading them."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest

from deploy.errors import JarMismatch, JarUnavailable
from deploy.local.jars import KAFKA, LOCK_FILE, LOG_BINDING, Jar, cache_dir, class_path, read_lock


def jar(name: str, content: bytes | None = None) -> Jar:
    return Jar("org.example", name, "1.0", hashlib.sha256(content or name.encode()).hexdigest())


ONE, TWO = jar("one"), jar("two")


class Shelf:
    """Where jars are fetched from: each holds its own name, unless told otherwise. Counts what was fetched."""

    def __init__(self, **contents: bytes) -> None:
        self.contents = contents
        self.fetched: list[str] = []

    def __call__(self, wanted: Jar, below: Path) -> Path:
        self.fetched.append(wanted.artifact)
        path = below / f"download-{wanted.artifact}"
        path.write_bytes(self.contents.get(wanted.artifact, wanted.artifact.encode()))
        return path


def test_the_lock_names_kafka_its_log_binding_and_a_checksum_for_each_jar() -> None:
    locked = read_lock(LOCK_FILE.read_text())
    assert {KAFKA, LOG_BINDING} <= {each.coordinate for each in locked}
    assert all(len(bytes.fromhex(each.sha256)) == 32 for each in locked)
    assert len({each.file_name for each in locked}) == len(locked)


def test_the_lock_pins_one_version_of_kafka_in_all_its_jars() -> None:
    versions = {each.version for each in read_lock(LOCK_FILE.read_text()) if each.group == "org.apache.kafka"}
    assert versions == {"4.1.0"}


def test_comments_and_blank_lines_of_a_lock_say_nothing() -> None:
    assert read_lock("# all of it\n\na:b:1  ff  # why\n") == (Jar("a", "b", "1", "ff"),)


def test_the_first_call_fetches_and_the_second_does_not(tmp_path: Path) -> None:
    shelf = Shelf()
    paths = class_path(tmp_path / "cache", [ONE, TWO], shelf)
    assert [path.read_bytes() for path in paths] == [b"one", b"two"]
    assert class_path(tmp_path / "cache", [ONE, TWO], shelf) == paths
    assert sorted(shelf.fetched) == ["one", "two"]


def test_a_downloaded_jar_with_another_checksum_is_refused_by_name_and_not_kept(tmp_path: Path) -> None:
    with pytest.raises(JarMismatch, match=r"org\.example:two:1\.0"):
        class_path(tmp_path, [ONE, TWO], Shelf(two=b"something else"))
    assert not (tmp_path / TWO.file_name).exists()


def test_a_jar_that_was_changed_in_the_cache_is_refused_by_name(tmp_path: Path) -> None:
    class_path(tmp_path, [ONE, TWO], Shelf())
    (tmp_path / ONE.file_name).write_bytes(b"six")  # the same length: the time alone gives it away
    os.utime(tmp_path / ONE.file_name, (1, 1))
    with pytest.raises(JarMismatch, match=r"org\.example:one:1\.0"):
        class_path(tmp_path, [ONE, TWO], Shelf())


def test_a_jar_that_was_only_touched_is_checked_again_and_kept(tmp_path: Path) -> None:
    shelf = Shelf()
    class_path(tmp_path, [ONE], shelf)
    os.utime(tmp_path / ONE.file_name, (1, 1))
    class_path(tmp_path, [ONE], shelf)
    assert shelf.fetched == ["one"]


def test_a_new_checksum_in_the_lock_is_noticed_though_no_file_changed(tmp_path: Path) -> None:
    class_path(tmp_path, [ONE], Shelf())
    with pytest.raises(JarMismatch):
        class_path(tmp_path, [jar("one", b"another build")], Shelf())


def test_a_missing_jar_is_fetched_alone(tmp_path: Path) -> None:
    class_path(tmp_path, [ONE, TWO], Shelf())
    (tmp_path / TWO.file_name).unlink()
    shelf = Shelf()
    class_path(tmp_path, [ONE, TWO], shelf)
    assert shelf.fetched == ["two"]


def test_what_a_killed_fetch_left_behind_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "fetch-of-old").mkdir()
    (tmp_path / "fetch-of-old" / "half-a.jar").write_bytes(b"half")
    class_path(tmp_path, [ONE], Shelf())
    assert not (tmp_path / "fetch-of-old").exists()


def test_two_first_calls_at_the_same_time_fetch_once_and_both_work(tmp_path: Path) -> None:
    both_there = threading.Barrier(2)
    shelf = Shelf()
    found: list[tuple[Path, ...]] = []

    def first_call() -> None:
        both_there.wait(timeout=10)
        found.append(class_path(tmp_path, [ONE, TWO], shelf))

    threads = [threading.Thread(target=first_call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert len(found) == 2
    assert sorted(shelf.fetched) == ["one", "two"]


def test_a_jar_that_cannot_be_fetched_leaves_nothing_that_looks_complete(tmp_path: Path) -> None:
    def down(wanted: Jar, _: Path) -> Path:
        raise JarUnavailable(wanted.coordinate, "no network")

    with pytest.raises(JarUnavailable, match="no network"):
        class_path(tmp_path, [ONE], down)
    assert class_path(tmp_path, [ONE], Shelf())[0].read_bytes() == b"one"


def test_the_cache_is_the_users_own(tmp_path: Path) -> None:
    assert cache_dir({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "nps-pulse" / "kafka-4.1.0"
    assert cache_dir({}) == Path.home() / ".cache" / "nps-pulse" / "kafka-4.1.0"

"""The data directory: its lock, its keys, its logs."""

from __future__ import annotations

import json
import os
import stat
from hashlib import sha256
from pathlib import Path

import pytest

from deploy.errors import DataInUse, DeployError
from deploy.local.home import KEY_KINDS, Home, bound_log, last_lines


def test_a_directory_in_use_is_refused_with_the_pid_of_its_user(tmp_path: Path) -> None:
    with Home(tmp_path).locked(), pytest.raises(DataInUse, match=str(os.getpid())), Home(tmp_path).locked():
        pass


def test_a_directory_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with Home(tmp_path / "new").locked():
            assert int((tmp_path / "new" / "pulse.pid").read_text()) == os.getpid()


def test_a_new_directory_is_its_owners_only(tmp_path: Path) -> None:
    with Home(tmp_path / "new").locked():
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_keys_are_minted_once_and_kept(tmp_path: Path) -> None:
    first = Home(tmp_path).secrets()
    assert tuple(first.keys) == KEY_KINDS
    assert len({*first.keys.values(), first.respondent_secret}) == len(KEY_KINDS) + 1
    assert Home(tmp_path).secrets() == first


def test_another_directory_has_other_keys(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert Home(tmp_path / "a").secrets().keys != Home(tmp_path / "b").secrets().keys


def test_only_the_owner_may_read_the_keys(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.secrets()
    home.update_client(pid=1)
    assert stat.S_IMODE(home.client_file.stat().st_mode) == 0o600


def test_services_get_hashes_and_no_key(tmp_path: Path) -> None:
    secrets = Home(tmp_path).secrets()
    hashes = json.loads(secrets.hashes())
    assert hashes == {kind: [sha256(key.encode()).hexdigest()] for kind, key in secrets.keys.items()}


def test_addresses_change_and_keys_stay(tmp_path: Path) -> None:
    home = Home(tmp_path)
    secrets = home.secrets()
    home.update_client(ingest="http://127.0.0.1:1", pid=7)
    assert home.secrets() == secrets
    assert json.loads(home.client_file.read_text())["ingest"] == "http://127.0.0.1:1"


@pytest.mark.parametrize("damage", ["", "{", "[]", '"text"'])
def test_keys_are_never_minted_over_a_damaged_file(tmp_path: Path, damage: str) -> None:
    (tmp_path / "client.json").write_text(damage)
    with pytest.raises(DeployError, match=r"client\.json is damaged"):
        Home(tmp_path).secrets()


def test_the_port_base_is_remembered(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.last_port_base() is None
    home.remember_port_base(8640)
    assert Home(tmp_path).last_port_base() == 8640


def test_a_log_over_its_limit_is_kept_beside_and_its_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "sink.log"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"old\n" * 10)
        bound_log(path, limit=100)
        assert path.stat().st_size == 40
        bound_log(path, limit=39)
        writer.write(b"new\n")
    assert path.read_bytes() == b"new\n"
    assert (tmp_path / "sink.log.1").read_bytes() == b"old\n" * 10


def test_the_last_lines_of_a_log(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("".join(f"{i}\n" for i in range(100)))
    assert last_lines(tmp_path / "a.log", 2) == "98\n99"
    assert last_lines(tmp_path / "none.log") == ""

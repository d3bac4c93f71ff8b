"""Browser sessions: signed, expiring, bound to the key they came from."""

from __future__ import annotations

import base64

import pytest

from services.common.keys import key_hash
from services.query.sessions import LIFE_S, Sessions
from tests.unit.query.samples import ADMIN_KEY, NOON_MS, READ_KEY, WRITE_KEY

HASHES = {"read": (key_hash(READ_KEY),), "admin": (key_hash(ADMIN_KEY),), "write": (key_hash(WRITE_KEY),)}


def sessions() -> Sessions:
    return Sessions(HASHES)  # type: ignore[arg-type]  # a literal's keys are wider than KeyKind


def begun(key: str = READ_KEY) -> str:
    token = sessions().begin(key, NOON_MS)
    assert token is not None
    return token


@pytest.mark.parametrize("key", [READ_KEY, ADMIN_KEY])
def test_a_key_that_may_read_begins_a_session_that_outlives_the_process(key: str) -> None:
    assert sessions().holds(begun(key), NOON_MS)


@pytest.mark.parametrize("key", [WRITE_KEY, "", "x", key_hash(READ_KEY)])
def test_no_other_text_begins_one(key: str) -> None:
    assert sessions().begin(key, NOON_MS) is None


def test_a_session_ends_after_a_week() -> None:
    token = begun()
    assert sessions().holds(token, NOON_MS + LIFE_S * 1000 - 1)
    assert not sessions().holds(token, NOON_MS + LIFE_S * 1000)


def test_a_session_dies_with_its_key_and_not_with_another() -> None:
    token = begun()
    assert not Sessions({"admin": (key_hash(ADMIN_KEY),)}).holds(token, NOON_MS)
    assert Sessions({"read": (key_hash(READ_KEY), key_hash("new"))}).holds(token, NOON_MS)


def test_a_token_holds_neither_the_key_nor_its_hash() -> None:
    raw = base64.urlsafe_b64decode(begun() + "===")
    assert READ_KEY.encode() not in raw
    assert bytes.fromhex(key_hash(READ_KEY)) not in raw


def test_no_changed_bit_of_a_token_is_taken() -> None:
    token = begun()
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for position in range(len(raw)):
        forged = raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]
        assert not sessions().holds(base64.urlsafe_b64encode(forged).decode().rstrip("="), NOON_MS)


@pytest.mark.parametrize("token", [None, "", "x", "ä", "A" * 64, "A" * 500, "==", " "])
def test_other_cookies_are_no_session(token: str | None) -> None:
    assert not sessions().holds(token, NOON_MS)


def test_instances_with_other_keys_use_another_cookie() -> None:
    assert sessions().cookie == sessions().cookie
    assert sessions().cookie != Sessions({"read": (key_hash("other"),)}).cookie

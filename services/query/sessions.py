"""Browser sessions: who showed a key once carries a signed, expiring token in a cookie, never the key.

The token is signed with a secret made from the hash of that very key, so it needs no store, outlives a restart, holds
on every instance with the same keys, and dies with the key. The hashes reach a service the way its ClickHouse
password does; whoever can read them there needs no session.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Mapping
from typing import Final

from services.common.keys import GRANTS, key_hash
from services.common.settings import KeyKind

LIFE_S: Final = 7 * 86_400
_ID_BYTES: Final = 8
_BODY: Final = struct.Struct(f">{_ID_BYTES}sQ")


class Sessions:
    """Signs and checks session tokens of keys that may read."""

    def __init__(self, hashes: Mapping[KeyKind, tuple[str, ...]]) -> None:
        readers = sorted(digest for kind, digests in hashes.items() if "read" in GRANTS[kind] for digest in digests)
        self._secrets = {
            bytes.fromhex(digest)[:_ID_BYTES]: hmac.digest(b"pulse browser session v1", bytes.fromhex(digest), "sha256")
            for digest in readers
        }
        # Cookies ignore ports: two instances on one host must not overwrite each other's.
        self.cookie = "pulse_session_" + hashlib.sha256("".join(readers).encode()).hexdigest()[:12]

    def begin(self, key: str, now_ms: int) -> str | None:
        """A token for a key that may read; None for any other text."""
        key_id = bytes.fromhex(key_hash(key))[:_ID_BYTES]
        secret = self._secrets.get(key_id)
        if secret is None:
            return None
        body = _BODY.pack(key_id, now_ms // 1000 + LIFE_S)
        return base64.urlsafe_b64encode(body + hmac.digest(secret, body, "sha256")).decode().rstrip("=")

    def holds(self, token: str | None, now_ms: int) -> bool:
        """Whether a token is one of ours and has not expired."""
        if token is None or len(token) > 200:
            return False
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return False
        body, signature = raw[: _BODY.size], raw[_BODY.size :]
        if len(body) != _BODY.size:
            return False
        key_id, expires_s = _BODY.unpack(body)
        secret = self._secrets.get(key_id)
        if secret is None or not hmac.compare_digest(signature, hmac.digest(secret, body, "sha256")):
            return False
        return bool(now_ms < expires_s * 1000)

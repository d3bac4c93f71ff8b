"""API keys. Services hold SHA-256 hashes only; a key is shown once, by whoever minted it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from services.common.settings import KeyKind

# What each kind of key may do; `admin` may do everything but post as a widget. Who may read follow-ups may `act` on
# them (decision 19).
GRANTS: Mapping[KeyKind, frozenset[str]] = {
    "write": frozenset({"write"}),
    "read": frozenset({"read", "act"}),
    "import": frozenset({"write", "import"}),
    "admin": frozenset({"write", "import", "read", "act", "admin"}),
    "widget": frozenset({"widget"}),
}


def key_hash(key: str | bytes) -> str:
    """SHA-256 of a key, as hex: what a service is configured with."""
    return hashlib.sha256(key.encode() if isinstance(key, str) else key).hexdigest()


class Keyring:
    """Which rights a presented key has. Looked up by hash, so no comparison leaks a key's bytes."""

    def __init__(self, hashes: Mapping[KeyKind, tuple[str, ...]]) -> None:
        self._rights = {bytes.fromhex(digest): GRANTS[kind] for kind, digests in hashes.items() for digest in digests}

    def rights(self, authorization: bytes | None) -> frozenset[str] | None:
        """Rights of an `Authorization` header's value; None when there is none, or it is not one of our keys."""
        if authorization is None or authorization[:7].lower() != b"bearer ":
            return None
        return self._rights.get(hashlib.sha256(authorization[7:].strip()).digest())

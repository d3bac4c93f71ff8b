"""The one port of the fold: what it may read. A dict in tests, RocksDB in a worker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

UNREAD: Final = b"not a value"  # stands for that of a key nobody has asked for
UNLIMITED: Final = 1 << 40  # a limit that no partition reaches


class View(Protocol):
    """Read-only state of one partition as of the last committed batch."""

    def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """The values of `keys`, in their order; None for a key that is not there."""
        ...

    def scan(self, prefix: bytes, start: bytes, stop: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
        """At most `limit` pairs with `prefix + start <= key < prefix + stop`, in key order."""
        ...

    def scan_back(self, prefix: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
        """At most `limit` pairs whose key begins with `prefix`, the last key first."""
        ...


class LogRecord(Protocol):
    """A record of the log as a consumer gives it. `timestamp`: append time, milliseconds UTC."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...

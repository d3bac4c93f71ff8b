"""Where an interrupted import goes on: a small file, written while it runs and deleted when it is done.

It says through which row everything is settled, and which rows the door refused. Rows up to there are read again,
because ids need the ordinals, but not sent again. Skipping what the log does not hold would lose answers, so a
resumed import first sends one settled answer again: its new receipt must lie above the positions remembered, or this
is another log and everything is sent.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from services.cli.importer.rows import Item, Rejected
from services.cli.importer.source import Source

_EVERY_S: Final = 1.0


class Through(msgspec.Struct, tag="through", frozen=True):
    """Every row up to `row` is settled. `probe` is one of them that was accepted; `positions` as of then."""

    row: int
    probe: int
    positions: dict[int, int]


class Refused(msgspec.Struct, tag="refused", frozen=True):
    """A row the door refused."""

    row: int
    reason: str
    detail: str


_Line = Through | Refused


def folder(data: Path | None) -> Path:
    """Where journals live: in the data folder, or in the user's state folder for an instance given by address."""
    if data is not None:
        return data / "imports"
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "pulse" / "imports"


def key_of(source: Source, url: str, options: dict[str, Any]) -> str:
    """Names the journal of one file, mapping and door."""
    text = msgspec.json.encode([source.fingerprint, source.encoding, url, options], order="deterministic")
    return hashlib.sha256(text).hexdigest()[:32]


class Journal:
    """The journal of one import. A folder that cannot be written costs the resuming, not the import."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.found: Through | None = None
        self.refused: dict[int, Refused] = {}
        self._accepted: list[int] = []  # rows above the last `through`
        self._probe: int | None = None
        self._written_at = time.monotonic()
        self._file: Any = None
        self.writable = True

    def load(self) -> None:
        """Read what an earlier run left. A line cut short by a crash, and what follows, is ignored."""
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError:
            return
        for line in lines:
            try:
                entry = msgspec.json.decode(line, type=_Line)
            except msgspec.DecodeError:
                break
            if isinstance(entry, Through):
                self.found = entry
            else:
                self.refused[entry.row] = entry
        if self.found is None:
            self.refused.clear()
        else:
            self._probe = self.found.probe
            self.refused = {row: entry for row, entry in self.refused.items() if row <= self.found.row}

    def forget(self) -> None:
        """Start from the first row: nothing found counts."""
        self.found, self._probe = None, None
        self.refused.clear()
        self.close()
        self._path.unlink(missing_ok=True)

    def accepted(self, item: Item) -> None:
        """Remember a row the log holds, as a possible probe."""
        self._accepted.append(item.row)

    def refuse(self, rejected: Rejected) -> None:
        """Note a row the door refused."""
        self._append(Refused(rejected.row, rejected.reason, rejected.detail))

    def settle(self, through: int, positions: dict[int, int], *, now: bool = False) -> None:
        """Note how far everything is settled; at most once a second unless `now`."""
        if not now and time.monotonic() - self._written_at < _EVERY_S:
            return
        self._written_at = time.monotonic()
        self._probe = max((row for row in self._accepted if row <= through), default=self._probe)
        self._accepted = [row for row in self._accepted if row > through]
        if self._probe is not None:
            self._append(Through(through, self._probe, positions))

    def _append(self, line: _Line) -> None:
        if not self.writable:
            return
        try:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("ab")
            self._file.write(msgspec.json.encode(line) + b"\n")
            self._file.flush()
        except OSError:
            self.writable = False

    def close(self) -> None:
        """Close the file; it stays for the next run."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def done(self) -> None:
        """Everything is settled: nothing is left to resume."""
        self.close()
        self._path.unlink(missing_ok=True)

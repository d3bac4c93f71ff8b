"""From a record of the file to an answer, or to a reject with its reason. No IO.

**Ids.** `response_id` = UUIDv5(NAMESPACE, {"cells": {field: raw text, …}, "ordinal": k}) in canonical JSON: the raw
text of the mapped columns, and how many identical records stand above. So the same file, or a longer export of the
same data, gives the same ids, wherever the new records stand: of identical ones only their number matters.
"""

from __future__ import annotations

import uuid
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import msgspec

from schemas.responses import ResponseIn
from services.cli.importer import cells
from services.cli.importer.cells import BadCell, Instants
from services.ingest.times import MAX_AHEAD_MS
from stream.domain.minutes import HORIZON_MS

NAMESPACE: Final = uuid.UUID("3f0c1b52-6a0e-5d43-9d0c-6d1f0b7f4a21")
_encode: Final = msgspec.json.Encoder(order="deterministic").encode


class Ordinals:
    """How often a record was seen before. Holds 8 bytes a distinct record in a table at most two thirds full,
    12 to 24 bytes each: a million records take about 20 MB.

    Records are known by 64 bits of their hash; in ten million two share one with a chance of 3 in a million.
    """

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 << 12))
        self._used = 0
        self._repeated: dict[int, int] = {}

    def next(self, text: bytes) -> int:
        """0 for a record not seen before, then 1, 2, …"""
        key = int.from_bytes(blake2b(text, digest_size=8).digest(), "little") or 1  # 0 marks an empty slot
        if self._insert(self._slots, key):
            self._used += 1
            if self._used * 3 > len(self._slots) * 2:
                self._grow()
            return 0
        count = self._repeated.get(key, 0) + 1
        self._repeated[key] = count
        return count

    @staticmethod
    def _insert(slots: array[int], key: int) -> bool:
        mask = len(slots) - 1
        slot = key & mask
        while (found := slots[slot]) != 0:
            if found == key:
                return False
            slot = (slot + 1) & mask
        slots[slot] = key
        return True

    def _grow(self) -> None:
        larger = array("Q", bytes(16 * len(self._slots)))
        for key in self._slots:
            if key:
                self._insert(larger, key)
        self._slots = larger


@dataclass(frozen=True, slots=True)
class Item:
    """One answer ready to send: `body` is its JSON. `spelling` is the team's name as the file has it."""

    row: int
    line: int
    cells: Sequence[str]
    body: bytes
    response_id: str
    team: str
    spelling: str
    score: int
    test: bool
    identical: bool
    history: bool
    clock: str | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that cannot be used: its place, why, and its cells as they were."""

    row: int
    line: int
    reason: str
    detail: str
    cells: Sequence[str]


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may say about the file, beside its mapping."""

    instants: Instants
    default_team: str | None = None
    slugify: bool = False


class Parser:
    """Turns records into items. Keeps nothing of a record but that it was seen."""

    def __init__(self, positions: dict[str, int], width: int, options: Options, now_ms: int) -> None:
        self._positions = positions
        self._width = width
        self._last = max(positions.values())
        self._options = options
        self._now_ms = now_ms
        self._ordinals = Ordinals()

    def parse(self, row: int, line: int, record: Sequence[str]) -> Item | Rejected:
        """One record, numbered from 1 below the header; `line` is where it ends in the file."""
        try:
            return self._item(row, line, record)
        except BadCell as bad:
            return Rejected(row, line, bad.reason, bad.detail, record)

    def _item(self, row: int, line: int, record: Sequence[str]) -> Item:
        if len(record) <= self._last or any(map(str.strip, record[self._width :])):
            raise BadCell("wrong_number_of_cells", f"{len(record)} cells where the header has {self._width}")
        raw = {field: record[position] for field, position in self._positions.items()}
        try:
            ordinal = self._ordinals.next(_encode(raw))
        except UnicodeEncodeError:
            raise BadCell("encoding", "the row holds bytes that are no text in the file's encoding") from None
        instant = self._options.instants.read(raw["answered_at"])
        if instant.at_ms > self._now_ms + MAX_AHEAD_MS:
            raise BadCell("answered_at_future", "answered_at is more than 5 minutes ahead")
        if instant.at_ms < 0:
            raise BadCell("answered_at_before_1970", "answered_at is before 1970")
        spelling, team = self._team(raw.get("team", ""))
        body: dict[str, Any] = {
            "team": team,
            "score": cells.score(raw["score"]),
            "response_id": _response_id(raw, ordinal),
            "answered_at": cells.iso(instant.at_ms),
        }
        self._optional(raw, body)
        encoded = _encode(body)
        _check(body, encoded)
        return Item(
            row=row,
            line=line,
            cells=record,
            body=encoded,
            response_id=body["response_id"],
            team=team,
            spelling=spelling,
            score=body["score"],
            test=body.get("test", False),
            identical=ordinal > 0,
            history=instant.at_ms < self._now_ms - HORIZON_MS,
            clock=instant.clock,
        )

    def _team(self, cell: str) -> tuple[str, str]:
        """(name as the file has it, team)."""
        name = " ".join(cells.trimmed(cell).split())
        if not name:
            if self._options.default_team is None:
                raise BadCell("team_blank", "the team is blank, and there is no --default-team")
            return self._options.default_team, self._options.default_team
        team = cells.slug(name) if self._options.slugify else name
        if not team:
            raise BadCell("team_invalid", "the team's name holds no letter or digit")
        return name, team

    def _optional(self, raw: dict[str, str], body: dict[str, Any]) -> None:
        for field, cell in raw.items():
            if field in ("team", "score", "answered_at", "response_id") or not cells.trimmed(cell):
                continue
            group, dot, name = field.partition(".")
            if field == "test":
                if cells.flag(cell):
                    body["test"] = True
            elif field == "respondent.callback_at":
                body.setdefault(group, {})[name] = cells.iso(self._options.instants.read(cell, "callback_at").at_ms)
            elif dot:
                body.setdefault(group, {})[name] = cells.trimmed(cell)
            else:
                body[field] = cells.trimmed(cell)


def _check(body: dict[str, Any], encoded: bytes) -> None:
    """What the door would refuse is refused here, so that a dry run tells the same."""
    if b"\\u0000" in encoded:
        raise BadCell("encoding", "the row holds NUL characters; try --encoding")
    try:
        msgspec.convert(body, ResponseIn)
    except msgspec.ValidationError as error:
        rule, _, path = str(error).partition(" - at `$")
        field = path.strip(".`") or "row"
        if field == "team":
            rule = "a team is 1 to 64 of a-z, 0-9, dot, underscore, hyphen; --slugify makes one of any name"
        raise BadCell(f"{field}_invalid", rule) from None


def _response_id(raw: dict[str, str], ordinal: int) -> str:
    """The id of a record: its own where a column is mapped to `response_id`, else drawn from its text."""
    if "response_id" not in raw:
        return _uuid5({"cells": raw, "ordinal": ordinal})
    own = cells.trimmed(raw["response_id"])
    if not own:
        raise BadCell("response_id_blank", "the mapped response_id is blank")
    try:
        return str(uuid.UUID(own))
    except ValueError:
        return _uuid5({"response_id": own})


def _uuid5(name: dict[str, Any]) -> str:
    return str(uuid.uuid5(NAMESPACE, _encode(name).decode()))

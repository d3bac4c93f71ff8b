"""`rejects.v1`: records that could not be used, with the reason. Key: that of the record. Replayable.

Held by the fold (records of the log) and by the sink (rows that ClickHouse refused). The log and the topics fed
from it hold no personal text, so a reject may keep the record; a refused `people.v1` row keeps its key only.
"""

from __future__ import annotations

import msgspec


class Reject(msgspec.Struct, frozen=True, omit_defaults=True):
    """One unusable record. `id` = UUIDv5(generation, partition, offset, "reject"); `record` is its value, base64.

    `reason` is a stable code, `detail` names the field or limit; neither quotes a person.
    """

    id: str
    topic: str
    partition: int
    offset: int
    at_ms: int
    reason: str
    detail: str = ""
    key: str | None = None
    record: bytes | None = None
    v: int = 1

"""Outputs as they go over the wire: JSON, each message small enough for a broker with its settings untouched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from schemas.changes import TeamChanges
from schemas.rejects import Reject
from stream.domain.work import Out
from stream.state import Message

# A broker takes 1 MiB a batch of records (`message.max.bytes`); a thousandth stays for what stands around the value.
LARGEST: Final = 1_000_000

_AROUND: Final = 1_000  # the team, and the names of the fields
_JSON: Final = msgspec.json.Encoder()


def encode(outputs: Sequence[Out]) -> list[Message]:
    """The messages of outputs, in their order."""
    encoded = _JSON.encode
    messages = []
    for topic, key, record in outputs:
        if record is None:
            messages.append(Message(topic, key, None))
            continue
        value = encoded(record)
        if len(value) <= LARGEST:
            messages.append(Message(topic, key, value))
        else:
            messages.extend(Message(topic, key, encoded(part)) for part in _parts(record))
    return messages


def _parts(record: msgspec.Struct) -> Iterator[msgspec.Struct]:
    """A record that is too large for one message, as several: all that stands in it is absolute, so nothing is lost."""
    if isinstance(record, TeamChanges):
        yield from _parts_of_changes(record)
    elif isinstance(record, Reject):  # it names its place in the log, where the record itself still stands
        yield msgspec.structs.replace(record, record=None)
    else:
        yield record


def _parts_of_changes(record: TeamChanges) -> Iterator[TeamChanges]:
    part, size = TeamChanges(record.team, [], [], []), 0
    for kind in ("panes", "answers", "corrections"):
        for item in getattr(record, kind):
            more = len(_JSON.encode(item)) + 1
            if size and size + more > LARGEST - _AROUND:
                yield part
                part, size = TeamChanges(record.team, [], [], []), 0
            getattr(part, kind).append(item)
            size += more
    yield part

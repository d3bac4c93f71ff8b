"""What the fold says as it goes over the wire: JSON, in messages that a broker takes with its settings untouched.

It is encoded as soon as it is said, while it is in the processor's cache: at the end of a batch that costs five times
as much.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from schemas import topics
from schemas.changes import ChangesRecord
from schemas.followups import FollowupRecord
from schemas.policies import TeamPolicy
from schemas.rejects import Reject
from schemas.scores import TeamScores


class Message(NamedTuple):
    """One message to send: it goes to the partition of the number the log record came from. No value: a tombstone."""

    topic: str
    key: bytes | None
    value: bytes | None


# A broker takes 1 MiB a batch of records (`message.max.bytes`); a thousandth stays for what stands around the value.
LARGEST: Final = 1_000_000

_JSON: Final = msgspec.json.Encoder()
_DECODERS: Final[Mapping[str, msgspec.json.Decoder[msgspec.Struct]]] = {
    topics.TEAM_SCORES: msgspec.json.Decoder(TeamScores),
    topics.TEAM_CHANGES: msgspec.json.Decoder(ChangesRecord),
    topics.TEAM_POLICIES: msgspec.json.Decoder(TeamPolicy),
    topics.FOLLOWUPS: msgspec.json.Decoder(FollowupRecord),
    topics.REJECTS: msgspec.json.Decoder(Reject),
}
TOPICS: Final = tuple(_DECODERS)  # of everything that the fold says, but for tombstones


def message(topic: str, key: bytes | None, record: msgspec.Struct) -> Message:
    """The message that says `record`."""
    return Message(topic, key, _JSON.encode(record))


def reject(key: bytes | None, record: Reject) -> Message:
    """The message of a reject. One that would be too large leaves the record where it stands: in the log."""
    value = _JSON.encode(record)
    if len(value) > LARGEST:
        value = _JSON.encode(msgspec.structs.replace(record, record=None))
    return Message(topics.REJECTS, key, value)


def read(topic: str, value: bytes) -> msgspec.Struct:
    """What a message of a topic of ours says."""
    return _DECODERS[topic].decode(value)

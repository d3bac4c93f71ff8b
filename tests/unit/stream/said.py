"""What a fold has said, as a reader of its topics sees it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from stream.domain import messages
from stream.domain.messages import Message


class Out(NamedTuple):
    """A message that has been read. No message: a tombstone."""

    topic: str
    key: bytes | None
    message: msgspec.Struct | None


def read(said: Iterable[Message]) -> list[Out]:
    """Messages as they are read."""
    return [Out(topic, key, None if value is None else messages.read(topic, value)) for topic, key, value in said]


def written(outs: Iterable[Out]) -> list[Message]:
    """The messages that are read so."""
    return [
        Message(topic, key, None) if record is None else messages.message(topic, key, record)
        for topic, key, record in outs
    ]

"""What the checkpoints are made of; a process of its own is killed half-way, so it imports little."""

from __future__ import annotations

from stream.domain import keys
from stream.domain.messages import Message
from stream.domain.values import META, Meta
from stream.domain.work import Effects
from stream.state import State


def stay() -> bool:
    return False


def write(state: State, position: int) -> None:
    """One commit: many keys that all say its position."""
    meta = Meta(position=position)
    changes: dict[bytes, bytes | None] = {b"p%03d" % n: b"%d" % position for n in range(200)}
    state.commit(Effects({**changes, keys.META: META.pack(meta)}, [], meta), [Message("t", None, b"%d" % position)])
    if position > 1:
        state.clear_outbox(position - 1)

"""The topics of the log's generations, and how a key finds its partition.

Topics are created with explicit partitions and retention by `deploy.topics`; the broker never makes one.
All topics of a generation share one partition count, so that everything a feedback partition causes lies in the
partition of the same number.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

PARTITIONS: Final = 16  # of a generation, unless it has its own (`schemas.generations`)
DAY_MS: Final = 86_400_000

FEEDBACK: Final = "feedback.v1"
PEOPLE: Final = "people.v1"
TEAM_SCORES: Final = "team-scores.v1"
TEAM_CHANGES: Final = "team-changes.v1"
TEAM_POLICIES: Final = "team-policies.v1"
FOLLOWUPS: Final = "followups.v1"
REJECTS: Final = "rejects.v1"

# How a log takes its records: the broker stamps them. A generation that is being copied to keeps the times it is given
# until it is whole, so this setting says that it is.
SEALED: Final = ("message.timestamp.type", "LogAppendTime")

# Set on records of a copied log: the append time (ms, ASCII digits) they had in the log they came from.
APPENDED_HEADER: Final = "pulse-appended-ms"
# Set on them too: where they stood in the log they were first appended to. JSON: [generation, partition, offset], of a
# command for everybody [generation, [[offset, append time] or null, … by partition]].
PLACE_HEADER: Final = "pulse-place"


class Topic(msgspec.Struct, frozen=True):
    """One topic: `config` holds Kafka's own setting names; times in them are milliseconds."""

    name: str
    key: str
    partitions: int
    config: dict[str, str]
    about: str


def _retained(days: int, **extra: str) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(days * DAY_MS), **extra}


def _compacted(max_lag_ms: int) -> dict[str, str]:
    # Half the lag: the record that ends a segment comes at most that long after the last one that said something.
    return {
        "cleanup.policy": "compact",
        "max.compaction.lag.ms": str(max_lag_ms),
        "segment.ms": str(max_lag_ms // 2),
        "min.cleanable.dirty.ratio": "0.1",
        "delete.retention.ms": str(DAY_MS),
    }


TOPICS: Final[tuple[Topic, ...]] = (
    Topic(
        FEEDBACK,
        "team",
        PARTITIONS,
        _retained(430, **dict([SEALED])),
        "The log: answers and everything else that changes state. No personal text.",
    ),
    Topic(
        PEOPLE,
        "team|response_id",
        PARTITIONS,
        _compacted(DAY_MS),
        "Personal text of an answer: comment, contact. Compacted, so that a tombstone deletes.",
    ),
    Topic(TEAM_SCORES, "team", PARTITIONS, _compacted(DAY_MS), "A team's rolling scores; the newest is enough."),
    Topic(
        TEAM_CHANGES,
        "team",
        PARTITIONS,
        _retained(30),
        "What changed, packed per team and batch: minute panes, resolved answers, corrections.",
    ),
    Topic(TEAM_POLICIES, "team", PARTITIONS, _compacted(DAY_MS), "What a team promises; the newest is enough."),
    Topic(FOLLOWUPS, "team", PARTITIONS, _retained(430), "Every change of a follow-up case, one event each."),
    Topic(REJECTS, "key of the record", PARTITIONS, _retained(90), "Records that could not be used, and why."),
)


def murmur2(data: bytes) -> int:
    """Kafka's murmur2 over `data`, as an unsigned 32-bit number.

    Source: Apache Kafka, `org.apache.kafka.common.utils.Utils.murmur2`.

    >>> murmur2(b"")
    275646681
    """
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    length = len(data)
    h = (0x9747B28C ^ length) & mask
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    if whole < length:
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)


@lru_cache(maxsize=200_000)
def partition_of(key: bytes, partitions: int = PARTITIONS) -> int:
    """The partition Kafka's Java client, and so every producer of ours, puts `key` in."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions

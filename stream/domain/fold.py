"""The fold: one batch of log records and a partition's state in, changes and events out.

No IO, no clock, no settings, no chance: state is a pure function of the log. Cutting the log into other batches
changes neither the set of events nor the last value of any key.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from schemas import topics
from schemas.feedback import Answer, FeedbackRecord, Tick
from schemas.rejects import Reject
from stream.domain import answers, ids, keys, values
from stream.domain.scores import BAND_OF
from stream.domain.values import Meta
from stream.domain.view import LogRecord, View
from stream.domain.work import Effects, Work

MOST_BYTES: Final = 65_536  # of a record: what the door lets in is well below, and what comes of it fits a message
MOST_KEY_BYTES: Final = 256  # of a bad key that a reject repeats
UUID_CHARACTERS: Final = 36
MOST_REVISIONS: Final = 1 << 53
_TEAM: Final = re.compile(rb"[a-z0-9][a-z0-9._-]{0,63}")
_APPENDED_DIGITS: Final = 15  # milliseconds until the year 33658
_DECODER: Final[msgspec.json.Decoder[FeedbackRecord]] = msgspec.json.Decoder(FeedbackRecord)


class Unusable(NamedTuple):
    """Why a record cannot be used: a stable code, and what would have been right."""

    reason: str
    detail: str


def read_meta(view: View) -> Meta:
    """Where the state stands; a fresh `Meta` for an empty one."""
    raw = view.get_many((keys.META,))[0]
    return Meta() if raw is None else values.META.unpack(raw)


def fold(view: View, records: Sequence[LogRecord], partition: int, generation: int = 1) -> Effects:
    """Apply one batch of log records to one partition.

    Shape:   `view` is the read-only port (a dict in tests); one Effects out: changed keys, outputs, new position.
    Records: in log order; those below the state's position change nothing and say nothing, which makes redelivery
             safe to count with.
    Raises:  nothing a record can cause; one that cannot be used becomes a `Reject`.
    """
    meta = read_meta(view)
    if records and records[0].offset < meta.position:
        records = [record for record in records if record.offset >= meta.position]
    work = Work(view, meta, partition, generation)
    parsed = [_parse(record, partition) for record in records]
    _prefetch(work, records, parsed)
    for record, message in zip(records, parsed, strict=True):
        appended_ms = _appended_ms(record)
        work.at(record.offset, appended_ms)
        if isinstance(message, Answer):
            team = (record.key or b"").decode()
            if message.revision and message.answered_ms is None and _unknown(work, team, message):
                message = Unusable("unknown_original", "a revision of an unknown answer needs answered_at")
            else:
                answers.apply(work, team, message, appended_ms)
        if isinstance(message, Unusable):
            work.rejects.append(_reject(work, record, message))
    if records:
        last = records[-1]
        meta = Meta(
            position=last.offset + 1,
            known_ms=work.known_ms,
            before_ms=last.timestamp,
            before_crc=record_crc(last),
            generation=generation,
            quiet_until=meta.quiet_until,
        )
    return work.effects(meta)


def record_crc(record: LogRecord) -> int:
    """CRC-32 of a record's key and value: with its time it tells this log from another."""
    return zlib.crc32(record.value or b"", zlib.crc32(record.key or b""))


def _parse(record: LogRecord, partition: int) -> Answer | Tick | Unusable:
    value, key = record.value, record.key
    if value is None:
        return Unusable("no_value", "a record of the log has a value")
    if len(value) > MOST_BYTES:
        return Unusable("too_large", f"a record has at most {MOST_BYTES} bytes")
    try:
        message = _DECODER.decode(value)
    except msgspec.DecodeError as error:
        return Unusable("undecodable", str(error)[:200])
    except UnicodeDecodeError:
        return Unusable("undecodable", "not UTF-8")
    except RecursionError:
        return Unusable("undecodable", "nested too deep")
    if isinstance(message, Answer):
        if not key:
            return Unusable("no_key", "the key of an answer is its team")
        if _TEAM.fullmatch(key) is None:
            return Unusable("bad_key", "a team is 1 to 64 of a-z 0-9 . _ -, and begins with one of a-z 0-9")
        if topics.partition_of(key) != partition:
            return Unusable("wrong_partition", f"murmur2 puts this key in partition {topics.partition_of(key)}")
        if not 0 <= message.revision <= MOST_REVISIONS:
            return Unusable("bad_field", f"revision is 0 to {MOST_REVISIONS}")
        if len(message.response_id) != UUID_CHARACTERS:
            return Unusable("bad_field", "response_id is a UUID")
    return message


def _appended_ms(record: LogRecord) -> int:
    for name, value in record.headers:
        if name == topics.APPENDED_HEADER and value.isdigit() and len(value) <= _APPENDED_DIGITS:
            return int(value)
    return record.timestamp


def _prefetch(work: Work, records: Sequence[LogRecord], parsed: Sequence[Answer | Tick | Unusable]) -> None:
    """Name every key an ordinary answer reads, so that the batch costs one read of the state."""
    wanted: set[bytes] = set()
    add = wanted.add
    for record, message in zip(records, parsed, strict=True):
        if not isinstance(message, Answer) or record.key is None:
            continue
        team = record.key.decode()
        of_answer, of_pane, of_newest, _, of_case = keys.prefixes(team)
        add(keys.team(team))
        add(of_answer + keys.text(message.response_id))
        event_ms = record.timestamp if message.answered_ms is None else min(message.answered_ms, record.timestamp)
        add(of_pane + keys.number(max(0, -(-event_ms // 60_000))))
        if message.respondent is not None:
            respondent = keys.text(message.respondent)
            add(of_newest + respondent)
            if not BAND_OF[message.score]:
                add(of_case + respondent)
    if wanted:
        work.prefetch(list(wanted))


def _unknown(work: Work, team: str, message: Answer) -> bool:
    return work.answer(keys.answer(team, message.response_id)) is None


def _reject(work: Work, record: LogRecord, why: Unusable) -> tuple[bytes | None, Reject]:
    key, value = record.key, record.value
    if key is not None:
        key = key[:MOST_KEY_BYTES]
    reject = Reject(
        id=ids.uuid5(work.generation, work.partition, record.offset, "reject"),
        topic=topics.FEEDBACK,
        partition=work.partition,
        offset=record.offset,
        at_ms=record.timestamp,
        reason=why.reason,
        detail=why.detail,
        key=None if key is None else key.decode(errors="replace"),
        record=None if value is None or len(value) > MOST_BYTES else value,
    )
    return key, reject

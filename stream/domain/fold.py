"""The fold: one batch of log records and a partition's state in, changes and events out.

No IO, no clock, no settings, no chance: state is a pure function of the log. Cutting the log into other batches
changes neither the set of events nor the last value of any key.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from schemas import topics
from schemas.carries import Carry
from schemas.feedback import Act, Answer, CarryWindows, Erase, EraseRespondent, Exclude, Include, Policy, Tick, Windows
from schemas.rejects import Reject
from stream.domain import acts, answers, carrying, erasure, ids, keys, messages, ordinary, policies, values
from stream.domain.messages import Message
from stream.domain.minutes import MINUTE_MS
from stream.domain.ordinary import Step
from stream.domain.reading import MOST_BYTES, Unusable, appended_ms, read_all, team_of
from stream.domain.scores import BANDS
from stream.domain.team_batch import TeamBatch
from stream.domain.values import Meta
from stream.domain.view import LogRecord, View
from stream.domain.work import Effects, Work

AT_ONCE: Final = 128  # records read before they are applied: few enough to be in the processor's cache still
OF_NO_TEAM: Final = (Tick, EraseRespondent, Windows, CarryWindows, Unusable)
OF_A_TEAM: Final = (Policy, Carry)  # and of none of its answers
MOST_KEY_BYTES: Final = 256  # of a key that a reject repeats

Teams = dict[bytes | None, TeamBatch | Unusable]  # by the keys of a batch's records


def fold(
    view: View,
    records: Iterable[LogRecord],
    partition: int,
    generation: int = 1,
    partitions: int = topics.PARTITIONS,
) -> Effects:
    """Apply one batch of log records to one partition.

    Shape:   `view` is the read-only port (a dict in tests); one Effects out: changed keys, outputs, new position.
    Records: in log order, gone through once, a few at a time; those below the state's position change nothing and say
             nothing, which makes redelivery safe to count with. One whose key does not lie in `partition` of
             `partitions` is rejected.
    Raises:  nothing a record can cause; one that cannot be used becomes a `Reject`.
    """
    raw_meta, raw_windows = view.get_many((keys.META, keys.WINDOWS))
    meta = Meta() if raw_meta is None else values.META.unpack(raw_meta)
    work = Work(view, meta, partition, generation, values.live_windows(raw_windows))
    teams: Teams = {}
    count, last = 0, None
    to_come = iter(records)
    while chunk := list(islice(to_come, AT_ONCE)):
        if chunk[0].offset < meta.position:
            chunk = [record for record in chunk if record.offset >= meta.position]
            if not chunk:
                continue
        count, last = count + len(chunk), chunk[-1]
        steps = _read(work, chunk, teams, partitions)
        at = 0
        while (at := ordinary.apply(work, steps, at)) < len(steps):
            record, at_ms, message, team, key, respondent, _, _ = steps[at]
            at += 1
            work.at(record.offset, at_ms)
            work.headers = record.headers
            refused: Unusable | None = None
            if isinstance(message, Answer):
                if team is not None:
                    refused = answers.apply(work, team, key, respondent, message, at_ms)
            elif isinstance(message, Unusable):
                refused = message
            elif isinstance(message, EraseRespondent):
                erasure.erase_respondent(work, message.respondent)
            elif isinstance(message, Windows):
                work.set_windows(message.minutes)
            elif isinstance(message, CarryWindows):
                carrying.apply_windows(work, message)
            elif team is not None and not isinstance(message, Tick):
                refused = _command(work, team, key, message, at_ms)
            if refused is not None:
                work.rejects.append(_reject(work, record, refused))
    if last is not None:
        meta = Meta(
            position=last.offset + 1,
            known_ms=work.known_ms,
            before_ms=last.timestamp,
            before_crc=record_crc(last),
            generation=generation,
            quiet_until=meta.quiet_until,
        )
    return work.effects(meta, count)


def _command(
    work: Work, team: TeamBatch, key: bytes, message: Exclude | Include | Erase | Policy | Act | Carry, at_ms: int
) -> Unusable | None:
    if isinstance(message, Act):
        acts.apply(work, team.name, message)
        return None
    if isinstance(message, Policy):
        policies.apply(work, team.name, message)
        return None
    if isinstance(message, Carry):
        carrying.apply(work, team, message)
        return None
    if isinstance(message, Erase):
        erasure.erase(work, team, key, message.response_id)
        return None
    return answers.mark(work, team, key, message, at_ms)


def record_crc(record: LogRecord) -> int:
    """CRC-32 of a record's key and value: with its time it tells this log from another."""
    return zlib.crc32(record.value or b"", zlib.crc32(record.key or b""))


def _read(work: Work, records: Sequence[LogRecord], teams: Teams, partitions: int) -> list[Step]:
    """Read records, and every key that ordinary answers among them ask for: so they cost one read of the state."""
    steps: list[Step] = []
    wanted: list[bytes] = []
    ask, step = wanted.append, steps.append
    messages = read_all([record.value for record in records])
    for record, message in zip(records, messages, strict=True):
        at_ms = appended_ms(record) if record.headers else record.timestamp
        team = teams.get(record.key)
        if type(message) is not Answer or not isinstance(team, TeamBatch):
            if isinstance(message, OF_NO_TEAM):
                step((record, at_ms, message, None, b"", None, 0, 0))
                continue
            if team is None:
                name = team_of(record.key, work.partition, partitions)
                team = teams[record.key] = name if isinstance(name, Unusable) else work.of(name)
            if isinstance(team, Unusable):
                step((record, at_ms, team, None, b"", None, 0, 0))
                continue
            if isinstance(message, OF_A_TEAM):
                step((record, at_ms, message, team, b"", None, 0, 0))
                continue
            if isinstance(message, Act):
                key = team.prefixes.case + message.case_id.encode()
                wanted += (key, team.prefixes.command + message.command_id.encode())
                step((record, at_ms, message, team, key, None, 0, 0))
                continue
            if not isinstance(message, Answer):
                key = team.prefixes.answer + message.response_id.encode()
                ask(key)
                step((record, at_ms, message, team, key, None, 0, 0))
                continue
        prefixes = team.prefixes
        key = prefixes.answer + message.response_id.encode()
        ask(key)
        event_ms = message.answered_ms
        if event_ms is None or event_ms > at_ms:
            event_ms = at_ms
        minute = -(-event_ms // MINUTE_MS)
        if minute not in team.asked:
            if not team.asked:
                ask(prefixes.team)
            team.asked.add(minute)
            ask(prefixes.pane + keys.number(minute))
        respondent = None
        if message.respondent is not None:
            respondent = keys.text(message.respondent)
            ask(prefixes.newest + respondent)
            if not BANDS[message.score]:
                ask(prefixes.open_case + respondent)
        step((record, at_ms, message, team, key, respondent, event_ms, minute))
    work.read_ahead(wanted)
    return steps


def _reject(work: Work, record: LogRecord, why: Unusable) -> Message:
    key, value = record.key, record.value
    if key is not None:
        key = key[:MOST_KEY_BYTES]
    refused = Reject(
        id=ids.uuid5(*work.place(None)[:3], "reject"),
        topic=topics.FEEDBACK,
        partition=work.partition,
        offset=record.offset,
        at_ms=record.timestamp,
        reason=why.reason,
        detail=why.detail,
        key=None if key is None else key.decode(errors="replace"),
        record=None if value is None or len(value) > MOST_BYTES or why is answers.ERASED else value,
    )
    return messages.reject(key, refused)

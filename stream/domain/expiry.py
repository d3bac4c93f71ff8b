"""What leaves the state with the horizon: 400 days after it came, as a function of the log alone.

What has come is listed under the minute it is to leave at, in blocks of 64 offsets: a list is one key, and where the
log is cut into batches changes nothing about it. When stream time reaches the minute, the list is gone through.

An `r` key on a list is an answer. Its pane leaves, which is as old or older, and so does the answer, with its place
among its respondent's answers, unless it is in a case, or is what asking again about one came to: then it leaves with
that. An erased one stays erased. A `c` key is a case: it leaves 400 days after its last change, its notes with it, and
an open one stays. A `k` key is a command that has been decided on. What outlives the log is said again in it
(`stream.domain.carrying`): an open case (`o`), windows (`v`) and policies (`t`) every four weeks, an erased id (`e`)
every 400 days. An `m` key stands for the `r` key of which only marks are known.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from msgspec import structs

from schemas.followups import Case
from stream.domain import ids, keys, values
from stream.domain.minutes import HORIZON, MINUTES_A_DAY, ceil_minute
from stream.domain.values import NOT_GIVEN, OPEN, Reasked, Resolved
from stream.domain.view import UNLIMITED

if TYPE_CHECKING:
    from stream.domain.work import Work

At = tuple[int, int]  # the minute at which something leaves, the block of offsets that listed it

BLOCK: Final = 63  # mask of the offsets of a block
_BITS: Final = BLOCK.bit_length()
_LOOK_AGAIN: Final = 30 * MINUTES_A_DAY  # at what cannot leave yet, in minutes
# What outlives the log is said again in it after so long, in minutes: the log keeps 30 days more than the horizon, so
# a worker may be away for two of them.
AGAIN: Final = 28 * MINUTES_A_DAY
_NEVER: Final = 1 << 62
_REMNANT: Final = b"m"


def block(work: Work, minute: int) -> list[bytes]:
    """The list, to be added to, of what the record at hand brings and what leaves at `minute`."""
    if minute < work.next_leaving:
        work.next_leaving = minute
    return work.blocks.setdefault((minute, work.offset >> _BITS), [])


def list_remnant(work: Work, key: bytes, minute: int) -> None:
    """Of the answer under an `r` key only marks are known; they are to leave at `minute`."""
    block(work, minute).append(_REMNANT + key[1:])


def carry_on(work: Work, entry: bytes, minutes: int) -> None:
    """This is to be said again in the log, and once more after so many minutes: it stays, and the log does not."""
    work.put(keys.CARRY + entry, b"")
    block(work, work.minute + minutes).append(entry)


def store(work: Work, changes: dict[bytes, bytes | None]) -> None:
    """Add the changed lists. Only the block in which the last batch ended can have been begun before."""
    begun = work.first >> _BITS
    for at, listed in work.blocks.items():
        if listed:
            key = keys.leaving(*at)
            before = work.get(key) if at[1] == begun else None
            changes[key] = b"".join(listed) if before is None else before + b"".join(listed)


def sweep(work: Work, before: int) -> None:
    """Let go what is to leave after minute `before`, up to the live minute; before that all is done."""
    if work.minute < work.next_leaving:
        return
    leaving: dict[At, list[bytes]] = {}
    work.next_leaving = _NEVER
    for key, raw in work.view.scan(keys.LEAVING, keys.number(before + 1), keys.AFTER_ALL, UNLIMITED):
        at = keys.split_leaving(key)
        if at[0] > work.minute:
            work.next_leaving = at[0]
            break
        leaving[at] = list(_split(raw))
        work.put(key, None)
    for minute, _ in work.blocks:
        if work.minute < minute < work.next_leaving:
            work.next_leaving = minute
    for at in [at for at in work.blocks if at[0] <= work.minute]:
        leaving.setdefault(at, []).extend(work.blocks.pop(at))
    listed = [key for at in sorted(leaving) for key in leaving[at]]
    work.prefetch(list(dict.fromkeys(listed)))
    opened: set[bytes] = set()
    for key in listed:
        match key[:1]:
            case b"r":
                _answer(work, key)
            case b"c":
                _case(work, key)
            case keys.OPEN_CASE:
                if key not in opened:  # opened again, it is listed twice
                    opened.add(key)
                    _open_case(work, b"c" + key[1:])
            case keys.WINDOWS | keys.POLICY:
                carry_on(work, key, AGAIN)
            case keys.ERASED:
                carry_on(work, key, HORIZON)
            case b"k":
                work.put(key, None)
            case _:
                _remnant(work, b"r" + key[1:])


def _split(raw: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(raw):
        end = at + 3 + int.from_bytes(raw[at + 1 : at + 3], "big") + 2 + keys.UUID_BYTES
        yield raw[at:end]
        at = end


def _answer(work: Work, key: bytes) -> None:
    answer = work.answer(key)
    if answer is None or answer.first_offset == NOT_GIVEN:
        return
    name, response_id = keys.split_id(key)
    team = work.of(name)
    if not answer.history:
        team.drop_pane(answer.minute)
    if answer.erased:
        return
    case = _case_of(work, name, response_id, answer)
    minutes = [] if case is None else [leaves_at(work, case)]
    if type(answer) is Reasked:
        own_leaves = all(minute <= work.minute for minute in minutes)
        paired = _tells_of(work, name, response_id, answer)
        if paired is not None:  # so that it can be erased as long as a case tells of it
            minutes.append(leaves_at(work, paired))
        if own_leaves and answer.case_id is not None and minutes:
            work.put_answer(key, structs.replace(answer, case_id=None))
    later = [minute for minute in minutes if minute > work.minute]
    if later:
        block(work, min(later)).append(key)
        return
    if answer.respondent is not None:
        respondent = keys.text(answer.respondent)
        work.put_answer_of(team.prefixes.answers_of + respondent, answer, None)
        newest = work.newest(team.prefixes.newest + respondent)
        if newest is not None and newest.response_id == response_id:
            work.put_newest(team.prefixes.newest + respondent, None)
    work.put(key, None)


def _case_of(work: Work, team: str, response_id: str, answer: Resolved) -> Case | None:
    """The case an answer is in; else the one it opened and has left, as only one with a respondent can."""
    if answer.case_id is not None:
        return work.case(team, answer.case_id)
    return None if answer.respondent is None else work.case(team, ids.uuid5(team, response_id))


def _tells_of(work: Work, team: str, response_id: str, answer: Reasked) -> Case | None:
    """The case that tells of an answer as what asking again came to (`stream.domain.reasks`); None for none."""
    case = work.case(team, answer.reask_of)
    return case if case is not None and case.reask is not None and case.reask.response_id == response_id else None


def leaves_at(work: Work, case: Case) -> int:
    """The minute at which a case leaves; of an open one, when to look again."""
    if case.state in OPEN:
        return work.minute + _LOOK_AGAIN
    return ceil_minute(case.changed_ms) + HORIZON + 1


def _case(work: Work, key: bytes) -> None:
    raw = work.get(key)
    if raw is None:
        return
    case = values.CASE.unpack(raw)
    minute = leaves_at(work, case)
    if minute > work.minute:
        block(work, minute).append(key)
        return
    for note in case.notes:
        work.forget_text(case.team, note)
    work.put(key, None)
    work.put(keys.CARRY + key, None)


def list_open(work: Work, key: bytes, raised_ms: int) -> None:
    """The open case under a `c` key is to be said again in the log: when so many times four weeks have passed since it
    was raised."""
    raised = ceil_minute(raised_ms)
    times = (work.minute - raised) // AGAIN + 1
    block(work, raised + times * AGAIN).append(keys.OPEN_CASE + key[1:])


def _open_case(work: Work, key: bytes) -> None:
    """Four weeks have passed. One that has closed since it was said again is said once more."""
    raw = work.get(key)
    if raw is None:
        return
    case = values.CASE.unpack(raw)
    if case.state in OPEN:
        list_open(work, key, case.raised_ms)
    elif work.minute < ceil_minute(case.raised_ms) + 2 * AGAIN:
        return
    work.put(keys.CARRY + key, b"")


def _remnant(work: Work, key: bytes) -> None:
    answer = work.answer(key)
    if answer is None or answer.first_offset != NOT_GIVEN or answer.erased:
        return
    minute = ceil_minute(answer.event_ms) + HORIZON + 1
    if minute > work.minute:
        list_remnant(work, key, minute)
    else:
        work.put(key, None)

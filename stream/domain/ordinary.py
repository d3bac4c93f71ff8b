"""The fast path: answers of which nothing is known yet, in order and in time, as nearly all are.

For each it does just what `answers.apply` does, in one piece, for any run of them: a call costs as much here as the
counting itself. Whatever else may come, an edit, a late or a known answer, a respondent's second one, one to being
asked again, is left to `answers.apply`, which alone says what an answer does; a property test holds the two against
each other.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import structs

from schemas.carries import LogEntry
from schemas.changes import AnswerChange
from schemas.feedback import Answer
from stream.domain import followups, keys, values, windows
from stream.domain.reading import Unusable
from stream.domain.scores import BANDS
from stream.domain.team_batch import TeamBatch
from stream.domain.values import Context, Resolved
from stream.domain.view import LogRecord
from stream.domain.work import Work

# A record, its append time, what it says; where it is about one answer or case: its team, its key in the state; of an
# answer: its respondent in keys, its event time and its minute.
Step = tuple[LogRecord, int, LogEntry | Unusable, TeamBatch | None, bytes, bytes | None, int, int]

_pack: Final = msgspec.msgpack.Encoder().encode
_VERSION: Final = values.VERSION


def apply(work: Work, steps: Sequence[Step], at: int) -> int:
    """Apply the run of such answers that begins at `steps[at]`, none if need be; gives where it ends.

    What they ask of the state must have been read (`Work.read_ahead`).
    """
    seen, puts, lengths, first_version = work.seen, work.puts, work.windows, work.first_version
    next_ms, block_ends, shown_until = work.next_ms, work.block_ends, work.shown_until
    known_ms, minute_now, leaving = work.known_ms, work.minute, work.leaving
    for index in range(at, len(steps)):
        record, at_ms, message, team, key, respondent, event_ms, minute = steps[index]
        if type(message) is not Answer or team is None or seen[key] is not None or key in puts:
            break
        offset = record.offset
        if at_ms >= next_ms or offset > block_ends:
            work.known_ms = known_ms
            work.at(offset, at_ms)  # something may be due
            next_ms, block_ends, shown_until = work.next_ms, work.block_ends, work.shown_until
            known_ms, minute_now, leaving = work.known_ms, work.minute, work.leaving
        elif at_ms > known_ms:
            known_ms = at_ms
        if minute <= shown_until:
            break
        prefixes = team.prefixes
        if respondent is not None:
            newest = prefixes.newest + respondent
            if seen[newest] is not None or newest in puts:
                break
        (
            response_id,
            score,
            content,
            _,
            _,
            revision,
            hashed,
            test,
            personal,
            survey,
            channel,
            locale,
            medium,
            callback_ms,
            age_group,
            attributes,
            reask_of,
        ) = structs.astuple(message)
        if revision or test or reask_of is not None:
            break
        version = first_version + offset
        if respondent is not None:
            of_respondent = keys.answer_of(prefixes.answers_of + respondent, event_ms, offset)
            puts[of_respondent] = response_id.encode()
            work.put_answers_of.append(of_respondent)
            puts[newest] = _VERSION + _pack((event_ms, offset, response_id, score, False))  # as a `Newest`
        leaving.append(key)

        pane = team.panes.get(minute) or team.pane(minute)
        pane[score] += 1
        pane[score + 11] += 1
        live = team.live or team.windows()
        live.t = minute_now
        live.version = team.pane_versions[minute] = version
        team.changed = True
        j = bisect_right(lengths, live.t - minute)
        band = BANDS[score]
        if j < len(lengths):
            ring = live.rings[j]
            ring[band + 1] += 1
            ring[band + 4] += 1
            if (minute < ring[0] or not ring[0]) and windows.older(live, j, minute, lengths):
                work.due(team, live.due)

        if (
            survey is channel is locale is medium is callback_ms is age_group is None  # as `answers.resolved` decides
            and not attributes
        ):
            context = None
        else:
            context = Context(survey, channel, locale, medium, callback_ms, age_group, attributes)
        case_id = not_raised = None
        if band:
            kept = (event_ms, offset, False, score, 0, content, hashed, (), personal, None, None, context, None, False)
            puts[key] = _VERSION + _pack(kept)  # as a `Resolved`
        else:
            new = Resolved(event_ms, offset, False, score, 0, content, hashed, (), personal, None, None, context, None)
            work.known_ms, work.offset, work.version, work.headers = known_ms, offset, version, record.headers
            new = followups.follow(work, team.name, response_id, None, new, at_ms)
            case_id, not_raised = new.case_id, new.not_raised
            next_ms = work.next_ms
            puts[key] = _VERSION + _pack(new)
        team.answers.append(
            AnswerChange(
                response_id,
                version,
                event_ms,
                known_ms,
                offset,
                score,
                0,
                hashed,
                (),
                False,
                personal,
                survey,
                channel,
                locale,
                medium,
                callback_ms,
                age_group,
                attributes,
                case_id,
                not_raised,
            )
        )
    else:
        index = len(steps)
    work.known_ms = known_ms
    return index

"""What a team promises: the last `policy` record of the team in the log, and the built-in defaults until the first."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import msgspec

from schemas.feedback import Policy
from schemas.policies import TeamPolicy
from stream.domain import expiry, keys, values

if TYPE_CHECKING:
    from stream.domain.work import Work

BUILT_IN: Final = Policy("built-in")

LATEST_MS: Final = 253_402_300_799_999  # the end of the year 9999
LONGEST_MS: Final = 366 * 24 * 3_600_000
MOST_POINTS: Final = 8  # reminders, and levels
MOST_CAUSES: Final = 100
MOST_BYTES: Final = 60_000  # as JSON: so that it can be said again in a carry
MOST_TEXT: Final = 200  # characters of a name
DEEPEST: Final = 16
LARGEST: Final = (1 << 63) - 1


def of(work: Work, team: str) -> Policy:
    """What a team promises now."""
    now = held(work, team)
    return BUILT_IN if now is None else now.policy


def apply(work: Work, team: str, policy: Policy) -> None:
    """This holds from here on. What was promised before stays promised."""
    before = held(work, team)
    if before is None or before.policy != policy:
        put(work, TeamPolicy(team, work.version, work.known_ms, policy))


def put(work: Work, policy: TeamPolicy) -> None:
    """The team has this policy. The first one is listed, to be said again in the log for as long as there is one."""
    team = policy.team
    if held(work, team) is None:
        expiry.block(work, work.minute + expiry.AGAIN).append(keys.entry(keys.POLICY, team, keys.NO_ID))
    work.put(keys.policy(team), values.POLICY.pack(policy))
    work.policies[team] = work.policies_set[team] = policy


def held(work: Work, team: str) -> TeamPolicy | None:
    """The policy that the log has set; None for none."""
    try:
        return work.policies[team]
    except KeyError:
        raw = work.get(keys.policy(team))
        found = work.policies[team] = None if raw is None else values.POLICY.unpack(raw)
        return found


def flaw(policy: Policy) -> str | None:
    """What is wrong with a policy; None when it can be used."""
    if not 0 < len(policy.rev) <= MOST_TEXT:
        return f"rev has 1 to {MOST_TEXT} characters"
    for name in ("contact_ms", "resolve_ms", "raise_within_ms"):
        if not 0 < getattr(policy, name) <= LONGEST_MS:
            return f"{name} is more than 0 and at most 366 days"
    if policy.reask_ms is not None and not 0 < policy.reask_ms <= LONGEST_MS:
        return "reask_ms is more than 0 and at most 366 days"
    for name in ("remind_ms", "escalate_ms"):
        if not _are_points(getattr(policy, name)):
            return f"{name} are at most {MOST_POINTS} different times from 0 to 366 days"
    if list(policy.escalate_ms) != sorted(policy.escalate_ms):
        return "escalate_ms ascend"
    if len(policy.root_causes) > MOST_CAUSES or not all(0 < len(cause) <= MOST_TEXT for cause in policy.root_causes):
        return f"root_causes are at most {MOST_CAUSES} names of 1 to {MOST_TEXT} characters"
    if not is_plain(policy.config):
        return f"config is nested at most {DEEPEST} deep, and its whole numbers have 64 bits"
    if len(msgspec.json.encode(policy)) > MOST_BYTES:
        return f"a policy has at most {MOST_BYTES} bytes"
    return _flaw_of_hours(policy)


def _are_points(points: Sequence[int]) -> bool:
    return len(set(points)) == len(points) <= MOST_POINTS and all(0 <= point <= LONGEST_MS for point in points)


def _flaw_of_hours(policy: Policy) -> str | None:
    hours, until_ms = policy.open, policy.until_ms
    if not hours:
        return None if until_ms is None else "until_ms is of working hours, and there are none"
    if len(hours) % 2 or hours[0] < 0 or not all(a < b for a, b in pairwise(hours)):
        return "open are starts and ends of intervals in turn, ascending, none of which meet"
    if until_ms is None or until_ms < hours[-1] or until_ms > LATEST_MS:
        return "until_ms is not before the end of the last interval"
    return None


def is_plain(value: Any, depth: int = DEEPEST) -> bool:
    """Whether a value from JSON can be written again wherever it goes: not too deep, whole numbers of 64 bits."""
    if isinstance(value, dict):
        return depth > 0 and all(is_plain(item, depth - 1) for item in value.values())
    if isinstance(value, list):
        return depth > 0 and all(is_plain(item, depth - 1) for item in value)
    return not isinstance(value, int) or -LARGEST <= value <= LARGEST

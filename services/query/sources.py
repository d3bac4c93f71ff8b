"""Where counts come from, and the SQL of both sources in one shape.

`panes` are the counts per minute that the fold keeps; `answers` are all resolved states of every answer. Where both
can tell, they agree. Each source gives rows (team, at_minute, gone, d, n, p, version): d detractors, n passives and
p promoters that count in the windows ending at every minute t with `at_minute <= t < gone`, until the window's
length moves past them. So one statement on top of either source makes a score, a series or a list of teams.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from schemas.changes import Policy
from stream.domain.minutes import HORIZON_MS, MINUTE_MS, ceil_minute

Source = Literal["panes", "answers", "both"]

NEVER: Final = 2**40  # a minute, or a length in minutes, beyond all others
_BEGIN_MS: Final = -2_208_988_800_000  # 1900: where DateTime64 begins
_END_MS: Final = 4_102_444_800_000  # 2100
_CLOCK_SKEW_MINUTES: Final = 5  # the horizon is the broker's clock, the question comes by ours


def horizon(now_ms: int) -> int:
    """The minute after which panes hold every answer; older ones may be history, which is in no pane."""
    return ceil_minute(now_ms - HORIZON_MS) + _CLOCK_SKEW_MINUTES


def choose(policy: Policy, after: int | None, until: int, known_ms: int | None, now_ms: int) -> Source:
    """The source that can tell the counts of the minutes (after, until].

    Panes hold policy `all` for every minute inside the horizon, and policy `latest` as of the live minute only: what
    a respondent's newest answer was in the past is no longer in them. They do not know what was known when. A window
    of policy `all` that reaches beyond the horizon takes `both`: answers up to there, panes from there on.
    """
    if known_ms is not None:
        return "answers"
    inside = after is not None and after >= horizon(now_ms)
    if policy == "all":
        return "panes" if inside else "both"
    return "panes" if inside and until >= ceil_minute(now_ms) else "answers"


PANES: Final = """
    SELECT
        team,
        toInt64(intDiv(toUnixTimestamp(minute), 60)) AS at_minute,
        toInt64({never:Int64}) AS gone,
        arraySum(arraySlice(if({policy:String} = 'latest', latest, scores), 1, 7)) AS d,
        arraySum(arraySlice(if({policy:String} = 'latest', latest, scores), 8, 2)) AS n,
        arraySum(arraySlice(if({policy:String} = 'latest', latest, scores), 10, 2)) AS p,
        version
    FROM panes FINAL
    WHERE minute > fromUnixTimestamp({panes_after_s:Int64}) AND minute <= fromUnixTimestamp({until_s:Int64})
        AND ({every:Bool} OR team IN {teams:Array(String)})"""

# The state of each answer as it was known, of the answers whose event time lies in (after, until]. One that was erased
# since is left out, also of what was known before: what is left of it does not say what it was. Copied to another
# generation of the log, an answer stands here twice: its place is that in the newest, so that places can be compared.
_STATES: Final = """
        SELECT
            team,
            response_id,
            any(event_at) AS event,
            argMax(first_offset, answers.version) AS first,
            argMax(tuple(score, respondent, empty(reasons)), answers.version) AS state,
            max(answers.version) AS newest
        FROM answers
        WHERE event_at > fromUnixTimestamp64Milli({after_ms:Int64}, 'UTC')
            AND event_at <= fromUnixTimestamp64Milli({answers_until_ms:Int64}, 'UTC')
            AND (known_at <= fromUnixTimestamp64Milli({known_ms:Int64}, 'UTC') OR erased)
            AND ({every:Bool} OR team IN {teams:Array(String)})
        GROUP BY team, response_id
        HAVING state.3 AND NOT max(erased)"""

# The minute that holds an instant is named by its end: the first whole minute at or after it.
_MINUTE: Final = "intDiv(toUnixTimestamp64Milli(event) - 1 + 60000, 60000)"
_BANDS: Final = """
        toUInt64(state.1 <= 6) AS d,
        toUInt64(state.1 BETWEEN 7 AND 8) AS n,
        toUInt64(state.1 >= 9) AS p,
        newest AS version"""

ALL: Final = f"""
    SELECT
        team,
        {_MINUTE} AS at_minute,
        toInt64({{never:Int64}}) AS gone,{_BANDS}
    FROM ({_STATES}
    )"""  # noqa: S608  put together from the constants above; every value is bound

# An answer is its respondent's latest until the same respondent's next one, by event time, then by log order.
# Nobody knows who gave an answer without a respondent, so it stays by itself.
LATEST: Final = f"""
    SELECT
        team,
        {_MINUTE} AS at_minute,
        leadInFrame({_MINUTE}, 1, toInt64({{never:Int64}})) OVER (
            PARTITION BY team, tuple(state.2, if(empty(state.2), response_id, ''))
            ORDER BY event, first
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
        ) AS gone,{_BANDS}
    FROM ({_STATES}
    )"""  # noqa: S608  put together from the constants above; every value is bound


def rows_of(source: Source, policy: Policy) -> str:
    """The SQL whose rows are counted."""
    if source == "panes":
        return PANES
    if source == "both":
        return f"{PANES}\n    UNION ALL{ALL}"
    return LATEST if policy == "latest" else ALL


def bounds(
    source: Source,
    policy: Policy,
    teams: list[str] | None,
    after: int | None,
    until: int,
    *,
    now_ms: int,
    known_ms: int | None = None,
) -> dict[str, Any]:
    """The values bound in the SQL of a source: minutes (after, until], of `teams` or, for None, of every team."""
    after_ms = _BEGIN_MS if after is None else max(_BEGIN_MS, after * MINUTE_MS)
    panes_after, answers_until = after_ms // MINUTE_MS, until
    if source == "both":
        panes_after = max(panes_after, horizon(now_ms))
        answers_until = min(until, horizon(now_ms))
    return {
        "policy": policy,
        "every": teams is None,
        "teams": teams or [],
        "never": NEVER,
        "panes_after_s": max(0, panes_after * 60),
        "until_s": until * 60,
        "after_ms": after_ms,
        "until_ms": until * MINUTE_MS,
        "answers_until_ms": answers_until * MINUTE_MS,
        "known_ms": _END_MS if known_ms is None else known_ms,
    }

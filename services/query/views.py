"""What the query service answers, typed: /openapi.json is made from these."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.changes import Policy
from schemas.feedback import ActKind, ContactOutcome
from schemas.followups import Clock, RefusedFor
from schemas.followups import State as CaseState
from services.query.params import Ask, MarginMethod, when
from services.query.scores import Score
from stream.domain.scores import Difference, Tally, adjusted_wald, display, nps, score_interval, shares

LEVEL = 0.95
State = Literal["ok", "too_few", "empty"]
Excluded = Annotated[
    dict[str, int],
    Field(
        description="answers in the window that are not counted, by reason; one with two reasons stands under both. "
        "`erased`: erased since, also where `known_at` is before that"
    ),
]


class View(BaseModel):
    """Base of all views: frozen, and written with the names that the contract uses."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True)


class SharesView(View):
    """Whole percentages that sum to 100."""

    detractors: int
    passives: int
    promoters: int


class MarginView(View):
    """How far to trust the score, in points."""

    low: float
    high: float
    method: MarginMethod
    level: float = Field(description="confidence, 0.95")


class Numbers(View):
    """A score as counts and what follows from them."""

    n: int = Field(description="counted answers: the denominator of the score")
    detractors: int = Field(description="scores 0..6")
    passives: int = Field(description="scores 7 and 8")
    promoters: int = Field(description="scores 9 and 10")
    nps: float | None = Field(description="100·(promoters - detractors)/n, unrounded; null when n is 0")
    display: int | None = Field(description="the score as people read it: whole points, half away from zero")
    shares: SharesView | None
    margin: MarginView | None
    state: State = Field(description="`too_few`: fewer answers than the configured least sample; numbers still stand")


class WindowHead(View):
    """Which window a score is of: `(from, to]`."""

    team: str | None = Field(description="null: over all teams")
    window: str
    policy: Policy
    as_of: datetime
    valid_until: datetime | None = Field(
        description="the counts stand for every whole minute from `as_of` to before this, as long as no further record "
        "arrives; null: until one does"
    )
    from_: datetime | None = Field(alias="from", description="null: from the beginning")
    to: datetime


class ScoreView(Numbers, WindowHead):
    """The score of one window."""

    excluded: Excluded
    version: int = Field(description="greatest version of what was read; 0 when there is nothing")


class LogPlaceView(View):
    """Up to where the log is in a number. All records of a team lie in one partition, in one order."""

    partition: int
    through: int = Field(description="everything below this offset of the partition was stored when it was asked")
    record: str | None = Field(
        description="the team's newest record in the number, `partition:offset`: all of the team's records up to it "
        "are in, none after it; null: none"
    )
    version: int = Field(description="of that record; 0: none")


class BehindView(View):
    """One answer that counts in a number, as it stood at the time that is asked for. Its text is in /v1/responses."""

    response_id: str
    score: int
    band: Literal["detractor", "passive", "promoter"]
    event_at: datetime = Field(description="when it was given; this puts it into the window")
    known_at: datetime = Field(description="when it came to stand as it stood")
    revision: int
    respondent: str | None = Field(description="keyed hash of who answered; `latest` counts each one's newest answer")
    record: str = Field(description="the log record that made it stand so: partition:offset")
    version: int


class ExplainView(Numbers):
    """A score and where it comes from. The answers in `items` of all pages recount to it; newest first."""

    team: str
    window: str
    policy: Policy
    as_of: datetime
    known_at: datetime | None = Field(
        description="what was known at this time; when none was asked for, the time of the team's newest record"
    )
    from_: datetime | None = Field(alias="from", description="null: from the beginning")
    to: datetime
    excluded: Excluded
    log: LogPlaceView
    items: list[BehindView]
    next_cursor: str | None = Field(description="null on the last page")


class DifferenceView(View):
    """Score of `a` minus score of `b`, in points."""

    nps: float = Field(description="difference of the two scores, unrounded")
    low: float
    high: float
    p_value: float = Field(description="how likely a difference this large is when there is none")
    method: Literal["adjusted_wald"] = "adjusted_wald"
    level: float = LEVEL


class CompareView(View):
    """Two scores and how far they are apart. `difference` is null when either has no answers."""

    a: ScoreView
    b: ScoreView
    difference: DifferenceView | None


class PointView(View):
    """The rolling score at one time. `nps`, `display` and `margin` are null where no answer is in the window."""

    at: datetime
    n: int
    detractors: int
    passives: int
    promoters: int
    nps: float | None
    display: int | None
    margin: MarginView | None
    state: State


class SeriesView(View):
    """Rolling scores at `from`, `from` + step, … up to `to`."""

    team: str
    window: str
    step: str
    policy: Policy
    from_: datetime = Field(alias="from")
    to: datetime
    points: list[PointView]


class TeamView(View):
    """One team: its score now, and the follow-ups that wait for somebody."""

    team: str
    score: Numbers
    open_followups: int
    overdue_followups: int
    next_due_at: datetime | None


class TeamsView(View):
    """Teams by name. `next_cursor` is null on the last page."""

    window: str
    policy: Policy
    as_of: datetime
    items: list[TeamView]
    next_cursor: str | None


class WindowsView(View):
    """The live windows by their shortest names, ascending."""

    windows: list[str]


class ContactView(View):
    """How to reach a person; null what was not given."""

    respondent_id: str | None
    name: str | None
    email: str | None
    phone: str | None


class ResponseView(View):
    """One answer as it stands. Personal text is null when none was given or it was erased."""

    team: str
    response_id: str
    score: int
    band: Literal["detractor", "passive", "promoter"]
    event_at: datetime = Field(description="when it was given")
    known_at: datetime = Field(description="when it came to stand as it does")
    revision: int
    counted: bool
    reasons: list[str] = Field(description="why it is not counted")
    history: bool = Field(description="older than the horizon when it arrived: in no live window")
    respondent: str | None = Field(description="keyed hash of who answered, the same for all their answers to a team")
    survey: str | None
    channel: str | None
    locale: str | None
    medium: str | None
    callback_at: datetime | None
    age_group: str | None
    attributes: dict[str, str]
    case_id: str | None = Field(description="the follow-up it belongs to")
    not_raised: str | None = Field(description="why a counted detractor has none")
    reask_of: str | None = Field(description="the follow-up about which the customer was asked again")
    comment: str | None
    contact: ContactView | None
    answers: dict[str, str | int | float | bool | None] = Field(description="free replies to other questions")
    version: int


class ResponsesView(View):
    """Answers, newest first. `next_cursor` is null on the last page."""

    items: list[ResponseView]
    next_cursor: str | None


class OverdueView(View):
    """Which clock of a case has run out."""

    contact: bool
    resolve: bool


class ReaskView(View):
    """What the customer answered when they were asked again: to be held against the case's `score`."""

    response_id: str
    score: int
    band: Literal["detractor", "passive", "promoter"]
    answered_at: datetime


class FollowupView(View):
    """A follow-up case as it stands. Personal text is looked up now; null when there is none."""

    case_id: str
    team: str
    response_id: str = Field(description="the answer that opened it")
    score: int
    state: CaseState
    n: int = Field(description="number of the newest event: what If-Match names")
    raised_at: datetime
    changed_at: datetime
    contact_due_at: datetime
    resolve_due_at: datetime
    due_at: datetime | None = Field(description="the clock that runs; null for a closed case")
    overdue: OverdueView
    owner: str | None
    response_ids: list[str] = Field(description="all answers in the case, oldest first")
    respondent: str | None
    survey: str | None
    channel: str | None
    locale: str | None
    medium: str | None
    callback_at: datetime | None = Field(description="when the customer asked to be called")
    joined_into: str | None
    contacted_at: datetime | None = Field(description="when the customer first heard from us")
    agreed_at: datetime | None = Field(description="when the customer is to be called back")
    snoozed_until: datetime | None
    resolved_at: datetime | None
    cause: str | None = Field(description="why the customer was unhappy, as the resolution says")
    attempts: int = Field(description="to contact the customer")
    contacts: int = Field(description="that came about, in both directions")
    reask_due_at: datetime | None = Field(description="when the customer is to be asked again, or was; null: neither")
    reask: ReaskView | None
    reask_of: str | None = Field(description="the case that the opening answer was itself asked again about")
    allowed: list[ActKind] = Field(description="what may be done with it in its state")
    comment: str | None
    contact: ContactView | None


class FollowupsView(View):
    """Follow-up cases in the order that was asked for. `next_cursor` is null on the last page."""

    items: list[FollowupView]
    next_cursor: str | None


class CaseEventView(View):
    """One event of a case, and how the case stood after it."""

    event_id: str
    n: int
    kind: str
    at: datetime
    response_id: str | None
    state: CaseState
    score: int
    owner: str | None
    actor: str | None = Field(description="who did it; null: nobody of the team")
    medium: str | None
    outcome: ContactOutcome | None = Field(description="of a contact")
    until: datetime | None = Field(description="of a callback, when it is; of a snooze, its end")
    cause: str | None
    note: str | None = Field(description="its text; null when there is none, or it was erased")
    clock: Clock | None = Field(description="which clock a reminder, a broken promise or an escalation is about")
    level: int | None = Field(description="of an escalation: how far up it goes, from 1")


class CommandView(View):
    """What has become of a command. `pending`: nothing is known of it yet, or it was never sent."""

    command_id: str
    case_id: str
    status: Literal["pending", "applied", "refused"]
    at: datetime | None
    reason: RefusedFor | None = Field(description="why it was refused")
    state: CaseState | None = Field(description="the case's, after it")
    n: int | None = Field(description="the case's event count, after it")
    allowed: list[ActKind] = Field(description="of a refused one: what might have been asked instead")


class AcceptedView(CommandView):
    """202: the log holds the command; what becomes of it can be read at `status_url`."""

    status_url: str


class CaseAnswerView(View):
    """One answer of a case as it stands; score and time are null while it is not stored yet, and once it is erased."""

    response_id: str
    score: int | None
    event_at: datetime | None
    comment: str | None


class FollowupDetailView(FollowupView):
    """A follow-up case with its answers and everything that happened to it, oldest first."""

    answers: list[CaseAnswerView]
    history: list[CaseEventView]


class PartitionView(View):
    """One partition of the log. `folded` and `sunk` may not pass `end`; equal means all of it is done."""

    partition: int
    end: int = Field(description="offset the next record will get")
    folded: int = Field(description="everything below has been counted, and its outputs are acknowledged")
    sunk: int = Field(description="everything below can be read here")


class PositionView(View):
    """How far the log has been worked off."""

    generation: int
    caught_up: bool = Field(description="everything in the log can be read here")
    partitions: list[PartitionView]


class ProblemError(View):
    """One bad field."""

    path: str
    message: str


class ProblemView(View):
    """An RFC 9457 problem. `code` is stable; `errors` lists the bad fields of a 422."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[ProblemError] | None = None


def margin_view(tally: Tally, method: MarginMethod) -> MarginView | None:
    """The margin of a tally; None for no answers."""
    interval = score_interval(tally) if method == "score" else adjusted_wald(tally)
    return None if interval is None else MarginView(low=interval.low, high=interval.high, method=method, level=LEVEL)


def state_of(n: int, min_sample: int) -> State:
    """How much a score of n answers says."""
    if n == 0:
        return "empty"
    return "too_few" if n < min_sample else "ok"


def numbers(tally: Tally, min_sample: int, method: MarginMethod = "adjusted_wald") -> Numbers:
    """A tally as numbers. Empty: every figure but the counts is None."""
    whole = shares(tally)
    return Numbers(
        n=tally.total,
        detractors=tally.detractors,
        passives=tally.passives,
        promoters=tally.promoters,
        nps=nps(tally),
        display=display(tally),
        shares=None if whole is None else SharesView(detractors=whole[0], passives=whole[1], promoters=whole[2]),
        margin=margin_view(tally, method),
        state=state_of(tally.total, min_sample),
    )


def score_view(ask: Ask, found: Score, min_sample: int, method: MarginMethod = "adjusted_wald") -> ScoreView:
    """The answer to a question about a window."""
    figures = numbers(found.tally, min_sample, method)
    return ScoreView(
        **{name: getattr(figures, name) for name in Numbers.model_fields},
        team=ask.team,
        window=ask.window,
        policy=ask.policy,
        as_of=when(ask.as_of),
        valid_until=None if found.valid_until is None else when(found.valid_until),
        from_=None if ask.after is None else when(ask.after),
        to=when(ask.as_of),
        excluded=found.excluded,
        version=found.version,
    )


def difference_view(found: Difference | None) -> DifferenceView | None:
    """A difference of two scores; None when either has no answers."""
    if found is None:
        return None
    return DifferenceView(nps=found.raw, low=found.low, high=found.high, p_value=found.p_value)

"""A reader of the outputs as design decision 5 asks for: things with ids once, of the rest the greatest version.

It fails when an id or a version stands for two contents, which no reader could repair.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from schemas.changes import AnswerChange, PaneChange, Position, TeamChanges
from schemas.followups import FollowupEvent, Refused
from schemas.policies import TeamPolicy
from schemas.rejects import Reject
from schemas.scores import TeamScores
from tests.unit.stream.said import Out

Name = tuple[Any, ...]
TOPICS_OF: Final[dict[type, tuple[str, ...]]] = {
    FollowupEvent: ("followups.v1",),
    Refused: ("followups.v1",),
    Reject: ("rejects.v1",),
    TeamScores: ("team-scores.v1",),
    TeamPolicy: ("team-policies.v1",),
    TeamChanges: ("team-changes.v1",),
    Position: ("team-changes.v1", "followups.v1"),
    type(None): ("people.v1",),
}
OFFSETS: Final = (1 << 48) - 1  # a version's lower bits are the offset


class Downstream:
    """What has been received. `once`: all that is said of one record, by name; `caused`: the offset of that record.

    `values`: scores and panes at every version that was seen; of those a coarser cut of the log sends fewer.
    """

    def __init__(self) -> None:
        self.once: dict[Name, Any] = {}
        self.caused: dict[Name, int] = {}
        self.values: dict[Name, Any] = {}
        self.scores: dict[str, TeamScores] = {}
        self.policies: dict[str, TeamPolicy] = {}
        self.panes: dict[tuple[str, int], PaneChange] = {}
        self.answers: dict[tuple[str, str], AnswerChange] = {}
        self.forgotten: set[bytes | None] = set()
        self.through = 0

    def take(self, outputs: Iterable[Out]) -> None:
        """Read messages in the order they are sent."""
        for out in outputs:
            self._take(out)

    def _take(self, out: Out) -> None:
        message = out.message
        assert out.topic in TOPICS_OF.get(type(message), ()), out
        if isinstance(message, FollowupEvent):
            self._event(message)
        elif isinstance(message, Refused):
            self._once(("refused", message.event_id), message, message.version & OFFSETS)
        elif isinstance(message, Reject):
            self._once(("reject", message.id), message, message.offset)
        elif isinstance(message, TeamScores):
            self._scores(message)
        elif isinstance(message, TeamPolicy):
            self._policy(message)
        elif isinstance(message, TeamChanges):
            self._changes(message)
        elif isinstance(message, Position):
            self.through = max(self.through, message.through)
        else:
            assert message is None, message
            self.forgotten.add(out.key)

    def _event(self, event: FollowupEvent) -> None:
        self._once(("event", event.event_id), event, event.case.version & OFFSETS)

    def _scores(self, scores: TeamScores) -> None:
        same = self.values.setdefault(("scores", scores.team, scores.version), scores)
        assert same == scores, "one version of scores is two different ones"
        held = self.scores.get(scores.team)
        if held is None or held.version <= scores.version:
            self.scores[scores.team] = scores

    def _policy(self, policy: TeamPolicy) -> None:
        same = self.values.setdefault(("policy", policy.team, policy.version), policy)
        assert same == policy, "one version of a policy is two different ones"
        held = self.policies.get(policy.team)
        if held is None or held.version <= policy.version:
            self.policies[policy.team] = policy

    def _changes(self, changes: TeamChanges) -> None:
        team = changes.team
        for answer in changes.answers:
            self._once(("answer", team, answer.response_id, answer.version), answer, answer.version & OFFSETS)
            of = team, answer.response_id
            if of not in self.answers or self.answers[of].version <= answer.version:
                self.answers[of] = answer
        for correction in changes.corrections:
            self._once(("correction", correction.id), (team, correction), correction.version & OFFSETS)
        for pane in changes.panes:
            same = self.values.setdefault(("pane", team, pane.minute, pane.version), pane)
            assert same == pane, "one version of a pane is two different ones"
            at = team, pane.minute
            if at not in self.panes or self.panes[at].version <= pane.version:
                self.panes[at] = pane

    def _once(self, name: Name, content: Any, offset: int) -> None:
        assert self.once.setdefault(name, content) == content, f"{name} stands for two contents"
        self.caused[name] = offset

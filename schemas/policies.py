"""`team-policies.v1`: what each team promises, as its newest `policy` record in the log has it. Key: the team.

Compacted; whoever reads it keeps the greatest `version` of a team. A team that is not there has no policy of its own:
then the defaults of `schemas.feedback.Policy` hold.
"""

from __future__ import annotations

import msgspec

from schemas.feedback import Policy


class TeamPolicy(msgspec.Struct, frozen=True, omit_defaults=True):
    """The policy of one team, and when it was set. `at_ms`: the stream time of its record, milliseconds UTC.

    `version` = generation * 2**48 + offset of its record.
    """

    team: str
    version: int
    at_ms: int
    policy: Policy
    v: int = 1

"""What an import adds up to: the summary at its end, for people and as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from services.cli.importer.rows import Item
from stream.domain.scores import SCORES, Tally, display, nps

_MAX_SPELLINGS: Final = 10_000  # names remembered, to tell which were merged into one team


@dataclass
class Summary:
    """Counts of one run. `accepted` answers are held by the log (or would be sent, in a dry run)."""

    rows: int = 0
    accepted: int = 0
    tests: int = 0
    history: int = 0
    identical: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    clock: Counter[str] = field(default_factory=Counter)
    scores: list[int] = field(default_factory=lambda: [0] * SCORES)
    teams: Counter[str] = field(default_factory=Counter)
    spellings: dict[str, set[str]] = field(default_factory=dict)
    positions: dict[int, int] = field(default_factory=dict)
    _remembered: int = 0

    def accept(self, item: Item) -> None:
        """Count an answer that the log holds."""
        self.accepted += 1
        self.history += item.history
        self.identical += item.identical
        self.teams[item.team] += 1
        if item.clock is not None:
            self.clock[item.clock] += 1
        if item.test:
            self.tests += 1
        else:
            self.scores[item.score] += 1
        names = self.spellings.setdefault(item.team, set())
        if item.spelling not in names and self._remembered < _MAX_SPELLINGS:
            names.add(item.spelling)
            self._remembered += 1

    def receipt(self, partition: int, offset: int) -> None:
        """Remember the greatest position of each partition: what `at_least` of a read takes."""
        self.positions[partition] = max(offset, self.positions.get(partition, -1))

    @property
    def tally(self) -> Tally:
        """Counted answers per band."""
        return Tally.of_histogram(self.scores)

    @property
    def merged(self) -> dict[str, list[str]]:
        """Teams that several spellings of the file became."""
        return {team: sorted(names) for team, names in sorted(self.spellings.items()) if len(names) > 1}

    def document(self) -> dict[str, Any]:
        """The summary as JSON."""
        tally = self.tally
        return {
            "rows": self.rows,
            "accepted": self.accepted,
            "counted": tally.total,
            "detractors": tally.detractors,
            "passives": tally.passives,
            "promoters": tally.promoters,
            "nps": nps(tally),
            "display": display(tally),
            "tests": self.tests,
            "rejected": self.rejected.total(),
            "rejected_by_reason": dict(sorted(self.rejected.items())),
            "identical": self.identical,
            "history": self.history,
            "teams": len(self.teams),
            "merged_names": self.merged,
            "clock": dict(sorted(self.clock.items())),
            "positions": {str(partition): offset for partition, offset in sorted(self.positions.items())},
        }

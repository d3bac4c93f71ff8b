"""What came of a repartition, for people and for scripts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from schemas.generations import Generation
from services.cli import output
from stream.copying import Copied, Seen
from stream.domain.minutes import window_name
from stream.domain.scores import Tally, display
from stream.facts import Compared, Facts

SHOWN: Final = 50  # teams of the table; those that differ are always in it
_WINDOWS: Final = (7 * 1_440, 30 * 1_440, 90 * 1_440)
_COLUMNS: Final = ("team", "", "answers", "erased", "cases", *(window_name(minutes) for minutes in _WINDOWS), " ")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A copy, and what the fold of each generation came to, by team."""

    old: Generation
    new: Generation
    seen: Seen
    copied: Copied
    teams: Sequence[Compared]

    @property
    def different(self) -> list[Compared]:
        """Teams that are not the same."""
        return [team for team in self.teams if not team.equal]

    @property
    def equal(self) -> bool:
        """Whether the copy is as good as the log."""
        return not self.different

    @property
    def completed(self) -> int:
        """Commands for everybody that stood in some partitions only, and now stand in all."""
        return sum(len(command.places) < self.old.partitions for command in self.seen.plan)


def document(outcome: Outcome) -> dict[str, Any]:
    """As `--json` prints it. `settings`: what everything has to be started with now; only when all is equal."""
    return {
        "ok": outcome.equal,
        "generation": outcome.new.number,
        "partitions": outcome.new.partitions,
        "copied": {**asdict(outcome.copied), "commands_completed": outcome.completed},
        "answers": {"old": _answers(outcome, old=True), "new": _answers(outcome, old=False)},
        "teams": [
            {"team": one.team, "equal": one.equal, "old": _facts(one.old), "new": _facts(one.new)}
            for one in outcome.teams
        ],
        "settings": _settings(outcome) if outcome.equal else None,
    }


def show(outcome: Outcome) -> None:
    """For people, on stdout: the table, a line, and what to do next."""
    chosen = (outcome.different + [team for team in outcome.teams if team.equal])[:SHOWN]
    rows = [row for one in sorted(chosen, key=lambda one: one.team) for row in _rows(one)]
    output.print_table(_COLUMNS, rows, right=_COLUMNS[2:-1])
    copied, old, new = outcome.copied, outcome.old, outcome.new
    sys.stdout.write(
        f"{len(outcome.teams):,} teams, {len(outcome.different):,} differ; {_answers(outcome, old=True):,} answers in "
        f"generation {old.number}, {_answers(outcome, old=False):,} in generation {new.number}\n"
        f"copied: {copied.records:,} records, {copied.commands:,} commands for everybody, {copied.texts:,} texts\n"
    )
    if outcome.completed:
        sys.stdout.write(f"commands that stood in some partitions only, and now in all: {outcome.completed:,}\n")
    if copied.misplaced:
        sys.stdout.write(f"left behind, as they lay in a wrong partition and were rejected: {copied.misplaced:,}\n")
    if outcome.equal:
        names = " ".join(f"{name}={value}" for name, value in _settings(outcome).items())
        sys.stdout.write(
            f"generation {new.number} is whole. Start everything again with {names};\n"
            "when all is well, delete the generation before with `pulse repartition --drop-old`\n"
        )
    else:
        sys.stdout.write(
            f"NOT equal: generation {new.number} is not used. `pulse repartition --undo` deletes it and lets the old "
            "log go on\n"
        )


def _settings(outcome: Outcome) -> dict[str, str]:
    return {"PULSE_GENERATION": str(outcome.new.number), "PULSE_PARTITIONS": str(outcome.new.partitions)}


def _answers(outcome: Outcome, *, old: bool) -> int:
    sides = [one.old if old else one.new for one in outcome.teams]
    return sum(facts.answers for facts in sides if facts is not None)


def _facts(facts: Facts | None) -> dict[str, Any] | None:
    if facts is None:
        return None
    windows = {
        window_name(window.minutes): {
            policy: [counts.detractors, counts.passives, counts.promoters]
            for policy, counts in (("all", window.all), ("latest", window.latest))
        }
        for window in facts.windows
    }
    return {"answers": facts.answers, "erased": facts.erased, "cases": facts.cases, "windows": windows}


def _rows(one: Compared) -> list[tuple[str, ...]]:
    if one.equal:
        return [(one.team, "", *_cells(one.old), "equal")]
    return [(one.team, "old", *_cells(one.old), ""), ("", "new", *_cells(one.new), "DIFFERS")]


def _cells(facts: Facts | None) -> tuple[str, ...]:
    if facts is None:
        return ("–",) * (3 + len(_WINDOWS))
    shown = {window.minutes: window.all for window in facts.windows}
    scores = []
    for minutes in _WINDOWS:
        counts = shown.get(minutes)
        tally = Tally(counts.detractors, counts.passives, counts.promoters) if counts else Tally(0, 0, 0)
        score = display(tally)
        scores.append("–" if score is None else f"{score}")
    return (f"{facts.answers:,}", f"{facts.erased:,}", f"{facts.cases:,}", *scores)

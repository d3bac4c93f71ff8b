"""The certificate of an erasure: what each store held, what it holds, and what stays for how long. No text in it."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from schemas.topics import DAY_MS, FEEDBACK, FOLLOWUPS, PEOPLE, REJECTS, TOPICS
from services.cli import output

_WIDTH: Final = 100
_CONFIG: Final = {topic.name: topic.config for topic in TOPICS}


@dataclass(frozen=True, slots=True)
class Held:
    """Counts at one moment. `pending`: alerts still to be told; None: could not be asked."""

    answer_rows: int = 0
    people_rows: int = 0
    note_rows: int = 0
    cases: tuple[str, ...] = ()
    rejects: int = 0
    pending: int | None = None


@dataclass(frozen=True, slots=True)
class Erasure:
    """One erasure: its subject, the answers it means as `team|id`, and what was there before and is there now.

    `gone`: no text and no note is left in ClickHouse, and of each answer at most the row that says it was erased.
    """

    subject: Mapping[str, Any]
    answers: tuple[str, ...]
    more: bool
    before: Held
    positions: tuple[str, ...] = ()
    now: Held | None = None
    gone: bool = False

    @property
    def linked_by(self) -> str | None:
        """What was given of a person who is known by this key too; None: this is what was given."""
        found: str | None = self.subject.get("linked_by")
        return found


def document(erasures: Sequence[Erasure], at: datetime) -> dict[str, Any]:
    """The certificate as `--json` prints it. `complete`: all of it was seen to be done."""
    return {
        "at": at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "complete": all(erasure.gone for erasure in erasures),
        "erasures": [
            {
                **erasure.subject,
                "answers": len(erasure.answers),
                "more": erasure.more,
                "positions": list(erasure.positions),
                "seen": erasure.now is not None,
                "gone": erasure.gone,
                "stores": [
                    {"store": store, "before": before, "now": now, "note": note}
                    for store, before, now, note in _stores(erasure)
                ],
            }
            for erasure in erasures
        ],
    }


def show(certificate: Mapping[str, Any]) -> None:
    """The same for people, on stdout."""
    for erasure in certificate["erasures"]:
        if erasure["kind"] == "response":
            what = f"answer {erasure['response_id']} of {erasure['team']}"
        else:
            answers = output.counted(erasure["answers"], "answer")
            what = f"respondent {erasure['respondent_key']} (by {erasure['known_by']}), {answers}"
        positions = textwrap.fill(f"log positions: {' '.join(erasure['positions'])}", _WIDTH, subsequent_indent="  ")
        sys.stdout.write(f"erased: {what}, {certificate['at']}\n{positions}\n")
        if erasure["more"]:
            sys.stdout.write("all of their answers are erased; the counts are of the first ones listed\n")
        output.print_table(
            ("store", "before", "now", ""),
            [(row["store"], _cell(row["before"]), _cell(row["now"]), row["note"]) for row in erasure["stores"]],
            right=("before", "now"),
            most=_WIDTH,
        )
        sys.stdout.write("\n")
    if any(erasure["kind"] == "respondent" for erasure in certificate["erasures"]):
        sys.stdout.write(
            "Answers are known by id, else e-mail, else phone. Those that hold what was given are found\n"
            "whatever they are known by; what the person has used besides, give too.\n"
        )


def _stores(erasure: Erasure) -> Iterator[tuple[str, int | None, int | None, str]]:
    """One row a store: its name, what it held and holds of the subject (None: is not counted), and what that means."""
    before, now, answers = erasure.before, erasure.now, len(erasure.answers)
    yield (
        f"log ({FEEDBACK})",
        None,
        None,
        f"holds no text; score, keyed hash and attributes stay until retention ends, {_days(FEEDBACK)} days",
    )
    done = "folded: knows the ids as erased, nothing else" if now is not None else "not seen to be folded yet"
    yield "worker state", None, None, done
    lag_days = int(_CONFIG[PEOPLE]["max.compaction.lag.ms"]) // DAY_MS
    yield (
        PEOPLE,
        None,
        None,
        f"{answers} deleted by tombstone; the text leaves the disk with compaction, {lag_days} day and a quarter of an "
        "hour later at the latest",
    )
    yield (
        "ClickHouse answers",
        before.answer_rows,
        None if now is None else now.answer_rows,
        "rows; one an answer stays and says that it was erased",
    )
    yield (
        "ClickHouse people",
        before.people_rows,
        None if now is None else now.people_rows,
        "rows of text and contact; their files are gone, but for one that a query still reads: within ten minutes",
    )
    yield (
        "ClickHouse people, notes",
        before.note_rows,
        None if now is None else now.note_rows,
        "texts of notes on the follow-ups below; they go with the answer",
    )
    yield (
        f"follow-ups ({FOLLOWUPS})",
        len(before.cases),
        None if now is None else len(now.cases),
        f"cases; hold no text. They close as withdrawn or go on without it, ids and score stay {_days(FOLLOWUPS)} days",
    )
    yield (
        f"rejects ({REJECTS})",
        before.rejects,
        None if now is None else now.rejects,
        f"refused records; hold what the log holds, {_days(REJECTS)} days",
    )
    yield (
        "alerts (SQLite)",
        before.pending,
        None if now is None else now.pending,
        "messages to be told; hold no text. What was told is out of reach",
    )


def _days(topic: str) -> int:
    return int(_CONFIG[topic]["retention.ms"]) // DAY_MS


def _cell(count: int | None) -> str:
    return "–" if count is None else f"{count:,}"

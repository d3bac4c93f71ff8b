"""The sample: answers of six teams, drawn from a seed. The same seed and run give the same answers."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass
from typing import Any, Final

from services.cli.importer.cells import iso

SEED: Final = 20_261_122
HISTORY: Final = 1_000
LIVE: Final = 120
DIPPING: Final = "checkout"
WEEK_MS: Final = 7 * 86_400_000
_EDGE_MS: Final = 60_000  # the oldest answers stay clear of the end of the week while the sample is being sent
_NAMESPACE: Final = uuid.UUID("d2b7b4a6-8f0f-5a33-9a6e-53e2a6f0c5de")

# Shares of detractors and passives of 100; the rest are promoters.
TEAMS: Final = {
    "billing": (24, 31),
    "checkout": (9, 25),
    "delivery": (16, 28),
    "mobile-app": (12, 22),
    "onboarding": (6, 18),
    "support": (10, 20),
}
_COMMENTS: Final = {
    "detractors": (
        "The card was charged twice and nobody answers.",
        "It froze at the last step, three times.",
        "I was promised a call yesterday.",
        "Too slow. I gave up.",
    ),
    "passives": ("Fine, but the form is long.", "It works.", "Good, when it does not log me out."),
    "promoters": ("Quick and friendly.", "Exactly what I needed!", "Best help I have had in years."),
}
_NAMES: Final = ("Ada Berg", "Bo Lind", "Cleo Marsh", "Dan Ito", "Eva Novak", "Finn Abel", "Gia Rossi", "Hal Stone")


@dataclass(frozen=True, slots=True)
class Sample:
    """Bodies of `POST /v1/responses`: `history` and then its `edits` can be sent at once, `live` one by one."""

    history: list[dict[str, Any]]
    edits: list[dict[str, Any]]
    live: list[dict[str, Any]]

    @property
    def teams(self) -> list[str]:
        """Teams, by name."""
        return sorted(TEAMS)


def draw(run: str, now_ms: int, seed: int = SEED, history: int = HISTORY, live: int = LIVE) -> Sample:
    """A sample. `run` names it: ids and respondents of two runs never meet, so a further run adds to the first."""
    dice = random.Random(f"{seed}/{run}")  # noqa: S311 - a sample, no secret
    span = WEEK_MS - _EDGE_MS
    moments = sorted(now_ms - 1_000 - dice.randrange(span) for _ in range(history))
    answers = [_answer(dice, run, number) | {"answered_at": iso(at_ms)} for number, at_ms in enumerate(moments)]
    for answer in dice.sample(answers, history // 100):
        answer["test"] = True
    unhappy = [answer for answer in answers if answer["score"] <= 6 and not answer.get("test")]
    edits = [
        answer | {"revision": 1, "score": dice.choice((7, 9)), "comment": "Somebody called me. Thank you!"}
        for answer in dice.sample(unhappy, min(len(unhappy), history // 125))
    ]
    tail = [_live(dice, run, history + number) for number in range(live)]
    return Sample(answers, edits, tail)


def _answer(dice: random.Random, run: str, number: int) -> dict[str, Any]:
    """One answer of a team as it usually is."""
    team = dice.choice(sorted(TEAMS))
    detractors, passives = TEAMS[team]
    return _shape(dice, run, number, team, _score(dice, detractors, passives))


def _live(dice: random.Random, run: str, number: int) -> dict[str, Any]:
    """One answer of today, when one team has a bad day."""
    if dice.random() < 0.4:
        return _shape(dice, run, number, DIPPING, _score(dice, 75, 15))
    return _answer(dice, run, number)


def _score(dice: random.Random, detractors: int, passives: int) -> int:
    at = dice.randrange(100)
    if at < detractors:
        return dice.choice((0, 1, 2, 3, 3, 4, 5, 5, 6, 6))
    return dice.choice((7, 8, 8)) if at < detractors + passives else dice.choice((9, 9, 10))


def _shape(dice: random.Random, run: str, number: int, team: str, score: int) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "response_id": str(uuid.uuid5(_NAMESPACE, f"{run}/{number}")),
        "team": team,
        "score": score,
        "channel": dice.choice(("web", "e-mail", "app")),
    }
    if dice.random() < 0.7:
        # A pool smaller than the sample: some people answer twice, so the two policies differ.
        person = dice.randrange(600)
        name = dice.choice(_NAMES)
        answer["respondent"] = {
            "id": f"demo-{run}-{person}",
            "name": name,
            "email": f"{name.split()[0].lower()}.{run}.{person}@example.com",
        }
    band = "detractors" if score <= 6 else "passives" if score <= 8 else "promoters"
    if dice.random() < (0.8 if band == "detractors" else 0.3):
        answer["comment"] = dice.choice(_COMMENTS[band])
    return answer

"""Spark lines: a rolling score over time as the points of a small drawing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.query.words import rounded, signed
from stream.domain.scores import Tally, nps

WIDTH: Final = 240
HEIGHT: Final = 48
_PAD: Final = 4
_LEAST_SPAN: Final = 20.0  # points: a score that hardly moves must not look wild


@dataclass(frozen=True, slots=True)
class Spark:
    """Lines (gaps where too few answered), the last point, where zero lies if it is in sight, and a description."""

    lines: list[str]
    last: tuple[float, float] | None
    zero: float | None
    label: str


def spark(points: list[Tally], least: int) -> Spark | None:
    """A drawing of `WIDTH` by `HEIGHT`; None when no three points in a row have enough answers to be drawn."""
    known = [(k, value) for k, tally in enumerate(points) if tally.total >= least and (value := nps(tally)) is not None]
    drawable = {k for k, _ in known}
    if not any({k, k + 1, k + 2} <= drawable for k in drawable):
        return None
    low, high = min(v for _, v in known), max(v for _, v in known)
    missing = max(0.0, _LEAST_SPAN - (high - low)) / 2
    low, high = low - missing, high + missing

    def place(k: int, value: float) -> tuple[float, float]:
        x = _PAD + (WIDTH - 2 * _PAD) * k / (len(points) - 1)
        y = _PAD + (HEIGHT - 2 * _PAD) * (high - value) / (high - low)
        return round(x, 1), round(y, 1)

    lines: list[list[str]] = []
    previous = -2
    for k, value in known:
        if k != previous + 1:
            lines.append([])
        x, y = place(k, value)
        lines[-1].append(f"{x:g},{y:g}")
        previous = k
    first, last = known[0][1], known[-1][1]
    return Spark(
        lines=[" ".join(line) for line in lines if len(line) > 1],
        last=place(*known[-1]) if known[-1][0] == len(points) - 1 else None,
        zero=place(0, 0.0)[1] if low <= 0 <= high else None,
        label=f"rolling score from {signed(rounded(first))} to {signed(rounded(last))}, "
        f"lowest {signed(rounded(min(v for _, v in known)))}, highest {signed(rounded(max(v for _, v in known)))}",
    )

"""What an answer costs as windows, teams, duplicates and what leaves grow: the fold and its state, without Kafka.

Each point is one process of `benchmarks.fold` with another log or another list of windows; otherwise the reference
load: 2 million answers over two hours (fewer answers in the same time cost more each, as windows move with the clock).
Several rounds over all points in turn, of which the cheapest counts: what other programs take away only ever adds.
Writes one SVG a line into `docs/` and the table between the marks in `docs/benchmarks.md`; a round takes 15 minutes.

    python -m benchmarks.cost [--answers 2000000] [--rounds 2]
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from benchmarks.chart import Chart, svg
from benchmarks.fold import DAY_MS, Variant, measure
from stream.domain.minutes import HORIZON_MS

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "benchmarks.md"
MARKS: Final = ("<!-- cost: written by `python -m benchmarks.cost` -->\n", "<!-- end of cost -->\n")
HOUR: Final = 60
DAY: Final = 24 * HOUR
# Minutes, in the order in which the list grows; the first five are those of the product.
WINDOWS: Final = (
    *(HOUR, DAY, 7 * DAY, 30 * DAY, 90 * DAY, 15, 6 * HOUR, 14 * DAY, 180 * DAY, 30),
    *(2 * HOUR, 12 * HOUR, 2 * DAY, 21 * DAY, 365 * DAY, 45, 3 * HOUR, 3 * DAY, 45 * DAY, 60 * DAY),
)


class Point(NamedTuple):
    """What one process measures: so many windows and teams, and a share of answers that come twice.

    `before_ms`: as many answers came so long before already; after 400 days they leave as these come.
    """

    windows: int = 5
    teams: int = 500
    again: float = 0.0
    before_ms: int | None = None


class Line(NamedTuple):
    """One thing that grows. `name`: of the SVG. `labels`: how people write what grows, one a point."""

    name: str
    title: str
    points: Sequence[Point]
    labels: Sequence[str]
    places: Sequence[float]


_COUNTS: Final = (1, 3, 5, 8, 12, 16, 20)
_TEAMS: Final = (10, 100, 500, 1_000, 10_000, 100_000)
_SHARES: Final = (0, 10, 20, 30, 40, 50)
LINES: Final = (
    Line(
        "windows",
        "number of windows",
        [Point(windows=count) for count in _COUNTS],
        [str(count) for count in _COUNTS],
        _COUNTS,
    ),
    Line(
        "teams",
        "number of teams",
        [Point(teams=count) for count in _TEAMS],
        [f"{count:,}" for count in _TEAMS],
        [math.log10(count) for count in _TEAMS],
    ),
    Line(
        "duplicates",
        "share of duplicates, %",
        [Point(again=share / 100) for share in _SHARES],
        [str(share) for share in _SHARES],
        _SHARES,
    ),
    Line(
        "expiry",
        "what came before",
        [Point(), Point(before_ms=DAY_MS), Point(before_ms=HORIZON_MS)],
        ["nothing", "as many, a day ago", "as many, 400 days ago: they leave"],
        (0, 1, 2),
    ),
)


def main() -> None:
    """Measure every point, then write the drawings and the table."""
    options = _options()
    if options.point:
        point = msgspec.json.decode(options.point, type=Point)
        print(cost_us(point, options.answers))
        return
    loads = [os.getloadavg()[0]]
    costs: dict[Point, float] = {}
    for number in range(options.rounds):
        for point in dict.fromkeys(point for line in LINES for point in line.points):
            found = _in_a_process(point, options.answers)
            costs[point] = min(found, costs.get(point, found))
            print(f"round {number + 1}: {point}: {found:.2f} us", file=sys.stderr, flush=True)
        loads.append(os.getloadavg()[0])
        _write(costs, options.answers, loads)


def _write(costs: dict[Point, float], answers: int, loads: Sequence[float]) -> None:
    """After each round: a run that is ended early leaves what it has."""
    for line in LINES:
        (ROOT / "docs" / f"cost-{line.name}.svg").write_text(drawing(line, costs), encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_table(page, table(costs, answers, loads)), encoding="utf-8")


def cost_us(point: Point, answers: int) -> float:
    """Microseconds of processor time an answer, in this process."""
    windows = tuple(sorted(WINDOWS[: point.windows]))
    variant = Variant(teams=point.teams, again=point.again, windows=windows, before_ms=point.before_ms)
    return 1e6 / measure(variant, answers).per_s


def _in_a_process(point: Point, answers: int) -> float:
    encoded = msgspec.json.encode(point).decode()
    command = [sys.executable, "-m", "benchmarks.cost", "--point", encoded, "--answers", str(answers)]
    return float(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)


def drawing(line: Line, costs: dict[Point, float]) -> str:
    """The SVG of one line."""
    return svg(
        Chart(
            title=f"Cost of an answer by {line.title}",
            unit="µs of processor time",
            labels=line.labels,
            places=line.places,
            values=[costs[point] for point in line.points],
        )
    )


def table(costs: dict[Point, float], answers: int, loads: Sequence[float]) -> str:
    """Markdown: each line's values and costs; beneath, the load of the machine before and after each round."""
    parts = []
    for line in LINES:
        parts.append(
            f"| {line.title} | {' | '.join(line.labels)} |\n"
            f"| --- |{' ---: |' * len(line.labels)}\n"
            f"| µs an answer | {' | '.join(f'{costs[point]:.1f}' for point in line.points)} |\n"
        )
    spans = f"load {min(loads):.1f} to {max(loads):.1f}"
    return "\n".join(parts) + f"\n{answers:,} answers a point, the cheapest of {len(loads) - 1} rounds, {spans}.\n"


def with_table(page: str, text: str) -> str:
    """The page with `text` between the marks. Raises ValueError when the page has no marks."""
    begin, end = (page.index(mark) for mark in MARKS)
    return f"{page[: begin + len(MARKS[0])]}\n{text}\n{page[end:]}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--point", help="measure this point alone, in this process, and print its cost")
    return parser.parse_args()


if __name__ == "__main__":
    main()

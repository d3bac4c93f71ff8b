"""One line as SVG, for a page in light or dark: numbers from zero on, every point with its value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

WIDTH: Final = 640
HEIGHT: Final = 280
LEFT, RIGHT, TOP, BOTTOM = 48, 24, 48, 40
TICKS: Final = 4
STYLE: Final = (
    "text{font:12px system-ui,sans-serif;fill:#57606a}.title{font-size:14px;font-weight:600;fill:#24292f}"
    ".value{fill:#24292f;text-anchor:middle}.x{text-anchor:middle}.y{text-anchor:end}"
    ".grid{stroke:#d0d7de}.line{fill:none;stroke:#0969da;stroke-width:2}.point{fill:#0969da}"
    "@media(prefers-color-scheme:dark){text{fill:#9198a1}.title,.value{fill:#e6edf3}.grid{stroke:#30363d}"
    ".line{stroke:#4493f8}.point{fill:#4493f8}}"
)


class Chart(NamedTuple):
    """`places`: where each point stands from left to right, ascending; `values`: not below zero."""

    title: str
    unit: str
    labels: Sequence[str]
    places: Sequence[float]
    values: Sequence[float]


def svg(chart: Chart) -> str:
    """The drawing, complete in itself."""
    step = nice_step(max(chart.values) / TICKS)
    top = step * math.ceil(max(chart.values) / step)
    xs = [LEFT + 16 + (WIDTH - LEFT - RIGHT - 32) * share for share in shares(chart.places)]
    ys = [_y(value / top) for value in chart.values]
    said = f"{chart.title}, in {chart.unit}: " + ", ".join(
        f"{label}: {value:.1f}" for label, value in zip(chart.labels, chart.values, strict=True)
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
        ' role="img">',
        f"<title>{escape(said)}</title>",
        f"<style>{STYLE}</style>",
        f'<text class="title" x="{LEFT}" y="18">{escape(chart.title)}</text>',
        f'<text x="{LEFT}" y="34">{escape(chart.unit)}</text>',
    ]
    for number in range(round(top / step) + 1):
        y = _y(number * step / top)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="y" x="{LEFT - 8}" y="{y + 4:.1f}">{number * step:g}</text>')
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    parts.append(f'<polyline class="line" points="{line}"/>')
    for x, y, label, value in zip(xs, ys, chart.labels, chart.values, strict=True):
        parts.append(f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>')
        parts.append(f'<text class="value" x="{x:.1f}" y="{y - 9:.1f}">{value:.1f}</text>')
        parts.append(f'<text class="x" x="{x:.1f}" y="{HEIGHT - BOTTOM + 20}">{escape(label)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share


def shares(places: Sequence[float]) -> list[float]:
    """Each place between the first (0) and the last (1).

    >>> shares([1, 2, 5])
    [0.0, 0.25, 1.0]
    """
    return [(place - places[0]) / (places[-1] - places[0]) for place in places]


def nice_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20 … and their tenths that is not below `least`.

    >>> nice_step(3.1), nice_step(0.15), nice_step(20)
    (5.0, 0.2, 20.0)
    """
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))

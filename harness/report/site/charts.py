"""Charts of a board as SVG, drawn when the site is built; each has a title that says in words what it shows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from html import escape
from statistics import fmean

from harness.report.site.data import BoardData, RowData
from harness.text import figure

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 40
NAMES, LETTERS = 250, 38
"""The width of names beside a chart, and how many letters of one it holds."""
SERIES = 6
"""How many rows have a colour of their own (classes s0 to s5 of the style)."""


def by_group(data: BoardData) -> str:
    """Return the mean score of each ranked row by group (layer); empty for one group."""
    groups = sorted({group for row in data.rows for group in row.groups.values()}, key=_natural)
    rows = data.ranked[:SERIES]
    if len(groups) < 2 or not rows:
        return ""
    lines = [_points_by_group(row, groups) for row in rows]
    low, high = _range([value for points in lines for _, value in points])
    marks = []
    for number, points in enumerate(lines):
        places = [(_x(at, len(groups) - 1), _y(value, low, high)) for at, value in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        marks.append(f'<polyline class="s{number}" points="{path}"/>')
        marks += [f'<circle class="s{number}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in places]
    ends = [_label(_x(0, 1), HEIGHT - 22, groups[0]), _label(_x(1, 1), HEIGHT - 22, groups[-1], "end")]
    title = f"Mean {data.metric} by layer, {groups[0]} to {groups[-1]}, of {_names(rows)}"
    return _svg(title, [*_axis(low, high), *ends, *marks, *_legend(rows)])


def means(data: BoardData) -> str:
    """Return a line for each row, best first, with the mean score and its interval; controls stand below, dim."""
    rows = [row for row in data.rows if math.isfinite(row.sort_value(data.metric))]
    if not rows:
        return ""
    rows.sort(key=lambda row: (row.control, -row.sort_value(data.metric)))
    intervals = [row.metrics[data.metric] for row in rows]
    low, high = _range([end for interval in intervals for end in (interval.low, interval.high) if math.isfinite(end)])
    height, marks = _lines(rows, low, high)
    zero = _across(0.0, low, high)
    marks.append(f'<line class="grid" x1="{zero:.1f}" x2="{zero:.1f}" y1="{TOP}" y2="{height - BOTTOM}"/>')
    for number, (row, interval) in enumerate(zip(rows, intervals, strict=True)):
        y = _line(number)
        start, mean, end = (_across(value, low, high) for value in (interval.low, interval.mean, interval.high))
        kind = "control" if row.control else "mean"
        marks.append(f'<line class="{kind}" x1="{start:.1f}" x2="{end:.1f}" y1="{y}" y2="{y}"/>')
        marks.append(f'<circle class="{kind}" cx="{mean:.1f}" cy="{y}" r="5"/>')
    return _svg(f"Mean {data.metric} of each row with its 95 % interval, controls last", marks, height)


def spread(data: BoardData) -> str:
    """Return a strip for each row with a tick for each unit's score, and a dot at the mean."""
    rows = [row for row in data.rows if row.scores][: 2 * SERIES]
    if not rows:
        return ""
    low, high = _range([value for row in rows for value in row.scores.values()])
    height, marks = _lines(rows, low, high)
    for number, row in enumerate(rows):
        y = _line(number)
        for value in row.scores.values():
            x = _across(value, low, high)
            marks.append(f'<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 8}" y2="{y + 8}"/>')
        mean = _across(fmean(row.scores.values()), low, high)
        marks.append(f'<circle class="mean" cx="{mean:.1f}" cy="{y}" r="5"/>')
    return _svg(f"{data.metric} of each unit, a row a line; the dot is the mean", marks, height)


def against_cost(data: BoardData) -> str:
    """Return each ranked row's mean score against the tokens that it cost, with the line of those that none beats."""
    rows = [row for row in data.ranked if row.tokens and math.isfinite(row.sort_value(data.metric))]
    if len(rows) < 2:
        return ""
    values = [row.metrics[data.metric].mean for row in rows]
    low, high = _range(values)
    logs = [math.log10(row.tokens) for row in rows]
    first, last = min(logs), max(*logs, min(logs) + 0.1)
    places = [
        (LEFT + (log - first) / (last - first) * (WIDTH - LEFT - RIGHT - 120), _y(value, low, high))
        for log, value in zip(logs, values, strict=True)
    ]
    front = " ".join(f"{places[at][0]:.1f},{places[at][1]:.1f}" for at in pareto([row.tokens for row in rows], values))
    marks = [f'<polyline class="front" points="{front}"/>']
    for row, (x, y) in zip(rows, places, strict=True):
        marks += [f'<circle class="mean" cx="{x:.1f}" cy="{y:.1f}" r="5"/>', _label(x + 8, y + 4, row.name[:24])]
    title = f"Mean {data.metric} against tokens (logarithmic), from {min(row.tokens for row in rows)} tokens on"
    return _svg(title, [*_axis(low, high), *marks])


def pareto(costs: Sequence[float], values: Sequence[float]) -> list[int]:
    """Return the places of the points that no cheaper one equals or exceeds in value, by rising cost."""
    front: list[int] = []
    for place in sorted(range(len(costs)), key=lambda at: (costs[at], -values[at])):
        if not front or values[place] > values[front[-1]]:
            front.append(place)
    return front


# --------------------------------------------------------------------------------------------------------------- parts


def _points_by_group(row: RowData, groups: Sequence[str]) -> list[tuple[int, float]]:
    values = defaultdict(list)
    for unit, value in row.scores.items():
        values[row.groups[unit]].append(value)
    return [(at, fmean(values[group])) for at, group in enumerate(groups) if group in values]


def _natural(name: str) -> tuple[str, int]:
    digits = "".join(character for character in name if character.isdigit())
    return name.rstrip("0123456789"), int(digits or 0)


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min([0.0, *values]), max([0.0, *values])
    return low, high if high > low else low + 1.0


def _lines(rows: Sequence[RowData], low: float, high: float) -> tuple[int, list[str]]:
    """Return the height of a chart with a line for each row, their names, and the axis below them."""
    height = TOP + BOTTOM + 26 * len(rows)
    axis = [_label(_across(value, low, high), height - 22, figure(value), "middle") for value in _ticks(low, high)]
    return height, [*axis, *(_label(0, _line(number) + 4, row.name[:LETTERS]) for number, row in enumerate(rows))]


def _line(number: int) -> int:
    return TOP + 26 * number + 13


def _ticks(low: float, high: float) -> list[float]:
    """Return the ends of an axis and 0, but for an end that is too near to 0 for its figure."""
    room = (high - low) / 8
    return [value for value in dict.fromkeys((low, 0.0, high)) if value == 0.0 or abs(value) > room]


def _x(at: int, most: int) -> float:
    return LEFT + at / max(most, 1) * (WIDTH - LEFT - RIGHT)


def _y(value: float, low: float, high: float) -> float:
    return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)


def _across(value: float, low: float, high: float) -> float:
    return NAMES + (value - low) / (high - low) * (WIDTH - NAMES - RIGHT - 10)


def _axis(low: float, high: float) -> Iterator[str]:
    for value in dict.fromkeys((low, 0.0, high)):
        y = _y(value, low, high)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield _label(LEFT - 6, y + 4, figure(value), "end")


def _legend(rows: Sequence[RowData]) -> Iterator[str]:
    for number, row in enumerate(rows):
        x = LEFT + number % 3 * 196
        y = HEIGHT - 8 + 0 * number if number < 3 else HEIGHT + 6
        yield f'<circle class="s{number}" cx="{x}" cy="{y - 4}" r="4"/>{_label(x + 8, y, row.name[:26])}'


def _label(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _names(rows: Sequence[RowData]) -> str:
    return ", ".join(row.name for row in rows)


def _svg(title: str, marks: Sequence[str], height: int = HEIGHT + 12) -> str:
    space = "http://www.w3.org/2000/svg"
    head = f'<svg xmlns="{space}" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
    return f"{head}<title>{escape(title)}</title>{''.join(marks)}</svg>"

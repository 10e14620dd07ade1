"""Plots as SVG, for a page that nothing is fetched for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Line", "Plot", "plot"]

_WIDTH, _HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 12, 40
_TICKS = 6
_COLOURS = 6
_DECADE = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class Line:
    """A named line through points; one that is no number breaks it. `is_step`: as steps."""

    name: str
    points: Sequence[tuple[float, float | None]]
    is_step: bool = False


@dataclass(frozen=True, slots=True)
class Plot:
    """Plot of lines over one x axis, which `is_log` makes logarithmic.

    `x_text`, `y_text`: how a value is written at its axis; `x_name`: what the x axis is; `shaded`:
    the part of it, from its beginning on, that is left out of the figures.
    """

    title: str
    lines: Sequence[Line]
    x_name: str
    x_text: Callable[[float], str]
    y_text: Callable[[float], str]
    is_log: bool = False
    shaded: float = 0.0


class _Axis:
    """A way from values to places."""

    def __init__(self, low: float, high: float, begin: float, end: float, *, is_log: bool) -> None:
        self._scale = math.log10 if is_log else float
        self._low, self._high = self._scale(low), self._scale(high)
        self._begin, self._end = begin, end
        self.ticks = _decades(low, high) if is_log else _steps(low, high)

    def __call__(self, value: float) -> float:
        part = (self._scale(value) - self._low) / ((self._high - self._low) or 1.0)
        return self._begin + part * (self._end - self._begin)


def plot(wanted: Plot) -> str:
    """Return the plot as a `figure` of HTML; one that says so where there is nothing to draw."""
    title = escape(wanted.title)
    lines = [_kept(line, is_log=wanted.is_log) for line in wanted.lines]
    points = [point for line in lines for point in line.points if point[1] is not None]
    if not points:
        return f"<figure><figcaption>{title}</figcaption><p>Nothing was counted.</p></figure>"
    xs = [x for x, _ in points]
    x_axis = _x_axis(xs, is_log=wanted.is_log)
    highest = max(y for _, y in points if y is not None)
    y_axis = _Axis(0.0, highest or 1.0, _HEIGHT - _BOTTOM, _TOP, is_log=False)
    drawn = [
        *_shade(wanted, x_axis),
        *_grid(wanted, x_axis, y_axis),
        *(_drawn(line, number, x_axis, y_axis) for number, line in enumerate(lines)),
    ]
    names = "".join(
        f'<span class="l{number % _COLOURS}">{escape(line.name)}</span>'
        for number, line in enumerate(lines)
        if line.name
    )
    return (
        f"<figure><figcaption>{title} {names}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">'
        f"{''.join(drawn)}</svg></figure>"
    )


def _kept(line: Line, *, is_log: bool) -> Line:
    """Return the line without the points that a logarithmic axis has no place for."""
    points = [point for point in line.points if not is_log or point[0] > 0]
    return Line(line.name, points, line.is_step)


def _x_axis(xs: Sequence[float], *, is_log: bool) -> _Axis:
    low, high = min(xs), max(xs)
    if is_log:
        high = max(high, low * 1.1)
    else:
        low = min(low, 0.0)
    return _Axis(low, high or 1.0, _LEFT, _WIDTH - _RIGHT, is_log=is_log)


def _shade(wanted: Plot, x_axis: _Axis) -> list[str]:
    if not wanted.shaded:
        return []
    end = min(x_axis(wanted.shaded), _WIDTH - _RIGHT)
    height = _HEIGHT - _BOTTOM - _TOP
    place = f'x="{_LEFT}" y="{_TOP}" width="{end - _LEFT:.1f}" height="{height}"'
    return [f'<rect class="shade" {place}><title>warm-up</title></rect>']


def _grid(wanted: Plot, x_axis: _Axis, y_axis: _Axis) -> list[str]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    drawn = []
    for tick in y_axis.ticks:
        y = y_axis(tick)
        drawn.append(
            f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/><text x="{_LEFT - 6}" '
            f'y="{y + 4:.1f}" text-anchor="end">{escape(wanted.y_text(tick))}</text>'
        )
    for tick in x_axis.ticks:
        x = x_axis(tick)
        drawn.append(
            f'<path class="grid" d="M{x:.1f} {_TOP}V{bottom}"/><text x="{x:.1f}" '
            f'y="{bottom + 16}" text-anchor="middle">{escape(wanted.x_text(tick))}</text>'
        )
    middle = (_LEFT + right) / 2
    name = escape(wanted.x_name)
    return [*drawn, f'<text x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">{name}</text>']


def _drawn(line: Line, number: int, x_axis: _Axis, y_axis: _Axis) -> str:
    path, is_broken, last = [], True, 0.0
    for x, y in line.points:
        if y is None:
            is_broken = True
            continue
        place = f"{x_axis(x):.1f} {y_axis(y):.1f}"
        if is_broken:
            path.append(f"M{place}h.01")  # a point alone is a dot
        else:
            path.append(f"L{x_axis(x):.1f} {last:.1f}L{place}" if line.is_step else f"L{place}")
        is_broken, last = False, y_axis(y)
    return f'<path class="line l{number % _COLOURS}" d="{"".join(path)}"/>' if path else ""


def _steps(low: float, high: float) -> list[float]:
    """Return round numbers from `low` to `high`."""
    raw = (high - low) / _TICKS or 1.0
    decade = 10 ** math.floor(math.log10(raw))
    step = next(each * decade for each in _DECADE if each * decade >= raw * 0.999)
    first, last = math.ceil(low / step), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _decades(low: float, high: float) -> list[float]:
    """Return round numbers from `low` to `high`, evenly spread on a logarithmic axis."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    marks = (1, 2, 5) if last - first <= 2 else (1,)  # noqa: PLR2004 - room for names
    every = max(1, (last - first) // 8)
    found = [mark * 10.0**power for power in range(first, last + 1, every) for mark in marks]
    return [value for value in found if low <= value <= high]

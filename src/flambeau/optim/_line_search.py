"""A line search for the strong Wolfe conditions: Nocedal and Wright (2006), algorithms 3.5 and 3.6, with cubic
interpolation as in Schmidt's minFunc."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

_RISE, _FLAT = 1e-4, 0.9  # c1 and c2 there


class Point(NamedTuple):
    """A place on the search line: the step length, the loss, the gradient, and the slope along the line."""

    t: float
    loss: float
    gradient: Any
    slope: float


def interpolated(a: Point, b: Point, low: float | None = None, high: float | None = None) -> float:
    """The minimum of the cubic through two points with these slopes, kept within bounds (by default the points).

    Halfway where there is none, as between two points in one place.
    """
    if a.t > b.t:
        a, b = b, a
    low, high = a.t if low is None else low, b.t if high is None else high
    if a.t == b.t:
        return (low + high) / 2.0
    bend = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = bend**2 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2.0
    root = math.sqrt(square)
    part = _ratio(b.slope + root - bend, b.slope - a.slope + 2 * root)
    return min(max(b.t - (b.t - a.t) * part, low), high)  # in this order: PyTorch lets a NaN pass


def _ratio(a: float, b: float) -> float:
    """`a / b`, as IEEE 754 has it for zeros: on a straight line the minimum lies at infinity."""
    return a / b if b else math.copysign(math.inf, a) * math.copysign(1.0, b) if a else math.nan


class StrongWolfe:
    """Searches from `start` for a point that is low enough and flat enough. `evaluate` gives the point of a step length."""

    def __init__(
        self, evaluate: Callable[[float], Point], start: Point, most: int, rise: float = _RISE, flat: float = _FLAT
    ):
        self.evaluate = evaluate
        self.rise, self.flat = rise, flat
        self.start = start
        self.most = most  # turns
        self.turns = 0

    def find(self, t: float, scale: float, tolerance_change: float) -> tuple[Point, int]:
        """The point, and the number of evaluations. `t` is the first length, `scale` the direction's largest element."""
        bracket, done = self._bracket(t)
        return (bracket[0] if done else self._narrowed(bracket, scale, tolerance_change)), self.turns + 1

    def _rises(self, point: Point) -> bool:
        return point.loss > self.start.loss + self.rise * point.t * self.start.slope

    def _is_flat(self, point: Point) -> bool:
        return abs(point.slope) <= -self.flat * self.start.slope

    def _bracket(self, t: float) -> tuple[list[Point], bool]:
        """Two points with a good one between them; or a good one, twice, and True."""
        before, point = self.start, self.evaluate(t)
        while self.turns < self.most:
            if self._rises(point) or (self.turns > 1 and point.loss >= before.loss):
                return [before, point], False
            if self._is_flat(point):
                return [point, point], True
            if point.slope >= 0:
                return [before, point], False
            t = interpolated(before, point, point.t + 0.01 * (point.t - before.t), point.t * 10)
            before, point = point, self.evaluate(t)
            self.turns += 1
        return [self.start, point], False

    def _narrowed(self, bracket: list[Point], scale: float, tolerance_change: float) -> Point:
        """The best point when the bracket has been made smaller for as long as that pays."""
        stuck = False
        low = 0 if bracket[0].loss <= bracket[1].loss else 1
        while self.turns < self.most:
            left, right = sorted(end.t for end in bracket)
            if (right - left) * scale < tolerance_change:
                break
            t = interpolated(bracket[0], bracket[1])
            margin = 0.1 * (right - left)
            if min(right - t, t - left) >= margin:
                stuck = False
            elif stuck or t >= right or t <= left:  # too near an end for the second time: step away from it
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stuck = False
            else:
                stuck = True
            point = self.evaluate(t)
            self.turns += 1
            if self._rises(point) or point.loss >= bracket[low].loss:
                bracket[1 - low] = point
                low = 0 if bracket[0].loss <= bracket[1].loss else 1
                continue
            if self._is_flat(point):
                return point
            if point.slope * (bracket[1 - low].t - bracket[low].t) >= 0:
                bracket[1 - low] = bracket[low]
            bracket[low] = point
        return bracket[low]

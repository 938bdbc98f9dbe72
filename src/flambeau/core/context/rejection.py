"""Distributions that take as many draws as it needs: each sample goes on where the one before it stopped."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

_THIRD = float(np.float32(1 / 3))  # as exact as PyTorch has it
_AHEAD = 64  # doubles that are drawn at a time


class InTurn:
    """Draws of a generator, one by one. They are drawn ahead; `finish` puts the generator behind the last one taken."""

    def __init__(self, generator: Any):
        self.generator = generator
        self.before: Any = generator._bits.state
        self.taken: int = 0
        self.waiting: list[float] = []

    def uniform(self) -> float:
        """The next double from [0, 1)."""
        if not self.waiting:
            self.waiting = self.generator._doubles(_AHEAD)[::-1].tolist()
        self.taken += 1
        return self.waiting.pop()

    def normal(self) -> float:
        """The next standard normal value; the second of a pair is kept in the generator."""
        kept = self.generator._normal
        if kept is not None:
            self.generator._normal = None
            return kept
        angle, radius = self.uniform() * (2.0 * math.pi), math.sqrt(-2.0 * math.log1p(-self.uniform()))
        self.generator._normal = radius * math.sin(angle)
        return radius * math.cos(angle)

    def finish(self) -> None:
        self.generator._bits.state = self.before
        self.generator.words(2 * self.taken)


def each(generator: Any, sample: Callable[..., float], *arrays: np.ndarray) -> np.ndarray:
    """`sample(draws, *numbers)` for the elements of arrays of one shape, in turn (float64, in their shape)."""
    columns = [array.astype(np.float64).reshape(-1).tolist() for array in arrays]
    untouched = generator._untouched
    draws = InTurn(generator)
    made = np.array([sample(draws, *numbers) for numbers in zip(*columns, strict=True)], np.float64)
    generator._untouched = untouched
    draws.finish()
    return made.reshape(arrays[0].shape)


def poisson(draws: InTurn, rate: float) -> float:
    """A count: products of uniforms, from a rate of 10 on Hörmann's PTRS (1993)."""
    uniform = draws.uniform
    if rate == 0:
        return 0.0
    if rate < 10:
        count, product, limit = 0, uniform(), math.exp(-rate)
        while product > limit:
            count += 1
            product *= uniform()
        return float(count)
    b = 0.931 + 2.53 * math.sqrt(rate)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    while True:
        u, v = uniform() - 0.5, uniform()
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + rate + 0.43)
        if us >= 0.07 and v <= 0.9277 - 3.6224 / (b - 2):
            return float(k)
        if k < 0 or (us < 0.013 and v > us):
            continue
        density = k * math.log(rate) - rate - math.lgamma(k + 1)
        if math.log(v) + math.log(inverse_alpha) - math.log(a / (us * us) + b) <= density:
            return float(k)


def gamma(draws: InTurn, alpha: float, kind: Any = np.float64) -> float:
    """A standard gamma value, by Marsaglia and Tsang (2000); shapes below 1 by the boost of their section 6.

    What depends on the shape alone is computed in its type, `kind`, as PyTorch does.
    """
    if alpha == 0:
        return 0.0
    scale = 1.0
    if alpha < 1:
        try:
            scale = (1.0 - draws.uniform()) ** float(kind(1.0 / alpha))
        except OverflowError:  # of a negative parameter
            scale = math.inf
        alpha = float(kind(alpha + 1.0))
    d = float(kind(alpha - _THIRD))
    c = 1.0 / math.sqrt(9.0 * d) if d > 0 else math.nan
    while True:
        x = draws.normal()
        y = 1.0 + c * x
        while y <= 0:
            x = draws.normal()
            y = 1.0 + c * x
        v, u, square = y * y * y, 1.0 - draws.uniform(), x * x
        # asked this way round, what is no number ends the loop
        if u >= 1.0 - 0.0331 * square * square and math.log(u) >= 0.5 * square + d * (1.0 - v + math.log(v)):
            continue
        return scale * d * v


def binomial(draws: InTurn, count: float, p: float, kind: Any = np.float64) -> float:
    """The successes among `count` trials: sums of geometric values, from 10 expected ones on Hörmann's BTRS (1993).

    What depends on the arguments alone is computed in their type, `kind`, as PyTorch does.
    """
    if count <= 0 or p <= 0:
        return 0.0
    if p >= 1:
        return count
    if p > 0.5:
        return count - binomial(draws, count, 1.0 - p, kind)
    if p != p:
        return math.nan
    if count == math.inf:
        return count
    return _transformed_rejection(draws, count, p, kind) if count * p >= 10 else _waiting_times(draws, count, p)


def _waiting_times(draws: InTurn, count: float, p: float) -> float:
    trials, successes, failure = 0.0, 0, math.log1p(-p)
    while True:
        u = draws.uniform()
        trials += math.ceil(math.log(u) / failure) if u else math.inf
        if trials > count:
            return float(successes)
        successes += 1


def _transformed_rejection(draws: InTurn, n: float, p: float, kind: Any) -> float:
    def held(value: Any) -> float:
        return float(kind(value))

    expected = kind(n) * kind(p)
    spread = held(np.sqrt(expected * (kind(1) - kind(p))))
    b = held(1.15 + 2.53 * spread)
    a = held(-0.0873 + 0.0248 * b + 0.01 * p)
    centre, odds = held(float(expected) + 0.5), held(kind(p) / (kind(1) - kind(p)))
    alpha, mode = held((2.83 + 5.1 / b) * spread), math.floor(kind(n + 1) * kind(p))
    while True:
        u, v = draws.uniform() - 0.5, draws.uniform()
        us = 0.5 - abs(u)
        k = math.floor((2.0 * a / us + b) * u + centre)
        if us >= 0.07 and v <= 0.92 - 4.2 / b:
            return float(k)
        if k < 0 or k > n:
            continue
        bound = (
            (mode + 0.5) * math.log((mode + 1) / (odds * (n - mode + 1)))
            + (n + 1) * math.log((n - mode + 1) / (n - k + 1))
            + (k + 0.5) * math.log(odds * (n - k + 1) / (k + 1))
            + _tail(mode) + _tail(n - mode) - _tail(k) - _tail(n - k)
        )  # fmt: skip
        if math.log(v * alpha / (a / (us * us) + b)) <= bound:
            return float(k)


def _tail(k: float) -> float:
    """What Stirling's formula for log(k!) leaves."""
    if k <= 9:
        return math.lgamma(k + 1) - ((k + 0.5) * math.log(k + 1) - (k + 1) + 0.5 * math.log(2.0 * math.pi))
    square = (k + 1) * (k + 1)
    return (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / square) / square) / (k + 1)

"""Sobol' sequences (Sobol' 1967, in the order of Antonov and Saleev 1979; direction numbers of Joe and Kuo 2008)."""

from __future__ import annotations

import functools
import importlib.resources
from typing import Any

import numpy as np

from .core.array import dtypes
from .core.context.generator import Generator
from .core.dispatch.operator import namespaces
from .core.tensor.tensor import Tensor, from_host
from .ops.random.factories import randint

_torch = namespaces["torch"]


@functools.cache
def _table() -> tuple[np.ndarray, np.ndarray]:
    """Primitive polynomials, and the first direction numbers that go with them, as SciPy carries them."""
    with importlib.resources.files("scipy.stats").joinpath("_sobol_direction_numbers.npz").open("rb") as file:
        held = np.load(file)
        return held["poly"], held["vinit"]


def _directions(dimension: int, bits: int) -> np.ndarray:
    """`(dimension, bits)`: the direction numbers, by the recurrence of Bratley and Fox (1988, algorithm 659)."""
    polynomials, first = _table()
    made = np.ones((dimension, bits), np.int64)
    for d in range(1, dimension):
        polynomial = int(polynomials[d])
        degree = polynomial.bit_length() - 1
        known = min(degree, bits)
        made[d, :known] = first[d, :known]
        for j in range(degree, bits):
            value = made[d, j - degree]
            for k in range(degree):
                if (polynomial >> (degree - 1 - k)) & 1:
                    value ^= made[d, j - k - 1] << (k + 1)
            made[d, j] = value
    return made << np.arange(bits - 1, -1, -1)


def _scrambled(directions: np.ndarray, lower: np.ndarray, bits: int) -> np.ndarray:
    """Each dimension's digits times a lower triangular matrix of bits (Matousek 1998)."""
    lower = lower.copy()
    lower[:, np.arange(bits), np.arange(bits)] = 1
    digits = (directions[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1  # the highest first
    mixed = np.einsum("dpk,djk->djp", lower, digits) & 1
    return (mixed << np.arange(bits - 1, -1, -1)).sum(-1)


class SobolEngine:
    """Points of a Sobol' sequence in the unit cube of `dimension` sides.

    `scramble` mixes their digits and shifts them, by `seed` or the default generator's draws. Raises ValueError for a
    dimension that is not in [1, 21201].
    """

    MAXBIT = 30
    MAXDIM = 21201

    def __init__(self, dimension: int, scramble: bool = False, seed: int | None = None):
        if dimension > self.MAXDIM or dimension < 1:
            raise ValueError(f"Supported range of dimensionality for SobolEngine is [1, {self.MAXDIM}]")
        self.seed = seed
        self.scramble = scramble
        self.dimension = dimension
        state = _directions(dimension, self.MAXBIT)
        shift = np.zeros(dimension, np.int64)
        if scramble:
            generator = None if seed is None else Generator().manual_seed(seed)
            sides = (dimension, self.MAXBIT)
            bits = randint(2, sides, generator=generator).numpy()
            shift = (bits << np.arange(self.MAXBIT)).sum(-1)
            lower = randint(2, (*sides, self.MAXBIT), generator=generator).tril().numpy()
            state = _scrambled(state, lower, self.MAXBIT)
        self.sobolstate: Any = from_host(state)
        self.shift: Any = from_host(shift)
        self.quasi: Any = self.shift.clone()
        self.num_generated: int = 0

    def _points(self, first: int, n: int) -> np.ndarray:
        """The points of these numbers as integers: each from its Gray code."""
        number = np.arange(first, first + n, dtype=np.int64)
        gray = number ^ (number >> 1)
        chosen = (gray[:, None] >> np.arange(self.MAXBIT)) & 1
        parts = np.where(chosen[:, :, None] != 0, self.sobolstate.numpy().T[None], 0)
        return np.bitwise_xor.reduce(parts, 1) ^ self.shift.numpy()

    def draw(self, n: int = 1, out: Tensor | None = None, dtype: Any = None) -> Tensor:
        """The next `n` points, `(n, dimension)`, in the default dtype unless another is asked for."""
        kind = dtype or dtypes.get_default_dtype()
        points = [self._points(at, min(4096, n - (at - self.num_generated))) for at in self._blocks(n)]
        values = np.concatenate(points) if points else np.zeros((0, self.dimension), np.int64)
        self._went(n)
        made = from_host(values.astype(kind.numpy) * kind.numpy.type(2.0**-self.MAXBIT))
        if out is None:
            return made
        out.resize_(made.shape).copy_(made)
        return out

    def _blocks(self, n: int) -> range:
        return range(self.num_generated, self.num_generated + n, 4096)

    def draw_base2(self, m: int, out: Tensor | None = None, dtype: Any = None) -> Tensor:
        """The next `2**m` points, of a number that stays a power of two. ValueError otherwise."""
        n = 2**m
        total = self.num_generated + n
        if total & (total - 1):
            raise ValueError(
                f"The balance properties of Sobol' points require n to be a power of 2. {self.num_generated} points have "
                f"been previously generated, then: n={self.num_generated}+2**{m}={total}. If you still want to do this, "
                "please use 'SobolEngine.draw()' instead."
            )
        return self.draw(n=n, out=out, dtype=dtype)

    def _went(self, n: int) -> None:
        self.num_generated += n
        if self.num_generated:
            self.quasi = from_host(self._points(self.num_generated - 1, 1)[0])

    def reset(self) -> SobolEngine:
        """Go back to the first point."""
        self.quasi = self.shift.clone()
        self.num_generated = 0
        return self

    def fast_forward(self, n: int) -> SobolEngine:
        """Leave out the next `n` points."""
        self._went(n)
        return self

    def __repr__(self) -> str:
        options = [f"dimension={self.dimension}"]
        options += ["scramble=True"] if self.scramble else []
        options += [f"seed={self.seed}"] if self.seed is not None else []
        return f"{type(self).__name__}({', '.join(options)})"

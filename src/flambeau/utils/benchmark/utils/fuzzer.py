"""Inputs at random for benchmarks: parameters by their distributions, tensors of such sizes and steps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import flambeau
from flambeau.core.array import dtypes

__all__ = ["FuzzedParameter", "FuzzedTensor", "Fuzzer", "ParameterAlias"]


_DISTRIBUTIONS = ("loguniform", "uniform")
_TRIES = 1000


class ParameterAlias:
    """Among the values of a distribution: what another parameter was drawn as."""

    def __init__(self, alias_to: str):
        self.alias_to = alias_to

    def __repr__(self) -> str:
        return f"ParameterAlias[alias_to: {self.alias_to}]"


class FuzzedParameter:
    """A number at random: 'uniform' or 'loguniform' between `minval` and `maxval`, or by a dictionary of probabilities.

    `strict` makes a draw fail if it is not within the bounds. Raises ValueError, or AssertionError, for what can't be drawn.
    """

    def __init__(
        self, name: str, minval: float | None = None, maxval: float | None = None,
        distribution: str | dict[Any, float] | None = None, strict: bool = False,
    ):  # fmt: skip
        self._name = name
        self._minval = minval
        self._maxval = maxval
        self._strict = strict
        if isinstance(distribution, dict):
            if abs(sum(distribution.values()) - 1) > 1e-6:
                raise AssertionError("Distribution is not normalized")
        elif distribution not in _DISTRIBUTIONS:
            raise AssertionError(f"Unknown distribution: {distribution}")
        elif minval is None or maxval is None:
            raise ValueError(f"a {distribution} distribution needs minval and maxval")
        self._distribution = distribution

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    def sample(self, state: np.random.RandomState) -> Any:
        """A draw."""
        whole = isinstance(self._minval, int) and isinstance(self._maxval, int)
        low, high = self._minval, self._maxval
        if isinstance(self._distribution, dict):
            values = list(self._distribution)
            return values[int(state.choice(len(values), p=list(self._distribution.values())))]
        assert low is not None and high is not None
        if self._distribution == "uniform":
            return int(state.randint(int(low), int(high) + 1)) if whole else float(state.uniform(low, high))
        drawn = 2 ** state.uniform(low=np.log2(low), high=np.log2(high))
        drawn = int(drawn) if whole else float(drawn)
        if self._strict and not low <= drawn <= high:
            raise AssertionError(f"{self._name}: {drawn} is not between {low} and {high}")
        return min(max(drawn, low), high)


class FuzzedTensor:
    """A tensor of a size at random, perhaps with steps between its elements and with its dimensions in another order.

    Sizes and steps are numbers, or names of parameters. `dim_parameter` is the name of the one that says how many of the
    dimensions there are.
    """

    def __init__(
        self, name: str, size: tuple[str | int, ...], steps: tuple[str | int, ...] | None = None,
        probability_contiguous: float = 0.5, min_elements: int | None = None, max_elements: int | None = None,
        max_allocation_bytes: int | None = None, dim_parameter: str | None = None, roll_parameter: str | None = None,
        dtype: Any = dtypes.float32, cuda: bool = False, tensor_constructor: Callable[..., Any] | None = None,
    ):  # fmt: skip
        self._name = name
        self._size = size
        self._steps = steps
        self._probability_contiguous = probability_contiguous
        self._min_elements = min_elements
        self._max_elements = max_elements
        self._max_allocation_bytes = max_allocation_bytes
        self._dim_parameter = dim_parameter
        self._dtype = dtype
        self._device = "cuda" if cuda else "cpu"
        self._make = tensor_constructor or self.default_tensor_constructor

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @staticmethod
    def default_tensor_constructor(size: Any, dtype: Any, **kwargs: Any) -> Any:
        """Normal numbers, or whole ones."""
        if dtype.is_floating_point or dtype.is_complex:
            return flambeau.rand(size=size, dtype=dtype, device="cpu")
        return flambeau.randint(1, 127, size=size, dtype=dtype, device="cpu")

    def _measures(self, params: dict[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        dim = params[self._dim_parameter] if self._dim_parameter else len(self._size)

        def numbers(given: Any) -> tuple[int, ...]:
            found = tuple(params.get(value, value) for value in given or ())
            if unknown := [v for v in found if not isinstance(v, int | np.integer)]:
                raise ValueError(f"{self._name}: {unknown[0]!r} is no parameter")
            return (tuple(map(int, found)) + (1,) * dim)[:dim]

        size, steps = numbers(self._size), numbers(self._steps)
        return size, steps, tuple(n * step for n, step in zip(size, steps, strict=True))

    def satisfies_constraints(self, params: dict[str, Any]) -> bool:
        """Whether a tensor with these parameters is neither too small nor too large."""
        size, _, allocated = self._measures(params)
        count, taken = int(np.prod(size)), int(np.prod(allocated)) * self._dtype.itemsize
        return not (
            (self._max_allocation_bytes is not None and taken > self._max_allocation_bytes)
            or (self._max_elements is not None and count > self._max_elements)
            or (self._min_elements is not None and count < self._min_elements)
        )

    def _make_tensor(self, params: dict[str, Any], state: np.random.RandomState) -> tuple[Any, dict[str, Any]]:
        size, steps, allocated = self._measures(params)
        dim = len(size)
        raw = self._make(size=allocated, dtype=self._dtype, **params).to(self._device)
        order = np.arange(dim)
        if state.rand() > self._probability_contiguous:
            while dim > 1 and np.all(order == np.arange(dim)):
                order = state.permutation(raw.dim())
            raw = raw.permute(tuple(order.tolist())).contiguous()
            raw = raw.permute(tuple(np.argsort(order).tolist()))
        tensor = raw[tuple(slice(0, n * step, step) for n, step in zip(size, steps, strict=True))]
        return tensor, {
            "order": order,
            "numel": math.prod(tensor.shape),
            "steps": steps,
            "is_contiguous": tensor.is_contiguous(),
            "dtype": str(self._dtype),
        }


class Fuzzer:
    """Draws parameters that satisfy the tensors' and its own `constraints`, and makes the tensors."""

    def __init__(
        self, parameters: list[Any], tensors: list[Any], constraints: list[Callable[..., bool]] | None = None,
        seed: int | None = None,
    ):  # fmt: skip
        self._seed = int(np.random.RandomState().randint(0, 2**32 - 1, dtype=np.int64)) if seed is None else seed
        self._parameters: list[FuzzedParameter] = self._unpack(parameters, FuzzedParameter)
        self._tensors: list[FuzzedTensor] = self._unpack(tensors, FuzzedTensor)
        self._constraints = constraints or []
        names = [p.name for p in self._parameters] + [t.name for t in self._tensors]
        if shared := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"Parameter and tensor names must be unique, but these stand twice: {sorted(shared)}")
        self._rejections = self._tried = 0

    @staticmethod
    def _unpack(values: list[Any], kind: Any) -> list[Any]:
        return list(itertools.chain.from_iterable([v] if isinstance(v, kind) else v for v in values))

    def take(self, n: int) -> Iterator[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
        """`n` times the tensors, what is to be said of them, and the parameters."""
        state = np.random.RandomState(self._seed)
        flambeau.manual_seed(int(state.randint(low=0, high=2**63, dtype=np.uint64)))
        for _ in range(n):
            params = self._generate(state)
            made = {t.name: t._make_tensor(params, state) for t in self._tensors}
            yield {k: v for k, (v, _) in made.items()}, {k: about for k, (_, about) in made.items()}, params

    @property
    def rejection_rate(self) -> float:
        """Which share of the draws was thrown away."""
        return self._rejections / self._tried if self._tried else 0.0

    def _generate(self, state: np.random.RandomState) -> dict[str, Any]:
        rejected: set[str] = set()
        for _ in range(_TRIES):
            self._tried += 1
            params = {p.name: p.sample(state) for p in self._parameters}
            resolved = {name: self._resolve(value, params) for name, value in params.items()}
            failing = [t.name for t in self._tensors if not t.satisfies_constraints(resolved)]
            if not failing and all(constraint(resolved) for constraint in self._constraints):
                return resolved
            rejected.update(failing)
            self._rejections += 1
        raise ValueError(f"Failed to generate a set of valid parameters in {_TRIES} draws (tensors {sorted(rejected)})")

    @staticmethod
    def _resolve(value: Any, params: dict[str, Any]) -> Any:
        seen = 0
        while isinstance(value, ParameterAlias):
            if seen > len(params):
                raise ValueError("parameters are aliases of each other")
            value, seen = params[value.alias_to], seen + 1
        return value

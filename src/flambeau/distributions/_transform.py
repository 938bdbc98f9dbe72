"""`Transform`, its inverse, and what makes transforms of transforms."""

from __future__ import annotations

import functools
import operator
import weakref
from collections.abc import Sequence
from typing import Any

from ..core.array.size import Size
from ..core.context.tracing import is_traced
from . import constraints
from ._asking import zeros_like
from .utils import _sum_rightmost, lazy_property


class Transform:
    """A function of tensors. Subclasses give `_call`, and `_inverse` and `log_abs_det_jacobian` where they have them.

    `bijective` says whether `t.inv(t(x)) == x` and `t(t.inv(y)) == y`; a transform that is not may have a pseudo-inverse.
    """

    bijective = False
    domain: constraints.Constraint
    codomain: constraints.Constraint

    def __init__(self, cache_size: int = 0) -> None:
        self._cache_size = cache_size
        self._inv: weakref.ref[Any] | None = None
        if cache_size not in (0, 1):
            raise ValueError("cache_size must be 0 or 1")
        self._cached_x_y: tuple[Any, Any] = (None, None)
        super().__init__()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_inv": None}

    @property
    def event_dim(self) -> int:
        """The number of event dimensions, where domain and codomain have the same."""
        if self.domain.event_dim == self.codomain.event_dim:
            return self.domain.event_dim
        raise ValueError("Please use either .domain.event_dim or .codomain.event_dim")

    @property
    def inv(self) -> Transform:
        """The inverse; the inverse of that is this transform itself."""
        inverse = None if is_traced() or self._inv is None else self._inv()
        if inverse is None:
            inverse = _InverseTransform(self)
            if not is_traced():  # a call could not make a weak reference anew
                self._inv = weakref.ref(inverse)
        return inverse

    @property
    def sign(self) -> Any:
        """1 for a function that rises, -1 for one that falls, or a tensor of these."""
        raise NotImplementedError

    def with_cache(self, cache_size: int = 1) -> Any:
        """The same transform with a cache of this size."""
        if cache_size == self._cache_size:
            return self
        if type(self).__init__ is not Transform.__init__:
            raise NotImplementedError(f"{type(self)}.with_cache is not implemented")
        return type(self)(cache_size=cache_size)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return not self.__eq__(other)

    def __call__(self, x: Any) -> Any:
        """y of x."""
        if self._cache_size == 0:
            return self._call(x)
        known_x, known_y = self._cached_x_y
        if x is known_x:
            return known_y
        y = self._call(x)
        self._cached_x_y = x, y
        return y

    def _inv_call(self, y: Any) -> Any:
        if self._cache_size == 0:
            return self._inverse(y)
        known_x, known_y = self._cached_x_y
        if y is known_y:
            return known_x
        x = self._inverse(y)
        self._cached_x_y = x, y
        return x

    def _call(self, x: Any) -> Any:
        raise NotImplementedError

    def _inverse(self, y: Any) -> Any:
        raise NotImplementedError

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """log |dy/dx|, given both sides; event dimensions of the domain are gone in the result."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.__class__.__name__ + "()"

    def forward_shape(self, shape: Any) -> Any:
        """The shape of y for a shape of x."""
        return shape

    def inverse_shape(self, shape: Any) -> Any:
        """The shape of x for a shape of y."""
        return shape


class _InverseTransform(Transform):
    """The other direction of a transform, which it keeps alive."""

    def __init__(self, transform: Transform) -> None:
        super().__init__(cache_size=transform._cache_size)
        self._inv: Any = transform  # type: ignore[assignment]

    @property
    def domain(self) -> Any:  # type: ignore[override]
        """The values that it takes."""
        return self.inv.codomain

    @property
    def codomain(self) -> Any:  # type: ignore[override]
        """The values that it gives."""
        return self.inv.domain

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        """Whether its inverse is."""
        return self.inv.bijective

    @property
    def sign(self) -> Any:
        """That of its inverse."""
        return self.inv.sign

    @property
    def inv(self) -> Transform:
        if self._inv is None:  # after pickling
            raise AssertionError("_inv must not be None")
        return self._inv

    def with_cache(self, cache_size: int = 1) -> Any:
        return self.inv.with_cache(cache_size).inv

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _InverseTransform) and self._inv == other._inv

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self._inv!r})"

    def __call__(self, x: Any) -> Any:
        return self.inv._inv_call(x)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -self.inv.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape: Any) -> Any:
        return self.inv.inverse_shape(shape)

    def inverse_shape(self, shape: Any) -> Any:
        return self.inv.forward_shape(shape)


def _rank_of_parts(parts: Sequence[Transform]) -> tuple[int, int]:
    """How many event dimensions a composition takes and gives, where one part may need more than its neighbour."""
    takes = parts[-1].codomain.event_dim
    for part in reversed(parts):
        takes = max(takes + part.domain.event_dim - part.codomain.event_dim, part.domain.event_dim)
    gives = parts[0].domain.event_dim
    for part in parts:
        gives = max(gives + part.codomain.event_dim - part.domain.event_dim, part.codomain.event_dim)
    return takes, gives


class ComposeTransform(Transform):
    """Transforms one after the other, the first of the list first."""

    def __init__(self, parts: list[Transform], cache_size: int = 0) -> None:
        if cache_size:
            parts = [part.with_cache(cache_size) for part in parts]
        super().__init__(cache_size=cache_size)
        self.parts = parts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ComposeTransform) and self.parts == other.parts

    __hash__ = None  # type: ignore[assignment]

    @property
    def domain(self) -> Any:  # type: ignore[override]
        """The values that it takes."""
        if not self.parts:
            return constraints.real
        found, dim = self.parts[0].domain, _rank_of_parts(self.parts)[0]
        assert dim >= found.event_dim
        return constraints.independent(found, dim - found.event_dim) if dim > found.event_dim else found

    @property
    def codomain(self) -> Any:  # type: ignore[override]
        """The values that it gives."""
        if not self.parts:
            return constraints.real
        found, dim = self.parts[-1].codomain, _rank_of_parts(self.parts)[1]
        assert dim >= found.event_dim
        return constraints.independent(found, dim - found.event_dim) if dim > found.event_dim else found

    @lazy_property
    def bijective(self) -> bool:  # type: ignore[override]
        """Whether all that it is made of are."""
        return all(part.bijective for part in self.parts)

    @lazy_property
    def sign(self) -> Any:  # type: ignore[override]
        """The product of the signs of what it is made of."""
        return functools.reduce(operator.mul, (part.sign for part in self.parts), 1)

    @property
    def inv(self) -> Transform:
        inverse = None if is_traced() or self._inv is None else self._inv()
        if inverse is None:
            inverse = ComposeTransform([part.inv for part in reversed(self.parts)])
            if not is_traced():
                self._inv = weakref.ref(inverse)
                inverse._inv = weakref.ref(self)
        return inverse

    def with_cache(self, cache_size: int = 1) -> Any:
        return self if self._cache_size == cache_size else ComposeTransform(self.parts, cache_size=cache_size)

    def __call__(self, x: Any) -> Any:
        for part in self.parts:
            x = part(x)
        return x

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        if not self.parts:
            return zeros_like(x)
        steps = [x]
        for part in self.parts[:-1]:
            steps.append(part(steps[-1]))
        steps.append(y)
        terms, rank = [], self.domain.event_dim
        for part, before, after in zip(self.parts, steps[:-1], steps[1:], strict=True):
            own = part.domain.event_dim
            terms.append(_sum_rightmost(part.log_abs_det_jacobian(before, after), rank - own))
            rank += part.codomain.event_dim - own
        return functools.reduce(lambda one, other: one + other, terms)

    def forward_shape(self, shape: Any) -> Any:
        for part in self.parts:
            shape = part.forward_shape(shape)
        return shape

    def inverse_shape(self, shape: Any) -> Any:
        for part in reversed(self.parts):
            shape = part.inverse_shape(shape)
        return shape

    def __repr__(self) -> str:
        inner = ",\n    ".join(repr(part) for part in self.parts)
        return f"{self.__class__.__name__}(\n    {inner}\n)"


identity_transform = ComposeTransform([])


class IndependentTransform(Transform):
    """A transform whose last `reinterpreted_batch_ndims` batch dimensions count as part of the event."""

    def __init__(self, base_transform: Transform, reinterpreted_batch_ndims: int, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.base_transform: Any = base_transform.with_cache(cache_size)
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims

    def with_cache(self, cache_size: int = 1) -> Any:
        if self._cache_size == cache_size:
            return self
        return IndependentTransform(self.base_transform, self.reinterpreted_batch_ndims, cache_size=cache_size)

    @property
    def domain(self) -> Any:  # type: ignore[override]
        """The values that it takes."""
        return constraints.independent(self.base_transform.domain, self.reinterpreted_batch_ndims)

    @property
    def codomain(self) -> Any:  # type: ignore[override]
        """The values that it gives."""
        return constraints.independent(self.base_transform.codomain, self.reinterpreted_batch_ndims)

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        """Whether the transform inside is."""
        return self.base_transform.bijective

    @property
    def sign(self) -> Any:
        """That of the transform inside."""
        return self.base_transform.sign

    def _call(self, x: Any) -> Any:
        _insist_on_dimensions(x.ndim, self.domain.event_dim)
        return self.base_transform(x)

    def _inverse(self, y: Any) -> Any:
        _insist_on_dimensions(y.ndim, self.codomain.event_dim)
        return self.base_transform.inv(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return _sum_rightmost(self.base_transform.log_abs_det_jacobian(x, y), self.reinterpreted_batch_ndims)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.base_transform!r}, {self.reinterpreted_batch_ndims})"

    def forward_shape(self, shape: Any) -> Any:
        return self.base_transform.forward_shape(shape)

    def inverse_shape(self, shape: Any) -> Any:
        return self.base_transform.inverse_shape(shape)


def _insist_on_dimensions(have: int, need: int) -> None:
    if have < need:
        raise ValueError("Too few dimensions on input")


class ReshapeTransform(Transform):
    """Events of shape `in_shape` as events of shape `out_shape`."""

    in_shape: Size
    out_shape: Size

    bijective = True

    def __init__(self, in_shape: Any, out_shape: Any, cache_size: int = 0) -> None:
        self.in_shape, self.out_shape = Size(in_shape), Size(out_shape)
        super().__init__(cache_size=cache_size)
        if self.out_shape.numel() != self.in_shape.numel():
            raise ValueError("in_shape, out_shape have different numbers of elements")

    @property
    def domain(self) -> Any:  # type: ignore[override]
        """The values that it takes."""
        return _reals(self.in_shape)

    @property
    def codomain(self) -> Any:  # type: ignore[override]
        """The values that it gives."""
        return _reals(self.out_shape)

    def with_cache(self, cache_size: int = 1) -> Any:
        if self._cache_size == cache_size:
            return self
        return ReshapeTransform(self.in_shape, self.out_shape, cache_size=cache_size)

    def _call(self, x: Any) -> Any:
        return x.reshape(x.shape[: x.dim() - len(self.in_shape)] + self.out_shape)

    def _inverse(self, y: Any) -> Any:
        return y.reshape(y.shape[: y.dim() - len(self.out_shape)] + self.in_shape)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return x.new_zeros(x.shape[: x.dim() - len(self.in_shape)])

    def forward_shape(self, shape: Any) -> Any:
        return _exchanged(shape, self.in_shape, self.out_shape)

    def inverse_shape(self, shape: Any) -> Any:
        return _exchanged(shape, self.out_shape, self.in_shape)


def _reals(shape: Any) -> Any:
    return constraints.independent(constraints.real, len(shape))


def _exchanged(shape: Any, old: Any, new: Any) -> Any:
    _insist_on_dimensions(len(shape), len(old))
    cut = len(shape) - len(old)
    if shape[cut:] != old:
        raise ValueError(f"Shape mismatch: expected {shape[cut:]} but got {old}")
    return shape[:cut] + new

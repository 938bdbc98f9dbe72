"""Regions of values: what a parameter may be, and what a distribution can give.

A constraint says of each value whether it lies within (`check`), how many of the last dimensions make one value
(`event_dim`), and whether it has only single points (`is_discrete`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core.array.dtypes import bool as bool_dtype
from ..core.array.dtypes import finfo
from ._asking import cat as cat_tensors
from ._asking import cholesky_ex, eigvalsh, full, isclose, where
from ._asking import stack as stack_tensors

if not TYPE_CHECKING:  # type checkers take every name
    __all__ = """
        Constraint MixtureSameFamilyConstraint boolean cat corr_cholesky dependent dependent_property greater_than
        greater_than_eq half_open_interval independent integer_interval interval is_dependent less_than
        lower_cholesky lower_triangular multinomial nonnegative nonnegative_integer one_hot positive
        positive_definite positive_integer positive_semidefinite real real_vector simplex square stack symmetric
        unit_interval
    """.split()


class Constraint:
    """A region of values. A subclass gives `check`, which tells for each event of a tensor whether it lies within."""

    is_discrete = False
    event_dim = 0
    _shown: tuple[str, ...] = ()  # the attributes that the printed form names

    def check(self, value: Any) -> Any:
        """Bools, of the value's shape without its last `event_dim` dimensions: whether each event lies within."""
        raise NotImplementedError

    def __repr__(self) -> str:
        name = type(self).__name__[1:]  # the classes have an underscore in front, their objects have the public name
        return f"{name}({', '.join(f'{key}={getattr(self, key)}' for key in self._shown)})"


class _Dependent(Constraint):
    """A region that depends on other parameters: nothing can be checked against it alone."""

    def __init__(self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented):
        self._is_discrete = is_discrete
        self._event_dim = event_dim
        super().__init__()

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        return self._known("is_discrete")

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        return self._known("event_dim")

    def _known(self, name: str) -> Any:
        value = getattr(self, f"_{name}")
        if value is NotImplemented:
            raise NotImplementedError(f".{name} cannot be determined statically")
        return value

    def __call__(self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented) -> _Dependent:
        """The same with what is known of it: `constraints.dependent(is_discrete=True, event_dim=0)`."""
        return _Dependent(
            is_discrete=self._is_discrete if is_discrete is NotImplemented else is_discrete,
            event_dim=self._event_dim if event_dim is NotImplemented else event_dim,
        )

    def check(self, x: Any) -> Any:
        raise ValueError("Cannot determine validity of dependent constraint")


def is_dependent(constraint: Any) -> bool:
    """Whether the region depends on other parameters."""
    return isinstance(constraint, _Dependent)


class _DependentProperty(property, _Dependent):
    """A property of a distribution that is a constraint made from its parameters; on the class it is a dependent one."""

    def __init__(
        self,
        fn: Callable[..., Any] | None = None,
        *,
        is_discrete: bool | None = NotImplemented,
        event_dim: int | None = NotImplemented,
    ) -> None:
        super().__init__(fn)
        self._is_discrete = is_discrete
        self._event_dim = event_dim

    def __call__(self, fn: Callable[..., Any]) -> _DependentProperty:  # type: ignore[override]
        """As a decorator with arguments: `@constraints.dependent_property(is_discrete=False, event_dim=1)`."""
        return _DependentProperty(fn, is_discrete=self._is_discrete, event_dim=self._event_dim)


class _OfOther(Constraint):
    """A region that is told by another one, `base_constraint`."""

    def __init__(self, base_constraint: Constraint):
        assert isinstance(base_constraint, Constraint), (
            f"base_constraint must be a {Constraint.__name__}, got {type(base_constraint).__name__}"
        )
        self.base_constraint = base_constraint
        super().__init__()

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        return self.base_constraint.is_discrete


class _IndependentConstraint(_OfOther):
    """A region of events of which the last `reinterpreted_batch_ndims` batch dimensions make one: all have to lie within."""

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int):
        super().__init__(base_constraint)
        assert isinstance(reinterpreted_batch_ndims, int), (
            f"reinterpreted_batch_ndims must be an {int.__name__}, got {type(reinterpreted_batch_ndims).__name__}"
        )
        assert reinterpreted_batch_ndims >= 0, (
            f"reinterpreted_batch_ndims must be >= 0, got {reinterpreted_batch_ndims}"
        )
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        return self.base_constraint.event_dim + self.reinterpreted_batch_ndims

    def check(self, value: Any) -> Any:
        result = self.base_constraint.check(value)
        if result.ndim < self.reinterpreted_batch_ndims:
            needed = self.base_constraint.event_dim + self.reinterpreted_batch_ndims
            raise ValueError(f"Expected value.dim() >= {needed} but got {value.dim()}")
        return result.reshape(*result.shape[: result.ndim - self.reinterpreted_batch_ndims], -1).all(-1)

    def __repr__(self) -> str:
        return f"{type(self).__name__[1:]}({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


class MixtureSameFamilyConstraint(_OfOther):
    """The region of a mixture: a value has to lie in the region of every component."""

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        return self.base_constraint.event_dim

    def check(self, value: Any) -> Any:
        unsqueezed = value.unsqueeze(-1 - self.event_dim)
        result = self.base_constraint.check(unsqueezed)
        if value.dim() < self.event_dim:
            raise ValueError(f"Expected value.dim() >= {self.event_dim} but got {value.ndim}")
        return result.reshape(*value.shape[: value.ndim - self.event_dim], -1).all(-1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_constraint!r})"


# --- single numbers ---------------------------------------------------------------------------------------------------


class _Boolean(Constraint):
    """0 and 1."""

    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value == 0) | (value == 1)


class _Real(Constraint):
    """All numbers, but not `nan`."""

    def check(self, value: Any) -> Any:
        return value == value


class _FromBelow(Constraint):
    """Bounded from below."""

    _shown = ("lower_bound",)

    def __init__(self, lower_bound: Any):
        self.lower_bound = lower_bound
        super().__init__()


class _GreaterThan(_FromBelow):
    """(lower_bound, inf]."""

    def check(self, value: Any) -> Any:
        return self.lower_bound < value


class _GreaterThanEq(_FromBelow):
    """[lower_bound, inf]."""

    def check(self, value: Any) -> Any:
        return self.lower_bound <= value


class _FromAbove(Constraint):
    """Bounded from above."""

    _shown = ("upper_bound",)

    def __init__(self, upper_bound: Any):
        self.upper_bound = upper_bound
        super().__init__()


class _LessThan(_FromAbove):
    """[-inf, upper_bound)."""

    def check(self, value: Any) -> Any:
        return value < self.upper_bound


class _Between(Constraint):
    """Bounded on both sides."""

    _shown = ("lower_bound", "upper_bound")

    def __init__(self, lower_bound: Any, upper_bound: Any):
        self.lower_bound = lower_bound
        self.upper_bound = upper_bound
        super().__init__()


class _Interval(_Between):
    """[lower_bound, upper_bound]."""

    def check(self, value: Any) -> Any:
        return (self.lower_bound <= value) & (value <= self.upper_bound)


class _HalfOpenInterval(_Between):
    """[lower_bound, upper_bound)."""

    def check(self, value: Any) -> Any:
        return (self.lower_bound <= value) & (value < self.upper_bound)


class _IntegerInterval(_Between):
    """The whole numbers of [lower_bound, upper_bound]."""

    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value % 1 == 0) & (self.lower_bound <= value) & (value <= self.upper_bound)


class _IntegerLessThan(_FromAbove):
    """The whole numbers of [-inf, upper_bound]."""

    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value % 1 == 0) & (value <= self.upper_bound)


class _IntegerGreaterThan(_FromBelow):
    """The whole numbers of [lower_bound, inf]."""

    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value % 1 == 0) & (value >= self.lower_bound)


# --- vectors ----------------------------------------------------------------------------------------------------------


class _OneHot(Constraint):
    """Vectors of zeros with a single one."""

    is_discrete = True
    event_dim = 1

    def check(self, value: Any) -> Any:
        return ((value == 0) | (value == 1)).all(-1) & value.sum(-1).eq(1)


class _Simplex(Constraint):
    """Vectors of numbers from 0 on whose sum is 1, within 1e-6."""

    event_dim = 1

    def check(self, value: Any) -> Any:
        return (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < 1e-6)


class _Multinomial(Constraint):
    """Vectors of counts whose sum is at most `upper_bound`. That they are whole is not asked for, as in PyTorch."""

    is_discrete = True
    event_dim = 1

    def __init__(self, upper_bound: Any):
        self.upper_bound = upper_bound

    def check(self, x: Any) -> Any:
        return (x >= 0).all(-1) & (x.sum(-1) <= self.upper_bound)


# --- matrices ---------------------------------------------------------------------------------------------------------


class _LowerTriangular(Constraint):
    """Matrices with zeros above the diagonal."""

    event_dim = 2

    def check(self, value: Any) -> Any:
        return (value.tril() == value).reshape(*value.shape[:-2], -1).all(-1)


class _LowerCholesky(Constraint):
    """Lower triangular matrices with a positive diagonal."""

    event_dim = 2

    def check(self, value: Any) -> Any:
        return lower_triangular.check(value) & (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)


class _CorrCholesky(Constraint):
    """Cholesky factors of correlation matrices: as `lower_cholesky`, and each row is a vector of length 1."""

    event_dim = 2

    def check(self, value: Any) -> Any:
        tolerance = finfo(value.dtype).eps * value.shape[-1] * 10
        lengths = value.detach().square().sum(-1).sqrt()
        return _LowerCholesky().check(value) & ((lengths - 1).abs() <= tolerance).all(-1)


class _Square(Constraint):
    """Square matrices."""

    event_dim = 2

    def check(self, value: Any) -> Any:
        is_square = value.shape[-2] == value.shape[-1]
        return full(value.shape[:-2], is_square, dtype=bool_dtype, device=value.device)


class _Symmetric(_Square):
    """Symmetric matrices, within 1e-6."""

    def check(self, value: Any) -> Any:
        found = super().check(value)
        if value.shape[-2] != value.shape[-1]:
            return found
        return isclose(value, value.mT, atol=1e-6).all(-2).all(-1)


class _PositiveSemidefinite(_Symmetric):
    """Symmetric matrices whose eigenvalues are not negative."""

    def check(self, value: Any) -> Any:
        found = super().check(value)
        if value.shape[-2] != value.shape[-1]:
            return found
        # where one matrix of a batch is not symmetric, that alone is said
        return where(found.all(), eigvalsh(value.where(found.all(), 0)).ge(0).all(-1), found)


class _PositiveDefinite(_Symmetric):
    """Symmetric matrices that have a Cholesky factor."""

    def check(self, value: Any) -> Any:
        found = super().check(value)
        if value.shape[-2] != value.shape[-1]:
            return found
        return where(found.all(), cholesky_ex(value).info.eq(0), found)


# --- several regions --------------------------------------------------------------------------------------------------


class _Several(Constraint):
    """Regions along the dimension `dim`."""

    def __init__(self, cseq: Any, dim: int = 0):
        assert all(isinstance(c, Constraint) for c in cseq), "All elements of cseq must be Constraint instances"
        self.cseq: list[Any] = list(cseq)
        self.dim = dim
        super().__init__()

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        return any(c.is_discrete for c in self.cseq)

    def _check_dim(self, value: Any) -> None:
        assert -value.dim() <= self.dim < value.dim(), (
            f"dim {self.dim} out of range for value with {value.ndim} dimensions"
        )


class _Cat(_Several):
    """Regions side by side along the dimension `dim`: the i-th has `lengths[i]` places (1 if not given)."""

    def __init__(self, cseq: Any, dim: int = 0, lengths: Any = None):
        super().__init__(cseq, dim)
        self.lengths = [1] * len(self.cseq) if lengths is None else list(lengths)
        assert len(self.lengths) == len(self.cseq), f"lengths ({len(self.lengths)}) must match cseq ({len(list(cseq))})"

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        return max(c.event_dim for c in self.cseq)

    def check(self, value: Any) -> Any:
        self._check_dim(value)
        checks, start = [], 0
        for constraint, length in zip(self.cseq, self.lengths, strict=True):
            checks.append(constraint.check(value.narrow(self.dim, start, length)))
            start += length
        return cat_tensors(checks, self.dim)


class _Stack(_Several):
    """Regions one after the other along the dimension `dim`."""

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        dim = max(c.event_dim for c in self.cseq)
        return dim + 1 if self.dim + dim < 0 else dim

    def check(self, value: Any) -> Any:
        self._check_dim(value)
        parts = [value.select(self.dim, i) for i in range(value.size(self.dim))]
        return stack_tensors([c.check(v) for v, c in zip(parts, self.cseq, strict=False)], self.dim)


# --- the public names -------------------------------------------------------------------------------------------------

symmetric: _Symmetric = _Symmetric()
square: _Square = _Square()
positive_definite: _PositiveDefinite = _PositiveDefinite()
positive_semidefinite: _PositiveSemidefinite = _PositiveSemidefinite()
nonnegative: _GreaterThanEq = _GreaterThanEq(0.0)
positive: _GreaterThan = _GreaterThan(0.0)
stack = _Stack
real: _Real = _Real()
multinomial = _Multinomial
interval = _Interval
half_open_interval = _HalfOpenInterval
integer_interval = _IntegerInterval
unit_interval: _Interval = _Interval(0.0, 1.0)
boolean: _Boolean = _Boolean()
greater_than = _GreaterThan
less_than = _LessThan
greater_than_eq = _GreaterThanEq
lower_triangular: _LowerTriangular = _LowerTriangular()
nonnegative_integer: _IntegerGreaterThan = _IntegerGreaterThan(0)
positive_integer: _IntegerGreaterThan = _IntegerGreaterThan(1)
cat = _Cat
dependent: _Dependent = _Dependent()
independent = _IndependentConstraint
one_hot: _OneHot = _OneHot()
simplex: _Simplex = _Simplex()
lower_cholesky: _LowerCholesky = _LowerCholesky()
corr_cholesky: _CorrCholesky = _CorrCholesky()
dependent_property = _DependentProperty
real_vector: Any = independent(real, 1)

"""`Distribution`, what all families derive from: shapes, the checks of parameters and values, the printed form."""

from __future__ import annotations

import warnings
from typing import Any

import jax

from ..core.array.size import Size
from ..core.context.grad_mode import no_grad
from ..core.dispatch.checks import demand
from ..core.dispatch.messages import message
from ..core.tensor.tensor import Tensor
from . import constraints
from .utils import EMPTY, lazy_property

__all__ = ["Distribution"]


def _insist(valid: Any, text: str, law: Distribution, region: Any, value: Any) -> None:
    """Raise ValueError unless all of `valid` holds: `text`, in which `{law}` and `{region}` stand, and the values.

    A compiled function looks at each call, and then has no values at hand to print.
    """
    if isinstance(valid, Tensor) and isinstance(valid._array, jax.core.Tracer):
        said = text.format(law=law._described(values=False), region=type(region).__name__.lstrip("_"))
        demand(lambda ok: (~ok, 0), lambda _: ValueError(said), valid)
    elif not valid.all():
        said = text.format(law=law, region=repr(region))
        raise ValueError(f"{said}:\n{value}")


class Distribution:
    """A law of random values: `sample` draws from it, `log_prob` gives its logarithmic density.

    A batch of `batch_shape` independent laws, each of which gives an event of `event_shape`. With `validate_args` (the
    default, unless Python runs with -O) parameters and values are checked against their constraints; ValueError says
    which are outside.
    """

    has_rsample = False
    has_enumerate_support = False
    _validate_args = __debug__

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions that are made from now on check their arguments unless told otherwise."""
        if value not in [True, False]:
            raise ValueError
        Distribution._validate_args = value

    def __init__(self, batch_shape: Any = EMPTY, event_shape: Any = EMPTY, validate_args: bool | None = None) -> None:
        self._batch_shape = batch_shape
        self._event_shape = event_shape
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()
        super().__init__()

    def _check_parameters(self) -> None:
        try:
            expected = self.arg_constraints
        except NotImplementedError:
            expected = {}
            warnings.warn(
                f"{self.__class__} does not define `arg_constraints`. Please set `arg_constraints = {{}}` or "
                "initialize the distribution with `validate_args=False` to turn off validation."
            )
        for name, constraint in expected.items():
            if constraints.is_dependent(constraint):
                continue
            if name not in self.__dict__ and isinstance(getattr(type(self), name), lazy_property):
                continue  # it follows from another one
            value = getattr(self, name)
            text = (
                f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) "
                "of distribution {law} to satisfy the constraint {region}, but found invalid values"
            )
            _insist(constraint.check(value), text, self, constraint, value)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The same law for a larger batch: parameters are expanded, not copied. Families define it.

        `_instance` is an object of a subclass, made without its `__init__`, that is to be filled.
        """
        raise NotImplementedError

    def _expanded(self, family: type, batch_shape: Any, _instance: Any, **event_dims: int) -> Any:
        """`expand` for the `family` whose parameters are these, each with the number of its event dimensions."""
        new = self._get_checked_instance(family, _instance)
        batch_shape = Size(batch_shape)
        for name, event_dim in event_dims.items():
            if name in self.__dict__:
                value = self.__dict__[name]
                setattr(new, name, value.expand(batch_shape + value.shape[value.ndim - event_dim :]))
        return self._filled(new, batch_shape)

    def _filled(self, new: Any, batch_shape: Any, event_shape: Any = None) -> Any:
        """End an `expand`: shapes, and the setting of this distribution for checks."""
        Distribution.__init__(
            new, batch_shape, self.event_shape if event_shape is None else event_shape, validate_args=False
        )
        new._validate_args = self._validate_args
        return new

    @property
    def batch_shape(self) -> Any:
        """How many laws of the same family there are, as a shape."""
        return self._batch_shape

    @property
    def event_shape(self) -> Any:
        """The shape of a single value."""
        return self._event_shape

    @property
    def arg_constraints(self) -> dict[str, constraints.Constraint]:
        """What each parameter has to satisfy."""
        raise NotImplementedError

    @property
    def support(self) -> Any:
        """The constraint that every value satisfies."""
        raise NotImplementedError

    @property
    def mean(self) -> Tensor:
        """The mean."""
        raise NotImplementedError

    @property
    def mode(self) -> Tensor:
        """The value of the greatest density."""
        raise NotImplementedError(f"{self.__class__} does not implement mode")

    @property
    def variance(self) -> Tensor:
        """The variance."""
        raise NotImplementedError

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Any = EMPTY) -> Tensor:
        """Draw values of shape `sample_shape + batch_shape + event_shape`, without a gradient."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = EMPTY) -> Tensor:
        """Draw values as functions of the parameters, so that gradients go through them (if `has_rsample`)."""
        raise NotImplementedError

    def sample_n(self, n: int) -> Tensor:
        """The old form of `sample((n,))`."""
        warnings.warn("`sample_n(n)` will be deprecated. Use `sample((n,))` instead.", FutureWarning, stacklevel=2)
        return self.sample(Size((n,)))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density (or probability) at `value`; event dimensions are gone in the result."""
        raise NotImplementedError

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of values up to `value`."""
        raise NotImplementedError

    def icdf(self, value: Tensor) -> Tensor:
        """The inverse of `cdf`."""
        raise NotImplementedError

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values of a discrete law along a new first dimension; with `expand=False` the batch has size 1."""
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """The entropy in nats, for each law of the batch."""
        raise NotImplementedError

    def perplexity(self) -> Tensor:
        """exp(entropy)."""
        return self.entropy().exp()

    def _extended_shape(self, sample_shape: Any = EMPTY) -> Any:
        """The shape of what `sample(sample_shape)` gives."""
        return Size(sample_shape) + self._batch_shape + self._event_shape

    def _look_at(self, value: Tensor) -> None:
        """`_validate_sample`, if this distribution checks its arguments."""
        if self._validate_args:
            self._validate_sample(value)

    def _validate_sample(self, value: Tensor) -> None:
        """Raise ValueError unless `value` is a tensor of a fitting shape within the support."""
        if not isinstance(value, Tensor):
            raise ValueError(message("log_prob_of_no_tensor"))
        start = value.ndim - len(self._event_shape)
        if value.size()[start:] != self._event_shape:
            raise ValueError(message("value_lacks_event_shape", got=value.size(), event_shape=self._event_shape))
        expected = self._batch_shape + self._event_shape
        for i, j in zip(reversed(value.size()), reversed(expected), strict=False):
            if i != 1 and j != 1 and i != j:
                raise ValueError(
                    f"Value is not broadcastable with batch_shape+event_shape: {value.size()} vs {expected}."
                )
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(
                f"{self.__class__} does not define `support` to enable sample validation. Please initialize the "
                "distribution with `validate_args=False` to turn off validation."
            )
            return
        assert support is not None
        text = (
            f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) "
            "to be within the support ({region}) of the distribution {law}, but found invalid values"
        )
        _insist(support.check(value), text, self, support, value)

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        if _instance is None and type(self).__init__ != cls.__init__:  # type: ignore[misc]
            raise NotImplementedError(
                f"Subclass {self.__class__.__name__} of {cls.__name__} that defines a custom __init__ method must "
                "also define a custom .expand() method."
            )
        return self.__new__(type(self)) if _instance is None else _instance

    def _described(self, values: bool = True) -> str:
        """The printed form; without `values` of sizes alone."""
        found = [(name, self.__dict__[name]) for name in self.arg_constraints if name in self.__dict__]
        shown = (f"{name}: {value if values and value.numel() == 1 else value.size()}" for name, value in found)
        return f"{self.__class__.__name__}({', '.join(shown)})"

    def __repr__(self) -> str:
        return self._described()

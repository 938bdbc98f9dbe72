"""Draws whose parameters are values of a tensor: `bernoulli`, `multinomial`, `poisson`, `binomial`, gamma, Dirichlet.

In a compiled function the host draws what does not depend on them, and the program decides.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...core.array import dtypes
from ...core.autograd.engine import drawn_from
from ...core.context.generator import Generator, draw
from ...core.context.tracing import host_value, is_traced
from ...core.dispatch.checks import demand
from ...core.dispatch.operator import Array, composite, operator
from ...core.dispatch.signature import not_a_tensor
from ...core.tensor.tensor import Tensor
from ..making import constants
from ..support.checks import host_values, whole_values
from .factories import deliver, fill_drawn, fill_nothing, filling, refusal

_HOW_MANY = "how many random numbers are drawn depends"


def _check_chance(name: str, p: float) -> float:
    if not 0 <= p <= 1:
        raise RuntimeError(f"{name} expects p to be in [0, 1], but got p={p:g}")
    return p


def _check_chances(p: Tensor) -> None:
    if not p.dtype.is_floating_point:
        raise refusal("bernoulli_tensor_cpu_p_", p.dtype)
    text = "Expected p_in >= 0 && p_in <= 1 to be true, but got false. (These are the probabilities of bernoulli.)"
    demand(lambda x: (~((x >= 0) & (x <= 1)), 0), lambda _: RuntimeError(text), p)


def _chances(p: Tensor, generator: Generator | None, shape: tuple[int, ...]) -> np.ndarray:
    values = whole_values(p)
    return draw("bernoulli_each", generator, values if values.shape == shape else np.broadcast_to(values, shape))


@filling
def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill with ones and zeros; ones come with probability `p`, a number or a tensor that broadcasts to this one."""
    if self.dtype.is_complex:
        raise refusal("bernoulli_scalar_cpu_", self.dtype)
    if isinstance(p, Tensor):
        _check_chances(p)
        if is_traced() and self.is_contiguous():
            return self.copy_(bernoulli(p.expand(self.shape), generator=generator))
    if isinstance(p, Tensor) and p.ndim:
        return fill_drawn(
            self,
            "BernoulliBackward2",
            lambda n, d, serial: _chances(p, generator, tuple(self.shape)).reshape(-1).astype(d),
        )
    if isinstance(p, Tensor):
        return fill_drawn(self, "BernoulliBackward2", lambda n, d, serial: _chances(p, generator, (n,)).astype(d))
    if self.is_meta:  # type: ignore[attr-defined]
        return fill_nothing(self, "BernoulliBackward2")
    chance = _check_chance("bernoulli_", p)
    return fill_drawn(
        self, "BernoulliBackward2", lambda n, d, serial: draw("bernoulli", generator, n, chance).astype(d)
    )


@composite()
def bernoulli(
    input: Tensor, p: float | None = None, *, generator: Generator | None = None, out: Tensor | None = None
) -> Tensor:
    """Ones and zeros in `input`'s shape and dtype; ones come with the probabilities in `input`, or all with `p`."""
    shape = tuple(input.shape)
    if p is None:
        _check_chances(input)
        if is_traced():  # what is compared comes from the host at each call, the probabilities are the program's
            events = host_value(lambda: draw("thresholds", generator, shape, input._np_dtype)) < input._array
            made = constants.deliver(lambda d: events.astype(d), input.dtype, None, input.device, out=out)
            return drawn_from(made, "BernoulliBackward0", input) if out is None else made
        fill = lambda d: _chances(input, generator, shape).astype(d)  # noqa: E731
    else:
        chance = _check_chance("bernoulli_", p)
        fill = lambda d: draw("bernoulli", generator, math.prod(shape), chance).astype(d).reshape(shape)  # noqa: E731
    made = deliver(fill, input.dtype, None, input.device, out=out, shape=shape)
    return drawn_from(constants.beside(made, input), "BernoulliBackward0", input) if out is None else made


@composite()
def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Indices drawn with probabilities in proportion to `input`'s values: (samples,), or a row for each of its rows."""
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {input.dtype.abbr}")
    if not 0 < input.ndim <= 2:
        raise RuntimeError(f"prob_dist must be 1 or 2 dim, got shape {list(input.shape)}")
    if num_samples <= 0:
        raise RuntimeError(f"cannot sample n_sample <= 0 samples, got {num_samples}")
    if not replacement and num_samples > input.shape[-1]:
        raise RuntimeError(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement: "
            f"{num_samples} > {input.shape[-1]}"
        )
    if out is not None and out.dtype is not dtypes.int64:
        raise RuntimeError(f"multinomial expects Long tensor out, got: {out.dtype.abbr}")
    if input.shape[-1] > 2**24:
        raise RuntimeError(f"number of categories cannot exceed 2^24, got {input.shape[-1]}")
    if input.is_meta:  # type: ignore[attr-defined]
        shape = (*input.shape[:-1], num_samples)
        return constants.deliver(np.zeros, dtypes.int64, None, input.device, out=out, shape=shape)  # type: ignore[arg-type]
    race = num_samples == 1 or not replacement
    _check_distributions(input, race)
    weights = input._array if is_traced() else whole_values(input)
    xp = jnp if is_traced() else np
    rows = weights.reshape(-1, weights.shape[-1])
    if race:
        drawn = host_value(lambda: draw("clocks", generator, rows.shape, input._np_dtype))
    else:
        drawn = host_value(lambda: draw("places", generator, rows.shape[0], num_samples))
    with np.errstate(divide="ignore", invalid="ignore"):
        made = (_first_to_ring if race else _found)(xp, rows, drawn, num_samples)
    made = made.reshape(*weights.shape[:-1], num_samples)
    found = constants.deliver(lambda d: made.astype(d), dtypes.int64, None, input.device, out=out)
    return constants.beside(found, input, rows=True) if out is None else found


def _check_distributions(input: Tensor, race: bool) -> None:
    """Demand weights that make distributions; PyTorch has other words for it where it draws them by their sums."""
    if race:
        text = "probability tensor contains either `inf`, `nan` or element < 0"
        demand(lambda x: (~((x >= 0) & (x < np.inf)), 0), lambda _: RuntimeError(text), input)
    else:
        text = "invalid multinomial distribution (encountering probability entry {})"
        words = ("< 0", "= infinity or NaN")
        demand(
            lambda x: (~((x >= 0) & (x < np.inf)), (x == np.inf) * 1),
            lambda i: RuntimeError(text.format(words[i])),
            input,
        )
    empty = "invalid multinomial distribution (sum of probabilities <= 0)"
    demand(lambda x: (~(x.astype(np.float64).sum(-1) > 0), 0), lambda _: RuntimeError(empty), input)


def _first_to_ring(xp: Any, weights: Any, clocks: Any, n: int) -> Any:
    """The indices of the `n` exponential clocks, as fast as their weights say, that ring first."""
    speed = (weights / clocks).astype(np.float64)
    return speed.argmax(-1) if n == 1 else xp.argsort(-speed, axis=-1, stable=True)[..., :n]


def _found(xp: Any, weights: Any, places: Any, n: int) -> Any:
    """Where each place, from 0 to 1, lies in the cumulative sums of its row of weights."""
    cumulative = xp.cumsum(weights.astype(np.float64), axis=-1)
    cumulative = cumulative / cumulative[..., -1:]
    if xp is jnp:
        return jax.vmap(jnp.searchsorted)(cumulative, places)
    rows = [np.searchsorted(*row) for row in zip(cumulative, places, strict=True)]
    return np.stack(rows) if rows else np.empty((0, n), np.int64)


@composite(methods=False)
def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Counts drawn from Poisson distributions with the rates in `input`, in its shape and dtype."""
    if not input.dtype.is_floating_point:
        raise refusal("poisson_cpu", input.dtype)
    text = "invalid Poisson rate, expected rate to be non-negative"
    demand(lambda x: (~(x >= 0), 0), lambda _: RuntimeError(text), input)
    made = deliver(
        lambda d: draw("poisson", generator, host_values(input, "poisson", _HOW_MANY, True)).astype(d),
        input.dtype, None, input.device, shape=tuple(input.shape),
    )  # fmt: skip
    return drawn_from(constants.beside(made, input), "PoissonBackward0", input)


@composite(methods=False)
def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """The successes in `count` trials of probability `prob` each; the two are broadcast and have one floating dtype."""
    for position, (name, given) in enumerate((("count", count), ("prob", prob)), 1):
        if not isinstance(given, Tensor):
            raise not_a_tensor("binomial", name, position, given)
        if not given.dtype.is_floating_point:
            raise ValueError(f"binomial only supports floating-point dtypes for {name}, got: {given.dtype.abbr}")
    if count.dtype is not prob.dtype:
        raise RuntimeError(f"Found dtype {prob.dtype.abbr} but expected {count.dtype.abbr}")
    if count.dtype.itemsize < 4:
        raise refusal("binomial_cpu", count.dtype)

    def fill(dtype: np.dtype) -> np.ndarray:
        counts, chances = np.broadcast_arrays(*(host_values(x, "binomial", _HOW_MANY, True) for x in (count, prob)))
        return draw("binomial", generator, counts, chances).astype(dtype)

    shape = np.broadcast_shapes(tuple(count.shape), tuple(prob.shape))
    made = deliver(fill, count.dtype, None, count.device, shape=shape)
    return _without_derivative("binomial", constants.beside(made, count, prob), count, prob)


@cache
def _underived(name: str) -> Any:
    @jax.custom_jvp
    def function(sample: jax.Array, parameter: jax.Array) -> jax.Array:
        return sample

    @function.defjvp
    def refuse(primals: Any, tangents: Any) -> Any:
        raise RuntimeError(f"derivative for aten::{name} is not implemented")

    return function


@operator(methods=False, public=(), grad="NotImplemented")
def _drawn_by(sample: Array, parameter: Array, name: str) -> Array:
    return _underived(name)(sample, parameter)


def _without_derivative(name: str, made: Tensor, *parameters: Tensor) -> Tensor:
    """Drawn values from which no gradient can be taken: asking for it is an error, as in PyTorch."""
    for parameter in parameters:
        if parameter.requires_grad:
            made = _drawn_by(made, parameter, name)
    return made


def _positive(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return np.fmax(x.astype(dtype), np.finfo(dtype).tiny)


def _gammas(name: str, kernel: str, input: Any) -> np.ndarray:
    if not isinstance(input, Tensor):
        raise not_a_tensor(name, "input", 1, input)
    if not input.dtype.is_floating_point or input.dtype.itemsize < 4:
        raise refusal(kernel, input.dtype)
    return host_values(input, name, _HOW_MANY, True)


@operator(methods=False, public=(), grad="StandardGammaBackward0")
def _as_gamma(alpha: Array, sample: Array) -> Array:
    return _reparametrized(alpha, sample)


@jax.custom_jvp
def _reparametrized(alpha: jax.Array, sample: jax.Array) -> jax.Array:
    """The sample, which moves with the parameter as its distribution function says (Figurnov et al., 2018)."""
    return sample + alpha * 0


@_reparametrized.defjvp
def _reparametrized_jvp(primals: Any, tangents: Any) -> Any:
    return primals[1], tangents[0] * jax.lax.random_gamma_grad(*primals)


@composite(methods=False)
def _standard_gamma(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Values of gamma distributions of scale 1 with the shape parameters in `input`, through which gradients go."""
    alpha = _gammas("_standard_gamma", "gamma_cpu", input)
    made = deliver(lambda d: _positive(draw("gamma", generator, alpha, d), d), input.dtype, None, input.device)
    made = constants.beside(made, input)
    return _as_gamma(input, made) if input.requires_grad else made


@composite(methods=False)
def _sample_dirichlet(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Points of Dirichlet distributions, whose parameters are the rows of `input`. Gradients are refused."""
    alpha = _gammas("_sample_dirichlet", "dirichlet", input)

    def fill(dtype: np.dtype) -> np.ndarray:
        made = np.fmax(draw("gamma", generator, alpha, np.float64), np.finfo(dtype).tiny)
        shares = made / made.sum(-1, keepdims=True) if made.ndim else made / made
        return np.minimum(_positive(shares, dtype), np.nextafter(dtype.type(1), dtype.type(0)))

    made = constants.beside(deliver(fill, input.dtype, None, input.device), input)
    return _without_derivative("_sample_dirichlet", made, input)

"""Random tensors: factories, in-place fills, and the state of the generator.

The numbers are drawn on the host (`core/context/generator.py`) and then put on their device. Every draw goes through `draw`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...core.array import dtypes
from ...core.array.devices import device as a_device
from ...core.array.geometry import overlapping_write
from ...core.array.meta import NOWHERE
from ...core.autograd.engine import drawn_from
from ...core.context.generator import Generator, default_generator, draw, largest_exact, refuse_in_a_trace
from ...core.context.overrides import unseen
from ...core.context.tracing import host_value, is_traced
from ...core.dispatch.checks import demand
from ...core.dispatch.errors import broadcast_clash
from ...core.dispatch.misfits import refuse_recorded
from ...core.dispatch.operator import _attach, _publish, composite
from ...core.dispatch.overloads import shown_to_modes
from ...core.dispatch.signature import number
from ...core.tensor.tensor import Tensor
from ...runtime.settings import asks_setting
from ..making import constants
from ..making.creation import like, number_of, place, size_of
from ..support.checks import whole_values

Draw = Callable[[int, np.dtype, bool], np.ndarray]  # how many, of which dtype, whether one by one


def _parts(make: Draw) -> Draw:
    """The same distribution for complex dtypes too: real and imaginary parts come in turn."""

    def drawn(n: int, dtype: np.dtype, serial: bool) -> np.ndarray:
        if dtype.kind != "c":
            return make(n, dtype, serial)
        return make(2 * n, np.dtype(f"f{dtype.itemsize // 2}"), serial).view(dtype)

    return drawn


def fill_drawn(self: Tensor, name: str, make: Draw) -> Tensor:
    """Write drawn values into a tensor, in the order in which its elements lie in memory. `name` is the node's."""
    if self.is_meta:  # type: ignore[attr-defined]
        return fill_nothing(self, name)
    self._check_inplace()
    shape, strides = tuple(self.shape), self.stride()
    if any(step == 0 and n > 1 for n, step in zip(shape, strides, strict=True)):
        raise overlapping_write()
    contiguous, dtype = self.is_contiguous(), self._np_dtype

    def drawn() -> np.ndarray:  # a compiled function keeps it, and must not keep the tensor along
        values = make(math.prod(shape), dtype, not contiguous)
        if contiguous:
            return values.reshape(shape)
        order = sorted(range(len(shape)), key=lambda d: (-strides[d], -shape[d]))
        values = values.reshape([shape[d] for d in order]).transpose(np.argsort(order))
        return np.ascontiguousarray(values).reshape(shape)

    self._fill_host(host_value(drawn), name)
    return self


def fill_nothing(self: Tensor, name: str) -> Tensor:
    """What `fill_drawn` does on the meta device, where PyTorch looks at few options."""
    self._check_inplace()
    self._fill_nothing(name)
    return self


def deliver(fill: Callable[[np.dtype], np.ndarray], *options: Any, **keywords: Any) -> Tensor:
    """A tensor of drawn values; in a compiled function they are drawn anew at each call."""
    return constants.deliver(_anew(fill), *options, **keywords)


def _anew(fill: Callable[[np.dtype], np.ndarray]) -> Callable[[np.dtype], np.ndarray]:
    return lambda dtype: host_value(lambda: fill(dtype))


def _arguments(name: str, names: tuple[str, ...], defaults: tuple[Any, ...], args: Any, kwargs: Any) -> list[Any]:
    """Bind arguments of which one is called `from`, which Python has as a keyword."""
    if len(args) > len(names):
        raise TypeError(f"{name}() takes from 0 to {len(names)} positional arguments but {len(args)} were given")
    values = [*args, *defaults[len(args) :]]
    for key, value in kwargs.items():
        if key not in names[len(args) :]:
            raise TypeError(f"{name}() got an unexpected keyword argument '{key}'")
        values[names.index(key)] = value
    for position, (key, value) in enumerate(zip(names, values, strict=True), 1):
        if isinstance(value, Tensor):
            refuse_recorded(name, key, position, value)
    return values


def refusal(kernel: str, dtype: dtypes.dtype) -> NotImplementedError:
    """PyTorch's error for a kernel that does not take a dtype."""
    return NotImplementedError(f"\"{kernel}\" not implemented for '{dtype.abbr}'")


def filling(function: Any) -> Any:
    """Make a function that fills its tensor a method."""
    call = shown_to_modes(function)
    _attach(call, (function.__name__,))
    return call


# --- uniform ---------------------------------------------------------------------------------------------------------


def _uniform(dtype: dtypes.dtype, low: Any, high: Any, generator: Generator | None) -> Draw:
    if dtype.category < dtypes.FLOAT or dtype in dtypes.NARROW:
        raise refusal("check_uniform_bounds", dtype)
    low, high = float(low), float(high)
    limit = dtypes.finfo(dtype).max
    for name, value in (("from", low), ("to", high)):
        if not -limit <= value <= limit:
            raise RuntimeError(f"{name} is out of bounds for {dtype}: {value}")
    if low > high:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}")
    if high - low > limit:
        raise RuntimeError(
            f"uniform_ expects to-from <= the greatest {dtype}, but found to={high:g} and from={low:g} which result in "
            "to-from to exceed the limit"
        )
    return _parts(lambda n, target, serial: draw("uniform", generator, n, target, low, high))


@filling
def uniform_(self: Tensor, *args: Any, generator: Generator | None = None, **kwargs: Any) -> Tensor:
    """Fill with values from [from, to): `uniform_(from=0, to=1)`."""
    low, high = _arguments("uniform_", ("from", "to"), (0.0, 1.0), args, kwargs)
    if self.is_meta:  # type: ignore[attr-defined]
        return fill_nothing(self, "UniformBackward0")
    return fill_drawn(self, "UniformBackward0", _uniform(self.dtype, low, high, generator))


@composite(methods=False)
def rand(
    *dims: Any, size: Any = None, generator: Generator | None = None, out: Tensor | None = None, dtype: Any = None,
    layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """A tensor of the given shape with values from [0, 1)."""
    constants.check_options("rand", layout, pin_memory)
    shape = size_of("rand", dims, size)
    return deliver(_maker(_standard_uniform(generator), shape), None, dtype, device, requires_grad, out, shape=shape)


def _standard_uniform(generator: Generator | None) -> Callable[[dtypes.dtype], Draw]:
    return lambda dtype: _uniform(dtype, 0.0, 1.0, generator)


def _maker(
    make: Callable[[dtypes.dtype], Draw], shape: tuple[int, ...], serial: bool = False
) -> Callable[[np.dtype], np.ndarray]:
    return lambda target: make(dtypes.from_numpy(target))(math.prod(shape), target, serial).reshape(shape)


def _rows_first(tensor: Tensor) -> bool:
    """Whether a dense tensor with dimensions in the order of this one's in memory is contiguous."""
    g = tensor._geometry
    steps = [stride for n, stride in zip(g.shape, g.strides, strict=True) if n > 1 and stride]
    return steps == sorted(steps, reverse=True)


def _like(
    input: Tensor, make: Callable[[dtypes.dtype], Draw], dtype: Any, layout: Any, device: Any, requires_grad: bool,
    memory_format: Any, pin_memory: bool,
) -> Tensor:  # fmt: skip
    if isinstance(input, Tensor):
        input.is_contiguous()  # the order in memory is that of the draws: a compiled function has to know it
    if not constants.sparse.is_sparse(input):  # whose own form looks at it
        constants.check_options("empty_like", layout, pin_memory)
    # a result that keeps another order of its dimensions than rows first is filled one by one
    turned = isinstance(input, Tensor) and not _rows_first(input)
    fill = lambda shape: _anew(_maker(make, shape, serial=turned and memory_format is None))  # noqa: E731
    return like(input, fill, dtype, device, requires_grad, memory_format)


@composite(methods=False)
def rand_like(
    input: Tensor, *, generator: Generator | None = None,
    dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False, memory_format: Any = None,
    pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """`rand` with `input`'s shape, dtype and device (unless `dtype=`, `device=` say otherwise)."""
    return _like(input, _standard_uniform(generator), dtype, layout, device, requires_grad, memory_format, pin_memory)


# --- normal ----------------------------------------------------------------------------------------------------------


def _normal(dtype: dtypes.dtype, mean: Any, std: Any, generator: Generator | None) -> Draw:
    if dtype.category < dtypes.FLOAT or dtype in dtypes.NARROW:
        raise refusal("normal_kernel_cpu", dtype)
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    # a complex normal value has the variance in both parts together
    scale = float(std) / math.sqrt(2) if dtype.is_complex else float(std)
    return _parts(lambda n, target, serial: draw("normal", generator, n, target, float(mean), scale, serial))


@filling
def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with normal values of the given mean and standard deviation."""
    mean, std = number("normal_", "mean", 1, mean), number("normal_", "std", 2, std)
    return fill_drawn(self, "NormalBackward0", _normal(self.dtype, mean, std, generator))


def _normal_nowhere(dtype: Any, device: Any, out: Tensor | None, std: float = 1.0) -> None:
    """On the meta device nothing is drawn, but PyTorch looks at these."""
    if constants.resolved(out, device) is NOWHERE:
        target = dtypes.as_dtype(dtype) or (out.dtype if out is not None else None)
        if target is not None and target.category < dtypes.FLOAT:
            raise RuntimeError(f"expected a floating-point or complex dtype, but got dtype={target}")
        if not std >= 0:
            raise RuntimeError(f"normal expects std >= 0.0, but found std {float(std)}")


def _standard_normal(generator: Generator | None) -> Callable[[dtypes.dtype], Draw]:
    return lambda dtype: _normal(dtype, 0.0, 1.0, generator)


@composite(methods=False)
def randn(
    *dims: Any, size: Any = None, generator: Generator | None = None, out: Tensor | None = None, dtype: Any = None,
    layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """A tensor of the given shape with standard normal values."""
    constants.check_options("randn", layout, pin_memory)
    shape = size_of("randn", dims, size)
    _normal_nowhere(dtype, device, out)
    return deliver(_maker(_standard_normal(generator), shape), None, dtype, device, requires_grad, out, shape=shape)


@composite(methods=False)
def randn_like(
    input: Tensor, *, generator: Generator | None = None,
    dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False, memory_format: Any = None,
    pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """`randn` with `input`'s shape, dtype and device (unless `dtype=`, `device=` say otherwise)."""
    return _like(input, _standard_normal(generator), dtype, layout, device, requires_grad, memory_format, pin_memory)


@composite(methods=False)
def normal(
    mean: Any, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None, out: Tensor | None = None,
    dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Normal values: of a mean and deviation per element (tensors, which broadcast), or of one for a whole `size`."""
    constants.check_options("normal", layout, pin_memory)
    tensors = [t for t in (mean, std) if isinstance(t, Tensor)]
    if size is not None:
        for position, (key, value) in enumerate((("mean", mean), ("std", std)), 1):
            if isinstance(value, Tensor):
                refuse_recorded("normal_", key, position, value)  # that of one size has no form for tensors
        mean, std = number_of("normal", "mean", mean), number_of("normal", "std", std)
        shape = size_of("normal", (), size)
        _normal_nowhere(dtype, device, out, std)
        make = _maker(lambda d: _normal(d, mean, std, generator), shape)
        return deliver(make, None, dtype, device, requires_grad, out, shape=shape)
    _check_normal(mean, std, tensors)
    where = tensors[0].device
    if is_traced() and all(dtype in (None, t.dtype) for t in tensors):
        means, deviations = ((t._array if isinstance(t, Tensor) else t) for t in (mean, std))
        shape = np.broadcast_shapes(np.shape(means), np.shape(deviations))
        noise = host_value(lambda: draw("normal", generator, math.prod(shape), tensors[0]._np_dtype).reshape(shape))
        made = noise * deviations + means
        result = constants.deliver(lambda d: made.astype(d), tensors[0].dtype, None, where, requires_grad, out)
        return result if out is not None or requires_grad else drawn_from(result, _normal_name(mean, std), *tensors)
    nowhere = any(t.is_meta for t in tensors)  # type: ignore[attr-defined]
    arrays = [t._array if isinstance(t, Tensor) else t for t in (mean, std)]
    values = (
        arrays
        if nowhere
        else [whole_values(t) if isinstance(t, Tensor) else a for t, a in zip((mean, std), arrays, strict=True)]
    )
    try:
        shape = np.broadcast_shapes(*(np.shape(v) for v in values))
    except ValueError:
        raise RuntimeError(broadcast_clash([np.shape(v) for v in values])) from None

    def drawn(n: int, target: np.dtype) -> np.ndarray:
        if target.kind != "c":
            return draw("normal", generator, n, target)
        both = draw("normal", generator, 2 * n, np.dtype(f"f{target.itemsize // 2}")).view(target)
        return both * target.type(math.sqrt(0.5))  # which has the variance in both parts together

    def fill(target: np.dtype) -> np.ndarray:
        made = drawn(math.prod(shape), target).reshape(shape)
        made *= np.asarray(values[1]).astype(target)
        made += np.asarray(values[0]).astype(target)
        return made

    result = deliver(
        fill, tensors[0].dtype, dtype, where if device is None else device, requires_grad, out, shape=shape
    )
    if out is None and not requires_grad:
        return drawn_from(constants.beside(result, *tensors), _normal_name(mean, std), *tensors)
    return result


def _check_normal(mean: Any, std: Any, tensors: list[Tensor]) -> None:
    if not tensors:
        raise TypeError(
            f"normal(): argument 'mean' (position 1) must be Tensor, not {type(mean).__name__}; "
            "with numbers, size= is needed too"
        )
    if tensors[0].dtype.category < dtypes.FLOAT:  # what is drawn has the first one's dtype
        raise refusal("normal_kernel_cpu", tensors[0].dtype)
    if isinstance(std, complex) or (isinstance(std, Tensor) and std.dtype.is_complex):
        raise RuntimeError("normal expects standard deviation to be non-complex")
    if isinstance(std, Tensor):
        wrong = "normal expects all elements of std >= 0.0"
        demand(lambda x: (~(x >= 0), 0), lambda _: RuntimeError(wrong), std)
    elif std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")


def _normal_name(mean: Any, std: Any) -> str:
    return f"NormalBackward{isinstance(mean, Tensor) + 2 * isinstance(std, Tensor)}"


# --- integers --------------------------------------------------------------------------------------------------------


def _need_room(low: int, high: int) -> None:
    if low >= high:
        first, end = "'from'", "'to'"
        raise RuntimeError(f"random_ expects {first} to be less than {end}, but got from={low} >= to={high}")


def _integers(dtype: dtypes.dtype, low: int, high: int, generator: Generator | None) -> Draw:
    if dtype.is_complex:
        raise RuntimeError("check_random_bounds handles only integral, floating-point and boolean types")
    if dtype in dtypes.NARROW:
        raise refusal("random_update_from_to", dtype)
    _need_room(low, high)
    target = dtype.numpy
    if dtype.is_floating_point:
        least, most = -dtypes.finfo(dtype).max, dtypes.finfo(dtype).max
    else:
        least, most = (0, 1) if target.kind == "b" else (np.iinfo(target).min, np.iinfo(target).max)
    for name, value in (("from", low), ("to - 1", high - 1)):
        if not least <= value <= most:
            raise RuntimeError(f"{name} is out of bounds for {dtype}: {value}")
    return lambda n, target, serial: draw("integers", generator, n, target, low, high)


@filling
def random_(self: Tensor, *args: Any, generator: Generator | None = None, **kwargs: Any) -> Tensor:
    """Fill with integers from [from, to): `random_(to)`, `random_(from, to)`.

    With no end, up to the greatest integer that the dtype holds (with all below it, for floats).
    """
    if len(args) == 1 and "to" not in kwargs and "from" not in kwargs:
        args = (0, args[0])
    low, high = _arguments("random_", ("from", "to"), (None, None), args, kwargs)
    low, high = (None if v is None else _whole("random_", n, v) for n, v in (("from", low), ("to", high)))
    dtype, target = self.dtype, self._np_dtype
    if self.is_meta:  # type: ignore[attr-defined]
        return fill_nothing(self, "RandomBackward2")
    if dtype.is_complex or (target.kind == "u" and target.itemsize > 1 and high is None):
        raise refusal("random_kernel_cpu", dtype)
    if high is None and low is None:
        return fill_drawn(self, "RandomBackward2", lambda n, target, serial: draw("any_integers", generator, n, target))
    if high is None:
        high = largest_exact(target) + 1
    return fill_drawn(self, "RandomBackward2", _integers(dtype, low or 0, high, generator))


def _span(
    name: str, args: tuple[Any, ...], low: Any, high: Any, tail: Any, tail_name: str | None
) -> tuple[int, int, Any]:
    """The arguments of randint: ([low,] high, size), of randint_like: ([low,] high)."""
    rest = list(args)
    if tail is None and tail_name is not None:
        if not rest:
            raise TypeError(f'{name}() missing 1 required positional arguments: "{tail_name}"')
        tail = rest.pop()
    if high is None:
        if not rest:
            raise TypeError(f'{name}() missing 1 required positional arguments: "high"')
        high = rest.pop()
    if rest and low is None:
        low = rest.pop()
    if rest:
        raise TypeError(f"{name}() received an invalid combination of arguments: {args}")
    return _whole(name, "low", 0 if low is None else low), _whole(name, "high", high), tail


def _whole(name: str, argument: str, value: Any) -> int:
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()  # of any number of dimensions: PyTorch's own graphs may hold it
    value = number_of(name, argument, value)
    if isinstance(value, (float, complex)):
        raise TypeError(f"{name}(): argument '{argument}' must be int, not {type(value).__name__}")
    return int(value)


@composite(methods=False)
def randint(
    *args: Any, low: Any = None, high: Any = None, size: Any = None, generator: Generator | None = None,
    out: Tensor | None = None, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Integers from [low, high): `randint(high, size)`, `randint(low, high, size)`; int64 unless told otherwise."""
    constants.check_options("randint", layout, pin_memory)
    start, end, dims = _span("randint", args, low, high, size, "size")
    if not isinstance(dims, (tuple, list)):
        raise TypeError(f"randint(): argument 'size' must be tuple of ints, not {type(dims).__name__}")
    shape = size_of("randint", (), dims)
    _need_room(start, end)
    make = _maker(lambda d: _integers(d, start, end, generator), shape)
    return deliver(make, dtypes.int64, dtype, device, requires_grad, out, shape=shape)


@composite(methods=False)
def randint_like(
    input: Tensor, *args: Any, low: Any = None, high: Any = None, generator: Generator | None = None,
    dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False, memory_format: Any = None,
    pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Integers from [low, high) with `input`'s shape, dtype and device: `randint_like(input, [low,] high)`."""
    start, end, _ = _span("randint_like", args, low, high, None, None)
    make = lambda d: _integers(d, start, end, generator)  # noqa: E731
    return _like(input, make, dtype, layout, device, requires_grad, memory_format, pin_memory)


@composite(methods=False)
def randperm(
    n: int, *, generator: Generator | None = None, out: Tensor | None = None, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """The integers below `n` in random order; int64 unless told otherwise."""
    constants.check_options("randperm", layout, pin_memory)
    n = _whole("randperm", "n", n)
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")

    def fill(target: np.dtype) -> np.ndarray:
        if target.kind == "f" and n > largest_exact(target) + 1:
            raise RuntimeError(
                f"n cannot be greater than {largest_exact(target) + 1} for {dtypes.from_numpy(target)}, got {n}"
            )
        if target.kind in "iub" and n > largest_exact(target) + 1:
            raise RuntimeError(f"value cannot be converted to type {dtypes.from_numpy(target)} without overflow: {n}")
        return draw("permutation", generator, n).astype(target, copy=False)

    return deliver(fill, dtypes.int64, dtype, device, requires_grad, out, shape=(n,))


# --- other distributions ---------------------------------------------------------------------------------------------


def _need_floating(name: str, dtype: dtypes.dtype) -> None:
    if not dtype.is_floating_point:
        raise RuntimeError(
            f"{name} distribution is a continuous probability distribution. dtype must be a floating point but you "
            f"specified {dtype.abbr}"
        )


@filling
def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with values of density lambd * exp(-lambd x)."""
    _need_floating("Exponential", self.dtype)
    if not lambd > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd:g}")
    return fill_drawn(self, "ExponentialBackward0", lambda n, d, serial: draw("exponential", generator, n, d, lambd))


@filling
def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fill with the number of trials up to the first success, each of probability `p`."""
    if self.dtype.is_complex or self.dtype is dtypes.bool or (self._np_dtype.kind == "u" and self.dtype.itemsize > 1):
        raise refusal("geometric_cpu", self.dtype)
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p:g}")
    return fill_drawn(self, "GeometricBackward0", lambda n, d, serial: draw("geometric", generator, n, d, p))


@filling
def log_normal_(self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with values whose logarithm has the given mean and standard deviation."""
    if not self.dtype.is_floating_point:
        raise refusal("log_normal_cpu", self.dtype)
    if not std > 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std:g}")
    return fill_drawn(self, "LogNormalBackward0", lambda n, d, serial: draw("log_normal", generator, n, d, mean, std))


@filling
def cauchy_(self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with values of the Cauchy distribution."""
    _need_floating("Cauchy", self.dtype)
    if not sigma > 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
    return fill_drawn(self, "CauchyBackward0", lambda n, d, serial: draw("cauchy", generator, n, d, median, sigma))


# --- the generator's state -------------------------------------------------------------------------------------------


def _get_state(self: Generator) -> Tensor:
    """The state as PyTorch has it: 5056 bytes in a uint8 tensor."""
    refuse_in_a_trace("reads")
    return place(self.get_state_bytes())


def _set_state(self: Generator, new_state: Tensor) -> Generator:
    """Go on from a state that `get_state` gave. Raises TypeError or RuntimeError for anything else."""
    if not isinstance(new_state, Tensor):
        raise TypeError(f"expected a torch.ByteTensor, but got {type(new_state).__name__}")
    self.set_state_bytes(np.asarray(new_state._array))
    return self


def _reduce(self: Generator) -> tuple[Any, ...]:
    return Generator, (self.device,), (self.initial_seed(), None, _get_state(self))


def _restore(self: Generator, state: Any) -> None:
    """Go on from what a pickle holds: seed, offset (of other kinds) and state, as in PyTorch's; or the bytes alone."""
    self.set_state_bytes(np.asarray(state[2]._array) if isinstance(state, tuple) else state)


Generator.__reduce__ = _reduce  # type: ignore[assignment, method-assign]
Generator.__setstate__ = _restore  # type: ignore[attr-defined]
Generator.get_state = _get_state  # type: ignore[attr-defined]
Generator.set_state = _set_state  # type: ignore[attr-defined]


@unseen
def manual_seed(seed: int) -> Generator:
    """Start the default generator's stream anew from `seed`; returns the generator."""
    return default_generator.manual_seed(int(seed))


@unseen
def seed() -> int:
    """Start the default generator from the system's entropy; returns the seed."""
    return default_generator.seed()


@asks_setting
@unseen
def initial_seed() -> int:
    """The seed that the default generator was last started with."""
    return default_generator.initial_seed()


@unseen
def get_rng_state() -> Tensor:
    """The default generator's state, as a uint8 tensor."""
    return _get_state(default_generator)


@unseen
def set_rng_state(new_state: Tensor) -> None:
    """Make the default generator go on from a state that `get_rng_state` gave."""
    _set_state(default_generator, new_state)


@unseen
@contextlib.contextmanager
def fork_rng(
    devices: Any = None,
    enabled: bool = True,
    _caller: str = "fork_rng",
    _devices_kw: str = "devices",
    device_type: str = "cuda",
) -> Iterator[None]:
    """Within this context draws do not advance the default generator: its state is put back at the end.

    `devices` is accepted and means nothing: numbers for all devices come from the one generator on the host.
    RuntimeError for a `device_type` that there is not.
    """
    a_device(device_type)
    if not enabled:
        yield
        return
    state = default_generator.get_state_bytes()
    try:
        yield
    finally:
        default_generator.set_state_bytes(state)


for _function in (manual_seed, seed, initial_seed, get_rng_state, set_rng_state):
    _publish(_function.__name__, _function, ("torch", "random"))
_publish("fork_rng", fork_rng, ("random",))
_publish("Generator", Generator, ("torch", "random"))
_publish("default_generator", default_generator, ("torch", "random"))

"""`jvp`, `jacfwd`, `hessian` and `linearize`: derivatives in the direction of the computation, by `jax.jvp`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core.context.grad_mode import no_grad, state
from ..core.tape.nodes import is_differentiable
from ..core.tensor.tensor import Tensor, wrap
from ..core.tensor.tree import flatten, unflatten
from .batching import vmap
from .region import Exit, Logical, Region, Transform, forget_tape, inside, put_value, zeros, zeros_like
from .reverse import _split, _tensors_only, basis, jacrev, numbers_of, replaced
from .run import run


class DualRegion(Region):
    """A function's run on values with their derivatives in one direction."""

    takes_derivatives = True

    def apply_rule(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """By the static method `jvp`, which it has to have."""
        places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]

        structure: list[Any] = []

        def call(arrays: Any) -> tuple[Any, list[Tensor]]:
            given = list(args)
            for place, array in zip(places, arrays, strict=True):
                given[place] = wrap(array)
            wanted = tuple(isinstance(a, Tensor) and is_differentiable(a._np_dtype) for a in given)
            ctx, output = function._forward(tuple(given), kwargs, wanted)
            outputs, spec = flatten(output)
            structure[:] = [spec]
            return ctx, outputs

        @jax.custom_jvp
        def value(*arrays: Any) -> Any:
            with inside(self.parent):
                return tuple(o._array for o in call(arrays)[1])

        @value.defjvp
        def derivative(arrays: Any, directions: Any) -> Any:
            with inside(self.parent), no_grad():
                ctx, outputs = call(arrays)
                given: list[Any] = [None] * len(args)
                for place, direction in zip(places, directions, strict=True):
                    if direction.dtype != jax.dtypes.float0:
                        given[place] = wrap(direction)
                ctx._saved = ctx._saved_forward
                found = flatten(function.jvp(ctx, *given))[0]
            if len(found) != len(outputs):
                raise RuntimeError(
                    "Function's jvp returned an invalid number of forward gradients (expected "
                    f"{len(outputs)} but got {len(found)})"
                )
            pairs = zip(outputs, found, strict=True)
            return tuple(o._array for o in outputs), tuple(_result_direction(o, f) for o, f in pairs)

        arrays = value(*(args[i]._array for i in places))
        return unflatten([wrap(a) for a in arrays], structure[0])

    def concrete(self, array: Any) -> Any:
        """The value without its derivative."""
        return super().concrete(array.primal if self.owns(array) else array)


class Jvp(Transform):
    """`jax.jvp`; for the tape outside, a value is two tensors, itself and its derivative."""

    width = 2

    def region(self, marker: Any) -> Region:
        return DualRegion(marker)

    def call(self, function: Callable[..., Any], inputs: list[list[Any]]) -> tuple[list[Any], ...]:
        values = [value for value, _ in inputs]
        directions = [_direction(value, d) for value, d in inputs]
        zero = np.zeros((), np.float32)
        return jax.jvp(function, (zero, values), (zero, directions))

    def apart(self, result: Tensor) -> Logical:
        return result, None

    def seed(self, gradients: list[Tensor | None], metas: list[Any]) -> Logical:
        of_value, of_derivative = gradients
        return (zeros(metas[1]) if of_derivative is None else of_derivative), of_value

    def leave(self, gradient: Any, exit: Exit) -> list[Tensor | None]:
        if gradient is None:
            return [None, None]
        _, (of_derivative, of_value) = gradient
        return [of_value, of_derivative]

    def settle(self, region: Region, changed: list[Any], finals: list[Any]) -> None:
        """Tensors from outside keep the values, without derivatives."""
        for storage, value in zip(changed, finals, strict=False):
            put_value(storage, value)
            forget_tape(region, storage)


def _result_direction(output: Tensor, direction: Any) -> Any:
    if not is_differentiable(output._np_dtype):
        return np.zeros(output.shape, jax.dtypes.float0)
    if direction is not None and direction.shape != output.shape:
        raise RuntimeError(different_size(output, direction))
    return jnp.zeros(output.shape, output._np_dtype) if direction is None else direction._array


def different_size(value: Tensor, direction: Tensor) -> str:
    """The error for a derivative of another shape than its value's."""
    return (
        "Trying to set a forward gradient that has a different size than that of the original Tensor, this is not supported. "
        f"Tensor is of size {list(value.shape)} while the given forward gradient is of size {list(direction.shape)}."
    )


def _direction(value: Any, direction: Any) -> Any:
    if not is_differentiable(value.dtype):
        return np.zeros(value.shape, jax.dtypes.float0)
    return jnp.zeros(value.shape, value.dtype) if direction is None else direction


def jvp(func: Callable[..., Any], primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False) -> Any:
    """`(func(*primals), derivative of it in the direction of the tangents)`, or `(..., aux)` too.

    With `strict`, RuntimeError if an output does not depend on the inputs; its derivative is zero otherwise.
    """
    what = "jvp(f, primals, tangents)"
    for name, value in (("primals", primals), ("tangents", tangents)):
        if not isinstance(value, tuple):
            raise RuntimeError(f"{what}: expected {name} to be a tuple, as in ({name[:-1]},), got {type(value)}")
    values, spec = _tensors_only(primals, f"{what}, primals")
    directions, given = _tensors_only(tangents, f"{what}, tangents")
    if given != spec or not values:
        raise RuntimeError(
            f"{what}: expected primals and tangents to have one structure and at least one tensor, got {spec} and {given}"
        )
    for value, direction in zip(values, directions, strict=True):
        if value.shape != direction.shape:
            raise RuntimeError(different_size(value, direction))
    told: list[Any] = []

    def body(tensors: list[Tensor]) -> list[Tensor]:
        result, aux = _split(func(*unflatten(tensors, spec)), has_aux, what)
        outputs, out_spec = _tensors_only(result, what)
        extra, aux_spec = flatten(aux) if has_aux else ([], None)
        told.append((len(outputs), out_spec, aux_spec))
        return [*outputs, *extra]

    directions = [d if d.dtype == v.dtype else d.to(v.dtype) for d, v in zip(directions, values, strict=True)]
    made = run(Jvp(), body, list(zip(values, directions, strict=True)))
    count, out_spec, aux_spec = told[0]
    if strict and not all(depends for depends, _ in made[:count]):
        raise RuntimeError(
            f"{what}: the output of f does not depend on the inputs, which strict=True forbids; with strict=False its "
            "derivative is zero"
        )
    outputs = unflatten([value for _, (value, _) in made[:count]], out_spec)
    derivatives = unflatten([zeros_like(v) if d is None else d for _, (v, d) in made[:count]], out_spec)
    if not has_aux:
        return outputs, derivatives
    return outputs, derivatives, unflatten([value for _, (value, _) in made[count:]], aux_spec)


def jacfwd(
    func: Callable[..., Any],
    argnums: Any = 0,
    has_aux: bool = False,
    *,
    randomness: str = "error",
) -> Callable[..., Any]:
    """A function that gives the Jacobian of `func`, a column for each direction; see `jacrev` for the shapes."""

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        numbers = numbers_of(argnums, args)
        chosen = tuple(args[n] for n in numbers)
        inputs, spec = _tensors_only(chosen, "jacfwd(f)(*args)")
        told: list[Any] = []

        def inner(*values: Any) -> Any:
            return func(*replaced(args, numbers, values), **kwargs)

        def column(*directions: Tensor) -> Any:
            out = jvp(inner, chosen, unflatten(list(directions), spec), has_aux=has_aux)
            values, out_spec = flatten(out[0])
            extra, aux_spec = flatten(out[2]) if has_aux else ([], None)
            told[:] = [out_spec, [tuple(v.shape) for v in values], aux_spec]
            return flatten(out[1])[0], extra

        columns, extra = vmap(column, randomness=randomness)(*basis(inputs))
        out_spec, shapes, aux_spec = told
        single = flatten(chosen[0])[1] if isinstance(argnums, int) else spec
        jacobians = []
        for rows, shape in zip(columns, shapes, strict=True):
            parts = rows.movedim(0, -1).split([int(np.prod(x.shape)) for x in inputs], -1)
            blocks = [part.reshape(*shape, *x.shape) for part, x in zip(parts, inputs, strict=True)]
            jacobians.append(unflatten(blocks, single))
        made = unflatten(jacobians, out_spec)
        return (made, unflatten([e[0] for e in extra], aux_spec)) if has_aux else made

    return wrapped


def hessian(func: Callable[..., Any], argnums: Any = 0) -> Callable[..., Any]:
    """A function that gives the second derivatives: the Jacobian (forward) of the Jacobian (reverse)."""
    return jacfwd(jacrev(func, argnums), argnums)


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """`(func(*primals), push)`; `push(*tangents)` is the derivative there, without running `func` again.

    Both are off the tape.
    """
    values, spec = _tensors_only(primals, "linearize(f, *primals)")
    told: list[Any] = []
    transform = Jvp()
    if any(hasattr(mode, "transformed") for mode in state.dispatch_modes):  # it wants to see each operator
        return func(*primals), lambda *tangents: jvp(func, primals, tangents)[1]

    def traced(marker: Any, arrays: list[Any]) -> Any:
        with inside(transform.region(marker)), no_grad():
            outputs, out_spec = _tensors_only(func(*unflatten([wrap(a) for a in arrays], spec)), "linearize")
        told.append(out_spec)
        return [o._array for o in outputs]

    zero = np.zeros((), np.float32)
    arrays, push = jax.linearize(traced, zero, [v._array for v in values])
    out_spec = told[0]

    def linear(*tangents: Any) -> Any:
        directions, given = _tensors_only(tangents, "linearize(f, *primals)")
        if given != spec:
            raise RuntimeError(f"expected tangents in the structure of the primals, {spec}, got {given}")
        for value, direction in zip(values, directions, strict=True):
            if value.shape != direction.shape or value.dtype != direction.dtype:
                raise RuntimeError(
                    f"a tangent has shape {list(direction.shape)} and {direction.dtype}, its primal {list(value.shape)} and "
                    f"{value.dtype}; they must be the same"
                )
        made = push(zero, [_direction(v._array, d._array) for v, d in zip(values, directions, strict=True)])
        return unflatten([wrap(m) for m in made], out_spec)

    return unflatten([wrap(a) for a in arrays], out_spec), linear


__all__ = ["hessian", "jacfwd", "jvp", "linearize"]

"""A compiled CPU kernel as JAX sees it: one declaration makes a primitive, which XLA's own operators compute elsewhere.

    twice = kernel("flambeau_twice", xla=lambda x: 2 * x, native=called("flambeau_twice"))

`flambeau_twice` is the handler that a `.cc` file in `native/` exports. Derivatives are closed under each other: what a rule
here gives is made of primitives again, so that there are gradients of every order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from . import expect, serves

__all__ = ["called", "kernel", "multiply_adds_of", "rows_of"]

_PROGRAMS = 512  # of calls outside of any program, for each kernel
_counts: dict[str, Callable[..., int]] = {}  # multiply-adds, by the primitive's name


class Rows(NamedTuple):
    """What a kernel does with the rows of a batch: see `kernel`."""

    rows: Callable[..., bool]
    sums: Callable[..., Any] | None


_rows: dict[str, Rows] = {}  # by the primitive's name


def kernel(
    name: str,
    xla: Callable[..., Any],
    native: Callable[..., Any] | None = None,
    *,
    shape: Callable[..., Any] | None = None,
    several: bool = False,
    fits: Callable[..., bool] = lambda *shapes, **params: True,
    dtypes: Collection[str] = ("float32", "bfloat16"),
    xla_on_cpu: Callable[..., Any] | None = None,
    handler: Callable[..., str] | None = None,
    handlers: Sequence[str] | None = None,
    batched: Callable[..., Any] | None = None,
    bilinear: tuple[Callable[..., Any], Callable[..., Any]] | None = None,
    jvp: Callable[..., Any] | None = None,
    transpose: Callable[..., Any] | None = None,
    multiply_adds: Callable[..., int] | None = None,
    rows: Callable[..., bool] | None = None,
    sums: Callable[..., Any] | None = None,
    alone: bool = False,
    moves: bool = False,
) -> Primitive:
    """Declare a primitive that a CPU computes with `native(*arrays, result=..., **params)`, and all else with `xla(*arrays, **params)`.

    `result` is the result's abstract value, or a list of them if there are `several`. `fits(*shapes, **params)` says whether the
    native form takes shapes like these (of the arguments and of the results), and `dtypes` which dtypes of the first argument;
    a CPU on which it is not taken gets `xla_on_cpu` where that is given. `handlers` are the symbols in the library (the name,
    by default), of which `handler(**params)` is the one that is called.
    `shape(*avals, **params)` is the result's shape and dtype (`xla`'s, by default), `batched(primitive, arrays, dims, **params)`
    the rule for vmap (`xla` under vmap), `bilinear` the two transposes of what is linear in both arguments, `jvp` and
    `transpose` the rules of anything else. `multiply_adds(*shapes, **params)` counts those of a call.
    `rows(dims, *shapes, **params)`, with a set of dimensions for each argument, says whether rows along these stay apart: what is in
    some of them has no influence on what comes of the others, which lie where they lay. `sums(*shapes, **params)` gives for each argument
    the dimensions that it is summed over, where zeros (of all arguments) add nothing. A compiled step for several batch sizes asks this.
    With `alone` the native form is for programs of one device: XLA cuts its own operations over several, and gathers what a call takes.
    A kernel that only `moves` numbers needs no processor that computes with them.
    """
    primitive = Primitive(name)
    primitive.multiple_results = several
    primitive.def_abstract_eval(_abstract(shape or partial(_shape_of, xla)))
    primitive.def_impl(_run_alone(primitive))
    batching.primitive_batchers[primitive] = partial(batched, primitive) if batched else partial(_mapped, xla, several)
    if bilinear is not None:
        ad.defbilinear(primitive, *bilinear)
    if jvp is not None:
        ad.primitive_jvps[primitive] = jvp
    if transpose is not None:
        ad.primitive_transposes[primitive] = transpose
    if multiply_adds is not None:
        _counts[name] = multiply_adds
    if rows is not None:
        _rows[name] = Rows(rows, sums)
    mlir.register_lowering(primitive, mlir.lower_fun(xla, multiple_results=several))
    if native is not None:
        expect(*(handlers or (name,)))
        _lower_on_cpu(primitive, native, xla_on_cpu or xla, fits, dtypes, handler, alone, moves)
    return primitive


def called(name: str, orders: Callable[..., Any], attributes: Callable[..., dict[str, Any]]) -> Callable[..., Any]:
    """A native form that is one call of a handler, for arrays whose dimensions it takes in another order.

    `orders(*ndims)` gives the dimensions of the arguments and of the result in the order that the handler takes them, and
    `attributes(**params)` what the handler is told.
    """

    def native(*arrays: jax.Array, result: Any, **params: Any) -> jax.Array:
        # Transposes rather than layouts of the call: XLA then sees row-major arrays throughout, and most of what it puts
        # between two such calls (sums above all) copies arrays that lie in any other order.
        *given, made = orders(*(a.ndim for a in arrays), len(result.shape))
        turned = (jax.numpy.transpose(a, order) for a, order in zip(arrays, given, strict=True))
        call = jax.ffi.ffi_call(name, jax.ShapeDtypeStruct(tuple(result.shape[d] for d in made), result.dtype))
        return jax.numpy.transpose(call(*turned, **attributes(**params)), tuple(map(int, np.argsort(made))))

    return native


def rows_of(name: str) -> Rows | None:
    """What a kernel with this name has declared of rows; None for one that has not, and for any other operation."""
    return _rows.get(name)


def multiply_adds_of(equation: Any) -> int | None:
    """Those of a kernel's call in a jaxpr; None for any other operation, and for kernels that multiply nothing."""
    count = _counts.get(equation.primitive.name)
    if count is None:
        return None
    return count(*(v.aval.shape for v in (*equation.invars, *equation.outvars)), **equation.params)


# ---------------------------------------------------------------- the rules


def _shape_of(xla: Callable[..., Any], *avals: Any, **params: Any) -> Any:
    return jax.eval_shape(partial(xla, **params), *avals)


def _abstract(shape: Callable[..., Any]) -> Callable[..., Any]:
    def rule(*avals: Any, **params: Any) -> Any:
        made = shape(*avals, **params)
        return jax.tree_util.tree_map(lambda m: jax.core.ShapedArray(m.shape, m.dtype), made)

    return rule


def _run_alone(primitive: Primitive) -> Callable[..., Any]:
    """A call outside of any program is a program of its own."""

    @lru_cache(_PROGRAMS)
    def compiled(params: tuple[Any, ...]) -> Callable[..., Any]:
        return jax.jit(partial(primitive.bind, **dict(params)))

    return lambda *arrays, **params: compiled(tuple(params.items()))(*arrays)


def _mapped(xla: Callable[..., Any], several: bool, arrays: Any, dims: Any, **params: Any) -> Any:
    made = jax.vmap(partial(xla, **params), in_axes=tuple(dims))(*arrays)
    return (list(made), [0] * len(made)) if several else (made, 0)


def _is_cut(where: Any) -> bool:
    """Whether XLA divides a program over several devices, other than the body of a `shard_map`, which is one device's."""
    manual = getattr(where, "manual_axes", ())
    if manual:
        return set(manual) != set(where.mesh.axis_names)
    return getattr(where, "num_devices", None) not in (None, 1)


def _lower_on_cpu(
    primitive: Primitive,
    native: Callable[..., Any],
    xla: Callable[..., Any],
    fits: Callable[..., bool],
    dtypes: Collection[str],
    handler: Callable[..., str] | None,
    alone: bool,
    moves: bool,
) -> None:
    several = primitive.multiple_results
    native_rule, xla_rule = (mlir.lower_fun(form, multiple_results=several) for form in (native, xla))

    def rule(ctx: Any, *args: Any, **params: Any) -> Any:
        shapes = [aval.shape for aval in (*ctx.avals_in, *ctx.avals_out)]
        exported = getattr(getattr(ctx.module_context, "lowering_parameters", None), "for_export", False)
        symbol = primitive.name if handler is None else handler(**params)
        cut = alone and _is_cut(ctx.module_context.axis_context)
        if not (exported or cut) and serves(ctx.avals_in[0].dtype, symbol, dtypes, moves) and fits(*shapes, **params):
            return native_rule(ctx, *args, result=ctx.avals_out if several else ctx.avals_out[0], **params)
        return xla_rule(ctx, *args, **params)

    mlir.register_lowering(primitive, rule, platform="cpu")

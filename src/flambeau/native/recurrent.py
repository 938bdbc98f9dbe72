"""All steps of a recurrent layer in one direction: one kernel forwards, one backwards.

The derivative is a primitive of its own (`changes`), linear in what comes from outside of the loop; the kernel backwards is its
transpose. Derivatives of these two, and all of it under vmap, are `lax.scan` (`xla_recurrent.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters import ad
from jax.tree_util import tree_flatten, tree_leaves, tree_unflatten, treedef_children

from . import xla_recurrent as xla
from .kernel import kernel
from .xla_recurrent import CELLS, Known, Linear, State, Weights, product, shifted

__all__ = ["steps"]

KINDS = tuple(CELLS)  # in the order of `Kind` in recurrent.cc
_DTYPES = ("float32", "float64")


def _opened(form: Any, arrays: Sequence[Any], tree: Any, **params: Any) -> list[jax.Array]:
    """A form that takes and gives structures, on their arrays."""
    return tree_leaves(form(*params.values(), *tree_unflatten(tree, arrays)))


def _xla_form(form: Any) -> Any:
    return lambda *arrays, tree, kind, reverse: _opened(form, arrays, tree, kind=kind, reverse=reverse)


_xla_steps, _xla_changes, _xla_gradients = map(_xla_form, (xla.steps, xla.changes, xla.gradients))

# --- shapes ------------------------------------------------------------------------------------------------------------------


def _steps_shape(*avals: Any, tree: Any, kind: str, reverse: bool) -> list[Any]:
    x, state, weights, _ = tree_unflatten(tree, avals)
    steps, batch, sums = x.shape
    units = sums // CELLS[kind].chunks
    saved = {"lstm": [sums], "gru": [sums, units]}.get(kind, [])
    sizes = [s.shape[1] for s in state] + saved + [units] * (weights.projection is not None)
    return [jax.core.ShapedArray((steps, batch, size), x.dtype) for size in sizes]


def _changes_shape(*avals: Any, tree: Any, kind: str, reverse: bool) -> list[Any]:
    _, known = tree_unflatten(tree, avals)
    return [*known.states, *known.saved]


def _gradients_shape(*avals: Any, tree: Any, kind: str, reverse: bool) -> list[Any]:
    _, known = tree_unflatten(tree, avals)
    h = known.states[0]
    x = jax.core.ShapedArray((*h.shape[:2], CELLS[kind].chunks * known.states[-1].shape[-1]), h.dtype)
    projected = [] if known.projection is None else [h]
    return [x, *([x] if kind == "gru" else []), *projected, *known.state]


# --- native forms ------------------------------------------------------------------------------------------------------------


def _same(arrays: Sequence[jax.Array]) -> bool:
    """Whether all numbers have one dtype. Half precision's products are made in half precision, which the kernel does not do."""
    return len({a.dtype for a in arrays if a.dtype != np.bool_}) == 1


def _call(
    name: str, dtype: Any, arrays: Sequence[Any], mask: Any, results: Sequence[Any], **settings: Any
) -> list[Any]:
    """A call with arrays without elements in the place of those that are not there."""
    nothing = jax.ShapeDtypeStruct((0,), dtype)
    given = [jnp.zeros((0,), dtype) if a is None else a for a in arrays]
    given.append(jnp.zeros((0,), np.bool_) if mask is None else mask)
    kind, reverse, aliases = settings["kind"], settings["reverse"], settings.get("aliases")
    call = jax.ffi.ffi_call(name, [nothing if r is None else r for r in results], input_output_aliases=aliases)
    made = call(*given, kind=np.int64(KINDS.index(kind)), reverse=reverse)
    return [m for m, r in zip(made, results, strict=True) if r is not None]


def _optional(kind: str, made: Sequence[Any]) -> tuple[Any, Any, Any, Any]:
    """Of (h, c?, gates?, share?, shown?): those after h, or None."""
    rest = list(made[1:])
    c, gates, share = (rest.pop(0) if has else None for has in (kind == "lstm", kind in ("lstm", "gru"), kind == "gru"))
    return c, gates, share, rest[0] if rest else None


def _native_steps(*arrays: jax.Array, result: Any, tree: Any, kind: str, reverse: bool) -> list[jax.Array]:
    if not _same(arrays):
        return _xla_steps(*arrays, tree=tree, kind=kind, reverse=reverse)
    x, state, weights, mask = tree_unflatten(tree, arrays)
    made = [jax.ShapeDtypeStruct(r.shape, r.dtype) for r in result]
    h, c = (*state, None)[:2]
    given = (x, h, c, weights.hidden, weights.input_bias, weights.bias, weights.projection)
    # The gates take the memory of the sums that they are made of.
    aliases = {0: 2} if kind in ("lstm", "gru") else None
    results = (made[0], *_optional(kind, made))
    return _call("flambeau_recurrent", x.dtype, given, mask, results, kind=kind, reverse=reverse, aliases=aliases)


def _native_gradients(*arrays: jax.Array, result: Any, tree: Any, kind: str, reverse: bool) -> list[jax.Array]:
    if not _same(arrays):
        return _xla_gradients(*arrays, tree=tree, kind=kind, reverse=reverse)
    by_states, known = tree_unflatten(tree, arrays)
    made = [jax.ShapeDtypeStruct(r.shape, r.dtype) for r in result]
    by_h, by_c = (*by_states, None)[:2]
    h, c = (*known.state, None)[:2]
    states_c, gates, share, _ = _optional(kind, (*known.states, *known.saved))
    given = (by_h, by_c, known.hidden, known.projection, h, c, known.states[0], states_c, gates, share)
    rest = made[1:]
    by_share = rest.pop(0) if kind == "gru" else None
    projected = None if known.projection is None else rest.pop(0)
    results = (made[0], by_share, projected, rest[0], rest[1] if kind == "lstm" else None)
    return _call("flambeau_recurrent_backward", h.dtype, given, known.mask, results, kind=kind, reverse=reverse)


# --- derivatives -------------------------------------------------------------------------------------------------------------


def _is_zero(tangent: Any) -> bool:
    return tangent is None or type(tangent) is ad.Zero


def _sum(*terms: Any) -> Any:
    """The sum of those that are there; None if there are none."""
    there = [term for term in terms if not _is_zero(term)]
    return sum(there[1:], there[0]) if there else None


def _along(bias: Any, x: jax.Array) -> Any:
    return None if _is_zero(bias) else jnp.broadcast_to(bias.astype(x.dtype), x.shape)


def _steps_jvp(primals: Any, tangents: Any, *, tree: Any, kind: str, reverse: bool) -> Any:
    x, state, weights, mask = tree_unflatten(tree, primals)
    dx, dstate, dweights, _ = tree_unflatten(tree, tangents)
    made = _steps_p.bind(*primals, tree=tree, kind=kind, reverse=reverse)
    states, saved = tuple(made[: len(state)]), tuple(made[len(state) :])
    before = shifted(states[0], state[0], reverse)
    by_weight = None if _is_zero(dweights.hidden) else product(before, dweights.hidden)
    dx, share = _sum(dx, _along(dweights.input_bias, x)), _sum(by_weight, _along(dweights.bias, x))
    if kind != "gru":
        dx, share = _sum(dx, share), None
    elif share is None:
        share = jnp.zeros_like(x)
    projected = None
    if weights.projection is not None:
        is_fixed = _is_zero(dweights.projection)
        projected = jnp.zeros_like(states[0]) if is_fixed else product(saved[-1], dweights.projection)
    linear = Linear(jnp.zeros_like(x) if dx is None else dx, share, projected, tuple(map(ad.instantiate_zeros, dstate)))
    known = Known(weights.hidden, weights.projection, state, states, saved, mask)
    leaves, both = tree_flatten((linear, known))
    return made, _changes_p.bind(*leaves, tree=both, kind=kind, reverse=reverse)


def _changes_transpose(cotangents: Any, *arrays: Any, tree: Any, kind: str, reverse: bool) -> Any:
    _, known = tree_unflatten(tree, arrays)
    count = len(known.states)
    wanted = [ad.is_undefined_primal(a) for a in arrays[: len(arrays) - len(tree_leaves(known))]]
    if all(map(_is_zero, cotangents)):
        return [None] * len(arrays)
    if all(map(_is_zero, cotangents[count:])):
        by_states = tuple(None if _is_zero(by) else by for by in cotangents[:count])
        leaves, both = tree_flatten((by_states, known))
        made = _gradients_p.bind(*leaves, tree=both, kind=kind, reverse=reverse)
    else:
        like = tree_unflatten(
            treedef_children(tree)[0],
            [a.aval if ad.is_undefined_primal(a) else jax.typeof(a) for a in arrays[: len(wanted)]],
        )
        pull = jax.linear_transpose(lambda linear: xla.changes(kind, reverse, linear, known), like)
        given = list(map(ad.instantiate_zeros, cotangents))
        made = tree_leaves(pull((tuple(given[:count]), tuple(given[count:]))))
    gradients = [m if is_wanted else None for m, is_wanted in zip(made, wanted, strict=True)]
    return [*gradients, *([None] * (len(arrays) - len(wanted)))]


def _by_xla(form: Any) -> Any:
    def rule(primals: Any, tangents: Any, **params: Any) -> Any:
        return jax.jvp(partial(form, **params), primals, tuple(map(ad.instantiate_zeros, tangents)))

    return rule


# --- the primitives ----------------------------------------------------------------------------------------------------------


def _is_large(*shapes: Any, **_: Any) -> bool:
    return all(math.prod(shape) > 0 for shape in shapes)


def _multiply_adds(*shapes: Any, tree: Any, kind: str, reverse: bool) -> int:
    """Those of the loop: of the hidden state's product and of the projection's, at each step."""
    parts = tree_unflatten(tree, shapes[: tree.num_leaves])
    known = next(part for part in parts if isinstance(part, Known | Weights))
    steps, batch = shapes[tree.num_leaves][:2]
    matrices = [m for m in (known.hidden, known.projection) if m is not None]
    return steps * batch * sum(map(math.prod, matrices))


def _apart(dims: Sequence[set[int]], *shapes: Any, **params: Any) -> bool:
    """Sequences have nothing to do with each other: `(T, B, ...)`, the mask `(T, B)`; states are `(B, H)`."""
    *others, _ = [{1} if len(shape) == 3 else {0} for shape in shapes]
    return all(
        one <= batch for one, batch in zip(dims, (*others, {1}), strict=True)
    )  # the mask, if there is one, comes last


_steps_p = kernel(
    "flambeau_recurrent",
    _xla_steps,
    _native_steps,
    shape=_steps_shape,
    several=True,
    fits=_is_large,
    dtypes=_DTYPES,
    jvp=_steps_jvp,
    multiply_adds=_multiply_adds,
    rows=_apart,
)
_changes_p = kernel(
    "flambeau_recurrent_changes",
    _xla_changes,
    shape=_changes_shape,
    several=True,
    jvp=_by_xla(_xla_changes),
    transpose=_changes_transpose,
    multiply_adds=_multiply_adds,
    rows=_apart,
)
_gradients_p = kernel(
    "flambeau_recurrent_backward",
    _xla_gradients,
    _native_gradients,
    shape=_gradients_shape,
    several=True,
    fits=_is_large,
    dtypes=_DTYPES,
    jvp=_by_xla(_xla_gradients),
    multiply_adds=_multiply_adds,
    rows=_apart,
)


def steps(kind: str, reverse: bool, x: jax.Array, state: State, weights: Weights, mask: jax.Array | None) -> State:
    """All states after each step of a layer of `kind` (lstm, gru, rnn_tanh, rnn_relu) in one direction.

    Shapes: x `(T, B, chunks * H)` is the input's product; each state `(B, H)`, the mask of steps that a sequence has `(T, B)`.
    """
    leaves, tree = tree_flatten((x, state, weights, mask))
    return tuple(_steps_p.bind(*leaves, tree=tree, kind=kind, reverse=reverse)[: len(state)])

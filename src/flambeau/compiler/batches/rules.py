"""Rules of operations on elements, sums, and of what moves elements as a whole. See `masked.py` for what a rule keeps."""

from __future__ import annotations

import itertools
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from .masked import NoRule, Pair, Site, open_in, rule

_ELEMENTWISE = (
    "abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt ceil clamp clz complex conj "
    "convert_element_type copy copy_p cos cosh device_put digamma div eq eq_to erf erf_inv erfc exp exp2 expm1 floor ge gt igamma "
    "igamma_grad_a igammac imag integer_pow is_finite le le_to lgamma log log1p logistic lt lt_to max min mul mulhi ne neg nextafter "
    "not optimization_barrier or polygamma population_count pow random_gamma_grad real reduce_precision regularized_incomplete_beta rem "
    "round rsqrt select_n shift_left shift_right_arithmetic shift_right_logical sign sin sinh sqrt square stop_gradient sub tan tanh "
    "one_minus_square threefry2x32 xor zeta"
).split()


@rule(*_ELEMENTWISE)
def _elementwise(site: Site, *values: Any) -> Any:
    site.need_same()
    return site.bind(*values)


@rule("iota")
def _iota(site: Site, *values: Any) -> Any:
    site.need_same("dimension")
    return site.bind(*values)


# ---------------------------------------------------------------- sums and the like


def _least(dtype: Any) -> Any:
    if dtype == np.bool_:
        return False
    return -np.inf if jnp.issubdtype(dtype, jnp.floating) else jnp.iinfo(dtype).min


def _most(dtype: Any) -> Any:
    if dtype == np.bool_:
        return True
    return np.inf if jnp.issubdtype(dtype, jnp.floating) else jnp.iinfo(dtype).max


def _ones(dtype: Any) -> Any:
    return True if dtype == np.bool_ else -1 if jnp.issubdtype(dtype, jnp.signedinteger) else jnp.iinfo(dtype).max


# what a value may be added to without a difference
_NEUTRAL = {
    "reduce_sum": lambda dtype: 0, "reduce_prod": lambda dtype: 1, "reduce_max": _least, "reduce_min": _most, "reduce_or": lambda dtype: 0,
    "reduce_and": _ones, "reduce_xor": lambda dtype: 0, "argmax": _least, "argmin": _most, "cumsum": lambda dtype: 0,
    "cumprod": lambda dtype: 1, "cummax": _least, "cummin": _most, "cumlogsumexp": _least,
}  # fmt: skip


def _neutral(site: Site) -> Any:
    dtype = site.big.invars[0].aval.dtype
    site.need(
        not jnp.issubdtype(dtype, jnp.complexfloating) or _NEUTRAL[site.big.primitive.name] not in (_least, _most), ""
    )
    return _NEUTRAL[site.big.primitive.name](dtype)


@rule(
    "reduce_sum", "reduce_prod", "reduce_max", "reduce_min", "reduce_or", "reduce_and", "reduce_xor", "argmax", "argmin"
)
def _reduced(site: Site, value: Any) -> Any:
    site.need_same("axes")
    return site.bind(site.filled(0, value, site.params["axes"], _neutral(site)))


@rule("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp")
def _running(site: Site, value: Any) -> Any:
    site.need_same()
    return site.bind(site.filled(0, value, [site.params["axis"]], _neutral(site)) if site.params["reverse"] else value)


@rule("sort")
def _sort(site: Site, *values: Any) -> Any:
    """The rows that do not count come last: there is one more key, before the others."""
    site.need_same()
    axis = site.params["dimension"]
    if axis not in site.open():
        return site.bind(*values)
    behind = lax.bitwise_not(site.valid(values[0].shape, axis, site.given[0][axis]))
    return site.bind(behind, *values, num_keys=site.params["num_keys"] + 1)[1:]


@rule("top_k")
def _top_k(site: Site, value: Any) -> Any:
    site.need_same()
    return site.bind(site.filled(0, value, [site.params["axis"]], _least(value.dtype)))


@rule("reduce_window_sum", "reduce_window_max", "reduce_window_min", "select_and_scatter_add", "select_and_gather_add")
def _windows(site: Site, *values: Any) -> Any:
    site.need_same()
    p = site.params
    for d in site.open():
        alone = p["window_dimensions"][d] == p["window_strides"][d] == 1 and tuple(p["padding"][d]) == (0, 0)
        dilated = any(p.get(name, {d: 1})[d] != 1 for name in ("base_dilation", "window_dilation"))
        site.need(alone and not dilated, "its windows go over the batch")
    return site.bind(*values)


# ---------------------------------------------------------------- shapes


@rule("broadcast_in_dim")
def _broadcast(site: Site, value: Any, *sizes: Any) -> Any:
    site.need_same("broadcast_dimensions")
    for pair, d in zip(site.given[0], site.params["broadcast_dimensions"], strict=True):
        site.need(pair == site.made[0][d] or pair == (1, 1), "a size of 1 is not broadcast at other sizes")
    return site.bind(value, *sizes)


@rule("transpose", "squeeze", "expand_dims", "stack", "bitcast_convert_type")
def _moved(site: Site, *values: Any) -> Any:
    site.need_same()
    if site.big.primitive.name == "bitcast_convert_type":
        longer = max(site.given[0], site.made[0], key=len)
        site.need(len(site.given[0]) == len(site.made[0]) or longer[-1][0] == longer[-1][1], "")
    return site.bind(*values)


@rule("unstack")
def _unstacked(site: Site, value: Any) -> Any:
    site.need_same()
    site.need(site.params["axis"] not in site.open(), "the number of its results depends on the size")
    return site.bind(value)


@rule("tile")
def _tiled(site: Site, value: Any) -> Any:
    site.need(
        all(not open_in([pair]) or pair == made for pair, made in zip(site.given[0], site.made[0], strict=True)), ""
    )
    return site.bind(value)


@rule("rev")
def _reversed(site: Site, value: Any) -> Any:
    site.need_same()
    turned = set(site.params["dimensions"])
    for d in sorted(turned & site.open()):
        places = site.size(site.given[0][d]) - 1 - lax.iota(np.dtype(np.int64), value.shape[d])
        value = jnp.take(value, places, axis=d, mode="clip")
    still = tuple(d for d in site.params["dimensions"] if d not in site.open())
    return lax.rev(value, still) if still else value


@rule("reshape")
def _reshape(site: Site, value: Any) -> Any:
    site.need(site.params.get("dimensions") is None, "")
    parts = _parts(site.given[0], site.made[0])
    site.need(parts is not None, "its sizes can't be told apart")
    assert parts is not None
    regular = all(map(_begins_alike, parts))
    if regular:
        for before, after in parts:
            if before != after:
                site.masked.slots.require_products(before, after)
        return site.bind(value)
    return _reread(site, value)


def _parts(before: list[Pair], after: list[Pair]) -> list[tuple[list[Pair], list[Pair]]] | None:
    """The smallest runs of sizes of which one becomes the other; those of 1 are left out."""
    left, right = ([pair for pair in pairs if pair != (1, 1)] for pairs in (before, after))
    if any(0 in pair for pair in (*left, *right)):
        return None
    parts: list[tuple[list[Pair], list[Pair]]] = []
    while left or right:
        a, b = left[:1], right[:1]
        left, right = left[1:], right[1:]
        while (x := _product(a)) != (y := _product(b)):
            if (x[1], x[0]) < (y[1], y[0]):
                if not left:
                    return None
                a.append(left.pop(0))
            else:
                if not right:
                    return None
                b.append(right.pop(0))
        parts.append((a, b))
    return parts


def _product(pairs: list[Pair]) -> Pair:
    return math.prod(a for a, _ in pairs), math.prod(b for _, b in pairs)


def _begins_alike(part: tuple[list[Pair], list[Pair]]) -> bool:
    """Whether the first elements of one are those of the other: only the outermost size differs, if any does."""
    before, after = part
    return before == after or all(open_in(pairs) <= {0} for pairs in part)


def _reread(site: Site, value: Any) -> Any:
    """A reshape that goes over rows that do not count: each element is looked up."""
    kind = np.dtype(np.int64)
    shape = site.big.outvars[0].aval.shape
    place: Any = jnp.zeros(shape, kind)
    stride: Any = jnp.asarray(1, kind)
    for d in reversed(range(len(shape))):
        place = place + lax.broadcasted_iota(kind, shape, d) * stride
        stride = stride * site.size(site.made[0][d])
    there, stride = jnp.zeros(shape, kind), 1
    for d in reversed(range(value.ndim)):
        size = site.size(site.given[0][d])
        there = there + lax.rem(place, jnp.broadcast_to(jnp.asarray(size, kind), shape)) * stride
        place = lax.div(place, jnp.broadcast_to(jnp.asarray(size, kind), shape))
        stride *= value.shape[d]
    return jnp.take(value.reshape(-1), there, mode="clip")


@rule("concatenate")
def _concatenate(site: Site, *values: Any) -> Any:
    site.need_same()
    axis = site.params["dimension"]
    pairs = [pairs[axis] for pairs in site.given]
    if not open_in(pairs[:-1]):
        return site.bind(*values)
    made = lax.full(site.big.outvars[0].aval.shape, 0, values[0].dtype)
    starts = itertools.accumulate((site.size(pair) for pair in pairs), initial=0)
    for value, start in zip(
        values, starts, strict=False
    ):  # what lies behind the rows of one is overwritten by the next
        made = lax.dynamic_update_slice_in_dim(made, value, start, axis)
    return made


@rule("split")
def _split(site: Site, value: Any) -> Any:
    site.need_same("axis")
    axis, sizes = site.params["axis"], site.pairs("sizes")
    if not open_in(sizes[:-1]):
        return site.bind(value)
    made = []
    starts = itertools.accumulate(map(site.size, sizes), initial=0)
    for (_, size), start in zip(sizes, starts, strict=False):
        made.append(jnp.take(value, start + lax.iota(np.dtype(np.int64), size), axis=axis, mode="clip"))
    return made


@rule("slice")
def _slice(site: Site, value: Any) -> Any:
    starts = site.pairs("start_indices")
    strides = site.pairs("strides") if site.params["strides"] is not None else [(1, 1)] * value.ndim
    moved = open_in(starts) | open_in(strides)
    lows, highs, steps = [], [], []
    for d, limit in enumerate(site.params["limit_indices"]):
        lows.append(0 if d in moved else starts[d][1])
        highs.append(value.shape[d] if d in moved else limit)
        steps.append(1 if d in moved else strides[d][1])
    made = lax.slice(value, lows, highs, steps)
    for d in sorted(moved):
        steps_there = lax.iota(np.dtype(np.int64), site.made[0][d][1]) * site.size(strides[d])
        made = jnp.take(made, site.size(starts[d]) + steps_there, axis=d, mode="clip")
    return made


@rule("pad")
def _pad(site: Site, value: Any, padding: Any) -> Any:
    both = site.pairs("padding_config")
    config = []
    behind, moved = [], {}
    for d, ((low, _, inner), (low_big, high_big, inner_big)) in enumerate(both):
        site.need(inner == inner_big, "")
        if low != low_big:
            site.need(inner == 0, "")
            moved[d] = (low, low_big)
            config.append((0, 0, 0))
            continue
        if d in site.open():
            behind.append(d)
        config.append((low_big, high_big, inner_big))
    keep: Any = None
    for d in behind:
        here = site.valid(value.shape, d, site.given[0][d])
        keep = here if keep is None else lax.bitwise_and(keep, here)
    if keep is not None:
        value = lax.select(keep, value, jnp.broadcast_to(padding, value.shape))
    value = lax.pad(value, padding, config)
    for d, low in moved.items():
        places = lax.iota(np.dtype(np.int64), site.made[0][d][1]) - site.size(low)
        there = lax.bitwise_and(lax.ge(places, jnp.zeros_like(places)), places < site.size(site.given[0][d]))
        value = jnp.take(value, places, axis=d, mode="clip")
        value = lax.select(
            lax.broadcast_in_dim(there, value.shape, (d,)), value, jnp.broadcast_to(padding, value.shape)
        )
    return value


# ---------------------------------------------------------------- parts at places that are computed


@rule("dynamic_slice")
def _dynamic_slice(site: Site, value: Any, *starts: Any) -> Any:
    return site.bind(value, *_starts(site, site.pairs("slice_sizes"), starts))


@rule("dynamic_update_slice")
def _dynamic_update_slice(site: Site, value: Any, update: Any, *starts: Any) -> Any:
    if all(size == pair or size[0] == size[1] for size, pair in zip(site.given[1], site.given[0], strict=True)):
        return site.bind(value, update, *_starts(site, site.given[1], starts))
    kind = np.dtype(np.int64)
    keep: Any = None
    for d, (size, pair, start) in enumerate(zip(site.given[1], site.given[0], starts, strict=True)):
        if size == pair:
            continue
        start = jnp.clip(lax.convert_element_type(start, kind), 0, site.size(pair) - site.size(size))
        places = lax.iota(kind, value.shape[d]) - start
        here = (places >= 0) & (places < site.size(size))
        here = lax.broadcast_in_dim(here, value.shape, (d,))
        keep = here if keep is None else lax.bitwise_and(keep, here)
        update = jnp.take(update, places, axis=d, mode="clip")
    return lax.select(keep, update, value)


def _starts(site: Site, sizes: list[Pair], starts: Any) -> list[Any]:
    """Where the small operation would begin: the part has to lie inside."""
    made = []
    for size, pair, start in zip(sizes, site.given[0], starts, strict=True):
        if size == pair:
            made.append(start)  # all of it
            continue
        if size[0] != size[1]:
            raise NoRule(site.big, "the size of a part depends on the size")
        if pair[0] != pair[1]:
            kind = np.promote_types(start.dtype, np.int64) if hasattr(start, "dtype") else np.int64
            start = jnp.clip(lax.convert_element_type(start, kind), 0, site.size(pair) - size[1])
        made.append(start)
    kinds = {np.dtype(getattr(start, "dtype", np.int64)) for start in made}
    return [lax.convert_element_type(start, np.int64) for start in made] if len(kinds) > 1 else made

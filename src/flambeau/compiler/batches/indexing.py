"""Rules of gathers and scatters: an index is looked at as the smaller program looks at it."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from .masked import Site, rule

_DROP = lax.GatherScatterMode.FILL_OR_DROP


def _wide(indices: Any) -> Any:
    return lax.convert_element_type(indices, np.int64)


@rule("gather")
def _gather(site: Site, value: Any, indices: Any) -> Any:
    site.need_same("dimension_numbers")
    numbers, mode = site.params["dimension_numbers"], site.params["mode"]
    site.need(len(site.given[1]) - 1 not in site.open(1), "")
    for d, (pair, size) in enumerate(zip(site.given[0], site.pairs("slice_sizes"), strict=True)):
        if size == pair or d in numbers.operand_batching_dims or pair[0] == pair[1]:
            site.need(size == pair or size[0] == size[1], "the size of a part depends on the size")
            continue
        site.need(size[0] == size[1], "the size of a part depends on the size")
        if d not in numbers.start_index_map:
            continue
        k = numbers.start_index_map.index(d)
        indices = _wide(indices)
        column = lax.slice_in_dim(indices, k, k + 1, axis=-1)
        most = site.size(pair) - size[1]
        if mode == _DROP:
            column = jnp.where((column < 0) | (column > most), np.int64(pair[1]), column)
        else:
            column = jnp.clip(column, 0, most)
        indices = lax.dynamic_update_slice_in_dim(indices, column, k, -1)
    return site.bind(value, indices, indices_are_sorted=False)


@rule("flambeau_rows")
def _rows(site: Site, value: Any, indices: Any) -> Any:
    pair = site.given[0][0]
    site.need(not site.open(0) - {0}, "the size of a row depends on the size")
    if pair[0] != pair[1]:  # of rows that are not there the nearest one
        indices = jnp.clip(_wide(indices), 0, site.size(pair) - 1)
    return site.bind(value, indices)


@rule(
    "scatter",
    "scatter-add",
    "scatter_add",
    "scatter-mul",
    "scatter_mul",
    "scatter_min",
    "scatter_max",
    "scatter-min",
    "scatter-max",
    "scatter_sub",
    "scatter-sub",
)
def _scatter(site: Site, value: Any, indices: Any, updates: Any) -> Any:
    site.need_same("dimension_numbers")
    numbers, mode = site.params["dimension_numbers"], site.params["mode"]
    windows = _windows(site, numbers)
    to = numbers.scatter_dims_to_operand_dims
    last = len(site.given[1]) - 1
    site.need(last not in site.open(1) and bool(to), "")
    indices = _wide(indices)
    columns = []
    for k, d in enumerate(to):
        pair, size = site.given[0][d], windows[d]
        column = lax.slice_in_dim(indices, k, k + 1, axis=-1)
        if size != pair and pair[0] != pair[1] and size[0] != size[1]:
            site.need(False, "the size of a part depends on the size")
        most = (pair[1] - size[1]) if size == pair or pair[0] == pair[1] else site.size(pair) - size[1]
        if mode == lax.GatherScatterMode.CLIP:
            column = jnp.clip(column, 0, most)
        else:
            column = jnp.where((column < 0) | (column > most), np.int64(pair[1]), column)
        columns.append(column)
    for d, (pair, size) in enumerate(zip(site.given[0], windows, strict=True)):
        site.need(
            size == pair or size[0] == size[1] or d in numbers.operand_batching_dims, "a part depends on the size"
        )
    behind = site.open(1) - set(numbers.scatter_indices_batching_dims)
    for axis in behind:  # what comes of rows that do not count goes nowhere
        keep = site.valid(columns[0].shape, axis, site.given[1][axis])
        columns[0] = jnp.where(keep, columns[0], np.int64(site.given[0][to[0]][1]))
    return site.bind(
        value, lax.concatenate(columns, last), updates, mode=_DROP, unique_indices=False, indices_are_sorted=False
    )


def _windows(site: Site, numbers: Any) -> list[tuple[int, int]]:
    """The size of what is written along each dimension, in both traces."""
    shown = iter(numbers.update_window_dims)
    gone = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
    return [(1, 1) if d in gone else site.given[2][next(shown)] for d in range(len(site.given[0]))]

"""SparseAdam, and the rows that a sparse gradient names."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core.tensor.donation import overwrite
from ..core.tensor.sparse import check_not_traced, is_sparse, stored
from ..core.tensor.tensor import Tensor, wrap
from ._grouped import GroupedOptimizer
from ._loading import check_has, check_is_dict, check_options, check_piece
from ._options import check_betas, check_tensor_rate
from .optimizer import Number, ParamsT, full_like
from .rule import picked

__all__ = ["SparseAdam"]

_MOMENTS = ("exp_avg", "exp_avg_sq")


def named_rows(grad: Tensor) -> tuple[Any, Any, Any]:
    """The places of a sparse gradient, each once, which of them each value belongs to, and the values.

    All three are filled up to a power of two (with places outside of the parameter, which XLA drops), so that steps
    whose gradients store different numbers of values share a program.
    """
    indices, filled = all_rows(grad)
    shape, count = stored(grad).shape[: len(indices)], stored(grad).indices.shape[1]
    size = indices.shape[1]
    flat = np.ravel_multi_index(tuple(indices[:, :count]), shape) if count else np.zeros(0, np.int64)
    unique, group = np.unique(flat, return_inverse=True)
    places = np.full_like(indices, max(shape))
    places[:, : len(unique)] = np.unravel_index(unique, shape)
    groups = np.full(size, size, np.int64)
    groups[:count] = group
    return places, groups, filled


def all_rows(grad: Tensor) -> tuple[Any, Any]:
    """The places of a sparse gradient as it stores them, and the values, filled up in the same way."""
    held = stored(grad)
    indices, values = np.asarray(held.indices._array), np.asarray(held.values._array)
    count = indices.shape[1]
    size = 1 << max(count - 1, 0).bit_length()
    if count == size:
        return indices, values
    places = np.full((len(indices), size), max(held.shape[: len(indices)]), np.int64)
    places[:, :count] = indices
    filled = np.zeros((size, *values.shape[1:]), values.dtype)
    filled[:count] = values
    return places, filled


def summed(values: Any, groups: Any) -> Any:
    """The values of each place, added."""
    return jnp.zeros_like(values).at[groups].add(values, mode="drop")


def at_places(array: Any, places: Any) -> Any:
    """What an array of the parameter's shape has at these places."""
    return array.at[tuple(places)].get(mode="fill", fill_value=0)


def put_places(array: Any, places: Any, values: Any) -> Any:
    """The array with other values at these places."""
    return array.at[tuple(places)].set(values.astype(array.dtype), mode="drop")


@functools.partial(jax.jit, donate_argnums=(0, 1, 2))
def _step(param: Any, mean: Any, square: Any, rows: Any, options: Any) -> tuple[Any, Any, Any]:
    """One step of Adam (Kingma and Ba, 2015) for the places that the gradient names."""
    places, groups, values = rows
    size, beta1, beta2, eps, sign = (options[i].astype(param.dtype) for i in range(5))
    grad = summed(values, groups).astype(param.dtype) * sign
    old_mean, old_square = at_places(mean, places), at_places(square, places)
    new_mean = old_mean + (grad - old_mean) * (1 - beta1)
    new_square = old_square + (grad * grad - old_square) * (1 - beta2)
    moved = at_places(param, places) - size * (new_mean / (jnp.sqrt(new_square) + eps))
    return put_places(param, places, moved), put_places(mean, places, new_mean), put_places(square, places, new_square)


class SparseAdam(GroupedOptimizer):
    """Adam that moves only what a sparse gradient stores, and its moments; the others stay as they are.

    Raises ValueError for options out of range and parameters that are sparse, RuntimeError for a dense gradient.
    """

    def __init__(
        self, params: ParamsT, lr: Number = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:  # fmt: skip
        check_tensor_rate(lr)
        if not lr > 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if not eps > 0.0:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        super().__init__(params, picked(locals(), "lr betas eps maximize"))
        bad = [
            [i, j] for i, group in enumerate(self.param_groups) for j, p in enumerate(group["params"]) if is_sparse(p)
        ]
        complex_ones = [
            [i, j]
            for i, group in enumerate(self.param_groups)
            for j, p in enumerate(group["params"])
            if p.dtype.is_complex
        ]
        if complex_ones:
            raise ValueError(
                f"Complex params at indices {complex_ones}: SparseAdam does not support complex parameters"
            )
        if bad:
            raise ValueError(f"Sparse params at indices {bad}: SparseAdam requires dense parameter tensors")

    def _check_loaded(self, state: dict[Any, Any], groups: list[dict[str, Any]]) -> None:
        for index, group in enumerate(groups):
            check_options(self, index, group, ("lr", "betas", "eps"))
            for number, param in enumerate(group["params"]):
                if param in state:
                    what, own = f"parameter {number} of group {index}", state[param]
                    check_is_dict(what, own)
                    check_has(self, what, own, ("step", *_MOMENTS) if own else ())
                    for name in own.keys() & {"step", *_MOMENTS}:
                        check_piece(what, name, own[name], None if name == "step" else param.shape, name == "step")

    def _step_group(self, index: int, group: dict[str, Any], params: list[Tensor]) -> None:
        for param in params:
            if not is_sparse(param.grad):
                raise RuntimeError(
                    f"{type(self).__name__} does not support dense gradients, please consider Adam instead"
                )
        for param in params:
            self._move(param, group)

    def _move(self, param: Tensor, group: dict[str, Any]) -> None:
        check_not_traced()
        own = self.state[param]
        if not own:
            own["step"] = 0
            for name in _MOMENTS:
                own[name] = wrap(full_like(param._array, 0))
        own["step"] += 1
        beta1, beta2 = (float(beta) for beta in group["betas"])
        size = float(group["lr"]) * math.sqrt(1 - beta2 ** own["step"]) / (1 - beta1 ** own["step"])
        sign = -1.0 if group.get("maximize") else 1.0
        options = np.array([size, beta1, beta2, group["eps"], sign], np.float64)
        overwrite(_step, (param, own["exp_avg"], own["exp_avg_sq"]), named_rows(param.grad), options)  # type: ignore[arg-type]

"""`vmap`: a function of single samples, applied to batches of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..core.autograd.function import Function
from ..core.context.grad_mode import no_grad, state
from ..core.context.tracing import JAX_NEEDS_VALUES
from ..core.dispatch.messages import message
from ..core.tensor.tensor import Tensor, wrap
from ..core.tensor.tree import Spec, flatten, spread, unflatten
from ..ops.shape.joining import cat
from . import lent
from .region import Exit, Logical, Region, Transform, inside, map_pairs, restore, zeros
from .run import run


class VmapInfo(NamedTuple):
    """What a Function's `vmap` is told."""

    batch_size: int
    randomness: str


class BatchRegion(Region):
    """A function's run on all samples at once."""

    def __init__(self, index: Any, size: int, randomness: str):
        super().__init__(index)
        self.index = index
        self.size = size
        self.randomness = randomness
        self.places: dict[int, tuple[Any, int]] = {}  # of the inputs: their arrays, and where they had the samples

    def host_value(self, draw: Callable[[], Any]) -> Any:
        """One draw for all samples ("same"), or one for each ("different")."""
        if self.randomness == "error":
            raise RuntimeError(message("draw_under_vmap"))
        if self.randomness == "same":
            return super().host_value(draw)
        drawn = super().host_value(lambda: _stacked([np.asarray(draw()) for _ in range(self.size)], draw))
        return jnp.take(jnp.asarray(drawn), self.index, axis=0)

    def apply_rule(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """With a static method `vmap`, the Function gets the whole batches and says where its results have the samples."""
        if function.vmap is Function.vmap:
            return None
        own = [isinstance(a, Tensor) and self.owns(a._array) for a in args]
        dims = tuple(self._place(a._array) if is_own else None for a, is_own in zip(args, own, strict=True))
        whole = [
            a if dim is None else wrap(jnp.moveaxis(a._array.val, a._array.batch_dim, dim))
            for a, dim in zip(args, dims, strict=True)
        ]
        with no_grad(), inside(self.parent):
            results, places = function.vmap(VmapInfo(self.size, self.randomness), dims, *whole, **kwargs)
        return map_pairs(self._sample, results, places)

    def _place(self, array: Any) -> int:
        return self.places.get(id(array), (array, array.batch_dim))[1]

    def _sample(self, result: Any, dim: int | None) -> Any:
        if dim is None or not isinstance(result, Tensor):
            return result
        return wrap(jnp.take(jnp.moveaxis(result._array, dim, 0), self.index, axis=0))


def _stacked(draws: list[np.ndarray], draw: Callable[[], Any]) -> np.ndarray:
    return np.stack(draws) if draws else np.asarray(draw())[None][:0]


class Vmap(Transform):
    """`jax.vmap` over dimension 0."""

    width = 1

    def __init__(self, size: int, randomness: str = "same"):
        self.size = size
        self.randomness = randomness

    def region(self, marker: Any) -> Region:
        return BatchRegion(marker, self.size, self.randomness)

    def call(self, function: Callable[..., Any], inputs: list[list[Any]]) -> tuple[list[Any], ...]:
        index = np.arange(self.size)
        return (jax.vmap(function)(index, [array for (array,) in inputs]),)

    def apart(self, result: Tensor) -> Logical:
        return (result.unsqueeze(0).expand(self.size, *result.shape),)

    def seed(self, gradients: list[Tensor | None], metas: list[Any]) -> Logical:
        return (zeros(metas[0]) if gradients[0] is None else gradients[0],)

    def leave(self, gradient: Any, exit: Exit) -> list[Tensor | None]:
        if gradient is None:
            return [None]
        _, (tensor,) = gradient
        return [tensor if exit.own else tensor.sum(0)]

    def settle(self, region: Region, changed: list[Any], finals: list[Any]) -> None:
        shapes = ", ".join(str(list(storage.shape)) for storage in changed)
        restore(region)
        raise RuntimeError(
            f"vmap: an in-place operation inside the mapped function wrote values that differ from sample to sample into a "
            f"tensor from outside (shape {shapes}), which has one value for all. Pass that tensor in as an argument, or "
            "return the new value; for batch normalization in training use eval(), track_running_stats=False or "
            "torch.func.replace_all_batch_norm_modules_"
        )


def _name(func: Any) -> str:
    return getattr(func, "__name__", None) or repr(func)


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """`func`, written for one sample, as a function of batches.

    `in_dims` says which dimension of each argument counts the samples (None: the argument is the same for all), as an int
    or a tuple nested like the arguments; `out_dims` where that dimension goes in the results. Keyword arguments are the
    same for all samples. `randomness`: whether random draws are errors ("error"), one for all samples ("same") or one for
    each ("different"). With `chunk_size`, at most that many samples are computed at a time.

    ValueError for dimensions that do not fit the arguments; RuntimeError where the function needs the values of single
    samples (`.item()`, `if tensor:`) or writes them into a tensor from outside.
    """
    _check_randomness(randomness)
    if chunk_size is not None and (not isinstance(chunk_size, int) or chunk_size <= 0):
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        pieces = lent.changed()
        if pieces is not None and chunk_size is None:
            return lent.mapped_by(
                pieces, func, in_dims, out_dims, args, kwargs, functools.partial(_samples, randomness)
            )
        leaves, spec, dims = _inputs(func, in_dims, args)
        size = _batch_size(leaves, dims)

        def call(part: list[Any], count: int) -> Any:
            return _mapped(func, part, spec, dims, kwargs, out_dims, count, randomness)

        if chunk_size is None or size <= chunk_size:
            tensors, out_spec, places = call(leaves, size)
        else:
            tensors, out_spec, places = _joined([call(p, n) for p, n in _pieces(leaves, dims, size, chunk_size)])
        return unflatten([_moved(t, d) for t, d in zip(tensors, places, strict=True)], out_spec)

    return mapped


def _check_randomness(randomness: str) -> None:
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(message("vmap_randomness", randomness=randomness))


def _inputs(func: Any, in_dims: Any, args: tuple[Any, ...]) -> tuple[list[Any], Spec, list[int | None]]:
    where = f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>)"
    if not isinstance(in_dims, (int, tuple)):
        raise ValueError(
            f"{where}: expected `in_dims` to be int or a (potentially nested) tuple matching the structure of inputs, "
            f"got: {type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"vmap({_name(func)})(<inputs>): got no inputs, so there is nothing to map over. Pass the tensors as positional "
            "arguments; keyword arguments are not mapped."
        )
    leaves, spec = flatten(args)
    dims = spread(in_dims, spec)
    if dims is None:
        raise ValueError(
            f"{where}: in_dims is not compatible with the structure of `inputs`. in_dims has structure "
            f"{flatten(in_dims)[1]} but inputs has structure {spec}."
        )
    checked: list[int | None] = []
    for leaf, dim in zip(leaves, dims, strict=True):
        if dim is not None and not isinstance(dim, int):
            raise ValueError(f"{where}: Got in_dim={dim} for an input but in_dim must be either an integer or None.")
        if dim is not None and not isinstance(leaf, Tensor):
            raise ValueError(
                f"{where}: Got in_dim={dim} for an input but the input is of type {type(leaf)}. Only tensors can be mapped "
                "over; use None as its in_dim"
            )
        if dim is not None and not -leaf.ndim <= dim < leaf.ndim:
            raise ValueError(
                f"{where}: Got in_dim={dim} for some input, but that input is a Tensor of dimensionality {leaf.ndim} so "
                f"expected in_dim to satisfy -{leaf.ndim} <= in_dim < {leaf.ndim}."
            )
        checked.append(None if dim is None else dim % leaf.ndim)
    if all(d is None for d in checked):
        raise ValueError(f"{where}: at least one input has to be mapped over, but every in_dim is None")
    return leaves, spec, checked


def _batch_size(leaves: list[Any], dims: list[int | None]) -> int:
    sizes = [leaf.shape[dim] for leaf, dim in zip(leaves, dims, strict=True) if dim is not None]
    if any(size != sizes[0] for size in sizes):
        raise ValueError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sizes} for the mapped "
            "dimension"
        )
    return sizes[0]


def _pieces(leaves: list[Any], dims: list[int | None], size: int, most: int) -> Iterator[tuple[list[Any], int]]:
    for start in range(0, size, most):
        length = min(most, size - start)
        part = [x if d is None else x.narrow(d, start, length) for x, d in zip(leaves, dims, strict=True)]
        yield part, length


def _joined(parts: list[Any]) -> tuple[list[Tensor], Spec, list[int | None]]:
    _, spec, places = parts[0]
    columns = zip(*(tensors for tensors, _, _ in parts), strict=True)
    return [c[0] if d is None else cat(c) for c, d in zip(columns, places, strict=True)], spec, places


def _moved(tensor: Tensor, dim: int | None) -> Tensor:
    return tensor if dim is None or dim == 0 else tensor.movedim(0, dim)


def _mapped(
    func: Any,
    leaves: list[Any],
    spec: Spec,
    dims: list[int | None],
    kwargs: Any,
    out_dims: Any,
    size: int,
    randomness: str,
) -> tuple[list[Tensor], Spec, list[int | None]]:
    """The results with the samples in dimension 0, their structure, and where that dimension is wanted."""
    told: list[Any] = []
    batched = [x.movedim(d, 0) if d else x for x, d in zip(leaves, dims, strict=True) if d is not None]

    def body(tensors: list[Tensor]) -> list[Tensor]:
        region = state.transforms
        if isinstance(region, BatchRegion):
            mapped = [d for d in dims if d is not None]
            region.places = {id(t._array): (t._array, d) for t, d in zip(tensors, mapped, strict=True)}
        given = iter(tensors)
        full = [x if d is None else next(given) for x, d in zip(leaves, dims, strict=True)]
        results, out_spec = flatten(func(*unflatten(full, spec), **kwargs))
        told.append((out_spec, _out_dims(func, out_dims, out_spec, results)))
        return results

    made = _samples(randomness, size, body, batched)
    out_spec, places = told[0]
    results = []
    for (depends, (tensor,)), dim in zip(made, places, strict=True):
        if dim is None and depends:
            raise ValueError(
                f"vmap({_name(func)}, ...): `{_name(func)}` can not return a BatchedTensor when out_dim is None"
            )
        results.append(tensor[0] if dim is None else tensor)
    return results, out_spec, places


def _samples(randomness: str, size: int, body: Any, batched: list[Any]) -> list[Any]:
    """What `body` makes of so many samples of tensors that have them in dimension 0."""
    try:
        return run(Vmap(size, randomness), body, [(x,) for x in batched])
    except JAX_NEEDS_VALUES as error:
        if state.trace is not None:  # `compile` says what to do
            raise
        raise RuntimeError(
            "vmap: the mapped function needs the values of single samples (.item(), .numpy(), `if tensor:`, or a result whose "
            "shape depends on them), which it does not have. Use torch.where for a choice, or call it for each sample"
        ) from error


def _out_dims(func: Any, out_dims: Any, spec: Spec, results: list[Any]) -> list[int | None]:
    name = _name(func)
    given, _ = flatten(out_dims)
    if not all(d is None or isinstance(d, int) for d in given):
        raise ValueError(
            f"vmap({name}, ..., out_dims={out_dims}): `out_dims` must be an int, None or a python collection of ints "
            "representing where in the outputs the vmapped dimension should appear."
        )
    places = spread(out_dims, spec)
    if places is None and isinstance(out_dims, tuple) and len(out_dims) == 1 and spec.build is None:
        places = list(out_dims)  # a single result may have its dimension in a tuple of one
    if places is None:
        raise ValueError(
            f"vmap({name}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with the structure of `outputs`. "
            f"out_dims has structure {flatten(out_dims)[1]} but outputs has structure {spec}."
        )
    for result in results:
        if not isinstance(result, Tensor):
            raise ValueError(
                f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(result)}. Did you mean to set "
                "out_dims= to None for output?"
            )
    return places


__all__ = ["Vmap", "vmap"]

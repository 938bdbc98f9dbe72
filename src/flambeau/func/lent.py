"""`vmap` by pieces that a package has put in the place of those in `torch._functorch.vmap`.

Containers of tensors take the dimension of the samples out, and put it in again, through `_add_batch_dim` and
`_remove_batch_dim` for each tensor that they hold. They are asked twice each way: outside of the transform for the tensors (with
anything of the right shape in return), and inside, or with the results at hand, for what is to be used.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from ..core.context.grad_mode import state
from ..core.tensor.tensor import Tensor, wrap

_levels = itertools.count(1 << 20)  # each once, since containers may remember what they made for one
_open: dict[int, Exchange] = {}
_pieces: list[Any] = []  # the module that packages change, once it is imported


class Exchange:
    """The tensors that containers bring into one call of `vmap`, and out of it."""

    def __init__(self) -> None:
        self.levels: list[int] = []
        self.inputs: list[tuple[Tensor, int]] = []
        self.places: dict[tuple[int, int], int] = {}
        self.given: list[Tensor] | None = None
        self.outputs: list[Tensor] = []
        self.leaving = False
        self.results: list[Any] | None = None

    def level(self) -> int:
        """A number under which this exchange is found, for one question."""
        level = next(_levels)
        self.levels.append(level)
        _open[level] = self
        return level

    def close(self) -> None:
        """Its numbers mean nothing any more."""
        for level in self.levels:
            del _open[level]

    def add(self, tensor: Tensor, dim: int) -> Tensor:
        """One sample of `tensor`."""
        key = (id(tensor), dim)
        if self.given is None:
            if key not in self.places:
                self.places[key] = len(self.inputs)
                self.inputs.append((tensor, dim))  # which keeps it, and so its id
            if tensor.shape[dim]:
                return tensor.select(dim, 0)  # type: ignore[attr-defined, no-any-return]
            return tensor.sum(dim).to(tensor.dtype)  # type: ignore[attr-defined, no-any-return]  # of no samples
        if key in self.places:
            return self.given[self.places[key]]
        region: Any = state.transforms
        moved: Any = tensor.movedim(dim, 0)  # type: ignore[attr-defined]
        return moved.index_select(0, wrap(region.index).reshape(1)).squeeze(0)  # type: ignore[attr-defined, no-any-return]

    def remove(self, name: str, tensor: Tensor, size: int, dim: int | None) -> Tensor:
        """All samples of a result, in dimension `dim`; for None the one value that they share."""
        if self.results is None:
            if not self.leaving:
                raise _outside("_remove_batch_dim")
            self.outputs.append(tensor)
            if dim is None:
                return tensor
            made: Any = tensor.unsqueeze(dim)  # type: ignore[attr-defined]
            shape = [-1] * made.ndim
            shape[dim] = size
            return made.expand(shape)  # type: ignore[no-any-return]
        place = next((i for i, held in enumerate(self.outputs) if held is tensor), None)
        if place is None:
            raise _outside("_remove_batch_dim")
        depends, (result,) = self.results[place]
        if dim is None:
            if depends:
                raise ValueError(f"vmap({name}, ...): `{name}` can not return a BatchedTensor when out_dim is None")
            return result[0]  # type: ignore[no-any-return]
        return result.movedim(0, dim)  # type: ignore[no-any-return]


def _outside(name: str) -> Exception:
    return NotImplementedError(
        f"torch._C._functorch.{name}: tensors are not wrapped in transforms here; it serves a container that goes into "
        "torch.func.vmap, or comes out of it, only. Use torch.func.vmap and torch.func.grad"
    )


def add_batch_dim(tensor: Tensor, dim: int, level: int) -> Tensor:
    """One sample of a tensor that a container brings into `vmap`. NotImplementedError elsewhere."""
    if level not in _open:
        raise _outside("_add_batch_dim")
    return _open[level].add(tensor, dim)


def remove_batch_dim(tensor: Tensor, level: int, size: int, dim: int) -> Tensor:
    """All samples of a tensor that a container takes out of `vmap`. NotImplementedError elsewhere."""
    if level not in _open:
        raise _outside("_remove_batch_dim")
    return _open[level].remove("", tensor, size, dim)


def maybe_remove_batch_dim(name: str, result: Any, level: int, size: int, dim: int | None) -> Any:
    """The same; `dim` may be None for what all samples share. ValueError for what is no tensor and should be one."""
    if not isinstance(result, Tensor):
        if dim is None:
            return result
        raise ValueError(
            f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(result)}. Did you mean to set out_dims= to "
            "None for output?"
        )
    if level not in _open:
        raise _outside("_maybe_remove_batch_dim")
    return _open[level].remove(name, result, size, dim)


def lend(module: Any) -> None:
    """The module whose pieces packages may change; as it is now, they are `vmap`'s own."""
    _pieces[:] = [module, module._create_batched_inputs, module._unwrap_batched]


def changed() -> Any:
    """The module, if a package has changed how inputs get in and results out; else None."""
    if not _pieces:
        return None
    module, create, unwrap = _pieces
    return module if module._create_batched_inputs is not create and module._unwrap_batched is not unwrap else None


def mapped_by(
    pieces: Any, func: Any, in_dims: Any, out_dims: Any, args: Any, kwargs: Any, run: Callable[..., list[Any]]
) -> Any:
    """`func` of the samples through a package's pieces; `run(size, body, tensors)` computes them all."""
    size, dims, leaves, spec = pieces._process_batched_inputs(in_dims, args, func)
    exchange = Exchange()
    told: list[Any] = []

    def body(tensors: list[Tensor]) -> list[Tensor]:
        exchange.given = tensors
        results = func(*pieces._create_batched_inputs(dims, leaves, exchange.level(), spec), **kwargs)
        exchange.leaving = True
        pieces._unwrap_batched(results, out_dims, exchange.level(), size, func)
        told.append(results)
        return exchange.outputs

    try:
        pieces._create_batched_inputs(dims, leaves, exchange.level(), spec)
        inputs: list[Any] = [x.movedim(d, 0) if d else x for x, d in exchange.inputs]  # type: ignore[attr-defined]
        exchange.results = run(size, body, inputs)
        return pieces._unwrap_batched(told[0], out_dims, exchange.level(), size, func)
    finally:
        exchange.close()

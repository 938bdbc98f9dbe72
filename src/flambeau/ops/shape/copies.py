"""Views that are copied (`*_copy`), and writes through a view into a copy."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from ...core.array.geometry import Geometry
from ...core.dispatch.operator import Array, composite, operator
from ...core.dispatch.view import view
from ...core.tensor.tensor import Tensor
from . import complex_parts, splitting  # noqa: F401 (the methods)
from .parts import slice_view


@operator(methods=False, public=(), grad=lambda arrays, statics: statics["label"], narrow=True)
def _copied(input: Array, label: str) -> Array:
    return input


def _copy(seen: Any) -> Any:
    """Fresh memory for a view, or for each of several."""
    if isinstance(seen, tuple):
        return tuple(map(_copy, seen))
    return _copied(seen, f"{seen.grad_fn.name()}_copy" if seen.grad_fn is not None else "AliasBackward0_copy")


def declare_copy(name: str, look: Callable[..., Any]) -> None:
    """Publish `name_copy`: what a view shows, in memory of its own."""
    signature = inspect.signature(look)

    def call(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        return _copy(look(input, *args, **kwargs))

    call.__name__ = call.__qualname__ = f"{name}_copy"
    call.__doc__ = f"`{name}` in memory of its own."
    call.__module__ = __name__
    parameters = list(signature.parameters.values())
    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[parameters[0].replace(name="input"), *parameters[1:]]
    )
    composite(methods=False)(call)


def _slice(input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
    return slice_view(input, dim, start, end, step)


@view(public=(), methods=(), grad="AliasBackward0")
def _alias(g: Geometry) -> Geometry:
    return g


declare_copy("slice", _slice)
declare_copy("alias", _alias)
for _name in "as_strided detach diagonal expand permute select squeeze t transpose unfold unsqueeze view".split():
    declare_copy(_name, getattr(Tensor, _name))
for _name in "split split_with_sizes unbind view_as_complex view_as_real".split():
    declare_copy(_name, getattr(Tensor, _name, None) or getattr(complex_parts, _name))


@composite()
def as_strided_scatter(
    input: Tensor, src: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """A copy of `input`, with the memory around it, in which `src` stands where `as_strided(size, stride)` looks."""
    if tuple(src.shape) != tuple(size):
        raise RuntimeError(
            f"expected src to have a size equal to the slice of self. src size = {list(src.shape)}, slice size = {list(size)}"
        )
    offset = input.storage_offset() if storage_offset is None else storage_offset
    whole = input.untyped_storage().nbytes() // input.element_size()
    memory = input.as_strided((whole,), (1,), 0).clone()
    memory.as_strided(size, stride, offset).copy_(src)
    return memory.as_strided(tuple(input.shape), input.stride(), input.storage_offset())


@composite()
def slice_inverse(
    input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """What `input` was made of by a slice: the view of its memory that has the shape and strides of `src`."""
    return input.as_strided(tuple(src.shape), src.stride(), src.storage_offset())

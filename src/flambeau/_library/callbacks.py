"""A registered operator in a program: where its kernel needs values, the program calls back while it runs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ..compiler.guards.shadow import Refused, Repeat
from ..core.context.callbacks import call_back
from ..core.context.grad_mode import no_grad
from ..core.context.tracing import NEEDS_VALUES
from ..core.dispatch.overloads import OpOverload
from ..core.tensor.tensor import Tensor, wrap
from ..core.tensor.tree import flatten, unflatten
from ..ops.making.creation import from_numpy

Kernel = Callable[..., Any]
Shapes = Callable[[OpOverload, Any, Any], Any]


def calling_back(op: OpOverload, kernel: Kernel, shapes_of: Shapes) -> Kernel:
    """The kernel as a step of the program that is being traced: traced through if it can be, else called back.

    `shapes_of` tells what the results will be; what it raises where nobody has said so is not caught.
    """

    @functools.wraps(kernel)
    def call(*args: Any, **kwargs: Any) -> Any:
        if op.__dict__.get("calls_back"):
            return _called_back(op, kernel, shapes_of, args, kwargs)
        try:
            return kernel(*args, **kwargs)
        except (*NEEDS_VALUES, Refused):
            if not _is_told(op):
                raise
        op.__dict__["calls_back"] = True
        raise Repeat

    return call


def _is_told(op: OpOverload) -> bool:
    """Whether the results' shapes are known without a run."""
    rules = op.__dict__.get("rules")
    return not op._schema.returns or "Meta" in op.kernels or (rules is not None and rules.fake is not None)


def _called_back(op: OpOverload, kernel: Kernel, shapes_of: Shapes, args: Any, kwargs: Any) -> Any:
    leaves, spec = flatten((args, kwargs))
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
    written = _written(op, args, kwargs)
    told = shapes_of(op, args, kwargs) if op._schema.returns else None
    results, out = flatten(told)
    kinds = [jax.ShapeDtypeStruct(tuple(t.shape), t._np_dtype) for t in (*results, *written) if isinstance(t, Tensor)]
    if sum(isinstance(t, Tensor) for t in results) + len(written) != len(kinds) or not all(
        isinstance(t, Tensor) or t is None for t in results
    ):
        raise NotImplementedError(f"{op.name()} in a compiled function gives something other than tensors: {told!r}")
    which = [next(i for i in places if leaves[i] is t) for t in written]

    def host(*arrays: Any) -> list[np.ndarray]:
        given = list(leaves)
        for i, array in zip(places, arrays, strict=True):
            given[i] = from_numpy(np.array(array))
        again, named = unflatten(given, spec)
        with no_grad():
            made = kernel(*again, **named)
            tensors = (*(flatten(made)[0] if results else ()), *(given[i] for i in which))
            values = [np.asarray(t.detach()._array) for t in tensors if isinstance(t, Tensor)]
        found = [(v.shape, v.dtype) for v in values]
        if found != [(k.shape, k.dtype) for k in kinds]:
            raise RuntimeError(f"{op.name()} gave {found}, and its fake implementation said {kinds}")
        return values

    arrays = [leaves[i].detach()._array for i in places]
    values = [wrap(v) for v in call_back(host, kinds, *arrays, ordered=not results)]
    plain = [values.pop(0) if isinstance(t, Tensor) else t for t in results]
    with no_grad():
        for target, value in zip(written, values, strict=True):
            target.copy_(value)
    return unflatten(plain, out) if op._schema.returns else None


def _written(op: OpOverload, args: Any, kwargs: Any) -> list[Tensor]:
    """The tensors that the operator writes to, as its schema says."""
    by_name = dict(zip((a.name for a in op._schema.arguments if not a.kwarg_only), args, strict=False)) | kwargs
    targets = [by_name.get(a.name) for a in op._schema.arguments if a.is_write]
    return [t for t in flatten(targets)[0] if isinstance(t, Tensor)]


__all__ = ["calling_back"]

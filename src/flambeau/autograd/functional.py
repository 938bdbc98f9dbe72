"""Jacobians, Hessians and products with them, of functions of Tensors.

https://docs.pytorch.org/docs/stable/autograd.html#functional-higher-level-api
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.autograd import grad
from ..core.grad_mode import enable_grad
from ..core.operator import namespaces
from ..core.tensor import Tensor


def _inputs(given: Any, create_graph: bool) -> tuple[tuple[Tensor, ...], bool]:
    single = isinstance(given, Tensor)
    tensors = (given,) if single else tuple(given)
    if create_graph:
        return tuple(t.view_as(t) if t.requires_grad else t.detach().requires_grad_() for t in tensors), single
    return tuple(t.detach().requires_grad_() for t in tensors), single


def _call(func: Callable[..., Any], inputs: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], bool]:
    out = func(*inputs)
    single = isinstance(out, Tensor)
    outs = (out,) if single else tuple(out)
    if not all(isinstance(o, Tensor) for o in outs):
        raise TypeError("the function must return a Tensor or a tuple of Tensors")
    return outs, single


def _zeros_like(x: Tensor) -> Tensor:
    return namespaces["torch"]["zeros_like"](x)


def _strict(found: Any, strict: bool, what: str) -> None:
    if strict and any(g is None for g in found):
        raise RuntimeError(f"{what}: an output is independent of an input, which strict=True forbids")


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """d output / d input with shape `output.shape + input.shape`, nested as tuples of outputs, then inputs."""
    with enable_grad():
        tensors, single_in = _inputs(inputs, create_graph)
        outs, single_out = _call(func, tensors)
        rows = []
        for out in outs:
            columns: list[list[Tensor]] = [[] for _ in tensors]
            for element in out.reshape(-1).unbind(0) if out.numel() else ():
                if element.requires_grad:
                    found = grad(element, tensors, retain_graph=True, create_graph=create_graph, allow_unused=True)
                else:
                    found = (None,) * len(tensors)
                _strict(found, strict, "jacobian")
                for column, value, x in zip(columns, found, tensors, strict=True):
                    column.append(_zeros_like(x) if value is None else value)
            stack = namespaces["torch"]["stack"]
            rows.append(
                tuple(
                    stack(c).reshape(*out.shape, *x.shape) if c else x.new_zeros((*out.shape, *x.shape))
                    for c, x in zip(columns, tensors, strict=True)
                )
            )
    made = tuple(r[0] for r in rows) if single_in else tuple(rows)
    return made[0] if single_out else made


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """Second derivatives of a function with one scalar output."""
    single = isinstance(inputs, Tensor)

    def gradient(*tensors: Tensor) -> Any:
        out = func(*tensors)
        if not isinstance(out, Tensor) or out.numel() != 1:
            raise RuntimeError("hessian: the function must return one Tensor with a single element")
        live = tuple(t if t.requires_grad else t.requires_grad_() for t in tensors)
        found = grad(out, live, create_graph=True, allow_unused=True)
        _strict(found, strict, "hessian")
        full = tuple(_zeros_like(t) if g is None else g for g, t in zip(found, live, strict=True))
        return full[0] if single else full

    return jacobian(gradient, inputs, create_graph=create_graph, strict=False)


def vjp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(outputs, v-weighted sum of the Jacobian's rows)."""
    with enable_grad():
        tensors, single_in = _inputs(inputs, create_graph)
        outs, single_out = _call(func, tensors)
        weights = None if v is None else ((v,) if isinstance(v, Tensor) else tuple(v))
        if weights is None and (len(outs) != 1 or outs[0].numel() != 1):
            raise RuntimeError(
                "The vector v can only be None if the user-provided function returns a single Tensor with one element."
            )
        found = grad(outs, tensors, weights, create_graph=create_graph, allow_unused=True)
        _strict(found, strict, "vjp")
    full = tuple(_zeros_like(x) if g is None else g for g, x in zip(found, tensors, strict=True))
    results = outs if create_graph else tuple(o.detach() for o in outs)
    return (results[0] if single_out else results), (full[0] if single_in else full)


def jvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(outputs, the Jacobian times v), by differentiating the vector-Jacobian product by its vector."""
    with enable_grad():
        tensors, _ = _inputs(inputs, create_graph)
        outs, single_out = _call(func, tensors)
        ones = namespaces["torch"]["ones_like"]
        directions = tuple(map(ones, tensors)) if v is None else ((v,) if isinstance(v, Tensor) else tuple(v))
        weights = tuple(_zeros_like(o).requires_grad_() for o in outs)
        pulled = grad(outs, tensors, weights, create_graph=True, allow_unused=True)
        _strict(pulled, strict, "jvp")
        live = [(p, d) for p, d in zip(pulled, directions, strict=True) if p is not None and p.requires_grad]
        if live:
            found = grad(
                [p for p, _ in live], weights, [d for _, d in live], create_graph=create_graph, allow_unused=True
            )
        else:
            found = (None,) * len(outs)
    full = tuple(_zeros_like(o) if g is None else g for g, o in zip(found, outs, strict=True))
    results = outs if create_graph else tuple(o.detach() for o in outs)
    return (results[0], full[0]) if single_out else (results, full)


def hvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(output, the Hessian times v)."""
    with enable_grad():
        tensors, single_in = _inputs(inputs, create_graph)
        out = func(*tensors)
        first = grad(out, tensors, create_graph=True, allow_unused=True)
        weights = None if v is None else ((v,) if isinstance(v, Tensor) else tuple(v))
        live = [
            (g, w)
            for g, w in zip(first, weights or (None,) * len(first), strict=True)
            if g is not None and g.requires_grad
        ]
        found: Any = (None,) * len(tensors)
        if live:
            found = grad([g for g, _ in live], tensors, None if v is None else [w for _, w in live],
                         create_graph=create_graph, allow_unused=True)  # fmt: skip
    full = tuple(_zeros_like(x) if g is None else g for g, x in zip(found, tensors, strict=True))
    return (out if create_graph else out.detach()), (full[0] if single_in else full)


def vhp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(output, v times the Hessian); the Hessian is symmetric."""
    return hvp(func, inputs, v, create_graph, strict)

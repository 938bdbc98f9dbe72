"""`torch.library.opcheck`: does an operator do what its schema and its rules say?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core.autograd import engine
from ..core.tensor.tensor import Tensor
from ..core.tensor.tree import flatten, unflatten
from .calls import fake_context, is_float, missing_fake, rules_of

_TESTS = (
    "test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_static", "test_aot_dispatch_dynamic",
)  # fmt: skip
_USUAL = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")


class OpCheckError(Exception):
    """An operator does not do what was said of it."""

    __module__ = "flambeau.testing._internal.optests.generate_tests"


def opcheck(
    op: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
    *,
    test_utils: str | Sequence[str] = _USUAL,
    raise_exception: bool = True,
    atol: float | None = None,
    rtol: float | None = None,
) -> dict[str, Any]:
    """Run an operator on these arguments and look whether it keeps to its schema, its fake implementation and its gradient.

    Gives 'SUCCESS' for each test, or raises OpCheckError (with `raise_exception=False` the result holds the error).
    """
    from .custom_ops import overload_for

    names = (test_utils,) if isinstance(test_utils, str) else tuple(test_utils)
    if not set(names) <= set(_TESTS):
        raise ValueError(
            f"opcheck(op, ..., test_utils={names}), expected test_utils to be subset of {_TESTS} but it was not"
        )
    overload = overload_for(op) if not hasattr(op, "overloads") else next(iter(op._made.values()))
    results: dict[str, Any] = {}
    for name in names:
        try:
            _CHECKS[name](overload, args, kwargs or {}, _closeness(rtol, atol))
            results[name] = "SUCCESS"
        except Exception as error:
            if raise_exception:
                raise OpCheckError(
                    f"opcheck(op, ...): {name} failed with {error} (scroll up for stack trace)"
                ) from error
            results[name] = error
    return results


def _closeness(rtol: float | None, atol: float | None) -> dict[str, float]:
    if (rtol is None) != (atol is None):
        raise ValueError("rtol and atol must both be specified or both be unspecified")
    return {"rtol": 1e-5 if rtol is None else rtol, "atol": 1e-6 if atol is None else atol}


def _copied(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    made = value.detach().clone()
    return made.requires_grad_(value.requires_grad) if is_float(value) else made


def _copies(args: Any, kwargs: Any) -> Any:
    leaves, spec = flatten((args, kwargs))
    return unflatten([_copied(v) for v in leaves], spec)


def _values(value: Any) -> Any:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else value


def _schema(op: Any, args: Any, kwargs: Any, close: Any) -> None:
    """What the schema says to be written to, and nothing else, is; results share no memory that it does not tell of."""
    args, kwargs = _copies(args, kwargs)
    bound = op._schema.bind(args, kwargs)
    before = {n: [np.array(_values(t)) for t in flatten(v)[0] if isinstance(t, Tensor)] for n, v in bound.items()}
    results = flatten(op(*args, **kwargs))[0]
    for argument in op._schema.arguments:
        now = [_values(t) for t in flatten(bound.get(argument.name))[0] if isinstance(t, Tensor)]
        changed = any(
            not np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
            for a, b in zip(before.get(argument.name, []), now, strict=True)
        )
        if changed and not argument.is_write:
            raise RuntimeError(f"Argument {argument.name} is not defined as mutable but was mutated")
        held = {id(t._storage) for t in flatten(bound.get(argument.name))[0] if isinstance(t, Tensor)}
        if argument.alias_info is None and any(isinstance(r, Tensor) and id(r._storage) in held for r in results):
            raise RuntimeError(f"Argument {argument.name} is not defined to alias output but was aliasing")


def _registration(op: Any, args: Any, kwargs: Any, close: Any) -> None:
    """Gradients are registered where they are meant to be."""
    if rules_of(op).custom or any(k in op.kernels for k in ("Autograd", "AutogradCPU", "CompositeImplicitAutograd")):
        return
    args, kwargs = _copies(args, kwargs)
    if not any(isinstance(t, Tensor) and t.requires_grad for t in flatten((args, kwargs))[0]):
        return
    results = flatten(op(*args, **kwargs))[0]
    if rules_of(op).backward is None and any(isinstance(r, Tensor) and r.requires_grad for r in results):
        raise AssertionError(
            "at least one output of the operator has requires_grad=True but the operator does not have an autograd kernel "
            "defined. This could mean that you have an incorrect custom autograd formula: use torch.library.register_autograd"
        )


def _fake(op: Any, args: Any, kwargs: Any, close: Any) -> None:
    """What is registered for the shapes gives those of the results."""
    rules = rules_of(op)
    fake = op.kernels.get("Meta") or rules.fake or op.kernels.get("CompositeImplicitAutograd")
    if fake is None and not op.kernels:
        return  # an operator of our own
    if fake is None and op._schema.returns:
        raise RuntimeError(missing_fake(op))
    args, kwargs = _copies(args, kwargs)
    full, named = op._schema.filled(op._schema.bind(args, kwargs))
    with fake_context() as context:
        told = flatten(fake(*full, **named))[0] if fake is not None else []
    found = flatten(op(*args, **kwargs))[0]
    if len(told) != len(found):
        raise AssertionError(f"the fake implementation gives {len(told)} results, the operator {len(found)}")
    for i, (a, b) in enumerate(zip(told, found, strict=True)):
        if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
            continue
        shape = [n for n, m in zip(b.shape, a.shape, strict=False) if m not in context.made]
        if a.ndim != b.ndim or shape != [m for m in a.shape if m not in context.made]:
            raise AssertionError(f"Shapes {tuple(b.shape)} and {tuple(a.shape)} are not equal! (result {i})")
        if a.dtype != b.dtype:
            raise AssertionError(f"Dtypes {b.dtype} and {a.dtype} are not equal! (result {i})")


def _compiled(op: Any, args: Any, kwargs: Any, close: Any) -> None:
    """A compiled call gives the results, and the gradients, of an uncompiled one."""
    from ..compiler import compile

    plain, compiled = (
        _with_gradients(f, *_copies(args, kwargs)) for f in (op.__call__, compile(lambda *a, **k: op(*a, **k)))
    )
    for a, b in zip(plain, compiled, strict=True):
        if (a is None) != (b is None) or (a is not None and not np.allclose(a, b, equal_nan=True, **close)):
            raise AssertionError(f"Outputs of the compiled operator {b} are not those of the uncompiled one {a}")


def _with_gradients(function: Callable[..., Any], args: Any, kwargs: Any) -> list[Any]:
    results = [r for r in flatten(function(*args, **kwargs))[0] if isinstance(r, Tensor)]
    inputs = [t for t in flatten((args, kwargs))[0] if isinstance(t, Tensor) and t.requires_grad]
    roots = [r for r in results if r.requires_grad]
    found: Sequence[Any] = ()
    if inputs and roots:
        found = engine.grad([r.abs().sum() if r.is_complex() else r.sum() for r in roots], inputs, allow_unused=True)
    return [_values(v) for v in (*results, *found)]


_CHECKS: dict[str, Callable[..., None]] = {
    "test_schema": _schema,
    "test_autograd_registration": _registration,
    "test_faketensor": _fake,
    "test_aot_dispatch_static": _compiled,
    "test_aot_dispatch_dynamic": _compiled,
}

__all__ = ["OpCheckError", "opcheck"]

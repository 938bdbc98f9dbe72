"""Operators on values with derivatives in one direction: what `jvp` of an operator of ATen is, in operators of ATen.

An operator that is linear is called with the derivatives; a product once for each factor. An operator element by element has the derivative
that its backward pass has. For all others the backward pass, which is linear in the gradient that comes, is differentiated by it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..._library.keys import Tag
from ...core.context.grad_mode import is_grad_enabled
from ...core.context.overrides import OperatorHandle
from ...core.dispatch.overloads import OpOverload, ops
from ...core.tape.nodes import is_differentiable
from ...core.tensor.tensor import Tensor
from ...func.forward import jvp
from ...func.reverse import Scope
from ...utils import _pytree as pytree
from ._operator_graph import OperatorGraph, written_untold
from ._samples import _call, _named, _without_write, run_operator

_aten = ops.aten


class Dual:
    """A value and its derivative, None where that is zero."""

    __slots__ = ("value", "derivative", "viewed")

    def __init__(self, value: Any, derivative: Any = None):
        self.value: Any = value
        self.derivative: Any = derivative
        self.viewed = False


class Derivatives:
    """Runs operators on values, and on their derivatives beside."""

    def __init__(self, graph: OperatorGraph):
        self.graph = graph

    def outside(self, value: Any) -> Any:
        """A value from outside of the function has no derivative."""
        return Dual(value)

    def __call__(self, node: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        op = _without_write(node.target) if isinstance(node.target, OpOverload) else node.target
        duals = [v for v in pytree.tree_leaves((args, kwargs)) if isinstance(v, Dual)]
        values = _values((args, kwargs))
        known = isinstance(op, OpOverload)
        if known and op.is_view:
            for dual in duals:
                dual.viewed = True
        if known and op._schema.is_mutable:
            return _written(op, args, kwargs, self)
        cut = known and (op._opname in _CONSTANT or (op._opname == "detach" and not node.meta["saved"]))
        if cut or all(d.derivative is None for d in duals):
            return _duals(run_operator(op, *values[0], **values[1]), None)
        if not known:
            moving = _moving(duals)
            return self._tried(
                op, args, kwargs, lambda: _whole_rule(lambda *xs: _with(op, args, kwargs, moving, xs), moving)
            )
        return self._tried(op, args, kwargs, lambda: derived(op, _named(op, args, kwargs)))

    def _tried(self, op: Any, args: Any, kwargs: Any, rule: Callable[[], Any]) -> Any:
        """By a rule; what has no derivative in operators is one operator that gives it."""
        if isinstance(op, OpOverload) and written_untold(op, args, kwargs):
            return _as_one(op, args, kwargs)  # runs it once
        before = list(self.graph.graph.nodes)
        try:
            made = rule()
            if not any(isinstance(n.target, OperatorHandle) for n in list(self.graph.graph.nodes)[len(before) :]):
                return made
        except (_Unknown, NotImplementedError):
            pass
        self.graph.forget(before[-1] if before else None)
        return _as_one(op, args, kwargs)


def derived(op: OpOverload, named: dict[str, Any]) -> Any:
    """An operator's results with derivatives, for arguments by name of which some have one."""
    name = op._opname
    duals = [v for v in pytree.tree_leaves(named) if isinstance(v, Dual)]
    moving = _moving(duals)
    if name in _FORMULAS and named["self"].derivative is not None:
        value = _call(op, _values(named))
        return Dual(value, _FORMULAS[name](value, named["self"].derivative, named["dim"]))
    factors = _FACTORS.get(name)
    if factors is not None and all(d.derivative is None for k, v in named.items() if k not in factors for d in _of(v)):
        return _linear(op, named, factors)
    complex_ones = any(d.value.dtype.is_complex for d in moving)
    if Tag.pointwise in op.tags and len(op._schema.returns) == 1 and not complex_ones:
        return _by_element(op, named, moving)
    return _whole_rule(lambda *xs: _call_with(op, named, moving, xs), moving)


def _moving(duals: list[Any]) -> list[Any]:
    """Those that have a derivative, each once."""
    return list({id(d): d for d in duals if d.derivative is not None}.values())


def _of(value: Any) -> list[Any]:
    return [v for v in pytree.tree_leaves(value) if isinstance(v, Dual)]


def _values(tree: Any) -> Any:
    return pytree.tree_map(lambda v: v.value if isinstance(v, Dual) else v, tree)


def _duals(result: Any, derivative: Any) -> Any:
    if isinstance(result, (tuple, list)):
        parts = derivative if derivative is not None else [None] * len(result)
        return [_duals(r, d) for r, d in zip(result, parts, strict=True)]
    return Dual(result, derivative) if isinstance(result, Tensor) else result


def _replaced(tree: Any, duals: list[Any], values: Any) -> Any:
    table = dict(zip(map(id, duals), values, strict=True))
    return pytree.tree_map(lambda v: table.get(id(v), v.value) if isinstance(v, Dual) else v, tree)


def _with(op: Any, args: Any, kwargs: Any, duals: list[Any], values: Any) -> Any:
    args, kwargs = _replaced((args, kwargs), duals, values)
    return run_operator(op, *args, **kwargs)


def _call_with(op: OpOverload, named: dict[str, Any], duals: list[Any], values: Any) -> Any:
    return _call(op, _replaced(named, duals, values))


def _linear(op: OpOverload, named: dict[str, Any], factors: tuple[str, ...]) -> Any:
    """The sum of what each factor's derivative gives in its place."""
    value = _call(op, _values(named))
    if not all(_moves(v) for v in (value if isinstance(value, (tuple, list)) else [value])):
        return _duals(value, None)
    found = None
    for key in factors:
        given = _of(named.get(key))
        if all(d.derivative is None for d in given):
            continue
        parts = [
            run_operator(_aten.zeros_like.default, d.value) if d.derivative is None else d.derivative for d in given
        ]
        others = {k: None if k in _ADDED.get(op._opname, ()) else _values(v) for k, v in named.items()}
        others[key] = _replaced(named[key], given, parts)  # there alone: the same value may be both factors
        term = _call(op, others)
        found = term if found is None else pytree.tree_map(lambda a, b: a + b, found, term)
    return _duals(value, found)


def _sum(op: OpOverload, named: dict[str, Any]) -> Any:
    """`add`, `sub`, `addmm` and their like: each summand by itself."""
    value = _call(op, _values(named))
    terms = []
    sign = -1 if op._opname in ("sub", "rsub") else 1
    alpha = named.get("alpha", 1)
    left, right = (sign, 1) if op._opname == "rsub" else (1, sign)
    for key, scale in (("self", left), ("other", right)):
        for dual in _of(named.get(key)):
            if dual.derivative is not None:
                weight = scale * (alpha if (key == "other") == (op._opname != "rsub") else 1)
                part = dual.derivative if weight == 1 else dual.derivative * weight
                terms.append(part.expand(value.shape) if part.shape != value.shape else part)
    total = terms[0] if len(terms) == 1 else terms[0] + terms[1]
    return Dual(value, total.to(value.dtype))


def _by_element(op: OpOverload, named: dict[str, Any], moving: list[Any]) -> Any:
    if op._opname in ("add", "sub", "rsub"):
        return _sum(op, named)
    shape = _broadcast([v.value.shape for v in _of(named)])
    wide = [d.value if tuple(d.value.shape) == shape else d.value.expand(shape) for d in moving]
    scope = Scope()
    with scope.open():
        inner = [scope._stand_in(w) for w in wide]
        out = _call_with(op, named, moving, inner)
    value = scope.leave(out)
    if not isinstance(out, Tensor) or not is_differentiable(out._np_dtype):
        return _duals(value, None)
    if out._tape_edge() is None:
        raise _Unknown
    found = None
    for number, dual in enumerate(moving):
        tangent = dual.derivative.to(out.dtype)  # type: ignore[attr-defined]
        tangent = tangent if tangent.shape == out.shape else tangent.expand(out.shape)
        part = scope.leave(scope.gradients([out], [tangent]))[number].to(out.dtype)
        found = part if found is None else found + part
    return Dual(value, found)


def _broadcast(shapes: list[Any]) -> tuple[int, ...]:
    made: list[int] = []
    for place in range(1, max(map(len, shapes), default=0) + 1):
        sizes = {s[-place] for s in shapes if len(s) >= place} - {1}
        made.append(sizes.pop() if sizes else 1)
    return tuple(reversed(made))


def _whole_rule(function: Callable[..., Any], moving: list[Any]) -> Any:
    """The derivative by the backward pass's: that is linear in the gradient that it gets."""
    scope = Scope()
    with scope.open():
        inner = [scope._stand_in(d.value) for d in moving]
        result = function(*inner)
    outputs = list(result) if isinstance(result, (tuple, list)) else [result]
    places = [i for i, o in enumerate(outputs) if isinstance(o, Tensor) and o._tape_edge() is not None]
    values = scope.leave(result)
    if not places:
        if any(isinstance(o, Tensor) and is_differentiable(o._np_dtype) for o in outputs):
            raise _Unknown
        return _duals(values, None)
    second = Scope()
    second.outer = is_grad_enabled()
    with second.open():
        weights = [second._stand_in(run_operator(_aten.zeros_like.default, outputs[i])) for i in places]
        pulled = scope.gradients([outputs[i] for i in places], weights)
    if all(p._tape_edge() is None for p in pulled):
        raise _Unknown
    pushed = second.leave(second.gradients(pulled, [d.derivative for d in moving]))
    derivatives: list[Any] = [None] * len(outputs)
    for place, part in zip(places, pushed, strict=True):
        derivatives[place] = part
    return _duals(values, derivatives if isinstance(result, (tuple, list)) else derivatives[0])


def _as_one(op: Any, args: Any, kwargs: Any) -> Any:
    """The values, and the derivatives by one operator, which JAX computes."""
    duals = list({id(d): d for d in _of((args, kwargs))}.values())
    moving = _moving(duals)
    written = set(map(id, written_untold(op, args, kwargs))) if isinstance(op, OpOverload) else set()

    def run(*given: Any) -> Any:
        values, directions = given[: len(duals)], given[len(duals) :]
        table = {id(d): v.clone() if id(d) in written else v for d, v in zip(duals, values, strict=True)}

        def function(*some: Any) -> tuple[Any, ...]:
            now = table | dict(zip(map(id, moving), some, strict=True))
            made_args, made_kwargs = _replaced((args, kwargs), duals, [now[id(d)] for d in duals])
            results = op(*made_args, **made_kwargs)
            return tuple(r for r in (results if isinstance(results, (tuple, list)) else [results]) if _moves(r))

        return tuple(jvp(function, tuple(table[id(d)] for d in moving), tuple(directions))[1])

    values = _values((args, kwargs))
    result = run_operator(op, *values[0], **values[1])
    handle = OperatorHandle(f"{getattr(op, '_opname', op.__name__)}_jvp", run)
    found = iter(run_operator(handle, *(d.value for d in duals), *(d.derivative for d in moving)))
    if isinstance(result, (tuple, list)):
        return _duals(result, [next(found) if _moves(r) else None for r in result])
    return _duals(result, next(found) if _moves(result) else None)


def _moves(value: Any) -> bool:
    return isinstance(value, Tensor) and is_differentiable(value._np_dtype)


class _Unknown(Exception):
    """The derivative in a direction is not known in ATen's operators."""


def _written(op: OpOverload, args: Any, kwargs: Any, step: Derivatives) -> Any:
    """An operator that writes: its derivative is written into the target's."""
    target = args[0]
    values = _values((args, kwargs))
    moving = [d for d in _of((args, kwargs)) if d.derivative is not None]
    made = None
    if moving and op._opname not in ("zero_", "fill_"):
        if op._opname == "copy_":
            made = args[1].derivative
            made = None if made is None else made.to(target.value.dtype).expand(target.value.shape)
        else:
            made = _apart(op, args, kwargs, step)
    elif moving and op._opname == "fill_" and any(d is not target for d in moving):
        raise _refused(op)
    result = run_operator(op, *values[0], **values[1])
    if target.derivative is not None:
        if made is None:
            run_operator(_aten.zero_.default, target.derivative)
        else:
            run_operator(_aten.copy_.default, target.derivative, made)
    elif made is not None:
        if target.viewed or target.value._is_view():
            raise NotImplementedError(
                f"make_fx: {op} writes a value with a derivative into a tensor that has none and shares memory with others; build it with "
                "torch.cat or torch.stack under jvp"
            )
        target.derivative = made.clone()
    return target if isinstance(result, Tensor) else _duals(result, None)


def _refused(op: OpOverload) -> Exception:
    return NotImplementedError(
        f"make_fx: {op} writes a derivative in a direction, which is not known in ATen's operators. Use the operator that gives a new value"
    )


def _apart(op: OpOverload, args: Any, kwargs: Any, step: Derivatives) -> Any:
    """The derivative of what an operator is going to write, by the form of it that writes nothing."""
    packet = getattr(_aten, op._opname.rstrip("_"), None)
    other = (
        packet.fitting(*_values((args, kwargs)), strictly=True)
        if packet is not None and op._opname.endswith("_")
        else None
    )
    if other is None:
        raise _refused(op)
    made = step._tried(other, args, kwargs, lambda: derived(other, _named(other, args, kwargs)))
    return made.derivative.to(args[0].value.dtype)


def _of_softmax(value: Any, derivative: Any, dim: int) -> Any:
    return value * (derivative - (value * derivative).sum(dim, keepdim=True))


def _of_log_softmax(value: Any, derivative: Any, dim: int) -> Any:
    return derivative - (value.exp() * derivative).sum(dim, keepdim=True)


_FORMULAS = {"_softmax": _of_softmax, "_log_softmax": _of_log_softmax}
_CONSTANT = frozenset(
    """ones_like zeros_like full_like empty_like rand_like randn_like new_zeros new_ones new_full new_empty bernoulli multinomial""".split()
)
_ADDED: dict[str, tuple[str, ...]] = {"convolution": ("bias",)}
_FACTORS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        """alias clone detach _to_copy contiguous view reshape _unsafe_view _reshape_alias expand permute transpose t select slice
        narrow unsqueeze squeeze split split_with_sizes unbind diagonal flip roll cumsum sum mean neg tril triu index gather repeat
        constant_pad_nd real imag _conj conj conj_physical resolve_conj view_as_real view_as_complex nansum index_select unfold""".split(),
        ("self",),
    ),
    **dict.fromkeys(("mm", "bmm"), ("self", "mat2")),
    **dict.fromkeys(("slice_backward", "select_backward"), ("grad", "grad_output")),
    **dict.fromkeys(("cat", "stack"), ("tensors",)),
    "mul": ("self", "other"),
    "div": ("self",),
    "mv": ("self", "vec"),
    "dot": ("self", "tensor"),
    "embedding": ("weight",),
    "convolution": ("input", "weight"),
}

"""Which operators are computed of each process's parts, and how their results lie: as PyTorch's DTensors do.

Sums over a cut dimension, and products whose contraction is cut, give parts that are still to be added up (`Partial`). Elementwise
functions go part by part where XLA could not (unequal parts), and linear ones leave sums as they are. All else is computed with the
whole tensors, and XLA says how its result lies.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ...core.array.meta import MetaArray
from ...core.context.grad_mode import state as grad_state
from ...core.context.overrides import PASS
from ...core.dispatch.call import arrays_of, edges_of, recorded_node
from ...core.tensor.storage import LaidStorage, PartsStorage, Storage
from ...core.tensor.tensor import Tensor, wrap
from ..device_mesh import DeviceMesh, mesh_of
from . import layouts, parts
from .placement_types import Partial, Placement, Replicate, Shard, _NormPartial
from .processes import assembled, part_of


class _Whole(Exception):
    """The call is to be computed with the whole tensors."""


class _Operand:
    """A tensor on the mesh: its shape, how it lies, and this process's part of it."""

    def __init__(self, tensor: Tensor):
        held = parts.of(tensor)
        self.tensor, self.shape, self.held = tensor, tuple(tensor.shape), held
        if held is not None:
            self.mesh, self.placements = held.mesh, held.placements
        else:
            sharding: Any = layouts.known_sharding_of(tensor)
            if sharding is None or sharding.is_fully_addressable:
                raise _Whole
            self.mesh = mesh_of(sharding.mesh)
            self.placements = layouts.placements_of(sharding, tensor.ndim, self.mesh)
        if not self.mesh.several or tensor.is_meta:
            raise _Whole

    def part(self) -> Any:
        """This process's part, as a plain array."""
        return np.asarray(self.held.part) if self.held is not None else part_of(self.tensor._array)

    def laid(self, placements: Sequence[Placement]) -> Any:
        """The part that it would have if it lay so: what is whole can be cut at no cost, and a sum be made."""
        if tuple(placements) == self.placements:
            return self.part()
        if any(isinstance(new, Partial) and new != old for old, new in zip(self.placements, placements, strict=True)):
            raise _Whole
        if all(old == new or isinstance(old, Replicate) for old, new in zip(self.placements, placements, strict=True)):
            boxes = [
                parts.box_of(self.shape, self.mesh, p, self.mesh.get_coordinate() or ())
                for p in (self.placements, placements)
            ]
            inner = tuple((a - start, b - start) for (start, _), (a, b) in zip(*boxes, strict=True))
            return parts.sliced(self.part(), inner)
        return np.asarray(parts.cut(self.tensor._array, self.mesh, placements).part)


class _Result(NamedTuple):
    shape: tuple[int, ...]
    placements: tuple[Placement, ...]
    given: Sequence[Sequence[Placement]]  # how each operand is to lie


Options = dict[str, Any]
Rule = Callable[[list[_Operand], Options], _Result]

_LINEAR = ("sum", "avg")
_ONE_BY_ONE = frozenset(
    """abs acos acosh add and asin asinh atan atan2 atanh cbrt ceil clamp complex conj convert_element_type
    copy copy_p cos cosh digamma div eq erf erf_inv erfc exp exp2 expm1 flambeau_function floor ge gt imag
    integer_pow is_finite le lgamma log log1p logistic lt max min mul ne neg nextafter not or pow real rem
    round rsqrt select_n shift_left shift_right_arithmetic shift_right_logical sign sin sinh sqrt square
    stop_gradient sub tan tanh xor optimization_barrier""".split()
)


@functools.lru_cache(1024)
def _is_elementwise(function: Any, shapes: tuple[Any, ...]) -> bool:
    """Whether an array function computes each element of the elements at its place alone: what it is made of says so."""
    return _all_elementwise(jax.make_jaxpr(function)(*shapes).jaxpr)


def _all_elementwise(jaxpr: Any) -> bool:
    for equation in jaxpr.eqns:
        inner = [p for p in equation.params.values() if hasattr(p, "jaxpr") or hasattr(p, "eqns")]
        if inner:
            if not all(_all_elementwise(getattr(p, "jaxpr", p)) for p in inner):
                return False
        elif equation.primitive.name == "broadcast_in_dim":
            rank, last = len(equation.params["shape"]), equation.params["broadcast_dimensions"]
            if tuple(last) != tuple(range(rank - len(last), rank)):
                return False
        elif equation.primitive.name not in _ONE_BY_ONE:
            return False
    return True


_SUMS = frozenset(("add", "sub", "cat", "stack"))  # of sums of the same kind
_SCALED = frozenset(("mul", "true_divide", "neg", "cast", "clone"))  # a sum, by numbers


def _elementwise(operands: list[_Operand], options: Options) -> _Result:
    name = options["name"]
    if name in ("cat", "stack"):
        if any(isinstance(p, Shard) for o in operands for p in o.placements):
            raise _Whole
        shape = (1,) * max(len(o.shape) for o in operands)
    else:
        shape = np.broadcast_shapes(*[o.shape for o in operands])
    made: list[Placement] = []
    given: list[list[Placement]] = [[] for _ in operands]
    for side in range(operands[0].mesh.ndim):
        along = [o.placements[side] for o in operands]
        cuts = {p.dim - len(o.shape) for p, o in zip(along, operands, strict=True) if isinstance(p, Shard)}
        if any(isinstance(p, Partial) for p in along):
            placement, laid = _linear(name, along, options["numbers"])
        elif len(cuts) > 1:
            raise _Whole
        elif cuts:
            (dim,) = cuts
            placement = Shard(dim + len(shape))
            laid = [Shard(dim + len(o.shape)) if _has(o, dim, shape) else Replicate() for o in operands]
        else:
            placement, laid = Replicate(), along
        made.append(placement)
        for one, how in zip(given, laid, strict=True):
            one.append(how)
    return _Result(shape, tuple(made), given)


def _has(operand: _Operand, dim: int, shape: tuple[int, ...]) -> bool:
    """Whether an operand is as long as the result along a dimension (counted from the last), and not broadcast."""
    return -dim <= len(operand.shape) and operand.shape[dim] == shape[dim]


def _linear(name: str, along: list[Placement], numbers: bool) -> tuple[Placement, list[Placement]]:
    """How a linear function of sums that are still to be made lies."""
    first = along[0]
    if not isinstance(first, Partial) or first.reduce_op not in _LINEAR or isinstance(first, _NormPartial):
        raise _Whole
    if name in _SUMS and not numbers and all(p == first for p in along):
        return first, along
    if name in _SCALED and (len(along) == 1 or name == "mul"):
        others: list[Placement] = [Replicate() if isinstance(p, Partial) else p for p in along[1:]]
        if all(isinstance(p, Replicate) for p in others):
            return first, [first, *others]
    raise _Whole


_REDUCTIONS: dict[str, str] = {
    "sum": "sum", "mean": "avg", "amax": "max", "amin": "min", "max": "max", "min": "min", "prod": "product", "any": "sum",
    "all": "product", "vector_norm": "norm", "older_norm": "norm",
}  # fmt: skip


def _reduction(operands: list[_Operand], options: Options) -> _Result:
    (operand,) = operands
    ndim, op = len(operand.shape), _REDUCTIONS[options["name"]]
    dim, keep = options.get("dim"), options.get("keepdim") or False
    dims = (
        set(range(ndim)) if dim is None or dim == () else {d % ndim for d in ((dim,) if isinstance(dim, int) else dim)}
    )
    shape = tuple(1 if d in dims else n for d, n in enumerate(operand.shape) if keep or d not in dims)
    order: Any = options.get("ord", options.get("p", 2))
    order = 2 if order == "fro" else order
    made: list[Placement] = []
    for placement in operand.placements:
        if isinstance(placement, Shard) and placement.dim in dims:
            if not parts.is_even(operand.shape, operand.mesh, operand.placements) and op not in ("sum", "norm"):
                raise _Whole
            if op == "norm" and (not isinstance(order, (int, float)) or order in (0, -math.inf) or order < 0):
                raise _Whole
            made.append(_NormPartial("sum", _plain(order)) if op == "norm" else Partial(op))
        elif isinstance(placement, Shard):
            made.append(Shard(placement.dim if keep else placement.dim - sum(d < placement.dim for d in dims)))
        elif isinstance(placement, Partial) and (placement.reduce_op != op or op not in ("sum", "avg", "max", "min")):
            raise _Whole
        else:
            made.append(placement)
    if sum(isinstance(p, Partial) for p in made) > 1 and op == "norm":
        raise _Whole
    return _Result(shape, tuple(made), [operand.placements])


def _loss(operands: list[_Operand], options: Options) -> _Result:
    """Means and sums of what is computed element by element of two tensors."""
    a, b = operands
    reduction = options.get("reduction")
    op = {"mean": "avg", "sum": "sum"}.get(reduction if isinstance(reduction, str) else "")
    if (
        op is None
        or a.shape != b.shape
        or not parts.is_even(a.shape, a.mesh, a.placements)
        or a.placements != b.placements
    ):
        raise _Whole
    if any(isinstance(p, Partial) for p in a.placements):
        raise _Whole
    made = tuple(Partial(op) if isinstance(p, Shard) else p for p in a.placements)
    return _Result((), made, [a.placements, b.placements])


def _plain(number: float) -> float:
    return int(number) if number == int(number) else number


def _product(operands: list[_Operand], options: Options) -> _Result:
    """Products of matrices; `linear` takes its second transposed, and a bias."""
    a, b, *rest = operands
    transposed, batches = options["name"] == "linear", len(a.shape) - 2
    if len(a.shape) < 2 or len(b.shape) < 2 or (len(b.shape) != len(a.shape) and len(b.shape) != 2):
        raise _Whole
    own = len(b.shape) - 2  # how many dimensions of batches the second has
    if own and a.shape[:batches] != b.shape[:own]:
        raise _Whole
    inner, outer = (own + 1, own) if transposed else (own, own + 1)
    last = len(a.shape) - 1
    shape = (*a.shape[:-1], b.shape[outer])
    given: list[list[Placement]] = [[] for _ in operands]
    made: list[Placement] = []
    for side in range(a.mesh.ndim):
        placement, *laid = _product_along(a.placements[side], b.placements[side], last, inner, outer, own)
        if rest:
            if isinstance(placement, Partial):
                raise _Whole
            laid.append(Shard(0) if placement == Shard(last) else Replicate())
        made.append(placement)
        for one, how in zip(given, laid, strict=True):
            one.append(how)
    return _Result(shape, tuple(made), given)


def _product_along(x: Placement, y: Placement, last: int, inner: int, outer: int, own: int) -> list[Placement]:
    """How a product lies along a side, and how its factors are to lie for that."""
    whole = Replicate()
    if isinstance(x, Partial) or isinstance(y, Partial):
        one = x if isinstance(x, Partial) else y
        if isinstance(x, Shard) or isinstance(y, Shard) or one.reduce_op not in _LINEAR:  # type: ignore[attr-defined]
            raise _Whole
        return [one, x, whole] if isinstance(x, Partial) else [one, whole, y]
    if (x == Shard(last) and y in (Shard(inner), whole)) or (x == whole and y == Shard(inner)):
        return [Partial("sum"), Shard(last), Shard(inner)]
    if isinstance(x, Shard) and x.dim < last and (y == whole or (x.dim < own and y == x)):
        return [x, x, Shard(x.dim) if x.dim < own else whole]
    if isinstance(x, Shard) and x.dim < last and y == Shard(outer) and x.dim >= own:
        return [x, x, whole]
    if x == whole and y == Shard(outer):
        return [Shard(last), whole, y]
    if x == y == whole:
        return [whole, whole, whole]
    raise _Whole


_RULES: dict[str, Rule] = {
    **dict.fromkeys(_REDUCTIONS, _reduction),
    **dict.fromkeys(("matmul", "mm", "bmm", "linear"), _product),
    **dict.fromkeys(("mse_loss", "l1_loss"), _loss),
}


def _concerned(args: Sequence[Any], ruled: bool) -> bool:
    """Whether there are parts among the arguments; where there is a rule for equal ones, too, whether any is cut."""
    for value in args:
        if isinstance(value, (list, tuple)):
            if _concerned(value, ruled):
                return True
        elif isinstance(value, Tensor):
            kind = type(value._storage)
            if kind is PartsStorage:
                return True
            if ruled and (kind is Storage or kind is LaidStorage):
                sharding = layouts.known_sharding_of(value)
                if sharding is not None and not sharding.is_fully_replicated and not sharding.is_fully_addressable:
                    return True
    return False


def answer(call: Any, op: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a call of an operator is, computed of this process's parts; PASS where it is to be computed of the whole."""
    rule = _RULES.get(op.name)
    if grad_state.trace is not None or grad_state.transforms or getattr(call, "writes", False) or "out" in kwargs:
        return PASS
    if not _concerned(args, rule is not None) and not (kwargs and _concerned(tuple(kwargs.values()), rule is not None)):
        return PASS
    try:
        dynamic, key = op.signature.bind(op.name, args, kwargs)
        return _computed(op, rule or _elementwise, list(dynamic), key)
    except (_Whole, TypeError, ValueError):
        return PASS


def _computed(op: Any, rule: Rule, dynamic: list[Any], key: tuple[Any, ...]) -> Any:
    tensors = [value for value in dynamic if isinstance(value, Tensor) and (value.ndim or _is_laid(value))]
    operands = [_Operand(value) for value in tensors]
    numbers = len(operands) < len(dynamic)
    options: Options = {
        name: part[1] for name, part in zip(op.signature.names, key, strict=True) if isinstance(part, tuple)
    }
    if any(o.mesh != operands[0].mesh for o in operands) or (rule is not _elementwise and numbers):
        raise _Whole
    result = rule(operands, options | {"name": op.name, "numbers": numbers})
    sums = any(isinstance(p, Partial) for p in result.placements)
    if rule is not _elementwise and not sums and all(o.held is None for o in operands):
        raise _Whole  # XLA does it
    laid = iter([o.laid(given) for o, given in zip(operands, result.given, strict=True)])
    arrays = [
        next(laid) if any(value is t for t in tensors) else value._array if isinstance(value, Tensor) else value
        for value in dynamic
    ]
    program = op.program(key)
    moved = rule is _elementwise and not any(isinstance(p, Shard) for p in result.placements)
    if rule is _elementwise and not moved and not _is_elementwise(program.function, tuple(map(_abstract, arrays))):
        raise _Whole
    out = program.run(*arrays)
    if isinstance(out, tuple):
        raise _Whole
    if moved:
        result = result._replace(shape=tuple(out.shape))
    return _finished(op, program, key, dynamic, out, operands[0].mesh, result)


def _is_laid(value: Tensor) -> bool:
    return type(value._storage) is PartsStorage


def _abstract(value: Any) -> Any:
    return jax.ShapeDtypeStruct(value.shape, value.dtype) if hasattr(value, "shape") else value


def _finished(op: Any, program: Any, key: Any, dynamic: Any, out: Any, mesh: DeviceMesh, result: _Result) -> Tensor:
    made = parts.Parts([out], mesh, result.placements, result.shape)
    plain = made.keeps and made.even
    tensor: Tensor = wrap(assembled(np.asarray(out), made.sharding)) if plain else parts.tensor(made)
    wanted, edges = edges_of(dynamic) if grad_state.grad else ((), ())
    if wanted and out.dtype.kind in "fcV":
        arrays, _ = arrays_of(op, op.name, key, dynamic, False)
        tensor._edge = recorded_node(program, arrays, wanted, edges, (MetaArray(result.shape, out.dtype),)), 0
    return tensor


def begin() -> None:
    """Have operators ask from now on, in this thread."""
    if grad_state.by_parts is None:
        grad_state.by_parts = answer

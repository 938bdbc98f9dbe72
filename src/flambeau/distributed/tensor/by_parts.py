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
import jax.numpy as jnp
import numpy as np

from ...core.array.meta import MetaArray
from ...core.context.grad_mode import state as grad_state
from ...core.context.overrides import PASS
from ...core.dispatch.call import arrays_of, edges_of, recorded_node
from ...core.tensor.storage import LaidStorage, PartsStorage, Storage
from ...core.tensor.tensor import Tensor, wrap
from ..device_mesh import DeviceMesh, mesh_of
from . import along, layouts, parts, tracked
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
            return self._summand(placements)
        if all(old == new or isinstance(old, Replicate) for old, new in zip(self.placements, placements, strict=True)):
            boxes = [
                parts.box_of(self.shape, self.mesh, p, self.mesh.get_coordinate() or ())
                for p in (self.placements, placements)
            ]
            inner = tuple((a - start, b - start) for (start, _), (a, b) in zip(*boxes, strict=True))
            return parts.sliced(self.part(), inner)
        return np.asarray(parts.cut(self.tensor._array, self.mesh, placements).part)

    def _summand(self, placements: Sequence[Placement]) -> Any:
        """The part of what is whole along some sides that it would have as a sum, or a mean: the first process there has all of a sum."""
        part, place = self.part(), self.mesh.get_coordinate() or ()
        for side, (old, new) in enumerate(zip(self.placements, placements, strict=True)):
            if old == new:
                continue
            if not isinstance(old, Replicate) or not isinstance(new, Partial) or new.reduce_op not in _LINEAR:
                raise _Whole
            part = part if new.reduce_op == "avg" or place[side] == 0 else np.zeros_like(part)
        return part


class _Result(NamedTuple):
    shape: tuple[int, ...]
    placements: tuple[Placement, ...]
    given: Sequence[Sequence[Placement]]  # how each operand is to lie


Options = dict[str, Any]
Rule = Callable[[list[_Operand], Options], _Result]

_LINEAR = ("sum", "avg")
_ONE_BY_ONE = frozenset(
    """abs acos acosh add and asin asinh atan atan2 atanh bessel_i0e bessel_i1e bitcast_convert_type cbrt clz
    ceil clamp complex conj convert_element_type
    copy copy_p cos cosh digamma div eq erf erf_inv erfc exp exp2 expm1 flambeau_function floor ge gt igamma igamma_grad_a igammac imag
    integer_pow is_finite le lgamma log log1p logistic lt max min mul ne neg nextafter not or pow real rem
    round rsqrt select_n shift_left shift_right_arithmetic shift_right_logical sign sin sinh sqrt square
    stop_gradient sub tan tanh xor optimization_barrier polygamma population_count zeta""".split()
)


@functools.lru_cache(1024)
def _is_elementwise(function: Any, shapes: tuple[Any, ...]) -> bool:
    """Whether an array function computes each element of the elements at its place alone: what it is made of says so."""
    return _all_elementwise(jax.make_jaxpr(function)(*shapes).jaxpr)


def _changes_rank(equation: Any) -> bool:
    """Whether bits are taken as those of several numbers, or of a part of one."""
    return (
        equation.primitive.name == "bitcast_convert_type"
        and equation.invars[0].aval.ndim != equation.outvars[0].aval.ndim
    )


# What only calls the functions within it. Those within others say how elements of several places become one (reduce, scan, scatter).
_CALLS = frozenset("jit pjit closed_call core_call custom_jvp_call custom_vjp_call checkpoint remat2 while".split())


def _all_elementwise(jaxpr: Any) -> bool:
    for equation in jaxpr.eqns:
        inner = [p for p in equation.params.values() if hasattr(p, "jaxpr") or hasattr(p, "eqns")]
        if inner:
            if equation.primitive.name not in _CALLS or not all(
                _all_elementwise(getattr(p, "jaxpr", p)) for p in inner
            ):
                return False
        elif equation.primitive.name == "broadcast_in_dim":
            rank, last = len(equation.params["shape"]), equation.params["broadcast_dimensions"]
            if tuple(last) != tuple(range(rank - len(last), rank)):
                return False
        elif equation.primitive.name not in _ONE_BY_ONE or _changes_rank(equation):
            return False
    return True


_SUMS = frozenset(("add", "sub", "cat", "stack", "hstack", "vstack"))  # of sums of the same kind
_MOVED = frozenset(("flip", "roll", "index_select", "repeat"))  # what moves elements of a sum
_JOINS = frozenset(("cat", "stack", "hstack", "vstack"))
_SCALED = frozenset(("mul", "true_divide", "neg", "cast", "clone"))  # a sum, by numbers


def _keeps_sums(options: Options, kind: np.dtype) -> bool:
    """Whether a cast of summands is the cast of their sum, as near as floats are: what is rounded to integers, or is true, is not."""
    target = np.dtype(options["target"])
    return jnp.issubdtype(target, jnp.floating) or (kind.kind in "iu" and target.kind in "iu")


def _elementwise(operands: list[_Operand], options: Options) -> _Result:
    name = options["name"]
    summed = any(isinstance(p, Partial) for p in operands[0].placements)
    if name == "cast" and summed and not _keeps_sums(options, operands[0].tensor._np_dtype):
        raise _Whole
    if name in _MOVED or name in _JOINS:
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
    first = next(p for p in along if isinstance(p, Partial))
    if first.reduce_op not in _LINEAR or isinstance(first, _NormPartial):
        raise _Whole
    if name in _SUMS and not numbers and all(p == first or isinstance(p, Replicate) for p in along):
        return first, [first] * len(along)
    place = along.index(first)
    if (
        name in _MOVED
        or name == "mul"
        or (place == 0 and (len(along) == 1 or name == "true_divide") and name in _SCALED)
    ):
        others: list[Placement] = [Replicate() if isinstance(p, Partial) else p for p in along]
        others[place] = first
        if all(isinstance(p, Replicate) for i, p in enumerate(others) if i != place):
            return first, others
    raise _Whole


_REDUCTIONS: dict[str, str] = {
    "sum": "sum", "mean": "avg", "amax": "max", "amin": "min", "max": "max", "min": "min", "prod": "product", "any": "sum",
    "all": "product", "vector_norm": "norm", "older_norm": "norm", "norm": "norm", "matrix_norm": "norm", "count_nonzero": "sum", "nansum": "sum",
}  # fmt: skip


def _reduction(operands: list[_Operand], options: Options) -> _Result:
    (operand,) = operands
    name, ndim = options["name"], len(operand.shape)
    op = _REDUCTIONS[name]
    dim, keep = options.get("dim"), options.get("keepdim") or False
    dims = (
        set(range(ndim)) if dim is None or dim == () else {d % ndim for d in ((dim,) if isinstance(dim, int) else dim)}
    )
    shape = tuple(1 if d in dims else n for d, n in enumerate(operand.shape) if keep or d not in dims)
    order: Any = options.get("ord", options.get("p", 2))
    if name in ("norm", "matrix_norm") and (order not in (None, "fro") or ndim != 2):
        raise _Whole  # one of matrices
    order = 2 if order in (None, "fro") else order
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
        elif isinstance(placement, Partial) and (
            name in ("count_nonzero", "nansum") or placement.reduce_op != op or op not in ("sum", "avg", "max", "min")
        ):
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
    if op is None or a.shape != b.shape or options.get("weight") is not None:
        raise _Whole
    made: list[Placement] = []
    laid: list[Placement] = []
    for x, y in zip(a.placements, b.placements, strict=True):
        cut = next((p for p in (x, y) if isinstance(p, Shard)), None)
        laid.append(Replicate() if cut is None else cut)
        made.append(Replicate() if cut is None else Partial(op))
    if not parts.is_even(a.shape, a.mesh, laid):
        raise _Whole
    return _Result((), tuple(made), [laid, laid])


def _plain(number: float) -> float:
    return int(number) if number == int(number) else number


def _product(operands: list[_Operand], options: Options) -> _Result:
    """Products, whose dimensions have names: those that the result lacks are contracted. What is added to one comes once."""
    name = options["name"]
    added = {"linear": 2, "addmm": 0, "baddbmm": 0, "addmv": 0}.get(name)
    factors = [o for i, o in enumerate(operands) if len(operands) < 3 or i != added]
    if len(factors) != 2:
        raise _Whole
    a, b = factors
    first, second, out = _named(name, len(a.shape), len(b.shape), options)
    lengths = dict(zip(second, b.shape, strict=True)) | dict(zip(first, a.shape, strict=True))
    if len({*first}) < len(first) or len({*second}) < len(second):
        raise _Whole
    if any(lengths[label] != n for label, n in zip(second, b.shape, strict=True)):
        raise _Whole
    shape = tuple(lengths[label] for label in out)
    laid: list[list[Placement]] = [[] for _ in operands]
    made: list[Placement] = []
    for side in range(a.mesh.ndim):
        placement, *given = _product_along(a.placements[side], b.placements[side], first, second, out)
        made.append(placement)
        for i, operand in enumerate(operands):
            if any(operand is f for f in factors):
                laid[i].append(given.pop(0))
            else:
                laid[i].append(_of_added(operand, placement, shape))
    return _Result(shape, tuple(made), laid)


def _of_added(operand: _Operand, placement: Placement, shape: tuple[int, ...]) -> Placement:
    """How what is added to a result lies, which may lack its first dimensions."""
    if isinstance(placement, Shard):
        dim = placement.dim - len(shape) + len(operand.shape)
        return Shard(dim) if dim >= 0 and operand.shape[dim] == shape[placement.dim] else Replicate()
    return placement


def _named(name: str, first: int, second: int, options: Options) -> tuple[Any, Any, Any]:
    """Names of the dimensions of two factors and of their product."""
    if name == "einsum":
        return (*options["inputs"], options["output"])
    if name == "dot" or (first == 1 and second == 1):
        return "k", "k", ""
    if first < 2 or (second not in (1, 2, first)) or (name == "linear" and second != 2):
        raise _Whole
    batch = [f"batch {i}" for i in range(first - 2)]
    if second == 1:
        return (*batch, "i", "k"), ("k",), (*batch, "i")
    own = batch if second > 2 else []
    matrix = ("j", "k") if name == "linear" else ("k", "j")
    return (*batch, "i", "k"), (*own, *matrix), (*batch, "i", "j")


def _product_along(x: Placement, y: Placement, first: Any, second: Any, out: Any) -> list[Placement]:
    """How a product lies along a side, and how its factors are to lie for that."""
    whole = Replicate()
    if isinstance(x, Partial) or isinstance(y, Partial):
        one = x if isinstance(x, Partial) else y
        if isinstance(x, Shard) or isinstance(y, Shard) or one.reduce_op not in _LINEAR:  # type: ignore[attr-defined]
            raise _Whole
        return [one, x, whole] if isinstance(x, Partial) else [one, whole, y]
    a = first[x.dim] if isinstance(x, Shard) else None
    b = second[y.dim] if isinstance(y, Shard) else None
    if a is not None and b is not None and a != b:  # of two cuts of the result, the rows' stays
        if a not in second and a in out:
            b = None
        elif b not in first and b in out:
            a = None
        else:
            raise _Whole
    label = a if a is not None else b
    if label is None:
        return [whole, whole, whole]
    made = Shard(out.index(label)) if label in out else Partial("sum")
    return [
        made,
        Shard(first.index(label)) if label in first else whole,
        Shard(second.index(label)) if label in second else whole,
    ]


_RULES: dict[str, Rule] = {
    **dict.fromkeys(_REDUCTIONS, _reduction),
    **dict.fromkeys(("matmul", "mm", "bmm", "linear", "addmm", "baddbmm", "addmv", "mv", "dot", "einsum"), _product),
    **dict.fromkeys(("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits"), _loss),
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
    rule, after = _RULES.get(op.name), along.ruled(op.name)
    if grad_state.trace is not None:
        return _traced(call, args, kwargs)
    if grad_state.transforms or "out" in kwargs:
        return PASS
    if getattr(call, "writes", False):
        return _written(call, args, kwargs)
    asks = after or rule is not None
    if not asks and (alike := _alike(op, args, kwargs)) is not None:
        return _of_whole(call, *alike)
    if not _concerned(args, asks) and not (kwargs and _concerned(tuple(kwargs.values()), asks)):
        return PASS
    held = _concerned(args, False) or _concerned(tuple(kwargs.values()), False)
    if rule is not None or held:
        try:
            dynamic, key = op.signature.bind(op.name, args, kwargs)
            return _computed(op, rule or _elementwise, list(dynamic), key)
        except (_Whole, TypeError, ValueError):
            pass
    return _laid_after(call, op, args, kwargs) if after and (held or op.name not in along.OF_UNEQUAL) else PASS


def _traced(call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a call is in a function that is being traced: XLA computes it, and what lies on a mesh is known to do so."""
    mesh = tracked.mesh_of_any((*args, *kwargs.values()))
    if mesh is None:
        return PASS
    made = _of_whole(call, args, kwargs)
    tracked.mark_all(made, mesh)
    return made


def _of_whole(call: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What XLA computes, without another look at how it lies."""
    before, grad_state.by_parts = grad_state.by_parts, None
    try:
        return call(*args, **kwargs)
    finally:
        grad_state.by_parts = before


def _written(call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What writes to a tensor leaves it as it lay; a sum that is written to is whole everywhere."""
    target = args[0] if args else None
    if not isinstance(target, Tensor) or target._view is not None or target.is_meta:
        return PASS
    lies: Any = layouts.known_sharding_of(target)
    if lies is None or lies.is_fully_addressable:
        return PASS
    made = _of_whole(call, args, kwargs)
    along.lay(target, lambda shape: lies if len(shape) == len(target.shape) else None)
    return made


def _alike(op: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]] | None:
    """The arguments of an elementwise function cut along one dimension, where two of them are cut along different ones: that for
    which the fewest bytes are sent, the first of several."""
    cut = [a for a in args if isinstance(a, Tensor) and _lies_cut(a)]
    if len(cut) < 2 or kwargs:
        return None
    try:
        operands = [_Operand(a) for a in cut]
        mesh = operands[0].mesh
        chosen = [_dimension(operands, side) for side in range(mesh.ndim)]
        if any(o.mesh != mesh for o in operands) or all(dim is None for dim in chosen):
            return None
        dynamic, key = op.signature.bind(op.name, args, kwargs)
        shapes = [jax.ShapeDtypeStruct(v.shape, v._np_dtype) if isinstance(v, Tensor) else v for v in dynamic]
        if not _is_elementwise(op.program(key).function, tuple(shapes)):
            return None
        found = dict(zip(map(id, cut), [_cut_so(o, chosen) for o in operands], strict=True))
        return [found.get(id(a), a) for a in args], kwargs
    except (_Whole, TypeError, ValueError, NotImplementedError):
        return None


def _lies_cut(tensor: Tensor) -> bool:
    kind = type(tensor._storage)
    lies = layouts.known_sharding_of(tensor) if kind is Storage or kind is LaidStorage else None
    return lies is not None and not lies.is_fully_addressable and not lies.is_fully_replicated


def _dimension(operands: list[_Operand], side: int) -> int | None:
    """Along which dimension, counted from the last, all are to be cut; None where they already are."""
    dims = [(p.dim - len(o.shape), o) for o in operands if isinstance(p := o.placements[side], Shard)]
    if len({dim for dim, _ in dims}) < 2:
        return None
    sent = {dim: sum(o.tensor.nbytes for other, o in dims if other != dim) for dim, _ in dims}
    return min(sent, key=lambda dim: (sent[dim], dim))


def _cut_so(operand: _Operand, chosen: Sequence[int | None]) -> Tensor:
    placements: list[Placement] = list(operand.placements)
    for side, dim in enumerate(chosen):
        if dim is not None and isinstance(placements[side], Shard):
            own = len(operand.shape) + dim
            placements[side] = Shard(own) if own >= 0 and operand.shape[own] > 1 else Replicate()
    wanted = layouts.sharding_for(operand.mesh, placements, operand.shape)
    return layouts.relaid(operand.tensor, wanted)


def _laid_after(call: Any, op: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a call gives that XLA computes with the whole tensors, laid as PyTorch's result is."""
    try:
        dynamic, key = op.signature.bind(op.name, args, kwargs)
        operands = [_Operand(value) for value in dynamic if isinstance(value, Tensor)]
        if any(o.mesh != operands[0].mesh for o in operands):
            return PASS
        placements = along.placements(op.name, _options(op, key), operands)
    except (_Whole, TypeError, ValueError):
        return PASS
    mesh = operands[0].mesh

    def place(shape: tuple[int, ...]) -> Any:
        return layouts.sharding_for(mesh, placements, shape) if parts.is_even(shape, mesh, placements) else None

    def in_parts(value: Any) -> Any:
        """A result that can't be cut into equal parts is in unequal ones."""
        if not isinstance(value, Tensor) or place(tuple(value.shape)) is not None:
            return value
        long = [isinstance(p, Shard) and value.shape[p.dim] >= mesh.size(side) for side, p in enumerate(placements)]
        lies = [p if keeps else Replicate() for p, keeps in zip(placements, long, strict=True)]
        return layouts.relaid(value, layouts.layout_for(mesh, lies, value.shape))

    before, grad_state.by_parts = grad_state.by_parts, None
    try:
        if op.name in along.JOINED:
            made = call(*args, **kwargs)
            along.lay(made, place)
            return in_parts(made)
        dims = along.dims(op.name, _options(op, key), len(operands[0].shape))

        def uncut(value: Any) -> Any:
            """Whole along the dimensions: XLA's programs of scans over one that is cut have given wrong gradients."""
            if not isinstance(value, Tensor) or value.ndim != len(operands[0].shape):
                return value
            lies = _Operand(value).placements
            cut = any(isinstance(p, Shard) and p.dim in dims for p in lies)
            asked = [
                Replicate() if isinstance(p, Partial) or (isinstance(p, Shard) and p.dim in dims) else p for p in lies
            ]
            return layouts.relaid(value, layouts.sharding_for(mesh, asked, value.shape)) if cut else value

        def laid(value: Any) -> Any:
            wanted = place(tuple(value.shape)) if isinstance(value, Tensor) and value._edge is not None else None
            return in_parts(value) if wanted is None else layouts.relaid(value, wanted)

        made = call(*map(uncut, args), **{name: uncut(value) for name, value in kwargs.items()})
        along.lay(made, place)
        if not isinstance(made, (tuple, list)):
            return laid(made)
        return op.returns(*map(laid, made)) if op.returns else type(made)(map(laid, made))
    finally:
        grad_state.by_parts = before


def _options(op: Any, key: tuple[Any, ...]) -> Options:
    return {name: part[1] for name, part in zip(op.signature.names, key, strict=True) if isinstance(part, tuple)}


def _computed(op: Any, rule: Rule, dynamic: list[Any], key: tuple[Any, ...]) -> Any:
    tensors = [value for value in dynamic if isinstance(value, Tensor) and (value.ndim or _is_laid(value))]
    operands = [_Operand(value) for value in tensors]
    numbers = len(operands) < len(dynamic)
    options = _options(op, key)
    if any(o.mesh != operands[0].mesh for o in operands) or (rule is not _elementwise and numbers):
        raise _Whole
    result = rule(operands, options | {"name": op.name, "numbers": numbers})
    sums = any(isinstance(p, Partial) for p in result.placements)
    if rule is not _elementwise and not sums and all(o.held is None for o in operands):
        raise _Whole  # XLA does it
    laid = iter([o.laid(given) for o, given in zip(operands, result.given, strict=True)])
    arrays = [
        next(laid) if any(value is t for t in tensors) else _beside(value, result, operands[0].mesh)
        for value in dynamic
    ]
    program = op.program(key)
    moved = rule is _elementwise and not any(isinstance(p, Shard) for p in result.placements)
    # of the whole's shapes, which all processes have: a part's may be none that the function takes, or tell each process otherwise
    shapes = tuple(map(parts.abstract, dynamic))
    if rule is _elementwise and not moved and not _is_elementwise(program.function, shapes):
        raise _Whole
    out = program.run(*arrays)
    if isinstance(out, tuple):
        raise _Whole
    if moved:
        result = result._replace(shape=tuple(out.shape))
    return _finished(op, program, key, dynamic, out, operands[0].mesh, result)


def _beside(value: Any, result: _Result, mesh: DeviceMesh) -> Any:
    """This process's part of an array that is whole in each, such as a mask that was drawn; all of what is none."""
    value = value._array if isinstance(value, Tensor) else value
    shape = getattr(value, "shape", ())
    if not shape or not any(isinstance(p, Shard) for p in result.placements):
        return value
    box = parts.box_of(result.shape, mesh, result.placements, mesh.get_coordinate() or ())[-len(shape) :]
    lengths = result.shape[-len(shape) :]
    if len(shape) > len(result.shape) or any(n not in (1, m) for n, m in zip(shape, lengths, strict=True)):
        raise _Whole
    own = tuple((0, 1) if n == 1 else ends for n, ends in zip(shape, box, strict=True))
    return parts.sliced(np.asarray(value), own)


def _is_laid(value: Tensor) -> bool:
    return type(value._storage) is PartsStorage


def _finished(op: Any, program: Any, key: Any, dynamic: Any, out: Any, mesh: DeviceMesh, result: _Result) -> Tensor:
    made = parts.Parts([out], mesh, result.placements, result.shape)
    plain = made.keeps and made.even
    tensor: Tensor = wrap(assembled(np.asarray(out), made.sharding)) if plain else parts.tensor(made)
    wanted, edges = edges_of(dynamic) if grad_state.grad else ((), ())
    if wanted and out.dtype.kind in "fcV":
        arrays, *_ = arrays_of(op, op.name, key, dynamic, False)
        tensor._edge = recorded_node(program, arrays, wanted, edges, (MetaArray(result.shape, out.dtype),)), 0
    return tensor


def begin() -> None:
    """Have operators ask from now on, in this thread."""
    if grad_state.by_parts is None:
        grad_state.by_parts = answer

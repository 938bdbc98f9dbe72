"""Parameters cut over several processes, whole for the time of a forward pass: gathered before it, their gradients averaged after.

All parameters that a `fully_shard`ed module has to itself make one gather and one reduction for each dtype.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...core.array import devices, dtypes
from ...core.autograd.function import Function
from ...core.autograd.kept import kept_by
from ...core.context.grad_mode import state as grad_state
from ...core.context.tracing import Untraceable
from ...core.tape.nodes import OperatorNode, Saved
from ...core.tensor.tensor import Tensor, wrap
from ...processes.crossing import ANY, Crossing, cross
from ...processes.patterns import ALL_GATHER, ALL_REDUCE, REDUCE_SCATTER
from ..device_mesh import DeviceMesh, mesh_of
from ..tensor import parts, tracked
from ..tensor.layouts import Layout, Unequal
from ..tensor.processes import NamedSharding, assembled, local, part_of, together
from .api import MixedPrecisionPolicy


class Place(NamedTuple):
    """How a parameter lies: with all sides of the mesh, with those alone that it had before (None: plain), the dimension that
    `fully_shard` has cut (None: it is whole in each process), and how long that was."""

    outer: Layout
    inner: NamedSharding | None
    dim: int | None
    length: int

    @property
    def scatters(self) -> bool:
        """Whether gradients are cut into equal parts."""
        return self.dim is not None and not isinstance(self.outer, Unequal)


class Plan(NamedTuple):
    """What is gathered where, and how gradients are averaged."""

    mesh: DeviceMesh
    policy: MixedPrecisionPolicy
    places: Sequence[Place]
    factor: float | None = None


def outer_of(inner: NamedSharding, mesh: DeviceMesh, dim: int | None) -> NamedSharding:
    """A sharding on a part of a mesh, cut once more along a dimension over another part of it (of one side)."""
    grid = mesh.root.grid
    entries = [() if e is None else (e,) if isinstance(e, str) else tuple(e) for e in inner.spec]
    if dim is not None:
        entries += [()] * (dim + 1 - len(entries))
        entries[dim] += (mesh.sides[-1],)  # the last, so that the parts of one process of the other side lie together
    return NamedSharding(grid, jax.sharding.PartitionSpec(*[e or None for e in entries]))


def held_by(parameter: Tensor) -> Any:
    """What a process has of a cut parameter: the array over all processes, or its part of unequal ones."""
    found = None if grad_state.trace is not None else parts.of(parameter)
    return parameter._array if found is None else found


def _own(held: Any) -> np.ndarray:
    return np.asarray(held.part) if isinstance(held, parts.Parts) else part_of(held)


def _put_back(part: Any, place: Place) -> Tensor:
    """The tensor of which this is what the process has."""
    outer = place.outer
    if isinstance(outer, Unequal):
        outer = NamedSharding(outer.mesh.grid, jax.sharding.PartitionSpec())
    return wrap(assembled(np.asarray(part), outer))


def _padded(values: np.ndarray, dim: int, length: int) -> np.ndarray:
    """With zeros behind, up to a length: parts of `torch.chunk` are short at the end."""
    missing = length - values.shape[dim]
    return np.pad(values, [(0, missing if d == dim else 0) for d in range(values.ndim)]) if missing else values


def _first(values: np.ndarray, dim: int, length: int) -> np.ndarray:
    return values[(slice(None),) * dim + (slice(length),)]


def _by_dtype(parts: dict[int, np.ndarray]) -> list[list[int]]:
    found: dict[Any, list[int]] = {}
    for number, part in parts.items():
        found.setdefault(part.dtype, []).append(number)
    return list(found.values())


def gathered(group: Any, given: dict[int, np.ndarray], places: Sequence[Place]) -> dict[int, np.ndarray]:
    """The whole of each part."""
    made: dict[int, np.ndarray] = {}
    room = {i: -(-places[i].length // group.size()) for i in given}
    equal = {i: _padded(part, places[i].dim or 0, room[i]) for i, part in given.items()}
    for numbers in _by_dtype(equal):
        flat = together(group, ALL_GATHER, np.concatenate([equal[i].reshape(-1) for i in numbers]), writes=True)
        start = 0
        for i in numbers:
            part, dim = equal[i], places[i].dim or 0
            rows = flat[:, start : start + part.size].reshape(-1, *part.shape)
            made[i] = _first(np.concatenate(list(rows), axis=dim), dim, places[i].length)
            start += part.size
    return made


def _averaged(group: Any, given: dict[int, np.ndarray], factor: float | None) -> dict[int, np.ndarray]:
    """The mean (or the sum by a factor) over a group of what is whole in each process."""
    made: dict[int, np.ndarray] = {}
    for numbers in _by_dtype(given):
        flat = together(group, ALL_REDUCE, np.concatenate([given[i].reshape(-1) for i in numbers]), _op(factor), True)
        ends = np.cumsum([given[i].size for i in numbers])
        pieces = np.split(_divided(flat, factor), ends[:-1])
        made.update({i: piece.reshape(given[i].shape) for i, piece in zip(numbers, pieces, strict=True)})
    return made


def _op(factor: float | None) -> str:
    return "AVG" if factor is None else "SUM"


def _divided(values: np.ndarray, factor: float | None) -> np.ndarray:
    return values if factor is None else (values / factor).astype(values.dtype)


def scattered(
    group: Any, wholes: dict[int, np.ndarray], places: Sequence[Place], factor: float | None
) -> dict[int, np.ndarray]:
    """This process's part of the mean (or the sum by a factor) of all processes' arrays."""
    n, made = group.size(), {}
    for numbers in _by_dtype(wholes):
        cut = {i: np.stack(np.split(wholes[i], n, axis=places[i].dim or 0)) for i in numbers}
        rows = np.concatenate([cut[i].reshape(n, -1) for i in numbers], axis=1)
        flat = _divided(together(group, REDUCE_SCATTER, rows, _op(factor), True), factor)
        start = 0
        for i in numbers:
            size = cut[i][0].size
            made[i] = flat[start : start + size].reshape(cut[i].shape[1:])
            start += size
    return made


def reduced(plan: Plan, wholes: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    """The parts of the averaged gradients."""
    shard, copies = plan.mesh.get_group(plan.mesh.ndim - 1), range(plan.mesh.ndim - 1)
    # the tape knows of no unequal parts: what has them goes down whole, and is cut at its end
    cut = {i: v for i, v in wholes.items() if plan.places[i].scatters}
    rest = {i: v for i, v in wholes.items() if not plan.places[i].scatters}
    made = scattered(shard, cut, plan.places, plan.factor) | _averaged(shard, rest, plan.factor)
    for side in copies:
        made = _averaged(plan.mesh.get_group(side), made, None if plan.factor is None else 1.0)
    return made


def _what_asks() -> Any:
    """A gradient of the node that is run backwards; None outside of a backward pass."""
    run = grad_state.run
    arrived = () if run is None else run.arrived
    return next((value[0] for value in arrived if value is not None), None)


def wholes(plan: Plan, arrays: Sequence[Any], after: Any = None) -> list[Tensor]:
    """The whole parameters of which these are the parts, in the dtype that is computed in. In a program they are gathered when the
    value `after` is there."""
    if grad_state.trace is not None:
        return traced_wholes(plan, arrays, after)
    target = plan.policy.param_dtype
    mine = {i: _own(array) for i, array in enumerate(arrays)}
    if target is not None:
        floats = [i for i, array in enumerate(arrays) if dtypes.from_numpy(array.dtype).is_floating_point]
        mine |= {i: mine[i].astype(target.numpy) for i in floats}
    cut = {i: part for i, part in mine.items() if plan.places[i].dim is not None}
    mine |= gathered(plan.mesh.get_group(plan.mesh.ndim - 1), cut, plan.places)
    return [_inside(mine[i], place) for i, place in enumerate(plan.places)]


class Gathering:
    """One gathering of the parameters of a module. The nodes of the tape that are recorded `within` it hold this in the place of the
    whole parameters, which are gathered anew when the first of them is needed, and stay until the gradients are averaged.

    What is gathered is what was there before the forward pass: parts are immutable arrays, whatever becomes of the parameters.
    """

    def __init__(self, plan: Plan, arrays: Sequence[Any]):
        self.plan, self.arrays = plan, arrays
        self.again: list[Any] | None = None
        self.alive: list[weakref.ref[Any]] = []  # the whole ones, as long as somebody has them
        self.numbers: dict[int, int] = {}
        self.over = False  # whether the forward pass is
        self.after: Any = None  # an array that is there when they are needed: a program gathers no earlier
        self.edges: list[Any] = []  # where the whole ones stand on the tape

    def of(self, number: int) -> Any:
        """A whole parameter's array."""
        found = self.alive[number]()
        if self.over and grad_state.trace is not None:
            found = None  # the program is to gather once more: a trace holds all values, and says nothing of when they are needed
        if found is None:
            if self.again is None:
                self.again = [tensor._array for tensor in wholes(self.plan, self.arrays, _what_asks())]
                self.alive = [weakref.ref(array) for array in self.again]
            found = self.again[number]
        return found

    def tensor(self, number: int) -> Tensor:
        """A whole parameter, with its place on the tape."""
        made = wrap(self.of(number))
        made._edge = self.edges[number]
        return made

    def begin(self, tensors: Sequence[Tensor]) -> None:
        """The whole parameters, as they are in the forward pass."""
        arrays = [tensor._array for tensor in tensors]
        self.alive = [weakref.ref(array) for array in arrays]
        self.numbers = {id(array): i for i, array in enumerate(arrays)}

    def end(self) -> None:
        """The forward pass is over, and the whole parameters are given back."""
        self.numbers, self.over = {}, True

    def __call__(self, node: Any, outputs: Any) -> None:
        """Called with each node that is recorded."""
        if not self.numbers or type(node) is not OperatorNode or node.saved is None or isinstance(node.saved, Saved):
            return
        places = {i: self.numbers[id(a)] for i, a in enumerate(node.saved) if id(a) in self.numbers}
        if places:
            needed = set(kept_by(node, outputs))
            kept = {i: number if i in needed else None for i, number in places.items()}
            node.saved = _Anew(self, node.saved, kept)


class _Anew(Saved):
    """What a node has saved, without the whole parameters."""

    __slots__ = ("gathering", "places", "rest")

    def __init__(self, gathering: Gathering, saved: Sequence[Any], places: dict[int, int | None]):
        self.gathering, self.places = gathering, places
        # what the gradient does not depend on is only a shape
        self.rest = [jax.ShapeDtypeStruct(a.shape, a.dtype) if i in places else a for i, a in enumerate(saved)]

    def __len__(self) -> int:
        return len(self.rest)

    def __getitem__(self, i: Any) -> Any:
        value = self.rest[i]
        if i not in self.places:
            return value
        number = self.places[i]
        return jnp.zeros(value.shape, value.dtype) if number is None else self.gathering.of(number)


class Gather(Function):
    """The whole parameters, as plain tensors of each process, or as they lay before `fully_shard`."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, gathering: Gathering, *parameters: Tensor) -> Any:
        ctx.plan, ctx.gathering, ctx.dtypes = plan, gathering, [p._np_dtype for p in parameters]
        ctx.set_materialize_grads(False)  # a parameter that no process has used has no gradient
        made = wholes(plan, gathering.arrays, gathering.after)
        gathering.begin(made)
        return tuple(made)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        plan, target = ctx.plan, ctx.plan.policy.reduce_dtype
        ctx.gathering.again = None
        wanted = [wants and grad is not None for wants, grad in zip(ctx.needs_input_grad[2:], grads, strict=True)]
        if grad_state.trace is not None:
            return None, None, *traced_parts(plan, grads, wanted, ctx.dtypes)
        whole_ones = {}
        for i, grad in enumerate(grads):
            if not wanted[i]:
                continue
            inner = plan.places[i].inner
            whole = np.asarray(grad._array) if inner is None else part_of(devices.spread(grad._array, inner))
            whole_ones[i] = whole if target is None else whole.astype(target.numpy)
        averaged = reduced(plan, whole_ones)
        made = [
            _put_back(np.asarray(averaged[i], ctx.dtypes[i]), place) if i in averaged else None
            for i, place in enumerate(plan.places)
        ]
        return None, None, *made


class _Lines(NamedTuple):
    """How a plan's parameters lie in a program of all processes, cut (`outer`) and whole (`inner`, None for a process's own);
    the axes along which they are gathered and averaged, and how the processes stand."""

    outer: list[Any]
    inner: list[Any]
    axes: tuple[str, ...]
    grid: tuple[int, ...]


def _lines(plan: Plan, numbers: Any) -> _Lines:
    """Raises Untraceable for what can't be a part of one program of all processes."""
    mesh, around = tracked.standing(plan.mesh), tracked.standing(plan.mesh.root)
    along = tuple(mesh.names[side] for side in plan.mesh.sides)
    places = [plan.places[i] for i in numbers]
    if mesh.own and any(place.inner is None for place in places):
        raise Untraceable("parameters are cut along one side of a mesh alone, beside others that are cut along both")
    inner = [place.inner and tracked.standing(mesh_of(place.inner.mesh)).lies(place.inner.spec) for place in places]
    P = jax.sharding.PartitionSpec
    outer: list[Any] = []
    for place in places:
        if place.inner is not None:
            assert not isinstance(place.outer, Unequal)
            outer.append(around.lies(place.outer.spec))
        else:
            outer.append(P() if place.dim is None else P(*[None] * place.dim, along[-1]))
    return _Lines(outer, inner, along, mesh.grid)


def _own_shape(shape: Sequence[int], place: Place) -> tuple[int, ...]:
    """Of a whole parameter, what a process holds."""
    return tuple(shape) if place.inner is None else place.inner.shard_shape(tuple(shape))


def traced_wholes(plan: Plan, arrays: Sequence[Any], after: Any = None) -> list[Tensor]:
    """`wholes` as a step of a program that is being traced."""
    lines = _lines(plan, range(len(arrays)))
    target, n, axis = plan.policy.param_dtype, plan.mesh.shape[-1], lines.axes[-1]
    shapes = [array.shape for array in arrays]
    own = [_own_shape(shape, place) for shape, place in zip(shapes, plan.places, strict=True)]
    arrays = [_to_length(array, place, n) for array, place in zip(arrays, plan.places, strict=True)]
    floats = [dtypes.from_numpy(array.dtype).is_floating_point for array in arrays]
    kinds = [
        array.dtype if target is None or not is_float else target.numpy
        for array, is_float in zip(arrays, floats, strict=True)
    ]
    cut = [i for i, place in enumerate(plan.places) if place.dim is not None]
    batches = [[i for i in cut if kinds[i] == kind] for kind in dict.fromkeys(kinds[i] for i in cut)]

    def body(*mine: Any) -> tuple[Any, ...]:
        at = None if after is None else mine[-1]
        mine = mine if after is None else mine[:-1]
        made = [part.astype(kind) for part, kind in zip(mine, kinds, strict=True)]
        for numbers in batches:
            row = jnp.concatenate([made[i].reshape(-1) for i in numbers])
            flat = jax.lax.all_gather(row if at is None else _late(row, at), axis)
            ends = np.cumsum([made[i].size for i in numbers])
            for i, rows in zip(numbers, jnp.split(flat, ends[:-1], axis=1), strict=True):
                pieces = rows.reshape(n, *made[i].shape)
                whole = jnp.concatenate(list(pieces), axis=plan.places[i].dim)
                made[i] = jax.lax.slice(whole, (0,) * whole.ndim, own[i])
        return tuple(made)

    results = [jax.ShapeDtypeStruct(shape, kind) for shape, kind in zip(shapes, kinds, strict=True)]
    sent = tuple((ALL_GATHER.name, sum(int(arrays[i].size) * kinds[i].itemsize for i in b)) for b in batches)
    takes = lines.outer if after is None else [*lines.outer, ANY]
    given = arrays if after is None else [*arrays, _zero_of(after)]
    step = Crossing(
        "the gathering of parameters", body, tuple(takes), tuple(lines.inner), tuple(results), sent, lines.grid
    )
    made = [wrap(array) for array in cross(step, given)]
    for tensor, place in zip(made, plan.places, strict=True):
        if place.inner is not None:
            tracked.mark(tensor, mesh_of(place.inner.mesh), place.inner)
    return made


def _zero_of(value: Any) -> Any:
    """0, of a value: XLA does not know that it is always 0."""
    if not value.size:
        return jnp.int32(0)
    number = jnp.real(jax.lax.slice(value, (0,) * value.ndim, (1,) * value.ndim)).reshape(1)
    number = number.astype(jnp.uint8) if number.dtype == jnp.bool_ else number
    bits = jax.lax.bitcast_convert_type(number[0], jnp.dtype(f"uint{8 * number.dtype.itemsize}"))
    return jax.lax.population_count(bits).astype(jnp.int32) >> 7  # of at most 64 bits


def _late(row: Any, at: Any) -> Any:
    """The same values, which are there when the number `at` (0) is: XLA would take the first gathering's results for both,
    as it takes barriers away before it looks for what is there twice."""
    return jax.lax.dynamic_slice(jnp.concatenate([row, row[:1]]), (at,), row.shape)


def _to_length(array: Any, place: Place, n: int) -> Any:
    """With zeros behind, so that it can be cut into equal parts."""
    missing = -place.length % n
    if place.dim is None or not missing:
        return array
    return jnp.pad(array, [(0, missing if d == place.dim else 0) for d in range(array.ndim)])


def traced_parts(plan: Plan, grads: Sequence[Any], needed: Sequence[bool], kinds: Sequence[Any]) -> list[Tensor | None]:
    """The averaged gradients, as a step of a program that is being traced."""
    target, n, factor = plan.policy.reduce_dtype, plan.mesh.shape[-1], plan.factor
    numbers = [i for i, wanted in enumerate(needed) if wanted]
    lines = _lines(plan, numbers)
    *copies, axis = lines.axes
    times = math.prod(plan.mesh.shape[:-1]) if factor is None else 1
    values = [grads[i]._array for i in numbers]
    dtypes_in = [value.dtype if target is None else target.numpy for value in values]
    places = [plan.places[i] for i in numbers]
    dims = [place.dim for place in places]
    shapes = [jax.eval_shape(lambda v, p=p: _to_length(v, p, n), v).shape for v, p in zip(values, places, strict=True)]
    batches = {(kind, dim is None): [] for kind, dim in zip(dtypes_in, dims, strict=True)}  # type: ignore[var-annotated]
    for place, (kind, dim) in enumerate(zip(dtypes_in, dims, strict=True)):
        batches[kind, dim is None].append(place)

    def body(*given: Any) -> tuple[Any, ...]:
        made = [_to_length(v.astype(kind), p, n) for v, kind, p in zip(given, dtypes_in, places, strict=True)]
        for (_, whole), some in batches.items():
            cut = [made[p][None] if whole else jnp.stack(jnp.split(made[p], n, axis=dims[p])) for p in some]
            rows = jnp.concatenate([c.reshape(c.shape[0], -1) for c in cut], axis=1)
            total = jax.lax.psum(rows[0], axis) if whole else jax.lax.psum_scatter(rows, axis)
            total = (total / (n if factor is None else factor)).astype(total.dtype)
            if copies:
                total = (jax.lax.psum(total, tuple(copies)) / times).astype(total.dtype)
            ends = np.cumsum([c[0].size for c in cut])
            for p, c, piece in zip(some, cut, jnp.split(total, ends[:-1]), strict=True):
                made[p] = piece.reshape(c.shape[1:])
        return tuple(value.astype(kinds[i]) for value, i in zip(made, numbers, strict=True))

    results = tuple(jax.ShapeDtypeStruct(shape, kinds[i]) for shape, i in zip(shapes, numbers, strict=True))
    sent = tuple(
        ((ALL_REDUCE if whole else REDUCE_SCATTER).name, sum(int(np.prod(shapes[p])) * kind.itemsize for p in some))
        for (kind, whole), some in batches.items()
    )
    if copies:
        lengths = [
            sum(int(np.prod(shapes[p])) for p in some) * kind.itemsize // (1 if whole else n)
            for (kind, whole), some in batches.items()
        ]
        sent += tuple((ALL_REDUCE.name, length) for length in lengths)
    step = Crossing(
        "the averaging of gradients", body, tuple(lines.inner), tuple(lines.outer), results, sent, lines.grid
    )
    made = cross(step, values) if numbers else []
    first = [jax.lax.slice(whole, (0,) * whole.ndim, v.shape) for whole, v in zip(made, values, strict=True)]
    found = dict(zip(numbers, first, strict=True))
    return [wrap(found[i]) if i in found else None for i in range(len(needed))]


def _inside(part: np.ndarray, place: Place) -> Tensor:
    return local(part) if place.inner is None else wrap(assembled(part, place.inner))


def cast(values: Any, dtype: dtypes.dtype) -> Any:
    """Floating point tensors in a tuple, list or dictionary in a dtype."""
    if isinstance(values, Tensor):
        return values.to(dtype) if values.dtype.is_floating_point else values  # type: ignore[attr-defined]
    if isinstance(values, dict):
        return {name: cast(value, dtype) for name, value in values.items()}
    if type(values) in (tuple, list):
        return type(values)(cast(value, dtype) for value in values)
    if isinstance(values, tuple):
        return type(values)(*[cast(value, dtype) for value in values])
    return values

"""Views that are used at once: an operator's call takes them inside its own program, from the memory that they look into, so that there
is one run of XLA instead of two and nothing is written out in between.

That is so for calls that are not recorded (the tape keeps values), the first time that a view is asked for (who asks again gets the values,
which are then kept). XLA may read it as part of a loop where that costs nothing (few elements, memory in another shape, or dimensions
that `expand` has made) and where the results have the same bits wherever the input lies: it adds and multiplies in an order that follows
the memory, and a second use may not differ from the first. Elsewhere a kernel writes the view out within the program, which XLA
cannot look into: what comes after is computed as from an array that was there.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax._src.array import ArrayImpl

from ...native.moving import strided
from ..array import geometry, programs
from ..array.by_numpy import Refused
from ..array.flattened import EACH, LEAST
from ..array.geometry import Geometry
from ..context.overrides import PASS
from ..tape.programs import UNKNOWN, Program
from ..tensor.storage import Storage

MOST = 1 << 14  # elements of a view that is read in a loop of the operator's, which may read it more than once
# elements of a view up to which a copy within a program costs less than an array of its own
COPIED = 1 << 16
_EXACT = frozenset(  # what moves elements, rounds each one once, or gives the same in any order
    """abs add and argmax argmin bitcast_convert_type broadcast_in_dim ceil clamp clz concatenate convert_element_type copy div
    dynamic_slice eq floor ge gt iota is_finite le lt max min mul ne neg nextafter not or pad population_count reduce_and
    reduce_max reduce_min reduce_or rem reshape rev round select_n shift_left shift_right_arithmetic shift_right_logical sign
    slice sqrt square squeeze stop_gradient sub transpose xor""".split()
)
_PRODUCTS, _SUMS = {"mul", "square"}, {"add", "sub"}  # XLA makes one operation of the two where its loop lets it
_CALLS = frozenset(("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call"))
_EACH = EACH | {"broadcast_in_dim"}
_SEEN = object()  # in the place of a view's values: they were read once inside an operator's program


class Way:
    """How a view is read: by a route in XLA's own operations, or (`route` is strides, `written` is set) by the kernel. One object for
    each kind of views; `starts` says whether it is told at each call where it begins.
    """

    __slots__ = ("shape", "route", "starts", "written", "_hash")

    def __init__(self, shape: tuple[int, ...], route: Any, starts: bool, written: bool = False):
        self.shape: tuple[int, ...] = shape
        self.route: Any = route
        self.starts: bool = starts
        self.written: bool = written
        self._hash = hash((shape, route, starts, written))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (type(other) is Way and self.told() == other.told())

    def told(self) -> tuple[Any, ...]:
        """What it is in every process."""
        return self.shape, tuple(self.route), self.starts, self.written

    def read(self, base: Any, starts: Any) -> Any:
        """The values, in a program."""
        if self.written:
            return strided(base, starts, self.shape, self.route)
        return geometry.read_by(self.route, base, starts, self.shape)


@functools.lru_cache(4096)
def _way(numel: int, g: Geometry) -> tuple[Way, Any] | None:
    """How XLA reads a view of a memory of so many elements in a loop, and where it begins; None if it had better not."""
    if g.bits is not None or 0 in g.shape:
        return None
    expanded = any(stride == 0 and n > 1 for n, stride in zip(g.shape, g.strides, strict=True))
    if not (_is_whole(numel, g) or expanded or g.numel <= MOST):
        return None
    route, starts = geometry.eager_plan(numel, *g[:3])
    return None if route is None else (_shared(Way(g.shape, route, starts is not None)), starts)


def _is_whole(numel: int, g: Geometry) -> bool:
    return g.offset == 0 and g.numel == numel and g.contiguous


@functools.lru_cache(4096)
def _way_of_kernel(g: Geometry, most: float) -> tuple[Way, Any] | None:
    """The same for a view that the kernel writes out, of at most so many elements."""
    if g.bits is not None or 0 in g.shape or g.numel > most:
        return None
    return _shared(Way(g.shape, g.strides, True, True)), geometry.start(g.offset)


_ways: dict[Way, Way] = {}


def _shared(way: Way) -> Way:
    if len(_ways) >= 8192:
        _ways.clear()
    return _ways.setdefault(way, way)


def run(program: Program, arrays: list[Any], views: list[tuple[int, Any]], held: Any) -> Any:
    """What a program gives where `views` are put at their places among the arrays; PASS if it takes none of them.

    `held` is what each argument goes through.
    """
    most = program.seeing.get(None)
    if most is None:
        # raises for arguments that do not go together
        most = program.seeing[None] = _most(program, arrays, views, held)
    ways: list[Way | None] = [None] * len(arrays)
    begins: list[Any] = []
    given = list(arrays)
    for place, tensor in views:
        storage, g = tensor._storage, tensor._view
        base: Any = storage.value if type(storage) is Storage else None
        asked = tensor._cache is _SEEN or tensor._cache_version == storage.version
        known = type(base) is ArrayImpl and type(g.offset) is int and not asked and tensor._np_dtype.kind != "c"
        found = _found(base, g, most) if known else None
        if found is None:
            given[place] = arrays[place] = tensor._array
            continue
        ways[place], starts = found
        given[place] = base
        if starts is not None:
            begins.append(starts)
        tensor._cache = _SEEN
    if not any(ways):
        return PASS
    return _program(program, tuple(ways)).run(*map(held, given), *begins)


def _found(base: Any, g: Geometry, most: float) -> tuple[Way, Any] | None:
    """How a view of this memory is read, and where it begins; None if its values are to be given."""
    size = math.prod(base.shape)
    if most is _IN_LOOPS:
        return _way(size, g) or (_way_of_kernel(g, COPIED) if geometry.writes_out(base) else None)
    return _way_of_kernel(g, most) if geometry.writes_out(base) else None


_IN_LOOPS = math.inf


def _most(program: Program, arrays: list[Any], views: list[tuple[int, Any]], held: Any) -> float:
    """How many elements the kernel writes out at most for a program; `_IN_LOOPS` if the bits of the results do not depend on how it
    reads its input.
    """
    given = list(map(held, arrays))
    for place, tensor in views:
        given[place] = jax.ShapeDtypeStruct(tensor._view.shape, tensor._np_dtype)
    names = set(_primitives(jax.make_jaxpr(program.function)(*given).jaxpr))
    if names <= _EXACT and not (names & _PRODUCTS and names & _SUMS):
        return _IN_LOOPS
    return LEAST if names <= _EACH else COPIED  # with a view within, a larger one would not be flattened


def _primitives(jaxpr: Any) -> Iterator[str]:
    """The names of all that a jaxpr computes, calls' own included."""
    for equation in jaxpr.eqns:
        inner = [p for p in equation.params.values() if hasattr(p, "jaxpr") or hasattr(p, "eqns")]
        if not inner or equation.primitive.name not in _CALLS:
            yield equation.primitive.name
            continue
        for p in inner:
            yield from _primitives(getattr(p, "jaxpr", p))


def _program(program: Program, ways: tuple[Way | None, ...]) -> Program:
    found = program.seeing.get(ways)
    if found is None:
        if len(program.seeing) > programs.SHAPES:
            most = program.seeing[None]
            program.seeing.clear()
            program.seeing[None] = most
        told = tuple(way and way.told() for way in ways)
        identity = UNKNOWN if program.identity is UNKNOWN else ("seeing", program.identity, told)
        kernels = _Kernels(program.by_numpy, ways) if getattr(program.by_numpy, "is_program", False) else None
        function = _reading(program.function, ways)
        found = program.seeing[ways] = Program(function, program.name, identity=identity, by_numpy=kernels)
    return found


class _Kernels:
    """How kernels compute the operator, with views that are read inside: a second use, of values, is theirs too."""

    is_program = True

    def __init__(self, form: Any, ways: tuple[Way | None, ...]):
        self.form = _reading(form, ways)

    def __call__(self, *given: Any) -> Any:
        if any(isinstance(array, np.ndarray) for array in given):
            raise Refused("views are read in a program")
        return self.form(*given)


def _reading(function: Any, ways: tuple[Way | None, ...]) -> Any:
    def seeing(*given: Any) -> Any:
        begins = iter(given[len(ways) :])
        values = [
            array if way is None else way.read(array, next(begins) if way.starts else None)
            for array, way in zip(given, ways, strict=False)
        ]
        return function(*values)

    return seeing

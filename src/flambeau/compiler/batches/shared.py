"""One computation for all sizes up to some, and what each size adds to it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr

from ...core.tensor.storage import cut_over, is_far
from ..capture import Traced
from ..executable import Builder, Executable
from ..guards.code import USER, kind_of_file
from ..plan import Computation, Plan, State
from . import indexing, nested, products, recurrent, rules  # noqa: F401  (what they declare)
from .masked import Masked, NoRule
from .padding import Padded, PaddedProgram, Sizes, grown
from .skeleton import first_difference, same_numbers, skeleton
from .slots import Slots

Place = tuple[int, int]  # of a size: the number of the leaf, and the dimension
_FIXED = "a constant"


class Unlike(Exception):
    """Why a function has no program for several sizes; `differs`: since its traces differ."""

    def __init__(self, why: str, differs: bool = False):
        super().__init__(why)
        self.differs = differs


class _Parts:
    """A trace as what has to be equal (`told`) and numbers; its constants are told by what they stand for."""

    def __init__(self, traced: Traced):
        computation = traced.computation
        self.jaxpr: Any = computation.jaxpr.jaxpr
        self.consts: list[Any] = computation.jaxpr.consts
        found = skeleton(self.jaxpr)
        self.numbers: list[Any] = found.numbers
        self.sizes: list[int] = found.sizes
        seeds = {id(seed): i for i, seed in enumerate(computation.seeds)}
        where = traced.plan.state.where
        self.kinds: list[Any] = [
            ("seed", seeds[id(c)]) if id(c) in seeds else ("state", where[id(c)]) if id(c) in where else _FIXED
            for c in self.consts
        ]
        self.consts = [  # an array of the user's may have changed when the next trace is compared with this one
            c.copy() if kind == _FIXED and isinstance(c, np.ndarray) else c
            for kind, c in zip(self.kinds, self.consts, strict=True)
        ]
        state = len(traced.plan.state.tensors), len(where)
        self.told: list[Any] = [(*self.kinds, len(self.jaxpr.invars), computation.plain, state), *found.parts]
        self.inputs: list[tuple[int, ...]] = [tuple(v.aval.shape) for v in self.jaxpr.invars]
        self.held: list[tuple[int, ...]] = [tuple(v.aval.shape) for v in self.jaxpr.constvars]
        self.made: list[tuple[int, ...]] = [tuple(v.aval.shape) for v in self.jaxpr.outvars]


class Shared:
    """A program for sizes up to `sizes`: its computation, and the programs of XLA by how they take and give state."""

    def __init__(self, sizes: dict[Place, int], small: Traced, big: Traced):
        self.sizes = sizes
        for traced in (small, big):
            _refuse(traced)
        one, other = _Parts(small), _Parts(big)
        if one.told != other.told:
            raise Unlike(_unlike(one, other), differs=True)
        try:
            self.slots: Slots = Slots(one.numbers, other.numbers, other.sizes)
        except ValueError as error:
            raise Unlike(str(error)) from None
        self.parts = other
        self.fixed: list[bool] = [
            kind == _FIXED and _equal(a, b) for kind, a, b in zip(other.kinds, one.consts, other.consts, strict=True)
        ]
        self.seeds: list[Any] = big.computation.seeds
        self.plain: int = big.computation.plain
        self.runs: dict[Any, Callable[..., Any]] = {}
        self.backward: Any = None
        self.cut: bool | None = None  # whether it is several programs of XLA
        try:
            self.closed: Any = self._masked(one.jaxpr, other.jaxpr)
        except NoRule as missing:
            raise Unlike(_unknown(missing)) from None
        except Exception as error:  # JAX refuses what a rule has made of it
            raise Unlike(f"it can't be computed for several sizes at once: {type(error).__name__}: {error}") from error
        one.consts = []
        other.consts = [c if is_fixed else None for c, is_fixed in zip(other.consts, self.fixed, strict=True)]
        other.jaxpr, other.sizes = None, []

    def wasted(self, sizes: dict[Place, int]) -> bool:
        """Whether most of the rows would be padding."""
        return math.prod(self.sizes.values()) > 8 * math.prod(sizes.values())

    def _masked(self, small: Any, big: Any) -> Any:
        """The computation; the last constants are the large one's and the slots' values."""
        slots = self.slots
        whole = sum(slots.whole)
        vectors = [((whole,), np.int64), ((len(slots.whole) - whole,), np.float64)]
        given = [*((v.aval.shape, v.aval.dtype) for v in big.constvars), *vectors]
        given += [(v.aval.shape, v.aval.dtype) for v in big.invars]
        held = len(big.constvars)

        def run(*flat: Any) -> Any:
            return Masked(slots, *flat[held : held + 2]).evaluate(small, big, flat[:held], flat[held + 2 :])

        made = jax.make_jaxpr(run)(*(jax.ShapeDtypeStruct(*one) for one in given))
        inner = made.jaxpr
        constants, arguments = inner.invars[: held + 2], inner.invars[held + 2 :]
        inner = inner.replace(
            constvars=[*inner.constvars, *constants],
            invars=arguments,
            debug_info=inner.debug_info._replace(arg_names=None),
        )
        return inner, made.consts

    def entry(self, traced: Traced, sizes: dict[Place, int]) -> tuple[Traced, Entry] | None:
        """A trace of another size as one of this program; None if it is not the same program."""
        _refuse(traced)
        parts, own = _Parts(traced), self.parts
        if parts.told != own.told:
            return None
        values = self.slots.values(parts.numbers)
        if values is None:
            return None
        plan, seeds = traced.plan, self.seeds
        extra: list[Fixed] = []
        consts = list(self.closed[1])
        for kind, is_fixed, mine, value, shape in zip(
            own.kinds, self.fixed, own.consts, parts.consts, own.held, strict=True
        ):
            if kind != _FIXED:
                consts.append(seeds[kind[1]] if kind[0] == "seed" else value)
            elif is_fixed:
                if not _equal(mine, value):
                    return None
                consts.append(mine)
            else:
                extra.append(Fixed(grown(np.asarray(value), shape)))
                consts.append(extra[-1].value)
        vectors = [Fixed(value) for value in values]
        extra += vectors
        consts += [vector.value for vector in vectors]
        count = len(plan.state.where)
        where = {**plan.state.where, **{id(e.value): count + i for i, e in enumerate(extra)}}
        plan = replace(plan, state=State(plan.state.tensors, [*plan.state.others, *extra], where))
        original = traced.computation if traced.plan.tape.metas else None
        computation = Computation(ClosedJaxpr(self.closed[0], consts), self.seeds, self.plain)
        return traced._replace(plan=plan, computation=computation), Entry(self, parts, sizes, original)


class Fixed:
    """An input that is the same at each call of one size."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value: Any = jax.device_put(value)

    def __call__(self, given: Any) -> Any:
        return self.value


class Entry:
    """What one size adds to a shared program: how much of what it takes and gives counts."""

    def __init__(self, shared: Shared, parts: _Parts, sizes: dict[Place, int], original: Computation | None):
        self.shared = shared
        self.original = original  # what is computed at this size, until the backward program is made
        own = shared.parts
        self.arguments: Sizes = _differing(parts.inputs, own.inputs)
        of_state = zip(own.kinds, parts.held, own.held, strict=True)
        self.state: Sizes = [(k[1], b) for k, a, b in of_state if k[0] == "state" and a != b]
        seeds = sorted(
            (k[1], b, a != b) for k, a, b in zip(own.kinds, parts.held, own.held, strict=True) if k[0] == "seed"
        )
        self.seeds: Sizes = [(i, b) for i, b, differs in seeds if differs]
        self.made: Sizes = _differing(own.made, parts.made)
        self.tired: Callable[[], None] | None = None
        self.joins: bool = False  # whether the program was there before
        self.wasted: bool = shared.wasted(sizes)

    def __str__(self) -> str:
        return f"up to {' x '.join(map(str, dict.fromkeys(self.shared.sizes.values())))} rows"

    def _inputs(self, plan: Plan, loose: int) -> Sizes:
        first, tensors = len(plan.inputs) + loose, len(plan.state.tensors)
        return [*self.arguments, *((first + n - tensors, shape) for n, shape in self.state)]

    def around(self, run: Callable[..., Any], plan: Plan, made: Executable) -> Callable[..., Any]:
        pads = self._inputs(plan, len(made.loose))
        cuts = [(made.outputs[n], shape) for n, shape in self.made if n in made.outputs]
        if not pads and not cuts:
            return run
        return Padded(run, pads, cuts, self.tired if self.wasted else None)

    def backward(self, whole: Callable[..., Any], program: Any, plan: Plan) -> PaddedProgram:
        """The backward program, which takes all inputs and the cotangents, around the shared one; `whole` is that of this size."""
        inputs = len(plan.inputs) + len(plan.state.where)
        pads = self._inputs(plan, len(plan.state.tensors)) + [(inputs + i, shape) for i, shape in self.seeds]
        cuts = [(n - self.shared.plain, shape) for n, shape in self.made if n >= self.shared.plain]
        return PaddedProgram(whole, program, pads, cuts)


class _Later:
    """In the place of a list of operations that is not needed: another size has made programs of it."""

    operations = ()


class PaddedBuilder(Builder):
    """Makes the executable of a size: of programs that it shares with others."""

    def __init__(self, plan: Plan, computation: Computation, name: str, entry: Entry, whole: bool = False):
        self.entry = entry
        self.computation: Computation | None = computation
        super().__init__(plan, computation, name, whole)
        if self.backward is not None:
            shared = entry.shared
            if shared.backward is None:
                shared.backward = self.backward.program
            self.backward.program = entry.backward(self._backward_alone(), shared.backward, plan)

    def _backward_alone(self) -> Callable[..., Any]:
        """The backward pass of this size."""
        original, self.entry.original = self.entry.original, None
        assert original is not None
        evaluate, live, plain = self._evaluator(original), self.live, self.plain
        inputs = self.arguments + len(self.plan.state.where)
        return lambda *flat: evaluate(flat[:inputs], flat[-live:])[plain:]

    def _flat(self, computation: Computation) -> Any:
        shared = self.entry.shared
        if shared.cut and shared.runs:
            self.cut = []
            return _Later
        flat = super()._flat(computation) if shared.cut is not False else None
        shared.cut = flat is not None
        return flat

    def build(self, packed: bool) -> Executable:
        made = super().build(packed)
        run = self.entry.shared.runs.setdefault(self._layout(made), made.run)
        self.computation = None
        return made._replace(run=self.entry.around(run, self.plan, made))

    def _outlined(self, loose: Any, given_over: dict[int, int], options: Any) -> Any:
        if self.flat is _Later:
            outputs = {n: n for n in range(self.plain)}
            known = self.entry.shared.runs.get(self._layout(Executable(print, loose, None, outputs, given_over)))
            if known is not None:
                return known
            assert self.computation is not None
            self.flat = super()._flat(self.computation)
        return super()._outlined(loose, given_over, options)

    def _layout(self, made: Executable) -> Any:
        """What tells executables apart that compute the same: which state is packed, given over, kept."""
        packing = made.packing
        packed: Any = None
        if packing is not None:
            layouts = (*(family.layout for family in packing.families), *packing.layouts)
            packed = (
                tuple((layout.shapes, layout.dtype) for layout in layouts),
                tuple(map(tuple, packing.numbers)),
                tuple(sorted(packing.state.items())),
            )
        unkept = self._unkept(made.loose, made.given_over)
        tables = (made.outputs, made.given_over, unkept)
        return packed, self.plan.word, self.plan.place, *(tuple(sorted(table.items())) for table in tables)


def _refuse(traced: Traced) -> None:
    plan, jaxpr = traced.plan, traced.computation.jaxpr
    if jaxpr.effects:
        raise Unlike("it calls back into Python")
    storages = [tensor._storage for tensor in plan.state.tensors]
    if plan.far or any(cut_over(s) is not None or is_far(s) for s in storages):
        raise Unlike("it computes with tensors that are cut over several devices")


def _differing(small: list[Any], big: list[Any]) -> Sizes:
    return [(i, b) for i, (a, b) in enumerate(zip(small, big, strict=True)) if a != b]


def _equal(a: Any, b: Any) -> bool:
    """Whether two constants are one."""
    if a is b:
        return True
    if np.shape(a) != np.shape(b) or np.asarray(a).dtype != np.asarray(b).dtype:
        return False
    return np.asarray(a).tobytes() == np.asarray(b).tobytes()


# ---------------------------------------------------------------- words


def _unlike(one: _Parts, other: _Parts) -> str:
    """Where two traces differ in more than numbers."""
    if one.told[0] != other.told[0]:
        return "it reads other things at another size"
    for a, b in zip(one.jaxpr.eqns, other.jaxpr.eqns, strict=False):
        x, y = (skeleton(_alone(e)) for e in (a, b))
        if a.primitive is not b.primitive or first_difference(x.parts, y.parts) is not None:
            return f"what it computes depends on the size, from {a.primitive.name!r} on{line_of(a)}"
    return "what it computes depends on the size"


class _alone:
    """One equation, as a jaxpr of its own."""

    def __init__(self, equation: Any):
        self.eqns = [equation]
        self.constvars: list[Any] = []
        self.invars = list({atom: None for atom in equation.invars if not hasattr(atom, "val")})
        self.outvars: list[Any] = []


def _unknown(missing: NoRule) -> str:
    why = f": {missing.why}" if missing.why else ""
    return f"{missing.equation.primitive.name!r} can't be computed for several sizes at once{why}{line_of(missing.equation)}"


def line_of(equation: Any) -> str:
    """The line of the user's that an operation comes from, in brackets; nothing if none is known."""
    trace = equation.source_info.traceback
    for frame in trace.frames if trace is not None else ():
        if kind_of_file(frame.file_name) == USER and not frame.file_name.startswith("<"):
            return f" ({frame.file_name}, line {frame.line_num})"
    return ""


__all__ = ["Entry", "PaddedBuilder", "Place", "Shared", "Unlike", "line_of", "same_numbers"]

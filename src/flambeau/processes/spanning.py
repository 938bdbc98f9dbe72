"""Compiled functions over tensors that are cut over processes: one program of XLA over all of them.

A traced function has values of three kinds: far ones, which are cut over the processes (parameters, optimizers' state, gradients),
near ones, of which each process has its own (its batch, activations, the loss), and those of a line of processes (layers that are
cut along one side of a mesh, whose parameters were cut along the other). Far ones are arrays of the program, and XLA
places what is sent for them; near ones are rows of arrays over all ranks, and what is computed of them is the body of a
`shard_map`; a line's are rows along some axes, and the `shard_map` is over these: XLA places what is sent within a line.
Between them stand steps (`crossing.py`): parameters are gathered, gradients scattered, parts put together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Literal

from ..core.array import devices
from ..core.context.tracing import Untraceable
from .crossing import ANY, Lines, crossing_p
from .joint import Form, Offered, as_row, own_row, step_of
from .patterns import along, axes

FAR, NEAR, FREE, NUMBERS = "far", "near", "free", "numbers"  # free: computed of constants alone
Kind = str | tuple[str, ...]  # one of these, or the axes along which each line of processes has its own value
_SAME = jax.sharding.PartitionSpec()


def _grid(jaxpr: Any, devices: Sequence[Any]) -> jax.sharding.Mesh:
    """The processes as the steps between far and near values have them."""
    crossings = [e.params["crossing"] for e in jaxpr.eqns if e.primitive is crossing_p]
    shapes = {crossing.grid for crossing in crossings if crossing.grid is not None}
    if len(shapes) > 1:
        raise _refused("they lie on several meshes")
    shape = shapes.pop() if shapes else (len(devices),)
    return jax.sharding.Mesh(np.array(devices, dtype=object).reshape(shape), axes(len(shape)))


def _refused(why: str) -> Untraceable:
    return Untraceable(f"tensors cut over several processes: {why}")


def _kind_of(lies: Any) -> Kind:
    """The kind of a value that lies so for a crossing."""
    return NEAR if lies is None else lies.own if isinstance(lies, Lines) else FAR


class Spanning:
    """A jaxpr as a function of arrays over all processes. `kinds` says of which kind each input is, constants first.

    Numbers are Python's, which all processes are to have alike."""

    def __init__(self, jaxpr: Any, kinds: Sequence[str], devices: Sequence[Any]):
        self.jaxpr = jaxpr
        self.n: int = len(devices)
        self.mesh: jax.sharding.Mesh = _grid(jaxpr, devices)
        self.axes: tuple[str, ...] = self.mesh.axis_names
        self.rows = jax.sharding.PartitionSpec(self.axes)
        given = dict(zip((*jaxpr.constvars, *jaxpr.invars), kinds, strict=True))
        self.numbers: set[Any] = {v for v, kind in given.items() if kind == NUMBERS}
        self.kinds: dict[Any, Kind] = {v: NEAR if kind == NUMBERS else kind for v, kind in given.items()}
        self.sent: list[tuple[str, int]] = []
        self.as_rows: set[int] = set()  # numbers of far outputs that are given as near ones
        self.padded: dict[int, Any] = {}  # far outputs that lie in parts of unequal lengths, and how
        self.made: dict[Any, Any] = {}
        self.equations: list[Any] = [e for e in self._alive() if self._classify(e) != FREE]
        self.free: list[Any] = [e for e in jaxpr.eqns if e.outvars and self.kinds.get(e.outvars[0]) == FREE]
        self.regions: list[tuple[Kind, list[Any]]] = self._scheduled()

    def _alive(self) -> list[Any]:
        needed = {v for v in self.jaxpr.outvars if not isinstance(v, Literal)}
        kept = []
        for equation in reversed(self.jaxpr.eqns):
            if equation.effects or any(v in needed for v in equation.outvars):
                kept.append(equation)
                needed |= set(_reads(equation))
        return kept[::-1]

    def _classify(self, equation: Any) -> Kind:
        self.made.update(dict.fromkeys(equation.outvars, equation))
        given = {self.kinds[v] for v in _reads(equation)}
        several = given - {NEAR, FREE}
        if equation.primitive is crossing_p:
            return self._crossed(equation)
        if equation.effects:
            kind = self._step(equation, several)
        elif several:
            kind = NEAR if self._tells(equation, given) else self._of_several(equation, several)
        else:
            kind = NEAR if NEAR in given else FREE
            if all(v in self.numbers or self.kinds[v] == FREE for v in _reads(equation)):
                self.numbers |= set(equation.outvars)
        self.kinds.update(dict.fromkeys(equation.outvars, kind))
        return kind

    def _crossed(self, equation: Any) -> Kind:
        crossing = equation.params["crossing"]
        for atom, lies in zip(equation.invars, crossing.takes, strict=True):
            kind, wanted = self._kind(atom), _kind_of(lies)
            if lies != ANY and kind != wanted and not (kind == FREE and wanted == NEAR):
                raise _refused(f"what goes into {crossing.name} lies otherwise than at the trace")
        self.sent += crossing.sent
        self.kinds.update(zip(equation.outvars, map(_kind_of, crossing.gives), strict=True))
        return NEAR

    def _of_several(self, equation: Any, kinds: set[Kind]) -> Kind:
        """The kind of what is computed of values that several processes have together."""
        if len(kinds) > 1:
            raise _refused(f"{equation.primitive.name} has tensors that are cut over different processes")
        for v in _reads(equation):
            if self.kinds[v] == NEAR and v.aval.ndim and v not in self.numbers:
                raise _refused(f"{equation.primitive.name} has a tensor of this process's own beside one of them")
        return next(iter(kinds))

    def _tells(self, equation: Any, given: set[Kind]) -> bool:
        """Whether it joins what checks of values tell, of which each process has its own."""
        numbers = [v.aval for v in (*_reads(equation), *equation.outvars)]
        own = any(self.kinds[v] == NEAR and v not in self.numbers for v in _reads(equation))
        return own and all(a.ndim == 0 for a in numbers) and all(v.aval.dtype.kind in "bi" for v in equation.outvars)

    def _step(self, equation: Any, several: set[Kind]) -> Kind:
        step = step_of(equation)
        if step is None or several or step.exchange.n != self.n:
            raise _refused("something else than a collective of all processes calls back")
        self.sent += [(step.name, _bytes(v.aval)) for v in equation.outvars]
        return NEAR

    def _kind(self, atom: Any) -> Kind:
        return FREE if isinstance(atom, Literal) else self.kinds[atom]

    def lies(self, number: int, known: Any) -> Any:
        """How an output lies: None for a near one; `known` or what the trace has said for a far one, True for an input.

        A far number that is to be near (`known` is NEAR) is given so, as a count of steps that began near.
        """
        atom = self.jaxpr.outvars[number]
        if isinstance(self._kind(atom), tuple):
            return self._lies_in_lines(number, known)
        if self._kind(atom) != FAR:
            if known not in (None, NEAR):
                raise _refused("it writes this process's own values to one")
            return None
        if known == NEAR and atom.aval.ndim == 0:
            self.as_rows.add(number)
            return None
        if known is not None and known != NEAR:
            if not isinstance(known, jax.sharding.Sharding):
                self.padded[number] = known
            return known
        maker = self.made.get(atom)
        if maker is None or maker.primitive is crossing_p or maker.primitive.name == "sharding_constraint":
            return self._sharding(atom, maker)
        if atom.aval.ndim == 0:
            return _SAME
        raise _refused("it gives one that was computed inside, whose layout is not known")

    def _lies_in_lines(self, number: int, known: Any) -> Any:
        atom = self.jaxpr.outvars[number]
        maker = self.made[atom]
        if atom.aval.ndim == 0 and known == NEAR:
            self.as_rows.add(number)
            return None
        if known not in (None, NEAR) or maker.primitive is not crossing_p:
            raise _refused("it gives one that was computed inside, whose layout is not known")
        return self._sharding(atom, maker)

    def _sharding(self, atom: Any, maker: Any) -> Any:
        if maker is None:
            return True  # an input, as it is
        if maker.primitive is crossing_p:
            return maker.params["crossing"].gives[maker.outvars.index(atom)]
        return maker.params["sharding"]

    def _scheduled(self) -> list[tuple[Kind, list[Any]]]:
        """The equations in stretches of one kind, each as long as can be."""
        there = {v for v, kind in self.kinds.items() if v not in self.made or kind == FREE}
        rest, found = self.equations, []
        kinds = dict.fromkeys([NEAR, FAR, *map(self._region, rest)])
        while rest:
            for kind in kinds:
                taken, left, inside = [], [], set(there)
                for equation in rest:
                    if self._region(equation) == kind and all(v in inside for v in _reads(equation)):
                        taken.append(equation)
                        inside.update(v for v in equation.outvars if self.kinds[v] == kind)
                    else:
                        left.append(equation)
                there |= {v for equation in taken for v in equation.outvars}
                rest = left
                if taken:
                    found.append((kind, taken))
        return found

    def _region(self, equation: Any) -> Kind:
        return NEAR if equation.primitive is crossing_p or equation.effects else self.kinds[equation.outvars[0]]

    # --- the program ----------------------------------------------------------------------------------------------

    def __call__(self, constants: Sequence[Any], given: Sequence[Any]) -> list[Any]:
        """Far outputs, and near ones as rows, of far inputs and near ones as rows; free constants are as they are."""
        env = dict(zip((*self.jaxpr.constvars, *self.jaxpr.invars), (*constants, *given), strict=True))
        for v, value in env.items():
            if self.kinds[v] == FAR and value.shape != v.aval.shape:  # parts of unequal lengths come with zeros behind
                env[v] = lax.slice(value, (0,) * value.ndim, v.aval.shape)
        for kind, equations in self.regions:
            if kind == NEAR:
                self._near(equations, env)
            elif isinstance(kind, tuple):
                self._in_lines(kind, equations, env)
            else:
                _evaluate([*self._free_for(equations), *equations], _View(self, env))
        return [self._output(n, atom, env) for n, atom in enumerate(self.jaxpr.outvars)]

    def _output(self, number: int, atom: Any, env: dict[Any, Any]) -> Any:
        if number in self.padded:
            dim, length = self.padded[number].padding
            missing = [(0, length - n if d == dim else 0) for d, n in enumerate(atom.aval.shape)]
            return jnp.pad(env[atom], missing)
        if self._kind(atom) != FREE and number not in self.as_rows:
            return env[atom]
        inside = dict(env)
        _evaluate(self.free, inside)
        value = jnp.asarray(atom.val) if isinstance(atom, Literal) else inside[atom]
        if isinstance(kind := self._kind(atom), tuple):
            own = jax.sharding.PartitionSpec(kind)
            return jax.shard_map(lambda x: x, mesh=self.mesh, in_specs=own, out_specs=self.rows, check_vma=False)(value)
        return jnp.broadcast_to(value[None], (self.n, *value.shape))

    def _free_for(self, equations: Sequence[Any]) -> list[Any]:
        needed = {v for equation in equations for v in _reads(equation)}
        kept = []
        for equation in reversed(self.free):
            if any(v in needed for v in equation.outvars):
                kept.append(equation)
                needed |= set(_reads(equation))
        return kept[::-1]

    def _near(self, equations: list[Any], env: dict[Any, Any]) -> None:
        made = {v for equation in equations for v in equation.outvars}
        free = self._free_for(equations)
        outside = dict.fromkeys(v for e in (*free, *equations) for v in _reads(e) if v in env and v not in made)
        constants = {v: env[v] for v in outside if self.kinds[v] == FREE}
        inputs = [v for v in outside if v not in constants]
        takes, gives = self._crossings_of(equations)
        outputs = [v for equation in equations for v in equation.outvars if type(v).__name__ != "DropVar"]

        def body(*values: Any) -> Any:
            inside = constants | {v: x if self.kinds[v] == FAR else x[0] for v, x in zip(inputs, values, strict=True)}
            with along(self.axes):
                _evaluate([*free, *equations], inside)
            return tuple(inside[v] if self.kinds[v] == FAR else inside[v][None] for v in outputs)

        results = jax.shard_map(
            body, mesh=self.mesh, in_specs=tuple(self._spec(v, takes.get(v)) for v in inputs),
            out_specs=tuple(self._spec(v, gives.get(v)) for v in outputs), check_vma=False,
        )(*[env[v] for v in inputs])  # fmt: skip
        env.update(zip(outputs, results, strict=True))

    def _crossings_of(self, equations: Sequence[Any]) -> tuple[dict[Any, Any], dict[Any, Any]]:
        """How the values lie that crossings take and give."""
        takes: dict[Any, Any] = {}
        gives: dict[Any, Any] = {}
        for equation in equations:
            if equation.primitive is crossing_p:
                crossing = equation.params["crossing"]
                for v, lies in zip(equation.invars, crossing.takes, strict=True):
                    if lies not in (None, ANY) and takes.setdefault(v, lies) != lies:
                        raise _refused("a tensor is taken in two ways at once")
                gives.update(zip(equation.outvars, crossing.gives, strict=True))
        return takes, gives

    def _spec(self, v: Any, lies: Any) -> Any:
        """JAX's words for how a value of a `shard_map` over all axes lies."""
        kind = self.kinds[v]
        if kind == NEAR:
            return self.rows
        if kind == FAR:
            return _SAME if lies is None else lies
        return jax.sharding.PartitionSpec(kind) if lies is None else lies.rows

    def _in_lines(self, own: Any, equations: list[Any], env: dict[Any, Any]) -> None:
        """What is computed of a line's values: XLA cuts it along the other axes."""
        free = self._free_for(equations)
        made = {v for equation in equations for v in equation.outvars}
        outside = dict.fromkeys(v for e in (*free, *equations) for v in _reads(e) if v in env and v not in made)
        constants = {v: env[v] for v in outside if self.kinds[v] == FREE}
        inputs = [v for v in outside if v not in constants]
        given = [self.shared(env[v]) if self.kinds[v] == NEAR else env[v] for v in inputs]
        rows = jax.sharding.PartitionSpec(own)
        outputs = [v for equation in equations for v in equation.outvars if type(v).__name__ != "DropVar"]

        def body(*values: Any) -> Any:
            inside = constants | {v: x if self.kinds[v] == NEAR else x[0] for v, x in zip(inputs, values, strict=True)}
            _evaluate([*free, *equations], inside)
            return tuple(inside[v][None] for v in outputs)

        results = jax.shard_map(
            body, mesh=self.mesh, in_specs=tuple(_SAME if self.kinds[v] == NEAR else rows for v in inputs),
            out_specs=(rows,) * len(outputs), axis_names=set(own), check_vma=False,
        )(*given)  # fmt: skip
        env.update(zip(outputs, results, strict=True))

    def shared(self, rows: Any) -> Any:
        """What is one number in all processes, of its rows."""
        one = jax.shard_map(lambda x: x[0], mesh=self.mesh, in_specs=self.rows, out_specs=_SAME, check_vma=False)
        return one(rows)

    def of_all(self, rows: Any) -> Any:
        """For each rank, the numbers of all."""
        body: Callable[[Any], Any] = lambda x: lax.all_gather(x[0], self.axes)[None]  # noqa: E731
        return jax.shard_map(body, mesh=self.mesh, in_specs=self.rows, out_specs=self.rows, check_vma=False)(rows)


class Everywhere(Offered):
    """The program of a `Spanning`: near inputs and outputs are this rank's, far ones arrays over all processes. Calls give None where
    another rank would run another program."""

    def __init__(
        self, spanning: Spanning, body: Callable[..., Any], given: Sequence[str], far: Sequence[Any], exchange: Any, name: str,
        options: Any, word: int | None,
    ):  # fmt: skip
        super().__init__(exchange, spanning.sent, name, word)
        self.spanning, self._body, self._given, self._far, self._options = spanning, body, given, far, options

    def by_all(self, given: Sequence[Any]) -> list[Any] | None:
        """The results; None also where something lies otherwise than at the trace."""
        alike = all(_is_far(v) is (kind == FAR) for v, kind in zip(given, self._given, strict=True))
        if not alike:
            return None
        return super().by_all([v.padded() if hasattr(v, "padding") else v for v in given])

    def _kinds(self, given: Sequence[Any]) -> Any:
        return tuple((v.shape, np.dtype(v.dtype), v.sharding if _is_far(v) else None) for v in given)

    def _form(self, kinds: Any) -> _Form:
        return _Form(self, kinds)


def _is_far(value: Any) -> bool:
    if not isinstance(value, jax.Array):
        return getattr(value, "padding", None) is not None
    return devices.is_far(value.sharding)


class _Form(Form):
    """That of an `Everywhere`."""

    def __init__(self, whole: Everywhere, kinds: Any):
        spanning, word, far = whole.spanning, whole.word, whole._far
        self._rows = jax.sharding.NamedSharding(spanning.mesh, spanning.rows)
        self._mine = spanning.mesh.devices.flat[whole.exchange.me]
        self._near = [
            None if sharding else jax.core.ShapedArray((spanning.n, *shape), dtype) for shape, dtype, sharding in kinds
        ]
        self._far, self._numbers, self._padded = far, spanning.as_rows, spanning.padded

        def of_all(*values: Any) -> Any:
            results = list(whole._body(*values))
            if word is not None:
                results.append(spanning.of_all(results[word]))
            return tuple(results)

        of_all.__name__ = whole._name
        arguments = [
            jax.ShapeDtypeStruct(near.shape if near else shape, dtype, sharding=sharding or self._rows)
            for near, (shape, dtype, sharding) in zip(self._near, kinds, strict=True)
        ]
        laid = [self._rows if lies is None else None if lies is True else self._laid(lies) for lies in far]
        laid += [self._rows] if word is not None else []
        jitted = jax.jit(of_all, out_shardings=tuple(laid), compiler_options=whole._options)
        self.lower(jitted.lower(*arguments))

    def _laid(self, lies: Any) -> Any:
        lies = lies.rows if isinstance(lies, Lines) else lies
        if isinstance(lies, jax.sharding.PartitionSpec):
            return jax.sharding.NamedSharding(self._rows.mesh, lies)
        return lies if isinstance(lies, jax.sharding.Sharding) else lies.padded_sharding

    def run(self, values: Sequence[Any]) -> list[Any]:
        """This rank's results."""
        given = [
            value if near is None else as_row(near, self._rows, self._mine, np.asarray(value))
            for near, value in zip(self._near, values, strict=True)
        ]
        results = self._compiled(*given)
        rows = [*(lies is None for lies in self._far), True]
        found = [own_row(result) if row else result for row, result in zip(rows, results, strict=False)]
        for number, lies in self._padded.items():
            found[number] = lies.of_padded(found[number])
        for number, lies in enumerate(self._far):
            if isinstance(lies, Lines):
                found[number] = lies.of_rows(found[number])
        for (
            number
        ) in self._numbers:  # not bound to this process's device: uncompiled, it goes together with what is cut
            found[number] = devices.from_numpy(np.asarray(found[number]))
        return found


class _View(dict[Any, Any]):
    """The values of a program as its far part sees them: near ones are numbers, the same in all processes."""

    def __init__(self, spanning: Spanning, env: dict[Any, Any]):
        self.spanning, self.env = spanning, env

    def __getitem__(self, v: Any) -> Any:
        value = self.env[v]
        return self.spanning.shared(value) if self.spanning.kinds[v] == NEAR else value

    def __setitem__(self, v: Any, value: Any) -> None:
        self.env[v] = value


def _reads(equation: Any) -> list[Any]:
    return [v for v in equation.invars if not isinstance(v, Literal)]


def _bytes(aval: Any) -> int:
    return int(aval.size) * aval.dtype.itemsize


def _evaluate(equations: Sequence[Any], env: Any) -> None:
    for equation in equations:
        values = [v.val if isinstance(v, Literal) else env[v] for v in equation.invars]
        if equation.primitive is crossing_p:
            results: Any = equation.params["crossing"].body(*values)
        elif (step := step_of(equation) if equation.effects else None) is not None:
            results = [step.in_program(values[-1])] if equation.outvars else []
        else:
            results = equation.primitive.bind(*values, **equation.primitive.get_bind_params(equation.params))
            results = results if equation.primitive.multiple_results else [results]
        for v, result in zip(equation.outvars, results, strict=True):
            env[v] = result

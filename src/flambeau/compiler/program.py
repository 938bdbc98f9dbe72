"""One traced program of a compiled function: how it is made, when it holds, how it is called."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from ..core import geometry
from ..core.autograd import grad as tape_grad
from ..core.grad_mode import state as grad_state
from ..core.tape import Node, OperatorNode, Taped, taped_call
from ..core.tape import Program as ArrayProgram
from ..core.tensor import Tensor, wrap
from ..core.tracing import Recorder, structure
from .fingerprint import fingerprint

_SAME, _OUTPUT, _ARGUMENT, _STATIC = range(4)


class _GradOf:
    """The gradient of a tensor, whichever tensor it is at the time of the call."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor):
        self.tensor = tensor


class TracedProgram:
    """A function traced for one signature.

    The XLA program takes the arguments' arrays and then the state that the trace found (tensors' storages, values from
    the host), and gives the results, the new values of what was written, and the new gradients.
    """

    def __init__(self, function: Callable[..., Any], leaves: list[Any], treedef: Any, reason: str):
        self.reason = reason
        self.calls = 0
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        stand_ins: list[Tensor] = []
        recorder = Recorder()
        found: dict[str, Any] = {}

        def traced(*arrays: Any) -> list[Any]:
            grad_state.trace = recorder
            given = iter(arrays)
            stood = [_stand_in(leaf, next(given)) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
            stand_ins.extend(s for s in stood if isinstance(s, Tensor))
            args, kwargs = jax.tree_util.tree_unflatten(treedef, stood)
            result = function(*args, **kwargs)
            return self._collect(recorder, result, stand_ins, list(arrays), found)

        previous = grad_state.trace
        before = (grad_state.grad, grad_state.inference)
        try:
            closed = jax.make_jaxpr(traced)(*(t._array for t in tensors))
        finally:
            grad_state.trace = previous
            grad_state.grad, grad_state.inference = before
            final_grads = recorder.restore()
        del final_grads
        self._finish(recorder, closed, found, len(tensors))

    # --- making it ----------------------------------------------------------------------------------------------

    def _collect(
        self, recorder: Recorder, result: Any, stand_ins: list[Tensor], arrays: list[Any], found: Any
    ) -> list[Any]:
        """Within the trace: everything that the program has to give, as a flat list of arrays."""
        outputs: list[Any] = []

        numbers: dict[int, int] = {}

        def emit(array: Any) -> int:
            # one value that several tensors hold (the step count of an optimizer's parameters) stays one array
            if id(array) not in numbers:
                numbers[id(array)] = len(outputs)
                outputs.append(array)
            return numbers[id(array)]

        position = {id(s): i for i, s in enumerate(stand_ins)}
        results, self.result_tree = jax.tree_util.tree_flatten(result)
        self.results: list[tuple[int, Any]] = []
        live: list[tuple[int, Tensor]] = []  # outputs that the caller may differentiate
        self.dead: set[int] = set()  # outputs whose graph was used up inside
        for leaf in results:
            if not isinstance(leaf, Tensor):
                self.results.append((_STATIC, leaf))
            elif id(leaf) in position:
                self.results.append((_ARGUMENT, position[id(leaf)]))
            elif leaf._storage in recorder.values and leaf in recorder.owners.values():
                self.results.append((_SAME, leaf))
            else:
                number = emit(leaf._array)
                self.results.append((_OUTPUT, number))
                edge = leaf._tape_edge()
                if edge is not None and type(edge[0]) is OperatorNode and edge[0].saved is None:
                    self.dead.add(number)
                elif edge is not None:
                    live.append((number, leaf))
        self.argument_writes = [
            (i, emit(s._array))
            for i, (s, a) in enumerate(zip(stand_ins, arrays, strict=True))
            if s._storage.value is not a
        ]
        self.writes = [(recorder.owners[s], emit(recorder.values[s])) for s in recorder.written]
        self.grads: list[tuple[Any, Any]] = []
        for tensor, before in recorder.grads.items():
            after = tensor._grad
            if after is before:
                continue
            made = None if after is None else emit(after._array) if after._storage not in recorder.values else after
            self.grads.append((tensor, made))
        self.argument_grads = [(i, emit(s._grad._array)) for i, s in enumerate(stand_ins) if s._grad is not None]
        self.live = [number for number, _ in live]
        self.plain = len(outputs)
        found["outputs"] = self.plain
        if live:
            self._collect_gradients(recorder, live, stand_ins, outputs, found)
        return outputs

    def _collect_gradients(
        self,
        recorder: Recorder,
        live: list[tuple[int, Tensor]],
        stand_ins: list[Tensor],
        outputs: list[Any],
        found: Any,
    ) -> None:
        """Gradients of the live outputs by all that requires grad, for cotangents that come as further inputs."""
        sources = [t for _, t in recorder.sources.values() if isinstance(t, Tensor)]
        wanted = [t for t in (*stand_ins, *sources) if t.requires_grad and t.is_leaf]
        with jax.ensure_compile_time_eval():
            seeds = [jax.device_put(np.zeros(t.shape, t._np_dtype)) for _, t in live]
        found["seeds"] = seeds
        weights = [wrap(jax.numpy.array(s, copy=True)) for s in seeds]
        gradients = tape_grad([t for _, t in live], wanted, weights, retain_graph=True, allow_unused=True)
        self.wanted: list[Tensor] = []
        numbers = {id(s): i for i, s in enumerate(stand_ins)}
        self.wanted_arguments: list[int | None] = []
        for tensor, gradient in zip(wanted, gradients, strict=True):
            if gradient is not None:
                outputs.append(gradient._array)
                self.wanted.append(tensor)
                self.wanted_arguments.append(numbers.get(id(tensor)))

    def _finish(self, recorder: Recorder, closed: Any, found: dict[str, Any], arguments: int) -> None:
        """Turn the constants that stand for state into inputs, and note what the program depends on."""
        jaxpr, constants = closed.jaxpr, list(closed.consts)
        seeds = {id(s): i for i, s in enumerate(found.get("seeds", []))}
        grad_of = {id(g): t for t, g in recorder.grads.items() if g is not None}
        self.state: list[Any] = []
        slots: list[
            Any
        ] = []  # for each constant: the number of the state input, a seed's number, or the constant itself
        for constant in constants:
            source = recorder.sources.get(id(constant))
            if id(constant) in seeds:
                slots.append(("seed", seeds[id(constant)]))
            elif source is not None:
                slots.append(("state", len(self.state)))
                tensor = source[1]
                self.state.append(_GradOf(grad_of[id(tensor)]) if id(tensor) in grad_of else tensor)
            else:
                slots.append(("constant", constant))
        self.writes = [(_GradOf(grad_of[id(t)]) if id(t) in grad_of else t, n) for t, n in self.writes]
        plain = self.plain

        def run(flat: Sequence[Any], seeds: Sequence[Any], which: slice) -> Any:
            state = flat[arguments:]
            consts = [state[n] if kind == "state" else seeds[n] if kind == "seed" else n for kind, n in slots]
            return tuple(jax.core.eval_jaxpr(jaxpr, consts, *flat[:arguments]))[which]

        zeros = tuple(found.get("seeds", ()))
        self.arguments = arguments
        written = {id(t) for t, _ in self.writes}
        shared = {id(t) for pair in recorder.aliases for t in pair}
        donated = [
            arguments + i
            for i, source in enumerate(self.state)
            if (id(source) in written and id(source) not in shared) or _in(source, self.writes)
        ]
        self.donated = () if self.live else tuple(donated)
        forward = lambda *flat: run(flat, zeros, slice(0, plain))  # noqa: E731
        self.run = jax.jit(forward, donate_argnums=self.donated)
        count = len(self.live)
        backward = lambda *flat: run(flat[:-count], flat[-count:], slice(plain, None))  # noqa: E731
        self.backward = ArrayProgram(backward, "CompiledFunctionBackward") if self.live else None

        self.aliases = recorder.aliases
        self.guards = recorder.guards
        self.grads_read = list(recorder.grads_read.items())
        self.modules = list(recorder.modules)
        self.version = structure.version
        self.prints = self._prints()
        self.recorder_summary = {
            "arguments": arguments,
            "state read": sum(not callable(s) or isinstance(s, (Tensor, _GradOf)) for s in self.state),
            "state written": len(self.writes),
            "gradients set": len(self.grads),
            "host values": sum(not isinstance(s, (Tensor, _GradOf)) for s in self.state),
        }

    def _prints(self) -> Any:
        flags = tuple(s.requires_grad for s in self.state if isinstance(s, Tensor))
        views = tuple(id(s._view) for s in self.state if isinstance(s, Tensor))
        return [fingerprint(m) for m in self.modules], flags, views

    # --- when it holds ------------------------------------------------------------------------------------------

    def broken_by(self) -> str | None:
        """What has changed since the trace so that the program does not hold any more; None if it holds."""
        for tensor, was_none in self.grads_read:
            if (tensor._grad is None) is not was_none:
                return "a gradient that was None is there now, or the other way round"
        for a, b in self.aliases:
            if a._storage.value is not b._storage.value:
                return "tensors that held one array hold different ones now"
        for look, seen, what in self.guards:
            if look() != seen:
                return what
        if self.version != structure.version:
            if self.prints != self._prints():
                return "a module's attributes, mode, parameters or hooks have changed"
            self.version = structure.version
        return None

    # --- calling it -----------------------------------------------------------------------------------------------

    def __call__(self, tensors: list[Tensor]) -> Any:
        self.calls += 1
        inputs = [t._array for t in tensors]
        for source in self.state:
            if type(source) is _GradOf:
                inputs.append(source.tensor._grad._storage.value)  # type: ignore[union-attr]
            elif isinstance(source, Tensor):
                inputs.append(source._storage.value)
            else:
                inputs.append(source())
        outputs = self.run(*self._owned(inputs))
        for number, output in self.argument_writes:
            tensors[number]._write(outputs[output])
        for target, output in self.writes:
            tensor: Any = target.tensor._grad if type(target) is _GradOf else target
            tensor._storage.set(outputs[output])
        for tensor, made in self.grads:
            tensor._grad = None if made is None else wrap(outputs[made]) if type(made) is int else made
        for number, output in self.argument_grads:
            _add_argument_grad(tensors[number], outputs[output])
        return self._results(tensors, inputs, outputs)

    def _owned(self, inputs: list[Any]) -> list[Any]:
        """The inputs, with copies of those to be donated that anyone but their storage holds: a clone, a checkpoint, the tape."""
        for i in self.donated:
            if sys.getrefcount(inputs[i]) > _ALONE:
                inputs[i] = jax.numpy.array(inputs[i], copy=True)
        return inputs

    def _results(self, tensors: list[Tensor], inputs: list[Any], outputs: Any) -> Any:
        node = None
        if self.live and grad_state.grad:
            edges, positions = [], []
            for i, (tensor, argument) in enumerate(zip(self.wanted, self.wanted_arguments, strict=True)):
                edge = (tensor if argument is None else tensors[argument])._tape_edge()
                if edge is not None:
                    edges.append(edge)
                    positions.append(i)
            if edges:
                node = CompiledNode(self, inputs, positions, edges, [outputs[n] for n in self.live])
        made = []
        for kind, value in self.results:
            if kind == _OUTPUT:
                tensor = wrap(outputs[value])
                if node is not None and value in self.live:
                    tensor._edge = (node, self.live.index(value))
                elif value in self.dead:
                    tensor._edge = (OperatorNode(None, None, (), (), 1, "CompiledFunctionBackward"), 0)  # type: ignore[arg-type]
                made.append(tensor)
            else:
                made.append(tensors[value] if kind == _ARGUMENT else value)
        return jax.tree_util.tree_unflatten(self.result_tree, made)


def _references(inputs: list[Any]) -> int:
    return sys.getrefcount(inputs[0])


_ALONE = _references([object()]) + 1  # what `sys.getrefcount` says of an array that a storage and a list hold


def _in(source: Any, writes: list[Any]) -> bool:
    return type(source) is _GradOf and any(type(t) is _GradOf and t.tensor is source.tensor for t, _ in writes)


def _stand_in(tensor: Tensor, array: Any) -> Tensor:
    made = wrap(array)
    if type(tensor) is not Tensor:
        made.__class__ = type(tensor)
    if tensor.requires_grad:
        made.requires_grad_()
    return made


def _add_argument_grad(tensor: Tensor, array: Any) -> None:
    held = tensor._grad
    tensor._grad = wrap(array if held is None else held._array + array)


class CompiledNode(Node):
    """A compiled function's call on the tape: its backward is a program of its own, from the same trace."""

    __slots__ = ("program", "saved", "positions", "metas")

    def __init__(
        self, program: TracedProgram, inputs: list[Any], positions: list[int], edges: list[Any], live: list[Any]
    ):
        super().__init__("CompiledFunctionBackward", edges, len(live))
        self.program = program
        self.saved: list[Any] | None = inputs
        self.positions = positions
        self.metas = [(o.shape, o.dtype) for o in live]

    def _arguments(self, cotangents: list[Any]) -> list[Any]:
        if self.saved is None:
            from ..core.tape import FREED

            raise RuntimeError(FREED)
        filled = [np.zeros(*m) if c is None else c for c, m in zip(cotangents, self.metas, strict=True)]
        return [*self.saved, *filled]

    def backward(self, cotangents: list[Any]) -> Sequence[Any]:
        made = self.program.backward.run(*self._arguments(cotangents))  # type: ignore[union-attr]
        return [made[i] for i in self.positions]

    def backward_taped(self, cotangents: list[Taped | None]) -> Sequence[Taped | None]:
        arguments = self._arguments([None if c is None else c[0] for c in cotangents])
        edges = {len(self.saved or ()) + i: c[1] for i, c in enumerate(cotangents) if c is not None}
        made = taped_call(self.program.backward, arguments, edges)  # type: ignore[arg-type]
        return [made[i] for i in self.positions]

    def release(self) -> None:
        self.saved = None


__all__ = ["CompiledNode", "TracedProgram", "geometry"]

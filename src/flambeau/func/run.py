"""Running a function under a transform, and the node that stands for the run on the tape outside."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from ..core.array.meta import NoData, evaluate
from ..core.autograd.engine import grad as tape_grad
from ..core.autograd.hooking import taped_of, tensor_of
from ..core.context.grad_mode import state
from ..core.tape.nodes import Edge, Node, Taped, freed
from ..core.tensor.tensor import Tensor, wrap
from .recording import Recording
from .region import Exit, Logical, Region, Transform, inside, restore, value_of


class Run:
    """One run of `body`, a function from a list of tensors to a list of tensors, under a transform.

    The fields below are filled while JAX traces; they hold nothing of the trace itself but the recording.
    """

    region: Region
    depend: list[bool]  # for each result, whether its value depends on the inputs
    constants: list[Tensor | None]  # the results that do not leave through the transform
    recording: Recording | None  # the tape between the results and the inputs
    changed: list[weakref.ref[Any]]  # storages from outside that hold tracers at the end

    def __init__(self, transform: Transform, body: Callable[[list[Tensor]], list[Tensor]], taped: bool):
        self.transform = transform
        self.body = body
        self.taped = taped

    def __call__(self, inputs: list[Logical]) -> list[tuple[bool, Logical]]:
        """For each result whether its value depends on the inputs, and its parts outside."""
        edges = [tuple(t._tape_edge() if t is not None and self.taped else None for t in parts) for parts in inputs]

        def traced(marker: Any, arrays: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:
            return self._trace(marker, arrays, edges)

        given = [[None if t is None else t._array for t in logical] for logical in inputs]
        try:
            parts = self.transform.call(traced, given)
        except NoData:  # tensors on the meta device
            parts = evaluate(lambda arrays: self.transform.call(traced, arrays), (given,))
        self._settle([p[2] for p in parts])
        made = [tuple(map(wrap, arrays)) for arrays in zip(*(p[0] for p in parts), strict=True)]
        self._put_on_tape(made, list(zip(*(p[1] for p in parts), strict=True)))
        following = iter(made)
        parted = [next(following) if c is None else self.transform.apart(c) for c in self.constants]
        return list(zip(self.depend, parted, strict=True))

    def _trace(
        self, marker: Any, arrays: list[Any], edges: list[tuple[Edge | None, ...]]
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Run the body on the transform's tracers. Gives the arrays of results, of the recording, of changed storages."""
        region = self.region = self.transform.region(marker)
        try:
            with inside(region):
                results = self.body([region.enter(a, e) for a, e in zip(arrays, edges, strict=True)])
                return self._leave(results)
        except BaseException:
            restore(region)
            raise
        finally:
            for root in region.roots:
                root.live = False

    def _leave(self, results: list[Tensor]) -> tuple[list[Any], list[Any], list[Any]]:
        region = self.region
        own = [region.depends(r) for r in results]
        leaving = [r for r, is_own in zip(results, own, strict=True) if is_own]
        self.depend = [region.owns(r._array) for r in results]
        self.constants = [None if is_own else r for r, is_own in zip(results, own, strict=True)]
        self.recording = Recording(region, leaving) if self.taped else None
        changed = [s for s in region.written if region.owns(value_of(s))]
        self.changed = [weakref.ref(s) for s in changed]
        saved = self.recording.own if self.recording is not None else []
        return [r._array for r in leaving], saved, [value_of(s) for s in changed]

    def _settle(self, finals: list[Any]) -> None:
        """Deal with the storages from outside that were written to and are still held."""
        alive = [i for i, ref in enumerate(self.changed) if ref() is not None]
        if not alive:
            return
        gc.collect()  # what was made inside and is only held by a cycle is no matter
        alive = [i for i in alive if self.changed[i]() is not None]
        if alive:
            arrays = [f[i] for f in finals for i in alive]
            self.transform.settle(self.region, [self.changed[i]() for i in alive], arrays)

    def _put_on_tape(self, made: list[tuple[Tensor, ...]], saved: list[tuple[Any, ...]]) -> None:
        recording, width = self.recording, self.transform.width
        if recording is None or not recording.exits:
            return
        node = RegionNode(self.transform, recording, saved, made)
        for number, logical in enumerate(made):
            if recording.outputs[number] is not None:
                for part, tensor in enumerate(logical):
                    tensor._edge = (node, number * width + part)


def run(
    transform: Transform, body: Callable[[list[Tensor]], list[Tensor]], inputs: list[Logical], constant: bool = False
) -> list[tuple[bool, Logical]]:
    """`body` under a transform (see `Run`). With `constant` the results are off the tape."""
    for mode in reversed(state.dispatch_modes):
        if hasattr(mode, "transformed"):  # it wants to see each operator
            return mode.transformed(transform, body, inputs)  # type: ignore[no-any-return]
    return Run(transform, body, bool(state.grad and not constant))(inputs)


class RegionNode(Node):
    """A region's run on the tape outside. Its backward plays the recording in a region of the same transform."""

    __slots__ = ("transform", "recording", "own", "others", "metas")

    def __init__(
        self, transform: Transform, recording: Recording, own: list[tuple[Any, ...]], results: list[tuple[Tensor, ...]]
    ):
        width = transform.width
        edges = [e for exit in recording.exits for e in (*exit.edges, *(None,) * (width - len(exit.edges)))]
        super().__init__(f"{type(transform).__name__}Backward", edges, len(results) * width)
        self.transform: Transform = transform
        self.recording: Recording = recording
        self.own: list[tuple[Any, ...]] | None = own
        self.others: list[Any] = recording.others
        self.metas: list[list[tuple[tuple[int, ...], Any]]] = [
            [(tuple(t.shape), t._np_dtype) for t in logical] for logical in results
        ]
        recording.own, recording.others = [], []

    def exchange(self, array: Any, edge: Any) -> None:
        super().exchange(array, edge)
        if self.own is not None:
            self.own = [tuple(map(array, parts)) for parts in self.own]
            self.others = [array(a) for a in self.others]

    def _pull(self, gradients: list[Tensor | None]) -> list[Tensor | None]:
        if self.own is None:
            raise freed(self.label)
        transform, recording, width = self.transform, self.recording, self.transform.width
        grouped = [gradients[i : i + width] for i in range(0, len(gradients), width)]
        live = [i for i, group in enumerate(grouped) if any(g is not None for g in group)]
        inputs = [tuple(map(wrap, parts)) for parts in self.own]
        saved = len(inputs)
        inputs += [transform.seed(grouped[i], self.metas[i]) for i in live]
        reached: list[int] = []

        def body(tensors: list[Tensor]) -> list[Tensor]:
            region = again.region
            outputs, exits = recording.play([t._array for t in tensors[:saved]], self.others)
            for number, (root, _) in enumerate(exits):
                outer = tuple(self.edges[number * width : (number + 1) * width])
                region.roots[root] = Exit(outer, recording.exits[number].own)
            weights = tensors[saved:]
            ends = [_at(w, outputs[i]) for i, w in zip(live, weights, strict=True)]
            targets = [_at(ends[0], e) for e in exits]
            found = tape_grad(ends, targets, weights, retain_graph=True, create_graph=state.grad, allow_unused=True)
            reached.extend(i for i, g in enumerate(found) if g is not None)
            return [g for g in found if g is not None]

        again = Run(transform, body, state.grad)
        came = again(inputs)
        arrived = dict(zip(reached, came, strict=True))
        results: list[Tensor | None] = []
        for number, exit in enumerate(recording.exits):
            results += transform.leave(arrived.get(number), exit)
        return results

    def backward(self, cotangents: list[Any]) -> Sequence[Any]:
        found = self._pull([None if c is None else wrap(c) for c in cotangents])
        return [None if g is None else g._array for g in found]

    def backward_taped(self, cotangents: list[Taped | None]) -> Sequence[Taped | None]:
        return [taped_of(g) for g in self._pull([tensor_of(c) for c in cotangents])]

    def release(self) -> None:
        self.own = None
        self.others = []


def _at(values: Tensor, edge: Edge | None) -> Tensor:
    """A tensor with these values at a place on the tape."""
    made = wrap(values._array)
    made._edge = edge
    return made

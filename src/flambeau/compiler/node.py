"""A compiled function's call on the tape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..core.autograd.function import Snapshots
from ..core.context.callbacks import raising
from ..core.tape.nodes import Node, OperatorNode, Taped, freed, taped_call
from ..core.tensor.tensor import Tensor
from .moving import now
from .plan import Tape


class CompiledNode(Node):
    """The backward of a call: a program of its own, from the same trace, on the call's inputs and the cotangents."""

    __slots__ = ("program", "saved", "positions", "numbers", "metas", "wanted", "inner", "calls_back")

    def __init__(
        self,
        program: Any,
        inputs: list[Any],
        positions: list[int],
        numbers: list[int | None],
        edges: list[Any],
        metas: list[Any],
        inner: frozenset[int],
        calls_back: bool,
    ):
        super().__init__("CompiledFunctionBackward", edges, len(metas))
        self.program: Any = program
        self.saved: list[Any] | None = inputs
        self.positions: list[int] = positions  # which of the program's gradients go down the edges
        self.numbers: list[int | None] = numbers  # and which of its inputs these are the gradients of
        self.metas: list[Any] = metas
        self.inner: frozenset[int] = inner
        self.calls_back: bool = calls_back
        self.wanted: tuple[int, ...] = tuple(range(len(edges)))  # for `next_functions`

    def _arguments(self, cotangents: list[Any]) -> list[Any]:
        if self.saved is None:
            raise freed(self.label)
        filled = [np.zeros(*m) if c is None else c for c, m in zip(cotangents, self.metas, strict=True)]
        return [*self.saved, *filled]

    def backward(self, cotangents: list[Any]) -> Sequence[Any]:
        run = raising(self.program) if self.calls_back else self.program
        made = run(*self._arguments(cotangents))
        return self._along_edges(made)

    def _along_edges(self, made: Sequence[Any]) -> list[Any]:
        return [made[i] if i < len(made) else None for i in self.positions]

    def backward_taped(self, cotangents: list[Taped | None]) -> Sequence[Taped | None]:
        if self.calls_back:
            raise NotImplementedError(
                "the gradients of a compiled function that calls back (collectives, registered operators) have no gradients: "
                "run it uncompiled, or take both within the function"
            )
        arguments = self._arguments([None if c is None else c[0] for c in cotangents])
        edges = {n: e for n, e in zip(self.numbers, self.edges, strict=True) if n is not None}
        edges.update((len(self.saved or ()) + i, c[1]) for i, c in enumerate(cotangents) if c is not None)
        return self._along_edges(taped_call(self.program, arguments, edges))

    def release(self) -> None:
        self.saved = None


class Backward:
    """A program's backward pass: makes the node of each call. `inputs` are the numbers of what its gradients belong to.

    `saved` is how many arrays the forward pass gives it after its outputs, None for a program that calls nothing back.
    """

    def __init__(self, program: Any, tape: Tape, inputs: list[int | None], saved: int | None):
        self.saved = saved
        self.program = program
        self.tape = tape
        self.inputs = inputs

    def node(self, tensors: list[Any], inputs: list[Any]) -> CompiledNode | None:
        """None if nothing that the results depend on is on the tape now."""
        tape, edges, positions = self.tape, [], []
        for i, (tensor, argument) in enumerate(tape.wanted):
            edge = (now(tensor) if argument is None else tensors[argument])._tape_edge()
            if edge is not None:
                edges.append(edge)
                positions.append(i)
        numbers = [self.inputs[i] for i in positions]
        if not edges:
            return None
        back = self.saved is not None
        return CompiledNode(self.program, inputs, positions, numbers, edges, tape.metas, tape.inner, back)


class SpentNode(OperatorNode):
    """A place on the tape whose graph has been used up inside of a program."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(None, None, (), (), 1, "CompiledFunctionBackward")  # type: ignore[arg-type]

    def _derivative(self, cotangents: list[Any]) -> Any:
        raise freed(self.label)


def spent() -> Any:
    """A place on the tape whose graph has been used up."""
    return SpentNode(), 0


def saved_on_tape(roots: list[Tensor]) -> list[Tensor]:
    found: list[Tensor] = []
    for node in graph([t._tape_edge()[0] for t in roots]):  # type: ignore[index]
        ctx = getattr(node, "ctx", None)
        if ctx is not None:
            saved = ctx._saved if isinstance(ctx._saved, (tuple, Snapshots)) else ()  # not what would be computed again
            held = [*vars(ctx).values(), *saved]
            found += [t for t in held if isinstance(t, Tensor)]
    return found


def graph(roots: list[Any]) -> Iterator[Any]:
    stack, seen = list(roots), set()
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            yield node
            stack += [e[0] for e in node.edges if e is not None]


def used_up(root: Any) -> bool:
    """Whether a part of the graph under a node has been freed by a backward pass."""
    return any(
        getattr(node, "saved", ()) is None or getattr(getattr(node, "ctx", None), "_saved", ()) is None
        for node in graph([root])
    )

"""The tape's nodes, and hooks on what they keep for the backward pass, under torch's module path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..core.autograd.function import FunctionNode
from ..core.context.grad_mode import no_grad, state
from ..core.tape.nodes import Node, OperatorNode, Saved, is_differentiable
from ..core.tensor.tensor import Tensor, wrap


def kept_by(node: Node, outputs: Any) -> list[int]:
    """Which of the values that a new node has saved its gradient depends on, as numbers into `saved_of(node)`."""
    saved = saved_of(node)
    if not saved:
        return []
    if not isinstance(node, OperatorNode):
        return [i for i, x in enumerate(saved) if isinstance(x, (Tensor, jax.Array))]
    given = tuple(i for i, o in enumerate(outputs) if is_differentiable(o.dtype))
    cotangents = [jax.ShapeDtypeStruct(outputs[i].shape, outputs[i].dtype) for i in given]
    needed = node.program.derivative(node.wanted, given).uses((*saved, *cotangents))
    return [i for i, x in enumerate(saved) if i in needed and isinstance(x, jax.Array)]


def saved_of(node: Node) -> Any:
    """What a node has saved: arrays and plain values, Tensors if it is a Function's; None if there is nothing."""
    return node.ctx._saved if isinstance(node, FunctionNode) else getattr(node, "saved", None)


class Kept(Saved):
    """What a node has saved, some of it in another form; looking at it puts it into its own form again.

    `restore` gets what stands in the place of a value and gives it back as a Tensor. What the gradient does not depend
    on is not kept: zeros are made for it.
    """

    def __init__(self, node: Node, forms: dict[int, Any], restore: Callable[[Any], Tensor]):
        saved = saved_of(node)
        self.restore = restore
        self.forms = forms
        self.on_tensors = isinstance(node, FunctionNode)
        self.shapes = [
            None
            if self.on_tensors and i in forms
            else jax.ShapeDtypeStruct(x.shape, x.dtype)
            if isinstance(x, jax.Array)
            else x
            for i, x in enumerate(saved)
        ]
        # a second derivative goes on through what a Function has saved
        self.edges = {i: saved[i]._tape_edge() for i in forms} if self.on_tensors else {}

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, i: Any) -> Any:
        if i in self.forms:
            tensor = self.restore(self.forms[i])
            if not self.on_tensors:
                return tensor._array
            made = tensor._off_tape()
            made._edge = self.edges[i]
            return made
        held = self.shapes[i]
        return jnp.zeros(held.shape, held.dtype) if isinstance(held, jax.ShapeDtypeStruct) else held


def keep(node: Node, kept: Any) -> None:
    """Give a node something else to have saved."""
    if isinstance(node, FunctionNode):
        node.ctx._saved = kept
    else:
        node.saved = kept  # type: ignore[attr-defined]


class Saving:
    """Called with each new node and its outputs, to keep in another way what the node saves. Only the innermost counts.

    It is a context manager that may be entered again and again. RuntimeError if hooks are disabled.
    """

    def __init__(self) -> None:
        self._before: list[tuple[Any, ...]] = []

    def __call__(self, node: Node, outputs: Any) -> None:
        raise NotImplementedError

    def __enter__(self) -> Any:
        if _refusals:
            raise RuntimeError(_refusals[-1])
        self._before.append(state.watchers)
        state.watchers = (*(w for w in state.watchers if not isinstance(w, Saving)), self)

    def __exit__(self, *exc: object) -> None:
        state.watchers = self._before.pop()


class saved_tensors_hooks(Saving):
    """Inside the `with` block, what an operator keeps for its backward pass goes through `pack_hook`, and back through
    `unpack_hook` when it is needed.

    flambeau's operators keep arguments (those on whose values the gradient depends), never results.
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]):
        super().__init__()
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __call__(self, node: Node, outputs: Any) -> None:
        saved = saved_of(node)
        forms = {i: self._pack(saved[i]) for i in kept_by(node, outputs)}
        if forms:
            keep(node, Kept(node, forms, self._unpack))

    def _pack(self, value: Any) -> Any:
        before, state.watchers = state.watchers, ()
        try:
            with no_grad():
                return self.pack_hook(value.detach() if isinstance(value, Tensor) else wrap(value))
        finally:
            state.watchers = before

    def _unpack(self, held: Any) -> Tensor:
        found = self.unpack_hook(held)
        if not isinstance(found, Tensor):
            raise TypeError(f"Output of saved tensor unpack_hook expected to be a Tensor, not {type(found).__name__}")
        return found


class save_on_cpu(saved_tensors_hooks):
    """Inside the `with` block, what is kept for the backward pass waits in the host's memory."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda"):
        super().__init__(lambda x: (x.device, x.cpu()), lambda held: held[1].to(held[0]))


_refusals: list[str] = []


class disable_saved_tensors_hooks:
    """Inside the `with` block, `saved_tensors_hooks` raises RuntimeError with this message."""

    def __init__(self, error_message: str):
        self.error_message = error_message

    def __enter__(self) -> None:
        _refusals.append(self.error_message)

    def __exit__(self, *exc: object) -> None:
        _refusals.pop()


class allow_mutation_on_saved_tensors:
    """Nothing has to be done for it: saved values are immutable, and a write gives the tensor new ones."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        return None


__all__ = [
    "Node",
    "allow_mutation_on_saved_tensors",
    "disable_saved_tensors_hooks",
    "save_on_cpu",
    "saved_tensors_hooks",
]

"""The tape's nodes, and hooks on what they keep for the backward pass, under torch's module path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax

from ..core.function import FunctionNode
from ..core.grad_mode import no_grad, state
from ..core.tape import Node, OperatorNode, is_differentiable
from ..core.tensor import Tensor, wrap


class _Packed:
    """What a node kept, after `pack`; iterating over it unpacks."""

    def __init__(self, members: list[tuple[bool, Any]], restore: Callable[[Any], Any]):
        self.members = members  # whether it was packed, what it is now
        self.restore = restore

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Any]:
        return iter([self.restore(value) if packed else value for packed, value in self.members])


class saved_tensors_hooks:
    """Inside the `with` block, what an operator keeps for its backward pass goes through `pack_hook`, and back through
    `unpack_hook` when it is needed.

    flambeau's operators keep arguments (those on whose values the gradient depends), never results.
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]):
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self) -> None:
        if _refusals:
            raise RuntimeError(_refusals[-1])
        self._before = state.watchers
        # the innermost hooks are the ones that count
        state.watchers = (*(w for w in self._before if not isinstance(w, _Watcher)), _Watcher(self))

    def __exit__(self, *exc: object) -> None:
        state.watchers = self._before


class _Watcher:
    def __init__(self, hooks: saved_tensors_hooks):
        self.hooks = hooks

    def __call__(self, node: Node, outputs: Any) -> None:
        if isinstance(node, OperatorNode):
            given = tuple(i for i, o in enumerate(outputs) if is_differentiable(o.dtype))
            cotangents = [jax.ShapeDtypeStruct(outputs[i].shape, outputs[i].dtype) for i in given]
            needed = node.program.derivative(node.wanted, given).uses((*node.saved, *cotangents))
            node.saved = _Packed(
                [
                    (True, self._pack(wrap(x))) if i in needed and isinstance(x, jax.Array) else (False, x)
                    for i, x in enumerate(node.saved)
                ],
                lambda held: self._unpack(held)._array,
            )
        elif isinstance(node, FunctionNode) and node.ctx._saved:
            members = [(isinstance(x, Tensor), self._pack(x) if isinstance(x, Tensor) else x) for x in node.ctx._saved]
            node.ctx._saved = _Packed(members, self._unpack)

    def _pack(self, tensor: Tensor) -> Any:
        before, state.watchers = state.watchers, ()
        try:
            with no_grad():
                return self.hooks.pack_hook(tensor.detach())
        finally:
            state.watchers = before

    def _unpack(self, held: Any) -> Tensor:
        found = self.hooks.unpack_hook(held)
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

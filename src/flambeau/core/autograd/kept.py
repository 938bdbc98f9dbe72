"""What nodes of the tape keep for the backward pass, and how it is kept in another form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..context.grad_mode import no_grad
from ..tape.nodes import FREED, Node, OperatorNode, Saved, is_differentiable
from ..tensor.tensor import Tensor, wrap
from .function import FunctionNode


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
    return [i for i, x in enumerate(saved) if i in needed and _is_array(x)]


def _is_array(value: Any) -> bool:
    """Whether it is the array of a tensor; in a compiled function Python's numbers, which nodes keep as they are, are weak ones."""
    return isinstance(value, jax.Array) and not (value.weak_type and value.ndim == 0)


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
        self.on_tensors: bool = isinstance(node, FunctionNode)
        self.shapes: list[Any | None] = [
            None if self.on_tensors and i in forms else jax.ShapeDtypeStruct(x.shape, x.dtype) if _is_array(x) else x
            for i, x in enumerate(saved)
        ]
        # a second derivative goes on through what a Function has saved
        self.edges: dict[int, Any] = {i: saved[i]._tape_edge() for i in forms} if self.on_tensors else {}

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


class SavedTensor:
    """One of the values that a node has saved; hooks may keep it in another form."""

    __module__ = "flambeau._C._autograd"

    def __init__(self, node: Node, position: int):
        self._node, self._position = node, position

    def register_hooks(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
        """Keep what `pack_hook` makes of the value, and give it to `unpack_hook` when the value is needed.

        RuntimeError if it has hooks, if it was freed, or if the gradient does not depend on it.
        """
        if not (callable(pack_hook) and callable(unpack_hook)):
            raise TypeError(f"register_hooks(): expected two functions, got {pack_hook!r} and {unpack_hook!r}")
        saved = saved_of(self._node)
        if saved is None:
            raise RuntimeError(
                "Calling register_hooks on a saved tensor after it has been freed. "
                + FREED.partition("freed). ")[2].replace("saved tensors after", "saved variables after")
            )
        held = saved.forms if isinstance(saved, Kept) else {}
        if self._position in held:
            raise RuntimeError(
                "Calling register_hooks on a saved tensor whose hooks have already been set. Hint: only one pair of hooks is "
                "allowed at a time."
            )
        value = saved[self._position]
        if value is None or self._position not in needed(self._node):
            raise RuntimeError("Calling register_hooks on a saved tensor with value None is forbidden")
        with no_grad():
            packed = pack_hook(value.detach() if isinstance(value, Tensor) else wrap(value))
        restore = lambda form: form[1](form[0])  # noqa: E731
        if isinstance(saved, Kept):
            before = saved.restore
            forms = {i: f if type(f) is _Form else _Form((f, before)) for i, f in held.items()}
            saved.forms, saved.restore = {**forms, self._position: _Form((packed, unpack_hook))}, restore
            return
        others = {i: _Form((wrap(saved[i]), _itself)) for i in needed(self._node) if i != self._position}
        keep(self._node, Kept(self._node, {**others, self._position: _Form((packed, unpack_hook))}, restore))


class _Form(tuple):  # type: ignore[type-arg]
    """A value in another form, and what gives the value back."""


def _itself(value: Tensor) -> Tensor:
    return value


def needed(node: Node) -> list[int]:
    """Which of the values that a recorded node has saved its gradient depends on."""
    if not isinstance(node, OperatorNode) or isinstance(node.saved, Kept):
        held = getattr(node, "saved", None)
        return list(held.forms) if isinstance(held, Kept) else kept_by(node, ())
    made = jax.eval_shape(node.program.function, *node.saved)
    return kept_by(node, made if isinstance(made, tuple) else (made,))


__all__ = ["Kept", "SavedTensor", "keep", "kept_by", "needed", "saved_of"]

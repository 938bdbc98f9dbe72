"""What nodes of the tape offer to users: hooks, their neighbours, what they have saved."""

from __future__ import annotations

from typing import Any

import jax

from ..context.telling import warn
from ..dispatch.messages import message
from ..dispatch.signature import ARRAY, ARRAYS, FLOAT, SCALAR
from ..tape.nodes import AccumulateGrad, Node, OperatorNode, freed, shown
from ..tensor.tensor import Tensor, wrap
from .engine import Hooks, RemovableHandle, _hooks_of
from .function import FunctionNode
from .hooking import ALL, inputs_of, taped_of, tensor_of
from .kept import SavedTensor, needed, saved_of


def _node_hook(self: Node, hook: Any) -> RemovableHandle:
    """Call `hook(gradients by inputs, gradients by outputs)` behind each backward of this node; what it returns takes their place."""
    if self.post_hooks is None:
        self.post_hooks = Hooks()
    return self.post_hooks.add(hook)  # type: ignore[attr-defined]


def _node_prehook(self: Node, hook: Any) -> RemovableHandle:
    """Call `hook(gradients by outputs)` before each backward of this node; what it returns takes their place."""
    return _hooks_of(self, ALL).add(hook)


def _node_metadata(self: Any) -> dict[Any, Any]:
    """A dict of its own, for whoever wants to keep something with the node."""
    if not hasattr(self, "metadata_"):
        self.metadata_ = {}
    return self.metadata_  # type: ignore[no-any-return]


def _node_call(self: Node, *gradients: Tensor) -> Any:
    results = self.backward_taped([taped_of(g) for g in gradients])
    made = tuple(None if i is None else tensor_of(results[i]) for i in inputs_of(self))
    return made[0] if len(made) == 1 else made


def _next_functions(self: Any) -> tuple[tuple[Any, int], ...]:
    """A pair for each tensor that could have a gradient: the node it comes from (None if it has none), output number."""
    edges = [None if i is None else self.edges[i] for i in inputs_of(self)]
    return tuple((shown(e[0]), e[1]) if e else (None, 0) for e in edges)


def _node_repr(self: Node) -> str:
    return f"<{self.label} object at {id(self):#x}>"


# --- what was saved --------------------------------------------------------------------------------------------------

# Nodes of whose formulas PyTorch's save the result
_BY_RESULT = frozenset(
    f"{name}Backward0"
    for name in "Exp Exp2 Relu Sigmoid Tanh Softmax LogSoftmax Sqrt Rsqrt Reciprocal Tan Cumprod Elu Selu LinalgInvEx".split()
)
_BY_INPUT = ("Convolution", "NativeLayerNorm", "NativeBatchNorm", "NativeGroupNorm")
# What PyTorch's derivatives call an argument, for the nodes of a name; for all others the first is `self`
_CALLED = {
    "MmBackward0": {"other": "mat2"},
    "BmmBackward0": {"other": "mat2"},
    "MvBackward0": {"other": "vec"},
    "DotBackward0": {"other": "tensor"},
    "AddmmBackward0": {"input": "mat1"},
    **{f"{name}Backward0": {"input": "input"} for name in _BY_INPUT},
}
_AS_SELF = {"input": "self", "A": "self"}


def _arguments(node: OperatorNode) -> dict[str, Any]:
    """What a call has saved, by the names of the operator's arguments; a list of numbers is a place among the values."""
    told = node.program.arguments
    if told is None:
        return {}
    found: dict[str, Any] = {"exponent": 2} if node.program.name == "square" else {}
    position = 0
    renamed = {**_AS_SELF, **_CALLED.get(node.label, {})}
    for name, part in zip(*told, strict=True):
        called = renamed.get(name, name)
        if part in (ARRAY, SCALAR, FLOAT):
            found[called] = [position]
            position += 1
        elif part[0] == ARRAYS:
            position += part[1]
        else:
            found[called] = part[1]
    return found


def _saved_names(node: Node) -> list[str]:
    """The names of the `_saved_` attributes of a node."""
    if isinstance(node, OperatorNode):
        arguments = _arguments(node)
        names, raw = list(arguments), [n for n, held in arguments.items() if isinstance(held, list)]
        if node.label in _BY_RESULT:
            names, raw = (["result" if n == "self" else n for n in found] for found in (names, raw))
        return [f"_raw_saved_{name}" for name in sorted(raw)] + [f"_saved_{name}" for name in sorted(names)]
    return ["_raw_saved_tensors"] if isinstance(node, FunctionNode) else []


def _node_getattr(self: Any, name: str) -> Any:
    if not name.startswith(("_saved_", "_raw_saved_")) or name not in _saved_names(self):
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
    if name.startswith("_raw_saved_"):
        called = name.removeprefix("_raw_saved_")
        return SavedTensor(self, _arguments(self)["self" if called == "result" else called][0])
    if self.saved is None:
        raise freed(self.label)
    if name == "_saved_result":
        made = self.program(*self.saved)
        made = wrap(made[0] if isinstance(made, tuple) else made)
        made._edge = (self, 0)
        return made
    held = _arguments(self)[name.removeprefix("_saved_")]
    return _value(self, held[0]) if isinstance(held, list) else held


def _value(node: OperatorNode, position: int) -> Any:
    """A saved value as a tensor with its place on the tape, or as a number; None if the gradient does not depend on it."""
    value = node.saved[position]
    if not isinstance(value, jax.Array):
        return value
    if value.ndim == 0 and value.weak_type:
        return value.item()
    if position not in needed(node):
        return None
    edge = dict(zip(node.wanted, node.edges, strict=True)).get(position)
    if edge is not None and isinstance(edge[0], AccumulateGrad) and edge[0].leaf() is not None:
        leaf = edge[0].leaf()
        if leaf is not None and leaf._array is value:
            return leaf
    made = wrap(value)
    made._edge = edge
    return made


def _node_dir(self: Node) -> list[str]:
    return sorted({*object.__dir__(self), *_saved_names(self)})


Node.__getattr__ = _node_getattr  # type: ignore[attr-defined]
FunctionNode._raw_saved_tensors = property(  # type: ignore[attr-defined]
    lambda self: tuple(SavedTensor(self, i) for i in range(len(saved_of(self) or ())))
)
Node.__dir__ = _node_dir  # type: ignore[method-assign, assignment]
Node.requires_grad = True  # type: ignore[attr-defined]
Node._sequence_nr = lambda self: self.order  # type: ignore[attr-defined]
Node.register_hook = _node_hook  # type: ignore[attr-defined]
Node.register_prehook = _node_prehook  # type: ignore[attr-defined]
Node.metadata = property(_node_metadata)  # type: ignore[attr-defined]
Node.next_functions = property(_next_functions)  # type: ignore[attr-defined]
Node.__call__ = _node_call  # type: ignore[method-assign]
Node.__repr__ = _node_repr  # type: ignore[assignment, method-assign]
Node.__lt__ = lambda self, other: self.order < other.order  # type: ignore[operator]

__all__: list[str] = []


def _tell_of_grad(self: Tensor) -> None:
    warn(message("grad_of_computed"))


Tensor._tell_of_grad = _tell_of_grad  # type: ignore[attr-defined]

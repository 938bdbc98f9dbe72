"""Hooks on tensors and nodes while gradients go by: what they return, or write, takes the gradients' place."""

from __future__ import annotations

from typing import Any

from ..tape.nodes import Node, Taped, is_differentiable
from ..tensor.sparse import from_array, to_array
from ..tensor.tensor import Tensor

# keys of `pre_hooks` beside output numbers, in their order: what keeps gradients, hooks on all outputs, what keeps the node's own
RETAINED, ALL, JOINT = -1, -2, -3
_JOINED = (
    "cell",
)  # operators whose results come from several nodes in PyTorch: some have a gradient there, others no turn


def tensor_of(taped: Taped | None) -> Tensor | None:
    """A gradient on its way as a tensor, which shares no memory."""
    return None if taped is None else from_array(*taped)


def taped_of(tensor: Tensor | None) -> Taped | None:
    """The way back."""
    return None if tensor is None else (to_array(tensor), tensor._tape_edge())


def run_pre_hooks(node: Node, slots: list[Taped | None], runs: bool) -> tuple[list[Taped | None], list[Taped | None]]:
    """Run the hooks on single outputs (of tensors), then the keepers, then those on all of them (of a node that `runs`). Gives
    what the node gets, and what its outputs' gradients are."""
    assert node.pre_hooks is not None
    slots = arrived = list(slots)
    told = not node.inner and getattr(getattr(node, "program", None), "name", None) not in _JOINED
    for number, hooks in sorted(
        node.pre_hooks.items(), key=lambda item: -min(item[0], 0)
    ):  # outputs as they were hooked
        for hook in list(hooks.values()):
            if number in (RETAINED, JOINT):
                hook(list(map(tensor_of, slots)))
            elif number == ALL:
                if runs:
                    arrived = list(slots) if arrived is slots else arrived
                    given = tuple(map(tensor_of, slots))
                    slots = _replacing(hook, hook(given), given)
            elif slots[number] is not None or told:
                slots[number] = _hooked(hook, slots[number])
    return slots, arrived


def run_post_hooks(node: Node, results: list[Taped | None], slots: list[Taped | None]) -> list[Taped | None]:
    """Run the hooks that see what a node makes of its gradients."""
    assert node.post_hooks is not None
    numbers = inputs_of(node) if results else []
    shown: list[Taped | None] = [None if i is None else results[i] for i in numbers]
    for hook in list(node.post_hooks.values()):
        made = tuple(map(tensor_of, shown))
        shown = _replacing(hook, hook(made, tuple(map(tensor_of, slots))), made)
    found = {i: value for i, value in zip(numbers, shown, strict=True) if i is not None}
    return [found.get(i) for i in range(len(results))]


# Nodes of operators that take numbers, and masks of integers, as tensors; and of those with operands that may be left out
_OF_TWO = frozenset(f"{name}Backward0" for name in "Add Sub Mul Div Where".split())
_ARITY = {f"{name}Backward0": 3 for name in "Convolution NativeLayerNorm NativeGroupNorm NativeBatchNorm".split()}


def inputs_of(node: Any) -> list[int | None]:
    """The node's inputs as PyTorch counts them: a number for each that has an edge, None for others that could have one."""
    if getattr(node, "saved", None) is None:
        return list(range(len(node.edges)))
    number = {place: i for i, place in enumerate(node.wanted)}
    shapes = getattr(node.saved, "shapes", node.saved)  # which need not be computed again for it
    if node.label in _OF_TWO and node.program.arguments is not None:
        operands = zip(node.program.arguments[0], range(len(shapes)))  # noqa: B905
        places = [i for name, i in operands if name not in ("condition", "alpha", "scale")]
    else:
        places = [i for i, x in enumerate(shapes) if i in number or (hasattr(x, "ndim") and is_differentiable(x.dtype))]
    return [number.get(i) for i in places] + [None] * (_ARITY.get(node.label, 0) - len(places))


def run_done_hook(hook: Any, leaf: Tensor) -> None:
    """Run a hook that sees a leaf whose gradient is there. The leaf itself may come back (of `p.add_(...)`, in a lambda); else None."""
    shape, dtype = leaf.shape, leaf._np_dtype
    out = hook(leaf)
    if out is None or out is leaf:
        return
    _fitting(hook, out, leaf, shape, dtype)
    raise RuntimeError("Tensor post accumulate grad hooks should return None.")


def _hooked(hook: Any, slot: Taped | None) -> Taped | None:
    value = tensor_of(slot)
    if value is None:
        out = hook(None)
        return None if out is None else _placed(hook, out, None)
    shape, dtype = value.shape, value._np_dtype
    out = hook(value)
    if out is None:
        return taped_of(value)  # it may have been written to
    return _fitting(hook, out, value, shape, dtype)


def _fitting(hook: Any, out: Any, value: Tensor, shape: Any, dtype: Any) -> Taped | None:
    """What a hook has given in a gradient's place. Raises where that can be none: for another shape or dtype, or no tensor."""
    if not isinstance(out, Tensor):
        raise TypeError(f"expected Variable, but hook returned '{type(out).__name__}'")
    if out.shape != shape:
        raise RuntimeError(
            f"hook '{_name(hook)}' has changed the size of value: it was {list(shape)}, the hook returned {list(out.shape)}"
        )
    if out._np_dtype != dtype:
        raise RuntimeError(f"hook '{_name(hook)}' has changed the type of value (was {_kind(value)} got {_kind(out)})")
    return taped_of(out)


def _kind(tensor: Tensor) -> str:
    name = tensor.type()
    # kinds that are younger than these names have others in PyTorch's C++
    return f"CPU{name[6:-6]}Type" if name.startswith(("torch.BFloat16", "torch.Bool", "torch.Complex")) else name


def _name(hook: Any) -> str:
    return getattr(hook, "__name__", type(hook).__name__)


def _replacing(hook: Any, out: Any, given: tuple[Tensor | None, ...]) -> list[Taped | None]:
    """The gradients that a hook on a node has given in the place of those it got, which it may have written to."""
    if out is None:
        out = given
    if not isinstance(out, tuple):
        raise TypeError(f"expected tuple, but hook returned '{type(out).__name__}'")
    if len(out) != len(given):
        raise RuntimeError(
            f"hook '{_name(hook)}' has returned an incorrect number of values (got {len(out)}, but expected {len(given)})"
        )
    return [None if new is None else _placed(hook, new, old) for new, old in zip(out, given, strict=True)]


def _placed(hook: Any, new: Any, old: Tensor | None) -> Taped | None:
    if old is None:
        if not isinstance(new, Tensor):
            raise TypeError(f"expected Variable, but hook returned '{type(new).__name__}'")
        raise RuntimeError("can't replace a None gradient with a non-None value")
    return _fitting(hook, new, old, old.shape, old._np_dtype)

"""The tape's nodes, and hooks on what they keep for the backward pass, under torch's module path."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..core.autograd.edges import GradientEdge, get_gradient_edge
from ..core.autograd.engine import RemovableHandle
from ..core.autograd.kept import Kept, keep, kept_by, saved_of
from ..core.context.grad_mode import no_grad, state
from ..core.dispatch.help import explain_namespace as _explain
from ..core.dispatch.messages import message
from ..core.tape.nodes import Node
from ..core.tensor.tensor import Tensor, wrap


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
        if not (callable(pack_hook) and callable(unpack_hook)):
            raise TypeError(
                f"saved_tensors_hooks: pack_hook and unpack_hook must be callable, got {pack_hook!r}, {unpack_hook!r}"
            )
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
                given = value.detach() if isinstance(value, Tensor) else wrap(value)
                written = given._version
                held = self.pack_hook(given)
                if given._version != written:
                    raise RuntimeError(message("pack_hook_writes"))
                return held
        finally:
            state.watchers = before

    def _unpack(self, held: Any) -> Tensor:
        found = self.unpack_hook(held)
        if not isinstance(found, Tensor):
            raise TypeError(
                f"Output of saved tensor unpack_hook expected to be a Tensor but got result of type {type(found).__name__}"
            )
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


class _AllowMutationOnSavedContext:
    """What `allow_mutation_on_saved_tensors` gives; it holds nothing."""

    def clear(self) -> None:
        """Nothing is held that could be let go of."""


class allow_mutation_on_saved_tensors:
    """Nothing has to be done for it: saved values are immutable, and a write gives the tensor new ones."""

    _inside = False

    def __enter__(self) -> _AllowMutationOnSavedContext:
        if allow_mutation_on_saved_tensors._inside:
            raise RuntimeError("allow_mutation_on_saved_tensors contexts cannot be nested")
        allow_mutation_on_saved_tensors._inside = True
        return _AllowMutationOnSavedContext()

    def __exit__(self, *exc: object) -> None:
        allow_mutation_on_saved_tensors._inside = False


class _MultiHandle(RemovableHandle):
    """Takes the hooks of several tensors out again."""

    handles: tuple[RemovableHandle, ...]

    def __init__(self, handles: Sequence[RemovableHandle]):
        self.handles = tuple(handles)

    def remove(self) -> None:
        """Take them out."""
        for handle in self.handles:
            handle.remove()

    def __getstate__(self) -> Any:
        return self.handles

    def __setstate__(self, state: Any) -> None:
        self.handles = state


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[[Any], None], *, mode: str = "all"
) -> RemovableHandle:
    """Call `fn(grads)` in each backward pass when the gradients of all these tensors are known (None for those that the pass
    does not come to); with `mode="any"` `fn(grad)` at the first of them.

    Raises ValueError for another mode, AssertionError for a tensor that does not require grad.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    edges = [t._tape_edge() for t in tensors]
    if any(e is None for e in edges):
        raise AssertionError("Expected gradient function to be set")
    passes: Any = weakref.WeakKeyDictionary()  # run of the engine -> what has come in it
    lock = threading.Lock()

    def arrived(number: int, gradient: Tensor | None) -> None:
        run = state.run
        with lock:
            if mode == "any":
                first = run not in passes
                passes[run] = True
                told, tells = gradient, first
            else:
                if run not in passes:
                    passes[run] = [None] * len(edges), sum(run.reaches(e[0]) for e in edges if e is not None)
                found, left = passes[run]
                if gradient is not None:
                    found[number] = gradient if found[number] is None else found[number] + gradient
                passes[run] = found, left - 1
                told, tells = found, left == 1
        if tells:
            fn(told)

    return _MultiHandle([t.register_hook(functools.partial(arrived, i)) for i, t in enumerate(tensors)])


def increment_version(tensor: Any) -> None:
    """Count a write to a tensor, or to each of several, that flambeau has not seen."""
    tensors = [tensor] if isinstance(tensor, Tensor) else tensor
    if not isinstance(tensors, Iterable):
        raise RuntimeError("increment_version expect a Iterable[Tensor] as input")
    for one in tensors:
        if not isinstance(one, Tensor):
            raise RuntimeError("increment_version expects each element of the iterable to be a tensor")
        one._storage.version += 1


def region_activation_memory_budget(budget: float) -> Any:
    """Refused: XLA decides what a compiled function keeps."""
    raise NotImplementedError(
        "region_activation_memory_budget() is a setting of PyTorch's partitioner, which is not here: use "
        "torch.utils.checkpoint to keep less"
    )


def set_warn_on_accumulate_grad_stream_mismatch(enabled: bool) -> None:
    """There are no streams here, so that nothing is ever warned of. RuntimeError for what is no bool."""
    _only_bool(enabled)


def set_override_stale_capture_stream(enabled: bool) -> None:
    """There are no streams that could be captured here. RuntimeError for what is no bool."""
    _only_bool(enabled)


def _only_bool(enabled: object) -> None:
    if not isinstance(enabled, bool):
        raise RuntimeError(f"enabled must be a bool, but got {type(enabled).__name__}")


__all__ = [
    "GradientEdge",
    "Node",
    "allow_mutation_on_saved_tensors",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "region_activation_memory_budget",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
    "set_override_stale_capture_stream",
    "set_warn_on_accumulate_grad_stream_mismatch",
]

_explain(globals(), "torch.autograd.graph")

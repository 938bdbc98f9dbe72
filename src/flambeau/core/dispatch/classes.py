"""Classes of tensors that compute for themselves: their `__torch_dispatch__` is given the operators of a call.

One dispatch mode, under all others, hands each operator to the classes among its arguments. What they give is put on the tape
by a call of the operator on tensors without values, which makes the nodes; their arrays are the classes' own tensors (see
`array/owned.py`), so that the backward pass runs as operators, too (`autograd/seen.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from ..array.meta import MetaArray
from ..array.owned import OwnedArray, output_of
from ..array.size import Size
from ..context import overrides
from ..context.grad_mode import state as grad_state
from ..context.overrides import OperatorHandle
from ..context.tracing import Untraceable
from ..tape.nodes import OperatorNode
from ..tensor import wrappers
from ..tensor.declared import DeclaredStorage
from ..tensor.tensor import Tensor, wrap
from ..tensor.wrappers import beside
from .messages import message
from .overloads import OpOverload

note_results: Callable[[Any, Any], None] = lambda node, outputs: None  # noqa: E731  # set by autograd/seen.py


class _Classes:
    """The mode that stands under all others while a call has such tensors among its arguments."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        found = [t for t in _tensors((args, kwargs)) if type(t) in overrides.dispatching]
        if not found:
            return func(*args, **kwargs)
        if not isinstance(func, OpOverload) or not _fits(func, args, kwargs):
            raise _no_operator(func, type(found[0]))
        gives_tensors = any("Tensor" in r.declared.text for r in func._schema.returns)
        if gives_tensors and grad_state.grad and any(t.requires_grad for t in _tensors((args, kwargs))):
            return _recorded(func, found, args, kwargs)
        return _counted(func, args, kwargs, _asked(func, found, args, kwargs))


CLASSES = _Classes()


@contextlib.contextmanager
def classes_asked() -> Iterator[None]:
    """While inside, each operator is handed to the classes among its arguments."""
    modes, subclasses, below = grad_state.dispatch_modes, grad_state.subclasses, grad_state.below_classes
    if modes[:1] == (CLASSES,):
        yield
        return
    grad_state.set_dispatch_modes((CLASSES, *modes))
    grad_state.subclasses, grad_state.below_classes = False, True
    try:
        yield
    finally:
        grad_state.set_dispatch_modes(modes)
        grad_state.subclasses, grad_state.below_classes = subclasses, below


def _by_classes(run: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with classes_asked():
        return run(*args, **kwargs)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)) and type(value) is not Size:
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors(part)


def _fits(func: OpOverload, args: Any, kwargs: Any) -> bool:
    try:
        func._schema.bind(args, kwargs, func.overloadpacket.takes_numbers)
    except RuntimeError:
        return False
    return True


def _no_operator(func: Any, cls: type) -> NotImplementedError:
    name = func.name() if hasattr(func, "name") else str(func)
    back = isinstance(func, OperatorHandle) and "Backward" in name
    what = (
        f"the derivative {func.__name__} is no operator of ATen's here"
        if back
        else f"{name} is no operator of ATen's here, or is called in a form that ATen has not"
    )
    cure = "detach() before it, or write the part as a torch.autograd.Function" if back else "compute it by others"
    return NotImplementedError(
        f"{cls.__name__}: {what}, so its __torch_dispatch__ can't be asked. Either {cure}, or define __torch_function__, which "
        "sees every public function"
    )


def _asked(func: OpOverload, found: list[Any], args: Any, kwargs: Any) -> Any:
    """What the classes make of an operator; subclasses are asked before their superclasses."""
    asked: list[Any] = []
    for tensor in found:
        if type(tensor) not in map(type, asked):
            place = next((i for i, other in enumerate(asked) if issubclass(type(tensor), type(other))), len(asked))
            asked.insert(place, tensor)
    types = tuple(map(type, asked))
    before = grad_state.grad, grad_state.subclasses, grad_state.below_classes
    grad_state.grad, grad_state.subclasses, grad_state.below_classes = False, True, False
    try:
        for tensor in asked:
            made = type(tensor).__torch_dispatch__(func, types, args, kwargs)
            if made is not NotImplemented:
                return _as_told(func, made)
    finally:
        grad_state.grad, grad_state.subclasses, grad_state.below_classes = before
    told = "\n".join(f"  - tensor subclass {kind!r}" for kind in types)
    error = TypeError(
        f"Multiple dispatch failed for 'torch._ops.{func}'; all __torch_dispatch__ handlers returned NotImplemented:\n\n{told}\n\n"
        "For more information, try re-running with TORCH_LOGS=not_implemented"
    )
    error.left_to_others = True  # type: ignore[attr-defined]
    raise error


def _as_told(func: OpOverload, made: Any) -> Any:
    """RuntimeError unless an operator that gives one tensor has given one."""
    returns = func._schema.returns
    if (
        len(returns) == 1
        and returns[0].declared.text.startswith("Tensor")
        and "[]" not in returns[0].declared.text
        and not isinstance(made, Tensor)
    ):
        raise RuntimeError(f"Unable to cast {made!r} to Tensor")
    return made


def _written(func: OpOverload, args: Any, kwargs: Any) -> list[Any]:
    schema = func._schema
    if not schema.is_mutable:
        return []
    named = schema.bind(args, kwargs, func.overloadpacket.takes_numbers)
    return list(_tensors([named[a.name] for a in schema.arguments if a.is_write and a.name in named]))


def _counted(func: OpOverload, args: Any, kwargs: Any, made: Any) -> Any:
    """What an operator gives: what it has written to, if it writes. Count the writes; let views of a tensor count with it."""
    written = _written(func, args, kwargs)
    if len(written) == 1 and len(func._schema.returns) == 1:
        made = written[0]
    for tensor in written:
        if type(tensor._storage) is DeclaredStorage:
            tensor._storage.version += 1
    if func.is_view and args and type(getattr(args[0], "_storage", None)) is DeclaredStorage:
        for tensor in _tensors(made):
            if type(tensor._storage) is DeclaredStorage and tensor is not args[0]:
                tensor._storage.counter = args[0]._storage.counter
                if func._opname not in ("detach", "alias"):
                    _look_into(tensor, args[0])
    return made


def _look_into(tensor: Any, source: Any) -> None:
    tensor._base = source if source._base is None else source._base
    tensor._edge_version = tensor._base._edge_version


# --- on the tape -----------------------------------------------------------------------------------------------------


class _Stand:
    """Tensors without values in the places of others, and what the tape is to hold in the places of their arrays."""

    def __init__(self) -> None:
        self.arrays: dict[int, tuple[Any, Any]] = {}  # by the id of the array without values, which is kept with it
        self.tensors: dict[int, Any] = {}

    def of(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            found = self.tensors.get(id(value))
            return self._made(value) if found is None else found
        if isinstance(value, dict):
            return {key: self.of(part) for key, part in value.items()}
        if isinstance(value, (list, tuple)) and type(value) is not Size:
            parts = [self.of(part) for part in value]
            return parts if isinstance(value, list) else tuple(parts)
        return value

    def _made(self, tensor: Tensor) -> Tensor:
        held = MetaArray(tensor.shape, tensor._np_dtype)
        made = self.tensors[id(tensor)] = wrap(held)
        made._edge = tensor._tape_edge()
        self.arrays[id(held)] = held, tape_array(tensor)
        return made

    def array(self, held: Any) -> Any:
        """What the tape holds in the place of an array."""
        if type(held) is not MetaArray:
            return held
        found = self.arrays.get(id(held))
        if found is not None:
            return found[1]
        return OwnedArray(held.shape, held.dtype, what="a value in between, which the class has not given,")


def tape_array(tensor: Tensor) -> Any:
    """What the tape holds of a tensor."""
    return OwnedArray.of(tensor) if type(tensor) in overrides.dispatching else tensor._array


def _recorded(func: OpOverload, found: list[Any], args: Any, kwargs: Any) -> Any:
    written = _written(func, args, kwargs)
    for tensor in written:
        if tensor._base is not None and grad_state.grad:
            raise NotImplementedError(
                f"{func}: a write through a view that is on the tape is not supported for {type(found[0]).__name__}, which computes by "
                "__torch_dispatch__. Write to the whole tensor, or under torch.no_grad()"
            )
    if grad_state.trace is not None:
        raise Untraceable(
            f"{func} of {type(found[0]).__name__}, which computes by __torch_dispatch__, is to be put on the tape"
        )
    stand, nodes = _Stand(), []
    watchers = grad_state.watchers
    shadows = stand.of(args), stand.of(kwargs)
    grad_state.watchers = (lambda node, outputs: nodes.append((node, outputs)),)
    try:
        twin = func.computed(*shadows[0], **shadows[1])
    except NotImplementedError as error:
        raise NotImplementedError(
            f"{func} of {type(found[0]).__name__}, which computes by __torch_dispatch__, can't be put on the tape: its result's shape "
            f"depends on values, or it has no rule for shapes ({error}). Call it under torch.no_grad(), or detach() before it"
        ) from error
    finally:
        grad_state.watchers = watchers
    made = _counted(func, args, kwargs, _asked(func, found, args, kwargs))
    results = _on_the_tape(func, stand, made, twin, args, written)
    for node, outputs in nodes:
        if isinstance(node, OperatorNode):
            node.saved = [stand.array(a) for a in node.saved]
            note_results(node, tuple(stand.array(o) for o in outputs))
    return results


def _on_the_tape(func: OpOverload, stand: _Stand, made: Any, twin: Any, args: Any, written: list[Any]) -> Any:
    """The results with the places of their twins."""
    if isinstance(made, (tuple, list)):
        if not isinstance(twin, (tuple, list)) or len(twin) != len(made):
            return made
        parts = [_on_the_tape(func, stand, m, t, args, written) for m, t in zip(made, twin, strict=True)]
        return type(made)(*parts) if hasattr(made, "_fields") else type(made)(parts)
    if not isinstance(made, Tensor) or not isinstance(twin, Tensor):
        return made
    if any(made is t for t in written):
        made._set_edge(twin._edge)
    elif twin._edge is not None:
        if made._edge is not None or any(made is t for t in _tensors(args)):
            made = beside(made) if type(made) in overrides.dispatching else made._off_tape()
        made._edge = twin._edge
        if func.is_view and args:
            _look_into(made, args[0])
    array = twin._storage.value
    if type(array) is MetaArray:
        held = made._array
        if type(made) in overrides.dispatching:
            held = OwnedArray.of(beside(made))  # which holds no node that holds it
            held.made_by = output_of(twin._edge)
        stand.arrays[id(array)] = array, held
    return made


def _written_since(array: OwnedArray) -> str:
    kind, now = array.tensor.dtype.abbr, array.tensor._version
    return message(
        "saved_and_written", kind=kind, shape=list(array.shape), made_by=array.made_by, now=now, then=array.version
    )


overrides.by_classes = _by_classes
wrappers.written_since = _written_since

__all__ = ["CLASSES", "classes_asked", "tape_array"]

"""A call of an operator: from arguments to arrays, through its program, to tensors with a place on the tape."""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np
from jax._src.array import ArrayImpl

from ...native import channels_last
from ..array.devices import brought_together
from ..array.dtypes import can_cast
from ..array.meta import MetaArray, NoData, any_meta, evaluate
from ..array.owned import Stale, Unasked
from ..array.return_types import written_type
from ..context import overrides
from ..context.grad_mode import no_grad
from ..context.grad_mode import state as grad_state
from ..context.overrides import PASS, Overridden, ask, ask_classes, has_say, of_a_class, plain
from ..context.warned import warn
from ..tape.nodes import OperatorNode, is_differentiable
from ..tape.programs import Program
from ..tensor.sparse import SparseOperand
from ..tensor.storage import Storage
from ..tensor.tensor import Tensor, blank, wrap
from . import autocast, seeing, small
from .at_once import written
from .declared import Operator
from .errors import described
from .host_numbers import HostNumber
from .messages import message
from .misfits import misfit, takes_number
from .overloads import dispatch_operator
from .promotion import fit
from .signature import PYTHON_NUMBERS, NoCount, not_a_tensor, numbers_held
from .sparse_forms import instead

held_array: Callable[[Any], Any] = numbers_held.array
_as_they_are = {*PYTHON_NUMBERS, ArrayImpl, MetaArray}


def arrays_of(
    op: Operator, name: str, key: Any, dynamic: Iterable[Any], asks: bool, tensors: int = 0, views: Any = None
) -> tuple[list[Any], bool, bool]:
    """The arrays of the dynamic arguments, whether any of them may be on the tape, and whether there are numbers among them.

    If the caller `asks` others, raises Overridden for an argument that has a say. As many of the first arguments as `tensors`
    says can't be numbers. Given a list for `views`, views are put there with their places, and nobody has read them yet.
    """
    arrays: list[Any] = []
    taped = numbers = False
    traced = grad_state.trace is not None
    for value in dynamic:
        kind = type(value)
        if kind not in plain:
            if kind in _as_they_are and len(arrays) >= tensors:
                if asks and (len(arrays), kind) not in op.numbers_taken:
                    _look_at_number(op, name, key, dynamic, len(arrays), value)
                arrays.append(value)
                numbers = True
                continue
            if has_say(value) if asks else of_a_class((value,)):
                raise Overridden(f"{name}(): {kind.__name__} has a say")
            if not isinstance(value, Tensor):
                if len(arrays) < tensors and not isinstance(value, (jax.Array, MetaArray)):
                    raise op.signature.refusal(name, key, dynamic, value)
                if asks and isinstance(value, np.generic) and (len(arrays), kind) not in op.numbers_taken:
                    _look_at_number(op, name, key, dynamic, len(arrays), value)
                arrays.append(_array_of(op, name, key, dynamic, value))
                continue
        if value._view is None and not traced:
            arrays.append(value._storage.value)
        elif views is None or traced or type(value._storage) is not Storage:
            arrays.append(value._array)
        else:
            views.append((len(arrays), value))
            arrays.append(None)
        if value._edge is not None or value._base is not None:
            taped = True
    return arrays, taped, numbers


def seen(program: Program, arrays: list[Any], views: list[tuple[int, Any]], written_out: Any) -> Any:
    """What a program gives that takes views as it runs; PASS, with their values among the arrays, if it is to have these."""
    if not written_out and not grad_state.transforms:
        try:
            out = seeing.run(program, arrays, views, held_array)
            if out is not PASS:
                return out
        except Exception:  # told of the values, below
            pass
    for place, tensor in views:
        arrays[place] = tensor._array
    return PASS


def _look_at_number(op: Operator, name: str, key: Any, dynamic: Any, position: int, value: Any) -> None:
    """Raise TypeError for a number where PyTorch takes none; once for each place and kind of number."""
    parameter, place = op.signature.parameter_at(key, position)
    of_numpy = isinstance(value, np.generic)
    if (of_numpy or type(value) in PYTHON_NUMBERS) and not takes_number(op.space + name, parameter, place):
        raise not_a_tensor(name, parameter, place + 1, value)
    if op.signature.fixed_places:
        op.numbers_taken.add((position, type(value)))


def _array_of(op: Operator, name: str, key: Any, dynamic: Iterable[Any], value: Any) -> Any:
    """What an argument that is neither a tensor nor one of Python's own numbers comes to."""
    if isinstance(value, jax.Array):
        return value  # private operators take keys and the like as they are
    if isinstance(value, HostNumber):
        return value.as_input()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (int, float)):  # an IntEnum, a float with a name
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, numbers.Number):
        return complex(value)  # type: ignore[call-overload]
    raise op.signature.refusal(name, key, dynamic, value)


def around(call: Any, casts: autocast.Rules, op: Any, asks: bool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What modes and autocast make of a call (`op` if it is an operator's, `casts` by its declaration); PASS if nothing."""
    if (observer := grad_state._observer) is not None:
        if grad_state.observed is not call:
            grad_state.observed = call
            return observer(call, op, args, kwargs)
        grad_state.observed = None
    if asks and (found := ask(call, args, kwargs)) is not PASS:
        return found
    policy = grad_state.autocast
    if policy is not None and casts and (rules := autocast.active(policy, casts)):
        return autocast.call(policy, rules, call, args, kwargs)
    if op is not None and grad_state.dispatch_modes:
        return dispatch_operator(op, call, args, kwargs)
    if (by_parts := grad_state._by_parts) is not None and type(op) is Operator:
        return by_parts(call, op, args, kwargs)
    return PASS


def edges_of(dynamic: Iterable[Any]) -> tuple[tuple[int, ...], tuple[Any, ...]]:
    wanted: list[int] = []
    edges: list[Any] = []
    for i, value in enumerate(dynamic):
        if isinstance(value, Tensor):
            edge = value._edge if value._base is None else value._tape_edge()
            if edge is not None:
                wanted.append(i)
                edges.append(edge)
    return tuple(wanted), tuple(edges)


def recorded(op: Operator, program: Program, arrays: list[Any], dynamic: Any, out: Any) -> Any:
    """The tensors of a recorded call."""
    wanted, edges = edges_of(dynamic)
    if program.constant and not program.constant.keys().isdisjoint(wanted):
        wanted, edges = _without_constants(op, program, arrays, wanted, edges)
    if not wanted:
        return wrapped(op, out)
    if isinstance(out, tuple):
        node = recorded_node(program, arrays, wanted, edges, out)
        several = []
        for i, o in enumerate(out):
            tensor = wrap(o)
            if is_differentiable(o.dtype):
                tensor._edge = (node, i)
            several.append(tensor)
        return op.returns(*several) if op.returns else tuple(several)
    made = wrap(out)
    if is_differentiable(out.dtype):
        made._edge = (recorded_node(program, arrays, wanted, edges, (out,)), 0)
    return made


def _without_constants(op: Operator, program: Program, arrays: list[Any], wanted: Any, edges: Any) -> Any:
    """What is left of the places and edges without those of `op.constant`; RuntimeError for one that is refused."""
    left = []
    for place, edge in zip(wanted, edges, strict=True):
        argument = program.constant.get(place)
        function = None if argument is None else op.constant[argument]  # type: ignore[index]
        if callable(function):
            function = function(arrays)
        if function is None:
            left.append((place, edge))
        elif function:
            raise RuntimeError(message("no_derivative", function=function, argument=argument))
    return tuple(place for place, _ in left), tuple(edge for _, edge in left)


def recorded_node(
    program: Program, arrays: list[Any], wanted: Any, edges: Any, outputs: tuple[Any, ...]
) -> OperatorNode:
    """The place on the tape of a call's outputs."""
    label = program.label
    node = OperatorNode(
        program, arrays, wanted, edges, len(outputs), label if isinstance(label, str) else label(arrays)
    )
    for watch in grad_state.watchers:
        watch(node, outputs)
    return node


def wrapped(op: Operator, out: Any) -> Any:
    if isinstance(out, tuple):
        return op.returns(*map(wrap, out)) if op.returns else tuple(map(wrap, out))
    return wrap(out)


def _without_values(error: Exception, op: Operator, program: Program, arrays: list[Any], asked: Any) -> Any:
    """What a call that has failed gives if there are arrays without values among its arguments, or such that have to be brought
    to the other processes; else raises the error: that about an argument's kind, if a public function was `asked`."""
    if isinstance(error, (Stale, Unasked)):
        raise error
    if type(error) is NoData and any_meta(arrays):
        _check_places(op, arrays)
        try:
            return evaluate(program.run, arrays)
        except Exception as found:
            error = found
    if type(error) is ValueError and (together := brought_together(arrays)) is not None:
        arrays[:] = together
        return program.run(*arrays)
    better = described(error, arrays, op.name, op.promote is not None)
    if asked is not None and type(better) is not TypeError and (unfit := misfit(*asked)) is not None:
        raise unfit from None
    if better is error:
        raise error
    raise better from None


def _check_places(op: Operator, arrays: list[Any]) -> None:
    """Raises RuntimeError if arrays with and without values do not go together: numbers do, and indices."""
    tensors = [a for a in arrays if type(a) is MetaArray or (isinstance(a, jax.Array) and a.ndim)]
    first, mixes = tensors[0], op.promote is None
    for other in tensors:
        if (type(other) is MetaArray) != (type(first) is MetaArray) and not (mixes and other.dtype.kind in "iub"):
            here, there = (wrap(a).device for a in (first, other))
            raise RuntimeError(f"Tensor on device {there} is not on the expected device {here}! (in {op.name})")


_new = object.__new__
_NONE = type(None)


def lifted(op: Operator, asks: bool = False) -> Callable[..., Any]:
    """The function on Tensors; one that `asks` others first if it is to be public."""
    quick, optional, name, bind = op.signature.quick, op.signature.optional, op.name, op.signature.bind
    known, held, images, casts = op.programs, channels_last.held, op.images, op.casts
    at_once, runs_small = op.at_once, not op.images
    tensors = op.leading_tensors if asks else 0  # inside the library numbers go everywhere
    # where sizes come one by one the function takes fewer forms than the method, whose programs it shares
    looked: set[Any] | None = set() if asks and op.signature.varargs is not None else None

    @functools.wraps(op.function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if grad_state.around and (found := around(call, casts, op, asks, args, kwargs)) is not PASS:
            return found
        if at_once is not None and not kwargs and (quickly := at_once(*args)) is not None:
            return quickly
        dynamic: Any = args
        views: list[tuple[int, Any]] = []
        key = None if kwargs else quick.get(len(args))
        try:
            if key is None or (optional and _NONE in map(type, args)):
                if "out" in kwargs:
                    return into_out(call, args, kwargs, asks)
                dynamic, key = bind(name, args, kwargs)
            program = known.get(key)
            if program is None or (looked is not None and key not in looked):
                if asks and (unfit := misfit(call, args, kwargs, plain_only=True)) is not None:
                    raise unfit
                program = program or op.program(key)
                if looked is not None:
                    looked.add(key)
            if program.rests:
                program.rests -= 1
            elif runs_small and not held and (quickly := small.run(op, program, asks, dynamic)) is not None:
                return quickly
            arrays, taped, numbers = arrays_of(op, name, key, dynamic, asks, tensors, views)
        except TypeError as error:
            if (found := (ask if asks else ask_classes)(call, args, kwargs)) is PASS:
                if asks and type(error) is NoCount:
                    raise misfit(call, args, kwargs) or TypeError(str(error)) from None
                raise
            return found
        except SparseOperand as error:
            return instead(name, error, args, kwargs)
        try:
            out = PASS
            if views:
                out = seen(program, arrays, views, (taped and grad_state.grad) or held or images)
            if out is PASS:
                given = map(held_array, arrays) if numbers else arrays
                out = program(*given) if held or images else program.run(*given)
        except Exception as error:
            out = _without_values(error, op, program, arrays, (call, args, kwargs) if asks else None)
        if taped and grad_state.grad:
            return recorded(op, program, arrays, dynamic, out)
        if isinstance(out, tuple):
            return wrapped(op, out)
        storage = _new(Storage)
        storage.value = out
        storage.version = 0
        return blank(Tensor, storage)

    call.operator = op  # type: ignore[attr-defined]
    overrides.made_by(call, lambda: lifted(op, asks=True))
    return call


def with_key(op: Operator, key: tuple[Any, ...]) -> Callable[..., Any]:
    """An operator for calls of one key: it takes the dynamic values alone, which nobody has to bind. Not while modes are around."""
    known, held, images, name = op.programs, channels_last.held, op.images, op.name

    def call(*dynamic: Any) -> Any:
        program = known.get(key) or op.program(key)
        if program.rests:
            program.rests -= 1
        elif not images and not held and (quickly := small.run(op, program, False, dynamic)) is not None:
            return quickly
        arrays, taped, _ = arrays_of(op, name, key, dynamic, False)
        try:
            out = program(*arrays) if held or images else program.run(*arrays)
        except Exception as error:
            out = _without_values(error, op, program, arrays, None)
        return recorded(op, program, arrays, dynamic, out) if taped and grad_state.grad else wrapped(op, out)

    return call


def inplace_form(op: Operator, name: str, asks: bool = False) -> Callable[..., Any]:
    """The method that writes the result into its tensor."""
    tensors = max(1, op.leading_tensors) if asks else 0
    at_once = op.at_once if getattr(op.at_once, "writes", False) else None

    def call(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if grad_state.around and (found := around(call, (), op, asks, (input, *args), kwargs)) is not PASS:
            return found
        if at_once is not None and not kwargs and type(input) in plain and written(at_once, input, args):
            return input
        try:
            dynamic, key = op.signature.bind(name, (input, *args), kwargs)
            program = op.write_program(key)
            arrays, taped, numbers = arrays_of(op, name, key, dynamic, asks, tensors)
        except TypeError:
            if (found := (ask if asks else ask_classes)(call, (input, *args), kwargs)) is PASS:
                raise
            return found
        except SparseOperand as error:
            return instead(name, error, (input, *args), kwargs)
        before = input._check_inplace()
        try:
            out = program(*(map(held_array, arrays) if numbers else arrays))
        except Exception as error:
            out = _without_values(error, op, program, arrays, (call, (input, *args), kwargs) if asks else None)
        edge = None
        if taped and grad_state.grad:
            wanted, edges = edges_of(dynamic)
            if before is not None:  # also an operand itself, as it was
                edges = tuple(before if i and dynamic[i] is input else e for i, e in zip(wanted, edges, strict=True))
            if wanted and is_differentiable(out.dtype):
                edge = (recorded_node(program, arrays, wanted, edges, (out,)), 0)
        input._assign(out, edge)
        return input

    call.__name__ = call.__qualname__ = name
    call.operator = op  # type: ignore[attr-defined]
    call.writes = True  # type: ignore[attr-defined]
    call.in_place_of = op.function  # type: ignore[attr-defined]
    call.__doc__ = f"In-place form of `{op.name}`: writes the result into this tensor and returns it."
    overrides.made_by(call, lambda: inplace_form(op, name, asks=True))
    return call


def refuse_recorded_out(*values: Any, name: str = "") -> None:
    """Raise RuntimeError where a result that is written elsewhere (`out=`) would have to be recorded."""
    if grad_state.grad and any(isinstance(t, Tensor) and t.requires_grad for t in values):
        what = f"{name}(): functions" if name else "functions"
        raise RuntimeError(
            f"{what} with out=... arguments don't support automatic differentiation, but one of the arguments requires grad."
        )


def into_out(call: Callable[..., Any], args: Any, kwargs: dict[str, Any], asks: bool = False) -> Any:
    if asks and (found := ask(call, args, kwargs)) is not PASS:
        return found
    out = kwargs.pop("out")
    if out is None:
        return call(*args, **kwargs)
    targets = out if isinstance(out, (tuple, list)) else (out,)
    refuse_recorded_out(*args, *kwargs.values(), *targets, name=call.__name__)
    with no_grad():
        made = call(*args, **kwargs)
    results = made if isinstance(made, tuple) else (made,)
    kernel = getattr(getattr(call, "operator", None), "stored_by", None)
    for target, result in zip(targets, results, strict=True):
        if kernel and isinstance(target, Tensor) and not can_cast(result.dtype, target.dtype):
            raise TypeError(
                f"torch.{kernel}(): input types can't be cast to the desired output type {target.dtype.abbr} "
                f"(from {result.dtype.abbr})"
            )
        _tell_resized(target, result)
        store(target, result)
    if isinstance(out, Tensor):
        return out
    return written_type(type(made))(*targets) if hasattr(made, "_fields") else type(out)(targets)


def _tell_resized(target: Any, result: Any) -> None:
    if isinstance(target, Tensor) and isinstance(result, Tensor) and target.shape != result.shape and target.numel():
        warn(
            f"An output with one or more elements was resized since it had shape {list(target.shape)}, which does not match "
            f"the required output shape {list(result.shape)}. Give one of that shape, or an empty one (t.resize_(0))."
        )


def store(target: Tensor, result: Tensor) -> None:
    """Put a result into an `out=` tensor, which takes its shape; RuntimeError if the dtypes do not go together."""
    if not isinstance(target, Tensor):
        raise TypeError(f"out must be a Tensor, not {type(target).__name__}")
    if target is result:
        return
    if (target.device.type == "meta") != (result.device.type == "meta"):
        raise RuntimeError(
            f"Attempting to copy from device {result.device} to device {target.device}, but cross-device copies are not "
            "allowed!"
        )
    if target.shape != result.shape:
        fitted = wrap(fit(result._array, result.shape, target._np_dtype))
        target._repoint(fitted)
    else:
        target._write(fit(result._array, result.shape, target._np_dtype))

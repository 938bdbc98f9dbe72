"""The short way to a program: one look at arguments that are all whole tensors off the tape, each with its own memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.array import devices, dtypes
from ..core.context.grad_mode import state as grad_state
from ..core.tensor.storage import Storage
from ..core.tensor.tensor import Tensor
from .conditions import Conditions
from .guards.reads import written
from .stance import stance


def takes(args: Any) -> bool:
    """Whether all arguments are of that kind."""
    plain = all(type(a) is Tensor and a._view is None and a._edge is None and a._base is None for a in args)
    return plain and len({a._storage for a in args}) == len(args)


def look(args: Any, modes: tuple[Any, ...], conditions: Conditions) -> Callable[[Any], bool]:
    """A function of a call's arguments that says whether they are of that kind and of these shapes and dtypes, in these modes
    (see `held_for`), and whether a program's conditions hold for them.
    """
    names: dict[str, Any] = {
        "Storage": Storage, "Tensor": Tensor, "conditions": conditions, "dtypes": dtypes, "len": len, "stance": stance, "state": grad_state,
        "type": type,
    }  # fmt: skip
    names["grad"], names["default"], names["autocast"], names["inference"], names["device"] = modes
    names["devices"] = devices._stack
    terms = [
        f"len(args) == {len(args)}",
        "state.trace is None",
        "not state.transforms",
        "not state.uncompiled",
        "state.grad is grad",
        "dtypes._default is default",
        "state.inference is inference",
        "devices[-1] is device",
        "not state.watchers",  # an anomaly detector is among them
        "stance.value == 'default'",
        "not state.around" if modes[2] is None
        else "state._autocast is autocast and not (state.modes or state.dispatch_modes or state._observer)",
    ]  # fmt: skip
    for i, arg in enumerate(args):
        storage = arg._storage
        names[f"shape{i}"], names[f"dtype{i}"] = storage.shape, storage.dtype
        names[f"aval{i}"] = storage.value.aval if type(storage) is Storage else None
        terms += [
            f"type(a := args[{i}]) is Tensor and a._view is None and a._edge is None and a._base is None",
            # without sending it to the device
            f"((seen := s{i}.value.aval if type(s{i} := a._storage) is Storage else s{i}) is aval{i} "
            f"or seen.shape == shape{i} and seen.dtype == dtype{i})",
        ]
    if len(args) == 2:
        terms.append("s0 is not s1")
    elif len(args) > 2:
        terms.append(f"len({{{', '.join(f's{i}' for i in range(len(args)))}}}) == {len(args)}")
    if conditions.reads.outcomes:
        terms.append("conditions.broken_by(args, args) is None")
    else:
        terms.append("(conditions.quick(args) or conditions.broken_by(args, args) is None)")
    return written(terms, names, "args")

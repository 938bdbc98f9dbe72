"""The short way to a program: one look at arguments that are all whole tensors off the tape, each with its own memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.array import devices, dtypes
from ..core.context.grad_mode import state as grad_state
from ..core.tape import taking
from ..core.tensor.storage import Storage
from ..core.tensor.tensor import Tensor
from .conditions import Conditions
from .guards.looks import Kind, Look, Names, Term, of_thread, written
from .stance import stance


def takes(args: Any) -> bool:
    """Whether all arguments are of that kind."""
    plain = all(type(a) is Tensor and a._view is None and a._edge is None and a._base is None for a in args)
    return plain and len({a._storage for a in args}) == len(args)


def look(args: Any, modes: tuple[Any, ...], conditions: Conditions) -> Callable[[Any], bool]:
    """A function of a call's arguments that says whether they are of that kind and of these shapes and dtypes, in these modes
    (see `held_for`), and whether a program's conditions hold for them.
    """
    names = Names(Storage=Storage, Tensor=Tensor, conditions=conditions, state=grad_state)
    grad, default, autocast, inference, device, asked = modes
    wanted = {
        "trace": None, "transforms": None, "uncompiled": False, "grad": grad, "inference": inference,
        "watchers": (),  # an anomaly detector is among them
    }  # fmt: skip
    if autocast is None:
        wanted["around"] = False
    terms: list[Term] = [
        of_thread(grad_state, wanted),
        Look(Kind.ENTRY, vars(dtypes), "_default", default),
        Look(Kind.ENTRY, vars(taking), "asked", asked),
        Look(Kind.ITEM, devices._stack, -1, device),
        Look(Kind.ATTRIBUTE, stance, "value", "default"),
        f"len(args) == {len(args)}",
    ]
    if autocast is not None:
        terms.append(f"state._autocast is {names.name(autocast)}")
        terms.append("not (state.modes or state.dispatch_modes or state._observer)")
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

"""Programs of small arrays that the host runs itself (`array/small.py`), once they have been called for a while.

As with `at_once.py` that is for calls that nobody records, traces or watches, and the results lie in NumPy's memory until a program of XLA's
asks for them. Nothing has to be declared for it: what the kernel can't do is found out by a look at the program, once.
"""

from __future__ import annotations

from math import prod
from sys import getrefcount
from threading import active_count
from typing import Any

import jax
import numpy as np
from jax._src.array import ArrayImpl

from ...native import opened
from ...native.small import functions
from ...runtime import config
from ..array import geometry
from ..array.by_numpy import Refused
from ..array.geometry import Geometry, contiguous_strides
from ..array.small import NEVER, Small, written
from ..context.grad_mode import state
from ..context.overrides import plain
from ..tape.programs import Program
from ..tensor.storage import HostStorage, Storage
from ..tensor.tensor import Tensor
from . import at_once
from .at_once import MOST, made, memory
from .declared import Operator
from .signature import numbers_held

_A_WHILE = 500  # calls after which a program is tried again that was called with large arrays, say
_FOR_EVER = 1 << 62
_PAID = 16  # what it counts for at most that results stayed here


def run(op: Operator, program: Program, asks: bool, dynamic: Any) -> Any:
    """The results of a call, in tensors; None where XLA's program is to give them."""
    programs = program.small[asks]
    if state.around or state.trace is not None or state.transforms is not None:
        return None
    if programs is None:
        programs = _begun(program, asks)
        if programs is None:
            return None
    found = functions.run(programs, dynamic if type(dynamic) is tuple else tuple(dynamic), state.grad or None)
    if found is None:
        return None
    if type(found) is np.ndarray:
        if program.balance < _PAID:
            program.balance += 1
        tensor = made(found)
        tensor._storage.maker = program
        return tensor
    if type(found) is int:
        if found < 0:
            program.rests = _A_WHILE
            return None
        _look(program, programs, asks, found, tuple(dynamic))
        return None
    return op.returns(*map(made, found)) if op.returns else tuple(map(made, found))


def put(storage: Storage, g: Geometry, value: Any) -> bool:
    """Write a number, or a tensor of the dtype and the size of what `g` shows, into a part of a storage; False where a program has to do it.

    Values that nobody else holds in NumPy's memory are written over; others are copied first, if there are not many.
    """
    if not (functions.at_hand or _found()) or type(g.offset) is not int or 0 in g.shape or geometry.overlaps(g):
        return False
    kind = type(storage)
    if kind is HostStorage:
        array = storage.host
        if array is None:  # another thread was here
            return False
        over = getrefcount(array) <= _HOLDERS and active_count() == 1
        few = array.size <= MOST
    elif kind is Storage:
        array = storage.value
        if type(array) is not ArrayImpl:
            return False
        over, few = False, prod(array.aval.shape) <= MOST
    else:
        return False
    if not (over or few) or (kind is Storage and _turns.get(id(storage), 0) > _MOST_TURNS):
        return False
    copy = None if over else np.empty(array.shape, array.dtype)
    if type(value) is not Tensor:
        done = functions.write(array, g.offset, g.shape, g.strides, value, copy)
    else:
        found = memory(value)
        if found is None or found[0].dtype != array.dtype or prod(found[2]) != prod(g.shape):
            return False
        done = functions.write(array, g.offset, g.shape, g.strides, None, copy, found[0], found[1])
    if not done:
        return False
    if copy is None:
        storage.touch()
        if _turns and (turns := _turns.get(id(storage), 0)):
            _turns[id(storage)] = turns - 1
    else:
        if kind is Storage:
            if len(_turns) > _MANY:
                _turns.clear()
            _turns[id(storage)] = _turns.get(id(storage), 0) + 1
        storage.set_host(copy)
    return True


# How often storages went back to NumPy's memory for a write, less the writes that found them there. Where programs read them between any two writes,
# handing over costs more than the writes by a program.
_turns: dict[int, int] = {}
_MOST_TURNS = 4
_MANY = 256


def _held(storage: Any) -> int:
    array = storage.host
    return getrefcount(array)


_one = object.__new__(HostStorage)
_one.host = np.zeros(1)
_HOLDERS: int = _held(_one)


def _begun(program: Program, asks: bool) -> Any:
    """What holds a function's programs; None while, or if, the kernel is not there."""
    if not functions.at_hand and not _found():
        program.rests = _FOR_EVER if opened() else 0
        return None
    program.small[asks] = functions.programs()
    return program.small[asks]


def _found() -> bool:
    """Whether the kernel is there, once there was reason to load it."""
    return at_once.functions.found() and config.computes_first_calls() and functions.look(plain, Storage, HostStorage)


def _look(program: Program, programs: Any, asks: bool, number: int, dynamic: tuple[Any, ...]) -> None:
    """See whether the kernel can run a program that is called for often."""
    try:
        told = _told(program, dynamic)
    except Refused as error:
        functions.enter(programs, number)
        if str(error) in NEVER:
            program.rests = _FOR_EVER
        return
    except Exception:  # whatever it is, XLA's program has been doing it
        functions.enter(programs, number)
        return
    functions.enter(programs, number, *told)


def _told(program: Program, dynamic: tuple[Any, ...]) -> Small:
    arrays = [v._array if isinstance(v, Tensor) else numbers_held.array(v) for v in dynamic]
    closed, shapes = jax.make_jaxpr(program.function, return_shape=True)(*arrays)
    several = type(shapes) is tuple
    if several and (len(shapes) < 2 or any(isinstance(s, (tuple, list)) for s in shapes)):
        raise Refused("results in another form")
    return written(closed, [_strides(v) for v in dynamic])


def _strides(value: Any) -> tuple[int, ...]:
    if not isinstance(value, Tensor):
        return ()
    return contiguous_strides(value._storage.shape) if value._view is None else value._view.strides

"""Programs of small arrays that the host runs itself (`array/small.py`), once they have been called for a while.

As with `at_once.py` that is for calls that nobody records, traces or watches, and the results lie in NumPy's memory until a program of XLA's
asks for them. Nothing has to be declared for it: what the kernel can't do is found out by a look at the program, once.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ...native import opened
from ...native.small import functions
from ...runtime import config
from ..array.by_numpy import Refused
from ..array.geometry import contiguous_strides
from ..array.small import NEVER, Small, written
from ..context.grad_mode import state
from ..context.overrides import plain
from ..tape.nodes import Program
from ..tensor.storage import HostStorage, Storage
from ..tensor.tensor import Tensor
from .at_once import made
from .declared import Operator
from .signature import numbers_held

_A_WHILE = 500  # calls after which a program is tried again that was called with large arrays, say
_FOR_EVER = 1 << 62


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
        return made(found)
    if type(found) is int:
        if found < 0:
            program.rests = _A_WHILE
            return None
        _look(program, programs, asks, found, tuple(dynamic))
        return None
    return op.returns(*map(made, found)) if op.returns else tuple(map(made, found))


def _begun(program: Program, asks: bool) -> Any:
    """What holds a function's programs; None while, or if, the kernel is not there."""
    if not functions.at_hand:
        if not opened():
            return None
        if not config.computes_first_calls() or not functions.look(plain, Storage, HostStorage):
            program.rests = _FOR_EVER
            return None
    program.small[asks] = functions.programs()
    return program.small[asks]


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

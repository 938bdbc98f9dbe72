"""What a process that was forked after XLA was used may still do: all but compute.

`os.fork()` copies the memory but not XLA's threads, so whoever waits for one of them would wait for ever. In such a
child everything that reaches XLA raises RuntimeError instead. Values that are in the host's memory can be read. Nothing
is asked on the usual path: the child replaces the doors to XLA.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import warnings
from typing import Any, NoReturn

import jax
import numpy as np

from ...native import small
from ...native.at_once import functions
from ..array import devices, geometry
from . import storage

REFUSED = (
    "Cannot re-initialize XLA in forked subprocess. To compute with tensors in it, you must use the 'spawn' (or "
    "'forkserver') start method: multiprocessing.get_context('spawn'), ProcessPoolExecutor(mp_context=...), "
    "DataLoader(multiprocessing_context=...). This process was forked after its parent had computed something, and has none "
    "of XLA's threads. Reading values that were there (t.numpy()) and working on them with NumPy is fine."
)


def refuse(*args: Any, **kwargs: Any) -> NoReturn:
    """Raise RuntimeError: there is no XLA in a forked process."""
    raise RuntimeError(REFUSED)


class _Refusal:
    """Stands for the setting that JAX looks at before it traces a function."""

    value = property(refuse)


def clients() -> list[Any]:
    """What the parent has started of XLA; the child of one that has not may start its own."""
    from jax._src import xla_bridge

    return list(xla_bridge._backends.values())


class _Memory:
    """A CPU array's memory, for NumPy to look into."""

    def __init__(self, array: jax.Array):
        if any(d.platform != "cpu" for d in array.devices()) or len(array.devices()) != 1:
            refuse()
        self.array = array  # which is kept alive
        order = array.format.layout.major_to_minor  # type: ignore[attr-defined]
        strides, step = [0] * array.ndim, array.dtype.itemsize
        for dim in reversed(order):
            strides[dim] = step
            step *= array.shape[dim]
        self.__array_interface__ = {
            "data": (array.unsafe_buffer_pointer(), True),
            "shape": array.shape,
            "strides": tuple(strides),
            "typestr": f"|V{array.dtype.itemsize}",
            "version": 3,
        }


def _values(array: jax.Array) -> np.ndarray:
    """An array's values; JAX's own way may ask a thread to transpose them."""
    return np.ascontiguousarray(np.asarray(_Memory(array))).view(array.dtype).reshape(array.shape)


class _Held(np.ndarray):
    """Values that NumPy holds. What only JAX's arrays have is asked for by what is about to compute."""

    devices = sharding = at = format = committed = property(refuse)
    addressable_data = addressable_shards = is_fully_addressable = unsafe_buffer_pointer = property(refuse)


def _read(value: Any, g: geometry.Geometry) -> np.ndarray:
    """What `geometry.read` gives, as a look into the host's memory."""
    values = np.asarray(value)
    if g.bits is not None:
        refuse()
    size = values.itemsize
    memory = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    return _Held(g.shape, values.dtype, memory, g.offset * size, [step * size for step in g.strides])


def _read_on_host() -> None:
    """Values that NumPy holds stay there."""
    held = property(lambda self: self.host.view(_Held))
    storage.HostStorage.value = held  # type: ignore[assignment, method-assign, misc]
    storage.SharedStorage.value = held  # type: ignore[assignment, method-assign, misc]
    storage.SharedStorage.read = storage.SharedStorage.view  # type: ignore[method-assign]
    geometry.read = _read  # type: ignore[assignment]
    devices.number_in = lambda array, place=0: None  # NumPy's values are asked as they lie


def _close_doors() -> None:
    if not (held := clients()):
        return
    for client in held:  # which would wait for its threads when it is deleted
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(client))
    _read_on_host()
    functions.at_hand = False  # whose results would be refused at their next use
    small.functions.stop()
    # both are public; the first makes all compiled functions unknown, so that they are looked up anew, and refused
    jax.config.update("jax_no_execution", True)
    jax.config.update("jax_no_tracing", True)
    jax.device_put = refuse
    with contextlib.suppress(ImportError, AttributeError):  # with our words instead of JAX's
        from jax._src import config

        config.no_tracing = _Refusal()  # type: ignore[assignment]
    with contextlib.suppress(ImportError, AttributeError):
        from jax._src.array import ArrayImpl
        from jax._src.interpreters import pxla
        from jax._src.lib import xla_client

        ArrayImpl._value = property(_values)  # type: ignore[assignment,method-assign]
        pxla.batched_device_put = xla_client.batched_device_put = refuse  # type: ignore[assignment]
    with contextlib.suppress(ImportError, AttributeError):  # which wait for threads, too
        from jax._src import api, dispatch

        atexit.unregister(api.clean_up)
        atexit.unregister(dispatch.wait_for_tokens)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_doors)
    # JAX warns that the child may hang, which it can't
    warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called", category=RuntimeWarning)

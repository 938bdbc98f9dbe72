"""Storages: the cells that tensors look into."""

from __future__ import annotations

import gc
import mmap
import sys
import threading
import weakref
from typing import Any

import jax
import numpy as np
from jax._src.array import ArrayImpl

from ...native import reading
from ..array import devices, geometry
from ..array.host_memory import aligned, is_aligned, owner_of
from ..array.meta import MetaArray, is_meta
from ..context.grad_mode import state

# Threads may read a tensor while another one writes it: a logger, or a checkpoint that is being written. Where a storage goes over
# from one class to another, what was read is compared at the end with what is there, and the change is made in lines
# that call nothing and let no array go, between which the interpreter does not turn to another thread. A method may even begin for
# one class and find another: each looks whether what it stands on (`host`, `packed`) is there, and asks the storage anew if not.
# Memory that NumPy shares is under this lock.
_sharing = threading.RLock()


class _Shared:
    """`version` counts how often a storage that was there has gone over to memory that NumPy shares."""

    version = 0


shared = _Shared()


class Storage:
    """A cell with one immutable array. All tensors that share memory share the cell.

    `version` counts the writes, so that a view knows when what it read is out of date.
    """

    __slots__ = ("value", "version", "host", "packed", "pin", "maker", "__weakref__")
    volatile = False  # whether the values can change without a new version
    on_host = False  # whether the values are in NumPy memory
    maker: Any  # the program whose result is still NumPy's, which is told when XLA asks for it (`dispatch/small.py`)
    packed: Any  # where it lies in a pack, of those that do (`compiler/packing.py`)

    def __init__(self, value: Any):
        self.value: Any = value
        self.version: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def dtype(self) -> np.dtype:
        return self.value.dtype

    def read(self, g: geometry.Geometry) -> Any:
        return geometry.read(self.value, g)

    def set(self, value: Any) -> None:
        """Replace the whole value."""
        try:
            self.value = value
        except AttributeError:
            if type(self).set is Storage.set:
                raise
            self.set(value)  # another thread has made it a storage of another class meanwhile
            return
        self.version += 1

    def touch(self) -> None:
        """Count a write that left the value as it is."""
        self.version += 1

    def set_part(self, g: geometry.Geometry, value: Any) -> None:
        """Replace what the geometry shows by a value that broadcasts to its shape."""
        alone = is_alone_with_value(self)  # before the call below holds the array, too
        self.set(geometry.write(self.value, g, value, over=alone))

    def set_host(self, values: np.ndarray) -> None:
        """Replace the whole value by NumPy values that nobody else holds. They go to the device when first read."""
        if cut_over(self) is not None:
            self.set(put_for(self, values, None, True))
            return
        if self.__class__.set_host is not Storage.set_host:  # another thread has made it a storage of another class
            self.set_host(values)
            return
        before = self.value  # is let go at the end: an array that goes may let other threads run
        self.value = None
        self.__class__ = HostStorage  # type: ignore[assignment]
        self.host: np.ndarray = values
        self.version += 1
        del before

    def share_with(self, array: np.ndarray | None = None) -> np.ndarray:
        """From now on, hold the values in NumPy memory (`array`, or a copy of the value) and return it.

        A write from either side is seen by the other, as PyTorch's shared memory has it. When nobody else holds the
        memory any more, the storage goes back to an immutable array.
        """
        with _sharing:
            if array is None:
                return self._share_a_copy()
            view = array.view()  # an object of our own, so that the owner's reference count tells of the others
            self.value  # noqa: B018 (which takes it out of a compiled program's pack)
            self.host = view
            self.__class__ = SharedStorage  # type: ignore[assignment]
            return array

    def _share_a_copy(self) -> np.ndarray:
        while True:
            held: Any = self.host if self.on_host else self.value  # which makes an ordinary storage of others
            value = np.asarray(held)
            array = aligned(value.nbytes).view(value.dtype).reshape(value.shape)
            array[...] = value
            view = array.view()
            if held is (self.host if self.__class__.on_host else self.value):  # `type(self)` would be a call
                self.host = view
                self.__class__ = SharedStorage  # type: ignore[assignment]
                shared.version += 1
                _values.__set__(self, None)
                return array

    def in_numpy(self) -> np.ndarray:
        """The NumPy memory that holds the values from now on, for somebody who may write into it; the values go there if need be."""
        with _sharing:
            return self.host.view() if self.volatile else self.share_with()  # `host` itself would not be counted

    def share_between_processes(self) -> None:
        """From now on, hold the values in memory that processes forked later have too: a write in one is seen in all."""
        if self in _between_processes:
            return
        value = self.host if self.on_host else np.asarray(self.value)
        memory = np.frombuffer(mmap.mmap(-1, max(value.nbytes, 1)), np.uint8)[: value.nbytes]
        array = memory.view(value.dtype).reshape(value.shape)
        array[...] = value
        self.share_with(array)
        shared.version += 1
        _between_processes[self] = array  # a holder, so that it stays there


def _holders_of_value(storage: Storage) -> int:
    return sys.getrefcount(storage.value)


def is_alone_with_value(storage: Storage) -> bool:
    """Whether nobody else has the storage's array, neither in another place (the tape, a clone, NumPy) nor in another thread, which
    may be about to read it.
    """
    return is_only_holder(storage) and threading.active_count() == 1


def is_only_holder(storage: Storage) -> bool:
    """The same, of this thread alone."""
    return type(storage) is Storage and _holders_of_value(storage) <= _HOLDERS and not devices.is_lent(storage.value)


_HOLDERS: int = _holders_of_value(Storage(object()))


_values: Any = Storage.__dict__["value"]


class Kept:
    """A storage on its way through `copy`, which keeps it, or through `pickle`, which copies it for every tensor."""

    def __init__(self, storage: Storage):
        self.storage = storage

    def __reduce__(self) -> Any:
        if state.trace is not None:
            raise RuntimeError("a tensor cannot be pickled inside a compiled function, which has no values yet")
        value = self.storage.value
        if is_meta(value):
            return _unpickled_meta, (value.shape, value.dtype)
        # in a forked process the values are NumPy's
        where = devices.CPU if isinstance(value, np.ndarray) else devices.from_jax(next(iter(value.devices())))
        return _unpickled, (np.array(value), str(where))


def _unpickled(values: np.ndarray, where: str) -> Kept:
    return Kept(Storage(jax.device_put(values, devices.to_jax(devices.device(where)))))


def _unpickled_meta(shape: tuple[int, ...], dtype: np.dtype) -> Kept:
    return Kept(Storage(MetaArray(shape, dtype)))


_between_processes: weakref.WeakKeyDictionary[Storage, np.ndarray] = weakref.WeakKeyDictionary()


def is_between_processes(storage: Storage) -> bool:
    """Whether forked processes share the values."""
    return storage in _between_processes


class DetachedStorage(Storage):
    """The memory of another storage, while a function is differentiated by JAX: what is read there is a constant.

    What is written gives the memory new values, while the derivative of the old ones stays; read through here again, it has
    its own derivative.
    """

    __slots__ = ("held", "seen", "source")

    def __init__(self, source: Storage):
        self.source: Storage = source
        self.held: Any = None
        self.seen: int = -1

    @property
    def value(self) -> Any:  # type: ignore[override]
        if self.seen != self.source.version or self.source.volatile:
            self.held, self.seen = jax.lax.stop_gradient(self.source.value), self.source.version
        return self.held

    @property
    def version(self) -> int:  # type: ignore[override]
        return self.source.version

    def touch(self) -> None:
        self.source.touch()

    def set(self, value: Any) -> None:
        self.source.set(_with_derivative_of(value, self.source.value))
        self.held = value
        self.seen = self.source.version

    def set_host(self, values: np.ndarray) -> None:
        self.set(jax.device_put(values))

    def share_with(self, array: np.ndarray | None = None) -> np.ndarray:
        return self.source.share_with(array)


@jax.custom_jvp
def _with_derivative_of(value: Any, other: Any) -> Any:
    return value


_with_derivative_of.defjvp(lambda values, directions: (values[0], directions[1]))


class _OtherStorage(Storage):
    """A storage whose values are no array of JAX's, but what `host` holds."""

    __slots__ = ()

    @property
    def shape(self) -> tuple[int, ...]:
        host = self.host
        return self.shape if host is None else host.shape  # None: another thread has made an ordinary storage of it

    @property
    def dtype(self) -> np.dtype:
        host = self.host
        return self.dtype if host is None else host.dtype


class _NumPyStorage(_OtherStorage):
    """A storage whose values lie in NumPy memory, `host`."""

    __slots__ = ()
    on_host = True


class HostStorage(_NumPyStorage):
    """A CPU storage whose values are still NumPy's. The first read makes it an ordinary one.

    Layers are made of values that are filled two or three times before anything is computed with them; this saves the
    trips to the device.
    """

    __slots__ = ()

    @property
    def value(self) -> Any:  # type: ignore[override]
        host = self.host
        if host is None:  # another thread was here first
            return self.value
        value = devices.from_numpy(host, devices.to_jax(devices.CPU))
        if self.host is not host or self.__class__ is not HostStorage:
            return self.value
        self.__class__ = Storage  # type: ignore[assignment]
        self.value = value  # type: ignore[misc]
        self.host = None  # type: ignore[assignment]
        if (maker := getattr(self, "maker", None)) is not None:
            self.maker = None
            maker.handed_over()
        return value

    def set(self, value: Any) -> None:
        if self.__class__ is not HostStorage:  # another thread was here first
            self.set(value)
            return
        host = self.host
        self.__class__ = Storage  # type: ignore[assignment]
        self.value = value  # type: ignore[misc]
        self.version += 1
        self.host = None  # type: ignore[assignment]
        del host

    def set_host(self, values: np.ndarray) -> None:
        before = self.host
        if self.__class__ is not HostStorage:  # another thread was here first
            self.set_host(values)
            return
        self.host = values
        self.version += 1
        del before  # see `Storage.set_host`


class SharedStorage(_NumPyStorage):
    """A storage whose values lie in NumPy memory that others hold too. Every read is a fresh copy."""

    __slots__ = ()
    volatile = True

    @property
    def value(self) -> Any:  # type: ignore[override]
        with _sharing:
            return self._settled() if self.volatile else self.value  # another thread may have been here

    def _settled(self) -> Any:
        host = self.host
        alone = _alone(self)
        # memory of our own becomes the array; what is a part of other memory, or lies askew, is copied
        whole = alone and id(owner_of(host)) not in _windows and is_aligned(host)
        value = devices.from_numpy(host.view() if whole else host.copy(), devices.to_jax(devices.CPU))
        if alone:
            self.__class__ = Storage  # type: ignore[assignment]
            self.value = value  # type: ignore[misc]
            self.host: Any = None  # type: ignore[assignment]
            self.version += 1
            if whole:
                self.pin: Any = (host, weakref.ref(value))
        return value

    def read(self, g: geometry.Geometry) -> Any:
        with _sharing:
            if not self.volatile or not self.host.flags.c_contiguous:
                return geometry.read(self.value, g)
            return devices.from_numpy(self.view(g).copy())

    def view(self, g: geometry.Geometry) -> np.ndarray:
        """The NumPy array that shows the same elements, sharing the memory."""
        flat = self.host.reshape(-1)
        if g.bits is not None and g.bits != flat.dtype:
            flat = flat.view(np.uint8)[: flat.nbytes // g.bits.itemsize * g.bits.itemsize].view(g.bits)
        size = flat.itemsize
        flat = flat[g.offset :] if g.numel else flat
        dtype = flat.dtype
        if dtype.isbuiltin != 1:  # NumPy itself can't read the name that float8_e5m2 has for it ("<f1")
            flat = flat.view(f"V{size}")
        return np.lib.stride_tricks.as_strided(flat, g.shape, [s * size for s in g.strides]).view(dtype)

    def set(self, value: Any) -> None:
        with _sharing:
            if self.volatile:
                self.host[...] = np.asarray(value)
                self.version += 1
            else:
                self.set(value)

    set_host = set  # type: ignore[assignment]

    def set_part(self, g: geometry.Geometry, value: Any) -> None:
        with _sharing:
            if not self.volatile:
                self.set_part(g, value)
            elif geometry.overlaps(g) or not self.host.flags.c_contiguous:
                whole = geometry.write(self.value, g, value)
                self.set(whole)  # of whatever class the storage is now
            else:
                self.view(g)[...] = np.asarray(value)
                self.version += 1


class LaidStorage(Storage):
    """A storage whose values are cut, or repeated, over several devices, and stay so whatever is written. `host` says how."""

    __slots__ = ()

    def set(self, value: Any) -> None:
        self.value: Any = value if isinstance(value, jax.core.Tracer) else self.as_laid(value)
        self.version += 1

    def as_laid(self, value: Any) -> Any:
        """Values of the same shape, a gradient, cut as those here are; also traced ones."""
        if isinstance(value, jax.core.Tracer):
            return jax.lax.with_sharding_constraint(value, self.host)
        return (
            value if type(value) is not MetaArray and value.sharding == self.host else devices.spread(value, self.host)
        )

    def set_host(self, values: np.ndarray) -> None:
        self.set(devices.spread(values, self.host))

    def share_with(self, array: np.ndarray | None = None) -> np.ndarray:
        raise RuntimeError(
            ".numpy() is not supported for tensor subclasses. This one lies on several devices, and no memory holds all of it: write "
            "tensor.full_tensor().detach().numpy()"
        )


def laid(value: Any, sharding: Any) -> LaidStorage:
    """A storage that keeps its values as this sharding has them."""
    made = LaidStorage(devices.spread(value, sharding))
    made.host = sharding
    return made


class PartsStorage(_OtherStorage):
    """A storage whose values lie in parts that JAX has no array for: of unequal lengths, or still to be added up. `host` is the
    parts (see `distributed/tensor/parts.py`); `value` is the whole, which all processes put together at once.
    """

    __slots__ = ()

    def __init__(self, parts: Any):
        self.host: Any = parts
        self.version = 0

    @property
    def value(self) -> Any:  # type: ignore[override]
        return self.host.whole()

    def set(self, value: Any) -> None:
        parts = self.host.cut(value)
        if parts is None:  # sums that are written to are sums no more
            self.__class__ = Storage  # type: ignore[assignment]
            self.value: Any = value  # type: ignore[misc]
            self.host = None
        else:
            self.host = parts
        self.version += 1

    def set_host(self, values: np.ndarray) -> None:
        self.set(values if self.host.keeps else devices.spread(values, self.host.sharding))

    def set_part_held(self, value: Any) -> None:
        """Other values in this process's part. All processes do it."""
        self.host = self.host.with_one(value)
        self.version += 1

    def beside(self, value: Any) -> Storage:
        """Other values of the same shape, a gradient, cut as those here are."""
        parts = self.host.cut(value)
        return Storage(value) if parts is None else PartsStorage(parts)

    share_with = LaidStorage.share_with


def is_traced(storage: Storage) -> bool:
    """Whether the value is one that a trace has made. Parts are not put together to know it."""
    return type(storage) is not PartsStorage and isinstance(storage.value, jax.core.Tracer)


def as_held(storage: Storage) -> Any:
    """What this process holds of it: the parts, where there are some, or the value."""
    return storage.host if type(storage) is PartsStorage else storage.value


def cut_over(storage: Storage) -> Any:
    """How the values are cut, or repeated, over several devices (a NamedSharding); None for those that are on one device."""
    if type(storage) is LaidStorage:
        return storage.host
    if type(storage) is PartsStorage:
        return storage.host.sharding
    value = storage.value if type(storage) is Storage else None
    sharding = value.sharding if isinstance(value, ArrayImpl) else None
    return sharding if isinstance(sharding, jax.sharding.NamedSharding) and sharding.num_devices > 1 else None


def copy_of_parts(storage: Storage) -> PartsStorage | None:
    """A storage of its own with the same parts; None for one whose values are no parts."""
    return PartsStorage(storage.host.twin()) if type(storage) is PartsStorage else None


def is_far(storage: Storage) -> bool:
    """Whether other processes have a part of it, too."""
    cut = cut_over(storage)
    return cut is not None and devices.is_far(cut)


def put_for(storage: Storage, values: np.ndarray, where: Any, all_of_it: bool) -> Any:
    """Values that are to be written to a storage, or to a part of it: cut as it is, or on this device."""
    cut = cut_over(storage) if type(values) is np.ndarray else None
    if cut is None:
        return devices.put(values, where)
    return devices.spread(
        values, cut if all_of_it else jax.sharding.NamedSharding(cut.mesh, jax.sharding.PartitionSpec())
    )


def laid_beside(storage: Storage, values: Any) -> Storage | None:
    """Values of a storage's shape, cut as its own; None for one that lies on one device."""
    if type(storage) is PartsStorage and (parts := storage.host.cut(values)) is not None:
        return PartsStorage(parts)
    cut = cut_over(storage)
    return None if cut is None else laid(values, cut)


class ByteStorage(SharedStorage):
    """Bytes that have no dtype yet. All that look into it say as what they read its bits."""

    __slots__ = ()

    def take_dtype(self, dtype: np.dtype) -> None:
        """Be elements of this dtype from now on, if there is a whole number of them."""
        if self.host.nbytes % dtype.itemsize == 0 and dtype.kind != "b":
            self.host = self.host.view(dtype)


def from_bytes(memory: np.ndarray) -> ByteStorage:
    """A storage over bytes, which others may hold too."""
    made = object.__new__(ByteStorage)
    made.host = memory.view()
    made.version = 0
    return made


# id(memory) -> the storages that look into parts of it. Parts that do not overlap are not each other's holders.
_windows: dict[int, list[weakref.ref[Storage]]] = {}
_private: set[int] = set()  # id(memory) that lies in a buffer which nobody else has


def own(memory: np.ndarray) -> np.ndarray:
    """`memory`, a look into a buffer that nobody else will have."""
    _private.add(id(memory))
    weakref.finalize(memory, _private.discard, id(memory))
    return memory


def _windows_of(memory: np.ndarray) -> list[weakref.ref[Storage]]:
    owner = owner_of(memory)
    found = _windows.get(id(owner))
    if found is None:
        found = _windows[id(owner)] = []
        weakref.finalize(owner, _windows.pop, id(owner), None)
    return found


def window(storage: Storage, start: int, stop: int) -> ByteStorage:
    """A storage over some bytes of another one on the CPU: a write to either is seen by the other."""
    if not storage.volatile:
        storage.share_with()
    known = _windows_of(storage.host)
    if not any(ref() is storage for ref in known):
        known.append(weakref.ref(storage))
    made = from_bytes(storage.host.reshape(-1).view(np.uint8)[start:stop])
    known[:] = [ref for ref in known if ref() is not None]
    known.append(weakref.ref(made))
    return made


def address(storage: Storage) -> int:
    """Where the values are in memory, in row-major order. It holds until the storage gets new values.

    The memory is the storage's own: the immutable array of a storage may be another one's too (a clone's), and whoever
    has the address may write there. It is kept for the storage's new values, so that its address stays if nobody else,
    such as the tape, holds the old ones.
    """
    if storage.dtype.kind in "iu":  # a compiled call is not to take indices for what they were
        reading.functions.know_addresses()
    if storage.volatile:
        return storage.host.ctypes.data
    if cut_over(storage) is not None:
        raise RuntimeError(
            "data_ptr(): the tensor lies on several devices, and no memory holds all of it: full_tensor()"
        )
    value = storage.value
    pin = getattr(storage, "pin", None)
    if pin is not None and pin[1]() is value:
        return value.unsafe_buffer_pointer()
    if next(iter(value.devices())).platform != "cpu":
        storage.value = value = jax.numpy.array(value, copy=True)
        storage.pin = (None, weakref.ref(value))  # type: ignore[attr-defined]
        return value.unsafe_buffer_pointer()
    memory = None if pin is None else pin[0]
    if pin is not None and pin[1]() is None:
        gc.collect(0)  # JAX lets go of a dead array's memory then
    if memory is None or memory.nbytes != value.nbytes or _holders(memory) > _HOLDERS_ALONE:
        memory = aligned(value.nbytes)
    typed = memory.reshape(-1).view(np.uint8).view(value.dtype).reshape(value.shape)
    typed[...] = np.asarray(value)
    storage.value = own = jax.device_put(typed, value.sharding if value.committed else None)
    storage.pin = (memory, weakref.ref(own))  # type: ignore[attr-defined]
    return own.unsafe_buffer_pointer()


def _holders(view: np.ndarray) -> int:
    """How many references the memory's owner has; as many as there can be if the owner is no array of ours."""
    owner = owner_of(view)
    return sys.maxsize if owner.base is not None and id(owner) not in _private else sys.getrefcount(owner)


_HOLDERS_ALONE = _holders(np.zeros(1).view())


def _alone(storage: SharedStorage) -> bool:
    """Whether nobody else can see these bytes."""
    host, others = storage.host, 0
    start, stop = np.lib.array_utils.byte_bounds(host)
    for ref in _windows.get(id(owner_of(host)), ()):
        other = ref()
        if other is not None and other is not storage and other.volatile:
            first, last = np.lib.array_utils.byte_bounds(other.host)
            if first < stop and start < last:
                return False
            others += 1
    return _holders(host) <= _HOLDERS_ALONE + others

"""`Tensor`: what it is (a look into a storage, a place on the tape). What it can compute is attached by `ops/`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import jax
import numpy as np

from ..array import devices, dtypes, geometry
from ..array.devices import device
from ..array.dtypes import dtype
from ..array.geometry import Geometry
from ..array.owned import OwnedArray
from ..array.size import Size, constructed, counted, legacy_arguments
from ..context import overrides
from ..context.grad_mode import state as grad_state
from ..context.tracing import structure
from ..tape import taking
from ..tape.nodes import NOBODY, AccumulateGrad, CopySlices, Edge, Unrelated, ViewNode, hooked, is_differentiable, shown
from ..tape.places import Look, seen_from
from .declared import DeclaredStorage, no_view_anew
from .repointing import refuse_other_kinds
from .storage import DetachedStorage, HostStorage, PartsStorage, Storage, put_for

_new = object.__new__


@overrides.never_asked
class Tensor:
    """A multi-dimensional array of one dtype on one device, with PyTorch's methods. Several may look into one memory (views).

    `torch.tensor` makes one in the data's dtype; `Tensor(2, 3)`, uninitialised, and `Tensor([1, 2])` have the default one."""

    # `_storage` is the cell with the values, `_view` how to look into it (None: all of it in its own shape), `_edge` the place on
    # the tape; a view has a `_base` and takes its edge anew when that has changed; `_refusal` is what to say if it is written to.
    # An instance's `__dict__` is the user's. Whoever makes one by `object.__new__` sets every slot: see `blank`.
    __slots__ = (
        "_storage", "_view", "_base", "_edge", "_edge_version", "_cache", "_cache_version", "_grad", "_keeper",
        "_refusal", "_frozen",
        "__dict__", "__weakref__",
    )  # fmt: skip
    __array_priority__ = 1000
    __hash__ = object.__hash__  # __eq__ is elementwise

    if (
        TYPE_CHECKING
    ):  # `typing.get_type_hints` would look for these names in the module that the class is said to be of
        _storage: Storage
        _view: Geometry | None
        _base: Tensor | None
        _edge: Edge | None
        _edge_version: int  # of a base: how often its edge was replaced; of a view: at which of these its edge was made
        _cache: Any
        _cache_version: int
        _grad: Tensor | None
        _keeper: Any  # the hook that `retain_grad` has put on the edge
        _refusal: str | None
        _frozen: AccumulateGrad | None

        # the operators attach themselves when they are declared, which no type checker can follow

        def __getattr__(self, name: str) -> Any: ...

        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = cast(Any, None)
        __floordiv__ = __mod__ = __pow__ = __rpow__ = __matmul__ = __neg__ = __invert__ = __and__ = cast(Any, None)
        __or__ = __xor__ = __lt__ = __le__ = __gt__ = __ge__ = __getitem__ = __setitem__ = cast(Any, None)
        __len__ = __iter__ = __bool__ = __int__ = __float__ = __index__ = cast(Any, None)

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """`Tensor(2, 3)` is uninitialised, `Tensor([1, 2])` holds the data, both in the default dtype."""
        if cls is not Tensor:
            check_subclass(cls)
        return _legacy(cls, args, kwargs)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What a subclass makes of a call, unless it says otherwise: plain tensors' result, as its own class.

        NotImplemented if there is an argument of another, unrelated class.
        """
        if not all(issubclass(cls, kind) for kind in types):
            return NotImplemented
        overrides.refuse_pytorchs(func)  # which would ask us again
        with overrides.no_subclasses():
            result = func(*args, **(kwargs or {}))
        if cls in overrides.dispatching or getattr(func, "__self__", None) is Tensor.__dict__["grad"]:
            return result
        return _as_class(result, cls)

    __torch_dispatch__: Any = overrides.dispatch_disabled

    @staticmethod
    def _make_subclass(cls: type, data: Tensor, require_grad: bool = False) -> Any:
        """An instance of `cls` that shares `data`'s memory and is a leaf of its own on the tape."""
        if (got := type(require_grad)) is not bool:
            raise TypeError(f"_make_subclass(): argument 'require_grad' (position 3) must be bool, not {got.__name__}")
        if require_grad and not is_differentiable(data._np_dtype):
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        check_subclass(cls)
        made = blank(cls, data._storage, data._view)
        if require_grad:
            made._require_grad(True)
        return made

    # --- values ---------------------------------------------------------------------------------------------------

    @property
    def _array(self) -> Any:
        """The current values as an immutable jax.Array."""
        trace = grad_state.trace
        if trace is not None:
            whole = trace.read(self)
            return whole if self._view is None else geometry.read(whole, self._view)
        storage = self._storage
        if self._view is None:
            return storage.value
        if storage.volatile:
            return OwnedArray.of(self) if type(storage) is DeclaredStorage else storage.read(self._view)
        version = storage.version  # before it is read: another thread may write meanwhile
        if self._cache_version != version:
            array = storage.read(self._view)
            if isinstance(array, jax.core.Tracer):
                return array
            self._cache = array
            self._cache_version = version
            return array
        return self._cache

    @property
    def _geometry(self) -> Geometry:
        return self._view or geometry.whole(self._storage.shape)

    def _write(self, array: Any) -> None:
        """Replace the values in place (same shape and dtype); the tape is not told."""
        if grad_state.transforms:
            grad_state.transforms.before_write(self)
        trace = grad_state.trace
        if trace is not None:
            whole = array if self._view is None else geometry.write(trace.read(self), self._view, array)
            trace.write(self._storage, whole, self)
        elif self._view is None:
            self._storage.set(array)
        else:
            self._storage.set_part(self._view, array)

    def _fill_host(self, values: np.ndarray, name: str = "") -> None:
        """Replace the values in place by NumPy values that nobody else holds. On the tape, the node is called `name`."""
        before = self._tape_edge() if grad_state.grad else None
        plain = grad_state.trace is None and not grad_state.transforms
        if self._view is None and plain and before is None and self.device.type == "cpu":
            self._storage.set_host(values)
            return
        edge = None if before is None else (Unrelated(name, (before,), ((tuple(self.shape), self._np_dtype),)), 0)
        self._assign(put_for(self._storage, values, devices.to_jax(self.device), self._view is None), edge)

    def _fill_nothing(self, name: str) -> None:
        """What `_fill_host` is for a tensor without values: only the tape and the version learn of it."""
        before = self._tape_edge() if grad_state.grad else None
        edge = None if before is None else (Unrelated(name, (before,), ((tuple(self.shape), self._np_dtype),)), 0)
        self._assign(self._array, edge)

    def _assign(self, array: Any, edge: Edge | None) -> None:
        """Replace the values in place; under autograd, what now has the values' gradient is `edge`."""
        if grad_state.grad:
            if edge is not None and self._refusal is not None:
                raise RuntimeError(self._refusal)
            self._write(array)
            self._set_edge(edge)
        else:
            self._write(array)
            owner = self if self._base is None else self._base
            owner._edge_version += 1

    def _set_edge(self, edge: Edge | None) -> None:
        base = self._base
        if grad_state.scope is not None:
            grad_state.scope.before_edge(self if base is None else base)
        if grad_state.trace is not None:
            grad_state.trace.keep_edge(self)
            if base is not None:
                grad_state.trace.keep_edge(base)
        if base is None:
            if edge is not None or self._edge is not None:
                self._replace_edge(edge)
            self._edge_version += 1
        else:
            # this view, too, takes its edge anew from the base: its gradient goes through the base's
            if edge is not None or base._edge is not None:
                base._replace_edge(
                    (CopySlices(base._edge, edge, tuple(base._geometry.shape), base._place(self._geometry)), 0)
                )
            base._edge_version += 1

    def _replace_edge(self, edge: Edge | None) -> None:
        """Take another edge; a gradient that is to be kept is the one that arrives there."""
        self._edge = edge
        if self._keeper is not None:
            self._keep_grad(edge)  # type: ignore[operator]

    def _place(self, g: Geometry) -> Look:
        """`g`, given in the storage, as seen from this tensor's values."""
        view = self._view
        if view is None:
            return g
        size = int(np.prod(self._storage.shape))
        if view.bits is not None:
            size = size * self._storage.dtype.itemsize // view.bits.itemsize
        return seen_from(view, g, size)

    def _check_inplace(self, writes: bool = True) -> Edge | None:
        """Raises RuntimeError if autograd forbids a write here (or, with `writes=False`, another look in place)."""
        if not grad_state.grad:
            return None
        edge, base = self._tape_edge(), self._base
        if base is None:
            if edge is not None and type(edge[0]) is AccumulateGrad:
                raise AccumulateGrad.written(self.shape)
        elif edge is not None and self._refusal is not None:
            raise RuntimeError(self._refusal)
        elif edge is not None and (base._edge is None or type(base._edge[0]) is AccumulateGrad):
            raise AccumulateGrad.written(base.shape, view=True)
        elif edge is not None and writes and hooked(edge, base._edge):
            # hooks are for what these views have shown, not for what the base has under them
            if grad_state.trace is not None:
                grad_state.trace.keep_edge(self)
            self._edge = self._anew()
            return edge  # of what is written over
        return None

    # --- views ----------------------------------------------------------------------------------------------------

    def as_subclass(self, cls: Any) -> Any:
        """The same values as a tensor of class `cls`, with its place on the tape. TypeError if that is no Tensor class."""
        check_subclass(cls)
        made = self._look(self._geometry, "AliasBackward0", geometry.whole(self._geometry.shape), cls)
        made._view = self._view
        return made

    def _look(self, g: Geometry, name: str, relative: Geometry | None = None, cls: Any = None) -> Tensor:
        """A view of this tensor with the geometry `g`. `relative` is `g` as seen from this tensor's own values."""
        made = blank(cls or Tensor, self._storage, g)
        base = self._base
        if base is None:
            base, edge = self, self._edge
        else:
            edge = self._tape_edge()
        made._base = base
        made._edge_version = base._edge_version
        if self._refusal is not None or not grad_state.grad:
            made._refusal = self._refusal or _UNTRACKED
        if edge is not None and grad_state.grad and is_differentiable(made._np_dtype):
            place = self._place(g) if relative is None else relative
            made._edge = (ViewNode(name, edge, tuple(self._geometry.shape), place), 0)
        return made

    def _look_anew(self, seen: Tensor, name: str) -> None:
        """Look into the memory as `seen`, a view of this tensor, does. Its node is called `name`."""
        edge, base = seen._edge, self._base
        structure.version += 1
        if grad_state.trace is not None:
            grad_state.trace.keep_edge(self)
        if grad_state.scope is not None:
            grad_state.scope.before_edge(self if base is None else base)
        self._view = seen._view
        self._cache, self._cache_version = None, -1
        if edge is not None:
            edge[0].label = name
            self._edge = edge
        if base is None:
            self._edge_version += 1
        else:
            # the base's values and gradient are as before, but its other views are to find theirs anew
            base._edge_version += 1
            if edge is not None:
                self._edge_version = base._edge_version

    def detach(self) -> Tensor:
        """The same memory, off the tape."""
        transform = grad_state.transforms
        if transform and transform.differentiates:
            if grad_state.trace is not None:
                return wrap(jax.lax.stop_gradient(self._array))
            return blank(Tensor, DetachedStorage(self._storage), self._view or geometry.whole(self._storage.shape))
        return blank(Tensor, self._storage, self._view)

    def _off_tape(self) -> Tensor:
        """The same, also where JAX differentiates: with the derivative that the values have there."""
        if type(self) in overrides.dispatching:
            return self._beside()  # type: ignore[no-any-return]
        return blank(Tensor, self._storage, self._view)

    @property
    def data(self) -> Tensor:
        """The same memory, off the tape. Assigning re-points this tensor at another one's memory."""
        return self.detach()

    @data.setter
    def data(self, other: Tensor) -> None:
        if not isinstance(other, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(other).__name__}")
        refuse_other_kinds(self, other)
        self._repoint(other)

    def _repoint(self, other: Tensor) -> None:
        structure.version += 1
        if grad_state.trace is not None and (self._storage is not other._storage or self._view != other._view):
            grad_state.trace.keep_memory(self)
        self._storage = other._storage
        self._view = other._view
        self._cache = None
        self._cache_version = -1

    # --- what it is -----------------------------------------------------------------------------------------------

    @property
    def _np_dtype(self) -> np.dtype:
        view = self._view
        return self._storage.dtype if view is None or view.bits is None else view.bits

    @property
    def dtype(self) -> dtype:
        """The element type."""
        return dtypes.from_numpy(self._np_dtype)

    @property
    def shape(self) -> Size:
        """The dimensions."""
        return tuple.__new__(Size, self._storage.shape if self._view is None else self._view.shape)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self._storage.shape if self._view is None else self._view.shape)

    @property
    def device(self) -> device:
        """Where the values are."""
        storage = self._storage
        if storage.on_host:
            return devices.CPU
        if type(storage) is PartsStorage:
            return storage.host.device
        if type(storage) is DeclaredStorage:
            return storage.device
        try:
            value = storage.value
        except NotImplementedError:
            return storage.values.device  # type: ignore[attr-defined]  # a sparse tensor's
        if isinstance(value, jax.core.Tracer):
            return devices.get_default_device()
        if isinstance(value, np.ndarray):  # another thread has just put the values there
            return devices.CPU
        return devices.from_jax(next(iter(value.devices())))

    def stride(self, dim: int | None = None) -> Any:
        """The step between neighbours of a dimension, in elements; for all dimensions if none is given."""
        if grad_state.trace is not None:
            grad_state.trace.look_at_strides(self)
        strides = self._geometry.strides
        return strides if dim is None else strides[counted(dim, len(strides), "stride")]

    def storage_offset(self) -> int:
        """Where in the storage the first element lies, in elements."""
        if grad_state.trace is not None:
            grad_state.trace.look_at_memory(self)
        return 0 if self._view is None else self._view.offset

    def is_contiguous(self, *, memory_format: Any = None) -> bool:
        """Whether the elements lie in row-major order without gaps."""
        if grad_state.trace is not None:
            grad_state.trace.look_at_strides(self)
        if memory_format is not None and getattr(memory_format, "order", None):
            return memory_format.is_contiguous(self)
        return self._view is None or self._view.contiguous

    @property
    def _version(self) -> int:
        return self._storage.version

    # --- the tape -------------------------------------------------------------------------------------------------

    def _tape_edge(self) -> Edge | None:
        """The edge on the tape, brought up to date with the base's."""
        base = self._base
        if base is None:
            return self._edge
        if self._edge_version != base._edge_version:
            if self._refusal is not None and base._edge is not None:
                if grad_state.grad:
                    raise RuntimeError(
                        self._refusal.replace("is being", "its base or another view of its base has been")
                    )
                return self._edge
            edge = self._edge
            if (base._edge is not None and is_differentiable(self._np_dtype)) or (
                edge is not None and type(edge[0]) is not AccumulateGrad
            ):
                if grad_state.trace is not None:
                    grad_state.trace.keep_edge(self)
                self._edge_version = base._edge_version
                self._replace_edge(self._anew())
        elif self._edge is None and base._edge is not None and is_differentiable(self._np_dtype):
            return AccumulateGrad(NOBODY), 0  # it requires grad as the base does, but nothing arrives there
        return self._edge

    def _anew(self) -> Edge:
        """An edge for what this view shows of its base."""
        base: Any = self._base
        if type(self) in overrides.dispatching:
            raise no_view_anew(type(self))
        where = base._place(self._geometry)
        return ViewNode("AsStridedBackward0", base._edge, tuple(base._geometry.shape), where), 0

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor."""
        if self._refusal is not None:
            base = self._base
            followed = base is not None and base._edge is not None and is_differentiable(self._np_dtype)
            return followed or self._edge is not None
        return self._tape_edge() is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        AccumulateGrad.check(value, self._tape_edge(), self._np_dtype)
        self._require_grad(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Make this leaf collect gradients in `.grad`, or stop it."""
        if (got := type(requires_grad)) is not bool:
            raise TypeError(f"requires_grad_(): argument 'requires_grad' (position 1) must be bool, not {got.__name__}")
        return self._require_grad(requires_grad)

    def _require_grad(self, requires_grad: bool) -> Tensor:
        edge = self._tape_edge()
        structure.version += 1
        if grad_state.trace is not None:
            grad_state.trace.keep_flag(self, requires_grad)
        if requires_grad:
            if edge is None or getattr(edge[0], "leaf", self) is NOBODY:
                if not is_differentiable(self._np_dtype):
                    raise RuntimeError("only Tensors of floating point dtype can require gradients")
                self._edge = (self._frozen or AccumulateGrad(self), 0)
        elif edge is not None:
            if type(edge[0]) is not AccumulateGrad:
                raise AccumulateGrad.missing(stops=True)
            self._edge = None
            self._frozen = edge[0]  # what was computed from it comes back there, and its hooks are for later, too
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user rather than computed from tensors that require grad."""
        edge = self._tape_edge()
        return edge is None or type(edge[0]) is AccumulateGrad

    @property
    def grad_fn(self) -> Any:
        """The node on the tape that computed this tensor; None for a leaf."""
        edge = self._tape_edge()
        return None if edge is None or type(edge[0]) is AccumulateGrad else shown(edge[0])

    _grad_fn = grad_fn  # its name where a subclass has replaced the other

    @property
    def output_nr(self) -> int:
        """Which of its node's outputs this tensor is."""
        edge = self._tape_edge()
        return 0 if edge is None else edge[1]

    @property
    def grad(self) -> Tensor | None:
        """The gradient collected by `backward()`, or None."""
        if grad_state.trace is not None:
            grad_state.trace.look_at_grad(self)
        if self._grad is None and self._keeper is None and not self.is_leaf:
            self._tell_of_grad()
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if grad_state.trace is not None:
            grad_state.trace.write_grad(self)
        if value is None:
            self._grad = None
            return
        if not isinstance(value, Tensor):
            raise TypeError(
                f"assigned grad expected to be a Tensor or None but got grad of type {type(value).__name__}"
            )
        if value is self:
            raise RuntimeError("can't assign Variable as its own grad")
        if (takes := taking.taken_at(self)) is not None and value._np_dtype != takes:
            raise taking.unlike(value, takes)
        if value.device.type != self.device.type:
            raise RuntimeError(
                f"attempting to assign a gradient with device type '{value.device.type}' to a tensor with device type "
                f"'{self.device.type}'. Please ensure that the gradient and the tensor are on the same device"
            )
        if value.shape != self.shape:
            raise RuntimeError(
                f"attempting to assign a gradient of size '{list(value.shape)}' to a tensor of size '{list(self.shape)}'. "
                "Please ensure that the gradient and the tensor are the same size"
            )
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self.grad = None

    @property
    def retains_grad(self) -> bool:
        """Whether this computed tensor keeps its gradient."""
        return self._keeper is not None


_UNTRACKED = (
    "A view was created in no_grad mode and is being modified inplace with grad mode enabled. Given that this use case is "
    "ambiguous and error-prone, it is forbidden. You can clarify your code by moving both the view and the inplace either "
    "both inside the no_grad block (if you don't want the inplace to be tracked) or both outside (if you want the inplace to "
    "be tracked)."
)
_INTERNAL = frozenset(Tensor.__slots__)


def blank(cls: Any, storage: Storage, view: Geometry | None = None) -> Any:
    """A new tensor of this class that looks into `storage`, off the tape. The one place that fills the slots."""
    made = _new(cls)
    made._storage = storage
    made._view = view
    made._base = made._edge = made._cache = made._grad = None
    made._edge_version = 0
    made._cache_version = -1
    made._keeper = None
    made._refusal = None
    made._frozen = None
    return made


def check_subclass(cls: Any) -> None:
    """Raise TypeError unless this is a class of tensors; one with a `__torch_dispatch__` is asked from now on."""
    if not isinstance(cls, type) or not issubclass(cls, Tensor):
        raise TypeError(
            "Creating a Tensor subclass from a class that does not inherit from Tensor is not possible. Make sure your class "
            "inherits from Tensor."
        )
    if overrides.computes_itself(cls):
        overrides.dispatching.add(cls)


def _as_class(result: Any, cls: Any) -> Any:
    """The result with its tensors as tensors of class `cls`."""
    if cls is Tensor:
        return result
    if isinstance(result, Tensor):
        return result if isinstance(result, cls) else Tensor.as_subclass(result, cls)
    if isinstance(result, (tuple, list)):
        parts = [_as_class(part, cls) for part in result]
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
    return result


def wrap(array: Any) -> Tensor:
    """A new tensor that holds `array`, off the tape."""
    storage = _new(Storage)
    storage.value = array
    storage.version = 0
    return blank(Tensor, storage)


def from_host(values: np.ndarray, device: Any = None) -> Tensor:
    """A new tensor of NumPy values that nobody else holds (JAX may keep the very buffer), on a device or the default one."""
    where = devices.get_default_device() if device is None else devices.device(device)
    if grad_state.trace is not None and where.type != "meta":  # a constant of the trace: memory that is no array is new
        return wrap(jax.device_put(values, devices.to_jax(where)))
    if where.type != "cpu" or grad_state.transforms:
        return wrap(devices.put(values, devices.to_jax(where)))
    storage = _new(HostStorage)
    storage.host = values
    storage.version = 0
    return blank(Tensor, storage)


def _legacy(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    args = legacy_arguments(args, kwargs)
    if len(args) == 1 and isinstance(args[0], Tensor):
        return Tensor.as_subclass(args[0], cls)  # on the tape, as PyTorch keeps it
    if len(args) == 1 and (look := getattr(args[0], "look", None)) is not None:  # a storage
        seen = look(dtypes.get_default_dtype())
        return blank(cls, seen._storage, seen._view)
    values = constructed(args, dtypes.get_default_dtype().numpy)
    return blank(cls, from_host(values, devices.CPU)._storage)

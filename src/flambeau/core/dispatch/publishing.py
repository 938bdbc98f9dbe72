"""How functions become public: under names of namespaces, as methods, as signs."""

from __future__ import annotations

import functools
import inspect
import numbers
from collections.abc import Callable, Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..array import dtypes
from ..context import overrides
from ..context.grad_mode import state as grad_state
from ..tensor.tensor import Tensor, wrap
from . import misfits
from .help import Told, explained
from .shown import show

namespaces: dict[str, dict[str, Any]] = {}  # public name -> function, by namespace ("torch", "nn.functional", ...)


def _publish(name: str, function: Any, public: Iterable[str], in_python: bool | None = None) -> None:
    """Make a function public. `in_python` says whether PyTorch has it in Python, which modes and subclasses can tell.

    Usually it has what is only in nn.functional in Python, and all else in C++. What is both there and at the top is one
    object, unless it is said to be in Python: then nn.functional has a function of its own, which is.
    """
    public = tuple(public)
    for namespace in public:
        held = namespaces.setdefault(namespace, {})
        if name in held:
            raise ValueError(f"{namespace}.{name} is declared twice")
        if namespace == "torch" and "nn.functional" in public:
            held[name] = _face_in(namespace, name, function, None)
        else:
            held[name] = _face_in(namespace, name, function, in_python)


# what these take differs from what PyTorch writes down: a parameter that all operators have, or one more name for one
_WRITTEN_DOWN: dict[str, Callable[..., Any]] = {
    "torch.functional.norm": lambda input, p="fro", dim=None, keepdim=False, out=None, dtype=None: None,
    "torch.functional.split": lambda tensor, split_size_or_sections, dim=0: None,
    "torch.functional.tensordot": lambda a, b, dims=2, out=None: None,
    "torch.nn.functional.normalize": lambda input, p=2.0, dim=1, eps=1e-12, out=None: None,
}
_PREFIXED = ("linalg", "fft", "special")  # namespaces whose functions call themselves by both names


def _face_in(namespace: str, name: str, function: Any, in_python: bool | None) -> Any:
    functional = namespace == "nn.functional"
    shared = namespaces["torch"].get(name) if functional and not in_python else None
    if shared is not None and overrides.source(shared) is function:
        overrides.name_public(shared, f"torch.nn.functional.{name}", True)
        return shared
    made = overrides.face(function, f"{namespace}_{name}" if namespace in _PREFIXED else name, misfits.judged)
    place = "functional." if namespace == "torch" and in_python else "" if namespace == "torch" else namespace + "."
    if made is not function:
        made.in_python = functional if in_python is None else in_python
        if namespace == "torch" and in_python:
            misfits.in_python.add(name)
        overrides.name_public(made, f"torch.{place}{name}")
        if written := _WRITTEN_DOWN.get(f"torch.{place}{name}"):
            made.__signature__ = inspect.signature(written)
        else:
            show(made, function, namespace)
        made.__doc__ = explained(made, f"torch.{place}{name}")
        _house(made, namespace, name, bool(made.in_python))
    elif overrides.is_unseen(function) and not isinstance(function.__doc__, Told):
        function.__doc__ = explained(function, f"torch.{place}{name}")
    return made


_OTHER_NAMES = {"logsigmoid": "log_sigmoid"}  # what is called otherwise below Python


def _house(made: Any, namespace: str, name: str, in_python: bool) -> None:
    """Say of a face that it is where PyTorch has it, so that pickles name what both libraries have."""
    if namespace in _PREFIXED:
        made.__module__ = f"flambeau._C._{namespace}"
    elif namespace == "torch":
        made.__module__ = "flambeau.functional" if in_python else "flambeau"
    elif namespace == "nn.functional" and not in_python:
        made.__module__ = "flambeau._C._nn"
        made.__name__ = made.__qualname__ = _OTHER_NAMES.get(name, name)
    else:
        made.__module__ = f"flambeau.{namespace}"


def _attach(function: Any, names: Iterable[str]) -> None:
    """Make a function a method under these names. Most signs are the first one's, to those who are asked."""
    first: Any = None
    for name in names:
        if name in Tensor.__dict__ and name not in ("__hash__",):
            raise ValueError(f"Tensor.{name} is declared twice")
        own = first is None or name in _OWN_FACE or not name.startswith("__")
        made = overrides.face(function, name, misfits.judged) if own else first
        if own and made is not function and not name.startswith("__"):
            show(made, function)
        first = first or made
        method = _operand(made, name) if name in _BINARY else _gathering(made) if name in _ONE_BY_ONE else made
        overrides.face_of(function, method)
        overrides.name_public(method, f"torch.Tensor.{name}")
        if own:
            made.__doc__ = explained(made, f"torch.Tensor.{name}")
            made.public = method
            method.__qualname__ = f"Tensor.{name}"
        if name in _BINARY:
            method.__name__, method.__qualname__ = name, f"Tensor.{name}"
        if method is not function:
            method.__module__ = "flambeau._tensor"  # where PyTorch has its class of tensors
        setattr(Tensor, name, method)


_SIGNS = "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift".split()
_BINARY = {f"__{kind}{sign}__" for sign in _SIGNS for kind in ("", "r", "i")} | {
    f"__{sign}__" for sign in ("eq", "ne", "lt", "le", "gt", "ge", "rdiv")
}

# signs that are told of by their own names
_OWN_SIGNS = "floordiv rsub rdiv rfloordiv rmod rpow rmatmul and or xor lshift rshift rlshift rrshift eq invert"
_OWN_FACE = {f"__{sign}__" for sign in (_OWN_SIGNS + " iand ior ixor ilshift irshift truediv itruediv").split()}

# whose list of dimensions or places may come one by one, if they are methods; others have `*dims` of their own
_ONE_BY_ONE = frozenset(("count_nonzero", "dsplit", "hsplit", "squeeze", "squeeze_", "vsplit"))


def _gathering(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs) if len(args) < 2 else function(self, args, **kwargs)

    return method


_TAKES_NUMPY = ("__eq__", "__rtruediv__", "__rdiv__")  # the others leave a NumPy array to NumPy, as PyTorch does


def _operand(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The method behind a sign: what it cannot compute with gets its own say (`NotImplemented`)."""
    takes_numpy, as_numpy = name in _TAKES_NUMPY, _AS_NUMPY.get(name)

    @functools.wraps(function)
    def method(self: Tensor, other: Any) -> Any:
        if takes_numpy and isinstance(other, np.ndarray) and other.dtype.kind in "biufc":
            other = wrap(jnp.array(other))
        try:
            return function(self, other)
        except TypeError as error:
            if isinstance(other, (Tensor, numbers.Number, np.generic)) and not hasattr(error, "left_to_others"):
                raise
            if grad_state.trace is not None and as_numpy is not None and isinstance(other, np.ndarray):
                return _with_array(function, as_numpy, self, other)
            return NotImplemented

    return method


_AS_NUMPY = {"__add__": np.add, "__sub__": np.subtract, "__mul__": np.multiply, "__truediv__": np.true_divide}


def _with_array(function: Callable[..., Any], ufunc: np.ufunc, tensor: Tensor, array: np.ndarray) -> Any:
    """What NumPy would give for `tensor * array`, while the tensor's values are not known."""
    own = getattr(tensor._storage.value, "dtype", None)
    if tensor.requires_grad or array.dtype.kind not in "iuf" or not isinstance(own, np.dtype) or own.kind not in "iuf":
        return NotImplemented
    found = ufunc.resolve_dtypes((array.dtype, own, None))[2]
    return function(tensor.to(dtypes.from_numpy(found)), wrap(jnp.array(array, found)))

"""`torch.sparse`: the operators on sparse tensors that declare themselves public here, and the old sparse tensor types."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

from . import ops  # noqa: F401
from .core.array import dtypes
from .core.dispatch.operator import namespaces
from .core.tensor.sparse import layout_of
from .core.tensor.tensor import Tensor


class _SparseType(type):
    dtype: dtypes.dtype

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype and layout_of(instance) == "sparse_coo"

    def __call__(cls, *args: Any) -> Tensor:
        """`FloatTensor(indices, values, size)`, without the size as large as needed; `FloatTensor(2, 3)` holds nothing."""
        make = namespaces["torch"]["sparse_coo_tensor"]
        if args and isinstance(args[0], Tensor):
            return make(*args, dtype=cls.dtype)
        size = args[0] if len(args) == 1 and not isinstance(args[0], int) else args
        return make(tuple(size), dtype=cls.dtype)


def _make(d: dtypes.dtype) -> _SparseType:
    made = _SparseType(f"{d.abbr}Tensor", (), {"__module__": "torch.sparse"})
    made.dtype = d
    made.__doc__ = f"Sparse tensors of {d}: a constructor, and a type to ask `isinstance` about."
    return made


_TYPES = {
    f"{d.abbr}Tensor": _make(d)
    for d in dtypes.DTYPES
    if d.abbr in "BFloat16 Byte Char Double Float Half Int Long Short".split()
}


class check_sparse_tensor_invariants:
    """Whether the parts of sparse tensors are checked when these are made. They always are; this remembers what was asked."""

    state: ClassVar[bool] = False

    def __init__(self, enable: bool = True) -> None:
        self.asked = enable
        self.before: bool | None = None

    @classmethod
    def is_enabled(cls) -> bool:
        """What was asked for last."""
        return cls.state

    @classmethod
    def enable(cls) -> None:
        """Ask for the checks, which are always made."""
        check_sparse_tensor_invariants.state = True

    @classmethod
    def disable(cls) -> None:
        """Say that the checks are not needed; they are made all the same."""
        check_sparse_tensor_invariants.state = False

    def __enter__(self) -> None:
        if self.before is not None:
            raise RuntimeError("This context manager is already activated: make another one to nest them")
        self.before = self.state
        check_sparse_tensor_invariants.state = self.asked

    def __exit__(self, *exc: object) -> None:
        assert self.before is not None
        check_sparse_tensor_invariants.state, self.before = self.before, None

    def __call__(self, function: Any) -> Any:
        """`function`, within these checks."""

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            with type(self)(self.asked):
                return function(*args, **kwargs)

        return checked


globals().update(namespaces["sparse"])
globals().update(_TYPES)
__all__ = sorted([*namespaces["sparse"], *_TYPES, "check_sparse_tensor_invariants"])

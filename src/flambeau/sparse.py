"""`torch.sparse`: the operators on sparse tensors that declare themselves public here, and the old sparse tensor types."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from . import ops  # noqa: F401
from .core.array import dtypes
from .core.context.warned import warn_once as _warn_once
from .core.dispatch.help import explain_namespace as _explain
from .core.dispatch.operator import namespaces
from .core.tensor.sparse import is_sparse, layout_of
from .core.tensor.tensor import Tensor
from .ops.making.constants import ones_like as _ones_like
from .ops.sparse.compressed import invariants
from .ops.sparse.coo import sparse_coo_tensor as _sparse_coo_tensor
from .runtime.settings import asks_setting, changes_setting

__path__: list[str] = []  # the modules below it are in `served.txt`


class _SparseType(type):
    dtype: dtypes.dtype

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype and layout_of(instance) == "sparse_coo"

    def __call__(cls, *args: Any) -> Tensor:
        """`FloatTensor(indices, values, size)`, without the size as large as needed; `FloatTensor(2, 3)` holds nothing."""
        if args and isinstance(args[0], Tensor):
            _deprecated(", ".join(("indices", "values", "shape")[: len(args)]))
            return _sparse_coo_tensor(*args, dtype=cls.dtype)
        if not args:
            from .core.dispatch.messages import message

            _warn_once(message("sparse_tensor_of_nothing"))
            return _sparse_coo_tensor((0,), dtype=cls.dtype)
        size = args[0] if len(args) == 1 and not isinstance(args[0], int) else args
        if size is args[0]:
            _deprecated("shape")
        return _sparse_coo_tensor(tuple(size), dtype=cls.dtype)


def _deprecated(given: str) -> None:
    from .core.dispatch.messages import message  # no name of torch.sparse

    _warn_once(message("sparse_tensor_deprecated", given=given))


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
    """Whether the order of a compressed tensor's indices is checked when it is made. All else is checked in any case."""

    def __init__(self, enable: bool = True) -> None:
        self.asked = enable
        self.before: bool | None = None

    @classmethod
    @asks_setting
    def is_enabled(cls) -> bool:
        """What was asked for last."""
        return invariants.asked

    @classmethod
    @changes_setting
    def enable(cls) -> None:
        """Ask for the check."""
        invariants.asked = True

    @classmethod
    @changes_setting
    def disable(cls) -> None:
        """Leave it out."""
        invariants.asked = False

    def __enter__(self) -> None:
        if self.before is not None:
            raise RuntimeError("This context manager is already activated: make another one to nest them")
        self.before, invariants.asked = invariants.asked, self.asked

    def __exit__(self, *exc: object) -> None:
        assert self.before is not None
        invariants.asked, self.before = self.before, None

    def __call__(self, function: Any) -> Any:
        """`function`, within these checks."""

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            with type(self)(self.asked):
                return function(*args, **kwargs)

        return checked


def as_sparse_gradcheck(gradcheck: Callable[..., Any]) -> Callable[..., Any]:
    """`gradcheck` for functions of sparse tensors: it varies their values, and reads sparse results as dense ones.

    With `masked=True` only stored values are varied, otherwise every place.
    """

    @functools.wraps(gradcheck)
    def checked(fn: Callable[..., Any], inputs: Any, **options: Any) -> Any:
        masked = options.pop("masked", False)
        given = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
        varied = [(_values_of(t, masked) if _is_varied(t) else t) for t in given]

        def dense(*values: Any) -> Any:
            made = fn(*(_with_values(t, v, masked) if _is_varied(t) else v for t, v in zip(given, values, strict=True)))
            outputs = made if isinstance(made, (tuple, list)) else (made,)
            read = tuple(o.to_dense() if is_sparse(o) else o for o in outputs)
            return read if isinstance(made, (tuple, list)) else read[0]

        return gradcheck(dense, tuple(varied), **options)

    return checked


def _is_varied(value: Any) -> bool:
    return is_sparse(value) and value.requires_grad


def _values_of(tensor: Any, masked: bool) -> Tensor:
    held = tensor.detach()
    return (held.to_sparse_coo().coalesce().values() if masked else held.to_dense()).requires_grad_()  # type: ignore[no-any-return]


def _with_values(tensor: Any, values: Any, masked: bool) -> Tensor:
    held = tensor.detach()
    form = held.to_sparse_coo() if masked else _ones_like(values.detach()).to_sparse(held.sparse_dim())
    places = form.coalesce().indices()
    stored = values if masked else values[tuple(places)]
    made = _sparse_coo_tensor(places, stored, tuple(tensor.shape), is_coalesced=True)
    layout = layout_of(tensor)
    if layout == "sparse_coo":
        return made  # type: ignore[no-any-return]
    return made.to_sparse(layout=tensor.layout, blocksize=held.values().shape[1:] or None)  # type: ignore[no-any-return]


def _on_gpus_alone(tensor: Any) -> RuntimeError:
    return RuntimeError(
        f"Error original_tensor.device= {tensor.device} is not supported! Only CUDA tensors are currently supported. "
        "XLA has no such format: keep the tensor dense, with zeros"
    )


class SparseSemiStructuredTensor(Tensor):
    """Matrices of which two of four values are left out, as GPUs' matrix units take them. No tensor is one here: RuntimeError, as from
    PyTorch without a GPU.

    Example:
        >>> isinstance(torch.eye(4), torch.sparse.SparseSemiStructuredTensor)
        False
    """

    @classmethod
    def from_dense(cls, original_tensor: Tensor) -> SparseSemiStructuredTensor:
        """Refused (RuntimeError), as by PyTorch for a tensor that lies on no GPU."""
        raise _on_gpus_alone(original_tensor)


class SparseSemiStructuredTensorCUTLASS(SparseSemiStructuredTensor):
    """The same, laid out for CUTLASS.

    Example:
        >>> isinstance(torch.eye(4), torch.sparse.SparseSemiStructuredTensorCUTLASS)
        False
    """

    BACKEND = "cutlass"


class SparseSemiStructuredTensorCUSPARSELT(SparseSemiStructuredTensor):
    """The same, laid out for cuSPARSELt.

    Example:
        >>> isinstance(torch.eye(4), torch.sparse.SparseSemiStructuredTensorCUSPARSELT)
        False
    """

    BACKEND = "cusparselt"


def to_sparse_semi_structured(original_tensor: Tensor, transposed: bool = False) -> Tensor:
    """Refused: two of four values left out is a format of GPUs' matrix units."""
    raise _on_gpus_alone(original_tensor)


def spsolve(input: Tensor, other: Tensor, *, left: bool = True) -> Tensor:
    """Refused: a direct solver of sparse systems is a library of GPUs (cuDSS)."""
    raise NotImplementedError(
        "Could not run 'aten::_spsolve': PyTorch has it on CUDA alone, XLA nowhere: use torch.linalg.solve(input.to_dense(), other)"
    )


globals().update(namespaces["sparse"])
globals().update(_TYPES)
__all__ = sorted(
    [
        *namespaces["sparse"],
        *_TYPES,
        "SparseSemiStructuredTensor",
        "SparseSemiStructuredTensorCUSPARSELT",
        "SparseSemiStructuredTensorCUTLASS",
        "as_sparse_gradcheck",
        "check_sparse_tensor_invariants",
        "spsolve",
        "to_sparse_semi_structured",
    ]
)

_explain(globals(), "torch.sparse")

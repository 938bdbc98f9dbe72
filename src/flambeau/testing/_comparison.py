"""`torch.testing.assert_close`: values compared one with the other, and what an error tells of them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import jax
import numpy as np

from ..core.array import dtypes, formats
from ..core.tensor.tensor import Tensor, wrap

# default (rtol, atol) by dtype: https://docs.pytorch.org/docs/stable/testing.html
_TOLERANCES = {
    dtypes.float16: (1e-3, 1e-5),
    dtypes.bfloat16: (1.6e-2, 1e-5),
    dtypes.float32: (1.3e-6, 1e-5),
    dtypes.float64: (1e-7, 1e-7),
    dtypes.complex64: (1.3e-6, 1e-5),
    dtypes.complex128: (1e-7, 1e-7),
}
_NONE = (0.0, 0.0)
_PARTS = {  # by layout: what is told of it, and the methods that give what it holds
    formats.sparse_coo: ("COO", ("indices", "values")),
    formats.sparse_csr: ("CSR", ("crow_indices", "col_indices", "values")),
    formats.sparse_bsr: ("BSR", ("crow_indices", "col_indices", "values")),
    formats.sparse_csc: ("CSC", ("ccol_indices", "row_indices", "values")),
    formats.sparse_bsc: ("BSC", ("ccol_indices", "row_indices", "values")),
}


def as_tensor(value: Any) -> Tensor:
    """A tensor, or what NumPy makes an array of as one."""
    return value if isinstance(value, Tensor) else wrap(jax.device_put(np.array(value)))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, complex, np.number)) and not isinstance(value, (bool, np.bool_))


def _tolerances(*kinds: Any) -> tuple[float, float]:
    pairs = [_TOLERANCES.get(kind, _NONE) for kind in kinds]
    return max(p[0] for p in pairs), max(p[1] for p in pairs)


def _of_number(value: Any) -> Any:
    if isinstance(value, np.number):
        return dtypes.from_numpy(value.dtype)
    return dtypes.complex128 if isinstance(value, complex) else dtypes.float64 if isinstance(value, float) else None


class _Comparison(NamedTuple):
    """What two values are compared by."""

    allow_subclasses: bool
    rtol: float | None
    atol: float | None
    equal_nan: bool
    check_device: bool
    check_dtype: bool
    check_layout: bool
    check_stride: bool
    msg: Any

    def fail(self, text: str, where: str) -> NoReturn:
        text += f"\n\nThe failure occurred for item {where}" if where else ""
        raise AssertionError(self.msg(text) if callable(self.msg) else self.msg or text)

    def compare(self, a: Any, e: Any, where: str = "") -> None:
        """AssertionError unless the values are close, item by item; `where` says which item."""
        if isinstance(a, Mapping) and isinstance(e, Mapping):
            self._mappings(a, e, where)
        elif all(isinstance(v, Sequence) and not isinstance(v, (str, bytes)) for v in (a, e)):
            if len(a) != len(e):
                self.fail(f"The length of the sequences mismatch: {len(a)} != {len(e)}", where)
            for i, (x, y) in enumerate(zip(a, e, strict=True)):
                self.compare(x, y, f"{where}[{i}]")
        else:
            self._pair(a, e, where)

    def _mappings(self, a: Mapping[Any, Any], e: Mapping[Any, Any], where: str) -> None:
        missing, more = sorted(set(e) - set(a), key=str), sorted(set(a) - set(e), key=str)
        if missing or more:
            lines = [f"Missing keys in the actual mapping: {missing}"] * bool(missing)
            lines += [f"Additional keys in the actual mapping: {more}"] * bool(more)
            self.fail("\n".join(["The keys of the mappings do not match:", *lines]), where)
        for key in e:
            self.compare(a[key], e[key], f"{where}[{key!r}]")

    def _pair(self, a: Any, e: Any, where: str) -> None:
        if a is None or e is None:
            if a is not e:
                self.fail(f"None mismatch: {a} is not {e}", where)
        elif all(isinstance(v, (bool, np.bool_)) for v in (a, e)):
            if a != e:
                self.fail(f"Booleans mismatch: {a} is not {e}", where)
        elif _is_number(a) and _is_number(e):
            self._numbers(a, e, where)
        elif self._are_alike(a, e):
            self._tensors(as_tensor(a), as_tensor(e), where)
        else:
            raise TypeError(f"No comparison pair was able to handle inputs of type {type(a)} and {type(e)}.")

    def _are_alike(self, a: Any, e: Any) -> bool:
        """Whether both are tensors, or both arrays."""
        for kind in (Tensor, np.ndarray):
            if isinstance(a, kind) and isinstance(e, kind):
                return self.allow_subclasses or type(a) is type(e)
        return False

    # --- numbers --------------------------------------------------------------------------------------------------

    def _limits(self, *kinds: Any) -> tuple[float, float]:
        if self.rtol is None or self.atol is None:
            return _tolerances(*kinds)
        return self.rtol, self.atol

    def _numbers(self, a: Any, e: Any, where: str) -> None:
        a, e = (v.item() if isinstance(v, np.generic) else v for v in (a, e))
        if self.check_dtype and type(a) is not type(e):
            self.fail(f"The (d)types do not match: {type(a)} != {type(e)}.", where)
        relative, absolute = self._limits(_of_number(a), _of_number(e))
        self._scalars(a, e, relative, absolute, where, "Scalars")

    def _scalars(self, a: Any, e: Any, relative: float, absolute: float, where: str, kind: str) -> None:
        if np.isclose(a, e, rtol=relative, atol=absolute, equal_nan=self.equal_nan) if a != e else True:
            return
        off = abs(a - e)
        ratio = off / abs(e) if e != 0 else float("inf")
        exact = relative == absolute == 0
        allowed = ["" if exact else f" (up to {limit} allowed)" for limit in (absolute, relative)]
        self.fail(
            f"{kind} are not {'equal' if exact else 'close'}!\n\nExpected {e} but got {a}.\n"
            f"Absolute difference: {off}{allowed[0]}\nRelative difference: {ratio}{allowed[1]}",
            where,
        )

    # --- tensors --------------------------------------------------------------------------------------------------

    def _tensors(self, a: Tensor, e: Tensor, where: str) -> None:
        self._attributes(a, e, where)
        if a.is_meta and e.is_meta:  # type: ignore[attr-defined]
            return
        if a.layout is not e.layout:
            a, e = (t.to_dense() if t.layout is not formats.strided else t for t in (a, e))  # type: ignore[attr-defined]
        found = _PARTS.get(a.layout)
        if found is None:
            self._values(a, e, where, "Tensor-likes")
            return
        name, parts = found
        if name == "COO":
            a, e = (t if t.is_coalesced() else t.coalesce() for t in (a, e))  # type: ignore[attr-defined]
        if a._nnz() != e._nnz():  # type: ignore[attr-defined]
            self.fail(
                f"The number of specified values in sparse {name} tensors does not match: {a._nnz()} != {e._nnz()}",  # type: ignore[attr-defined]
                where,
            )
        for part in parts:
            self._values(getattr(a, part)(), getattr(e, part)(), where, f"Sparse {name} {part}")

    def _attributes(self, a: Tensor, e: Tensor, where: str) -> None:
        looks: list[tuple[str, Callable[[Any], Any]]] = [("shape", operator.attrgetter("shape"))]
        looks += [(name, operator.attrgetter(name)) for name in self._looked_at()]
        if self.check_stride:
            looks.append(("stride()", lambda t: t.stride()))
        for name, look in looks:
            if look(a) != look(e):
                self.fail(f"The values for attribute {name!r} do not match: {look(a)} != {look(e)}.", where)

    def _looked_at(self) -> list[str]:
        asked = (("layout", self.check_layout), ("device", self.check_device), ("dtype", self.check_dtype))
        return [name for name, wanted in asked if wanted]

    def _values(self, a: Tensor, e: Tensor, where: str, kind: str) -> None:
        relative, absolute = self._limits(a.dtype, e.dtype)
        x, y = (np.asarray(t.detach()._array) for t in (a, e))
        together = np.promote_types(x.dtype, y.dtype) if x.dtype != y.dtype else x.dtype
        whole = together.kind in "biu"
        x, y = (v.astype(np.int64 if whole else together) for v in (x, y))
        wide = np.int64 if whole else np.complex128 if together.kind == "c" else np.float64
        close = np.isclose(x.astype(wide), y.astype(wide), rtol=relative, atol=absolute, equal_nan=self.equal_nan)
        if close.all():
            return
        if not x.ndim and kind == "Tensor-likes":
            self._scalars(a.item(), e.item(), relative, absolute, where, "Scalars")
        self.fail(_told(x, y, ~close, relative, absolute, kind), where)


def _told(x: Any, y: Any, wrong: Any, relative: float, absolute: float, kind: str) -> str:
    """How many elements differ, and by how much at most."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        off = np.abs(x - y)
        ratio = off / np.abs(y)
    exact = relative == absolute == 0
    lines = [
        f"{kind} are not {'equal' if exact else 'close'}!",
        "",
        f"Mismatched elements: {wrong.sum()} / {wrong.size} ({wrong.mean():.1%})",
    ]
    for name, values, limit in (("absolute", off, absolute), ("relative", ratio, relative)):
        values = np.where(wrong, values, 0)
        place = tuple(int(i) for i in np.unravel_index(np.argmax(values), values.shape))
        allowed = "" if exact else f" (up to {limit} allowed)"
        lines.append(f"Greatest {name} difference: {values[place].item()} at index {place}{allowed}")
    return "\n".join(lines)


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """AssertionError unless `|actual - expected| <= atol + rtol * |expected|` everywhere.

    Sequences and mappings are compared item by item, sparse tensors by what they store. The tolerances default to the dtype's.
    TypeError for values of kinds that can't be compared.
    """
    if (rtol is None) != (atol is None):
        missing = "rtol" if rtol is None else "atol"
        raise ValueError(f"Both 'rtol' and 'atol' must be either specified or omitted, but got no {missing}.")
    options = (allow_subclasses, rtol, atol, equal_nan, check_device, check_dtype, check_layout, check_stride, msg)
    _Comparison(*options).compare(actual, expected)

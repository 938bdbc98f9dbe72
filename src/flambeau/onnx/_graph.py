"""The ONNX graph that is being written: values, nodes, constants."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import ml_dtypes  # noqa: F401  NumPy then knows bfloat16 by its name
import numpy as np

import onnx

from ..core.array.dtypes import dtype
from ..core.tensor.tensor import Tensor

KINDS = {
    "float32": 1, "uint8": 2, "int8": 3, "int16": 5, "int32": 6, "int64": 7, "bool": 9, "float16": 10, "float64": 11,
    "complex64": 14, "complex128": 15, "bfloat16": 16,
}  # fmt: skip


class Unsupported(Exception):
    """There is no form in ONNX for how an operator is called; the exporter adds its name."""


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the graph: its name, and a tensor of the example with its dtype and its rank."""

    name: str
    like: Tensor

    @property
    def ndim(self) -> int:
        return self.like.ndim

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.like.shape)

    @property
    def dtype(self) -> dtype:
        return self.like.dtype


@dataclasses.dataclass(frozen=True, eq=False)
class Size:
    """A size that a run knows: the name of an int64 tensor of shape [1]."""

    name: str


class Builder:
    """Writes nodes. `opset` is the version of ONNX's operators."""

    def __init__(self, opset: int):
        self.opset = opset
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}
        self.counts: dict[str, int] = {}
        self.held: dict[int, Value] = {}
        self.alive: list[Any] = []
        self.small: dict[Any, str] = {}
        self.taken: set[str] = set()
        self.domains: dict[str, int] = {}  # of other operators than ONNX's own, with their versions
        self.moving: set[tuple[str, int]] = set()  # (value, dimension) whose size a run decides

    def fresh(self, stem: str) -> str:
        """A name that no value has."""
        while True:
            number = self.counts.get(stem, -1) + 1
            self.counts[stem] = number
            name = f"{stem}_{number}" if number else stem
            if name not in self.taken:
                self.taken.add(name)
                return name

    def node(self, kind: str, inputs: Sequence[Any], outputs: int = 1, **attributes: Any) -> Any:
        """An operator on names (None leaves an input out); the names of its outputs."""
        names = [self.fresh(kind.lower()) for _ in range(outputs)]
        given = [i if i is not None else "" for i in inputs]
        while given and given[-1] == "":
            given.pop()
        kept = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(onnx.helper.make_node(kind, given, names, name=names[0], **kept))
        return names[0] if outputs == 1 else names

    def constant(self, value: Any, kind: Any = np.int64) -> str:
        """A small constant."""
        array = np.asarray(value, kind)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.small:
            self.small[key] = self.fresh("const")
            self.initializers[self.small[key]] = onnx.numpy_helper.from_array(array, self.small[key])
        return self.small[key]

    def scalar(self, value: Any, like: dtype) -> str:
        """A number as a constant of a dtype."""
        return self.constant(value, np_type(like))

    def tensor(self, tensor: Tensor, name: str) -> Value:
        """A tensor of the example as a constant with a name."""
        if id(tensor) not in self.held:
            own = self.fresh(name)
            self.initializers[own] = onnx.numpy_helper.from_array(np.asarray(tensor.detach()._array), own)
            self.held[id(tensor)] = Value(own, tensor)
            self.alive.append(tensor)
        return self.held[id(tensor)]

    def cast(self, value: Value, to: dtype) -> str:
        """The value in a dtype."""
        return value.name if value.dtype == to else self.node("Cast", [value.name], to=KINDS[np_name(to)])

    def operand(self, value: Any, like: dtype) -> str:
        """A value, a size or a number in a dtype."""
        if isinstance(value, Value):
            return self.cast(value, like)
        if isinstance(value, Size):
            single = self.node("Squeeze", [value.name, self.constant([0])])
            return self.node("Cast", [single], to=KINDS[np_name(like)])
        if not isinstance(value, (bool, int, float)):
            raise Unsupported(f"an operand of type {type(value).__name__}")
        return self.scalar(value, like)

    def size(self, value: Any) -> str:
        """A size as an int64 tensor of shape [1]."""
        return value.name if isinstance(value, Size) else self.constant([value])

    def shape(self, sizes: Sequence[Any]) -> str:
        """Sizes as one int64 tensor."""
        if any(isinstance(s, Size) for s in sizes):
            return self.node("Concat", [self.size(s) for s in sizes], axis=0)
        return self.constant(list(sizes))

    def reshape(self, name: str, sizes: Sequence[Any]) -> str:
        """Reshape by sizes, of which one may be -1."""
        return self.node("Reshape", [name, self.shape(sizes)])

    def size_of(self, value: Value, dim: int) -> Any:
        """The size of a dimension: asked of the value, since it may change."""
        dim %= value.ndim
        shape = self.node("Shape", [value.name])
        return Size(self.node("Gather", [shape, self.constant([dim])], axis=0))

    def fixed(self, value: Value, dim: int) -> int:
        """A size that stands in the model as a number. Unsupported if it may change."""
        if (value.name, dim % value.ndim) in self.moving:
            raise Unsupported(f"dimension {dim} may not have other sizes")
        return value.shape[dim]

    def reduce(self, kind: str, name: str, dims: Sequence[int] | None, keepdim: bool) -> str:
        """A reduction; from version 18 (a sum: 13) on the dimensions are an input."""
        if dims is not None and (self.opset >= 18 or kind == "ReduceSum"):
            return self.node(kind, [name, self.constant(list(dims))], keepdims=int(keepdim))
        return self.node(kind, [name], axes=list(dims) if dims is not None else None, keepdims=int(keepdim))

    def transpose(self, name: str, order: Sequence[int]) -> str:
        """A permutation."""
        return name if list(order) == sorted(order) else self.node("Transpose", [name], perm=list(order))


def np_type(kind: dtype) -> np.dtype[Any]:
    """The NumPy dtype."""
    return np.dtype(np_name(kind))


def np_name(kind: dtype) -> str:
    """The NumPy name of a dtype. Unsupported if ONNX has none."""
    name = {"double": "float64", "float": "float32", "half": "float16", "long": "int64"}.get(
        str(kind).rpartition(".")[2], str(kind).rpartition(".")[2]
    )
    if name not in KINDS:
        raise Unsupported(f"the dtype {kind}")
    return name

"""`torch.export.dynamic_shapes`: which sizes of an exported program's inputs may change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..compiler import CompileError
from ..core.tensor.tensor import Tensor
from ..runtime.absent import refuse as _refuse
from ..utils import _pytree as pytree

__all__ = ["AdditionalInputs", "Constraint", "Dim", "ShapesCollection", "dims"]


class _DimHint:
    """`Dim.AUTO`, `Dim.DYNAMIC` or `Dim.STATIC`."""

    type: str
    min: int | None
    max: int | None

    def __init__(self, kind: str, min: int | None = None, max: int | None = None):
        self.type, self.min, self.max = kind, min, max

    def __call__(self, min: int | None = None, max: int | None = None) -> _DimHint:
        return _DimHint(self.type, min, max)

    def __repr__(self) -> str:
        parts = [self.type, *(f"{k}={v}" for k, v in (("min", self.min), ("max", self.max)) if v is not None)]
        return f"DimHint({', '.join(parts)})"


class Dim:
    """A size that may change, by name: two dimensions with the same one are equal. AssertionError if max is less than min."""

    AUTO = _DimHint("AUTO")
    DYNAMIC = _DimHint("DYNAMIC")
    STATIC = _DimHint("STATIC")

    def __init__(self, name: str, *, min: int | None = None, max: int | None = None):
        low = 0 if min is None else min
        if max is not None and max <= low:
            raise AssertionError(f"Cannot create Dim with inconsistent min={low}, max={max}")
        if not name.isidentifier():
            raise AssertionError(f"Dim name must be a valid identifier, got {name}")
        self.__name__ = name
        self.min = low
        self.max = max

    def __repr__(self) -> str:
        told = ([] if self.min == 2 else [f"min={self.min}"]) + ([] if self.max is None else [f"max={self.max}"])
        return f"Dim({', '.join([repr(self.__name__), *told])})"

    @property
    def root(self) -> Dim:
        """The size that it is computed from: itself."""
        return self

    def _times(self, factor: Any) -> Dim:
        if not isinstance(factor, int) or factor < 1:
            raise NotImplementedError(
                f"Attempted to multiply {factor} with {self.__name__}, where a positive integer was expected. {_LINEAR}"
            )
        return self if factor == 1 else _DerivedDim(self.root, *(factor * n for n in self._line))

    def _plus(self, offset: Any) -> Dim:
        if not isinstance(offset, int):
            raise NotImplementedError(
                f"Attempted to add {offset} to {self.__name__}, where an integer was expected. {_LINEAR}"
            )
        factor, before = self._line
        return _DerivedDim(self.root, factor, before + offset) if offset else self

    def _negated(self, other: Any) -> Dim:
        raise NotImplementedError(f"Attempted to negate {self.__name__}. {_LINEAR}")

    @property
    def _line(self) -> tuple[int, int]:
        """The factor and the offset by which it is computed from its root."""
        return 1, 0

    __rmul__: Any
    __mul__ = __rmul__ = _times
    __radd__: Any
    __add__ = __radd__ = _plus
    __rsub__ = _negated

    def __sub__(self, offset: Any) -> Dim:
        return self._plus(-offset if isinstance(offset, int) else offset)


_LINEAR = "(Only increasing linear operations with integer coefficients are supported.)"


class _DerivedDim(Dim):
    """A size that follows from another one: `2 * b + 1`."""

    def __init__(self, root: Dim, factor: int, offset: int):
        self._root, self._numbers = root, (factor, offset)
        scaled = root.__name__ if factor == 1 else f"{factor}*{root.__name__}"
        self.__name__ = f"{scaled} {'+' if offset > 0 else '-'} {abs(offset)}" if offset else scaled
        self.min = self.of(root.min)
        self.max = None if root.max is None else self.of(root.max)

    @property
    def root(self) -> Dim:
        """The size that it is computed from."""
        return self._root

    @property
    def _line(self) -> tuple[int, int]:
        return self._numbers

    def of(self, size: int) -> int:
        """What it is where the root has this size."""
        return self._numbers[0] * size + self._numbers[1]

    def __repr__(self) -> str:
        return self.__name__


def root_size(dim: Dim, size: int) -> int:
    """The size of the dimension that `dim` is computed from. ShapeError if no such size gives this one."""
    factor, offset = dim._line
    if (size - offset) % factor or size < offset:
        raise ShapeError(
            f"Constraints violated ({dim.__name__})! No size of {dim.root.__name__} makes {dim.__name__} equal to {size}"
        )
    return (size - offset) // factor


class ShapeError(CompileError, ValueError):
    """What `dynamic_shapes` says does not go together with the arguments, or with what the code does."""


ShapeError.__name__ = ShapeError.__qualname__ = "UserError"
ConstraintViolationError = ShapeError


def dims(*names: str, min: int | None = None, max: int | None = None) -> tuple[Dim, ...]:
    """Several `Dim`s at once."""
    return tuple(Dim(name, min=min, max=max) for name in names)


class Constraint:
    """What PyTorch says of a dimension internally. There is nothing to make one of: use `Dim`."""

    def __init__(self, *args: Any, **kwargs: Any):
        raise NotImplementedError("torch.export.Constraint: use torch.export.Dim")


class ShapesCollection:
    """`dynamic_shapes`, said tensor by tensor."""

    def __init__(self) -> None:
        self._shapes: dict[int, Any] = {}

    def __setitem__(self, t: Any, shape: Any) -> None:
        if not isinstance(t, Tensor):
            raise AssertionError(f"Cannot assign shape to non-tensor or non-_IntWrapper type {type(t)}")
        self._shapes[id(t)] = shape

    def __getitem__(self, t: Any) -> Any:
        return self._shapes.setdefault(id(t), {})

    def __len__(self) -> int:
        return len(self._shapes)

    def dynamic_shapes(self, m: Any, args: Any, kwargs: Any = None) -> Any:
        """The same as the tree that `export` takes: a list for the arguments, and one for each keyword."""
        leaf = lambda t: self._shapes.get(id(t))  # noqa: E731
        return [*pytree.tree_map(leaf, list(args)), *pytree.tree_map(leaf, list((kwargs or {}).values()))]


class AdditionalInputs:
    """Other inputs, from which sizes that differ are seen to change."""

    def __init__(self) -> None:
        self._examples: list[tuple[Any, Any]] = []

    def add(self, args: Any, kwargs: Any = None) -> None:
        """One more call's arguments."""
        if not isinstance(args, tuple):
            raise AssertionError(f"Representative args {args} must be a tuple")
        if kwargs is not None and not isinstance(kwargs, dict):
            raise AssertionError(f"Representative kwargs {kwargs} must be None or a dict")
        self._examples.append((args, dict(kwargs or {})))

    def dynamic_shapes(self, m: Any, args: Any, kwargs: Any = None) -> Any:
        """Which sizes differ among the examples."""
        first = pytree.tree_flatten((tuple(args), dict(kwargs or {})))[0]
        others = [pytree.tree_flatten(example)[0] for example in self._examples]
        found = []
        for i, leaf in enumerate(first):
            shape = getattr(leaf, "shape", ())
            found.append({d: Dim.DYNAMIC for d, n in enumerate(shape) if any(o[i].shape[d] != n for o in others)})
        return found


def changing(dynamic_shapes: Any, names: list[str], arguments: list[Any]) -> list[dict[int, Any]]:
    """For every flat tensor of the arguments, the dimensions that may change. ShapeError for what does not fit the arguments."""
    if dynamic_shapes is None:
        return [{} for leaf in pytree.tree_flatten(arguments)[0]]
    if isinstance(dynamic_shapes, Mapping):
        if set(dynamic_shapes) - set(names) or (set(names) - set(dynamic_shapes) and dynamic_shapes):
            raise ShapeError(
                "When `dynamic_shapes` is specified as a dict, its top-level keys must be the arg names "
                f"{names} of `inputs`, but here they are {list(dynamic_shapes)}. Alternatively, you could also ignore arg "
                "names entirely and specify `dynamic_shapes` as a list/tuple matching `inputs`."
            )
        dynamic_shapes = [dynamic_shapes.get(name) for name in names]
    shapes = list(dynamic_shapes)
    if len(shapes) != len(arguments):
        raise ShapeError(f"Expected `dynamic_shapes` for {len(arguments)} inputs, got {len(shapes)}")
    found: list[dict[int, Any]] = []
    for argument, shape in zip(arguments, shapes, strict=True):
        _match(argument, shape, found)
    return found


def _match(argument: Any, shape: Any, found: list[dict[int, Any]]) -> None:
    if isinstance(argument, Tensor):
        items = dict(enumerate(shape)) if isinstance(shape, (list, tuple)) else dict(shape or {})
        for dim in items:
            if not -argument.ndim <= dim < argument.ndim:
                raise ShapeError(f"dynamic_shapes: dimension {dim} of a tensor with {argument.ndim} dimensions")
        found.append({dim % argument.ndim: d for dim, d in items.items() if _may_change(d)})
    elif isinstance(argument, (list, tuple)):
        for part, sub in zip(argument, shape if shape is not None else [None] * len(argument), strict=True):
            _match(part, sub, found)
    elif isinstance(argument, dict):
        for key, part in argument.items():
            _match(part, None if shape is None else shape[key], found)
    else:
        found.extend({} for _ in pytree.tree_flatten(argument)[0])


def _may_change(dim: Any) -> bool:
    return isinstance(dim, (Dim, str)) or (isinstance(dim, _DimHint) and dim.type != "STATIC")


_refuse(
    globals(),
    "errors of torch.export.export suggest no fixes here; write the Dim as the error says",
    "refine_dynamic_shapes_from_suggested_fixes ",
)

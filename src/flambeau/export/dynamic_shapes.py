"""`torch.export.dynamic_shapes`: which sizes of an exported program's inputs may change."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ..compiler import CompileError
from ..core.dispatch.messages import message
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
        self._held: list[Any] = []  # so that no other tensor gets the number of one

    def __setitem__(self, t: Any, shape: Any) -> None:
        if not isinstance(t, Tensor):
            raise AssertionError(f"Cannot assign shape to non-tensor or non-_IntWrapper type {type(t)}")
        if self._shapes.get(id(t)) not in (None, {}, shape):
            raise AssertionError(message("shapes_collection_twice", first=self._shapes[id(t)], second=shape))
        self._shapes[id(t)] = shape
        self._held.append(t)

    def __getitem__(self, t: Any) -> Any:
        return self._shapes.setdefault(id(t), {})

    def __len__(self) -> int:
        return len(self._shapes)

    def dynamic_shapes(self, m: Any, args: Any, kwargs: Any = None) -> Any:
        """The same as the tree that `export` takes: by the arguments' names."""
        leaf = lambda t: self._shapes.get(id(t))  # noqa: E731
        return {name: pytree.tree_map(leaf, value) for name, value in arguments_of(m, args, kwargs or {}).items()}


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
        """Which sizes differ among the examples, by the arguments' names."""
        named = arguments_of(m, args, kwargs or {})
        others = [arguments_of(m, *example) for example in self._examples]

        def told(leaf: Any, *same: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return None
            changing_here = (any(o.shape[d] != n for o in same) for d, n in enumerate(leaf.shape))
            return tuple(Dim.DYNAMIC if differs else None for differs in changing_here)

        return {name: pytree.tree_map(told, value, *(o[name] for o in others)) for name, value in named.items()}

    def verify(self, ep: Any) -> None:
        """Run an exported program with each of the examples, which raises what it raises."""
        program = ep.module()
        for args, kwargs in self._examples:
            program(*args, **kwargs)


def arguments_of(mod: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments by the names that forward gives them; of `*args` and `**kwargs` each has its own."""
    bound = inspect.signature(mod.forward).bind(*args, **kwargs)
    named: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            named.update(value)
        elif kind is inspect.Parameter.VAR_POSITIONAL:
            named.update({f"{name}_{i}": part for i, part in enumerate(value)})
        else:
            named[name] = value
    positional = list(named)[: len(args)]
    return {name: named[name] for name in [*positional, *kwargs]}


def changing(dynamic_shapes: Any, names: list[str], arguments: list[Any]) -> list[dict[int, Any]]:
    """For every flat tensor of the arguments, the dimensions that may change. ShapeError for what does not fit the arguments."""
    given = dynamic_shapes
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
    by_name = isinstance(given, Mapping)
    for i, (name, argument, shape) in enumerate(zip(names, arguments, shapes, strict=True)):
        _match(argument, shape, found, f"dynamic_shapes[{name!r}]" if by_name else f"dynamic_shapes[{i}]")
    return found


def _look(tensor: Tensor, shape: Any, where: str) -> None:
    """ShapeError for a specification that is none of this tensor's."""
    if isinstance(shape, (list, tuple)) and len(shape) != tensor.ndim:
        counts = f"(expected {tensor.ndim}, but got {len(shape)} instead)"
        raise ShapeError(message("shape_spec_length", spec=shape, where=where, shape=tensor.shape, counts=counts))
    for dim, spec in dict(enumerate(shape)).items() if isinstance(shape, (list, tuple)) else (shape or {}).items():
        if not -tensor.ndim <= dim < tensor.ndim:
            raise ShapeError(f"dynamic_shapes: dimension {dim} of a tensor with {tensor.ndim} dimensions")
        if isinstance(spec, int) and not isinstance(spec, bool):
            if spec != tensor.shape[dim]:
                told = message("static_shape_mismatch", wanted=spec, size=tensor.shape[dim])
                raise ShapeError(f"{told}, for {where}, dimension {dim}")
        elif not (spec is None or isinstance(spec, (Dim, str, _DimHint))):
            raise ShapeError(message("shape_spec_kind", dim=dim, spec=shape, where=where, kind=spec))


def _match(argument: Any, shape: Any, found: list[dict[int, Any]], where: str) -> None:
    if isinstance(argument, Tensor):
        _look(argument, shape, where)
        items = dict(enumerate(shape)) if isinstance(shape, (list, tuple)) else dict(shape or {})
        found.append({dim % argument.ndim: d for dim, d in items.items() if _may_change(d)})
    elif isinstance(argument, (list, tuple)):
        for i, (part, sub) in enumerate(
            zip(argument, shape if shape is not None else [None] * len(argument), strict=True)
        ):
            _match(part, sub, found, f"{where}[{i}]")
    elif isinstance(argument, dict):
        for key, part in argument.items():
            _match(part, None if shape is None else shape[key], found, f"{where}[{key!r}]")
    else:
        found.extend({} for _ in pytree.tree_flatten(argument)[0])


def is_hint(dim: Any) -> bool:
    """Whether a size is only said to change, without a name."""
    return isinstance(dim, _DimHint)


def _may_change(dim: Any) -> bool:
    return isinstance(dim, (Dim, str)) or (isinstance(dim, _DimHint) and dim.type != "STATIC")


_refuse(
    globals(),
    "errors of torch.export.export suggest no fixes here; write the Dim as the error says",
    "refine_dynamic_shapes_from_suggested_fixes ",
)

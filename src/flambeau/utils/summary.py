"""`summary`: a network's layers with their shapes, parameters and multiply-adds, without running it.

The forward is traced with abstract values (shapes and dtypes, no numbers). Each module's call is a named scope of the
trace, so that every product in it is counted for the innermost module that asked for it, whatever layer that is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import jax

from flambeau.core.array import dtypes
from flambeau.core.array.meta import like
from flambeau.core.context import generator as random
from flambeau.core.context.grad_mode import no_grad
from flambeau.core.dispatch.multiply_adds import products
from flambeau.core.tensor.tensor import Tensor, wrap
from flambeau.nn.modules.module import Module
from flambeau.nn.parameter import is_lazy
from flambeau.utils._html import page, table

from ..core.dispatch.help import explain_functions as _explain_functions

_SCOPE = "flambeau_layer_"


@dataclass(frozen=True)
class Layer:
    """One row: a module without children, or one with parameters of its own.

    `output_shape` is None if the forward never called it, a list of shapes if it returns several tensors. A tensor
    that several layers hold counts for the first.
    """

    path: str
    kind: str
    output_shape: Any
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Summary:
    """The layers of a network and what they sum to. Printed as a table."""

    layers: tuple[Layer, ...]
    parameters: int
    trainable_parameters: int
    parameter_bytes: int
    multiply_adds: int

    def _cells(self) -> tuple[tuple[str, ...], list[tuple[str, ...]], tuple[str, ...]]:
        """The table's head, its rows and its last line."""
        head = ("Layer", "Class", "Output shape", "Parameters", "Multiply-adds")
        rows: list[tuple[str, ...]] = [
            (
                row.path or "(model)",
                row.kind,
                _shape_text(row.output_shape),
                f"{row.parameters:,}",
                f"{row.multiply_adds:,}",
            )
            for row in self.layers
        ]
        return head, rows, ("Total", "", "", f"{self.parameters:,}", f"{self.multiply_adds:,}")

    def _note(self) -> str:
        frozen = self.parameters - self.trainable_parameters
        return (
            f"Trainable parameters: {self.trainable_parameters:,} (frozen: {frozen:,}); "
            f"they take {_size_text(self.parameter_bytes)}"
        )

    def __str__(self) -> str:
        head, rows, total = self._cells()
        widths = [max(map(len, column)) for column in zip(head, *rows, total, strict=True)]

        def line(cells: Sequence[str]) -> str:
            texts = [c.rjust(w) if i > 2 else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
            return "  ".join(texts).rstrip()

        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join([line(head), rule, *map(line, rows), rule, line(total), self._note()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head, rows, total = self._cells()
        return page(table(head, rows, names=3, foot=total) + f"<div>{self._note()}</div>")


def _shape_text(shape: Any) -> str:
    if shape is None:
        return "-"
    if isinstance(shape, list):
        return ", ".join(map(_shape_text, shape))
    return "x".join(map(str, shape)) or "scalar"


def _size_text(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def summary(model: Module, input_size: Any, *, dtype: Any = None) -> Summary:
    """What `model` makes of inputs of `input_size`, layer by layer, from shapes alone.

    `input_size`: the shape of the input with its batch dimension, or a list of shapes for several inputs. `dtype`: of
    the inputs, one for all or a list (default: the default dtype). The forward is traced as in `eval()`, and the
    model, its buffers and the random generator are left as they were. Multiply-adds count matrix products and
    convolutions. Raises ValueError for a model with parameters that are not initialised yet; an error in the forward
    comes as it is.
    """
    lazy = [name for name, tensor in _tensors(model) if is_lazy(tensor)]
    if lazy:
        raise ValueError(
            f"summary needs a model with known shapes, but {lazy[0]} is not initialised: call the model once first"
        )
    shapes = _shapes(input_size)
    kinds = list(dtype) if isinstance(dtype, list | tuple) else [dtype] * len(shapes)
    if len(kinds) != len(shapes):
        raise ValueError(f"got {len(kinds)} dtypes for {len(shapes)} inputs")
    inputs = [
        jax.ShapeDtypeStruct(shape, (dtypes.as_dtype(kind) or dtypes.get_default_dtype()).numpy)
        for shape, kind in zip(shapes, kinds, strict=True)
    ]
    modules = dict(model.named_modules())
    empty = list({id(t._storage): t._storage for _, t in _tensors(model) if t.device.type == "meta"}.values())

    def forward(held: list[Any], *arrays: Any) -> list[Any]:
        for cell, value in zip(empty, held, strict=True):
            cell.value = value
        return _arrays(model(*map(wrap, arrays)))

    with _left_as_it_was(model), _recorded(modules) as outputs, no_grad():
        jaxpr = jax.make_jaxpr(forward)([like(cell.value) for cell in empty], *inputs)
    return _collect(model, modules, outputs, _by_scope(jaxpr.jaxpr))


def _shapes(input_size: Any) -> list[tuple[int, ...]]:
    several = bool(input_size) and not isinstance(input_size[0], int)
    return [tuple(int(n) for n in size) for size in (input_size if several else [input_size])]


def _tensors(model: Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _arrays(value: Any) -> list[Any]:
    """The arrays of all tensors in a module's output."""
    if isinstance(value, Tensor):
        return [value._array]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [array for item in value for array in _arrays(item)]
    return []


@contextmanager
def _left_as_it_was(model: Module) -> Iterator[None]:
    """In `eval()` within the block; afterwards modes, tensors and the random stream are what they were."""
    modes = [(module, module.training) for module in model.modules()]
    cells = [(tensor._storage, tensor._storage.value) for _, tensor in _tensors(model)]
    stream = random.default_generator.get_state_bytes()
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for cell, value in cells:
            if cell.value is not value:
                cell.set(value)
        random.default_generator.set_state_bytes(stream)


@contextmanager
def _recorded(modules: dict[str, Module]) -> Iterator[dict[str, Any]]:
    """Within the block, every module's call is a named scope, and the shapes of its outputs are noted by its path."""
    outputs: dict[str, Any] = {}
    scopes: list[Any] = []
    with ExitStack() as stack:
        for i, (path, module) in enumerate(modules.items()):

            def enter(module: Module, args: Any, scope: str = f"{_SCOPE}{i}") -> None:
                scopes.append(jax.named_scope(scope))
                scopes[-1].__enter__()

            def leave(module: Module, args: Any, output: Any, path: str = path) -> None:
                scopes.pop().__exit__(None, None, None)
                shapes = [tuple(array.shape) for array in _arrays(output)]
                outputs[path] = shapes[0] if len(shapes) == 1 else shapes

            stack.callback(module.register_forward_pre_hook(enter, prepend=True).remove)
            stack.callback(module.register_forward_hook(leave).remove)
        try:
            yield outputs
        finally:
            while scopes:
                scopes.pop().__exit__(None, None, None)


def _by_scope(jaxpr: Any) -> Counter[str]:
    """The multiply-adds of a traced program, by the innermost module's scope that they stand in."""
    found = Counter[str]()
    for scopes, count in products(jaxpr):
        inside = [name for name in scopes.split("/") if name.startswith(_SCOPE)]
        found[inside[-1] if inside else ""] += count
    return found


def _collect(model: Module, modules: dict[str, Module], outputs: dict[str, Any], found: Counter[str]) -> Summary:
    counted: dict[int, Tensor] = {}
    layers = []
    for i, (path, module) in enumerate(modules.items()):
        fresh = [p for p in module.parameters(recurse=False) if id(p) not in counted]
        counted.update((id(p), p) for p in fresh)
        multiply_adds = found[f"{_SCOPE}{i}"]
        if fresh or multiply_adds or not any(True for _ in module.children()):
            layers.append(
                Layer(path, type(module).__name__, outputs.get(path), sum(p.numel() for p in fresh), multiply_adds)
            )
    tensors = list(counted.values())
    return Summary(
        tuple(layers),
        parameters=sum(p.numel() for p in tensors),
        trainable_parameters=sum(p.numel() for p in tensors if p.requires_grad),
        parameter_bytes=sum(p.numel() * p.dtype.itemsize for p in tensors),
        multiply_adds=found.total(),
    )


_explain_functions([summary], "torch")

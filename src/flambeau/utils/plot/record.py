"""One run of a network with shapes in the place of values, and what flowed from where to where in it.

A value is a number that stands for a tensor at a time: what is written in place is another value afterwards. Calls of modules nest; of
what is computed between them, the functions that the caller names are seen, and what they call is not.
"""

from __future__ import annotations

import inspect
import os
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import jax

import flambeau
from flambeau.core.array import dtypes
from flambeau.core.array.meta import like
from flambeau.core.context.grad_mode import no_grad
from flambeau.core.tensor.tensor import Tensor, wrap
from flambeau.core.tensor.tree import flatten, unflatten
from flambeau.nn.modules.module import Module
from flambeau.nn.parameter import is_lazy
from flambeau.overrides import TorchFunctionMode
from flambeau.utils.summary import _left_as_it_was, _tensors

_LIBRARIES = tuple(os.path.dirname(str(package.__file__)) + os.sep for package in (flambeau, jax))


class AskedForValues(ValueError):
    """A forward looked at values, where there are shapes only."""

    def __init__(self, where: str):
        super().__init__(f"plot has shapes and no values, and the forward asks for values{where}")


def where(error: BaseException) -> str:
    """The last line of the traceback that is neither ours nor JAX's."""
    lines = [
        f" ({frame.filename}, line {frame.lineno}: {frame.line})"
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_LIBRARIES)
    ]
    return lines[-1] if lines else ""


@dataclass
class Call:
    """A call of a module or of a function: the values that went in and came out, and the calls within."""

    kind: str  # "module", "function", "parameter", "input", "output"
    name: str
    detail: str = ""
    path: str = ""
    module: Module | None = None
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Whether modules were called within."""
        return any(call.kind == "module" for call in self.calls)

    def made(self) -> set[int]:
        return set(self.outputs).union(*(call.made() for call in self.calls))

    def used(self) -> list[int]:
        """The values that come from outside, in the order of their use."""
        made = self.made()
        found = [*self.inputs, *(value for call in self.calls for value in call.used())]
        return list(dict.fromkeys(value for value in found if value not in made))


@dataclass
class Recorded:
    root: Call
    shapes: dict[int, str]


@dataclass
class Example:
    """Inputs as shapes: a structure of arrays and of other values."""

    leaves: list[Any]
    names: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, input: Any, dtype: Any = None) -> Example:
        """From tensors or shapes, one or a list. TypeError for other things, ValueError if `dtype` is a list of another length."""
        several = isinstance(input, list | tuple) and not all(isinstance(n, int) for n in input)
        given = list(input) if several else [input]
        kinds = list(dtype) if isinstance(dtype, list | tuple) else [dtype] * len(given)
        if len(kinds) != len(given):
            raise ValueError(f"got {len(kinds)} dtypes for {len(given)} inputs")
        return cls([_abstract(value, kind) for value, kind in zip(given, kinds, strict=True)])


def _abstract(value: Any, dtype: Any) -> jax.ShapeDtypeStruct:
    if isinstance(value, Tensor):
        shape, kind = tuple(value.shape), value.dtype
    elif isinstance(value, list | tuple) and all(isinstance(n, int) for n in value):
        shape, kind = tuple(value), dtypes.as_dtype(dtype) or dtypes.get_default_dtype()
    else:
        raise TypeError(f"an input is a tensor or a shape such as (1, 3, 224, 224), not {type(value).__name__}")
    return jax.ShapeDtypeStruct(shape, kind.numpy)


_SIDES = (224, 32, 28, 64, 299)


def likely_input(module: Module, dtype: Any = None) -> Example:
    """An input that the first layer takes and with which the forward runs, of this dtype if one is given. ValueError if there is none such."""
    example = getattr(module, "example_input_array", None)
    if example is not None:
        return Example.of(list(example) if isinstance(example, tuple) else example)
    kinds = ((m, kind.__name__) for m in module.modules() for kind in type(m).__mro__)
    tried: list[Any] = next((_GUESSES[kind](m) for m, kind in kinds if kind in _GUESSES), [])
    for shape, kind in tried:
        guess = Example.of(shape, dtype or kind)
        try:
            record(module, guess)
        except AskedForValues:
            raise
        except Exception as error:  # the next one may fit
            refused = f": {error}".splitlines()[0]
            continue
        return guess
    told = ", ".join("x".join(map(str, shape)) for shape, _ in tried)
    raise ValueError(
        f"the shape of the input can't be guessed from {type(module).__name__}"
        f"{f' (tried {told}{refused})' if told else ''}: give it, as in (1, 3, 224, 224)"
    )


def _images(rank: int) -> Any:
    return lambda m: [((1, m.in_channels, *[side] * rank), None) for side in (_SIDES if rank < 3 else (16, 32))]


_GUESSES: dict[str, Any] = {
    "Linear": lambda m: [((1, m.in_features), None), ((1, 16, m.in_features), None)],
    "Embedding": lambda m: [((1, 16), dtypes.int64)],
    "Conv1d": _images(1),
    "Conv2d": _images(2),
    "Conv3d": _images(3),
    **dict.fromkeys(("RNN", "LSTM", "GRU"), lambda m: [((16, 1, m.input_size), None)]),
    "MultiheadAttention": lambda m: [((1, 16, m.embed_dim), None)],
}


class _Recorder(TorchFunctionMode):
    def __init__(self, model: Module):
        self.root = Call("module", type(model).__name__, module=model)
        self.open = [self.root]
        self.shapes: dict[int, str] = {}
        self.values: dict[int, int] = {}  # by the tensor's id
        self.kept: list[Any] = []  # so that no tensor's id is given to another
        self.paths = {id(m): path for path, m in model.named_modules()}
        self.held = {id(t): path for path, t in _tensors(model)}
        self.parameters: dict[int, Tensor] = {}  # by their values
        self.versions: list[list[tuple[Any, int]]] = []

    def value(self, tensor: Tensor) -> int:
        """A new value, which the tensor is from now on."""
        number = len(self.shapes)
        self.shapes[number] = "×".join(map(str, tensor.shape)) or "scalar"
        self.values[id(tensor)] = number
        self.kept.append(tensor)
        return number

    def known(self, values: Any) -> list[int]:
        """The values of the tensors in a structure, each once; a parameter comes into being when it is first asked for."""
        found = []
        for tensor in _tensors_in(values):
            if id(tensor) not in self.values and id(tensor) in self.held:
                path = self.held[id(tensor)]
                made = Call("parameter", path.rpartition(".")[2], "", path)
                made.outputs.append(self.value(tensor))
                self.parameters[made.outputs[0]] = tensor
                self.open[-1].calls.append(made)
                del self.held[id(tensor)]
            if id(tensor) in self.values:
                found.append(self.values[id(tensor)])
        return list(dict.fromkeys(found))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = _name(func)
        changed = _tensors_in(args[:1]) if name == "__setitem__" else _tensors_in(result)
        if changed and not (name.endswith("_") and all(id(t) in self.held for t in changed)):
            inputs = self.known([args, kwargs])
            if inputs or any(id(t) in self.values for t in changed):
                call = Call("function", name, _told(args, kwargs or {}), inputs=inputs)
                self.open[-1].calls.append(call)
                call.outputs += [self.value(tensor) for tensor in changed]
        return result

    def enter(self, module: Module, args: Any, kwargs: Any) -> None:
        call = Call("module", type(module).__name__, _extra(module), self.paths.get(id(module), ""), module)
        call.inputs = [self.values[id(t)] for t in _tensors_in([args, kwargs]) if id(t) in self.values]
        self.open[-1].calls.append(call)
        self.open.append(call)
        self.versions.append([(t, t._version) for t in _tensors_in([args, kwargs])])

    def leave(self, module: Module, args: Any, kwargs: Any, output: Any) -> Any:
        call = self.open.pop()
        before = self.versions.pop()
        if call.is_open:
            call.inputs.clear()  # the calls within say what is used
            return output
        self.close(call)
        # what a layer hands on unchanged is the layer's result from now on, and what went in stays what it was
        passed = {id(t) for t, version in before if t._version == version}
        leaves, structure = flatten(output)
        fresh = [leaf.view_as(leaf) if isinstance(leaf, Tensor) and id(leaf) in passed else leaf for leaf in leaves]
        call.outputs += [self.value(leaf) for leaf in fresh if isinstance(leaf, Tensor)]
        return unflatten(fresh, structure) if any(id(leaf) in passed for leaf in leaves) else output

    def close(self, call: Call) -> None:
        """Forget what a layer did within: only what went in is asked for, and its parameters are its own affair."""
        call.inputs = call.used()
        for inner in call.calls:
            if inner.kind == "parameter":
                tensor = self.parameters.pop(inner.outputs[0])
                self.held[id(tensor)] = inner.path
                del self.values[id(tensor)]
        call.calls.clear()


def _tensors_in(values: Any) -> list[Tensor]:
    return [leaf for leaf in flatten(values)[0] if isinstance(leaf, Tensor)]


def _name(func: Any) -> str:
    name = getattr(func, "__name__", str(func))
    return getattr(getattr(func, "__self__", None), "__name__", name) if name == "__get__" else name


def _told(args: Any, kwargs: dict[str, Any]) -> str:
    """The arguments that are no tensors, as they would be written."""
    given = [_written(a) for a in args if a is not None and not _tensors_in([a])]
    named = {key: a for key, a in kwargs.items() if a is not None and a is not False and not _tensors_in([a])}
    return ", ".join([*given, *(f"{key}={_written(a)}" for key, a in named.items())])


def _written(value: Any) -> str:
    if isinstance(value, slice):
        ends = ["" if end is None else str(end) for end in (value.start, value.stop)]
        return ":".join(ends + ([str(value.step)] if value.step is not None else []))
    if value is Ellipsis:
        return "..."
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_written, value))})"
    return str(value).removeprefix("flambeau.") if isinstance(value, dtypes.dtype) else repr(value)


def _extra(module: Module) -> str:
    return module.extra_repr().replace("\n", ", ")


def _hooks(model: Module, recorder: _Recorder) -> Iterator[Any]:
    for module in model.modules():
        if module is not model:
            yield module.register_forward_pre_hook(recorder.enter, prepend=True, with_kwargs=True)
            yield module.register_forward_hook(recorder.leave, with_kwargs=True)


def record(model: Module, given: Example) -> Recorded:
    """Run the model once with shapes and note its calls. ValueError for parameters that are not initialised yet."""
    lazy = [name for name, tensor in _tensors(model) if is_lazy(tensor)]
    if lazy:
        raise ValueError(
            f"plot needs a model with known shapes, but {lazy[0]} is not initialised: call the model once first"
        )
    recorder = _Recorder(model)
    root = recorder.root
    cells = list({id(t._storage): t._storage for _, t in _tensors(model) if t.device.type == "meta"}.values())

    def forward(held: list[Any], arrays: list[Any]) -> None:
        for cell, value in zip(cells, held, strict=True):
            cell.value = value
        inputs = [wrap(array) for array in arrays]
        for tensor, name in zip(inputs, _argument_names(model, len(inputs)), strict=True):
            root.calls.append(Call("input", name, str(tensor.dtype).rpartition(".")[2]))
            root.calls[-1].outputs.append(recorder.value(tensor))
        with recorder:
            output = model(*inputs)
        root.calls.append(Call("output", "output", inputs=recorder.known(output)))

    with _left_as_it_was(model), ExitStack() as stack, no_grad():
        for handle in _hooks(model, recorder):
            stack.callback(handle.remove)
        try:
            jax.eval_shape(forward, [like(cell.value) for cell in cells], given.leaves)
        except jax.errors.JAXTypeError as error:
            raise AskedForValues(where(error)) from None
    return Recorded(_pruned(root), recorder.shapes)


def _argument_names(model: Module, count: int) -> list[str]:
    names = [n for n, p in inspect.signature(model.forward).parameters.items() if p.kind in (0, 1)][:count]
    return names if len(names) == count else ["input"] if count == 1 else [f"input {i}" for i in range(count)]


def _pruned(root: Call) -> Call:
    """Without functions and parameters whose results nobody asks for."""
    while True:
        wanted = set(_all_inputs(root))
        if not _drop(root, wanted):
            return root


def _all_inputs(call: Call) -> Iterator[int]:
    yield from call.inputs
    for inner in call.calls:
        yield from _all_inputs(inner)


def _drop(call: Call, wanted: set[int]) -> bool:
    kept = [
        c
        for c in call.calls
        if c.kind not in ("function", "parameter") or not wanted.isdisjoint(c.outputs) or c.name == "__setitem__"
    ]
    dropped = len(kept) < len(call.calls)
    call.calls[:] = kept
    return any([dropped, *(_drop(inner, wanted) for inner in kept)])

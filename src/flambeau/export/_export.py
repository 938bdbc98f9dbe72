"""`torch.export.export`: a module's forward, recorded for an example, and checked at other sizes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .. import testing
from .._subclasses.fake_tensor import FakeTensorMode
from ..core.array.formats import strided
from ..core.context.grad_mode import no_grad
from ..core.tensor.tensor import Tensor
from ..fx import GraphModule, Node
from ..nn.modules.module import Module
from ..random import get_rng_state, set_rng_state  # type: ignore[attr-defined]
from ..utils import _pytree as pytree
from ._branches import record_cond
from ._recording import Recorder, Recording, generalize, record
from .dynamic_shapes import (
    AdditionalInputs,
    Dim,
    ShapeError,
    ShapesCollection,
    _DerivedDim,
    arguments_of,
    changing,
    is_hint,
    root_size,
)
from .exported_program import CallSpec, ExportedProgram, signature

Recorder.branches = staticmethod(record_cond)


def export(
    mod: Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    strict: bool = False,
    preserve_module_call_signature: tuple[str, ...] = (),
    prefer_deferred_runtime_asserts_over_guards: bool = False,
) -> ExportedProgram:
    """A module's forward as a graph of torch's functions, for inputs like the example.

    Branches and loops are followed as they go for the example, in the module's present mode. `dynamic_shapes` says which sizes may
    change: the code is then run at several sizes, and what it computes from them goes into the graph. `strict` means nothing.
    UserError for arguments that don't fit, and if the code does something else at another size; RuntimeError if it asks for a
    tensor's values.
    """
    if not isinstance(mod, Module):
        raise ValueError(f"Expected `mod` to be an instance of `torch.nn.Module`, got {type(mod)}.")
    if not isinstance(args, tuple):
        raise ShapeError(f"Expecting `args` to be a tuple of example positional inputs, got {type(args)}")
    if preserve_module_call_signature:
        raise NotImplementedError("torch.export.export: preserve_module_call_signature is not supported")
    return export_with(Recorder, mod, args, dict(kwargs or {}), dynamic_shapes)


def export_with(
    recorder: type[Recorder], mod: Module, args: tuple[Any, ...], keywords: dict[str, Any], dynamic_shapes: Any
) -> ExportedProgram:
    """The same with a recorder that may go another way where the code asks for values."""
    if isinstance(dynamic_shapes, (ShapesCollection, AdditionalInputs)):
        dynamic_shapes = dynamic_shapes.dynamic_shapes(mod, args, keywords)
    named = arguments_of(mod, args, keywords)
    dims = changing(dynamic_shapes, list(named), list(named.values()))
    leaves = pytree.tree_flatten((args, keywords))[0]

    def exported(which: list[dict[int, Any]]) -> ExportedProgram:
        return _exported(recorder, mod, args, keywords, named, which)

    return (
        _by_hints(exported, leaves, dims) if any(is_hint(d) for here in dims for d in here.values()) else exported(dims)
    )


def _by_hints(
    exported: Callable[[Any], ExportedProgram], leaves: list[Any], dims: list[dict[int, Any]]
) -> ExportedProgram:
    """Sizes that are only said to change: each by itself, or else those together that are equal in the example; what can't change is
    fixed, if that is left to us (`Dim.AUTO`)."""
    try:
        return exported(dims)
    except ShapeError as error:
        refusal = error
    needed: dict[int, bool] = {}
    for leaf, here in zip(leaves, dims, strict=True):
        for d, dim in here.items():
            if is_hint(dim):
                needed[leaf.shape[d]] = needed.get(leaf.shape[d], False) or dim.type == "DYNAMIC"

    def tried(kept: list[int]) -> ExportedProgram | None:
        grouped = [
            {
                d: f"s{leaf.shape[d]}" if is_hint(dim) else dim
                for d, dim in here.items()
                if not is_hint(dim) or leaf.shape[d] in kept
            }
            for leaf, here in zip(leaves, dims, strict=True)
        ]
        try:
            return exported(grouped)
        except (ShapeError, RuntimeError):
            return None

    found = tried(list(needed))
    if found is None:
        kept = [size for size in needed if tried([size]) is not None]
        found = None if any(must and size not in kept for size, must in needed.items()) else tried(kept)
    if found is None:
        raise refusal
    return found


def _exported(
    recorder: type[Recorder], mod: Module, args: Any, keywords: Any, named: dict[str, Any], dims: list[dict[int, Any]]
) -> ExportedProgram:
    leaves, in_spec = pytree.tree_flatten((args, keywords))
    names = _placeholders(named)
    examples, others = _resized(leaves, dims, 0), None  # copies: the code may write into its inputs
    if any(dims):
        others = _resized(leaves, dims, 1)
    first = record(mod, pytree.tree_unflatten(examples, in_spec), names, recorder)
    if others is not None:
        second = _at_other_sizes(recorder, mod, others, in_spec, names, dims)
        _generalize(first, second, examples, others, dims)
    _note_values(first)
    graph_module = _graph_module(mod, first)
    used = dict(first.constants)
    spec = signature(mod, first.graph, used, list(zip(names, leaves, strict=True)))
    program = ExportedProgram(graph_module, spec, (args, keywords), CallSpec(in_spec, first.out_spec), dims)
    _verify(mod, program, _resized(leaves, dims, 2))
    program._recording = first
    return program


def _note_values(recorded: Recording) -> None:
    """Beside each node, what it gave for the example, as a tensor that has no values: what PyTorch calls `meta["val"]`."""
    mode, known = FakeTensorMode(), dict[Any, Tensor]()
    for node, value in recorded.values.items():
        if isinstance(value, Tensor) and value.layout is strided:
            kind = value.shape, value.stride(), value.dtype, value.device
            if kind not in known:
                known[kind] = mode.from_tensor(value.detach())
            node.meta["val"] = known[kind]


def _placeholders(named: dict[str, Any]) -> list[str]:
    """A name for every flat input: the argument's, with the keys and places that lead to it within."""
    names = []
    for name, value in named.items():
        try:
            paths = [path for path, _ in pytree.tree_flatten_with_path(value)[0]]
        except ValueError:  # a registered class without names of its parts
            leaves = pytree.tree_flatten(value)[0]
            paths = [(pytree.SequenceKey(i),) for i in range(len(leaves))]
        for path in paths:
            parts = (getattr(key, "key", getattr(key, "idx", getattr(key, "name", key))) for key in path)
            names.append(re.sub(r"\W", "_", "_".join([name, *map(str, parts)])))
    return names


def _sizes(leaves: list[Any], dims: list[dict[int, Any]]) -> dict[Any, tuple[int, int, int]]:
    """For every dimension that may change (by its name, or by where it is) the three sizes at which the code is run."""
    found: dict[Any, tuple[int, int, int]] = {}
    roots: dict[
        Any, tuple[int, tuple[int, int, int]]
    ] = {}  # of a size that others are computed from: in the example, and the three
    for i, (leaf, changing_here) in enumerate(zip(leaves, dims, strict=True)):
        for d, dim in changing_here.items():
            size, low, high = leaf.shape[d], getattr(dim, "min", None) or 0, getattr(dim, "max", None)
            if size < low or (high is not None and size > high):
                raise ShapeError(f"{size} not in range [{low}, {'int_oo' if high is None else high}]")
            root, at = (dim.root, root_size(dim, size)) if isinstance(dim, Dim) else (dim, size)
            key = _key(i, d, root)
            if key not in roots:
                roots[key] = at, _three(at, getattr(root, "max", None), len(roots))
            elif roots[key][0] != at:
                raise ShapeError(
                    f"Constraints violated ({key})! The sizes of the example say that it is {roots[key][0]} and that it is {at}"
                )
            three = roots[key][1]
            found[_key(i, d, dim)] = tuple(map(dim.of, three)) if isinstance(dim, _DerivedDim) else three  # type: ignore[assignment]
    return found


def _three(size: int, high: int | None, rank: int) -> tuple[int, int, int]:
    base = max(size, 2)
    if high is None or base * (3 + rank) <= high:
        return base, base * (2 + rank), base * (3 + rank)
    options = [max(high - 2, min(2, high)), max(high - 1, 1), high]
    if len(set(options)) < 3:
        raise ShapeError(f"dynamic_shapes: there are too few sizes up to {high} to see what depends on it")
    return options[0], options[1], options[2]


def _key(i: int, d: int, dim: Any) -> Any:
    return dim if isinstance(dim, str) else getattr(dim, "__name__", (i, d))


def _resized(leaves: list[Any], dims: list[dict[int, Any]], which: int) -> list[Any]:
    """The example at other sizes: its values are repeated, or left out."""
    sizes, made = _sizes(leaves, dims), []
    for i, (leaf, changing_here) in enumerate(zip(leaves, dims, strict=True)):
        for d, dim in changing_here.items():
            size = sizes[_key(i, d, dim)][which]
            if leaf.shape[d] == 0:
                raise ShapeError("dynamic_shapes: the example is empty in a dimension that may change")
            leaf = _repeated(leaf, d, size)
        made.append(_copied(leaf))
    return made


def _copied(leaf: Any) -> Any:
    return leaf.detach().clone().requires_grad_(leaf.requires_grad) if isinstance(leaf, Tensor) else leaf


def _repeated(leaf: Tensor, dim: int, size: int) -> Tensor:
    times = [1] * leaf.ndim
    times[dim] = -(-size // leaf.shape[dim])
    return leaf.repeat(*times).narrow(dim, 0, size)


def _called(dims: Any) -> str:
    return ", ".join(dict.fromkeys(str(getattr(d, "__name__", d)) for here in dims for d in here.values()))


def _at_other_sizes(kind: type[Recorder], mod: Any, others: Any, spec: Any, names: Any, dims: Any) -> Recording:
    try:
        return record(mod, pytree.tree_unflatten(others, spec), names, kind)
    except RuntimeError as error:
        shapes = ", ".join(
            f"{n}: {tuple(x.shape)}" for n, x in zip(names, others, strict=True) if isinstance(x, Tensor)
        )
        raise ShapeError(
            f"Constraints violated ({_called(dims)})! The code does not run at other sizes ({shapes}): {error}. Sizes that must "
            "always be equal get one Dim, sizes that can't change none"
        ) from error


def _generalize(first: Recording, second: Recording, examples: Any, others: Any, dims: Any) -> None:
    inputs: list[Node] = [node for node in first.graph.nodes if node.op == "placeholder"]
    seen: dict[Any, Any] = {}
    for i, changing_here in enumerate(dims):
        for d, dim in changing_here.items():
            seen.setdefault(_key(i, d, dim), (inputs[i], d, examples[i].shape[d], others[i].shape[d]))
    try:
        generalize(first, second, list(seen.values()))
    except ValueError as error:
        raise ShapeError(
            f"Constraints violated ({_called(dims)})! torch.export: the sizes that dynamic_shapes names can't change: {error}"
        ) from error


def _graph_module(mod: Module, recorded: Recording) -> GraphModule:
    root = Module()
    for name, parameter in mod.named_parameters():
        _put(root, name, parameter)
    for owner, part in mod.named_modules():
        for key, buffer in part._buffers.items():
            if buffer is not None:
                persistent = key not in part._non_persistent_buffers_set
                _holder(root, f"{owner}.{key}").register_buffer(key, buffer, persistent)
    for name, constant in recorded.constants.items():
        root.register_buffer(name, constant, persistent=False)
    for name, branch in recorded.submodules.items():
        root.add_module(name, branch)
    recorded.graph.lint()
    made = GraphModule(root, recorded.graph, type(mod).__name__)
    for name, part in root.named_children():  # what the graph does not use
        if name not in made._modules:
            made.add_module(name, part)
    made._parameters = dict(root._parameters)
    made._buffers = dict(root._buffers)
    made._non_persistent_buffers_set = set(root._non_persistent_buffers_set)
    for name, part in root.named_children():
        made._modules[name] = part
    return made


def _holder(root: Module, name: str) -> Module:
    for part in filter(None, name.split(".")[:-1]):
        if part not in root._modules:
            root.add_module(part, Module())
        root = root._modules[part]  # type: ignore[assignment]
    return root


def _put(root: Module, name: str, parameter: Any) -> None:
    _holder(root, name).register_parameter(name.rpartition(".")[2], parameter)


def _verify(mod: Module, program: ExportedProgram, leaves: list[Any]) -> None:
    """The graph gives what the module gives, also at a size that was not recorded. RuntimeError if not."""
    copies = [_copied(leaf) for leaf in leaves]
    args, kwargs = pytree.tree_unflatten(leaves, program.call_spec.in_spec)
    random = get_rng_state()
    before = {name: buffer.clone() for name, buffer in mod.named_buffers()}
    results = []
    for run in (lambda: mod(*args, **kwargs), lambda: program.graph_module(*copies)):
        set_rng_state(random)
        try:
            with no_grad():
                results.append(pytree.tree_flatten(run())[0])
        finally:
            set_rng_state(random)
            with no_grad():
                for name, buffer in mod.named_buffers():
                    buffer.copy_(before[name])
    try:
        testing.assert_close(list(results[1]), list(results[0]), equal_nan=True, rtol=1e-3, atol=1e-3)
    except AssertionError as error:
        raise RuntimeError(
            "torch.export: the recorded graph does not compute what the module does (it may write into a view, or change with "
            f"the sizes in a way that is not followed): {error}"
        ) from error

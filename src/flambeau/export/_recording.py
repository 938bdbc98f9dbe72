"""Record what a module computes for an example: every function of torch's that it calls becomes a node of an fx graph.

Python's branches and loops are followed as they are for the example. A size that may change (`Dim`) is found by recording twice,
at two sizes: a number that differs between both is written in terms of the sizes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from .._higher_order_ops.cond import cond
from ..core.array import dtypes
from ..core.array.size import Size
from ..core.context.grad_mode import no_grad
from ..core.tensor.tensor import Tensor
from ..fx import Graph, Node
from ..fx.passes.shape_prop import _extract_tensor_metadata
from ..nn.modules.module import Module, register_module_forward_hook, register_module_forward_pre_hook
from ..overrides import TorchFunctionMode, resolve_name
from ..random import get_rng_state, set_rng_state  # type: ignore[attr-defined]
from ..utils import _pytree as pytree

# What may be asked of a tensor without a look at its values.
_ABOUT = frozenset(
    """size shape dim ndim ndimension dtype device numel nelement stride layout requires_grad grad_fn is_leaf itemsize
    element_size __len__ is_contiguous is_floating_point is_complex is_signed is_cuda is_sparse is_quantized is_mps is_meta is_cpu is_nested
    is_inference is_same_size get_device data_ptr storage_offset names _version type __hash__ is_tensor is_conj is_neg retain_grad
    is_shared is_set_to grad output_nr is_xla result_type is_nonzero_shape nbytes __repr__ __format__ requires_grad_
    has_names _is_view is_autocast_enabled is_grad_enabled can_cast register_hook""".split()
)


# What gives a tensor as large as its values decide, and what keeps the shape of its first argument.
_FINDING = frozenset("nonzero argwhere masked_select unique unique_consecutive bincount".split())
_KEEPING = frozenset(
    "index_put index_add index_copy index_fill index_reduce scatter scatter_add scatter_reduce masked_scatter".split()
)
_SIZES = frozenset("shape size __len__ numel nelement nbytes unbind __iter__ split chunk tensor_split".split())


class GuardOnDataDependentSymNode(RuntimeError):
    """The code asks for a value that only a run knows."""


def name_of(function: Any) -> str:
    """The name of a function that a mode sees, without the module: `linear`, `add`, `T`."""
    found = str(resolve_name(function) or getattr(function, "__name__", function))
    return found.removesuffix(".__get__").rpartition(".")[2]


class Recorder(TorchFunctionMode):
    """Writes the graph while it is entered."""

    branches: Any = None  # how `torch.cond` is recorded: in a file of its own, which needs this one

    def __init__(self, module: Module):
        self.graph = Graph()
        self.module = module
        self.names: dict[int, str] = {}
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            self.names.setdefault(id(tensor), name)
        self.nodes: dict[int, Node] = {}
        self.alive: list[Any] = []
        self.values: dict[Node, Any] = {}
        self.constants: dict[str, Tensor] = {}
        self.submodules: dict[str, Module] = {}  # the branches of torch.cond
        self.computed: set[Node] = set()  # what depends on the inputs
        self.paths: dict[int, str] = {id(part): name for name, part in module.named_modules()}
        self.running: list[tuple[Module, str]] = []  # the modules whose forward runs, with their paths

    def __enter__(self) -> Any:
        self._hooks = [
            register_module_forward_pre_hook(self._enter_module),
            register_module_forward_hook(self._leave_module, always_call=True),
        ]
        return super().__enter__()

    def __exit__(self, *exc: Any) -> None:
        super().__exit__(*exc)
        for hook in self._hooks:
            hook.remove()

    def _enter_module(self, module: Module, args: Any) -> None:
        self.running.append((module, self.paths.get(id(module), "")))

    def _leave_module(self, module: Module, args: Any, output: Any) -> None:
        while self.running and self.running.pop()[0] is not module:
            pass  # one that failed may have left without a word

    def _place(self) -> dict[str, tuple[str, str]]:
        """The modules that run now, by path and class, as `meta["nn_module_stack"]` has them."""
        kinds = ((path, type(module)) for module, path in self.running)
        return {f"L__self__{path}": (path, f"{kind.__module__}.{kind.__qualname__}") for path, kind in kinds}

    def note(self, tensor: Tensor, node: Node) -> None:
        """From here on the tensor is the node's value."""
        self.nodes[id(tensor)] = node
        self.alive.append(tensor)
        self.values[node] = tensor
        node.meta["tensor_meta"] = _extract_tensor_metadata(tensor)

    def argument(self, value: Any) -> Any:
        """A tensor's node, or the value itself."""
        if not isinstance(value, Tensor):
            return value
        node = self.nodes.get(id(value))
        if node is None:
            name = self.names.get(id(value))
            if name is None:
                name = f"_tensor_constant{len(self.constants)}"
                self.constants[name] = value
            node = self.graph.create_node("get_attr", name)
            self.note(value, node)
        return node

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is cond:
            return self.branches(self, func, *args, **kwargs)
        leaves, _ = pytree.tree_flatten((list(args), dict(kwargs)))
        name = name_of(func)
        if name in _SIZES:
            self._check_size(name, args, kwargs)
        before = {id(t): t._storage.version for t in leaves if isinstance(t, Tensor)}
        result = func(*args, **kwargs)
        known = [self.nodes[id(t)] for t in leaves if isinstance(t, Tensor) and id(t) in self.nodes]
        depends = any(node in self.computed for node in known)
        made = [t for t in pytree.tree_flatten(result)[0] if isinstance(t, Tensor)]
        if not made and name not in ("__setitem__", "__delitem__"):
            if depends and name not in _ABOUT:
                self.asked(name)
            return result
        wrote = any(before.get(id(t), t._storage.version) != t._storage.version for t in made)
        if made and not wrote and all(id(t) in before for t in made):
            return result  # `contiguous`, `to` and the like, which have given back what they got
        found = self._found(name, args, kwargs, leaves)
        self._record(func, name, args, kwargs, result, depends).meta["writes"] = wrote
        for tensor in made if found else ():
            dims = {0} if name in ("nonzero", "argwhere") else range(tensor.ndim)
            self.nodes[id(tensor)].meta["found"] = frozenset(dims)
        return result

    def _found_dims(self, value: Any) -> Any:
        node = self.nodes.get(id(value))
        return () if node is None else node.meta.get("found", ())

    def _check_size(self, name: str, args: Any, kwargs: Any) -> None:
        """Refuse to tell the size of what is as large as the values decide."""
        dims = self._found_dims(args[0] if args else None)
        asked = kwargs.get("dim", args[-1] if len(args) > 1 and name in ("size", "unbind") else None)
        if dims and (not isinstance(asked, int) or asked % args[0].ndim in dims):
            self.asked(name)

    def _found(self, name: str, args: Any, kwargs: Any, leaves: list[Any]) -> bool:
        """Whether the result is as large as the values of the arguments decide."""
        plain = name.rstrip("_") if not name.endswith("__") else name
        if plain in _FINDING or (plain == "where" and len(args) + len(kwargs) == 1):
            return any(self.nodes.get(id(t)) in self.computed for t in leaves)
        if plain == "__getitem__":
            parts = args[1] if isinstance(args[1], tuple) else (args[1],)
            masks = [p for p in parts if isinstance(p, Tensor) and p.dtype in (dtypes.bool, dtypes.uint8)]
            if any(self.nodes.get(id(p)) in self.computed for p in masks):
                return True
        if plain == "repeat_interleave" and kwargs.get("output_size") is None:
            repeats = kwargs.get("repeats", args[1] if len(args) > 1 else args[0])
            if self.nodes.get(id(repeats)) in self.computed:
                return True
        shaped = args[:1] if plain in _KEEPING else leaves
        return any(self._found_dims(t) for t in shaped if isinstance(t, Tensor))

    def asked(self, name: str) -> None:
        """The code asks for a value that depends on the inputs, by the function of this name."""
        raise GuardOnDataDependentSymNode(
            f"Could not guard on data-dependent expression: the code asks for a value ({name}) that is only known when "
            "the exported program runs: use torch.where instead of `if`, or return the tensor"
        )

    def _record(self, func: Any, name: str, args: Any, kwargs: Any, result: Any, depends: bool) -> Node:
        plain = pytree.tree_map(lambda v: tuple(v) if isinstance(v, Size) else v, (tuple(args), dict(kwargs)))
        arguments, keywords = pytree.tree_map(self.argument, plain)
        full = resolve_name(func) or name
        if full.endswith(".__get__"):
            node = self.graph.call_function(getattr, (*arguments, name))
        elif name == "__setitem__":
            node = self.graph.call_function(operator.setitem, arguments)
        elif name == "__getitem__":
            node = self.graph.call_function(operator.getitem, arguments)
        elif ".Tensor." in full:
            node = self.graph.call_method(name, arguments, keywords)
        else:
            node = self.graph.call_function(func, arguments, keywords)
        self._name_results(node, result, depends)
        node.meta["nn_module_stack"] = self._place()
        return node

    def _name_results(self, node: Node, result: Any, depends: bool) -> None:
        if depends:
            self.computed.add(node)
        if isinstance(result, Tensor):
            self.note(result, node)
        elif isinstance(result, (tuple, list)):
            for i, part in enumerate(result):
                if isinstance(part, (Tensor, tuple, list)):
                    self._name_results(self.graph.call_function(operator.getitem, (node, i)), part, depends)


class Recording:
    """A recorded run: the graph, with the placeholders of the flat inputs, and how the output is put together."""

    def __init__(self, recorder: Recorder, outputs: list[Any], out_spec: Any):
        self.graph, self.values, self.constants = recorder.graph, recorder.values, recorder.constants
        self.submodules = recorder.submodules
        self.computed, self.outputs, self.out_spec = recorder.computed, outputs, out_spec
        self.moving: dict[Node, set[int]] = {}  # the dimensions of a value whose size depends on those that may change


def record(module: Module, example: tuple[Any, Any], names: list[str], kind: type[Recorder]) -> Recording:
    """One run of the module with the example, which is `(args, kwargs)`. Its buffers and the random numbers are left as they were."""
    recorder = kind(module)
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    random = get_rng_state()
    args, kwargs = example
    leaves, _ = pytree.tree_flatten(example)
    for name, leaf in zip(names, leaves, strict=True):
        node = recorder.graph.placeholder(name)
        if isinstance(leaf, Tensor):
            recorder.note(leaf, node)
            recorder.computed.add(node)
    try:
        with no_grad(), recorder:
            output = module(*args, **kwargs)
    finally:
        set_rng_state(random)
        with no_grad():
            for name, buffer in module.named_buffers():
                buffer.copy_(before[name])
    flat, out_spec = pytree.tree_flatten(output)
    recorder.graph.output(tuple(recorder.argument(leaf) for leaf in flat))
    return Recording(recorder, flat, out_spec)


# --- sizes that change -----------------------------------------------------------------------------------------------


class Sizes:
    """The dimensions that may change: `(which input, which dimension)` with the two sizes at which was recorded."""

    def __init__(self, graph: Graph, dims: list[tuple[Node, int, int, int]]):
        self.graph, self.dims = graph, dims
        self.made: dict[Any, Any] = {}
        self.last = [n for n in graph.nodes if n.op == "placeholder"][-1]

    def _node(self, key: Any, make: Callable[[], Node]) -> Node:
        if key not in self.made:
            with self.graph.inserting_after(self.last):
                self.last = self.made[key] = make()
        return self.made[key]

    def size(self, which: int) -> Node:
        """The node of a dimension's size."""
        owner, dim, _, _ = self.dims[which]
        return self._node(which, lambda: self.graph.call_method("size", (owner, dim)))

    def _combined(self, function: Any, left: Node, right: Any) -> Node:
        return self._node((function, left, right), lambda: self.graph.call_function(function, (left, right)))

    def _shifted(self, size: Node, by: int) -> Node:
        return self._combined(operator.add, size, by) if by else size

    def expression(self, first: int, second: int) -> Node:
        """What was `first` at the first sizes and `second` at the second ones. ValueError if no simple expression is."""
        for i, (_, _, a, b) in enumerate(self.dims):
            if (first, second) == (a, b):
                return self.size(i)
        for i, (_, _, a, b) in enumerate(self.dims):
            for j, (_, _, c, d) in enumerate(self.dims[: i + 1]):
                k = first // (a * c)
                if k and (first, second) == (k * a * c, k * b * d):
                    product = self._combined(operator.mul, self.size(j), self.size(i))
                    return product if k == 1 else self._combined(operator.mul, product, k)
        for i, (_, _, a, b) in enumerate(self.dims):
            k = first // a
            if k > 1 and (first, second) == (k * a, k * b):
                return self._combined(operator.mul, self.size(i), k)
        for i, (_, _, a, b) in enumerate(self.dims):
            k = a // first if first else 0
            if k > 1 and (first, second) == (a // k, b // k):
                return self._combined(operator.floordiv, self.size(i), k)
        for i, (_, _, a, b) in enumerate(self.dims):
            if first - a == second - b:
                return self._shifted(self.size(i), first - a)
        for i, (_, _, a, b) in enumerate(self.dims):
            for j, (_, _, c, d) in enumerate(self.dims[:i]):
                if first - a - c == second - b - d:
                    return self._shifted(self._combined(operator.add, self.size(j), self.size(i)), first - a - c)
        for i, (_, _, a, b) in enumerate(self.dims):
            k, rest = divmod(second - first, b - a)
            if k and not rest:
                scaled = self.size(i) if k == 1 else self._combined(operator.mul, self.size(i), k)
                return self._shifted(scaled, first - k * a)
        raise ValueError(f"a number is {first} at one size and {second} at the other")


def generalize(first: Recording, second: Recording, dims: list[tuple[Node, int, int, int]]) -> None:
    """Write the numbers of the first graph that differ in the second one in terms of the sizes. ValueError if it can't be."""
    ours, theirs = list(first.graph.nodes), list(second.graph.nodes)
    place = {node: i for i, node in enumerate(theirs)}
    index = {node: i for i, node in enumerate(ours)}
    sizes = Sizes(first.graph, dims)
    if len(ours) != len(theirs):
        raise ValueError("the code calls other functions at another size")
    for a, b in zip(ours, theirs, strict=True):
        if a in first.values and b in second.values:
            shapes = zip(first.values[a].shape, second.values[b].shape, strict=False)
            first.moving[a] = {d for d, (m, n) in enumerate(shapes) if m != n}
        if a.op != b.op or (a.target is not b.target and a.target != b.target):
            raise ValueError(f"the code calls {a.target} at one size and {b.target} at another")
        if a.op == "get_attr" and a.target in first.constants:
            _check_constant(first.constants[str(a.target)], second.constants[str(b.target)])
        if a.op == "get_attr" and a.target in first.submodules:
            _check_branch(first.submodules[str(a.target)], second.submodules[str(b.target)])
        (left, spec), (right, other) = (pytree.tree_flatten((n.args, dict(n.kwargs))) for n in (a, b))
        if spec != other:
            raise ValueError(f"{a.target} is called with other arguments at another size")
        a.args, a.kwargs = pytree.tree_unflatten(
            [_merged(x, y, a, index, place, sizes) for x, y in zip(left, right, strict=True)], spec
        )


def _merged(x: Any, y: Any, node: Node, index: Any, place: Any, sizes: Sizes) -> Any:
    """One argument for both sizes."""
    if isinstance(x, Node):
        if index.get(x) != place.get(y):
            raise ValueError("the code takes other values at another size")
        return x
    if type(x) is int and type(y) is int and x != y:
        return sizes.expression(x, y)
    if isinstance(x, slice) and isinstance(y, slice):
        pairs = zip(_slice(x), _slice(y), strict=True)
        return slice(*(_merged(p, q, node, index, place, sizes) for p, q in pairs))
    if x is not y and not (type(x) is type(y) and x == y):
        raise ValueError(f"an argument of {node.target} is {x} at one size and {y} at another")
    return x


def _slice(value: slice) -> tuple[Any, Any, Any]:
    return value.start, value.stop, value.step


def _check_constant(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape or bool(first.ne(second).any()):
        raise ValueError("the code makes a tensor of the size without torch's functions")


def _check_branch(first: Any, second: Any) -> None:
    if first.code != second.code:
        raise ValueError("a branch of torch.cond computes with the size itself")
    for (_, a), (_, b) in zip(first.named_buffers(), second.named_buffers(), strict=True):
        _check_constant(a, b)

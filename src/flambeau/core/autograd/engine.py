"""The engine that runs the tape backwards, `grad`, and hooks on tensors and nodes."""

from __future__ import annotations

import functools
import heapq
import itertools
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..context.grad_mode import set_grad_enabled
from ..context.grad_mode import state as grad_state
from ..context.overrides import dispatching
from ..context.tracing import Untraceable
from ..context.warned import warn_once
from ..dispatch.operator import Array, Arrays, operator
from ..tape import taking
from ..tape.nodes import AccumulateGrad, Edge, Node, Taped, Unrelated, add_arrays
from ..tensor.sparse import SparseLook, to_array
from ..tensor.tensor import Tensor, wrap
from .accumulating import accumulate_at, add_to_grad, cast, dtype_of, fitted
from .edges import GradientEdge, edge_of, leaf_of, refuse_unlike, shape_of
from .handles import Hooks, RemovableHandle
from .hooking import RETAINED, run_post_hooks, run_pre_hooks, tensor_of
from .refusals import no_number, unlike_rows, without_graph
from .seen import backward_seen, can_be_seen, ones_seen, see, sum_seen
from .sparse import add_gradients, sparse_gradient, stored_gradient, through_sparse


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """Add the gradients of `tensors` to the `.grad` of the leaves (or of `inputs` only).

    `grad_tensors` weighs the outputs; it may be left out for those of one element (`grad_variables` is its old name). Raises
    RuntimeError for outputs off the tape, for shapes that do not match, and for a graph that was freed by an earlier call.
    """
    if grad_variables is not None:
        warnings.warn("`grad_variables` is deprecated. Use `grad_tensors` instead.", FutureWarning, stacklevel=2)
        if grad_tensors is not None:
            raise RuntimeError(
                "`grad_tensors` and `grad_variables` (deprecated) arguments both passed to `backward()`. Please only use "
                "`grad_tensors`."
            )
        grad_tensors = grad_variables
    if create_graph:
        warn_once(
            "Using backward() with create_graph=True will create a reference cycle between the parameter and its gradient "
            "which can cause a memory leak. autograd.grad makes none; after this one set the .grad of parameters to None."
        )
    roots = _sequence(tensors)
    targets = None if inputs is None else _sequence(inputs)
    if targets is not None and not targets:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    for target in targets or ():
        if isinstance(target, Tensor) and edge_of(target) is None:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if isinstance(target, Tensor) and grad_state.trace is None:
            _retain_grad(target)
    wanted = None if targets is None else [_target_edge(t) for t in targets]
    _run(roots, _root_grads(roots, grad_tensors), bool(create_graph if retain_graph is None else retain_graph),
         create_graph, wanted, accumulate=targets or ())  # fmt: skip


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> Any:
    """The gradients of `outputs` by `inputs`, without touching `.grad`; a dict of inputs gives a dict.

    An input that the outputs do not depend on gives RuntimeError, or None with `allow_unused`, or zeros with
    `materialize_grads`.
    """
    if not only_inputs:
        warnings.warn(
            "only_inputs=False has no effect: gradients are only found for inputs; use autograd.backward to accumulate them",
            FutureWarning,
            stacklevel=2,
        )
    if isinstance(inputs, dict):
        made = grad(outputs, list(inputs.values()), grad_outputs, retain_graph, create_graph, only_inputs, allow_unused,
                    is_grads_batched, materialize_grads)  # fmt: skip
        return dict(zip(inputs, made, strict=True))
    if allow_unused is False and materialize_grads:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    if is_grads_batched:
        return _grad_by_rows(outputs, inputs, grad_outputs, bool(create_graph if retain_graph is None else retain_graph),
                             create_graph=create_graph, allow_unused=allow_unused,
                             materialize_grads=materialize_grads)  # fmt: skip
    roots, targets = _sequence(outputs), _sequence(inputs)
    if not targets:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    found = _run(
        roots,
        _root_grads(roots, grad_outputs),
        bool(create_graph if retain_graph is None else retain_graph),
        create_graph,
        [_target_edge(t) for t in targets],
    )
    result: list[Tensor | None] = []
    for i, (target, value) in enumerate(zip(targets, found, strict=True)):
        if value is not None and type(getattr(target, "_view", None)) is SparseLook:
            value = sparse_gradient(target, value)
        if value is None:
            if materialize_grads and grad_state.dispatch_modes and isinstance(target, Tensor):
                value = see("zeros_like", target)
            elif materialize_grads:
                nowhere = isinstance(target, Tensor) and target.device.type == "meta"
                value = wrap(target._array if nowhere else jnp.zeros(*shape_of(target)))
            if value is not None:
                value.requires_grad = create_graph
            elif not allow_unused:
                raise RuntimeError(
                    f"The differentiated Tensor at index {i} appears to not have been used in the graph. Set "
                    "allow_unused=True if this is the desired behavior."
                )
        result.append(value)
    return tuple(result)


def _grad_by_rows(
    outputs: Any, inputs: Any, grad_outputs: Any, retain_graph: bool, **options: Any
) -> tuple[Tensor | None, ...]:
    """The gradients for each row of `grad_outputs`, stacked."""
    roots, batches = _sequence(outputs), [] if grad_outputs is None else _sequence(grad_outputs)
    sizes = {len(b) if b.ndim else -1 for b in batches if b is not None}
    for i, (root, given) in enumerate(itertools.zip_longest(roots, batches)):
        if given is None and root.numel() != 1:
            raise no_number(i, root.shape)
    for i, (b, root) in enumerate(zip(batches, roots, strict=False)):
        if b is not None and (b.ndim == 0 or b.shape[1:] != root.shape):
            raise unlike_rows(i, b.shape[1:], root.shape)
    if len(sizes) != 1:
        if not sizes:
            option = "`is_grads_batched`"
            raise ValueError(
                f"vmap(vjp, in_dims=0, ...)(<inputs>): Got in_dim=0 for some input, but that input is a Tensor of dimensionality 0 "
                f"so expected in_dim to satisfy 0 <= in_dim < 0. ({option} maps over grad_outputs: there are none.)"
            )
        raise ValueError(f"grads of a batch should all have one first size, got {sorted(sizes)}")
    (size,) = sizes
    filled = options.pop("materialize_grads") and options["allow_unused"] is not False
    options["allow_unused"] = filled or options["allow_unused"]
    rows = [
        grad(roots, inputs, [None if b is None else b[i] for b in batches], retain_graph or i < size - 1, **options)
        for i in range(size)
    ]
    found = [None if column[0] is None else _stacked(column) for column in zip(*rows, strict=True)]
    if filled:  # of one row's shape, as in PyTorch
        found = [
            wrap(jnp.zeros(*shape_of(t))) if g is None else g for g, t in zip(found, _sequence(inputs), strict=True)
        ]
    return tuple(found)


@operator(methods=False, public=(), grad="StackBackward0", narrow=True)
def _stacked(tensors: Arrays) -> Array:
    return jnp.stack(tensors)


def _sequence(value: Any) -> list[Any]:
    """A tensor, or several of them (of a dict its values), as a list."""
    if isinstance(value, (Tensor, GradientEdge)):
        return [value]
    return list(value.values() if isinstance(value, dict) else value)


def _target_edge(target: Any) -> Edge:
    edge = edge_of(target)
    if edge is None:
        raise RuntimeError("One of the differentiated Tensors does not require grad")
    _refuse_inner(edge)
    return edge


def _refuse_inner(edge: Edge) -> None:
    """RuntimeError if only a part of the gradient would come to this place."""
    if edge[1] in edge[0].inner:
        raise RuntimeError(
            "this tensor's gradient is not to be had: other results of the compiled function that made it were computed from it, "
            "inside of one program. Call retain_grad() or register_hook() on it within the function, or decorate that with "
            "torch.compiler.disable"
        )


def _root_grads(roots: list[Any], given: Any) -> list[Taped]:
    gradients = [None] * len(roots) if given is None else _sequence(given)
    if len(gradients) != len(roots):
        raise RuntimeError(f"got {len(roots)} tensors and {len(gradients)} gradients")
    made: list[Taped] = []
    for i, (root, gradient) in enumerate(zip(roots, gradients, strict=True)):
        if edge_of(root) is None:
            raise without_graph(i, root)
        if isinstance(root, GradientEdge):
            made.append(_edge_gradient(i, root, gradient))
            continue
        if gradient is None:
            if root._storage.value.size != 1 if root._view is None else root._view.numel != 1:
                raise no_number(i, root.shape)
            if root._np_dtype.kind == "c":
                raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {root.dtype}")
            nowhere = root.device.type == "meta" or type(root) in dispatching
            one = root._array if nowhere else _one(tuple(root.shape), root._np_dtype)
            made.append(ones_seen(root) or (one, None))
            continue
        if not isinstance(gradient, Tensor):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(gradient).__name__}")
        refuse_unlike(i, gradient, root.shape, root._np_dtype)
        if type(root._view) is SparseLook:
            gradient = stored_gradient(root, gradient)
        made.append((to_array(gradient), gradient._tape_edge()))
    return made


def _edge_gradient(i: int, root: GradientEdge, gradient: Any) -> Taped:
    if gradient is not None:
        shape, dtype = shape_of(root)
        refuse_unlike(i, gradient, shape, dtype)
        return gradient._array, gradient._tape_edge()
    shape, dtype = shape_of(root)
    if np.prod(shape) != 1:
        raise no_number(i, shape)
    return _one(shape, dtype), None


_ones: dict[Any, Any] = {}


def _one(shape: tuple[int, ...], dtype: np.dtype) -> Any:
    found = _ones.get((shape, dtype))
    if found is None:
        with jax.ensure_compile_time_eval():  # it is kept beyond a trace
            found = _ones[shape, dtype] = jax.device_put(np.ones(shape, dtype))
    return found


def _paths(roots: list[Edge], wanted: list[Edge]) -> tuple[set[Node], set[Node]]:
    """The nodes on a path from the roots to the wanted edges, and those of them that have to run for it."""
    targets = {e[0] for e in wanted}
    on_path: set[Node] = set()
    to_run: set[Node] = set()
    seen: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(e[0], False) for e in roots]
    while stack:
        node, below_done = stack.pop()
        if below_done:
            if any(e is not None and e[0] in on_path for e in node.edges):
                to_run.add(node)
                on_path.add(node)
            elif node in targets:
                on_path.add(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((e[0], False) for e in node.edges if e is not None)
    return on_path, to_run


class Run:
    """One run of the engine. While it lasts, `grad_mode.state.run` is the innermost one."""

    __slots__ = (
        "__weakref__",
        "_reached",
        "_roots",
        "arrived",
        "callbacks",
        "outer",
        "recomputed",
        "running",
        "targeted",
        "tensors",
        "whole",
    )

    def __init__(self, targeted: bool, roots: list[Edge], on_path: set[Node] | None):
        self._roots = roots
        self._reached = on_path
        self.callbacks: list[Callable[[], Any]] = []  # called at the end of the outermost run
        self.targeted: bool = targeted  # whether it looks for the gradients of given tensors only
        self.running: Node | None = None  # the node that runs now
        self.arrived: list[Taped | None] = []  # what has come to it
        self.recomputed: dict[Any, dict[int, Any]] = {}  # what checkpointed parts have computed again, by part
        self.tensors: dict[int, Tensor] = {}  # what dispatch modes were given, by the array's id
        self.whole: Any = None  # under a dispatch mode: the node that runs, and what gives all of its gradients

    def reaches(self, node: Node) -> bool:
        """Whether a gradient comes to this node."""
        if self._reached is None:
            seen: set[Node] = set()
            stack = [e[0] for e in self._roots]
            while stack:
                found = stack.pop()
                if found not in seen:
                    seen.add(found)
                    stack.extend(e[0] for e in found.edges if e is not None)
            self._reached = seen
        return node in self._reached

    def __enter__(self) -> Run:
        self.outer: Any = grad_state.run
        grad_state.run = self
        return self

    def __exit__(self, *exc: object) -> None:
        grad_state.run = self.outer


class _Queue:
    """The nodes that gradients have come to, and these. The heap gives the node that was made last, which is complete."""

    __slots__ = ("asked", "heap", "taped", "waiting")

    def __init__(self, taped: bool):
        self.taped = taped
        self.asked = taking.asked  # whether leaves may take gradients in another dtype
        self.waiting: dict[Node, list[Taped | None]] = {}
        self.heap: list[tuple[int, Any]] = []

    def reach(self, node: Node) -> list[Taped | None]:
        """Have a node run, whether a gradient comes to it or none."""
        slots = self.waiting.get(node)
        if slots is None:
            slots = self.waiting[node] = [None] * node.outputs
            heapq.heappush(self.heap, (-node.order, node))
        return slots

    def send(self, edge: Edge, value: Taped) -> None:
        node, number = edge
        if self.asked and type(node) is AccumulateGrad:
            value = fitted(node, value)
        waiting = self.waiting
        slots = waiting.get(node)
        if slots is None:
            slots = self.reach(node)
        held = slots[number]
        if held is not None and self.asked and type(node) is AccumulateGrad:
            value = cast(value, dtype_of(held))  # summed in place, in the dtype of what came first
        if held is None:
            slots[number] = value
        elif (grad_state.dispatch_modes or dispatching) and can_be_seen((held, value)):
            slots[number] = sum_seen(held, value)
        else:
            slots[number] = add_gradients(held, value, self.taped)


def _run(
    roots: list[Any],
    gradients: list[Taped],
    retain: bool,
    taped: bool,
    wanted: list[Edge] | None = None,
    accumulate: Sequence[Any] = (),
    within: set[Node] | None = None,
) -> list[Tensor | None]:
    """Send the gradients down the tape.

    Without `wanted`, leaves collect; with it, the gradients at these edges are returned (and added to the `.grad` of
    the tensors in `accumulate`). The roots' gradients go to nodes that are `within`, if given.
    """
    edges: list[Edge] = [edge_of(r) for r in roots]  # type: ignore[misc]
    on_path, to_run = (within, None) if wanted is None else _paths(edges, wanted)
    arrived: dict[Edge, Taped] = {}
    queue = _Queue(taped)
    send, heap, waiting = queue.send, queue.heap, queue.waiting
    for edge, gradient in zip(edges, gradients, strict=True):
        send(edge, gradient)
    targets = {} if wanted is None else dict.fromkeys(wanted)
    trace, anomaly, observer = grad_state.trace, grad_state.anomaly, grad_state.node_observer
    with set_grad_enabled(taped), Run(on_path is not None, edges, on_path) as run:
        while heap:
            node = heapq.heappop(heap)[1]
            slots = waiting.pop(node)
            run.running = node
            if trace is not None and node.order < trace.start and type(node) is not AccumulateGrad and not targets:
                raise RuntimeError(_OLDER)
            if node.pre_hooks and (within is None or node in within):
                slots, shown = run_pre_hooks(node, slots, to_run is None or node in to_run or bool(accumulate))
            else:
                shown = slots
            if targets:
                for number, value in enumerate(shown):
                    if value is not None and (node, number) in targets:
                        arrived[node, number] = value
                if node not in to_run and not (accumulate and type(node) is AccumulateGrad):  # type: ignore[operator]
                    if accumulate and node.post_hooks:  # it is there, and has no gradient to give
                        run_post_hooks(node, [None] * len(node.edges), slots)
                    continue
            if trace is not None and node.order < trace.start and type(node) is not AccumulateGrad:
                raise Untraceable(_OLDER)
            if type(node) is AccumulateGrad:
                if wanted is None or accumulate:
                    accumulate_at(node, slots[0], taped)
                continue
            run.arrived = slots
            if observer is None:
                results = _backward_of(node, slots, taped, anomaly)
            else:
                results = observer(node, functools.partial(_backward_of, node, slots, taped, anomaly))
            if node.post_hooks:
                results = run_post_hooks(node, results, slots)
            if not retain:
                node.release()
            for edge, value in zip(node.edges, results, strict=True):
                if edge is not None and (on_path is None or edge[0] in on_path):
                    if value is None:
                        queue.reach(edge[0])
                    else:
                        send(edge, value)
        for target in accumulate:
            edge = edge_of(target)  # type: ignore[assignment]
            value = None if type(edge[0]) is AccumulateGrad else arrived.get(edge)
            if value is not None and leaf_of(target)._keeper is None:  # which has added it
                add_to_grad(leaf_of(target), value, taped)
    _finish(run)
    return [tensor_of(arrived.get(e)) for e in wanted or ()]


def run_beside(roots: Sequence[GradientEdge], gradients: Sequence[Taped], done: set[Node]) -> None:
    """Run what hangs on nodes that are `done` with the gradients that had arrived at them, and not again what lies between these."""
    within: set[Node] = set()
    stack = [r.node for r in roots]
    while stack:
        node = stack.pop()
        within |= {node} - done
        stack += {e[0] for e in node.edges if e is not None} - within - done
    _run(list(roots), list(gradients), False, False, within=within)


def _finish(run: Run) -> None:
    """Call what was to be called at the end of the outermost run."""
    if run.outer is not None:
        run.outer.callbacks += run.callbacks
        return
    while run.callbacks:
        run.callbacks.pop(0)()


def _backward_of(node: Node, slots: list[Taped | None], taped: bool, anomaly: Any) -> list[Taped | None]:
    if slots[0] is None and not node.runs_without and not any(s is not None for s in slots):
        return [None] * len(node.edges)
    if anomaly is not None:
        return anomaly(node, slots, taped)
    if (grad_state.dispatch_modes or dispatching) and (seen := backward_seen(node, slots, taped)) is not None:
        return seen
    if taped:
        return list(node.backward_taped(slots))
    made = node.backward([None if s is None else s[0] for s in slots])
    return [None if r is None else (r, None) for r in made]


_OLDER = (
    "backward() in a compiled function reaches a graph that was recorded before its call. Compute the loss inside of the "
    "function too, or return it and call backward() outside"
)


# --- what tensors and nodes offer ------------------------------------------------------------------------------------


def _tensor_backward(
    self: Tensor, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False, inputs: Any = None
) -> None:
    """Add the gradients of this tensor to the `.grad` of the leaves that it was computed from."""
    transform = grad_state.transforms
    if grad_state.scope is not None or (transform and not transform.stays_open):
        raise RuntimeError(
            "backward() called inside a function that torch.func transforms: use torch.func.grad or torch.func.vjp there "
            "(or torch.autograd.grad), or call backward() on what the transformed function returns"
        )
    backward([self], None if gradient is None else [gradient], retain_graph, create_graph, inputs=inputs)


def _register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Call `hook(grad)` when this tensor's gradient is known; what it returns, if anything, takes its place."""
    edge = self._tape_edge()
    if edge is None:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient, since none will reach it")
    _refuse_inner(edge)
    if grad_state.trace is not None and (type(edge[0]) is AccumulateGrad or edge[0].order < grad_state.trace.start):
        grad_state.trace.hook(self)
    return _hooks_of(edge[0], edge[1]).add(through_sparse(self, hook) if type(self._view) is SparseLook else hook)


def _hooks_of(node: Node, number: int) -> Hooks:
    if node.pre_hooks is None:
        node.pre_hooks = {}
    return node.pre_hooks.setdefault(number, Hooks())


def _register_post_accumulate_grad_hook(self: Tensor, hook: Callable[[Tensor], None]) -> RemovableHandle:
    """Call `hook(tensor)` each time after this leaf's `.grad` has been added to."""
    edge = self._tape_edge()
    if edge is None:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient, since none will reach it")
    if type(edge[0]) is not AccumulateGrad:
        raise RuntimeError(
            "post accumulate grad hooks cannot be registered on non-leaf tensors, where register_hook serves"
        )
    if grad_state.trace is not None:
        grad_state.trace.hook(self)
    if edge[0].done_hooks is None:
        edge[0].done_hooks = Hooks()
    return edge[0].done_hooks.add(hook)  # type: ignore[attr-defined]


def _retain_grad(self: Tensor) -> None:
    """Keep this computed tensor's gradient in `.grad`; nothing to do for a leaf."""
    edge = self._tape_edge()
    if edge is None:
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    if grad_state.trace is not None:
        grad_state.trace.retain(self)
    if type(edge[0]) is not AccumulateGrad and self._keeper is None:
        _refuse_inner(edge)
        self._keep_grad(edge)


def _keep_grad(self: Tensor, edge: Edge | None) -> None:
    """From now on, keep what arrives at this edge, and no longer what arrives at the one before."""
    if self._keeper is not None:
        self._keeper.remove()
    if edge is None:
        return
    ref, number = weakref.ref(self), edge[1]

    def keep(gradients: list[Tensor | None]) -> None:
        tensor, gradient = ref(), gradients[number]
        if tensor is not None and gradient is not None:
            held = tensor._grad
            if type(tensor._view) is SparseLook:
                gradient = sparse_gradient(tensor, gradient)
                tensor._grad = gradient if held is None else held + gradient
                return
            tensor._grad = gradient if held is None else wrap(add_arrays(held._array, gradient._array))

    self._keeper = _hooks_of(edge[0], RETAINED).add(keep)


def drawn_from(made: Tensor, name: str, *parents: Tensor) -> Tensor:
    """Values that were drawn by their parents' parameters: on the tape, with gradients of zero."""
    edges = [p._tape_edge() for p in parents]
    if grad_state.grad and any(edges):
        made._edge = (Unrelated(name, edges, [(tuple(p.shape), p._np_dtype) for p in parents]), 0)
    return made


Tensor.backward = _tensor_backward  # type: ignore[attr-defined]
Tensor.register_hook = _register_hook  # type: ignore[attr-defined]
Tensor.register_post_accumulate_grad_hook = _register_post_accumulate_grad_hook  # type: ignore[attr-defined]
Tensor.retain_grad = _retain_grad  # type: ignore[attr-defined]
Tensor._keep_grad = _keep_grad  # type: ignore[attr-defined]


@operator(methods=False, public=(), grad="CloneBackward0", narrow=True)
def _identity(input: Array) -> Any:
    return input


__all__ = ["Hooks", "RemovableHandle", "backward", "grad"]

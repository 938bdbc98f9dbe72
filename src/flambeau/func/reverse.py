"""`grad`, `vjp` and `jacrev`: derivatives by the tape.

Inputs enter the function with a place of their own on the tape (`Root`), so that nothing outside gets a gradient, and
transforms nest. What is returned stays on the tape only as far as it depends on tensors outside that require grad.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import ref

import jax.numpy as jnp
import numpy as np

from ..core.autograd.engine import grad as tape_grad
from ..core.context.grad_mode import enable_grad, is_grad_enabled, state
from ..core.dispatch.messages import message
from ..core.tape.nodes import Edge, Node, is_differentiable
from ..core.tensor.tensor import Tensor, wrap
from ..core.tensor.tree import Spec, flatten, unflatten
from .batching import vmap
from .region import Root, zeros_like


class Scope:
    """One call of a transform: its inputs, and what of its results is linked to the tape outside."""

    def __init__(self) -> None:
        self.outer: bool = is_grad_enabled()
        self.roots: list[Root] = []
        self.targets: list[Tensor] = []
        self.changed: dict[int, Any] = {}
        self.above: Scope | None = None

    @contextmanager
    def open(self) -> Iterator[None]:
        """The time in which the function runs: the tape is on."""
        previous, state.scope = state.scope, self
        self.above = previous
        try:
            with enable_grad():
                yield
        finally:
            state.scope = previous
            for root in self.roots:
                root.live = False

    def before_edge(self, tensor: Tensor) -> None:
        """Note that a tensor is written to: one from outside must not stay on the tape for these inputs' sake."""
        self.changed[id(tensor)] = ref(tensor)
        if self.above is not None:
            self.above.before_edge(tensor)

    def enter(self, tree: Any) -> Any:
        """Stand-ins for tensors, at places of their own on the tape. ValueError for anything but tensors."""
        leaves, spec = flatten(tree)
        return unflatten([self._stand_in(leaf) for leaf in leaves], spec)

    def _stand_in(self, given: Any) -> Tensor:
        if not isinstance(given, Tensor):
            raise ValueError(f"Thing passed to transform API must be Tensor, got {type(given)}")
        if not is_differentiable(given._np_dtype):
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        root = Root(given._tape_edge() if self.outer else None)
        self.roots.append(root)
        array = given._array
        target, made = wrap(array), wrap(array)
        target._edge = made._edge = (root, 0)
        self.targets.append(target)
        return made

    def linked(self, edges: Iterable[Edge | None]) -> list[bool]:
        """Whether these places on the tape lead to something outside that wants a gradient."""
        edges = list(edges)
        if not self.outer:
            return [False] * len(edges)
        known: dict[Node, bool] = {}
        stack = [e[0] for e in edges if e is not None]
        while stack:
            node = stack.pop()
            if node in known:
                continue
            below = [e[0] for e in node.edges if e is not None]
            known[node] = not below and (type(node) is not Root or node.live)
            stack += below
        for node in sorted(known, key=lambda n: n.order):
            known[node] = known[node] or any(known[e[0]] for e in node.edges if e is not None)
        return [e is not None and known[e[0]] for e in edges]

    def leave(self, tree: Any) -> Any:
        """Results for the outside: off the tape if nothing there wants a gradient."""
        for held in list(self.changed.values()):
            tensor = held()
            if tensor is not None and tensor._base is None and not self.linked([tensor._edge])[0]:
                tensor._edge = None
                tensor._edge_version += 1
        self.changed.clear()
        leaves, spec = flatten(tree)
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        linked = dict(zip(map(id, tensors), self.linked(t._tape_edge() for t in tensors), strict=True))
        return unflatten(
            [t._off_tape() if isinstance(t, Tensor) and t.requires_grad and not linked[id(t)] else t for t in leaves],
            spec,
        )

    def gradients(self, outputs: list[Tensor], weights: list[Tensor] | None) -> list[Tensor]:
        """The weighted sum of the outputs' derivatives by the inputs; zeros where there is none."""
        live = [i for i, o in enumerate(outputs) if o._tape_edge() is not None]
        outputs = [outputs[i] for i in live]
        edges = [o._tape_edge() for o in outputs]
        chosen = None if weights is None else [weights[i] for i in live]
        taped = is_grad_enabled() and (any(self.linked(edges)) or any(w._tape_edge() is not None for w in chosen or ()))
        found: Any = [None] * len(self.targets)
        if outputs:
            found = tape_grad(outputs, self.targets, chosen, retain_graph=True, create_graph=taped, allow_unused=True)
        return [zeros_like(t) if g is None else g for g, t in zip(found, self.targets, strict=True)]


def _tensors_only(tree: Any, what: str) -> tuple[list[Any], Spec]:
    leaves, spec = flatten(tree)
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise RuntimeError(f"{what}: expected only tensors, got unsupported type {type(leaf)}")
    return leaves, spec


def _place_of(output: Tensor) -> Tensor:
    """Another tensor of the same values at the same place on the tape."""
    place = output._off_tape()
    place._edge = output._tape_edge()
    return place


def _split(result: Any, has_aux: bool, what: str) -> tuple[Any, Any]:
    if not has_aux:
        return result, None
    if not (isinstance(result, tuple) and len(result) == 2):
        raise RuntimeError(f"{what}: output of function f should be a tuple: (output, aux) if has_aux is True")
    _tensors_only(result[1], what)
    return result


def numbers_of(argnums: Any, args: tuple[Any, ...]) -> tuple[int, ...]:
    """The arguments' numbers, counted from the front. RuntimeError for numbers that there are not."""
    if not isinstance(argnums, (int, tuple)):
        raise RuntimeError(f"argnums says which arguments by an int or a tuple of ints, not by {type(argnums)}")
    numbers = (argnums,) if isinstance(argnums, int) else argnums
    if not numbers:
        raise RuntimeError("argnums must be non-empty")
    if len(set(numbers)) != len(numbers):
        raise RuntimeError(f"argnums elements must be unique, got {argnums}")
    for number in numbers:
        if not isinstance(number, int):
            raise RuntimeError(
                f"argnums says which arguments by an int or a tuple of ints, not by an element of {type(number)}"
            )
        if not -len(args) <= number < len(args):
            raise RuntimeError(f"Got argnum={number}, but only {len(args)} positional inputs")
    return tuple(n % len(args) for n in numbers)


def replaced(args: tuple[Any, ...], numbers: tuple[int, ...], values: Iterable[Any]) -> list[Any]:
    """The arguments with others in some places."""
    full = list(args)
    for number, value in zip(numbers, values, strict=True):
        full[number] = value
    return full


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """`(func(*primals), pull)`, or `(..., pull, aux)`.

    `pull(cotangents)` takes tensors in the structure of the output and gives the cotangents of the primals: their
    transposed Jacobian's product, a tuple with one entry for each primal.
    """
    scope = Scope()
    with scope.open():
        inner = [scope.enter(p) for p in primals]
        result, aux = _split(func(*inner), has_aux, "vjp(f, *primals)")
    outputs, spec = _tensors_only(result, "vjp(f, *primals)")
    outputs = [_place_of(output) for output in outputs]  # those that were written to lose theirs when the scope is left
    shape = flatten(tuple(primals))[1]

    def pull(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        weights, given = flatten(cotangents)
        if given != spec:
            raise RuntimeError(
                "Expected pytree structure of cotangents to be the same as pytree structure of outputs to the function. "
                f"cotangents: {given}, primal output: {spec}"
            )
        for number, (weight, output) in enumerate(zip(weights, outputs, strict=True)):
            if not isinstance(weight, Tensor):
                raise RuntimeError(f"vjp: the cotangents have to be tensors, got {type(weight)}")
            if weight.shape != output.shape:
                raise RuntimeError(
                    f"Mismatch in shape: grad_output[{number}] has a shape of {weight.shape} and output[{number}] has a "
                    f"shape of {output.shape}."
                )
        found = scope.leave(scope.gradients(outputs, weights))
        return unflatten(found, shape)

    out = scope.leave(result)
    return (out, pull, scope.leave(aux)) if has_aux else (out, pull)


def grad_and_value(func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that gives `(gradient, value)`, or `(gradient, (value, aux))` with `has_aux`.

    `func` returns one scalar tensor (and `aux`); the gradient is by the arguments that `argnums` names, each a tensor or a
    container of tensors.
    """
    what = "grad_and_value(f)(*args)"

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        scope = Scope()
        numbers = numbers_of(argnums, args)
        chosen = tuple(args[n] for n in numbers)
        with scope.open():
            inner = scope.enter(chosen)
            output, aux = _split(func(*replaced(args, numbers, inner), **kwargs), has_aux, what)
            if not isinstance(output, Tensor):
                raise RuntimeError(f"{what}: Expected f(*args) to return a Tensor, got {type(output)}")
            if output.ndim:
                raise RuntimeError(message("grad_of_no_scalar", what=what, dims=output.ndim))
        found = unflatten(scope.leave(scope.gradients([output], None)), flatten(chosen)[1])
        gradient = found[0] if isinstance(argnums, int) else found
        value = scope.leave(output)
        return gradient, ((value, scope.leave(aux)) if has_aux else value)

    return wrapped


def grad(func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that gives the gradient of `func`, or `(gradient, aux)`; see `grad_and_value`."""
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        gradient, value = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapped


def basis(tensors: list[Tensor]) -> list[Tensor]:
    """For each tensor, a batch of directions: the unit vectors of all tensors together, one after the other."""
    sizes = [int(np.prod(t.shape)) for t in tensors]
    total, start, made = sum(sizes), 0, []
    for tensor, size in zip(tensors, sizes, strict=True):
        if state.dispatch_modes:  # which see operators
            unit: Any = tensor.new_zeros(total, size)  # type: ignore[attr-defined]
            unit.diagonal(-start).fill_(1)
            made.append(unit.view(total, *tensor.shape))
            start += size
            continue
        rows = np.zeros((total, size), tensor._np_dtype)
        rows[np.arange(start, start + size), np.arange(size)] = 1
        made.append(wrap(jnp.asarray(rows.reshape(total, *tensor.shape))))
        start += size
    return made


def jacrev(
    func: Callable[..., Any],
    argnums: Any = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable[..., Any]:
    """A function that gives the Jacobian of `func`, one pullback for all of its rows.

    Each output's derivative by each of the inputs that `argnums` names has the shape `output.shape + input.shape`; they
    are nested as the output, then as the inputs. `chunk_size` limits how many rows are computed at a time.
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        numbers = numbers_of(argnums, args)
        chosen = tuple(args[n] for n in numbers)

        def inner(*values: Any) -> Any:
            return func(*replaced(args, numbers, values), **kwargs)

        result, pull, *aux = vjp(inner, *chosen, has_aux=has_aux)
        outputs, out_spec = flatten(result)
        inputs, in_spec = flatten(chosen[0] if isinstance(argnums, int) else chosen)
        rows = vmap(
            lambda *cts: flatten(pull(unflatten(list(cts), out_spec)))[0], randomness="same", chunk_size=chunk_size
        )(*basis(outputs))
        sizes = [int(np.prod(output.shape)) for output in outputs]
        parts = [r.split(sizes, 0) for r in rows]
        jacobians = []
        for number, output in enumerate(outputs):
            blocks = [p[number].reshape(*output.shape, *x.shape) for p, x in zip(parts, inputs, strict=True)]
            jacobians.append(unflatten(blocks, in_spec))
        made = unflatten(jacobians, out_spec)
        return (made, aux[0]) if has_aux else made

    return wrapped


__all__ = ["grad", "grad_and_value", "jacrev", "vjp"]

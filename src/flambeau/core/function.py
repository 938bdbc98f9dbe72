"""Differentiable operations written by the user: `Function`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from . import dtypes
from .autograd import _taped, _tensor
from .grad_mode import set_grad_enabled
from .grad_mode import state as grad_state
from .tape import FREED, Node, Taped, is_differentiable
from .tensor import Tensor, wrap


class FunctionCtx:
    """What a `Function`'s forward leaves for its backward."""

    def __init__(self) -> None:
        self._saved: tuple[Any, ...] | None = ()
        self._dirty: tuple[Any, ...] = ()
        self._constant: tuple[Any, ...] = ()
        self._materialize = True
        self.needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for the backward pass."""
        self._saved = tensors

    save_for_forward = save_for_backward

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The tensors kept by `save_for_backward`."""
        if self._saved is None:
            raise RuntimeError(FREED)
        return tuple(self._saved)

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Name the inputs that forward wrote to in place; they must be returned."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Name the outputs that have no gradient."""
        self._constant = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward gets zeros (the default) or None for outputs that nothing depends on."""
        self._materialize = value


class FunctionNode(Node):
    """A call of a user's Function; calls its backward on Tensors."""

    __slots__ = ("ctx", "function", "metas", "inputs")

    def __init__(self, function: type[Function], ctx: Any, edges: Any, metas: Any, inputs: Any):
        super().__init__(function.__name__ + "Backward", edges, len(metas))
        self.ctx = ctx
        self.function = function
        self.metas = metas  # shapes and dtypes of the outputs
        self.inputs = inputs  # and of the inputs, None for one that is no tensor

    def __repr__(self) -> str:
        return f"<torch.autograd.function.{self.label} object at {id(self):#x}>"

    @property
    def saved_tensors(self) -> Any:
        return self.ctx.saved_tensors

    def _call(self, gradients: list[Tensor | None]) -> list[Any]:
        if self.ctx._materialize:
            gradients = [
                wrap(jnp.zeros(shape, dtype)) if g is None and is_differentiable(dtype) else g
                for g, (shape, dtype) in zip(gradients, self.metas, strict=True)
            ]
        results = self.function.backward(self.ctx, *gradients)
        results = list(results) if isinstance(results, (tuple, list)) else [results]
        extra = results[len(self.edges) :]
        if len(results) < len(self.edges) or any(r is not None for r in extra):
            raise RuntimeError(
                f"function {self.label} returned an incorrect number of gradients (expected {len(self.edges)}, got {len(results)})"
            )
        return [
            None if r is None or e is None else self._fitting(i, r)
            for i, (r, e) in enumerate(zip(results, self.edges, strict=False))
        ]

    def _fitting(self, i: int, gradient: Any) -> Tensor:
        """A gradient in its input's shape (summed over what broadcasting repeated) and dtype."""
        if not isinstance(gradient, Tensor):
            raise RuntimeError(f"expected Variable or None (got {type(gradient).__name__})")
        shape, dtype = self.inputs[i]
        if gradient.shape != shape:
            lead = gradient.ndim - len(shape)
            if lead < 0 or any(n not in (1, m) for n, m in zip(shape, gradient.shape[lead:], strict=True)):
                raise RuntimeError(
                    f"Function {self.label} returned an invalid gradient at index {i} - got {list(gradient.shape)} but "
                    f"expected shape compatible with {list(shape)}"
                )
            gradient = gradient.sum_to_size(shape)
        return gradient if gradient._np_dtype == dtype else gradient.to(dtypes.from_numpy(dtype))

    def backward(self, cotangents: list[Any]) -> Sequence[Any]:
        results = self._call([None if c is None else wrap(c) for c in cotangents])
        return [None if r is None else r._array for r in results]

    def backward_taped(self, cotangents: list[Taped | None]) -> Sequence[Taped | None]:
        return [_taped(r) for r in self._call([_tensor(c) for c in cotangents])]

    def release(self) -> None:
        self.ctx._saved = None

    def exchange(self, array: Callable[[Any], Any], edge: Callable[[Any], Any]) -> None:
        super().exchange(array, edge)

        def other(value: Any) -> Any:
            if isinstance(value, Tensor):
                made = wrap(array(value._array))
                made._edge = edge(value._tape_edge())
                return made
            if type(value) in (tuple, list):
                return type(value)(map(other, value))
            return value

        ctx = type(self.ctx).__new__(type(self.ctx))
        ctx.__dict__.update((name, other(value)) for name, value in vars(self.ctx).items())
        self.ctx = ctx


class Function:
    """A differentiable operation written by the user: static methods `forward(ctx, ...)` and `backward(ctx, ...)`.

    With `setup_context(ctx, inputs, output)`, forward takes no ctx. Use it with `apply`.
    """

    generate_vmap_rule = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            f"Legacy autograd function with non-static forward method is deprecated: make forward and backward of "
            f"{type(self).__name__} static methods that take a ctx, and call {type(self).__name__}.apply(...)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("this autograd.Function has no forward; write it as a static method")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with "
            "backward mode AD."
        )

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> Any:
        raise NotImplementedError("this autograd.Function has no vmap; it is mapped like any other function")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run forward and put the call on the tape."""
        transform = grad_state.transforms
        return transform.apply(cls, args, kwargs) if transform else cls._apply(args, kwargs)

    @classmethod
    def _forward(cls, args: Any, kwargs: Any, wanted: tuple[bool, ...], output: Any = None) -> tuple[Any, Any]:
        """The context and the output of a call, off the tape. An `output` that is given was computed in another way."""
        ctx = type(cls.__name__ + "Backward", (FunctionCtx,), {})()
        ctx.needs_input_grad = wanted
        with set_grad_enabled(False):
            if cls.setup_context is Function.setup_context:
                return ctx, cls.forward(ctx, *args, **kwargs)
            if output is None:
                output = cls.forward(*args, **kwargs)
            cls.setup_context(ctx, args, output)
        return ctx, output

    @classmethod
    def _apply(cls, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any = None) -> Any:
        edges = tuple(a._tape_edge() if isinstance(a, Tensor) else None for a in args)
        record = grad_state.grad and any(e is not None for e in edges)
        if output is not None and not record:
            return output
        ctx, output = cls._forward(args, kwargs, tuple(e is not None and grad_state.grad for e in edges), output)
        if not record:
            return output
        single = not isinstance(output, (tuple, list))
        outputs = [output] if single else list(output)
        metas = [(tuple(o.shape), o._np_dtype) if isinstance(o, Tensor) else ((), np.dtype(bool)) for o in outputs]
        inputs = [(tuple(a.shape), a._np_dtype) if isinstance(a, Tensor) else None for a in args]
        node = FunctionNode(cls, ctx, edges, metas, inputs)
        constant = {id(t) for t in ctx._constant}
        dirty = {id(t) for t in ctx._dirty}
        made = []
        for i, o in enumerate(outputs):
            if not isinstance(o, Tensor) or id(o) in constant or not is_differentiable(o._np_dtype):
                made.append(o)
            elif id(o) in dirty:
                o._set_edge((node, i))
                made.append(o)
            else:
                # an input that is returned as it is becomes an output of its own, on the same memory
                tensor = o.detach()
                tensor._edge = (node, i)
                made.append(tensor)
        ctx._saved = tuple(_resaved(s, outputs, made) for s in ctx._saved) if ctx._saved is not None else None
        for watch in grad_state.watchers:
            watch(node, ())
        return made[0] if single else tuple(made)


def _resaved(saved: Any, outputs: list[Any], made: list[Any]) -> Any:
    """A saved output is the one with the edge, so that a second derivative finds its way."""
    for o, m in zip(outputs, made, strict=True):
        if saved is o and m is not o:
            return m
    return saved


def once_differentiable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a `Function.backward` that can't be differentiated itself."""

    def wrapped(ctx: Any, *args: Any) -> Any:
        with set_grad_enabled(False):
            return function(ctx, *args)

    return wrapped


__all__ = ["Function", "FunctionCtx", "once_differentiable"]

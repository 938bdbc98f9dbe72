"""Differentiable operations written by the user: `Function`."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp

from ..array import dtypes
from ..array.owned import OwnedArray
from ..context import overrides
from ..context.grad_mode import set_grad_enabled
from ..context.grad_mode import state as grad_state
from ..dispatch.messages import message
from ..tape import taking
from ..tape.nodes import OWN, AccumulateGrad, Node, Refusing, Saved, Taped, freed, is_differentiable
from ..tensor.sparse import from_array, is_sparse, stored, to_array
from ..tensor.tensor import Tensor, wrap
from ..tensor.wrappers import tensor_of_owned
from .hooking import taped_of, tensor_of


class Snapshots(Saved):
    """Tensors as they are now: one that is written to later is another tensor here, with the values of now."""

    __slots__ = ("members",)

    def __init__(self, tensors: Sequence[Any]):
        self.members: Any = [
            (t, OwnedArray.of(t), None, t._tape_edge())
            if type(t) in overrides.dispatching
            else (t, _whole(t), t._view, t._tape_edge())
            if isinstance(t, Tensor) and not is_sparse(t)
            else (t, None, None, None)
            for t in tensors
        ]

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, i: Any) -> Any:
        tensor, whole, view, edge = self.members[i]
        if type(whole) is OwnedArray:
            return tensor_of_owned(whole, edge)
        if whole is None or (_whole(tensor) is whole and tensor._view is view and tensor._tape_edge() is edge):
            return tensor
        made = wrap(whole)
        made._view = view
        made._edge = edge
        return made


def _is_leaf(edge: Any) -> bool:
    return edge is not None and type(edge[0]) is AccumulateGrad


def _arrived(gradient: Tensor, edge: Any) -> Any:
    """A gradient as the next node takes it: a sparse one as it is only if that is a leaf."""
    if is_sparse(gradient) and not _is_leaf(edge):
        return to_array(gradient).dense()
    return to_array(gradient)


def _places(tensor: Tensor) -> Any:
    """Where a sparse tensor of single elements stores something; None for others."""
    indices = stored(tensor).indices if is_sparse(tensor) else None
    return None if isinstance(indices, tuple) else indices


def _whole(tensor: Tensor) -> Any:
    trace = grad_state.trace
    return tensor._storage.value if trace is None else trace.read(tensor)


class FunctionCtx:
    """What a `Function`'s forward leaves for its backward."""

    def __init__(self) -> None:
        self._saved: Sequence[Any] | None = ()
        self._saved_forward: tuple[Any, ...] = ()
        self._dirty: tuple[Any, ...] = ()
        self._constant: tuple[Any, ...] = ()
        self._materialize = True
        self.needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for the backward pass."""
        self._saved = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for `jvp`, which has them as `saved_tensors`; the backward pass has its own."""
        self._saved_forward = tensors

    @property
    def to_save(self) -> Sequence[Any] | None:
        """What `save_for_backward` was given."""
        return self._saved

    @property
    def saved_variables(self) -> tuple[Any, ...]:
        """The old name of `saved_tensors`."""
        warnings.warn("'saved_variables' is deprecated; use 'saved_tensors'", DeprecationWarning, stacklevel=2)
        return self.saved_tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The tensors kept by `save_for_backward`."""
        if self._saved is None:
            raise freed(type(self).__name__)
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


class BackwardCFunction(FunctionCtx):
    """The context of a certain Function, which has a class of it of its own: `Function._backward_cls`."""

    _forward_cls: type[Function]


class FunctionNode(Node):
    """A call of a user's Function; calls its backward on Tensors. What forward has left on its ctx is seen on the node, too."""

    __slots__ = ("ctx", "function", "metas", "inputs")
    module = "flambeau.autograd.function"
    runs_without = True

    def __init__(self, function: type[Function], ctx: Any, edges: Any, metas: Any, inputs: Any):
        super().__init__(function.__name__ + "Backward", edges, len(metas))
        self.ctx = ctx
        self.function: type[Function] = function
        self.metas: Any = metas  # shapes and dtypes of the outputs
        self.inputs: Any = inputs  # and of the inputs, with a sparse one's indices; None for one that is no tensor

    def __repr__(self) -> str:
        return f"<torch.autograd.function.{self.label} object at {id(self):#x}>"

    def __getattr__(self, name: str) -> Any:
        if name in ("ctx", "metadata_"):
            raise AttributeError(name)
        return getattr(self.ctx, name)

    def _call(self, gradients: list[Tensor | None]) -> list[Any]:
        if self.ctx._materialize:
            gradients = [
                wrap(jnp.zeros(shape, dtype)) if g is None and dtype is not None else g
                for g, (shape, dtype) in zip(gradients, self.metas, strict=True)
            ]
        results = self.function._derivative()(self.ctx, *gradients)
        results = list(results) if isinstance(results, tuple) else [results]
        extra = results[len(self.edges) :]
        if len(results) < len(self.edges) or any(r is not None for r in extra):
            raise RuntimeError(
                f"function {self.label} returned an incorrect number of gradients (expected {len(self.edges)}, got {len(results)})"
            )
        self._refuse_misplaced(results)
        return [
            None if r is None or e is None else self._fitting(i, r)
            for i, (r, e) in enumerate(zip(results, self.edges, strict=False))
        ]

    def _refuse_misplaced(self, results: list[Any]) -> None:
        for i, (result, given) in enumerate(zip(results, self.inputs, strict=False)):
            if result is None:
                continue
            if given is None:
                raise RuntimeError(
                    f"function {self.label} returned a gradient different than None at position {i + 1}, but the corresponding "
                    "forward input was not a Variable"
                )
            if not isinstance(result, Tensor):
                raise RuntimeError(f"expected Variable or None (got {type(result).__name__})")

    def _fitting(self, i: int, gradient: Any) -> Tensor:
        """A gradient in its input's shape (summed over what broadcasting repeated) and dtype."""
        shape, dtype, places = self.inputs[i]
        kind = gradient._np_dtype.kind
        if kind not in "fV" and (kind == "c") != (dtype.kind == "c"):
            raise RuntimeError(message("complex_gradient_of_real"))
        if gradient.shape != shape:
            lead = gradient.ndim - len(shape)
            if lead < 0 or any(n not in (1, m) for n, m in zip(shape, gradient.shape[lead:], strict=True)):
                raise RuntimeError(
                    f"Function {self.label} returned an invalid gradient at index {i} - got {list(gradient.shape)} but "
                    f"expected shape compatible with {list(shape)}"
                )
            gradient = gradient.sum_to_size(shape)
        if places is not None:  # of a sparse input the tape has the stored values
            gradient = (gradient.to_dense() if is_sparse(gradient) else gradient)[tuple(places)]
        edge = self.edges[i]
        if gradient._np_dtype == dtype or (taking.asked and getattr(edge and edge[0], "takes", OWN) is not OWN):
            return gradient  # or the engine casts it to what the leaf takes
        return gradient.to(dtypes.from_numpy(dtype))

    def backward(self, cotangents: list[Any]) -> Sequence[Any]:
        results = self._call([None if c is None else from_array(c) for c in cotangents])
        return [None if r is None else _arrived(r, e) for r, e in zip(results, self.edges, strict=True)]

    def backward_taped(self, cotangents: list[Taped | None]) -> Sequence[Taped | None]:
        results = self._call([tensor_of(c) for c in cotangents])
        inside = [r is not None and is_sparse(r) and not _is_leaf(e) for r, e in zip(results, self.edges, strict=True)]
        return [taped_of(r.to_dense() if dense else r) for r, dense in zip(results, inside, strict=True)]

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
                kind: Any = type(value)
                return kind(map(other, value))
            return tuple(map(other, value)) if isinstance(value, Saved) else value

        ctx = type(self.ctx).__new__(type(self.ctx))  # type: ignore[call-overload]
        ctx.__dict__.update((name, other(value)) for name, value in vars(self.ctx).items())
        self.ctx: Any = ctx  # type: ignore[no-redef]


_METHODS = ("forward", "setup_context", "backward", "vjp", "jvp", "vmap")


class Function:
    """A differentiable operation written by the user: static methods `forward(ctx, ...)` and `backward(ctx, ...)`.

    With `setup_context(ctx, inputs, output)`, forward takes no ctx. Use it with `apply`.
    """

    __module__ = "flambeau.autograd.function"  # its public home, which the drop-in renames
    generate_vmap_rule = False
    _backward_cls: type[BackwardCFunction]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._backward_cls = type(cls.__name__ + "Backward", (BackwardCFunction,), {"_forward_cls": cls})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all static, so you should invoke "
            "them on the class itself. Instantiating an autograd function will raise an error in a future version of PyTorch.",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "Legacy autograd function with non-static forward "
            "method is deprecated. Please use new-style autograd "
            "function with static forward method. (Example: https://pytorch.org/docs/stable/"
            "autograd.html#torch.autograd.Function) "
            f"Call {type(self).__name__}.apply(...)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """To be written: the results of `forward(ctx, *inputs)`, or of `forward(*inputs)` beside `setup_context`."""
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function, as a static method"
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """May be written: keep on `ctx` what `backward` needs, where `forward` has none."""
        raise NotImplementedError("setup_context is not implemented.")

    if TYPE_CHECKING:  # whatever parameters a subclass's has

        @staticmethod
        def backward(*args: Any, **kwargs: Any) -> Any: ...

    else:

        @staticmethod
        def backward(ctx: Any, *grad_outputs: Any) -> Any:
            """To be written: a gradient (or None) for each input, from those of the outputs."""
            raise NotImplementedError(
                "You must implement either the backward or vjp method for your custom autograd.Function to use it with "
                "backward mode AD."
            )

    @staticmethod
    def vjp(ctx: Any, *grad_outputs: Any) -> Any:
        """Another name for `backward`."""
        return Function.backward(ctx, *grad_outputs)

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """To be written for forward mode: the outputs' derivatives, from those of the inputs."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> Any:
        """May be written: (results for a batch, their batch dimensions)."""
        raise NotImplementedError("this autograd.Function has no vmap; it is mapped like any other function")

    @classmethod
    def _derivative(cls) -> Callable[..., Any]:
        """The user's `backward` or `vjp`. RuntimeError if there are both."""
        if cls.vjp is Function.vjp:
            return cls.backward
        if cls.backward is not Function.backward:
            raise RuntimeError(
                "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You should only implement one of "
                "them."
            )
        return cls.vjp

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run forward and put the call on the tape."""
        if kwargs:
            args, kwargs = cls._positional(args, kwargs)
        if cls.setup_context is not Function.setup_context:
            args += _defaults_after(cls.forward, len(args))
        if grad_state.trace is not None:
            grad_state.trace.look_at_class(cls, _METHODS)
        transform = grad_state.transforms
        return transform.apply(cls, args, kwargs) if transform else cls._apply(args, kwargs)

    @classmethod
    def _positional(cls, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Arguments given by name in their places, so that backward returns a gradient for each."""
        lead = (None,) if cls.setup_context is Function.setup_context else ()
        bound = inspect.signature(cls.forward).bind(*lead, *args, **kwargs)
        if not lead:
            by_name = {name for name, p in bound.signature.parameters.items() if p.kind is p.KEYWORD_ONLY}
            left_out = by_name.difference(kwargs)
            bound.apply_defaults()
            return bound.args, {name: value for name, value in bound.kwargs.items() if name not in left_out}
        return bound.args[len(lead) :], bound.kwargs

    @classmethod
    def _forward(cls, args: Any, kwargs: Any, wanted: tuple[bool, ...], output: Any = None) -> tuple[Any, Any]:
        """The context and the output of a call, off the tape. An `output` that is given was computed in another way."""
        ctx = cls._backward_cls()
        ctx.needs_input_grad = wanted
        with set_grad_enabled(False):
            if cls.setup_context is Function.setup_context:
                made = cls.forward(ctx, *args, **kwargs)
                return ctx, made if output is None else _in_place_of(made, output, ctx)
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
        ctx, output = cls._forward(args, kwargs, tuple(e is not None for e in edges), output)
        single = not isinstance(output, tuple)  # a list is a value as any other that is no tensor
        outputs = [output] if single else list(output)
        given = {id(a): a for a in args if isinstance(a, Tensor)}
        _check_marks(ctx, outputs, given)
        if cls.setup_context is not Function.setup_context:
            _check_returned(ctx, outputs, given, (*ctx._dirty, *(ctx._constant if record else ())))
        if not record:
            made = [_off_tape(o) if id(o) in given and not any(o is d for d in ctx._dirty) else o for o in outputs]
            return made[0] if single else tuple(made)
        _check_saved(ctx._saved)
        metas = [(tuple(o.shape), o._np_dtype) if isinstance(o, Tensor) else ((), None) for o in outputs]
        inputs = [(tuple(a.shape), a._np_dtype, _places(a)) if isinstance(a, Tensor) else None for a in args]
        node = FunctionNode(cls, ctx, edges, metas, inputs)
        made = _on_tape(ctx, node, outputs, given)
        if ctx._saved:
            ctx._saved = Snapshots([_resaved(s, outputs, made) for s in ctx._saved])
        for watch in grad_state.watchers:
            watch(node, ())
        return made[0] if single else tuple(made)


class InplaceFunction(Function):
    """The old class for functions that write to their argument; today `ctx.mark_dirty` says so."""

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.inplace = inplace


class NestedIOFunction(Function):
    """The old class for functions of nested structures. It cannot be applied, in PyTorch neither: use Function."""

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            f"{cls.__name__}: NestedIOFunction needs functions with instances, which are gone (Legacy autograd function with "
            "non-static forward method is deprecated): use torch.autograd.Function, and hand it the tensors one by one"
        )


def _defaults_after(forward: Any, given: int) -> tuple[Any, ...]:
    """The defaults of what a call leaves out: `setup_context`, `vmap` and `jvp` are given these as inputs, too."""
    forward = inspect.unwrap(forward)
    defaults = getattr(forward, "__defaults__", None) or ()
    missing = forward.__code__.co_argcount - given if defaults else 0
    return defaults[-missing:] if 0 < missing <= len(defaults) else ()


def _in_place_of(made: Any, output: Any, ctx: FunctionCtx) -> Any:
    """Put an output that was computed by another rule wherever forward has left its own."""
    single = not isinstance(output, tuple)
    own = made if isinstance(made, tuple) else [made]
    others = {id(m): o for m, o in zip(own, [output] if single else output, strict=True)}
    ctx._saved = tuple(others.get(id(t), t) for t in ctx._saved or ())
    ctx._dirty = tuple(others.get(id(t), t) for t in ctx._dirty)
    ctx._constant = tuple(others.get(id(t), t) for t in ctx._constant)
    return output


def _off_tape(given: Tensor) -> Tensor:
    """What stands for an argument that is an output of a call that is not recorded."""
    return given.detach() if given.requires_grad else _alias(given, given)


def _check_saved(saved: Any) -> None:
    for i, value in enumerate(saved or ()):
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(
                f"save_for_backward can only save variables, but argument {i} is of type {type(value).__name__}; keep other "
                "values as attributes of ctx"
            )


def _check_returned(ctx: Any, outputs: list[Any], given: dict[int, Tensor], marked: tuple[Any, ...]) -> None:
    """What `setup_context` saves of an input that is an output is neither: PyTorch refuses it."""
    unmarked = {id(o) for o in outputs if id(o) in given}.difference(map(id, marked))
    if unmarked.intersection(map(id, (*(ctx._saved or ()), *(ctx._saved_forward or ())))):
        raise RuntimeError(message("input_saved_as_is"))


def _check_marks(ctx: Any, outputs: list[Any], given: dict[int, Tensor]) -> None:
    """Raises RuntimeError for tensors that are marked as written to but may not be, or are no outputs."""
    for kind, marked in (("mark_dirty can only accept variables", ctx._dirty),
                         ("mark_non_differentiable only accepts variable arguments", ctx._constant)):  # fmt: skip
        for i, tensor in enumerate(marked):
            if not isinstance(tensor, Tensor):
                raise RuntimeError(f"{kind}, but argument {i} is of type {type(tensor).__name__}")
    for tensor in ctx._dirty:
        if id(tensor) not in given:
            warnings.warn(
                "ctx.mark_dirty() received a tensor that was not an input. Only input tensors should be given to "
                "ctx.mark_dirty().",
                UserWarning,
                stacklevel=4,
            )
        elif not any(o is tensor for o in outputs):
            raise RuntimeError(
                "Some elements marked as dirty during the forward method were not returned as output. The inputs that are "
                "modified inplace must all be outputs of the Function."
            )
        elif grad_state.grad and tensor.is_leaf and tensor.requires_grad:
            raise RuntimeError("a leaf Variable that requires grad has been used in an in-place operation.")
        else:
            tensor._check_inplace()
            if grad_state.trace is None and not is_sparse(tensor):  # a trace counts by what is in the storage
                tensor._storage.touch()
            if tensor._base is not None and len(outputs) > 1:
                raise RuntimeError(_DIRTY_VIEW)


_DIRTY_VIEW = (
    "If your Function modifies inplace an input that is a view of another Tensor, your Function cannot return more than one "
    "Tensor. This is not supported by the current autograd engine. You should either make sure the input is not a view (using "
    ".clone() for example) or make your Function only return one Tensor (potentially splitting it into two Functions: one doing "
    "the inplace that returns a single Tensor and a second one that does the other operations). You can ask on the forum "
    "https://discuss.pytorch.org/ if you need help to do this change."
)
_OWN_VIEW = (
    "Output {} of {} is a view and is being modified inplace. This view was created inside a custom Function (or because an "
    "input was returned as-is) and the autograd logic to handle view+inplace would override the custom backward associated with "
    "the custom Function, leading to incorrect gradients. This behavior is forbidden. You can fix this by cloning the output of "
    "the custom Function."
)
_OWN_VIEWS = (
    "Output {} of {} is a view and is being modified inplace. This view is the output of a function that returns multiple views. "
    "Such functions do not allow the output views to be modified inplace. You should replace the inplace operation by an "
    "out-of-place one."
)


def _alike(made: Tensor, tensor: Tensor, attributes: bool = True) -> Tensor:
    """The same as a tensor of the other one's class, unless that is for parameters, with its attributes."""
    kind: Any = type(tensor)
    if kind.__torch_function__ is not overrides.disabled:
        made.__class__ = kind
    if attributes:
        vars(made).update(vars(tensor))
    return made


def _alias(seen: Tensor, source: Tensor, refusal: str | None = None) -> Tensor:
    """Another tensor on the memory of `seen`, a view of `source`."""
    made = seen._off_tape()
    made._base = source if source._base is None else source._base
    made._edge_version = made._base._edge_version
    made._refusal = refusal or source._refusal
    return made


def _on_tape(ctx: Any, node: FunctionNode, outputs: list[Any], given: dict[int, Tensor]) -> list[Any]:
    """The outputs as the caller gets them: those in the memory of an input are views of it, which may not be written to."""
    constant, dirty = {id(t) for t in ctx._constant}, {id(t) for t in ctx._dirty}
    name = node.function.__name__
    sources = {a._storage: a for a in given.values()}
    several = (
        sum(isinstance(o, Tensor) and id(o) not in constant and is_differentiable(o._np_dtype) for o in outputs) > 1
    )
    refusal = _OWN_VIEWS if several else _OWN_VIEW
    made: list[Any] = []
    known: dict[int, Tensor] = {}
    for i, o in enumerate(outputs):
        if not isinstance(o, Tensor):
            made.append(o)
            continue
        source = sources.get(o._storage)
        if id(o) in constant or not is_differentiable(o._np_dtype):
            tensor = o._off_tape() if id(o) in given else o
        elif id(o) in known and (id(o) not in given or id(o) in dirty):
            tensor = known[id(o)]
            tensor._edge = (node, i)
        elif id(o) in dirty:
            tensor = o
            o._set_edge((node, i))
        else:
            if source is not None:
                tensor = _alike(_alias(o, source, refusal.format(i, name)), o, attributes=id(o) not in given)
            elif o._edge is None and grad_state.trace is None and not grad_state.transforms:
                tensor = o  # what forward has made and may have kept
                o._base = o._refusal = None
            else:
                tensor = _alike(o._off_tape(), o)
            tensor._edge = (node, i)
        known[id(o)] = tensor
        made.append(tensor)
    return made


def _resaved(saved: Any, outputs: list[Any], made: list[Any]) -> Any:
    """A saved output is the one with the edge, so that a second derivative finds its way."""
    for o, m in zip(outputs, made, strict=True):
        if saved is o and m is not o:
            return m
    return saved


_TWICE = "trying to differentiate twice a function that was marked with @once_differentiable"


def once_differentiable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a `Function.backward` that can't be differentiated itself: doing so raises RuntimeError."""

    @functools.wraps(function)
    def wrapped(ctx: Any, *args: Any) -> Any:
        with set_grad_enabled(False):
            results = function(ctx, *args)
        edges = [a._tape_edge() for a in args if isinstance(a, Tensor)]
        if not grad_state.grad or not any(edges):
            return results
        single = not isinstance(results, tuple)
        listed = (results,) if single else results
        node = Refusing("Error", edges, len(listed), _TWICE, "torch::autograd::Error")
        made = []
        for i, result in enumerate(listed):
            if isinstance(result, Tensor):
                result = result._off_tape()
                result._edge = (node, i)
            made.append(result)
        return made[0] if single else tuple(made)

    return wrapped


__all__ = [
    "BackwardCFunction", "Function", "FunctionCtx", "FunctionNode", "InplaceFunction", "NestedIOFunction", "Snapshots", "once_differentiable",
]  # fmt: skip

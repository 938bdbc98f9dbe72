"""The operator mechanism: one declaration gives the function, its gradient, method, in-place form and `out=`.

An array function's parameters are told apart by their annotations (see `docs/design.md`). A call splits its arguments
into dynamic values, which XLA gets as inputs, and static ones, which key the compiled program.
"""

from __future__ import annotations

import functools
import inspect
import numbers
from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax._src.array import ArrayImpl

from ...native import channels_last
from ..array import dtypes, programs
from ..array.return_types import return_type
from ..context import overrides
from ..context.grad_mode import no_grad
from ..context.grad_mode import state as grad_state
from ..context.overrides import PASS, Overridden, ask, has_say, plain
from ..tape.nodes import OperatorNode, Program, camel, is_differentiable
from ..tensor.sparse import SparseOperand
from ..tensor.storage import Storage
from ..tensor.tensor import Tensor, blank, wrap
from . import autocast
from .host_numbers import HostNumber
from .publishing import _attach, _publish, namespaces
from .signature import FLOAT, PYTHON_NUMBERS, SYNONYMS, Signature, kind_of, unpack
from .sparse_forms import instead

# Annotations of array functions' parameters: see docs/design.md. They are read as text.
Array = Any
Arrays = Any
Scalar = Any
_T = TypeVar("_T")
Static = Annotated[_T, "static"]

dtypes._on_default_change.append(programs.forget)


def _rank(value: Any) -> tuple[dtypes.dtype, int]:
    number = not hasattr(value, "ndim") or getattr(value.aval, "weak_type", False)
    found = dtypes.from_numpy(np.result_type(value) if not hasattr(value, "dtype") else value.dtype)
    return found, 2 if number else 0 if value.ndim else 1


def _promoted(flat: tuple[Any, ...], arrays: list[int], scalars: list[int], mode: str) -> tuple[Any, ...]:
    common = dtypes.promote([_rank(flat[i]) for i in arrays])
    if mode == "float" and common.category <= dtypes.INTEGER:
        common = dtypes.get_default_dtype()
    made = list(flat)
    for i in scalars:
        if common.category <= dtypes.INTEGER < _rank(flat[i])[0].category:
            raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    for i in (*arrays, *scalars):
        made[i] = convert(flat[i], common.numpy)
    return tuple(made)


def result_type(*values: Any) -> dtypes.dtype:
    """The dtype that a promoting operator on these tensors and Python numbers has."""
    kinds = {bool: dtypes.bool, int: dtypes.int64, float: dtypes.float64, complex: dtypes.complex128}
    return dtypes.promote(
        [(v.dtype, 1 - bool(v.ndim)) if isinstance(v, Tensor) else (kinds[type(v)], 2) for v in values]
    )


def convert(value: Any, target: np.dtype) -> Any:
    """The value as a (strongly typed) array of this dtype; of complex numbers only the real parts become real."""
    value = jnp.asarray(value)
    if value.dtype == target:
        return jax.lax.convert_element_type(value, target) if value.aval.weak_type else value
    if value.dtype.kind == "c" and target.kind != "c":
        value = value.real
    if value.dtype == np.bool_ and target.kind not in "biu":
        # XLA turns a product with a converted bool into a choice, which would lose 0 * nan, 0 * inf and -0.0
        return jnp.where(value, np.ones((), target), np.zeros((), target))
    return jax.lax.convert_element_type(value, target)


def _strong(value: Any) -> Any:
    return jax.lax.convert_element_type(value, value.dtype) if value.aval.weak_type else value


class Operator:
    """What `@operator` keeps of a declaration: the array function, and its compiled programs by static arguments."""

    def __init__(
        self,
        function: Callable[..., Any],
        promote: str | None,
        returns: Any,
        grad: Any,
        space: str = "",
        images: bool = False,
        check: Callable[..., None] | None = None,
        options: Callable[..., None] | None = None,
        derivative: str | None = None,
    ):
        self.function = function
        self.check = check
        self.images = images
        self.name = function.__name__.lstrip("_")
        named = space + self.name
        self.promote = promote
        self.signature = Signature(function, options)
        self.returns = return_type(named, returns) if returns else None
        self.grad = grad or camel(self.name) + "Backward0"
        self.derivative = derivative
        self.programs = programs.Table()
        self.written = programs.Table()

    def program(self, key: tuple[Any, ...]) -> Program:
        """The compiled program for these static arguments."""
        try:
            found = self.programs[key]
        except TypeError:
            bad = next((p[1] for p in key if not isinstance(p, int) and not _hashable(p[1])), None)
            raise TypeError(f"{self.name}(): unexpected argument of type {type(bad).__name__}") from None
        if found is None:
            found = self.programs[key] = Program(
                self._flat(key), self.name, self._label(key), self.images, self.derivative
            )
        return found

    def _label(self, key: tuple[Any, ...]) -> str | Callable[[list[Any]], str]:
        """The node's name for these static arguments: a text, or a function of the arrays."""
        grad = self.grad
        if isinstance(grad, str) or len(inspect.signature(grad).parameters) == 1:
            return grad
        names = self.signature.names
        statics = {name: part[1] for name, part in zip(names, key, strict=True) if isinstance(part, tuple)}
        return lambda arrays: grad(arrays, statics)

    def write_program(self, key: tuple[Any, ...]) -> Program:
        """The same with the result cast to the first argument's dtype, for the in-place form."""
        found = self.written[key]
        if found is None:
            compute = self._flat(key)

            def inplace(*flat: Any) -> Any:
                out = compute(*flat)
                out = out[0] if isinstance(out, tuple) else out
                return fit(out, flat[0].shape, flat[0].dtype)

            found = self.written[key] = Program(inplace, self.name + "_", self._label(key), derivative=self.derivative)
        return found

    def _flat(self, key: tuple[Any, ...]) -> Callable[..., Any]:
        function, signature, promote, check = self.function, self.signature, self.promote, self.check
        parameters = signature.parameters

        def flat_function(*flat: Any) -> Any:
            if check is not None:
                check(*flat)
            values, arrays, scalars = unpack(signature, key, flat)
            if promote is not None and arrays:
                values, _, _ = unpack(signature, key, _promoted(flat, arrays, scalars, promote))
            else:
                values, _, _ = unpack(signature, key, tuple(jnp.asarray(f) for f in flat))
            args: list[Any] = []
            kwargs: dict[str, Any] = {}
            for parameter, value in zip(parameters, values, strict=True):
                if parameter.kind is parameter.VAR_POSITIONAL:
                    args.extend(value)
                elif parameter.kind is parameter.KEYWORD_ONLY:
                    kwargs[parameter.name] = value
                else:
                    args.append(value)
            out = function(*args, **kwargs)
            return tuple(_strong(o) for o in out) if isinstance(out, (tuple, list)) else _strong(out)

        return flat_function

    def describe(self, error: Exception, arrays: list[Any]) -> Exception:
        """The error to raise for one that came out of tracing or XLA."""
        if type(error) in (RuntimeError, IndexError, NotImplementedError) or getattr(error, "_flambeau", False):
            return error
        if type(error) in (ValueError, TypeError) and not _from_jax(error):
            return error
        text = str(error)
        if isinstance(error, OverflowError) and any(isinstance(a, int) and not -(2**63) <= a < 2**64 for a in arrays):
            return OverflowError("int too big to convert")
        if "incompatible devices" in text:
            places = sorted({str(wrap(a).device) for a in arrays if hasattr(a, "devices")})
            return RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, {' and '.join(places)}! "
                f"(in {self.name})"
            )
        if isinstance(error, jax.errors.JAXTypeError):
            return error
        if self.promote is not None or "ncompatible shapes for broadcasting" in text:
            clash = _broadcast_clash([a.shape for a in arrays if hasattr(a, "shape")])
            if clash:
                return RuntimeError(clash)
        shapes = ", ".join(f"{list(a.shape)} {a.dtype}" if hasattr(a, "shape") else repr(a) for a in arrays)
        return RuntimeError(f"{self.name}: {text.splitlines()[0] if text else type(error).__name__} (inputs: {shapes})")


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _from_jax(error: BaseException) -> bool:
    """Whether the error was raised inside JAX rather than by an array function of ours."""
    trace = error.__traceback__
    last = ""
    while trace is not None:
        last = trace.tb_frame.f_globals.get("__name__", "")
        trace = trace.tb_next
    return not last.startswith("flambeau.")


def _broadcast_clash(shapes: list[tuple[int, ...]]) -> str | None:
    """PyTorch's words for the first pair of shapes that do not broadcast."""
    for i, a in enumerate(shapes):
        for b in shapes[i + 1 :]:
            span = max(len(a), len(b))
            for dim in range(span - 1, -1, -1):
                x = a[dim - span + len(a)] if dim - span + len(a) >= 0 else 1
                y = b[dim - span + len(b)] if dim - span + len(b) >= 0 else 1
                if x != y and 1 not in (x, y):
                    return f"The size of tensor a ({x}) must match the size of tensor b ({y}) at non-singleton dimension {dim}"
    return None


def fit(out: Any, shape: tuple[int, ...], target: np.dtype) -> Any:
    """A result as it may be stored into a tensor of this shape and dtype; RuntimeError if it may not."""
    if out.shape != shape:
        raise RuntimeError(f"output with shape {list(shape)} doesn't match the broadcast shape {list(out.shape)}")
    if out.dtype == target:
        return out
    have, want = dtypes.from_numpy(out.dtype), dtypes.from_numpy(target)
    if not dtypes.can_cast(have, want):
        raise RuntimeError(f"result type {have.abbr} can't be cast to the desired output type {want.abbr}")
    return jax.lax.convert_element_type(out, target)


_as_they_are = {*PYTHON_NUMBERS, ArrayImpl}


def _arrays(op: Operator, name: str, key: Any, dynamic: Iterable[Any], asks: bool) -> tuple[list[Any], bool]:
    """The arrays of the dynamic arguments, and whether any of them may be on the tape.

    If the caller `asks` others, raises Overridden for an argument that has a say.
    """
    arrays = []
    taped = False
    traced = grad_state.trace is not None
    for value in dynamic:
        kind = type(value)
        if kind not in plain:
            if kind in _as_they_are:
                arrays.append(value)
                continue
            if asks and has_say(value):
                raise Overridden(f"{name}(): {kind.__name__} has a say")
            if not isinstance(value, Tensor):
                arrays.append(_array_of(op, name, key, dynamic, value))
                continue
        if value._view is None and not traced:
            arrays.append(value._storage.value)
        else:
            arrays.append(value._array)
        if value._edge is not None or value._base is not None:
            taped = True
    return arrays, taped


def _array_of(op: Operator, name: str, key: Any, dynamic: Iterable[Any], value: Any) -> Any:
    """What an argument that is neither a tensor nor one of Python's own numbers comes to."""
    if isinstance(value, jax.Array):
        return value  # private operators take keys and the like as they are
    if isinstance(value, HostNumber):
        return value.as_input()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (int, float)):  # an IntEnum, a float with a name
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, numbers.Number):
        return complex(value)  # type: ignore[arg-type]
    raise op.signature.refusal(name, key, dynamic, value)


def _around(call: Any, name: str, op: Any, asks: bool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What modes and autocast make of a call (`op` if it is an operator's); PASS if nothing."""
    if asks and (found := ask(call, args, kwargs)) is not PASS:
        return found
    policy = grad_state.autocast
    if policy is not None and name and (rules := autocast.rule(policy, name)):
        return autocast.call(policy, rules, call, args, kwargs)
    if op is not None and grad_state.dispatch_modes:
        return overrides.dispatch_operator(op, call, args, kwargs)
    return PASS


def _edges(dynamic: Iterable[Any]) -> tuple[tuple[int, ...], tuple[Any, ...]]:
    wanted: list[int] = []
    edges: list[Any] = []
    for i, value in enumerate(dynamic):
        if isinstance(value, Tensor):
            edge = value._edge if value._base is None else value._tape_edge()
            if edge is not None:
                wanted.append(i)
                edges.append(edge)
    return tuple(wanted), tuple(edges)


def _record(op: Operator, program: Program, arrays: list[Any], dynamic: Any, out: Any) -> Any:
    """The tensors of a recorded call."""
    wanted, edges = _edges(dynamic)
    if not wanted:
        return _wrap_all(op, out)
    label = program.label
    name = label if isinstance(label, str) else label(arrays)
    if isinstance(out, tuple):
        node = OperatorNode(program, arrays, wanted, edges, len(out), name)
        for watch in grad_state.watchers:
            watch(node, out)
        made = []
        for i, o in enumerate(out):
            tensor = wrap(o)
            if is_differentiable(o.dtype):
                tensor._edge = (node, i)
            made.append(tensor)
        return op.returns(*made) if op.returns else tuple(made)
    made = wrap(out)
    if is_differentiable(out.dtype):
        node = OperatorNode(program, arrays, wanted, edges, 1, name)
        made._edge = (node, 0)
        for watch in grad_state.watchers:
            watch(node, (out,))
    return made


def _wrap_all(op: Operator, out: Any) -> Any:
    if isinstance(out, tuple):
        return op.returns(*map(wrap, out)) if op.returns else tuple(map(wrap, out))
    return wrap(out)


_new = object.__new__


def _lift(op: Operator, asks: bool = False) -> Callable[..., Any]:
    """The function on Tensors; one that `asks` others first if it is to be public."""
    quick, optional, name, bind = op.signature.quick, op.signature.optional, op.name, op.signature.bind
    known, held, images = op.programs, channels_last.held, op.images

    @functools.wraps(op.function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if grad_state.around and (found := _around(call, name, op, asks, args, kwargs)) is not PASS:
            return found
        dynamic: Any = args
        key = None if kwargs else quick.get(len(args))
        try:
            if key is None or (optional and any(a is None for a in args)):
                if "out" in kwargs:
                    return _into_out(call, args, kwargs, asks)
                dynamic, key = bind(name, args, kwargs)
            program = known.get(key) or op.program(key)
            arrays, taped = _arrays(op, name, key, dynamic, asks)
        except TypeError:
            if not asks or (found := ask(call, args, kwargs)) is PASS:
                raise
            return found
        except SparseOperand as error:
            return instead(name, error, args, kwargs)
        try:
            out = program(*arrays) if held or images else program.run(*arrays)
        except Exception as error:
            better = op.describe(error, arrays)
            if better is error:
                raise
            raise better from None
        if taped and grad_state.grad:
            return _record(op, program, arrays, dynamic, out)
        if isinstance(out, tuple):
            return _wrap_all(op, out)
        storage = _new(Storage)
        storage.value = out
        storage.version = 0
        return blank(Tensor, storage)

    call.operator = op  # type: ignore[attr-defined]
    overrides.made_by(call, lambda: _lift(op, asks=True))
    return call


def inplace_form(op: Operator, name: str, asks: bool = False) -> Callable[..., Any]:
    """The method that writes the result into its tensor."""

    def call(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if grad_state.around and (found := _around(call, "", op, asks, (self, *args), kwargs)) is not PASS:
            return found
        try:
            dynamic, key = op.signature.bind(name, (self, *args), kwargs)
            program = op.write_program(key)
            arrays, taped = _arrays(op, name, key, dynamic, asks)
        except TypeError:
            if not asks or (found := ask(call, (self, *args), kwargs)) is PASS:
                raise
            return found
        except SparseOperand as error:
            return instead(name, error, (self, *args), kwargs)
        self._check_inplace()
        try:
            out = program(*arrays)
        except Exception as error:
            better = op.describe(error, arrays)
            if better is error:
                raise
            raise better from None
        edge = None
        if taped and grad_state.grad:
            wanted, edges = _edges(dynamic)
            if wanted and is_differentiable(out.dtype):
                label = program.label if isinstance(program.label, str) else program.label(arrays)
                edge = (OperatorNode(program, arrays, wanted, edges, 1, label), 0)
                for watch in grad_state.watchers:
                    watch(edge[0], (out,))
        self._assign(out, edge)
        return self

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"In-place form of `{op.name}`: writes the result into this tensor and returns it."
    overrides.made_by(call, lambda: inplace_form(op, name, asks=True))
    return call


def _into_out(call: Callable[..., Any], args: Any, kwargs: dict[str, Any], asks: bool = False) -> Any:
    if asks and (found := ask(call, args, kwargs)) is not PASS:
        return found
    out = kwargs.pop("out")
    if out is None:
        return call(*args, **kwargs)
    targets = out if isinstance(out, (tuple, list)) else (out,)
    sources = (*args, *kwargs.values())
    if grad_state.grad and any(isinstance(t, Tensor) and t.requires_grad for t in (*sources, *targets)):
        raise RuntimeError(
            f"{call.__name__}(): functions with out=... arguments don't support automatic differentiation, "
            "but one of the arguments requires grad."
        )
    with no_grad():
        made = call(*args, **kwargs)
    results = made if isinstance(made, tuple) else (made,)
    for target, result in zip(targets, results, strict=True):
        store(target, result)
    if isinstance(out, Tensor):
        return out
    return type(made)(*targets) if hasattr(made, "_fields") else type(out)(targets)


def store(target: Tensor, result: Tensor) -> None:
    """Put a result into an `out=` tensor, which takes its shape; RuntimeError if the dtypes do not go together."""
    if not isinstance(target, Tensor):
        raise TypeError(f"out must be a Tensor, not {type(target).__name__}")
    if target is result:
        return
    if target.shape != result.shape:
        fitted = wrap(fit(result._array, result.shape, target._np_dtype))
        target._repoint(fitted)
    else:
        target._write(fit(result._array, result.shape, target._np_dtype))


def _names(given: Any, default: str) -> tuple[str, ...]:
    if given is True:
        return (default,)
    return tuple(given) if given else ()


def operator(
    *,
    promote: str | None = None,
    methods: bool | tuple[str, ...] = True,
    inplace: bool | tuple[str, ...] = False,
    public_inplace: bool = False,
    public: tuple[str, ...] = ("torch",),
    returns: tuple[str, ...] | None = None,
    grad: str | Callable[..., str] | None = None,
    derivative: str | None = None,
    images: bool = False,
    check: Callable[..., None] | None = None,
    options: Callable[..., None] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a pure array function as an operator on Tensors. See `docs/design.md` for what the annotations mean.

    `inplace` makes the method `name_`, and `public_inplace` the function `torch.name_`, too.
    `check` is called with the dynamic arguments before they are promoted, and raises if they do not go together.
    `options` is called with all arguments where a `float` is not its default, and raises if it can't be.
    `grad` is the printed name of a call's node on the tape, `derivative` that of a call of its derivative: the last operator
    of PyTorch's formula, if that is not the derivative's own name.
    `images` says that it has convolutions, whose results may lie channels-last in memory (see `channels_last.py`).
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        space = "linalg_" if public == ("linalg",) else ""
        op = Operator(function, promote, returns, grad, space, images, check, options, derivative)
        call = _lift(op)
        name = function.__name__
        _publish(name, call, public)
        _attach(call, _names(methods, name))
        if written := _names(inplace, name + "_"):
            form = inplace_form(op, written[0])
            _attach(form, written)
            _publish(written[0], form, ("torch",) if public_inplace else ())
        return call

    return declare


def composite(
    *,
    methods: bool | tuple[str, ...] = True,
    inplace: bool | tuple[str, ...] = False,
    public: tuple[str, ...] = ("torch",),
    name: str | None = None,
    asks_arguments: bool = True,
    numbers: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a function on Tensors that only calls operators. `inplace` makes the form that copies the result back.

    `name` is the public name, if that is not the function's. Without `asks_arguments` the public function takes arguments
    with a `__torch_function__` as they are. With `numbers` those for `float` parameters may be inputs of a compiled program:
    all it does is to compute and compare with them, and to hand them to operators.
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        called = function.__name__ = name or function.__name__
        call = _composed(function, False, asks_arguments, numbers)
        _publish(called, call, public)
        _attach(call, _names(methods, called))
        if written := _names(inplace, called + "_"):
            _attach(_composite_inplace(function, written[0]), written)
        return call

    return declare


def _composed(function: Callable[..., Any], asks: bool, asks_arguments: bool = True, numbers: bool = False) -> Any:
    name = function.__name__
    parameters = inspect.signature(function).parameters
    takes_out = "out" in parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    all_silent = overrides.all_silent

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if grad_state.around and (found := _around(call, name, None, asks, args, kwargs)) is not PASS:
            return found
        if asks and (kwargs or not all_silent(args)):
            if (found := ask(call, args, kwargs)) is not PASS:
                return found
            if not asks_arguments and grad_state.subclasses:
                with overrides.no_subclasses():
                    return call(*args, **kwargs)
        if kwargs:
            if "out" in kwargs and not takes_out:
                return _into_out(call, args, kwargs)
            if not open_ended:
                kwargs = {k if k in parameters else SYNONYMS.get(k, k): v for k, v in kwargs.items()}
        try:
            return function(*args, **kwargs)
        except SparseOperand as error:
            return instead(name, error, args, kwargs)

    call.asks_arguments = asks_arguments  # type: ignore[attr-defined]
    call.takes_host_numbers = _places_of_floats(parameters.values()) if numbers else frozenset()  # type: ignore[attr-defined]
    overrides.made_by(call, lambda: _composed(function, True, asks_arguments, numbers))
    return call


def _places_of_floats(parameters: Iterable[inspect.Parameter]) -> frozenset[Any]:
    """The names and positions of `float` parameters."""
    found: set[Any] = set()
    for i, parameter in enumerate(parameters):
        if isinstance(parameter.annotation, str) and kind_of(parameter) == FLOAT:
            found |= {i, parameter.name}
    return frozenset(found)


def _composite_inplace(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    def call(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        self._check_inplace()
        try:
            return write_result(self, function(self, *args, **kwargs))
        except SparseOperand as error:
            return instead(name, error, (self, *args), kwargs)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"In-place form of `{function.__name__}`."
    return call


def write_result(self: Tensor, result: Tensor) -> Tensor:
    """Write a computed tensor into `self`, keeping its place on the tape."""
    fitted = _fitted(result, shape=tuple(self.shape), dtype=self.dtype)
    self._assign(fitted._array, fitted._tape_edge())
    return self


@operator(methods=False, public=())
def _fitted(result: Array, *, shape: tuple[int, ...], dtype: Any) -> Array:
    return fit(result, shape, dtype)


__all__ = ["Array", "Arrays", "Scalar", "Static", "composite", "inplace_form", "namespaces", "operator", "write_result"]

"""The operator mechanism: one declaration gives the function, its gradient, method, in-place form and `out=`.

An array function's parameters are told apart by their annotations (see `docs/design.md`). A call splits its arguments
into dynamic values, which XLA gets as inputs, and static ones, which key the compiled program.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import jax

from ..context import overrides
from ..context.grad_mode import state as grad_state
from ..context.overrides import PASS, all_silent, ask
from ..tensor.sparse import SparseOperand
from ..tensor.tensor import Tensor
from .at_once import AtOnce
from .autocast import Rules, rules_of
from .call import around, inplace_form, into_out, lifted
from .declared import Operator
from .directly import Form
from .misfits import Known
from .numpy_forms import NumPyForm
from .promotion import fit
from .publishing import _attach, _publish, namespaces
from .signature import FLOAT, by_their_names, kind_of, not_a_tensor, spread_out, spread_parameter
from .sparse_forms import instead

# Annotations of array functions' parameters: see docs/design.md. They are read as text.
if TYPE_CHECKING:
    Array: TypeAlias = jax.Array
    Arrays: TypeAlias = tuple[jax.Array, ...]
    Scalar: TypeAlias = complex | jax.Array
else:
    Array = Arrays = Scalar = Any
_T = TypeVar("_T")
Static = Annotated[_T, "static"]


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
    autocast: str | dict[str, str] | None = None,
    in_python: bool | None = None,
    narrow: bool = False,
    direct: Form | None = None,
    between: tuple[str, ...] = (),
    numbers: tuple[str, ...] = (),
    whole: tuple[str, ...] = (),
    exact: tuple[str, ...] = (),
    or_number: dict[str, str] | None = None,
    real: str | None = None,
    constant: dict[str, Any] | None = None,
    room: dict[str, str] | None = None,
    unrounded: tuple[str, ...] = (),
    stored_by: str | None = None,
    by_numpy: NumPyForm | None = None,
    at_once: AtOnce | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a pure array function as an operator on Tensors. See `docs/design.md` for what the annotations mean.

    `inplace` makes the method `name_`, and `public_inplace` the function `torch.name_`, too.
    `check` is called with the dynamic arguments before they are promoted, and raises if they do not go together.
    `options` is called with all arguments where a `float` is not its default, and raises if it can't be.
    `grad` is the printed name of a call's node on the tape, `derivative` that of a call of its derivative: the last operator
    of PyTorch's formula, if that is not the derivative's own name.
    `autocast` is what `amp.autocast` makes of the inputs ("lower", "float32", "widest", "refused"), on every device or by device.
    `in_python` says whether PyTorch has the function in Python, if that is not as usual (see `publishing.py`).
    `narrow` says that it takes floating point numbers of 8 bits: it moves elements or looks at their bits.
    `images` says that it has convolutions, whose results may lie channels-last in memory (see `channels_last.py`).
    `between` are the numbers that stood between the tensors in forms of the call that PyTorch has deprecated.
    `numbers` are the parameters for tensors that numbers may stand for, where it does not promote.
    `whole` are the `Scalar` parameters that have no fraction among integers, where others lose theirs, and are bools among bools
    alone; `exact` those that are no complex numbers among real ones either, and be it without an imaginary part.
    `real` is what is said of a complex number, if it is to be real among complex tensors, too.
    `constant` are the tensors that PyTorch has no derivative for, each with what an error calls the function if one that requires a
    gradient is refused, or "" if it just gets none; or what gives that for the arrays, or None where there is a derivative.
    `room` are the number parameters that the tensors' dtype must have room for: the "own" one, or the "wide" one that halves are
    computed in; followed by the kinds of tensors of which this is asked, if not of all: "reals", "floats" or "inexact" ones.
    `unrounded` are the parameters whose numbers (and tensors without dimensions) are not rounded to halves among halves: these are then
    computed with in float32.
    `or_number` names, for the place of a tensor, the `Scalar` parameter that a number in that place is given for.
    `stored_by` is the kernel of PyTorch that puts the result into `out=`, where it has an error of its own for a dtype.
    `direct` is how it is computed for such images without a program (see `directly.py`).
    `by_numpy` is how NumPy computes it while there is no program for its shapes (see `numpy_forms.py`).
    `at_once` is how the host computes small calls of it, always (see `at_once.py`).
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        space = "linalg_" if public == ("linalg",) else ""
        how = {
            "images": images,
            "check": check,
            "options": options,
            "narrow": narrow,
            "of_layers": "nn.functional" in public or ".layers." in function.__module__,
            "direct": direct,
            "by_numpy": by_numpy,
            "at_once": at_once,
            "between": between,
            "numbers": numbers,
            "whole": whole,
            "exact": exact,
            "or_number": or_number,
            "real": real,
            "constant": constant,
            "room": room,
            "unrounded": unrounded,
            "stored_by": stored_by,
        }
        op = Operator(function, promote, returns, grad, space, derivative=derivative, casts=rules_of(autocast), **how)  # type: ignore[arg-type]
        call = lifted(op)
        name = function.__name__
        _publish(name, call, public, in_python)
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
    numbers: bool | tuple[str, ...] = False,
    autocast: str | dict[str, str] | None = None,
    in_python: bool | None = None,
    spreads: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a function on Tensors that only calls operators. `inplace` makes the form that copies the result back.

    `name` is the public name, if that is not the function's. Without `asks_arguments` the public function takes arguments
    with a `__torch_function__` as they are. With `numbers` those for `float` parameters, or for parameters of these names,
    may be inputs of a compiled program: all it does is to compute and compare with them, and to hand them to operators. `autocast` and `in_python`
    as for operators. `spreads` says that who is asked gets a list of operands one by one.
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        called = function.__name__ = function.__qualname__ = name or function.__name__  # both are in errors
        call = _composed(function, False, asks_arguments, numbers, rules_of(autocast), spreads)
        if overrides.is_unseen(function):
            overrides.unseen(call)
        _publish(called, call, public, in_python)
        _attach(call, _names(methods, called))
        if written := _names(inplace, called + "_"):
            form = _composite_inplace(function, written[0])
            form.takes_host_numbers = call.takes_host_numbers  # type: ignore[attr-defined]
            _attach(form, written)
        return call

    return declare


# Where composites make tensors, and call no operators that a dispatch mode would see
_MADE_OF_NONE = ("flambeau.ops.making.", "flambeau.ops.random.")
_NONE_WITHIN = ("clone", "nonzero")


def _composed(
    function: Callable[..., Any],
    asks: bool,
    asks_arguments: bool = True,
    numbers: bool | tuple[str, ...] = False,
    casts: Rules = (),
    spreads: bool = False,
) -> Any:
    name = function.__name__
    parameters = inspect.signature(function).parameters
    names = frozenset(parameters)
    takes_out = "out" in names
    spread = spread_parameter(parameters.values())
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    tensors = {p.name: i for i, p in enumerate(parameters.values()) if _is_tensors(p)}
    op = getattr(function, "operator", None)
    if op is not None:  # a wrapper of an operator: numbers go where it takes them
        tensors = {p: i for p, i in tensors.items() if i < max(1, op.leading_tensors)}
    if isinstance(numbers, tuple):
        tensors = {p: i for p, i in tensors.items() if p not in numbers}
    silent = overrides.silent_after_a_tensor if asks and 0 in tensors.values() else overrides.all_silent
    seen = function if function.__module__.startswith(_MADE_OF_NONE) or name in _NONE_WITHIN else None
    known = Known() if asks else None

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if grad_state.around and (found := around(call, casts, seen, asks, args, kwargs)) is not PASS:
            return found
        if asks and not (silent(args) and (not kwargs or all_silent(kwargs.values()))):
            if (found := ask(call, args, kwargs)) is not PASS:
                return found
            if tensors and not (args and isinstance(args[0], Tensor)):
                _refuse_others(name, tensors, args, kwargs, first=True)
            if not asks_arguments and grad_state.subclasses:
                with overrides.no_subclasses():
                    return call(*args, **kwargs)
        if kwargs:
            if "out" in kwargs and not takes_out:
                return into_out(call, args, kwargs)
            if not open_ended and not names.issuperset(kwargs):
                kwargs = by_their_names(kwargs, names)
            if spread in kwargs:
                args, kwargs = spread_out(spread, parameters, args, kwargs)
        try:
            return function(*args, **kwargs) if known is None else known.run(call, function, args, kwargs)
        except SparseOperand as error:
            return instead(name, error, args, kwargs)
        except Exception as error:
            if asks and not isinstance(error, TypeError):
                _refuse_others(name, tensors, args, kwargs)
            raise

    call.casts = casts  # type: ignore[attr-defined]
    call.asks_arguments = asks_arguments  # type: ignore[attr-defined]
    call.spreads = spreads  # type: ignore[attr-defined]
    call.takes_host_numbers = _places_of_numbers(parameters.values(), numbers)  # type: ignore[attr-defined]
    overrides.made_by(call, lambda: _composed(function, True, asks_arguments, numbers, casts, spreads))
    return call


_TENSORS = (
    "input",
    "self",
    "logits",
    "tensor",
    "A",
    "theta",
    "anchor",
    "target",
)  # what is any value to mypy, and a tensor to a caller


def _is_tensors(parameter: inspect.Parameter) -> bool:
    """Whether all that can be given for a composite's parameter is a tensor."""
    named = parameter.annotation == "Any" and parameter.name in _TENSORS
    return (parameter.annotation in ("Tensor", "Array") or named) and parameter.kind is not parameter.VAR_POSITIONAL


def _refuse_others(
    name: str, tensors: dict[str, int], args: tuple[Any, ...], kwargs: dict[str, Any], first: bool = False
) -> None:
    """Raise TypeError for what is no tensor where one is declared: for the `first` parameter, or for any, after an error."""
    for parameter, i in tensors.items():
        value: Any = None
        if i < len(args):
            value = args[i]
        elif parameter in kwargs:
            value = kwargs[parameter]
        else:
            continue
        if not isinstance(value, Tensor) and not (first and i):
            raise not_a_tensor(name, parameter, i + 1, value) from None


def _places_of_numbers(parameters: Iterable[inspect.Parameter], numbers: bool | tuple[str, ...]) -> frozenset[Any]:
    """The names and positions of `float` parameters, or of those with the names `numbers`."""
    found: set[Any] = set()
    for i, parameter in enumerate(parameters):
        is_float = numbers is True and isinstance(parameter.annotation, str) and kind_of(parameter) == FLOAT
        if is_float or (isinstance(numbers, tuple) and parameter.name in numbers):
            found |= {i, parameter.name}
    return frozenset(found)


def _composite_inplace(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    def call(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        input._check_inplace()
        try:
            return write_result(input, function(input, *args, **kwargs))
        except SparseOperand as error:
            return instead(name, error, (input, *args), kwargs)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"In-place form of `{function.__name__}`."
    call.in_place_of = function  # type: ignore[attr-defined]
    return call


def write_result(self: Tensor, result: Tensor) -> Tensor:
    """Write a computed tensor into `self`, keeping its place on the tape."""
    fitted = _fitted(result, shape=tuple(self.shape), dtype=self.dtype)
    self._assign(fitted._array, fitted._tape_edge())
    return self


@operator(methods=False, public=(), narrow=True)
def _fitted(result: Array, *, shape: tuple[int, ...], dtype: Any) -> Array:
    return fit(result, shape, dtype)


__all__ = ["Array", "Arrays", "Scalar", "Static", "composite", "inplace_form", "namespaces", "operator", "write_result"]

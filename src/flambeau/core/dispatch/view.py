"""The view mechanism: a view is declared as a function from `Geometry` to `Geometry`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ..array import geometry
from ..array.geometry import Geometry
from ..context import overrides
from ..context.grad_mode import state as grad_state
from ..context.overrides import PASS, all_silent, ask, ask_classes, plain
from ..tape.nodes import camel
from ..tape.several import ViewsNode
from ..tensor.looks import check_inside
from ..tensor.sparse import SparseOperand, is_sparse
from ..tensor.tensor import Tensor
from .call import around as _around
from .errors import OfKind
from .messages import message
from .misfits import Known, misfit
from .operator import _attach, _names, _publish
from .signature import by_their_names, spread_parameter
from .sparse_forms import instead


def view(
    *,
    methods: bool | tuple[str, ...] = True,
    inplace: str | None = None,
    public_inplace: bool = False,
    public: tuple[str, ...] = ("torch",),
    grad: str | Callable[..., str] | None = None,
    absolute: bool = False,
    in_python: bool | None = None,
    number: str | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a view. The function gets the tensor's geometry and returns the view's, or a tuple of several.

    `inplace` names the node of the form that changes how the tensor itself looks into its storage (`t_`, `squeeze_`), and
    makes it. `grad` is the node's name, or makes it of the arguments. `absolute` says that the view's place is given in the
    storage, not as seen from the tensor. `in_python` as for operators. `number` names an int that may be an input of a
    compiled program.
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        name = function.__name__
        call = _seeing(function, grad or camel(name) + "Backward0", absolute, False, number)

        def call_inplace(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            input._check_inplace(writes=False)
            seen = call(input, *args, **kwargs)
            if is_sparse(seen):  # which is no view: it has a storage of its own
                input._storage.become(seen._storage)  # type: ignore[attr-defined]
            input._look_anew(seen, inplace)  # type: ignore[arg-type]
            return input

        _publish(name, call, public, in_python)
        _attach(call, _names(methods, name))
        if inplace:
            written = name + "_"
            call_inplace.__name__ = call_inplace.__qualname__ = written
            call_inplace.__doc__ = f"In-place form of `{name}`: changes how this tensor looks into its memory."
            call_inplace.in_place_of = call  # type: ignore[attr-defined]
            _attach(call_inplace, (written,))
            _publish(written, call_inplace, ("torch",) if public_inplace else ())
        return call

    return declare


_SEVERAL = ("UnbindBackward0", "SplitBackward0", "SplitWithSizesBackward0")  # others look at one slice after the other


@functools.lru_cache(1024)
def _not_written(label: str, number: int) -> str:
    return message("output_of_several_views", i=number, name=label.removesuffix("Backward0"))


def _of_one_node(views: list[Tensor]) -> tuple[Tensor, ...]:
    """The views that one call has made, as outputs of one node, which may not be written to."""
    if views and views[0]._edge is not None and views[0]._edge[0].label in _SEVERAL:
        node = ViewsNode.of([view._edge[0] for view in views])  # type: ignore[index]
        for number, view in enumerate(views):
            view._edge = (node, number)
            if view._refusal is None:
                view._refusal = _not_written(node.label, number)
    return tuple(views)


_MOST = 1024  # geometries that are kept of each view


def _are_whole(args: tuple[Any, ...]) -> bool:
    for value in args:  # noqa: SIM110 (all() with a generator takes three times as long)
        if type(value) is not int and (type(value) is not tuple or not _are_whole(value)):
            return False
    return True


def _seeing(
    function: Callable[..., Any], grad: str | Callable[..., str], absolute: bool, asks: bool, number: str | None
) -> Callable[..., Any]:
    name = function.__name__
    signature = inspect.signature(function)
    names = signature.parameters
    known = Known() if asks else None
    found_before: dict[Any, Any] = {}  # geometries, by the tensor's and the arguments, which are whole numbers
    spread = spread_parameter(names.values())

    @functools.wraps(function)
    def call(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        if grad_state.around and (found := _around(call, (), function, asks, (input, *args), kwargs)) is not PASS:
            return found
        if type(input) not in plain or kwargs or not all_silent(args):
            if (found := (ask if asks else ask_classes)(call, (input, *args), kwargs)) is not PASS:
                return found
            if not isinstance(input, Tensor):
                raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(input).__name__}")
            kwargs = by_their_names(kwargs, names)
            if spread in kwargs and not args:
                args = (kwargs.pop(spread),)
        if known is not None and (args or kwargs):
            kinds = (*map(type, args), *kwargs, *map(type, kwargs.values())) if kwargs else tuple(map(type, args))
            if kinds not in known.kinds:
                known.look(call, kinds, (input, *args), kwargs)
        try:
            seen = input._view or geometry.whole(input._storage.shape)
            place = None if kwargs or grad_state.trace is not None else (seen, args) if _are_whole(args) else None
            made = found_before.get(place)
            if made is None:
                made = function(seen, *args, **kwargs)
                if place is not None:
                    if len(found_before) >= _MOST:
                        found_before.clear()
                    found_before[place] = made
        except SparseOperand as error:
            return instead(name, error, (input, *args), kwargs)
        except Exception as error:
            if asks and type(error) is not TypeError and (unfit := misfit(call, (input, *args), kwargs)) is not None:
                raise unfit from None
            if isinstance(error, OfKind):
                raise error.of(input.dtype, input.device.type) from None
            raise
        if absolute:
            if (
                grad_state.trace is not None
                and (kwargs.get("storage_offset", args[2] if len(args) > 2 else None)) is not None
            ):
                grad_state.trace.look_at_memory(input)
            check_inside(input._storage, made)
        relative = None if absolute else made
        if relative is not None and input._view is not None and (input._edge is not None or input._base is not None):
            # on the tape a view is read from its parent's own, contiguous values
            relative = function(geometry.whole(input._view.shape), *args, **kwargs)
        label = grad if isinstance(grad, str) else grad(*args, **kwargs)
        if isinstance(made, Geometry):
            return input._look(made, label, relative)
        return _of_one_node([input._look(m, label, r) for m, r in zip(made, relative, strict=True)])  # type: ignore[arg-type]

    geometry_of, *others = names.values()  # callers give the tensor
    taken = [geometry_of.replace(name="input", annotation="Array"), *others]
    given = signature.return_annotation.replace("Geometry", "Array")
    call.__signature__ = signature.replace(parameters=taken, return_annotation=given)  # type: ignore[attr-defined]
    call.takes_host_numbers = frozenset((number, [*names].index(number))) if number else frozenset()  # type: ignore[attr-defined]
    overrides.made_by(call, lambda: _seeing(function, grad, absolute, True, number))
    return call

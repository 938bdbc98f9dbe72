"""Which functions have a form for sparse tensors. It is asked for only when a function has met one (`SparseOperand`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..tape.nodes import AccumulateGrad, camel
from ..tensor.sparse import SparseOperand, layout_of
from ..tensor.tensor import Tensor

_forms: dict[str, Callable[..., Any]] = {}
_of_values: set[str] = set()
_ROWS = ("sparse_coo", "sparse_csr")
through_rows: Any = None  # set in ops/sparse/compressed.py: a form's result for other layouts


def sparse_form(*names: str, of_values: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a function of tensors as what the functions of these names do if one of their arguments is sparse.

    `of_values`: it looks at the stored values only, so that the layout is nothing to it.
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            if name in _forms:
                raise ValueError(f"the sparse form of {name} is declared twice")
            _forms[name] = function
        if of_values:
            _of_values.update(names)
        return function

    return declare


def instead(name: str, error: SparseOperand, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What the sparse form gives; without one the error, which then names the function."""
    form = _forms.get(name)
    if form is None:
        if not name.startswith("_"):
            error.name = name
        raise error
    others = [a for a in args if isinstance(a, Tensor) and layout_of(a) not in (*_ROWS, "strided")]
    if others:
        return labelled(
            through_rows(name, form, name in _of_values, args, kwargs), camel(name.strip("_")) + "Backward0", *args
        )
    return labelled(form(*args, **kwargs), camel(name.strip("_")) + "Backward0", *args)


def labelled(made: Any, label: str, *sources: Any) -> Any:
    """What was made of `sources`, its node on the tape (if it has a new one) under the name that PyTorch gives it."""
    edge = getattr(made, "_edge", None)
    if edge is None or type(edge[0]) is AccumulateGrad:
        return made
    known = [part for source in sources for part in (source if isinstance(source, (tuple, list)) else (source,))]
    if all((own := part._tape_edge()) is None or own[0] is not edge[0] for part in known if isinstance(part, Tensor)):
        edge[0].label = label
    return made

"""`torch.return_types`: the same types by name, with the same fields and printed form."""

from __future__ import annotations

import pytest
import torch

import flambeau as fb
from support.values import to_flambeau


def _named(space: object) -> dict[str, tuple[str, ...]]:
    kinds = ((n, getattr(space, n)) for n in dir(space) if not n.startswith("_"))
    return {n: k.__match_args__ for n, k in kinds if isinstance(k, type) and issubclass(k, tuple)}


def test_all_are_there() -> None:
    theirs, ours = _named(torch.return_types), _named(fb.return_types)
    assert {n: ours.get(n) for n in theirs} == theirs
    assert {k.__name__ for k in fb.return_types.all_return_types} >= {
        k.__name__ for k in torch.return_types.all_return_types
    } - {n for n in dir(torch.return_types) if n.startswith("_")}
    assert fb.return_types.pytree_register_structseq(fb.return_types.max) is None


def test_made_of_a_sequence() -> None:
    for library in (fb, torch):
        made = library.return_types.max((1, 2))
        assert (made.values, made.indices, made.n_fields) == (1, 2, 2)
        assert repr(made) == "torch.return_types.max(\nvalues=1,\nindices=2)"
        with pytest.raises(TypeError, match="takes a 2-sequence"):
            library.return_types.max((1, 2, 3))


@pytest.mark.parametrize(
    "call", ["max(x, 0)", "linalg.slogdet(x)", "slogdet(x)", "qr(x)", "linalg.qr(x)", "linalg.svd(x)", "sort(x)"]
)
def test_names_of_results(call: str) -> None:
    x = torch.tensor([[2.0, 1.0], [0.0, 3.0]])
    theirs, ours = eval(f"torch.{call}", {"torch": torch, "x": x}), eval(f"fb.{call}", {"fb": fb, "x": to_flambeau(x)})
    assert type(ours).__name__ == type(theirs).__name__ and ours._fields == type(theirs).__match_args__
    out = tuple(fb.empty(0, dtype=part.dtype) for part in ours)
    function, _, arguments = call.partition("(")
    written = eval(f"fb.{function}({arguments[:-1]}, out=out)", {"fb": fb, "x": to_flambeau(x), "out": out})
    assert type(written).__name__ == type(theirs).__name__ + "_out"

"""Views that a compiled function hands out: of its arguments, of what it finds, of what it makes. Who writes to one sees it in all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import flambeau as fb


def untracked(x: Any) -> Any:
    with fb.no_grad():
        return x[1:]


MAKE: dict[str, Callable[[Any], Any]] = {
    "leaf": lambda w: w,
    "computed": lambda w: w * 1,
    "plain": lambda w: w.detach().clone(),
    "a part": lambda w: (w * 1)[:3],
    "a plain part": lambda w: w.detach().clone()[1:],
}
VIEWS: dict[str, Callable[[Any], Any]] = {
    "slice": lambda x: (x, x[1:]),
    "chain": lambda x: (x, x[1:].unsqueeze(0)),
    "itself": lambda x: (x, x),
    "detached": lambda x: (x, x.detach()),
    "no_grad": lambda x: (x, untracked(x)),
    "view of what is made": lambda x: (h := x * x + 1, h[1:]),
    "the view first": lambda x: (lambda h: (h[1:], h))(x * x + 1),
    "overlapping": lambda x: (lambda h: (h[1:], h[:-1]))(x * x + 1),
    "apart": lambda x: (lambda h: (h[::2], h[1::2]))(x * x + 1),
    "detached first": lambda x: (lambda h: (h.detach(), h))(x * x + 1),
}
WRITES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "nothing": lambda a, b, v: None,
    "one": lambda a, b, v: b.mul_(v),
    "the other": lambda a, b, v: a.mul_(v),
    "off the tape": lambda a, b, v: a.data.add_(5),
}


def outcome(function: Any, make: Any, write: Any) -> Any:
    found = []
    for k in range(2):
        w = fb.tensor([1.0, 2.0, 3.0, 4.0], dtype=fb.float64, requires_grad=True)
        v = fb.tensor(3.0, dtype=fb.float64, requires_grad=True)
        try:
            a, b = function(make(w * (k + 1) if make is not MAKE["leaf"] else w))
            write(a, b, v)
            total = (a * a).sum() + (b * b * b).sum()
            if total.requires_grad:
                total.backward()
            grads = [t.grad if t.grad is None else t.grad.tolist() for t in (w, v)]
            found.append((a.tolist(), b.tolist(), b._base is a, a._base is b, grads))
        except RuntimeError as error:
            found.append(str(error))
    return found


@pytest.mark.parametrize("name", VIEWS)
def test_writes_are_seen_in_all_that_share_memory(name: str) -> None:
    for kind, make in MAKE.items():
        compiled = fb.compile(VIEWS[name], fullgraph=True)
        for write in WRITES:
            expected = outcome(VIEWS[name], make, WRITES[write])
            assert outcome(compiled, make, WRITES[write]) == expected, (kind, write)

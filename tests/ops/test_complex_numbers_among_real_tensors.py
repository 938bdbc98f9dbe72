"""A number where one of another kind has to be is refused: no imaginary part and no fraction is dropped where PyTorch drops none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import flambeau as fb
import flambeau.nn

CALLS: dict[str, Callable[..., Any]] = {
    "addmm beta": lambda lib, x: lib.addmm(x, x, x, beta=1j),
    "addmm alpha": lambda lib, x: lib.addmm(x, x, x, alpha=2j),
    "addr": lambda lib, x: lib.addr(x, x[0], x[0], beta=1j),
    "baddbmm": lambda lib, x: lib.baddbmm(x[None], x[None], x[None], beta=1j),
    "addbmm": lambda lib, x: lib.addbmm(x, x[None], x[None], alpha=1j),
    "addcmul": lambda lib, x: lib.addcmul(x, x, x, value=1j),
    "addcdiv": lambda lib, x: lib.addcdiv(x, x, x, value=1j),
    "addcmul_": lambda lib, x: x.clone().addcmul_(x, x, value=1j),
    "add": lambda lib, x: lib.add(x, x, alpha=1j),
    "add_": lambda lib, x: x.clone().add_(x, alpha=1j),
    "sub": lambda lib, x: x.sub(x, alpha=1j),
    "rsub": lambda lib, x: lib.rsub(x, x, alpha=1j),
    **{
        f"{name}({number}) of {kind}": lambda lib, x, name=name, number=number, kind=kind: getattr(lib, name)(
            x.to(getattr(lib, kind)), x, alpha=number
        )
        for name in ("add", "sub", "rsub")
        for kind, number in (("float64", True), ("float64", 2 + 0j), ("complex64", True))
    },
    "add(0.5)": lambda lib, x: lib.add(x.long(), x.long(), alpha=0.5),
    "add(1j) of integers": lambda lib, x: lib.add(x.long(), x.long(), alpha=1j),
    "add(True) of bools": lambda lib, x: lib.add(x.bool(), x.bool(), alpha=True),
    "_foreach_add": lambda lib, x: lib._foreach_add([x], [x], alpha=True),
    "addr of a bool": lambda lib, x: lib.addr(x, x[0], x[0], beta=True),
    "addr beta": lambda lib, x: lib.addr(x.long(), x[0].long(), x[0].long(), beta=0.5),
    "addr of a real one": lambda lib, x: lib.addr(x, x[0], x[0], alpha=2 + 0j),
    "index_fill": lambda lib, x: x.index_fill(0, lib.tensor([0]), 1j),
    "index_add": lambda lib, x: x.index_add(0, lib.tensor([0]), x[:1], alpha=1j),
    "scatter": lambda lib, x: x.scatter(0, lib.tensor([[0]]), 1j),
    "real after all": lambda lib, x: lib.addmm(x, x, x, beta=2 + 0j),
    "complex tensors": lambda lib, x: lib.addmm(x + 1j, x + 1j, x + 1j, beta=1j),
    "a fraction among integers": lambda lib, x: lib.addcmul(x.long(), x.long(), x.long(), value=2.5),
    "where": lambda lib, x: x.where(2, x),
    "range": lambda lib, x: lib.range(2.0),
    "result_type": lambda lib, x: lib.result_type("a", x),
    "max_unpool2d": lambda lib, x: lib.nn.functional.max_unpool2d(x[None, None], 2, 2),
    "cross_entropy": lambda lib, x: lib.nn.functional.cross_entropy(x, x.double()).dtype,
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore:torch.range:UserWarning")
def test_as_torch_says(name: str) -> None:
    def told(lib: Any) -> tuple[str, str]:
        try:
            return "", str(CALLS[name](lib, lib.ones(3, 3))).replace("flambeau", "torch")
        except Exception as error:
            return type(error).__name__, str(error).split("\n")[0]

    ours, theirs = told(fb), told(torch)
    assert ours == theirs or (name == "where" and ours[0] == theirs[0]), (ours, theirs)

"""Numbers between the tensors, as optimizers of 2018 write them: deprecated in PyTorch 1.5, and still taken."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import flambeau as fb
from support.values import same

CALLS = """
x.clone().add_(2, x)|x.sub(2.5, x)|t.add(x, 2, x)|t.sub(x, 2, x)|x.clone().addcmul_(2, x, x)|t.addcmul(x, 2, x, x)
x.clone().addcdiv_(-2, x, x + 1)|x.addmm(2, x, x)|x.addmm(2, 3, x, x)|t.addmm(2, x, 3, x, x)|v.addmv(2, x, v)
v.clone().addmv_(2, 3, x, v)|x.addr(2, v, v)|x.addbmm(2, 3, x[None], x[None])|x[None].baddbmm(2, x[None], x[None])
""".replace("\n", "|").strip("|")


@pytest.mark.filterwarnings("ignore:.*This overload of .* is deprecated:UserWarning")
def test_numbers_between_tensors() -> None:
    def values(t: Any) -> list[Any]:
        x, v = t.arange(4.0).reshape(2, 2), t.arange(2.0)
        return [eval(call, {"t": t, "x": x, "v": v}) for call in CALLS.split("|")]

    same(values(fb), values(torch))


@pytest.mark.filterwarnings("ignore:.*This overload of .* is deprecated:UserWarning")
def test_a_tensor_of_no_dimensions_is_such_a_number() -> None:
    calls = """x.clone().add_(n, x)|t.add(x, n, x)|x.sub(n, x)|x.clone().addcdiv_(n, x, x + 1)|t.addcmul(x, n, x, x)
    t.addmm(n, x, 3, x, x)|t.addmm(n, x, x, x)|x.addmm(n, n, x, x)|n.add(n, x)|n.add(2, n)""".replace("\n", "|")

    def values(t: Any) -> list[Any]:
        x, n = t.arange(4.0).reshape(2, 2), t.tensor(-2.5)
        return [eval(call.strip(), {"t": t, "x": x, "n": n}) for call in calls.split("|")]

    same(values(fb), values(torch))
    with pytest.raises(TypeError, match="positional arguments but"):
        fb.ones(2).add(fb.tensor(2.0, requires_grad=True), fb.ones(2))


def test_what_it_says_and_refuses() -> None:
    x = fb.ones(2)
    with pytest.warns(UserWarning, match="This overload of add_ is deprecated"):
        x.add_(2, x)
    for wrong in (lambda: x.add(x, 2, x), lambda: x.add(x, x, 2), lambda: x.mul(2, x), lambda: x.add(2, 2, x)):
        with pytest.raises(TypeError, match="positional arguments but"):
            wrong()

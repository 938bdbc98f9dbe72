"""`torch.cond` in exported programs."""

from __future__ import annotations

import io
from typing import Any

import pytest

import flambeau as fb
import flambeau.export
import flambeau.nn

Tensor = fb.Tensor


class OfLayers(fb.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = fb.nn.Linear(2, 2), fb.nn.Linear(2, 2)

    def forward(self, x: Tensor, y: Tensor) -> Any:
        z = x * 2
        a, b = fb.cond(
            x.mean() > 0,
            lambda x: (self.one(x) + z, x * y),
            lambda x: (self.other(x), x - fb.ones(2)),
            (x,),
        )
        return a + b, fb.cond(y.sum() > 0, lambda: y.clone(), lambda: -y)


class OneInAnother(fb.nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Any:
        def inner(x: Tensor) -> Tensor:
            return fb.cond(x.sum() > 50, lambda x: x * 10, lambda x: x + y, (x,))

        return fb.cond(x.sum() > 0, inner, lambda x: x.neg(), (x,)), y


@pytest.mark.parametrize(
    ("make", "changing"),
    [
        (OfLayers, True),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in ((OfLayers, False), (OneInAnother, False), (OneInAnother, True))
        ),
    ],
)
def test_both_branches_are_there(make: Any, changing: bool) -> None:
    module = make()
    dims = ({0: fb.export.Dim("rows")},) * 2 if changing else None
    program = fb.export.export(module, (fb.ones(3, 2), fb.ones(3, 2)), dynamic_shapes=dims)
    file = io.BytesIO()
    fb.export.save(program, file)
    file.seek(0)
    again = fb.export.load(file).module()
    rows: int = 5 if changing else 3
    for x in (1.0, -1.0, 20.0):
        for y in (1.0, -1.0):
            given = fb.full((rows, 2), x), fb.full((rows, 2), y)
            for run in (program.module(), again):
                for made, wanted in zip(run(*given), module(*given), strict=True):
                    assert made.tolist() == wanted.tolist()
    assert sorted(program.state_dict) == sorted(module.state_dict())


def test_what_is_refused() -> None:
    class Other(fb.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return fb.cond(x.sum() > 0, lambda x: x.sin(), lambda x: x[:1], (x,))

    with pytest.raises(RuntimeError, match="expected branches with the same structure, shapes and dtypes"):
        fb.export.export(Other(), (fb.ones(2),))

    class BySize(fb.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return fb.cond(x.sum() > 0, lambda x: x * x.shape[0], lambda x: x, (x,))

    with pytest.raises(Exception, match=r"a branch of torch\.cond computes with the size itself"):
        fb.export.export(BySize(), (fb.ones(2),), dynamic_shapes=({0: fb.export.Dim("rows")},))

"""`torch.onnx.export` of what depends on values: branches, what is found, and what is written by an index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest

import flambeau as fb
import onnx
from flambeau import nn


class Applied(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function, self.layer = function, nn.Linear(4, 4)
        self.register_buffer("table", fb.arange(12.0).view(3, 4))

    def forward(self, *args: fb.Tensor) -> Any:
        return self.function(self, *args)


def check(function: Callable[..., Any], *runs: tuple[fb.Tensor, ...], **options: Any) -> onnx.ModelProto:
    """Export for the first inputs, and compare what onnxruntime computes for all of them."""
    fb.manual_seed(0)
    model = Applied(function)
    made = fb.onnx.export(model, runs[0], **options)
    onnx.checker.check_model(made.model_proto, full_check=True)
    session = onnxruntime.InferenceSession(made.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for given in runs:
        with fb.no_grad():
            expected = fb.utils._pytree.tree_flatten(model(*given))[0]
        got = session.run(None, {i.name: x.numpy() for i, x in zip(session.get_inputs(), given, strict=True)})
        assert len(expected) == len(got)
        for ours, theirs in zip(expected, got, strict=True):
            assert theirs.shape == tuple(ours.shape) and theirs.dtype == ours.numpy().dtype
            np.testing.assert_allclose(theirs, ours.numpy(), rtol=1e-5, atol=1e-6)
    return made.model_proto


X = fb.tensor([[0.5, -1.0, 2.0, 0.0], [-0.5, 1.5, 0.0, -2.0], [3.0, -1.0, -1.0, 0.25]])
OTHERS = (X,), (-X,), (X * 0 + 1,), (X - 10,)  # of which other places are positive: some, all and none
I, J = fb.tensor([2, 0]), fb.tensor([1, 3])
INDICES = (X, I, J), (-X, J - 1, I)


def branches(net: Any, x: fb.Tensor) -> Any:
    scale = x.amax()
    return fb.cond(x.sum() > 0, lambda v: net.layer(v) * scale, lambda v: v - net.table.sum() + fb.arange(4.0), (x,))


def nested(net: Any, x: fb.Tensor) -> Any:
    def inner(v: fb.Tensor) -> Any:
        return fb.cond(v.mean() > 0.5, lambda u: (u + 1, u.amax()), lambda u: (net.layer(u), u.amin()), (v,))

    return fb.cond(x.sum() > 0, inner, lambda v: (v * 2, v.sum()), (x,))


@pytest.mark.parametrize("function", [branches, nested])
def test_branches(function: Any) -> None:
    made = check(function, *OTHERS)
    assert "If" in [node.op_type for node in made.graph.node]
    check(function, *OTHERS, (X.repeat(2, 1),), (-X[:1].repeat(5, 1),), dynamic_shapes=[{0: "rows"}])


FOUND: list[Callable[..., Any]] = [
    lambda net, x: [x.nonzero(), fb.argwhere(x > 0), *(x > 0).nonzero(as_tuple=True), *fb.where(x > 1)],
    lambda net, x: [x[x > 0], fb.masked_select(x, x[0] > 0), x[x[:, 0] > 0], x[:, x[1] > 0], x[1, x[1] > 0] * 2 + 1],
    lambda net, x: [
        net.layer(x[x.sum(1) > 0]).relu(),
        x[x > 0].sum(),
        net.table[x > 0] - x[x > 0],
        x[x > 0].float().int(),
    ],
    lambda net, x: [x[(x > 0).nonzero()[:, 0]], x.nonzero().T, fb.cat([x[x > 0], x[0]])],
]


@pytest.mark.parametrize("number", range(len(FOUND)))
def test_what_is_found(number: int) -> None:
    made = check(FOUND[number], *OTHERS)
    assert any(dim.dim_param for output in made.graph.output for dim in output.type.tensor_type.shape.dim)


def written(change: Callable[..., Any]) -> Callable[..., Any]:
    def function(net: Any, x: fb.Tensor, *more: fb.Tensor) -> fb.Tensor:
        y = x.clone()
        change(y, x, *more)
        return y + 1

    return function


def _masks(y: Any, x: Any) -> None:
    y[x > 1] = 0.0
    y[x < -1] = x[x < -1] * 2
    y[x[:, 0] > 1] = x[0]
    y[:, x[0] > 1] = fb.tensor([[1.0], [2.0], [3.0]])


def _parts(y: Any, x: Any) -> None:
    y[:, 1] = 5
    y[0] = x[1:2]
    y[1:, 2:] = x[:2, :2]
    y[..., -1] += 2
    y[::2] = y[::2].flip(0)


def _indices(y: Any, x: Any, i: Any, j: Any) -> None:
    y[i] = x[j - 1]
    y[:, j] = 7.0
    y[i, j] = fb.tensor([1.0, 2.0])
    y[1, i] = x[0, j]
    y[i[:, None], j] = x[:2, :2]


PUT: list[Callable[..., Any]] = [
    lambda net, x, i, j: x.index_put((i, j), fb.ones(2)),
    lambda net, x, i, j: x.index_put((i * 0, j * 0), fb.tensor([1.0, 2.0]), accumulate=True),
    lambda net, x, i, j: x.clone().index_put_((i,), x[:1] * 2, accumulate=True),
    lambda net, x, i, j: [x.index_fill(1, i, 3.0), x.index_copy(1, j, x[:, :2]), x.index_add(0, i, x[:2])],
    lambda net, x, i, j: [x[i, j], x[i[:, None], j], x[:, i, None], x[None, j - 1, :2], x[i, None, j], x[..., j]],
    lambda net, x, i, j: [x[None].repeat(2, 1, 1)[:, i, j], x[None].repeat(2, 1, 1)[i - 1, :, j - 1]],
]


@pytest.mark.parametrize("change", [_masks, _parts])
def test_written(change: Any) -> None:
    check(written(change), *OTHERS)


def test_written_by_indices() -> None:
    check(written(_indices), *INDICES)
    for function in PUT:
        check(function, *INDICES)
    rows = (X.repeat(2, 1), I, J), (X.repeat(3, 1), J, I)
    check(
        written(lambda y, x, i, j: y.__setitem__((slice(1, None), i), 2.0)),
        *rows,
        dynamic_shapes=[{0: "n"}, None, None],
    )


def test_what_is_written_to_a_constant() -> None:
    """A tensor that the code makes is taken as it is at that place, and not as the example left it."""

    def piece_by_piece(net: Any, x: fb.Tensor) -> Any:
        y = fb.zeros(3, 4)
        y += x
        z = fb.ones(3, 4)
        z[:, 0] = x[:, 1]
        z[x > 0] = 4
        w = fb.empty(3, 4)
        w[:, :2], w[:, 2:] = x[:, 2:], x[:, :2]
        v = x.new_ones(3)
        for i in range(2):
            v[i] = x[i].sum()
        return (
            y,
            z,
            w,
            v,
            fb.zeros(3, 4).copy_(x[0]),
            x.new_full((2,), 3.0) + x.clone().fill_(2)[0, :2],
            x.clone().zero_(),
        )

    def twice(net: Any, x: fb.Tensor) -> Any:
        c = fb.zeros(4)
        early = x + c
        c += 5
        return early + c

    check(piece_by_piece, *OTHERS)
    check(twice, *OTHERS)

    def state(net: Any, x: fb.Tensor) -> Any:
        early = x + net.table
        net.table[0] = x[0]
        return early + net.table

    with pytest.raises(fb.onnx.errors.UnsupportedOperatorError, match="something is written later"):
        fb.onnx.export(Applied(state), (X,))


REFUSED: list[tuple[Callable[..., Any], str]] = [
    (lambda net, x: fb.zeros(x.nonzero().shape[0]), "data-dependent expression: the code asks for a value .shape"),
    (lambda net, x: x[x > 0].size(0) * x, "asks for a value .size"),
    (lambda net, x: list(x[x > 0]), "asks for a value .unbind"),
    (
        lambda net, x: fb.cond(x.sum() > 0, lambda v: v[v > 0], lambda v: v[v > 0], (x,)),
        "as large as its values decide",
    ),
    (lambda net, x: fb.cond(x.sum() > 0, lambda v: v.cummax(0)[0], lambda v: v, (x,)), "cummax"),
    (lambda net, x: x[x > 0].squeeze(), "torch.Tensor.squeeze.*may change"),
]


@pytest.mark.parametrize("function, match", REFUSED)
def test_refused(function: Any, match: str) -> None:
    with pytest.raises(Exception, match=match) as told:
        fb.onnx.export(Applied(function), (X,))
    assert isinstance(told.value, (fb.onnx.OnnxExporterError, fb.onnx.errors.UnsupportedOperatorError))

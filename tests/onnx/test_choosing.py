"""Functions that choose, place and window, exported for one size and run by onnxruntime at another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest

import flambeau as fb
from flambeau.nn import functional as F


class Applied(fb.nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: fb.Tensor) -> Any:
        return self.function(*inputs)


def check(function: Callable[..., Any], *examples: tuple[fb.Tensor, ...], shapes: Any = None) -> None:
    """Export it for the first example, and compare what onnxruntime computes of each."""
    made = fb.onnx.export(Applied(function), examples[0], dynamic_shapes=shapes).model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(made, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    for inputs in examples:
        expected = fb.utils._pytree.tree_leaves(function(*inputs))
        got = session.run(None, {name: x.numpy() for name, x in zip(names, inputs, strict=True)})
        for ours, theirs in zip(expected, got, strict=True):
            assert theirs.dtype == ours.numpy().dtype
            np.testing.assert_allclose(theirs, ours.numpy(), rtol=1e-4, atol=1e-5)


FORMS: dict[str, Callable[[fb.Tensor], Any]] = {
    "sorting": lambda x: [*x.topk(2), *x.sort(0, descending=True), x.argsort(), x.msort(), *x.kthvalue(2), *fb.topk(x, 1, 1, largest=False)],
    "truth": lambda x: [(x > 0).any(), (x > 0).all(1), x.any(0, True), fb.count_nonzero(x, 1), x.relu().all()],
    "places": lambda x: [
        x.take(fb.tensor([0, -1])), x.scatter(0, fb.tensor([[1, 0]]), 5.0), x.scatter_add(0, fb.tensor([[1, 0], [1, 1]]), x),
        x.scatter(1, fb.tensor([[1]]), x), x.scatter_reduce(0, fb.tensor([[1, 0]]), x, "amax"), x.index_add(0, fb.tensor([0, 1]), x[:2], alpha=-2),
        fb.select_scatter(x, x[0], 0, 1), fb.slice_scatter(x, x[:1], 0, 1, 2), fb.take_along_dim(x, x.argsort(1), 1),
    ],
    "turned": lambda x: [
        x.roll(5), x.roll((7, -1), (0, 1)), x.roll(2, 0), x.fliplr(), x.flipud(), fb.rot90(x), fb.rot90(x, 3), fb.rot90(x, 2), x.ravel(),
        fb.diff(x, dim=0), fb.diff(x, 2, 0), fb.diag_embed(x), fb.diag(x[:, 0], 1), fb.diag(x[:, 0], -1), fb.column_stack([x, x[:, 0]]),
        fb.dstack([x, x]), *fb.broadcast_tensors(x, x[:1]), F.pad(x[None], (1, 2), "circular"), fb.flip(x, dims=(0, 1)), fb.hstack([x, x]),
    ],
    "windows": lambda x: [
        F.unfold(x[None, None], 2), F.unfold(x[None, None], (1, 2), 1, (1, 0), 2), x.unfold(0, 2, 1), x.unfold(1, 2, 2), F.lp_pool1d(x[None], 2, 2),
        F.lp_pool2d(x[None, None], 2, 2, 1), F.lp_pool1d(x[None], 4, 2, ceil_mode=True), F.local_response_norm(x[None, None], 3),
        *F.max_pool1d(x[None], 2, return_indices=True), *F.max_pool2d(x[None, None], 2, 1, return_indices=True),
    ],
    "values": lambda x: [
        fb.atan2(x, x + 0.1), fb.atan2(-x, -x.exp()), fb.copysign(x, x - 1), fb.deg2rad(x), fb.rad2deg(x), fb.fmax(x, -x), fb.fmin(x, 0 * x),
        x.frac(), x.sinc(), fb.xlogy(x.relu(), x.exp()), fb.logaddexp2(x, -x), fb.isclose(x, x), x.nansum(0), x.nanmean(), fb.special.entr(x.exp()),
        fb.special.ndtr(x), fb.isin(x, x[0]), fb.bucketize(x, fb.tensor([-1.0, 0, 1])), fb.searchsorted(x.sort().values, x, right=True),
        x.fmod(0.7), x.remainder(-0.7), 2 % x, (x * 9).long() % 4, (x * 9).long() // -4, x.round(decimals=1), F.softplus(x * 20, 3, 5.0),
        x.isposinf(), (x * 9).long() & 5, ~(x * 9).long(), x.sgn(),
    ],
    "products": lambda x: [
        fb.addmv(x[:, 0], x, x[0]), fb.addr(x, x[:, 0], x[0], beta=2, alpha=3), fb.vdot(x[0], x[1]), fb.inner(x, x), fb.tensordot(x, x, ([1], [1])),
        fb.kron(x, x), x.trace(), fb.dist(x, x * 2), fb.cdist(x, x + 1), fb.cov(x), fb.corrcoef(x), fb.trapezoid(x),
        fb.cumulative_trapezoid(x, dim=0), fb.linalg.vecdot(x, x), fb.linalg.cross(x[:, :3], x[:, :3] + 1, dim=1), x.std(False),
        fb.norm(x, 3, 1), fb.norm(x, float("inf")),
    ],
    "losses": lambda x: [
        F.soft_margin_loss(x, x.sign()), F.margin_ranking_loss(x, -x, x.sign(), 0.5), F.multilabel_soft_margin_loss(x, (x > 0).float()),
        F.triplet_margin_loss(x, x + 1, -x, swap=True), F.triplet_margin_loss(x, x * 2, -x, reduction="none"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] if n not in ("sorting", "truth", "windows") else []) for n in FORMS],
)
def test_forms_take_other_sizes(name: str) -> None:
    fb.manual_seed(0)
    check(FORMS[name], (fb.randn(4, 4),), (fb.randn(7, 4),), (fb.randn(2, 4),), shapes=[{0: "b"}])


def test_embedding_bags() -> None:
    fb.manual_seed(0)
    table, ids, bags = fb.randn(6, 3), fb.tensor([1, 2, 4, 5, 4, 3, 0]), fb.tensor([0, 3, 3])
    more = fb.tensor([0, 5, 5, 2, 1, 1]), fb.tensor([0, 1, 1])
    shapes = [{0: "n"}, None]
    for mode in ("sum", "mean", "max"):
        check(lambda i, o, mode=mode: F.embedding_bag(i, table, o, mode=mode), (ids, bags), more, shapes=shapes)
        check(lambda i, mode=mode: F.embedding_bag(i, table, mode=mode, padding_idx=4), (ids[:6].reshape(2, 3),))
    check(lambda i, o: F.embedding_bag(i, table, o, mode="sum", include_last_offset=True), (ids, fb.tensor([0, 3, 7])))
    check(lambda i, w: F.embedding_bag(i, table, bags, mode="sum", per_sample_weights=w), (ids, fb.rand(7)))


def test_columns_to_pictures_and_windows_that_overlap() -> None:
    fb.manual_seed(0)
    check(lambda x: F.fold(x, (4, 5), 2, padding=1, stride=(1, 2)), (fb.randn(2, 8, 15),))
    image = fb.randn(1, 2, 7, 5)
    check(
        lambda x: [
            F.adaptive_avg_pool2d(x, (3, 2)),
            F.adaptive_max_pool2d(x, (4, 3)),
            F.interpolate(x, (3, 3), mode="area"),
        ],
        (image,),
    )
    check(
        lambda x: [
            F.interpolate(x, scale_factor=2, mode="nearest-exact"),
            F.interpolate(x, (3, 9), mode="nearest-exact"),
        ],
        (image,),
    )


def test_what_would_be_wrong_at_other_sizes_is_refused() -> None:
    for function in (
        lambda x: fb.diagonal(x), lambda x: x[None].diagonal(1, 1, 2), lambda x: F.glu(x, 0), lambda x: x.chunk(2)[0],
        lambda x: F.adaptive_avg_pool1d(x[None].mT, 3), lambda x: F.scaled_dot_product_attention(x.t(), x.t(), x.t()),
    ):  # fmt: skip
        with pytest.raises(fb.onnx.errors.UnsupportedOperatorError, match="size"):
            fb.onnx.export(Applied(function), (fb.rand(4, 4),), dynamic_shapes=[{0: "b"}])
    check(
        lambda x: [x.diagonal(1, 1, 2), x.mT, fb.diagonal(x[0], -1)],
        (fb.rand(2, 4, 3),),
        (fb.rand(5, 4, 3),),
        shapes=[{0: "b"}],
    )


def test_a_model_that_onnx_does_not_take_is_told_so() -> None:
    with pytest.raises(fb.onnx.errors.OnnxExporterError, match="none that ONNX takes"):
        fb.onnx.export(Applied(F.silu), (fb.ones(2, dtype=fb.complex64),))

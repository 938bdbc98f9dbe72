"""Numbers, empty classes, settings of zero and dtypes that kernels do not take: PyTorch's results, or its errors and texts."""

from __future__ import annotations

from typing import Any

import pytest

from support.programs import agree

CALLS = """
F.max_unpool1d(S, SI, 2)
F.max_unpool2d(S, SI, 2)
F.max_unpool3d(R(3, 3), R(3, 3).long(), 2)
F.max_unpool2d(R(1, 2, 2).long(), R(1, 2, 2).long(), 2)
F.fractional_max_pool2d(S, 2, output_size=1)
F.fractional_max_pool3d(S, 2, output_size=1)
F.fractional_max_pool2d(R(1, 4, 4), 2, output_size=2, _random_samples=R(1, 1, 2).double())
F.fractional_max_pool2d(R(1, 3, 3, 3), 2, output_size=2, _random_samples=R(1, 3, 3))
F.fractional_max_pool2d(R(1, 3, 3, 3), 2, output_size=2, _random_samples=R(1, 3))
F.fractional_max_pool3d(R(1, 1, 4, 4, 4), 2, output_size=2, _random_samples=R(1, 2, 3))
F.fractional_max_pool2d(R(2, 1, 4, 4), 2, output_size=2, _random_samples=R(1, 1, 2))
nn.FractionalMaxPool2d(2, output_ratio=1.5)
F.max_pool1d(R(1, 4).long(), 2)
F.max_pool1d(R(1, 4).long(), 2, return_indices=True)
F.max_pool1d(R(1, 4).bool(), 2, return_indices=True)
F.max_pool2d(R(1, 4, 4).long(), 2)
F.max_pool3d(R(1, 4, 4, 4).bool(), 2)
F.adaptive_max_pool1d(R(1, 4).long(), 2)
F.adaptive_max_pool3d(R(1, 4, 4, 4).long(), 2)
F.adaptive_avg_pool1d(R(1, 4).long(), 2)
F.avg_pool2d(S, 2)
F.unfold(S, 2)
F.unfold(R(3, 3), 2)
F.unfold(R(1, 3, 3), 0)
F.unfold(R(1, 3, 3), 2, dilation=0)
F.unfold(R(1, 3, 3), 2, stride=0)
F.unfold(R(1, 3, 3), 2, padding=-1)
F.unfold(R(1, 3, 3), (2, 2, 2))
F.unfold(R(1, 3, 3).long(), 2)
F.fold(R(4, 1), 2, 0)
F.fold(R(4, 1), 0, 2)
F.fold(R(4, 1), 1, 2)
F.fold(R(4, 1).long(), 2, 2)
F.fold(R(4, 1).bool(), 2, 2)
R(3).unfold(0, -1, 1)
F.instance_norm(S)
F.instance_norm(R(3, 3, 2), weight=R(2))
F.instance_norm(R(3, 3, 2), running_mean=R(3))
F.instance_norm(R(3, 3, 2).long())
F.batch_norm(R(2, 3, 4), R(3), None, training=True)
F.rms_norm(S, [1])
F.rms_norm(R(3), 3)
F.rms_norm(R(3), [2])
nn.RMSNorm((2, 3))(R(3))
F.layer_norm(R(3), 3)
F.group_norm(R(1, 3), 3)
F.group_norm(R(1, 3), 2)
F.group_norm(R(1, 3), 0)
torch.group_norm(R(1, 3), 3)
F.local_response_norm(S, 2)
F.cross_entropy(Z(2, 0), Z(2, 0)).isnan()
F.cross_entropy(Z(2, 0, 3), Z(2, 0, 3)).isnan()
F.cross_entropy(Z(2, 0), Z(2, 0), reduction="none")
F.cross_entropy(S, S)
F.multi_margin_loss(S, SI)
F.multi_margin_loss(S, torch.tensor(0))
F.multilabel_soft_margin_loss(S, S)
F.margin_ranking_loss(S, S, S)
F.bilinear(R(2, 3), R(3, 3), R(4, 3, 3))
F.bilinear(S, S, R(1, 1, 1))
nn.Bilinear(2, 2, 2)(R(3, 2).double(), R(3, 2).double())
F.linear(R(3), R(2, 3), R(3))
nn.Linear(2, 2)(3)
nn.Linear(2, 2)(2.5)
nn.Linear(2, 2)(S)
nn.ConvTranspose2d(3, 4, 3, stride=2)(R(1, 3, 4, 4), output_size=(10,))
nn.CosineEmbeddingLoss()(R(2, 3), R(2, 3), R(3))
nn.TripletMarginLoss(margin=-1)
nn.MultiMarginLoss(weight=R(2, 2))
nn.init.trunc_normal_(Z(4), a=2, b=1)
F.conv2d(S, S)
F.conv2d(R(1, 2, 3, 3), R(3, 1, 2, 2), groups=2)
F.interpolate(R(1, 1, 3), size=0)
F.interpolate(R(1, 1, 0), 2)
F.pad(R(3), (-1, -2))
F.pad(R(3), (-4, 1))
F.pad(R(3), (-2, -2))
F.pad(R(3), (1.0, 1.0))
F.pad(R(3), "ab")
F.nll_loss(Z(2, 0, 2), Z(2, 2).long())
F.linear(R(2, 3), R(2, 3), 1.0)
F.l1_loss(R(2).long(), R(2).long())
F.dropout(R(2), 0.5, "a")
F.conv2d(R(1, 2, 3, 3).bool(), R(2, 2, 2, 2).bool())
F.conv_transpose1d(R(1, 2, 3), R(2, 2, 2), R(2).double())
F.adaptive_avg_pool2d(R(1, 4, 4), 0)
F.adaptive_max_pool1d(R(1, 4), 0)
nn.Conv1d(2, 3, 0)(R(1, 2, 4))
nn.Conv3d(2, 3, 0)(R(1, 2, 4, 4, 4))
nn.GroupNorm(True, 4)(R(1, 4))
nn.LSTM(2, True)(R(2, 2))
nn.MultiMarginLoss(2.0)(R(2, 3), R(2).long())
nn.LayerNorm(2)(3)
nn.PixelShuffle(2.0)(R(1, 4, 2, 2))
nn.utils.clip_grad_norm_([], "a")
torch.optim.Adam([nn.Parameter(R(2))], betas=(0.9,))
nn.init.normal_(R(3), "a")
""".strip().splitlines()


def evaluated(t: Any, call: str) -> Any:
    names = {"torch": t, "nn": t.nn, "F": t.nn.functional, "S": t.tensor(1.5), "SI": t.tensor(1)}
    return eval(call, names | {"R": lambda *s: t.ones(s), "Z": lambda *s: t.zeros(s)})


@pytest.mark.parametrize("call", CALLS)
def test_as_torch(call: str) -> None:
    agree(lambda t: evaluated(t, call), words=None)


def test_type_as_torch() -> None:
    """Where PyTorch names another function of its own, or adds a remark, the types agree."""
    for call in (
        "F.softmax(R(2, 2), 1.0)", "F.softmax(R(2, 2), True)", "F.grid_sample(1, 2)", "F.grid_sample(R(1, 1, 2, 2), 2)",
        "nn.LocalResponseNorm(2.5)(R(1, 4, 4))", "nn.utils.clip_grad_value_([], 1.0)",
    ):  # fmt: skip
        agree(lambda t, call=call: evaluated(t, call), words=0)

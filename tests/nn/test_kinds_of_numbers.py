"""Sizes that are no whole numbers, and what is no tensor at all: layers' functions refuse them with torch's words."""

from __future__ import annotations

import pytest

from support.expressions import agree, evaluate, fb, torch

F = "torch.nn.functional."
WHOLE_TEXT = [
    "max_pool2d(torch.ones(1, 4, 4), {})",
    "max_pool1d(torch.ones(1, 4), {})",
    "avg_pool3d(torch.ones(1, 4, 4, 4), {})",
    "adaptive_avg_pool1d(torch.ones(1, 4), {})",
    "conv_transpose2d(torch.ones(1, 2, 3, 3), torch.ones(2, 2, 2, 2), None, {})",
    "pad(torch.ones(2, 2), {})",
]
KINDS_ALONE = [
    "conv2d(torch.ones(1, 2, 3, 3), torch.ones(2, 2, 2, 2), stride={})",
    "conv_transpose3d(torch.ones(1, 2, 3, 3, 3), torch.ones(2, 2, 2, 2, 2), padding={})",
    "interpolate(torch.ones(1, 1, 4, 4), size={})",
    "interpolate(torch.ones(1, 1, 4, 4), size=({}, 2), mode='bilinear')",
    "unfold(torch.ones(1, 1, 4, 4), {})",
    "fold(torch.ones(1, 4, 4), 3, {})",
    "fractional_max_pool2d(torch.ones(1, 4, 4), {}, 2)",
]
SINGLE = [
    "softmax(3, 1)", "softmax(None)", "log_softmax([1.0], 0)", "softmin(3, 1)", "affine_grid(1, (1, 1, 2, 2))",
    "affine_grid(torch.ones(1, 2, 3), 2)", "affine_grid(torch.ones(1, 2, 3), (1, 1, 2.0, 2), align_corners=False)",
    "affine_grid(torch.ones(1, 2, 3), torch.tensor([1, 1, 2, 2]), align_corners=False)",
    "soft_margin_loss(torch.ones(2, dtype=torch.int64), torch.ones(2))", "pad(torch.ones(2, 2), 1)",
    "interpolate(torch.ones(1, 1, 4, 4), size=(2.0, 2))", "max_pool2d(torch.ones(1, 4, 4), (2, 2.0))",
    "conv_transpose2d(torch.ones(1, 2, 3, 3), torch.ones(2, 2, 2, 2), None, (1, 1.0))",
    "unfold(torch.ones(1, 1, 4, 4), (2, 2.0))", "fold(torch.ones(1, 4, 4), 3.0, 2)",
    "lp_pool2d(torch.ones(1, 4, 4), 2, 2.0)", "adaptive_avg_pool2d(torch.ones(1, 4, 4), (2,))",
]  # fmt: skip


@pytest.mark.parametrize("value", ["2.0", "'same'", "None", "[2, 'a']"])
def test_sizes(value: str) -> None:
    for call in WHOLE_TEXT:
        agree_on_text(F + call.format(value))
    for call in KINDS_ALONE:
        if value not in ("None", "[2, 'a']") or "size=" not in call:
            agree(F + call.format(value))


@pytest.mark.parametrize("call", SINGLE)
def test_words(call: str) -> None:
    agree_on_text(F + call)


def agree_on_text(expression: str) -> None:
    """Both fail in the same way: the first line of torch's text is in ours."""
    ours, theirs = evaluate(fb, expression).error, evaluate(torch, expression).error
    if theirs is None:
        return agree(expression)
    assert type(ours) is type(theirs), expression
    first = str(theirs).partition("\n")[0]
    assert first in str(ours) or "invalid combination" in first, (expression, first, str(ours))
    return None


def test_a_call_that_was_refused_leaves_no_program() -> None:
    """1.0 and True equal 1, also in tuples, but are no sizes."""
    image, weight = fb.ones(1, 2, 5, 5), fb.ones(2, 2, 2, 2)
    for bad in ((1.0, 1), (True, 1), ((1, 1.0),)):
        with pytest.raises(TypeError):
            fb.nn.functional.conv2d(image, weight, stride=bad)
    assert fb.nn.functional.conv2d(image, weight, stride=(1, 1)).shape == (1, 2, 4, 4)


REAL_ONLY = [f"{name}(x)" for name in ("relu6", "elu", "selu", "celu", "mish", "softplus", "hardshrink", "hardtanh",
             "hardswish", "logsigmoid", "leaky_relu", "glu", "gelu", "silu", "pdist")] + [
    "softmax(x, 0)", "log_softmax(x, 0)", "prelu(x, x[0, :1])", "threshold(x, 0.5, 1)", "layer_norm(x, (2,))",
    "rms_norm(x, (2,))", "group_norm(x, 1)", "batch_norm(x, None, None, training=True)", "avg_pool1d(x, 2)",
    "adaptive_avg_pool1d(x, 1)", "cosine_similarity(x, x)", "mse_loss(x, x)", "huber_loss(x, x)",
    "smooth_l1_loss(x, x)", "binary_cross_entropy(x, x)", "multi_margin_loss(x, torch.zeros(2, dtype=torch.int64))",
    "cross_entropy(x, torch.zeros(2, dtype=torch.int64))", "nll_loss(x, torch.zeros(2, dtype=torch.int64))",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["complex64", "int32", "bool"])
def test_kinds_that_have_no_kernel(kind: str) -> None:
    for call in REAL_ONLY:
        outcomes = [evaluate(lib, F + call, x=lib.ones(2, 2, dtype=getattr(lib, kind))) for lib in (fb, torch)]
        kinds = [type(o.error) for o in outcomes]
        assert kinds[0] is kinds[1], (call, kind, outcomes)
        assert outcomes[1].error is None or str(outcomes[1].error)[:20] in str(outcomes[0].error), (call, outcomes)


def test_a_number_has_no_dimension_to_flatten() -> None:
    for call in ("torch.flatten(s0, 1)", "torch.flatten(s0, 0, 1)", "torch.nn.Flatten()(s0)", "torch.flatten(s0)"):
        agree(call, texts=True)

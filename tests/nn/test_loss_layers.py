"""Losses with parameters or alignments, and layers beside them, against PyTorch: values, gradients, names, printing."""

from __future__ import annotations

import copy
import importlib
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

import flambeau as fb
import flambeau.nn.functional as ours_f
from support.rows import agree, refuse
from support.values import same, to_flambeau

DOUBLE = {"dtype": torch.float64}


def tensors(value: Any) -> list[Any]:
    return [t for v in value for t in tensors(v)] if isinstance(value, tuple) else [value]


def compare(make: Callable[[Any], Any], *inputs: torch.Tensor) -> tuple[Any, Any]:
    """The same layer from the same seed, called on the same inputs."""
    torch.manual_seed(0)
    fb.manual_seed(0)
    theirs, ours = make(torch).double(), make(fb).double()
    assert repr(ours) == repr(theirs)
    same(dict(ours.state_dict()), dict(theirs.state_dict()))
    given = [x.clone().requires_grad_() if x.is_floating_point() else x for x in inputs]
    taken = [to_flambeau(x) for x in given]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected, got = tensors(theirs(*given)), tensors(ours(*taken))
    for a, b in zip(got, expected, strict=True):
        same(a, b, rtol=1e-8, atol=1e-9)
        if b.requires_grad:
            b.sum().backward(retain_graph=b is not expected[-1])
            a.sum().backward(retain_graph=True)
    for a, b in zip((*taken, *ours.parameters()), (*given, *theirs.parameters()), strict=True):
        assert (a.grad is None) == (b.grad is None)
        if b.grad is not None:
            same(a.grad, b.grad, rtol=1e-8, atol=1e-9)
    for other in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert repr(other) == repr(ours)
    return ours, theirs


@pytest.mark.parametrize("targets", [[1, 6, 11, 19], [1, 2, 3, 4], [0, 0, 9, 9], [15, 16, 17]])
def test_adaptive_softmax(targets: list[int]) -> None:
    """A cluster without targets has no gradient, as its layers are not called."""

    def make(t: Any) -> Any:
        return t.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [5, 10], div_value=2.0, head_bias=True)

    x = torch.randn(len(targets), 16, **DOUBLE)
    ours, theirs = compare(make, x, torch.tensor(targets))
    same(ours.log_prob(to_flambeau(x)), theirs.log_prob(x))
    for layer in (ours, theirs):
        layer.head.weight.data.mul_(20)
    same(ours.predict(to_flambeau(x)), theirs.predict(x))


def test_adaptive_softmax_of_one_and_of_none() -> None:
    def make(t: Any) -> Any:
        return t.nn.AdaptiveLogSoftmaxWithLoss(8, 12, (3,))

    compare(make, torch.randn(8, **DOUBLE), torch.tensor(7))
    compare(make, torch.randn(0, 8, **DOUBLE), torch.zeros(0, dtype=torch.int64))


@pytest.mark.parametrize(
    "row",
    [
        "t.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [])",
        "~ t.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [10, 5])",
        "~ t.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [5, 20])",
        "~ t.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [5.5])",
        "t.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [5])(h(2, 16), i([1, 20]))",
        "t.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [5])(h(2, 16), i([-1, 3]))",
        "~ t.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [5])(h(2, 16), i([1]))",
        "~ t.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [5])(h(2, 16), i(1))",
        "~ t.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [5])(h(2, 16), i([[1], [2]]))",
        "t.nn.LinearCrossEntropyLoss(3, 7, weight=h(6))",
        "t.nn.LinearCrossEntropyOptions(chunking_method='foo')",
        "t.nn.LinearCrossEntropyOptions(chunking_method='aspect_ratio:0')",
        "t.nn.LinearCrossEntropyOptions(batch_chunk_size=0)",
        "t.nn.LinearCrossEntropyOptions(acc_policy='x')",
        "t.nn.functional.linear_cross_entropy(f(2, 5, 3), f(7, 3), i([1, 2]))",
        "t.nn.functional.linear_cross_entropy(f(5, 3), f(7), i([1, 2]))",
        "t.nn.functional.linear_cross_entropy(f(5, 3), f(7, 2), i([1, 2]))",
        "t.nn.functional.linear_cross_entropy(f(5, 3), f(7, 2, 3), i([1, 2]), linear_bias=f(7))",
        "t.nn.functional.linear_cross_entropy(f(2, 3), f(7, 3), f(2, 7), ignore_index=3)",
        "~ t.nn.CrossMapLRN2d(3)(f(3, 4, 4))",
        "~ t.nn.functional.grouped_mm(f(2, 8, 16), f(2, 16, 8))",
        "~ t.nn.functional.grouped_mm(h(8, 16), h(2, 16, 8))",
        "~ t.nn.functional.grouped_mm(h(8, 16), h(3, 16, 8), offs=i([3, 8]).int())",
        "~ t.nn.functional.grouped_mm(h(8, 16), h(2, 16, 8), offs=i([3, 8]))",
        "~ t.conv_tbc(f(5, 2, 2), f(3, 3, 4), f(4))",
        "~ t.conv_tbc(f(1, 2, 3), f(3, 3, 4), f(4))",
        "t.nn.grad.conv2d_input((1, 1, 9, 9), f(1, 1, 3, 3), f(1, 1, 3, 3))",
        "t.nn.factory_kwargs({'foo': 3})",
        "t.nn.functional.binary_cross_entropy(t.rand(3), t.rand(3), weight=f(3))",
        "t.nn.functional.binary_cross_entropy_with_logits(t.rand(3), t.rand(3), weight=f(3))",
        "t.nn.functional.binary_cross_entropy_with_logits(t.rand(3), t.rand(3), pos_weight=f(3))",
        "t.nn.functional.nll_loss(f(2, 3), i([1, 2]), weight=f(3))",
        "t.nn.functional.nll_loss(f(2, 3, 4), t.zeros(2, 4).long(), weight=f(3))",
        "t.nn.functional.cross_entropy(f(2, 3), i([1, 2]), f(3), label_smoothing=0.1)",
        "t.nn.functional.multi_margin_loss(f(2, 3), i([1, 2]), weight=f(3))",
        "t.nn.functional.soft_margin_loss(f(3), f(3))",
        "t.nn.functional.hinge_embedding_loss(t.rand(3), f(3)).backward()",
        "t.nn.functional.cosine_embedding_loss(t.rand(2, 3), t.rand(2, 3), f(2)).backward()",
        "t.nn.functional.batch_norm(f(4, 3), f(3), t.ones(3).double(), training=True)",
        "t.nn.functional.batch_norm(f(4, 3), t.ones(3).double(), f(3))",
        "t.nn.functional.instance_norm(f(2, 3, 4), f(3), t.ones(3).double())",
        "t.nn.functional.huber_loss(f(3), h(3)).backward()",
        "t.nn.functional.huber_loss(i([1, 2]), h(2))",
        "t.nn.functional.l1_loss(h(2), b([True, False]))",
        "t.norm(f(3), dtype=t.int64)",
        "t.norm(f(3), dtype=t.float32)",
        "t.linalg.matrix_norm(f(3, 3), dtype=t.complex128)",
        "t.logsumexp(f(2, 3), ())",
    ],
)
def test_refused(row: str) -> None:
    refuse(row)


@pytest.mark.parametrize(
    "settings", [{}, {"bias": True}, {"reduction": "none"}, {"reduction": "sum", "ignore_index": 2}]
)
@pytest.mark.parametrize("options", [None, {}, {"batch_chunk_size": 3}, {"chunking_method": "aspect_ratio:1"}])
def test_linear_cross_entropy(options: dict[str, Any] | None, settings: dict[str, Any]) -> None:
    def make(t: Any) -> Any:
        chosen = None if options is None else t.nn.LinearCrossEntropyOptions(**options)
        return t.nn.LinearCrossEntropyLoss(3, 7, weight=t.arange(1.0, 8), options=chosen, **settings)

    compare(make, torch.randn(10, 3, **DOUBLE), torch.arange(10) % 7)


def test_linear_cross_entropy_of_several_predictions_and_of_one_sample() -> None:
    def many(t: Any) -> Any:
        return t.nn.LinearCrossEntropyLoss(3, 7, out_features=(2, 4), bias=True)

    compare(many, torch.randn(5, 3, **DOUBLE), torch.arange(40).reshape(5, 2, 4) % 7)
    compare(many, torch.randn(5, 3, **DOUBLE), torch.randn(5, 7, 2, 4, **DOUBLE).softmax(1))

    def one(t: Any) -> Any:
        return t.nn.LinearCrossEntropyLoss(3, 7, reduction="none", options=t.nn.LinearCrossEntropyOptions())

    compare(one, torch.randn(3, **DOUBLE), torch.tensor(2))


def test_what_chunks_cannot_do_is_told() -> None:
    options = fb.nn.LinearCrossEntropyOptions(batch_chunk_size=2)
    arguments = to_flambeau([torch.randn(4, 3), torch.randn(5, 3), torch.tensor([1, 2, 3, 4])])
    with pytest.warns(UserWarning, match="``options`` ignored; chunked path needs"):
        ours_f.linear_cross_entropy(*arguments, label_smoothing=0.1, options=options)


def test_the_logits_are_never_whole() -> None:
    import jax
    import jax.numpy as jnp

    from flambeau.ops.layers.linear_cross_entropy import _linear_cross_entropy

    def loss(x: Any, weight: Any, target: Any, rows: int) -> Any:
        return _linear_cross_entropy.operator.function(x, weight, target, None, None, "mean", -100, rows, None)

    shapes = [jax.ShapeDtypeStruct(s, d) for s, d in (((512, 8), "float32"), ((4000, 8), "float32"), ((512,), "int64"))]
    gradients = jax.jit(jax.grad(loss, (0, 1)), static_argnums=3)
    used = {n: gradients.lower(*shapes, n).compile().memory_analysis().temp_size_in_bytes for n in (16, 512)}
    whole = 512 * 4000 * 4
    assert used[16] < whole / 4 < whole < used[512]
    assert jnp.isfinite(gradients(*(jnp.zeros(s.shape, s.dtype) for s in shapes), 16)[0]).all()


@pytest.mark.parametrize("channels, size", [(5, 3), (6, 4), (6, 5), (7, 2), (4, 7)])
def test_cross_map_normalization(channels: int, size: int) -> None:
    compare(lambda t: t.nn.CrossMapLRN2d(size, 0.5, 0.75, 1.5), torch.randn(2, channels, 3, 2, **DOUBLE))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_padding_with_zeros_is_padding_with_a_constant(dims: int) -> None:
    ours, _ = compare(lambda t: getattr(t.nn, f"ZeroPad{dims}d")(1), torch.randn(1, 2, *[3] * dims, **DOUBLE))
    assert isinstance(ours, getattr(fb.nn, f"ConstantPad{dims}d"))
    assert ours.value == 0


G = "F = t.nn.functional; o = i([3, 8]).int(); "


@pytest.mark.parametrize(
    "row",
    [
        "t.conv_tbc(f(5, 2, 3), f(3, 3, 4), f(4), 1)",
        "t.nn.functional.conv_tbc(f(5, 2, 3), f(3, 3, 4), f(4))",
        "t.nn.functional.max_pool1d_with_indices(f(2, 3, 6), 2)",
        "t.nn.functional.max_pool2d_with_indices(f(2, 3, 6, 6), 2, return_indices=False)",
        "t.nn.functional.adaptive_max_pool3d_with_indices(f(2, 3, 6, 6, 6), 2)",
        "t.nn.grad.conv1d_input((2, 4, 9), f(6, 2, 3), f(2, 6, 5), 2, 1, 1, 2)",
        "t.nn.grad.conv2d_weight(f(2, 4, 9, 8), (6, 2, 3, 3), f(2, 6, 5, 4), stride=2, padding=1, groups=2)",
        "t.nn.functional.native_channel_shuffle(h(1, 4, 2), 2)",
        "t.nn.factory_kwargs({'factory_kwargs': {'dtype': 3}, 'device': 4})",
        "t.tensor([200, 3], dtype=t.uint8).clamp(5, 255)",
        "t.nn.functional.binary_cross_entropy(v([0, 1, 0.25]), v([0.2, 0.3, 1]))",
        "t.nn.functional.huber_loss(h(3), t.ones(3).double())",
        "t.nn.functional.cross_entropy(f(2, 3), f(2, 3), f(3))",
        "[t.tensor([nan, inf, -inf, 1e10, 7e4, -2.5]).to(d) for d in (t.int64, t.int32, t.int16, t.uint8)]",
        "t.tensor([nan, 300, 2]).sum(dtype=t.int64), t.tensor([nan, 300, 2]).nansum(dtype=t.uint8)",
        "x = t.zeros(3).int(); x[1:] = t.tensor([inf, -7.9]); x, x.copy_(t.tensor(nan))",
    ],
)
def test_rows(row: str) -> None:
    agree(row, names="grad" not in row)


@pytest.mark.parametrize(
    "row",
    [
        "F.grouped_mm(h(2, 8, 16), h(2, 16, 8))",
        "F.grouped_mm(h(8, 16), h(2, 16, 8), offs=o)",
        "F.grouped_mm(h(2, 8, 16), h(16, 8), offs=o)",
        "F.grouped_mm(h(8, 16), h(16, 8), offs=2 * o)",
    ],
)
def test_products_of_groups(row: str) -> None:
    agree(G + row, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bounds", ["300", "None, 300", "0, 300", "-300"])
def test_bounds_that_the_dtype_cannot_hold(bounds: str) -> None:
    for form in (f"clamp({bounds})", f"clamp_({bounds})"):
        refuse(f"~ t.tensor([200, 3], dtype=t.uint8).{form}")


def test_products_with_scales() -> None:
    setup = "x, y = f(6, 8).detach().float().to(t.float8_e4m3fn), f(5, 8).detach().float().to(t.float8_e4m3fn).t();"
    setup += (
        "one, rows, columns = t.full((), 2.0), t.linspace(0.5, 2, 6).reshape(6, 1), t.linspace(1, 3, 5).reshape(1, 5);"
    )
    setup += "S = t.nn.functional.ScalingType;"
    for call in (
        "t._scaled_mm(x, y, one, one, out_dtype=t.float32)",
        "t._scaled_mm(x, y, rows, columns, bias=t.ones(5), out_dtype=t.float32)",
        "t._scaled_mm(x, y, one, one).float()",
        "t.nn.functional.scaled_mm(x, y, one, S.TensorWise, one, S.TensorWise, output_dtype=t.float32)",
        "t.nn.functional.scaled_mm(x, y, [rows], [S.RowWise], [columns], [S.RowWise], output_dtype=t.float32)",
        "t._int_mm(t.arange(12, dtype=t.int8).reshape(3, 4) - 5, t.arange(8, dtype=t.int8).reshape(4, 2) * 9)",
        "t._weight_int8pack_mm(f(2, 32).detach().float(), t.arange(64, dtype=t.int8).reshape(2, 32) - 30, t.tensor([0.1, 0.2]))",
        "t._grouped_mm(f(6, 8).detach().float(), f(2, 8, 4).detach().float(), offs=t.tensor([2, 6], dtype=t.int32))",
    ):
        agree(f"{setup} {call}", names=False, rtol=1e-5, atol=1e-5)
    for call in (
        "t._scaled_mm(x.float(), y, one, one)",
        "t._scaled_mm(x, y, rows, one)",
        "t._scaled_mm(x, y[:7], one, one)",
        "t._scaled_mm(x[0], y, one, one)",
        "t._int_mm(t.ones(3, 4), t.ones(4, 2))",
        "t._int_mm(t.ones(3, 4, dtype=t.int8), t.ones(3, 2, dtype=t.int8))",
        "t._grouped_mm(t.ones(4, 16), t.ones(2, 16, 16))",
    ):
        refuse(f"~ {setup} {call}")
    with pytest.raises(NotImplementedError, match="scales of blocks"):
        scaling = ours_f.ScalingType.BlockWise1x16
        ours_f.scaled_mm(fb.ones(2, 2), fb.ones(2, 2), 1.0, scaling, 1.0, scaling)


def test_what_other_packages_losses_ask_about_their_reduction() -> None:
    switches = [(a, b) for a in (None, True, False) for b in (None, True, False)]

    def told(lib: Any) -> list[Any]:
        about = importlib.import_module(f"{lib.__name__}.nn._reduction")
        assert lib.nn.functional._Reduction is about
        found: list[Any] = [about.get_enum(name) for name in ("none", "mean", "sum")]
        for call in (lambda: about.get_enum("elementwise_mean"), lambda: about.legacy_get_enum(False, None)):
            with pytest.warns(UserWarning) as caught:
                found.append(call())
            found.append(str(caught[0].message))
        with pytest.raises(ValueError, match="some is not a valid value for reduction"):
            about.get_enum("some")
        return [*found, [about.legacy_get_string(*s, emit_warning=False) for s in switches]]

    assert told(fb) == told(torch)

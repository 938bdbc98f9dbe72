"""The contract of every layer, one row each: built in both libraries from one expression, it must be the same thing."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
import sys
import warnings
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

import flambeau as fb
import flambeau.nn
from support.values import array, same, to_flambeau


class Row(NamedTuple):
    """An expression for a layer, and its inputs: shapes of normal draws, or expressions."""

    layer: str
    inputs: tuple[Any, ...]
    random: bool  # its training forward draws random numbers of its own
    options: dict[str, Any]

    def __str__(self) -> str:
        return self.layer


def row(layer: str, *inputs: Any, random: bool = False, **options: Any) -> Row:
    return Row(layer, inputs, random, options)


INPLACE = "ReLU ReLU6 ELU SELU CELU SiLU Mish Hardswish Hardsigmoid Hardtanh LeakyReLU RReLU"
SETTINGS = """GELU() GELU('tanh') Hardshrink() Softshrink(0.3) Tanhshrink() Threshold(0.1,20) Threshold(0.1,20.0,True)
    PReLU() PReLU(4) Sigmoid() LogSigmoid() Tanh() Softplus() Softplus(2,1) Softsign() GLU(1) Softmin(1) Softmax(-1)
    LogSoftmax(0) Softmax2d() ELU(0.5) CELU(2.0) LeakyReLU(0.2) Hardtanh(-2.0,3.0)"""
ACTIVATIONS = [
    row(f"{name}({inplace})", (2, 3, 4), random=name == "RReLU")
    for name in INPLACE.split()
    for inplace in ("", "inplace=True")
] + [row(text, (2, 4, 3)) for text in SETTINGS.split()]

CONVOLUTIONS = [
    row("Conv1d(4, 6, 3)", (2, 4, 9)),
    row("Conv1d(4, 6, 3, padding='same', dilation=2, bias=False)", (4, 9)),
    row("Conv2d(4, 6, 3, stride=2, padding=1, groups=2)", (2, 4, 8, 7)),
    row("Conv2d(4, 6, (3, 2), padding=(1, 2), padding_mode='circular')", (2, 4, 8, 7)),
    row("Conv2d(4, 6, 3, padding='same', padding_mode='reflect')", (2, 4, 8, 7)),
    row("Conv2d(4, 4, 4, padding='same', padding_mode='replicate')", (2, 4, 8, 7)),
    row("Conv2d(4, 6, 3, padding='valid', device='cpu')", (2, 4, 8, 7)),
    row("Conv3d(2, 4, (1, 2, 3))", (2, 2, 4, 5, 6)),
    row("ConvTranspose1d(4, 6, 3, 2, 1, output_padding=1)", (2, 4, 5)),
    row("ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2, dilation=2)", (2, 4, 5, 4)),
    row("ConvTranspose2d(4, 6, 3, 2, bias=False)", (2, 4, 5, 4), output_size=[12, 10]),
    row("ConvTranspose3d(2, 4, 2)", (2, 2, 3, 4, 5)),
]

POOLS = [
    row("MaxPool1d(2)", (2, 3, 9)),
    row("MaxPool2d(3, 2, 1)", (2, 3, 8, 9)),
    row("MaxPool2d(2, return_indices=True, ceil_mode=True)", (2, 3, 7, 9)),
    row("MaxPool3d((1, 2, 2), dilation=2)", (2, 3, 4, 5, 6)),
    row("AvgPool1d(2)", (2, 3, 9)),
    row("AvgPool2d(3, 2, 1, count_include_pad=False, ceil_mode=True)", (2, 3, 8, 9)),
    row("AvgPool3d(2, divisor_override=3)", (2, 3, 4, 5, 6)),
    row("AdaptiveMaxPool1d(3)", (2, 3, 8)),
    row("AdaptiveMaxPool2d((2, None), return_indices=True)", (2, 3, 7, 5)),
    row("AdaptiveMaxPool3d(2)", (2, 3, 4, 5, 6)),
    row("AdaptiveAvgPool1d(3)", (2, 3, 8)),
    row("AdaptiveAvgPool2d((3, 4))", (2, 3, 8, 7)),
    row("AdaptiveAvgPool2d(1)", (2, 3, 8, 7)),
    row("AdaptiveAvgPool3d((1, 2, None))", (2, 3, 4, 5, 6)),
    row("LPPool1d(2, 3)", (2, 3, 8)),
    row("LPPool2d(2, 2, stride=1)", (2, 3, 6, 5)),
    row("LPPool3d(2, 2)", (2, 3, 4, 4, 4)),
    row("FractionalMaxPool2d(2, output_size=3)", (2, 3, 8, 7)),
    row("FractionalMaxPool3d(2, output_ratio=(0.5, 0.5, 0.5))", (2, 3, 8, 8, 6)),
    row("MaxUnpool1d(2)", (1, 2, 2), "torch.tensor([[[0, 3], [1, 2]]])"),
    row("MaxUnpool2d(2)", (1, 1, 2, 2), "torch.tensor([[[[0, 3], [9, 15]]]])"),
    row("MaxUnpool3d(2, (2, 2, 2))", (1, 1, 1, 1, 2), "torch.tensor([[[[[3, 6]]]]])"),
]

NORMALIZATIONS = [
    row("BatchNorm1d(3)", (4, 3)),
    row("BatchNorm1d(3, momentum=None)", (4, 3, 5)),
    row("BatchNorm2d(3, eps=1e-3, momentum=0.3)", (4, 3, 5, 4)),
    row("BatchNorm2d(3, affine=False, track_running_stats=False)", (4, 3, 5, 4)),
    row("BatchNorm3d(3, bias=False)", (2, 3, 2, 3, 4)),
    row("SyncBatchNorm(3)", (4, 3)),
    row("SyncBatchNorm(3, affine=False)", (2, 3, 2, 3)),
    row("InstanceNorm1d(3)", (4, 3, 5)),
    row("InstanceNorm1d(3, affine=True)", (3, 5)),
    row("InstanceNorm2d(3, affine=True, track_running_stats=True)", (4, 3, 5, 4)),
    row("InstanceNorm3d(3, track_running_stats=True)", (2, 3, 2, 3, 4)),
    row("GroupNorm(2, 4)", (3, 4, 5)),
    row("GroupNorm(4, 4, affine=False)", (3, 4, 5, 2)),
    row("LayerNorm(5)", (3, 4, 5)),
    row("LayerNorm((4, 5), bias=False)", (3, 4, 5)),
    row("LayerNorm([5], elementwise_affine=False)", (3, 4, 5)),
    row("RMSNorm(5)", (3, 4, 5)),
    row("RMSNorm((4, 5), eps=1e-3, elementwise_affine=False)", (3, 4, 5)),
    row("LocalResponseNorm(2)", (3, 4, 5)),
]

OFFSETS = "torch.tensor([0, 2])"
INDEX_34 = "torch.tensor([[1, 2, 4], [0, 3, 1]])"
OTHERS = [
    row("Identity(54, a=1)", (2, 3)),
    row("Linear(4, 3)", (2, 4)),
    row("Linear(4, 3, bias=False)", (4,)),
    row("Linear(4, 3, dtype=torch.float64)", "torch.randn(2, 2, 4).double()"),
    row("Bilinear(3, 4, 5)", (2, 3), (2, 4)),
    row("Bilinear(3, 4, 5, bias=False)", (2, 3), (2, 4)),
    row("Flatten()", (2, 3, 4)),
    row("Flatten(0, 1)", (2, 3, 4)),
    row("Unflatten(1, (2, -1))", (2, 6)),
    row("Dropout(0.3)", (2, 3), random=True),
    row("Dropout(0.3, inplace=True)", (2, 3), random=True),
    row("Dropout1d()", (2, 3, 4), random=True),
    row("Dropout2d()", (2, 3, 4, 4), random=True),
    row("Dropout3d()", (2, 3, 4, 4, 4), random=True),
    row("AlphaDropout(0.2)", (2, 3), random=True),
    row("FeatureAlphaDropout()", (2, 3, 4), random=True),
    row("Embedding(5, 3)", INDEX_34),
    row("Embedding(5, 3, padding_idx=-1)", INDEX_34),
    row("Embedding(5, 3, max_norm=0.5, norm_type=1)", INDEX_34),
    row("Embedding(5, 3, scale_grad_by_freq=True)", INDEX_34),
    row("Embedding.from_pretrained(torch.ones(5, 3))", INDEX_34),
    row("EmbeddingBag(5, 3)", INDEX_34),
    row(
        "EmbeddingBag(5, 3, max_norm=1.0, mode='sum', padding_idx=0)", "torch.tensor([1, 2, 0])", "torch.tensor([0, 2])"
    ),
    row("EmbeddingBag(5, 3, mode='max', norm_type=1)", INDEX_34),
    row("CosineSimilarity()", (2, 3), (2, 3)),
    row("PairwiseDistance(1, keepdim=True)", (2, 3), (2, 3)),
    row("PixelShuffle(2)", (2, 8, 3, 4)),
    row("PixelUnshuffle(2)", (2, 2, 4, 6)),
    row("ChannelShuffle(2)", (2, 6, 4, 3)),
    row("Fold((4, 5), (2, 3))", (2, 12, 9)),
    row("Unfold(2, dilation=2, padding=1, stride=2)", (2, 3, 6, 5)),
    row("Upsample(scale_factor=2)", (2, 3, 4, 5)),
    row("Upsample(size=(3, 7), mode='bilinear')", (2, 3, 4, 5)),
    row("Upsample(scale_factor=(2, 1.5), mode='bicubic', align_corners=True)", (2, 3, 4, 5)),
    row("UpsamplingNearest2d(size=3)", (2, 3, 4, 5)),
    row("UpsamplingBilinear2d(scale_factor=2)", (2, 3, 4, 5)),
    *(
        row(f"{kind}Pad{n}d({numbers}{value})", (2, 3, *(5, 4, 6)[:n]))
        for kind, value in (
            ("Reflection", ""),
            ("Replication", ""),
            ("Circular", ""),
            ("Zero", ""),
            ("Constant", ", 1.5"),
        )
        for n, numbers in ((1, (1, 2)), (2, 1), (3, (1, 0, 2, 1, 0, 1)))
    ),
]

CLASSES = "torch.tensor([1, 0, 3])"
LOSSES = [
    *(row(f"{name}Loss()", (3, 4), (3, 4)) for name in ("L1", "MSE", "SmoothL1", "Huber", "PoissonNLL")),
    row("L1Loss(reduction='none')", (3, 4), (3, 4)),
    row("MSELoss(reduction='sum')", (3, 4), (3, 4)),
    row("SmoothL1Loss(beta=0.5)", (3, 4), (3, 4)),
    row("HuberLoss('sum', 0.3)", (3, 4), (3, 4)),
    row("PoissonNLLLoss(False, True)", "torch.rand(3, 4)", "torch.rand(3, 4) * 3"),
    row("GaussianNLLLoss(full=True)", (3, 4), (3, 4), "torch.rand(3, 4)"),
    row("KLDivLoss(reduction='batchmean')", (3, 4), "torch.rand(3, 4)"),
    row("KLDivLoss(reduction='sum', log_target=True)", (3, 4), (3, 4)),
    row("BCELoss()", "torch.rand(3, 4)", "torch.rand(3, 4)"),
    row("BCELoss(torch.ones(4) / 2)", "torch.rand(3, 4)", "torch.rand(3, 4)"),
    row("BCEWithLogitsLoss(pos_weight=torch.ones(4) * 2)", (3, 4), "torch.rand(3, 4)"),
    row("NLLLoss()", (3, 4), CLASSES),
    row("NLLLoss(torch.ones(4) / 2, ignore_index=0)", (3, 4), CLASSES),
    row("CrossEntropyLoss()", (3, 4), CLASSES),
    row("CrossEntropyLoss(label_smoothing=0.1, reduction='sum')", (3, 4), CLASSES),
    row("CrossEntropyLoss(torch.ones(4) / 2)", (3, 4), "torch.rand(3, 4)"),
    row("HingeEmbeddingLoss()", (3,), "torch.tensor([1., -1., 1.])"),
    row("MarginRankingLoss(0.3)", (3,), (3,), "torch.tensor([1., -1., 1.])"),
    row("CosineEmbeddingLoss(0.2)", (3, 4), (3, 4), "torch.tensor([1, -1, 1])"),
    row("TripletMarginLoss(p=1, swap=True)", (3, 4), (3, 4), (3, 4)),
    row("TripletMarginWithDistanceLoss()", (3, 4), (3, 4), (3, 4)),
    row("MultiLabelMarginLoss()", (2, 3), "torch.tensor([[0, 1, -1], [1, -1, 0]])"),
    row("MultiLabelSoftMarginLoss()", (3, 4), "torch.rand(3, 4).round()"),
    row("MultiMarginLoss(2, 0.5, torch.ones(4) / 2)", (3, 4), CLASSES),
    row("SoftMarginLoss(reduction='sum')", (3, 4), "torch.rand(3, 4).round() * 2 - 1"),
]  # fmt: skip

LAZY = [
    row("LazyLinear(3)", (2, 4)),
    row("LazyLinear(3, bias=False)", (2, 4)),
    row("LazyConv1d(6, 3)", (2, 4, 9)),
    row("LazyConv2d(6, 3, padding=1, groups=2)", (2, 4, 8, 7)),
    row("LazyConv3d(4, 2, bias=False)", (2, 2, 4, 5, 6)),
    row("LazyConvTranspose1d(6, 3)", (2, 4, 5)),
    row("LazyConvTranspose2d(6, 3, 2)", (4, 5, 4)),
    row("LazyConvTranspose3d(4, 2)", (2, 2, 3, 4, 5)),
    row("LazyBatchNorm1d()", (4, 3)),
    row("LazyBatchNorm2d(affine=False)", (4, 3, 5, 4)),
    row("LazyBatchNorm3d(track_running_stats=False)", (2, 3, 2, 3, 4)),
    row("LazyInstanceNorm1d()", (4, 3, 5)),
    row("LazyInstanceNorm2d(affine=True)", (4, 3, 5, 4)),
    row("LazyInstanceNorm3d()", (2, 3, 2, 3, 4)),
]

ROWS = ACTIVATIONS + CONVOLUTIONS + POOLS + NORMALIZATIONS + OTHERS + LOSSES


def build(row: Row) -> tuple[Any, Any]:
    """The layer in both libraries, under the same seed."""
    torch.manual_seed(3)
    fb.manual_seed(3)
    return eval(f"flambeau.nn.{row.layer}", {"flambeau": fb, "torch": fb}), eval(f"torch.nn.{row.layer}")


def inputs_of(row: Row) -> list[torch.Tensor]:
    torch.manual_seed(5)
    made = []
    for given in row.inputs:
        tensor = torch.randn(given) if isinstance(given, tuple) else eval(given)
        made.append(tensor)
    if made[0].is_floating_point():
        made[0].requires_grad_()
    return made


def call(module: Any, inputs: list[Any], options: dict[str, Any]) -> Any:
    fb.manual_seed(7)
    torch.manual_seed(7)
    if getattr(module, "inplace", False):
        inputs = [inputs[0] * 1, *inputs[1:]]  # a leaf cannot be overwritten
    return module(*inputs, **options)


def plain_attributes(module: Any) -> dict[str, Any]:
    skipped = {"training", "name", "_initialize_hook", "_load_hook"}
    return {
        name: value
        for name, value in vars(module).items()
        if name not in skipped and (not name.startswith("_") or name == "_reversed_padding_repeated_twice")
    }


def check_forward_and_gradients(ours: Any, theirs: Any, row: Row) -> None:
    their_inputs = inputs_of(row)
    our_inputs = [to_flambeau(i) for i in their_inputs]
    expected = call(theirs, their_inputs, row.options)
    got = call(ours, our_inputs, row.options)
    same(got, expected, rtol=1e-5, atol=2e-6)
    first, their_first = (got[0], expected[0]) if isinstance(got, tuple) else (got, expected)
    assert first.requires_grad == their_first.requires_grad
    if their_first.requires_grad:
        weights = torch.randn(their_first.shape, dtype=their_first.dtype)
        their_first.backward(weights)
        first.backward(to_flambeau(weights))
        for ours_part, theirs_part in zip(
            [*our_inputs, *ours.parameters()], [*their_inputs, *theirs.parameters()], strict=True
        ):
            if theirs_part.grad is None:
                assert ours_part.grad is None
            else:
                same(ours_part.grad, theirs_part.grad, rtol=1e-4, atol=1e-5)
    for buffer, their_buffer in zip(ours.buffers(), theirs.buffers(), strict=True):
        same(buffer, their_buffer)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_layer_keeps_the_contract(row: Row) -> None:
    ours, theirs = build(row)
    assert repr(ours) == repr(theirs)
    same(dict(ours.state_dict()), dict(theirs.state_dict()))
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert [p.requires_grad for p in ours.parameters()] == [p.requires_grad for p in theirs.parameters()]
    assert plain_attributes(ours) == plain_attributes(theirs)
    assert type(ours).__module__ == type(theirs).__module__.replace("torch", "flambeau", 1)

    if not row.random:
        check_forward_and_gradients(ours, theirs, row)
    ours.eval()
    theirs.eval()
    check_forward_and_gradients(ours, theirs, row)

    # copies compute the same and share nothing
    inputs = [to_flambeau(i.detach()) for i in inputs_of(row)]
    wanted = call(ours, inputs, row.options)
    wanted = array(wanted[0] if isinstance(wanted, tuple) else wanted)
    stream = io.BytesIO()
    pickle.dump(ours, stream)
    stream.seek(0)
    for twin in (copy.deepcopy(ours), pickle.load(stream)):
        assert repr(twin) == repr(ours) and list(twin.state_dict()) == list(ours.state_dict())
        result = call(twin, inputs, row.options)
        np.testing.assert_array_equal(array(result[0] if isinstance(result, tuple) else result), wanted)
        for parameter in twin.parameters():
            parameter.data.fill_(0)
    result = call(ours, inputs, row.options)
    np.testing.assert_array_equal(array(result[0] if isinstance(result, tuple) else result), wanted)


@pytest.mark.parametrize("row", LAZY, ids=str)
def test_lazy_layer_becomes_its_layer(row: Row) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that lazy modules are new
        ours, theirs = build(row)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    check_forward_and_gradients(ours, theirs, row)
    assert repr(ours) == repr(theirs) and type(ours).__name__ == type(theirs).__name__
    same(dict(ours.state_dict()), dict(theirs.state_dict()))


def test_lazy_layer_loads_a_state_dict() -> None:
    source = fb.nn.Linear(4, 3)
    lazy = fb.nn.LazyLinear(3)
    lazy.load_state_dict(source.state_dict())
    x = fb.randn(2, 4)
    np.testing.assert_array_equal(array(lazy(x)), array(source(x)))


def test_every_layer_has_a_row() -> None:
    """But containers, recurrent layers, attention and losses with weights, which have files of their own, and old names."""
    others = {"Module", "Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"}
    others |= {"DataParallel", "NLLLoss2d", "Container", "CrossMapLRN2d"}
    others |= {"RNNBase", "RNN", "LSTM", "GRU", "RNNCellBase", "RNNCell", "LSTMCell", "GRUCell"}  # test_rnn.py
    others |= {"MultiheadAttention"} | {
        name for name in dir(fb.nn) if name.startswith("Transformer")
    }  # test_multihead.py
    others |= {"AdaptiveLogSoftmaxWithLoss", "CTCLoss", "LinearCrossEntropyLoss"}  # test_loss_layers.py
    public = {n for n, v in vars(fb.nn).items() if isinstance(v, type) and issubclass(v, fb.nn.Module)}
    assert public - others == {row.layer.split("(")[0].split(".")[0] for row in [*ROWS, *LAZY]}


NAMES = [n for n in fb.nn.modules.__all__ if hasattr(torch.nn, n) and n != "Container"]  # (a wrapper's, in torch)


@pytest.mark.parametrize("name", NAMES)
def test_signature(name: str) -> None:
    if sys.version_info >= (3, 12) and hasattr(getattr(torch.nn, name), "__deprecated__"):
        return  # there a signature shows the decorator's
    ours, theirs = (inspect.signature(getattr(nn, name)) for nn in (fb.nn, torch.nn))
    assert [(p.name, p.kind) for p in ours.parameters.values()] == [
        (p.name, p.kind) for p in theirs.parameters.values()
    ]
    for mine, other in zip(ours.parameters.values(), theirs.parameters.values(), strict=True):
        defaults = [
            getattr(p.default, "__name__", p.default) for p in (mine, other)
        ]  # functions are each library's own
        assert defaults[0] == defaults[1] and mine.kind == other.kind, (mine, other)


@pytest.mark.parametrize(
    "row",
    [row("Linear(4, 3)", (2, 4)), row("Conv2d(2, 3, 2)", (1, 2, 4, 4)), row("BatchNorm1d(3)", (4, 3)),
     row("LayerNorm(4)", (2, 4)), row("GELU()", (2, 3)), row("Softmax(1)", (2, 3)), row("MaxPool2d(2)", (1, 1, 4, 4)),
     row("AvgPool2d(2)", (1, 1, 4, 4)), row("CrossEntropyLoss()", (3, 4), CLASSES)],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_dtypes(row: Row, dtype: str) -> None:
    ours, theirs = build(row)
    ours, theirs = ours.to(getattr(fb, dtype)), theirs.to(getattr(torch, dtype))
    inputs = [i.detach().to(getattr(torch, dtype)) if i.is_floating_point() else i for i in inputs_of(row)]
    loose = {"float64": 1e-10, "bfloat16": 4e-2, "float16": 4e-3}[dtype]
    same(ours(*map(to_flambeau, inputs)), theirs(*inputs), rtol=loose, atol=loose)


@pytest.mark.parametrize(
    "layer, shape",
    [
        ("Linear(4, 3)", (2, 5)),
        ("Conv2d(3, 4, 3)", (2, 4, 8, 8)),
        ("Conv2d(3, 4, 3)", (2, 3, 2, 8)),
        ("Conv2d(3, 4, 3)", (3, 8)),
        ("Conv2d(3, 4, 3, groups=2)", None),
        ("Conv2d(4, 3, 3, groups=2)", None),
        ("Conv2d(4, 4, 3, groups=0)", None),
        ("Conv2d(4, 4, 3, padding='full')", None),
        ("Conv2d(4, 4, 3, 2, padding='same')", None),
        ("Conv2d(4, 4, 3, padding_mode='wrap')", None),
        ("ConvTranspose2d(4, 4, 3, padding_mode='reflect')", None),
        ("BatchNorm2d(3)", (2, 3)),
        ("BatchNorm2d(3)", (2, 4, 5, 5)),
        ("BatchNorm1d(3)", (1, 3)),
        ("InstanceNorm2d(3, affine=True)", (2, 4, 5, 5)),
        ("InstanceNorm2d(3)", (2, 3, 1, 1)),
        ("GroupNorm(3, 4)", None),
        ("LayerNorm(4)", (2, 5)),
        ("Dropout(1.5)", None),
        ("MaxPool2d(9)", (2, 3, 8, 8)),
        ("MaxPool2d(2, padding=2)", (2, 3, 8, 8)),
        ("Softmax2d()", (2, 3)),
        ("Embedding(5, 3, padding_idx=7)", None),
        ("Hardtanh(2.0, 1.0)", None),
        ("MultiMarginLoss(3)", None),
        ("TripletMarginLoss(-1.0)", None),
        ("Unflatten(1, 3)", None),
        ("Bilinear(0, 1, 2)", None),
        ("FractionalMaxPool2d(2)", None),
        ("PixelShuffle(3)", (2, 8, 3, 4)),
    ],
)
def test_errors_have_torchs_types(layer: str, shape: tuple[int, ...] | None) -> None:
    def attempt(library: Any, nn: str) -> Exception:
        with pytest.raises(Exception) as caught:
            eval(f"{nn}.nn.{layer}", {"flambeau": fb, "torch": torch})(library.ones(shape))
        return caught.value

    ours, theirs = attempt(fb, "flambeau"), attempt(torch, "torch")
    assert type(ours) is type(theirs), (ours, theirs)
    assert not shape or any(str(size) in str(ours) for size in shape), ours  # the text says what was met


@pytest.mark.parametrize("library", [fb, torch], ids=["flambeau", "torch"])
def test_convert_sync_batchnorm(library: Any) -> None:
    nn = library.nn
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.BatchNorm2d(4, eps=1e-3, momentum=0.2)), nn.ReLU())
    model.append(nn.BatchNorm1d(2, affine=False)).append(nn.InstanceNorm2d(2)).eval()
    weight, kinds = model[1][0].weight, [type(m).__name__ for m in model]
    made = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert made is model and made[1][0].weight is weight and not made[1][0].training
    assert [type(m).__name__ for m in made] == [k.replace("BatchNorm1d", "SyncBatchNorm") for k in kinds]
    assert repr(made[1][0]).startswith("SyncBatchNorm(4, eps=0.001, momentum=0.2, affine=True")
    assert (
        type(nn.SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm3d(2, track_running_stats=False))).__name__[0] == "S"
    )
    with pytest.raises(ValueError, match=r"expected at least 2D input \(got 1D input\)"):
        made[3](library.ones(3))


@pytest.mark.parametrize("library", [fb, torch], ids=["flambeau", "torch"])
def test_old_names(library: Any) -> None:
    with pytest.warns(FutureWarning, match="`NLLLoss2d` has been deprecated"):
        loss = library.nn.NLLLoss2d(ignore_index=1)
    assert repr(loss) == "NLLLoss2d()" and isinstance(loss, library.nn.NLLLoss)
    with pytest.warns(
        UserWarning, match="`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead."
    ):
        library.nn.functional.upsample(library.ones(1, 1, 2, 2), scale_factor=2)


def test_the_older_name_of_transposed_convolutions_is_there() -> None:
    for conv in (torch.nn.modules.conv, flambeau.nn.modules.conv):
        with pytest.warns(FutureWarning, match="_ConvTransposeMixin` is a deprecated internal class"):
            made = conv._ConvTransposeMixin(3, 4, (3, 3), (1, 1), (0, 0), (1, 1), True, (0, 0), 1, True, "zeros")
        assert repr(made) == "_ConvTransposeMixin(3, 4, kernel_size=(3, 3), stride=(1, 1))"
        assert issubclass(conv._ConvTransposeMixin, conv._ConvTransposeNd)

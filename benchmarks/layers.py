"""Every layer at a usual size, and every optimizer: flambeau and torch, both eager, on the CPU.

    python benchmarks/layers.py              all
    python benchmarks/layers.py LSTM Adam    those whose names hold one of these words
    python benchmarks/layers.py --cores      on all cores

Prints a Markdown table in microseconds, the forward in `no_grad` and a step (forward, sum, backward) of each, medians of
interleaved rounds, and at the end what takes more than three times as long as torch. Both have one thread on one core, and what
counts is the time for which the process has that core, so that other processes matter little. With `--cores` it is the clock's time.
"""

# ruff: noqa: E402  (the settings have to come before the imports)

from __future__ import annotations

import os
import sys

os.environ["FLAMBEAU_MALLOC"] = "0"  # or else torch, in this process, would profit from flambeau's setting
ALL_CORES = "--cores" in sys.argv
if not ALL_CORES:  # before either library has counted them
    os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])

import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from measure import interleaved

import flambeau as fb
import flambeau.nn

LIMIT = 3.0
ROUNDS = int(os.environ.get("ROUNDS", 9))

# name -> (the layer, the sizes of its inputs); i(n, ...) are whole numbers below n
LAYERS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], tuple[Any, ...]]]] = {}


def layer(name: str, make: str, inputs: str) -> None:
    """A row, written as expressions over `nn`, `r` (normal values) and `i` (whole numbers)."""

    def give(lib: Any) -> tuple[Any, ...]:
        return eval(f"({inputs},)", {"r": lib.randn, "i": lambda n, *s: lib.randint(0, n, s), "lib": lib})

    LAYERS[name] = (lambda lib: eval(make, {"nn": lib.nn, "lib": lib}), give)


for _name in (
    "ReLU", "ReLU6", "ELU", "SELU", "CELU", "GELU", "SiLU", "Mish", "Softplus", "Softsign", "Tanh", "Sigmoid", "LogSigmoid",
    "Hardtanh", "Hardswish", "Hardsigmoid", "Hardshrink", "Softshrink", "Tanhshrink", "LeakyReLU", "PReLU", "RReLU", "GLU",
    "Softmax(-1)", "LogSoftmax(-1)", "Softmin(-1)", "Dropout", "AlphaDropout", "LayerNorm(512)", "RMSNorm(512)",
    "Linear(512,512)", "Identity",
):  # fmt: skip
    layer(_name, f"nn.{_name}" if "(" in _name else f"nn.{_name}()", "r(128, 512)")
layer("Dropout, 100 elements", "nn.Dropout()", "r(100)")
layer("Dropout2d", "nn.Dropout2d()", "r(16, 64, 28, 28)")
layer("Bilinear", "nn.Bilinear(32, 32, 32)", "r(64, 32), r(64, 32)")
layer("Embedding", "nn.Embedding(10000, 128)", "i(10000, 32, 32)")
layer("EmbeddingBag", "nn.EmbeddingBag(10000, 128)", "i(10000, 32, 32)")
for _n, _size in ((1, "128"), (2, "28, 28"), (3, "8, 14, 14")):
    _x = f"r(8, 32, {_size})"
    layer(f"Conv{_n}d", f"nn.Conv{_n}d(32, 32, 3, padding=1)", _x)
    layer(f"ConvTranspose{_n}d", f"nn.ConvTranspose{_n}d(32, 32, 2, 2)", _x)
    layer(f"BatchNorm{_n}d", f"nn.BatchNorm{_n}d(32)", _x)
    layer(f"InstanceNorm{_n}d", f"nn.InstanceNorm{_n}d(32)", _x)
    for _pool in ("MaxPool", "AvgPool"):
        layer(f"{_pool}{_n}d", f"nn.{_pool}{_n}d(2)", _x)
    for _pool in ("AdaptiveAvgPool", "AdaptiveMaxPool"):
        layer(f"{_pool}{_n}d", f"nn.{_pool}{_n}d(2)", _x)
    layer(f"LPPool{_n}d", f"nn.LPPool{_n}d(2, 2)", _x)
    for _pad in ("Constant", "Reflection", "Replication", "Circular"):
        layer(f"{_pad}Pad{_n}d", f"nn.{_pad}Pad{_n}d({'1, 0.5' if _pad == 'Constant' else 1})", _x)
_x = "r(8, 32, 28, 28)"
layer("Conv2d, depthwise", "nn.Conv2d(32, 32, 3, padding=1, groups=32)", _x)
layer("Conv2d, 1x1", "nn.Conv2d(32, 64, 1)", _x)
layer("GroupNorm", "nn.GroupNorm(8, 32)", _x)
layer("LocalResponseNorm", "nn.LocalResponseNorm(5)", _x)
layer("FractionalMaxPool2d", "nn.FractionalMaxPool2d(2, output_ratio=0.5)", _x)
for _mode in ("nearest", "bilinear", "bicubic"):
    layer(f"Upsample, {_mode}", f"nn.Upsample(scale_factor=2, mode='{_mode}')", _x)
layer("PixelShuffle", "nn.PixelShuffle(2)", _x)
layer("PixelUnshuffle", "nn.PixelUnshuffle(2)", _x)
layer("ChannelShuffle", "nn.ChannelShuffle(4)", _x)
layer("Unfold", "nn.Unfold(3, padding=1)", _x)
layer("Fold", "nn.Fold((28, 28), 2, stride=2)", "r(8, 128, 196)")
layer("Flatten", "nn.Flatten()", _x)
for _mode in ("bilinear", "nearest", "bicubic"):
    layer(
        f"grid_sample, {_mode}",
        f"lambda x, g: nn.functional.grid_sample(x, g, mode='{_mode}', align_corners=False)",
        "r(8, 32, 28, 28), r(8, 28, 28, 2)",
    )
layer("affine_grid", "lambda t: nn.functional.affine_grid(t, (8, 3, 64, 64), align_corners=False)", "r(8, 2, 3)")
for _cell in ("RNN", "LSTM", "GRU"):
    layer(f"{_cell}, T 50, B 32, H 128", f"nn.{_cell}(128, 128)", "r(50, 32, 128)")
    layer(f"{_cell}, T 20, B 8, H 32", f"nn.{_cell}(32, 32)", "r(20, 8, 32)")
    layer(f"{_cell}, 2 layers, both ways", f"nn.{_cell}(64, 64, 2, bidirectional=True)", "r(30, 16, 64)")
    layer(f"{_cell}Cell", f"nn.{_cell}Cell(128, 128)", "r(32, 128)")
layer("MultiheadAttention", "nn.MultiheadAttention(128, 8, batch_first=True)", "*([r(8, 64, 128)] * 3)")
layer("TransformerEncoderLayer", "nn.TransformerEncoderLayer(128, 8, 512, batch_first=True)", "r(8, 64, 128)")
layer(
    "TransformerDecoderLayer",
    "nn.TransformerDecoderLayer(128, 8, 512, batch_first=True)",
    "r(8, 64, 128), r(8, 64, 128)",
)
layer(
    "scaled_dot_product_attention", "lambda q: nn.functional.scaled_dot_product_attention(q, q, q)", "r(8, 8, 128, 32)"
)
for _loss in (
    "MSELoss",
    "L1Loss",
    "SmoothL1Loss",
    "HuberLoss",
    "BCEWithLogitsLoss",
    "KLDivLoss",
    "PoissonNLLLoss",
):
    layer(_loss, f"nn.{_loss}()", "r(128, 512), r(128, 512).sigmoid()")
layer("SoftMarginLoss", "lambda x, t, m=nn.SoftMarginLoss(): m(x, t.detach())", "r(128, 512), r(128, 512).sign()")
layer("BCELoss", "nn.BCELoss()", "r(128, 512).sigmoid(), r(128, 512).sigmoid()")
layer("GaussianNLLLoss", "nn.GaussianNLLLoss()", "r(128, 512), r(128, 512), r(128, 512).exp()")
layer("CrossEntropyLoss", "nn.CrossEntropyLoss()", "r(128, 1000), i(1000, 128)")
layer("NLLLoss", "nn.NLLLoss()", "r(128, 1000), i(1000, 128)")
layer("MultiMarginLoss", "nn.MultiMarginLoss()", "r(128, 100), i(100, 128)")
layer("MultiLabelSoftMarginLoss", "nn.MultiLabelSoftMarginLoss()", "r(128, 100), i(2, 128, 100).float()")
layer("MarginRankingLoss", "nn.MarginRankingLoss()", "r(512), r(512), r(512).sign()")
layer("HingeEmbeddingLoss", "nn.HingeEmbeddingLoss()", "r(128, 64), r(128, 64).sign()")
layer("CosineEmbeddingLoss", "nn.CosineEmbeddingLoss()", "r(128, 64), r(128, 64), r(128).sign()")
layer("TripletMarginLoss", "nn.TripletMarginLoss()", "r(128, 64), r(128, 64), r(128, 64)")
layer(
    "CTCLoss",
    "lambda x, t: nn.functional.ctc_loss(x.log_softmax(-1), t + 1, [50] * 16, [20] * 16)",
    "r(50, 16, 20), i(19, 16, 20)",
)
layer(
    "AdaptiveLogSoftmaxWithLoss",
    "lambda x, t, m=nn.AdaptiveLogSoftmaxWithLoss(64, 2000, [100, 500]): m(x, t).loss",
    "r(128, 64), i(2000, 128)",
)
layer("CosineSimilarity", "nn.CosineSimilarity()", "r(128, 512), r(128, 512)")
layer("PairwiseDistance", "nn.PairwiseDistance()", "r(128, 512), r(128, 512)")

OPTIMIZERS = {
    name: f"lib.optim.{name}(p, lr=1e-3)"
    for name in (
        "SGD", "Adam", "AdamW", "Adamax", "Adagrad", "Adadelta", "RMSprop", "Rprop", "NAdam", "RAdam", "ASGD", "Adafactor", "Muon",
    )
}  # fmt: skip
SPARSE = {
    "SparseAdam, table of 100,000 x 64": "lib.optim.SparseAdam(p)",
    "SGD, sparse, table of 100,000 x 64": "lib.optim.SGD(p, lr=0.1)",
    "Adagrad, sparse, table of 100,000 x 64": "lib.optim.Adagrad(p)",
}


def calls(lib: Any, name: str) -> tuple[Callable[[], Any], Callable[[], Any] | None]:
    """The forward without gradients, and a forward with its backward pass."""
    lib.manual_seed(0)
    make, give = LAYERS[name]
    module, inputs = make(lib), give(lib)

    def forward() -> Any:
        with lib.no_grad():
            return module(*inputs)

    leaves = [x.requires_grad_() for x in inputs if x.is_floating_point() and x.is_leaf]

    def step() -> Any:
        for leaf in leaves:
            leaf.grad = None
        if isinstance(module, lib.nn.Module):
            module.zero_grad()
        out = module(*inputs)
        (out[0] if isinstance(out, tuple) else out).sum().backward()
        return leaves[0].grad if leaves else None

    made = module(*inputs)
    made = made[0] if isinstance(made, tuple) and made else made
    return forward, step if getattr(made, "requires_grad", False) else None


def optimizer_step(lib: Any, make: str, sparse: bool) -> Callable[[], Any]:
    """One step with gradients that are there already: of 8 layers of 256 x 256, or of a table's few rows."""
    lib.manual_seed(0)
    if sparse:
        model = lib.nn.Embedding(100_000, 64, sparse=True)
        model(lib.randint(0, 100_000, (256,))).sum().backward()
    else:
        model = lib.nn.Sequential(*[lib.nn.Linear(256, 256, bias="Muon" not in make) for _ in range(8)])
        model(lib.randn(4, 256)).sum().backward()
    optimizer = eval(make, {"lib": lib, "p": list(model.parameters())})
    return lambda: optimizer.step()


def main(words: list[str], optimizers: tuple[str, ...] = (*OPTIMIZERS, *SPARSE)) -> None:
    """Print the rows whose names hold one of the words (without words: all)."""
    warnings.simplefilter("ignore")
    clock = time.perf_counter if ALL_CORES else time.process_time
    slow = []
    print(
        "| what | forward: flambeau | torch | ratio | step: flambeau | torch | ratio |\n|---|---|---|---|---|---|---|"
    )
    for name in (*LAYERS, *optimizers):
        if words and not any(word.lower() in name.lower() for word in words):
            continue
        if name in LAYERS:
            ours, theirs = calls(fb, name), calls(torch, name)
            pairs = [(our, their) for our, their in zip(ours, theirs, strict=True) if our and their]
        else:
            make = OPTIMIZERS.get(name) or SPARSE[name]
            pairs = [(optimizer_step(fb, make, name in SPARSE), optimizer_step(torch, make, name in SPARSE))]
        kinds = ("forward", "step")[: len(pairs)] if name in LAYERS else ("step",)
        cells = [] if "forward" in kinds else ["", "", ""]
        for kind, (our, their) in zip(kinds, pairs, strict=True):
            taken = interleaved({"flambeau": our, "torch": their}, rounds=ROUNDS, seconds=0.01, clock=clock)
            ratio = taken["flambeau"] / taken["torch"]
            cells += [f"{taken['flambeau'] * 1e6:.0f}", f"{taken['torch'] * 1e6:.0f}", f"{ratio:.2f}"]
            if ratio > LIMIT:
                slow.append(f"{name}, {kind}: {ratio:.1f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print(f"\nmore than {LIMIT:g} times torch's time: {'; '.join(slow) or 'nothing'}")


if __name__ == "__main__":
    main([word for word in sys.argv[1:] if word != "--cores"])

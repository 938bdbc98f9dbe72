"""Calls that PyTorch refuses are refused with its type of exception: no tensors where tensors are declared, dtypes without a kernel."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

import flambeau as fb
import flambeau.nn.functional

CALLS = """
exp(2.0) exp(3) exp(True) sin(2.0) sum(2.0) amax(3) addcmul(2.0,x,x) erf('2') mean(input=3.0) abs_(2.0) diag(2.0) fft.fft(2.0)
equal(x,1) positive(2.0) atleast_1d('2') clone(2) fill([1,2],True) bernoulli([0.5]) multinomial([0.5],2) poisson([1.0]) numel('2')
detach('2') is_complex('2') tile('2',1) sparse.mm('2','2') is_inference('2') is_distributed('2') linalg.inv(2.0) linalg.norm(2.0) ravel(3)
reshape(3,(1,)) unique(3) hsplit(3,1) hsplit(x) is_complex() where(True,x,x) special.airy_ai(2.0) bessel(3)
F.linear(x,3) F.linear(3,x) F.one_hot(3) F.conv1d(x,3) F.bilinear(x,x,3) F.gelu(3) F.embedding([1],x) F.poisson_nll_loss(2.0,x)
F.hinge_embedding_loss(2.0,x) F.pairwise_distance(x,2.0) F.kl_div(x,3)
add(2,x) sub(x,2) mul(2,3) div(2,x) divide(2,x) x+2 2*x 2/x float_power(2,x) float_power(x,2) lerp(x,x,0.5) where(x>0,1.0,0.0) xlogy(2,x)
eq(x,2) copysign(x,1.0) rsub(x,1) isin(1,i) isin(i,1) clamp(x,0,1) special.zeta(2,x) special.chebyshev_polynomial_t(2.0,x) pow(2,x)
addmm(x,x,x,beta=2) x.add_(2,x) addmm(2,x,3,x,x) addcdiv(x,2,x,x) baddbmm(0,x[None],2,x[None],x[None]) x.addr_(2,x[0],3,x[0])
""".split()

OTHER_TYPE = """
F.tanh(3) F.sigmoid(3) F.softsign(3) F.tanhshrink(3) F.glu(3) F.gumbel_softmax(3) F.normalize(3)
stft([1.0],4) svd_lowrank('a') lobpcg('a')
"""

KINDS = ("bool", "int32", "complex64", "bfloat16")


def outcome(call: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call()
        except Exception as error:
            return error


def test_no_tensors() -> None:
    """TypeError where PyTorch has it, and its numbers where it takes numbers."""
    wrong, refused = [], 0
    for text in CALLS:
        results = []
        for library in (torch, fb):
            names = {**vars(library), "F": library.nn.functional, "bessel": library.special.bessel_j0}
            names |= {name: getattr(library, name) for name in ("sparse", "fft", "linalg", "special")}
            names |= {"x": library.ones(2, 2) / 2, "i": library.tensor([[0, 1]])}
            results.append(outcome(lambda text=text, names=names: eval(text, names)))
        theirs, ours = results
        if isinstance(theirs, Exception):
            refused += 1
            same = type(ours) is type(theirs)
        else:
            same = not isinstance(ours, Exception) and torch.equal(
                torch.tensor(ours.tolist()), torch.tensor(theirs.tolist())
            )
        if not same:
            wrong.append(f"{text}: {theirs!r}, ours {ours!r}")
    assert not wrong, "\n".join(wrong)
    assert 45 < refused < len(CALLS) - 25


@pytest.mark.parametrize("text", OTHER_TYPE.split())
def test_attributes_of_no_tensor(text: str) -> None:
    """PyTorch's error is an attribute that is missing, or names an inner function."""
    with pytest.raises(TypeError, match=r"^\w+\(\): argument '\w+' \(position 1\) must be Tensor, not \w+$"):
        eval(text, {"F": fb.nn.functional, "stft": fb.stft, "svd_lowrank": fb.svd_lowrank, "lobpcg": fb.lobpcg})


def test_names_in_errors() -> None:
    for call, name in (
        (lambda: fb.hsplit(), "hsplit()"),
        (lambda: fb.is_complex(), "is_complex()"),
        (lambda: fb.optim.lr_scheduler.LambdaLR(), "LambdaLR.__init__()"),
        (lambda: fb.optim.lr_scheduler.MultiplicativeLR(), "MultiplicativeLR.__init__()"),
    ):
        assert str(outcome(call)).startswith(name), name


def dtype_calls(library: Any, kind: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    F = library.nn.functional

    def values(*shape: int, dtype: str = kind) -> Any:
        return (library.arange(torch.Size(shape).numel()) % 3 + 1).reshape(shape).to(getattr(library, dtype))

    x, whole, real = values(2, 3), values(2, 3, dtype="int64"), values(2, 3, dtype="float32")
    bags = library.tensor([0, 1, 1]), x, library.tensor([0, 2])
    yield "local_response_norm", lambda: F.local_response_norm(values(1, 3, 4), 2)
    for mode in ("sum", "max"):
        yield f"embedding_bag {mode}", lambda mode=mode: F.embedding_bag(*bags, mode=mode)
    for name in (
        "binary_cross_entropy_with_logits",
        "multilabel_soft_margin_loss",
        "poisson_nll_loss",
        "soft_margin_loss",
    ):
        yield f"{name} x x", lambda name=name: getattr(F, name)(x, x)
        yield f"{name} x real", lambda name=name: getattr(F, name)(x, real)
    for reduction in ("none", "mean", "sum"):
        yield f"hinge {reduction}", lambda reduction=reduction: F.hinge_embedding_loss(x, whole, reduction=reduction)
    yield "hinge real x", lambda: F.hinge_embedding_loss(real, x)
    for target in (x, real):
        yield f"margin_ranking {target.dtype}", lambda target=target: F.margin_ranking_loss(x, x, target)
    yield "cosine_embedding", lambda: F.cosine_embedding_loss(x, x, values(2, dtype="int64"))
    yield "gaussian_nll x x x", lambda: F.gaussian_nll_loss(x, x, x)
    yield "gaussian_nll x x real", lambda: F.gaussian_nll_loss(x, x, real)
    yield "soft_margin_loss real x", lambda: F.soft_margin_loss(real, x)
    yield "softsign", lambda: F.softsign(x)
    yield "tanhshrink", lambda: F.tanhshrink(x)
    yield "linear", lambda: F.linear(x, x)
    yield "linear vector", lambda: F.linear(x, x[0])
    yield "bilinear", lambda: F.bilinear(x, x, values(2, 3, 3))
    yield "pad reflect", lambda: F.pad(values(1, 2, 3), (1, 1), mode="reflect")
    yield "pad replicate", lambda: F.pad(values(1, 2, 3, 3), (1, 1, 1, 1), mode="replicate")
    yield "pad circular", lambda: F.pad(values(1, 2, 3), (1, 1), mode="circular")
    yield "pairwise_distance", lambda: F.pairwise_distance(x, x)
    yield "triplet", lambda: F.triplet_margin_loss(x, x, x)
    yield "conv_transpose1d", lambda: F.conv_transpose1d(values(1, 2, 4), values(2, 2, 2))
    yield "pdist", lambda: F.pdist(x)
    yield "avg_pool1d", lambda: F.avg_pool1d(values(1, 2, 4), 2)
    yield "avg_pool3d", lambda: F.avg_pool3d(values(1, 2, 2, 2, 2), 2)
    yield "multi_margin", lambda: F.multi_margin_loss(x, library.tensor([0, 1]))
    yield "multilabel_margin", lambda: F.multilabel_margin_loss(x, library.tensor([[0, 1, -1], [2, -1, 0]]))


def test_dtypes() -> None:
    """Where PyTorch has no kernel, its error, text and all."""
    wrong, refused = [], 0
    for kind in KINDS:
        for (name, theirs), (_, ours) in zip(dtype_calls(torch, kind), dtype_calls(fb, kind), strict=True):
            wanted = outcome(theirs)
            if isinstance(wanted, Exception):
                refused += 1
                found = outcome(ours)
                if type(found) is not type(wanted) or str(wanted).split("\n")[0] not in str(found):
                    wrong.append(f"{name} {kind}: {wanted!r}, ours {found!r}")
    assert not wrong, "\n".join(wrong)
    assert refused > 60


def test_whole_numbers() -> None:
    for reduction in ("none", "sum"):
        made = []
        for library in (torch, fb):
            x, target = library.tensor([0, 2, 1], dtype=library.uint8), library.tensor([1, -1, 1])
            made.append(library.nn.functional.hinge_embedding_loss(x, target, reduction=reduction))
        assert (made[1].tolist(), str(made[1].dtype)[-5:]) == (made[0].tolist(), str(made[0].dtype)[-5:])

"""Signatures of public functions name the arguments that PyTorch's documentation names, in its order."""

import copy
import functools
import inspect
import pickle
import re

import pytest
import torch

import flambeau
from flambeau.core.dispatch.shown import Signature

NAMES = """
    Tensor.abs Tensor.abs_ Tensor.acos_ Tensor.add_ Tensor.addcdiv_ Tensor.addcmul_ Tensor.addmm_ Tensor.addmv
    Tensor.addr_ Tensor.any Tensor.arccos_ Tensor.arcsinh_ Tensor.argwhere Tensor.as_strided_ Tensor.asinh_
    Tensor.atan_ Tensor.baddbmm Tensor.bernoulli_ Tensor.bitwise_not_ Tensor.cauchy_ Tensor.ceil Tensor.clamp_
    Tensor.clip Tensor.conj_physical_ Tensor.copysign_ Tensor.corrcoef Tensor.cosh_ Tensor.cummax Tensor.cumsum_
    Tensor.diag Tensor.digamma_ Tensor.dist Tensor.erf_ Tensor.erfinv_ Tensor.exp2 Tensor.exp_ Tensor.exponential_
    Tensor.fill_diagonal_ Tensor.float_power Tensor.float_power_ Tensor.frac_ Tensor.ge_ Tensor.get_device
    Tensor.greater_ Tensor.gt_ Tensor.hypot_ Tensor.i0 Tensor.igamma_ Tensor.index_add_ Tensor.index_fill_
    Tensor.index_put_ Tensor.int Tensor.is_neg Tensor.isreal Tensor.lcm_ Tensor.le_ Tensor.less_ Tensor.lgamma
    Tensor.lgamma_ Tensor.log1p_ Tensor.log_ Tensor.logical_not Tensor.logical_not_ Tensor.map_
    Tensor.masked_scatter_ Tensor.maximum Tensor.mtia Tensor.nan_to_num_ Tensor.ndimension Tensor.neg_
    Tensor.new_tensor Tensor.nextafter_ Tensor.not_equal_ Tensor.polygamma Tensor.pow_ Tensor.rad2deg_ Tensor.renorm
    Tensor.renorm_ Tensor.resize_ Tensor.rot90 Tensor.rsqrt_ Tensor.scatter_add_ Tensor.scatter_reduce_ Tensor.sgn_
    Tensor.sigmoid Tensor.sign_ Tensor.sinc_ Tensor.smm Tensor.sparse_resize_ Tensor.sqrt_ Tensor.squeeze_
    Tensor.storage_type Tensor.subtract_ Tensor.swapdims_ Tensor.t Tensor.tan_ Tensor.to_sparse_bsr
    Tensor.transpose_ Tensor.triu_ Tensor.trunc Tensor.unsqueeze_ Tensor.vdot Tensor.zero_ abs acos add addcdiv
    addmm addr amin angle arccosh arcsinh arctan2 asin atan atanh bitwise_and bitwise_not bitwise_right_shift bmm
    cat celu_ cholesky clamp column_stack concat copysign cosh cummax cumprod deg2rad det digamma divide dstack eq
    erfc exp expm1 fft.fft2 fft.hfft fft.ifft fft.ifftshift fft.ihfftn fft.irfftn fft.rfftn float_power floor_divide
    fmin frac gather ge ger greater_equal heaviside histogram hstack i0 igammac index_copy index_select inverse
    isnan isposinf kthvalue ldexp lerp less_equal linalg.cond linalg.diagonal linalg.eigvals linalg.inv
    linalg.ldl_factor_ex linalg.lu_factor linalg.matmul linalg.matrix_power linalg.slogdet linalg.solve_triangular
    linalg.tensorinv linalg.vecdot log log1p logaddexp logcumsumexp logical_not logical_xor logsumexp lu_solve
    masked_select matmul matrix_power minimum mode mul multiply mvlgamma nanmean narrow_copy neg nextafter ormqr
    polar pow rad2deg rand randn randperm range relu_ remainder round rsqrt sigmoid signbit sinc sort
    special.bessel_y0 special.entr special.erfcx special.expit special.gammaincc special.i0e special.log1p
    special.logit special.modified_bessel_i1 special.multigammaln special.polygamma special.softmax special.zeta
    square stack subtract take_along_dim tanh tensor triangular_solve triu vdot where
""".split()


def _documented(name: str) -> list[str]:
    """The arguments' names in the first line of PyTorch's docstring."""
    home, _, short = name.rpartition(".")
    text = re.sub(r"\\\n\s*", "", functools.reduce(getattr, filter(None, (*home.split("."), short)), torch).__doc__)
    given = re.match(rf"\s*(?:\w+\.)*{short}\((.*?)\)(?: -> .*)?\n", text)
    parts = re.sub(r"\([^()]*\)|\[[^][]*\]", "", given[1]).split(",")
    words = [re.sub(r"[=:].*", "", part).split() for part in parts]
    return [word[-1].strip("*\\") for word in words if word and word[-1].strip("*\\")]


def _shown(name: str) -> list[str]:
    what = functools.reduce(getattr, name.split("."), flambeau)
    return list(inspect.signature(what).parameters)[name.startswith("Tensor.") :]


def test_names_of_arguments() -> None:
    differing = {name: (_shown(name), _documented(name)) for name in NAMES if _shown(name) != _documented(name)}
    assert not differing
    assert len(NAMES) > 200


def test_kinds_and_defaults() -> None:
    given = inspect.signature(flambeau.add).parameters
    assert [(p.kind.name, p.default) for p in given.values()][2:] == [("KEYWORD_ONLY", 1), ("KEYWORD_ONLY", None)]
    assert list(inspect.signature(flambeau.ones(2).add_).parameters) == ["other", "alpha"]
    assert "out" not in inspect.signature(flambeau.isnan).parameters  # PyTorch has no such argument
    held = inspect.signature(flambeau.mul)
    assert held == pickle.loads(pickle.dumps(held)) == copy.deepcopy(held)
    assert str(held.replace(parameters=[])) == "() -> 'Array'"


def test_made_when_read() -> None:
    made: list[int] = []
    signature = Signature.made_by(lambda: made.append(1) or inspect.signature(lambda a, b=2: None))
    assert isinstance(signature, inspect.Signature) and not made
    assert str(signature) == "(a, b=2)" and [*signature.bind(1).arguments] == ["a"] and made == [1]


@pytest.mark.parametrize(
    "call",
    [
        "torch.det(input=x)",
        "torch.inverse(input=x)",
        "torch.slogdet(input=x)",
        "torch.matrix_power(input=x, n=2)",
        "torch.linalg.norm(input=x)",
        "torch.linalg.det(A=x)",
        "torch.relu_(input=x.clone())",
        "torch.clamp_(input=x.clone(), min=1.5)",
        "torch.nn.functional.elu_(input=-x)",
        "torch.fft.fftfreq(4, layout=torch.strided, pin_memory=False)",
        "torch.hann_window(4, dtype=torch.float64, layout=torch.strided, requires_grad=True)",
        "x.new_empty_strided((2, 2), (2, 1), layout=torch.strided, pin_memory=False).zero_()",
    ],
)
def test_arguments_by_their_names(call: str) -> None:
    ours, theirs = (eval(call, {"torch": t, "x": t.eye(3, dtype=t.float64) + 1}) for t in (flambeau, torch))
    for mine, other in zip(*((v if isinstance(v, tuple) else (v,)) for v in (ours, theirs)), strict=True):
        assert mine.requires_grad == other.requires_grad and str(mine.dtype) == str(other.dtype)
        torch.testing.assert_close(torch.tensor(mine.tolist(), dtype=other.dtype), other.detach())


def test_a_name_that_is_not_there() -> None:
    for t in (flambeau, torch):
        with pytest.raises(TypeError, match="alpha"):
            t.celu_(t.ones(2), 1.0, alpha=1.0)
        with pytest.raises(TypeError):
            t.special.airy_ai(input=t.ones(2))

"""Every layer against the sample inputs that torch's own module tests use, or a row of our own: forward and gradient.

The ordinary run takes one sample per layer, in two dtypes; `-m slow` takes them all.
"""

from __future__ import annotations

import random
import warnings
from typing import Any

import pytest
import torch

import flambeau as fb
import flambeau.nn
from support.values import same, to_flambeau

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_modules import module_db

SEED = 17

DIFFERENT = {  # (layer, dtype) -> why its samples are not compared
    ("FractionalMaxPool2d", torch.float32): "torch's sample passes float64 random samples, which torch itself refuses",
    ("FractionalMaxPool3d", torch.float32): "torch's sample passes float64 random samples, which torch itself refuses",
}

INFOS = {info.name.removeprefix("nn."): info for info in module_db}
LAYERS = sorted(INFOS)


def samples(name: str, dtype: torch.dtype) -> list[tuple[bool, Any]]:
    """(training, sample) pairs."""
    info = INFOS[name]
    found = []
    for training in (True, False):
        torch.manual_seed(SEED)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=True, training=training)
        found += [(training, sample) for sample in made]
    return found


def tensors_in(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return [t for v in value for t in tensors_in(v)]
    if isinstance(value, dict):
        return tensors_in(list(value.values()))
    return [value] if isinstance(value, (torch.Tensor, fb.Tensor)) else []


def in_our_own(value: Any) -> Any:
    """The layer that a sample hands over to be repeated, or the function that it names, as ours."""
    if value is torch.nn.functional.gelu:
        return fb.nn.functional.gelu
    if not isinstance(value, torch.nn.TransformerEncoderLayer):
        return value
    attention, width = value.self_attn, value.linear1.out_features
    layer = fb.nn.TransformerEncoderLayer(
        attention.embed_dim, attention.num_heads, width, value.dropout.p, value.activation.__name__, value.norm1.eps,
        attention.batch_first, value.norm_first, value.linear1.bias is not None,
        dtype=to_flambeau(value.linear1.weight.dtype),
    )  # fmt: skip
    layer.load_state_dict(to_flambeau(dict(value.state_dict())))
    return layer


def compare(name: str, dtype: torch.dtype, training: bool, sample: Any) -> None:
    build, call = sample.constructor_input, sample.forward_input
    if call is None:
        return
    cls = INFOS[name].module_cls  # recurrent layers take it among `**kwargs`
    takes_dtype = "dtype" in cls.__init__.__code__.co_varnames or issubclass(cls, torch.nn.RNNBase)
    settings = {"dtype": dtype} if takes_dtype and "dtype" not in build.kwargs else {}
    torch.manual_seed(SEED)
    theirs = getattr(torch.nn, name)(*build.args, **build.kwargs, **settings).train(training)
    fb.manual_seed(SEED)
    arguments = to_flambeau([[in_our_own(a) for a in build.args], {**build.kwargs, **settings}])
    ours = getattr(fb.nn, name)(*arguments[0], **arguments[1]).train(training)
    assert repr(ours) == repr(theirs)
    their_call = [call.args, call.kwargs]
    our_call = to_flambeau(their_call)
    torch.manual_seed(SEED)
    fb.manual_seed(SEED)
    expected, got = theirs(*their_call[0], **their_call[1]), ours(*our_call[0], **our_call[1])
    loose = {"rtol": 1e-5, "atol": 1e-5} if dtype is torch.float32 else {"rtol": 1e-9, "atol": 1e-9}
    same(got, expected, **loose)
    same(dict(ours.state_dict()), dict(theirs.state_dict()), **loose)
    outputs = [(a, b) for a, b in zip(tensors_in(got), tensors_in(expected), strict=True) if b.requires_grad]
    for a, b in outputs:
        a.sum().backward(retain_graph=True)
        b.sum().backward(retain_graph=True)
    mine = [*ours.parameters(), *tensors_in(our_call)]
    others = [*theirs.parameters(), *tensors_in(their_call)]
    for a, b in zip(mine, others, strict=True):
        if b.is_leaf and b.grad is not None:
            same(a.grad, b.grad, rtol=loose["rtol"] * 10, atol=loose["atol"] * 10)


def check(name: str, dtype: torch.dtype, cases: list[tuple[bool, Any]]) -> None:
    if (name, dtype) in DIFFERENT:
        pytest.skip(DIFFERENT[name, dtype])
    for training, sample in cases:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                compare(name, dtype, training, sample)
        except Exception as error:
            arguments = sample.constructor_input
            raise AssertionError(
                f"nn.{name}{arguments.args} {arguments.kwargs} ({sample.desc}, training={training}, {dtype}): {error}"
            ) from error


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_one_sample(name: str, dtype: torch.dtype) -> None:
    called = [case for case in samples(name, dtype) if case[1].forward_input is not None]
    check(name, dtype, [random.Random(f"{SEED} {name}").choice(called)])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_all_samples(name: str, dtype: torch.dtype) -> None:
    check(name, dtype, samples(name, dtype))


def test_what_is_missing_is_listed() -> None:
    """A layer that has come is to be tested: it must leave the list of those that have not."""
    assert not [name for name in INFOS if not hasattr(fb.nn, name)]

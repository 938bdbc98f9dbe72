"""Every layer against the sample inputs that torch's own module tests use.

The ordinary run takes one sample per layer: forward, gradient, printed form, state, copies. `-m slow` takes all of them, in
two dtypes, with second gradients, compiled and under `vmap` besides.
"""

from __future__ import annotations

import copy
import gc
import pickle
import random
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest
import torch

import flambeau as fb
import flambeau.nn
from flambeau.core.array import programs
from support.values import same, to_flambeau

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_modules import module_db

SEED = 17

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
    for _, sample in (
        found if name.startswith("FractionalMaxPool") else ()
    ):  # these are float64 in all samples of torch's
        given = sample.constructor_input.kwargs
        given.update({k: v.to(dtype) for k, v in given.items() if isinstance(v, torch.Tensor)})
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


def as_leaves(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, dict):
        return {k: as_leaves(v) for k, v in value.items()}
    return type(value)(as_leaves(v) for v in value) if isinstance(value, (list, tuple)) else value


class Side:
    """One library's layer for a sample, and what it is called with."""

    def __init__(self, library: Any, name: str, dtype: torch.dtype, training: bool, sample: Any):
        build, call = sample.constructor_input, sample.forward_input
        cls = INFOS[name].module_cls  # recurrent layers take it among `**kwargs`
        takes_dtype = "dtype" in cls.__init__.__code__.co_varnames or issubclass(cls, torch.nn.RNNBase)
        settings = {"dtype": dtype} if takes_dtype and "dtype" not in build.kwargs else {}
        self.library = library
        self.built = [build.args, {**build.kwargs, **settings}]
        self.called = as_leaves([call.args, call.kwargs])
        if library is fb:
            self.built = to_flambeau([[in_our_own(a) for a in self.built[0]], self.built[1]])
            self.called = to_flambeau(self.called)
        self.cls = getattr(library.nn, name)
        self.training = training
        self.module = self.build()

    def build(self) -> Any:
        self.library.manual_seed(SEED)
        return self.cls(*self.built[0], **self.built[1]).train(self.training)

    def run(self, module: Any = None) -> Any:
        self.library.manual_seed(SEED)
        return (module or self.module)(*self.called[0], **self.called[1])

    def leaves(self) -> list[Any]:
        return [*self.module.parameters(), *(t for t in tensors_in(self.called) if t.requires_grad)]

    def gradients(self, outputs: Any, **options: Any) -> list[Any] | None:
        """Of a sum in which no two elements weigh the same."""
        outputs = [t for t in tensors_in(outputs) if t.requires_grad]
        if not outputs or not self.leaves():
            return None
        weights = [
            self.library.tensor(np.sin(np.arange(t.numel()) * 0.7 + 1).reshape(t.shape), dtype=t.dtype) for t in outputs
        ]
        return list(self.library.autograd.grad(outputs, self.leaves(), weights, allow_unused=True, **options))


def same_gradients(ours: list[Any] | None, theirs: list[Any] | None, **loose: float) -> None:
    """Equal, where no gradient and one of zeros count as the same."""
    assert (ours is None) == (theirs is None)
    for a, b in zip(ours or [], theirs or [], strict=True):
        if a is None or b is None:
            assert not any(t is not None and t.any() for t in (a, b))
        else:
            same(a, b, **loose)


def copies_agree(ours: Side, start: dict[str, Any], expected: Any) -> None:
    """A deep copy, one through pickle, and a new layer with the state compute the same."""
    ours.module.load_state_dict(start)
    others = [copy.deepcopy(ours.module), pickle.loads(pickle.dumps(ours.module))]
    if not isinstance(
        loaded := ours.build(), fb.nn.modules.lazy.LazyModuleMixin
    ):  # whose sizes torch's loading leaves out
        assert not any(loaded.load_state_dict(start))
        others.append(loaded)
    for other in others:
        same(ours.run(other), as_torch(expected), rtol=0, atol=0)
        assert repr(other) == repr(ours.module)


def as_torch(value: Any) -> Any:
    if isinstance(value, fb.Tensor):
        return torch.tensor(value.detach().numpy())
    return type(value)(as_torch(v) for v in value) if isinstance(value, (list, tuple)) else value


def second_gradients_agree(ours: Side, theirs: Side, **loose: float) -> None:
    if getattr(theirs.module, "options", None) is not None:  # a chunked loss, which has no second gradients in torch
        theirs.module.options = None
    found = []
    for side in (theirs, ours):
        try:
            first = side.gradients(side.run(), create_graph=True)
            found.append(side.gradients(first))
        except RuntimeError as error:
            if side is theirs and "not implemented" in str(error):
                return
            raise
    nothing = [None] * len(ours.leaves())
    same_gradients(found[1] or nothing, found[0] or nothing, **loose)


def compiled_agrees(
    ours: Side, start: dict[str, Any], expected: Any, gradients: list[Any] | None, **loose: float
) -> None:
    """Two calls of the compiled layer give what the layer gives, from one program."""
    compiled = fb.compile(ours.module)
    for _ in range(2):
        ours.module.load_state_dict(start)
        outputs = ours.run(compiled)
        assert [t.requires_grad for t in tensors_in(outputs)] == [t.requires_grad for t in tensors_in(expected)]
        same(outputs, as_torch(expected), **loose)
        same_gradients(ours.gradients(outputs), as_torch(gradients), **loose)
    assert len(fb.compile.explain(compiled)) <= 1, str(fb.compile.explain(compiled))


def mapped_agrees(ours: Side, theirs: Side, **loose: float) -> None:
    """`vmap` over two samples, where torch's takes the layer."""
    found = []
    for side in (theirs, ours):
        floating = [t for t in tensors_in(side.called) if t.is_floating_point()]
        pairs = [side.library.stack([t.detach(), t.detach() * 0.5]) for t in floating]

        def one(*values: Any, side: Side = side, floating: list[Any] = floating) -> Any:
            places = {id(t): v for t, v in zip(floating, values, strict=True)}
            arguments = replaced(side.called, places)
            return side.module(*arguments[0], **arguments[1])

        if not pairs:
            return
        side.library.manual_seed(SEED)
        try:
            found.append(side.library.func.vmap(one)(*pairs))
        except Exception:
            if side is theirs:
                return
            raise
    same(found[1], found[0], **loose)


def replaced(value: Any, places: dict[int, Any]) -> Any:
    if isinstance(value, dict):
        return {k: replaced(v, places) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(replaced(v, places) for v in value)
    return places.get(id(value), value)


def compare(name: str, dtype: torch.dtype, training: bool, sample: Any, whole: bool) -> None:
    if sample.forward_input is None:
        return
    theirs, ours = (Side(library, name, dtype, training, sample) for library in (torch, fb))
    assert repr(ours.module) == repr(theirs.module)
    loose = {"rtol": 1e-5, "atol": 1e-5} if dtype is torch.float32 else {"rtol": 1e-9, "atol": 1e-9}
    looser = {key: value * 10 for key, value in loose.items()}
    lazy = INFOS[name].is_lazy
    starts = [None if lazy else copy.deepcopy(side.module.state_dict()) for side in (theirs, ours)]
    expected, got = theirs.run(), ours.run()
    same(got, expected, **loose)
    assert [t.requires_grad for t in tensors_in(got)] == [t.requires_grad for t in tensors_in(expected)]
    same(dict(ours.module.state_dict()), dict(theirs.module.state_dict()), **loose)
    gradients = ours.gradients(got)
    same_gradients(gradients, theirs.gradients(expected), **looser)
    if lazy:
        starts = [copy.deepcopy(side.module.state_dict()) for side in (theirs, ours)]
        got = ours.run()
    copies_agree(ours, starts[1], got)
    if not whole:
        return
    for side, start in zip((theirs, ours), starts, strict=True):
        side.module.load_state_dict(start)
    if dtype is torch.float64 and INFOS[name].supports_gradgrad:
        second_gradients_agree(ours, theirs, **looser)
    mapped_agrees(ours, theirs, **loose)
    compiled_agrees(ours, starts[1], got, gradients, **looser)


def check(name: str, dtype: torch.dtype, cases: list[tuple[bool, Any]], whole: bool) -> None:
    for training, sample in cases:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                compare(name, dtype, training, sample, whole)
        except Exception as error:
            arguments = sample.constructor_input
            raise AssertionError(
                f"nn.{name}{arguments.args} {arguments.kwargs} ({sample.desc}, training={training}, {dtype}): {error}"
            ) from error


@pytest.mark.parametrize("name", LAYERS)
def test_one_sample(name: str) -> None:
    choice = random.Random(f"{SEED} {name}")
    dtype = choice.choice([torch.float32, torch.float64])
    called = [case for case in samples(name, dtype) if case[1].forward_input is not None]
    check(name, dtype, [choice.choice(called)], False)


@pytest.fixture
def no_programs_left() -> Iterator[None]:
    """The sweep makes some ten thousand programs of XLA, which no later test calls for again."""
    yield
    fb.compiler.reset()
    programs.forget()
    jax.clear_caches()
    gc.collect()


@pytest.mark.slow
@pytest.mark.usefixtures("no_programs_left")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_all_samples(name: str, dtype: torch.dtype) -> None:
    check(name, dtype, samples(name, dtype), True)


def test_what_is_missing_is_listed() -> None:
    """A layer that has come is to be tested: it must leave the list of those that have not."""
    assert not [name for name in INFOS if not hasattr(fb.nn, name)]

"""What `compile(model)` returns is the model in all but its calls, as in torch."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch

import flambeau as fb
from support.values import same


def life(library: Any) -> list[Any]:
    library.manual_seed(0)
    model = library.nn.Linear(3, 2)
    compiled = library.compile(model, backend="eager")
    x = library.ones(4, 3)
    seen: list[Any] = [list(compiled.state_dict()), [n for n, _ in compiled.named_parameters()], repr(compiled)]
    seen += [compiled(x), compiled.in_features, compiled.weight is model.weight, compiled.training]
    compiled.extra = 3
    seen += [model.extra, "extra" in vars(compiled)]
    del compiled.extra
    seen.append(hasattr(model, "extra"))
    seen += [compiled.eval().training, model.training, compiled.train().training, model.training]
    model.eval()
    seen.append(compiled.training)
    compiled.training = True
    seen.append(model.training)
    compiled.weight = library.nn.Parameter(library.ones(2, 3))
    seen += [compiled.weight is model.weight, compiled(x), list(library.nn.Sequential(compiled).state_dict())]
    calls: list[str] = []
    compiled.register_forward_hook(lambda module, given, made: calls.append(type(module).__name__))
    compiled(x)
    seen += [calls, len(model._forward_hooks), len(compiled._forward_hooks)]
    return seen


def test_attributes_and_state() -> None:
    same(life(fb), life(torch))


def _saved(module: Any) -> Any:
    file = io.BytesIO()
    fb.save(module, file)
    file.seek(0)
    return fb.load(file, weights_only=False)


@pytest.mark.parametrize("way", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), _saved])
def test_copies_compile_for_themselves(way: Any) -> None:
    model = fb.nn.Sequential(fb.nn.Linear(3, 4), fb.nn.ReLU(), fb.nn.Linear(4, 2))
    compiled = fb.compile(model)
    x = fb.ones(2, 3)
    compiled(x)
    other = way(compiled)
    assert isinstance(getattr(other, "_orig_mod", other), fb.nn.Sequential)
    assert fb.allclose(other(x), compiled(x))
    with fb.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert not other(x).any()
    assert compiled(x).any()


def test_a_module_that_compiles_itself_is_copied_without_its_programs() -> None:
    model = fb.nn.Linear(3, 2)
    model.compile()
    x = fb.ones(1, 3)
    model(x)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert "_compiled_call_impl" not in vars(other)
        assert fb.allclose(other(x), model(x))

"""PyTorch's own optimizer database: what its inputs give that `test_optim.py` does not look at, and its error inputs."""

import numpy as np
import pytest
import torch
from torch.testing._internal.common_optimizers import OptimizerErrorEnum, optim_db

import flambeau as fb
from support.values import same, to_flambeau

OPTIMIZERS = {info.optim_cls.__name__: info for info in optim_db}
MATRICES = [
    (name, sample.kwargs)
    for name in ("Adafactor", "Muon")
    for sample in OPTIMIZERS[name].optim_inputs_func(device="cpu")
] + [
    ("Adafactor", {"eps": (1e-6, 1e-2), "d": 1.5, "maximize": True, "weight_decay": 0.1, "lr": 0.5}),
    ("Muon", {"adjust_lr_fn": "match_rms_adamw", "nesterov": False, "ns_steps": 3, "lr": 0.1}),
]
ERRORS = [
    (name, case)
    for name, info in OPTIMIZERS.items()
    if info.optim_error_inputs_func
    for case in info.optim_error_inputs_func(device="cpu", dtype=torch.float32)
    if "sparse" not in str(case.error_regex)
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name, options", MATRICES)
def test_matrices(name, options, dtype):
    """Optimizers that look at the whole of a matrix."""
    shapes = [(4, 3), (2, 5), (6, 6)] + ([(5,), (), (2, 3, 4)] if name == "Adafactor" else [])
    generator = torch.Generator().manual_seed(3)
    theirs = [torch.randn(s, generator=generator, dtype=dtype).requires_grad_() for s in shapes]
    ours = to_flambeau(theirs)
    mine, its = getattr(fb.optim, name)(ours, **to_flambeau(options)), getattr(torch.optim, name)(theirs, **options)
    for _ in range(6):
        for p, q in zip(ours, theirs, strict=True):
            q.grad = torch.randn(q.shape, generator=generator, dtype=dtype)
            p.grad = to_flambeau(q.grad)
        mine.step()
        its.step()
    # Muon rounds to bfloat16 in between, where a last bit of float32 can become one of bfloat16
    rough = name == "Muon" and dtype is torch.float32
    lr = float(options.get("lr", 1e-3))
    # a rate that is a float32 tensor is rounded to float32
    tensor_rate = isinstance(options.get("lr"), torch.Tensor)
    close = {"rtol": 1e-6, "atol": 0.2 * lr} if rough else {"rtol": 1e-6 if tensor_rate else 1e-9, "atol": 1e-9}
    if dtype is torch.float32 and not rough:
        close = {"rtol": 1e-5, "atol": 1e-6}
    for p, q in zip(ours, theirs, strict=True):
        same(p, q, **close)
    if not rough:
        same(dict(mine.state_dict()["state"]), dict(its.state_dict()["state"]), **close)
    assert list(mine.state_dict()["state"]) == list(its.state_dict()["state"])
    assert repr(mine) == repr(its).replace("torch.", "flambeau.")
    again = getattr(fb.optim, name)(to_flambeau(theirs), **to_flambeau(options))
    again.load_state_dict(to_flambeau(its.state_dict()))
    same(dict(again.state_dict()["state"]), dict(its.state_dict()["state"]))


def converted(value, known):
    """The parameters of an error input, those that are one tensor as one tensor."""
    if isinstance(value, torch.Tensor):
        if id(value) not in known:
            known[id(value)] = to_flambeau(value)
            if value.grad is not None:
                known[id(value)].grad = to_flambeau(value.grad)
        return known[id(value)]
    if isinstance(value, dict):
        return {k: converted(v, known) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(converted(v, known) for v in value)
    return value


@pytest.mark.parametrize("name, case", ERRORS, ids=lambda v: v if isinstance(v, str) else "")
def test_error_inputs(name, case):
    given = case.optimizer_error_input
    caught = []
    ours, known = converted(given.params, {}), {}
    for library, params, options in ((torch, given.params, given.kwargs), (fb, ours, converted(given.kwargs, known))):
        try:
            optimizer = getattr(library.optim, name)(params, **options)
            if case.error_on is OptimizerErrorEnum.STEP_ERROR:
                optimizer.step()
            caught.append(None)
        except Exception as error:
            caught.append(error)
    theirs, ours = caught
    assert type(ours) is type(theirs)
    assert theirs is None or str(theirs) in str(ours).replace("flambeau", "torch")


def test_settings_of_muon():
    for library in (fb, torch):
        weight = library.ones(2, 3, requires_grad=True)
        weight.grad = library.ones(2, 3)
        with pytest.raises(ValueError, match="Number of steps must be less than 100 for computational efficiency"):
            library.optim.Muon([weight], ns_steps=100).step()
        with pytest.raises(ValueError, match="Coefficients must be a tuple of exactly 3 values"):
            library.optim.Muon([weight], ns_coefficients=(1, 2)).step()
        with pytest.raises(ValueError, match="Muon only supports 2D parameters whereas we found a parameter with size"):
            library.optim.Muon([library.ones(3, requires_grad=True)])


def test_compiled_muon_and_adafactor():
    """In a compiled step as in an uncompiled one."""
    for name in ("Muon", "Adafactor"):
        results = []
        for compiled in (False, True):
            fb.manual_seed(0)
            model = fb.nn.Sequential(fb.nn.Linear(5, 7, bias=False), fb.nn.Tanh(), fb.nn.Linear(7, 3, bias=False))
            optimizer = getattr(fb.optim, name)(model.parameters(), lr=0.05)
            x = fb.randn(8, 5)

            def step(x=x, model=model, optimizer=optimizer):
                optimizer.zero_grad()
                loss = (model(x) ** 2).mean()
                loss.backward()
                optimizer.step()
                return loss

            run = fb.compile(step) if compiled else step
            results.append([run().item() for _ in range(5)])
        np.testing.assert_allclose(results[0], results[1], rtol=1e-3 if name == "Muon" else 1e-5)

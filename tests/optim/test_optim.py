"""Optimizers: the same parameters and states as PyTorch's after the same gradients, and its surface around them."""

import copy
import pickle

import pytest
import torch
from torch.testing._internal.common_optimizers import optim_db

import flambeau as fb
import flambeau.optim as optim
from flambeau.optim import rule
from support.values import same, to_flambeau

LIBRARIES = (optim, torch.optim)
NAMES = [
    "SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adamax", "NAdam", "RAdam", "Adadelta", "ASGD", "Rprop",
]  # fmt: skip
MORE = [
    ("SGD", {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1, "maximize": True}),
    ("Adam", {"betas": (0.3, 0.9), "eps": 1e-3, "weight_decay": 0.1, "decoupled_weight_decay": True, "amsgrad": True}),
    ("Adam", {"betas": (0.0, 0.5)}),
    ("NAdam", {"betas": (0.5, 0.9), "maximize": True, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"betas": (0.8, 0.9), "weight_decay": 0.1, "maximize": True, "decoupled_weight_decay": True}),
    ("RAdam", {"betas": (0.8, 0.2)}),
    ("ASGD", {"t0": 5, "lambd": 0.1, "alpha": 0.5}),
    ("Rprop", {"lr": 0.1, "etas": (0.3, 2.0), "step_sizes": (0.05, 0.3), "maximize": True}),
    ("RMSprop", {"momentum": 0.8, "alpha": 0.5}),
    ("Adagrad", {"lr_decay": 0.2, "initial_accumulator_value": 0.5, "eps": 1e-2, "maximize": True}),
    ("Adamax", {"betas": (0.5, 0.5), "eps": 0.1}),
]
SAMPLES = MORE + [
    (info.optim_cls.__name__, sample.kwargs)
    for info in optim_db
    if info.optim_cls.__name__ in NAMES
    for sample in info.optim_inputs_func(device="cpu")
]


def identify(case):
    return case if isinstance(case, str) else ",".join(case)


def parameters(*dtypes, shapes=((3, 4), (2,), ()), seed=0):
    """Pairs of equal leaves of both libraries."""
    generator = torch.Generator().manual_seed(seed)
    theirs = [torch.randn(s, generator=generator, dtype=d).requires_grad_() for d in dtypes for s in shapes]
    return to_flambeau(theirs), theirs


def set_gradients(ours, theirs, seed):
    generator = torch.Generator().manual_seed(1000 + seed)
    for mine, its in zip(ours, theirs, strict=True):
        its.grad = torch.randn(its.shape, generator=generator, dtype=its.dtype)
        mine.grad = to_flambeau(its.grad)


def compare(mine, its, **tolerances):
    """Parameters and states of two optimizers."""
    for ours, theirs in zip(mine.param_groups, its.param_groups, strict=True):
        for p, q in zip(ours["params"], theirs["params"], strict=True):
            same(p, q, **tolerances)
    same(dict(mine.state_dict()["state"]), dict(its.state_dict()["state"]), **tolerances)


@pytest.mark.parametrize("name, options", SAMPLES, ids=identify)
def test_steps(name, options):
    """Twenty steps on parameters of several dtypes and shapes in one group."""
    theirs = parameters(torch.float32)[1][::2] + [
        parameters(dtype, shapes=[shape])[1][0] for dtype, shape in ((torch.float64, (5,)), (torch.float32, (2, 0)))
    ]
    ours = to_flambeau(theirs)
    mine = getattr(optim, name)(ours, **to_flambeau(options))
    its = getattr(torch.optim, name)(theirs, **options)
    for step in range(20):
        set_gradients(ours, theirs, step)
        mine.step()
        its.step()
        if step in (0, 19):
            compare(mine, its)
    # in float32 closer than the general tolerance (a centred variance is a small difference of large numbers)
    if not options.get("centered"):
        same(ours[:2], theirs[:2], rtol=2e-6, atol=2e-7)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(
    "name, options",
    [("SGD", {"momentum": 0.9}), ("Adam", {"amsgrad": True}), ("AdamW", {"lr": 0.01}), ("Adagrad", {})],
    ids=identify,
)
def test_half_precision(name, options, dtype):
    """16-bit parameters are computed in 32 bits and rounded once, as PyTorch's fused kernels do."""
    ours, theirs = parameters(dtype)
    mine, its = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options, fused=True)
    for step in range(5):
        set_gradients(ours, theirs, step)
        mine.step()
        its.step()
    for p, q in zip(ours, theirs, strict=True):
        same(p, q, rtol=torch.finfo(dtype).eps * 2, atol=1e-3)
        assert all(v.dtype == p.dtype for k, v in mine.state[p].items() if k != "step")
    same(dict(mine.state_dict()["state"]), dict(its.state_dict()["state"]), rtol=torch.finfo(dtype).eps * 4)


@pytest.mark.parametrize("name", NAMES)
def test_state_dict_exchange(name):
    """A run goes on in the other library from its state dict, both ways."""
    options = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
    runs = []
    for _ in range(2):
        ours, theirs = parameters(torch.float32)
        runs.append(
            (ours, theirs, getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options))
        )
    ours, theirs, mine, its = runs[0]
    for step in range(3):
        set_gradients(ours, theirs, step)
        mine.step()
        its.step()
    same(mine.state_dict(), its.state_dict())

    more_ours, more_theirs, my_next, its_next = runs[1]
    my_next.load_state_dict(to_flambeau(copy.deepcopy(its.state_dict())))
    its_next.load_state_dict(as_torch(mine.state_dict()))
    with torch.no_grad():
        for p, q, r in zip(more_ours, more_theirs, theirs, strict=True):
            q.copy_(r)
            p._write(to_flambeau(r)._array)
    for step in range(3, 6):
        set_gradients(ours, theirs, step)
        set_gradients(more_ours, more_theirs, step)
        for optimizer in (mine, its, my_next, its_next):
            optimizer.step()
    compare(my_next, its)
    compare(mine, its_next)
    assert type(my_next.state) is type(its.state) and my_next.state.default_factory is dict


def as_torch(value):
    if isinstance(value, fb.Tensor):
        return torch.tensor(value.numpy())
    if isinstance(value, dict):
        return {k: as_torch(v) for k, v in value.items()}
    return [as_torch(v) for v in value] if isinstance(value, list) else value


def test_training():
    """A regression trained by both libraries' own gradients."""
    x, y = torch.randn(32, 5, generator=torch.Generator().manual_seed(1)), torch.ones(32, 2)
    for name, options in [("SGD", {"momentum": 0.9, "lr": 0.1}), ("Adam", {"lr": 0.01})]:
        losses = []
        for library, optimizers in ((fb, optim), (torch, torch.optim)):
            torch_start = parameters(torch.float32, shapes=((5, 8), (8,), (8, 2)))
            w1, b1, w2 = torch_start[0 if library is fb else 1]
            data, target = (to_flambeau(x), to_flambeau(y)) if library is fb else (x, y)
            optimizer = getattr(optimizers, name)([w1, b1, w2], **options)
            history = []
            for _ in range(20):
                optimizer.zero_grad()
                loss = (((data @ w1 + b1).tanh() @ w2 - target) ** 2).mean()
                loss.backward()
                optimizer.step()
                history.append(loss.item())
            losses.append(history)
        same(losses[0], losses[1], rtol=1e-4)
        assert losses[0][-1] < losses[0][0]


# --- the mechanism ------------------------------------------------------------------------------------------------


def test_changing_options_does_not_recompile():
    """Rates, betas, decay, momentum are inputs of the program; switching one off is another program."""
    ours, theirs = parameters(torch.float32, shapes=((2, 3),))
    optimizer = optim.Adam(ours, weight_decay=0.1)
    rule._program.cache_clear()
    sizes = []
    for step in range(6):
        group = optimizer.param_groups[0]
        group.update(lr=0.1 / (step + 1), betas=(0.5, 0.5 + step / 100), eps=1e-3 * step, weight_decay=0.1 + step)
        set_gradients(ours, theirs, step)
        optimizer.step()
        program = optimizer._prepare(0, group)[1]
        sizes.append((rule._program.cache_info().currsize, program._cache_size()))
    assert set(sizes) == {(1, 1)}
    group["weight_decay"] = 0
    optimizer.step()
    assert rule._program.cache_info().currsize == 2


@pytest.mark.parametrize("name", ["Adam", "NAdam", "Adagrad", "ASGD", "RMSprop"])
def test_the_second_step_runs_the_first_one_s_program(name: str):
    """Drawn parameters are bound to their device and the count of steps began unbound: one more program for the same step."""
    parameter = fb.nn.Parameter(fb.randn(3, 4))
    assert parameter._array.committed
    optimizer = getattr(optim, name)([parameter], lr=0.01)
    parameter.grad = fb.ones_like(parameter)
    rule._program.cache_clear()
    for _ in range(3):
        optimizer.step()
    program = optimizer._prepare(0, optimizer.param_groups[0])[1]
    assert (rule._program.cache_info().currsize, program._cache_size()) == (1, 1)


@pytest.mark.parametrize("name", ["Adam", "NAdam", "Adagrad", "ASGD", "RMSprop"])
def test_a_compiled_first_step_makes_the_state(name: str):
    """The parameters are tracers there, which have no device to put the count of steps on."""
    parameter = fb.nn.Parameter(fb.ones(3))
    optimizer = getattr(optim, name)([parameter], lr=0.01)

    @fb.compile(fullgraph=True)
    def step():
        optimizer.zero_grad()
        (parameter**2).sum().backward()
        optimizer.step()

    for _ in range(2):
        step()
    assert optimizer.state[parameter]["step"] == 2 and len(fb.compile.explain(step)) <= 2


def test_options_changed_between_steps():
    """Each kind of change takes effect at the next step, in any group."""
    ours, theirs = parameters(torch.float32)
    results = []
    for library, leaves in ((optim, ours), (torch.optim, theirs)):
        groups = [{"params": leaves[:1]}, {"params": leaves[1:], "lr": 0.5}]
        results.append(library.SGD(groups, lr=0.1))
    changes = [{}, {"lr": 0.2}, {"momentum": 0.9}, {"nesterov": True}, {"weight_decay": 0.3}, {"maximize": True}, {}]
    for step, change in enumerate(changes):
        set_gradients(ours, theirs, step)
        for optimizer in results:
            optimizer.param_groups[step % 2].update(change)
            optimizer.step()
        compare(*results)


def test_missing_gradients():
    """Parameters without gradients are left alone, and start later with a state of their own."""
    ours, theirs = parameters(torch.float32)
    mine, its = (library.Adam(leaves) for library, leaves in zip(LIBRARIES, (ours, theirs), strict=True))
    for optimizer in (mine, its):
        optimizer.step()
        assert len(optimizer.state) == 0
    for step in range(5):
        set_gradients(ours, theirs, step)
        if step < 2:
            ours[1].grad = theirs[1].grad = None
        mine.step()
        its.step()
        assert len(mine.state) == len(its.state)
        same(mine.state_dict(), its.state_dict())


@pytest.mark.parametrize("name", NAMES)
def test_complex(name):
    """Real and imaginary parts are parameters of their own."""
    ours, theirs = parameters(torch.complex64, shapes=[(3,)])
    options = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
    mine, its = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for step in range(4):
        set_gradients(ours, theirs, step)
        mine.step()
        its.step()
    compare(mine, its)


def test_first_gradient_is_not_damped():
    """Also for a parameter that gets its first gradient later than the others."""
    ours, theirs = parameters(torch.float32)
    mine, its = (
        library.SGD(leaves, lr=0.1, momentum=0.9, dampening=0.5)
        for library, leaves in zip(LIBRARIES, (ours, theirs), strict=True)
    )
    for step in range(4):
        set_gradients(ours, theirs, step)
        if step < 2:
            ours[1].grad = theirs[1].grad = None
        mine.step()
        its.step()
        compare(mine, its)


def test_tensor_options():
    """Rates and betas as tensors are read at every step."""
    ours, theirs = parameters(torch.float32)
    results, rates = [], []
    for library, tensor, leaves in ((optim, fb.tensor, ours), (torch.optim, torch.tensor, theirs)):
        rates.append(tensor(0.1))
        results.append(library.Adam(leaves, lr=rates[-1], betas=(tensor(0.5), tensor(0.75))))
    for step in range(3):
        set_gradients(ours, theirs, step)
        for optimizer, rate in zip(results, rates, strict=True):
            optimizer.step()
            rate.mul_(0.5)
        compare(*results)


def test_views_and_shared_memory():
    """Parameters that look into one storage are updated one after the other where they overlap."""
    results = []
    for library, optimizers in ((fb, optim), (torch, torch.optim)):
        base = library.arange(6.0)
        leaves = [base[:3], base[3:], base[2:4], base.detach()]
        for leaf in leaves:
            leaf.requires_grad_()
            leaf.grad = library.ones_like(leaf)
        optimizer = optimizers.SGD(leaves, lr=0.1, weight_decay=0.5)
        optimizer.step()
        optimizer.step()
        results.append(base.tolist())
    assert results[0] == pytest.approx(results[1], rel=1e-6)


def test_values_taken_before_are_not_touched():
    """Clones, copies, state dicts and saved values of the tape keep what they had."""
    weight = fb.ones(3, requires_grad=True)
    optimizer = optim.Adam([weight], lr=0.5)
    loss = (weight * weight).sum()
    saved = (weight.detach().clone(), copy.deepcopy(weight))
    loss.backward()
    optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    before = state["state"][0]["exp_avg"].tolist()
    alias = weight.data
    optimizer.step()
    assert all(value.tolist() == [1.0] * 3 for value in saved)
    assert state["state"][0]["exp_avg"].tolist() == before != optimizer.state[weight]["exp_avg"].tolist()
    assert alias.tolist() == weight.tolist()  # and what shares memory sees the step
    assert loss.item() == 3.0


def test_closure_and_grad_mode():
    for library, tensors in ((optim, fb), (torch.optim, torch)):
        weight = tensors.ones(2, requires_grad=True)
        optimizer = library.SGD([weight], lr=0.1)

        def closure(weight=weight, tensors=tensors):
            assert tensors.is_grad_enabled()
            loss = (weight**2).sum()
            weight.grad = None
            loss.backward()
            return loss

        with tensors.no_grad():
            assert float(optimizer.step(closure)) == 2.0
            assert not tensors.is_grad_enabled()
        assert weight.tolist() == pytest.approx([0.8, 0.8])
        assert weight.is_leaf and weight.requires_grad


def test_zero_grad():
    for library, tensors in ((optim, fb), (torch.optim, torch)):
        weight = tensors.ones(2, requires_grad=True)
        optimizer = library.SGD([weight], lr=0.1)
        weight.grad = grad = tensors.ones(2)
        optimizer.zero_grad(set_to_none=False)
        assert weight.grad is grad and grad.tolist() == [0.0, 0.0]
        optimizer.zero_grad()
        assert weight.grad is None


# --- the surface --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_printed_form_and_defaults(name):
    results = []
    for library, tensors in ((optim, fb), (torch.optim, torch)):
        make = getattr(library, name)
        optimizer = make([{"params": [tensors.ones(1)]}, {"params": [tensors.ones(1)], "maximize": True}])
        results.append((repr(optimizer), list(optimizer.defaults.items()), make.__module__.split(".")[1:]))
    assert results[0] == results[1]


ERRORS = [
    lambda o, t: o.SGD([]),
    lambda o, t: o.SGD(t.ones(1)),
    lambda o, t: o.SGD([1]),
    lambda o, t: o.SGD(None),
    lambda o, t: o.SGD("abc"),
    lambda o, t: o.SGD([[t.ones(1)]]),
    lambda o, t: o.SGD({"params": [t.ones(1)]}),
    lambda o, t: o.SGD([t.ones(1, requires_grad=True) * 2]),
    lambda o, t: o.SGD([{"lr": 1}]),
    lambda o, t: o.SGD([{"params": {t.ones(1)}}]),
    lambda o, t: o.SGD([{"params": [None]}]),
    lambda o, t: o.SGD([("a", t.ones(1)), t.ones(1)]),
    lambda o, t: o.SGD([("a", 3)]),
    lambda o, t: o.SGD([{"params": [("a", t.ones(1))]}, {"params": [t.ones(1)]}]),
    lambda o, t: o.SGD([{"params": [t.ones(1)]}, {"params": [("a", t.ones(1))]}]),
    lambda o, t: o.SGD([{"params": [p := t.ones(1)]}, {"params": [p]}]),
    lambda o, t: o.SGD([t.ones(1)]).add_param_group([t.ones(1)]),
    lambda o, t: o.SGD([p := t.ones(1)]).add_param_group({"params": p}),
    lambda o, t: o.Optimizer([t.ones(1)], {}).step(),
    lambda o, t: o.SGD([t.ones(1)], lr=t.tensor(-1.0)),
    lambda o, t: o.SGD([t.ones(1)], lr=t.tensor([0.1, 0.2])),
    lambda o, t: o.SGD([t.ones(1)], momentum=-1),
    lambda o, t: o.SGD([t.ones(1)], nesterov=True),
    lambda o, t: o.SGD([t.ones(1)], fused=True, foreach=True),
    lambda o, t: o.SGD([t.ones(1)], fused=True, differentiable=True),
    lambda o, t: o.SGD([t.ones(1)]).register_step_pre_hook(lambda *_: 5) and None,
    lambda o, t: o.Adam([t.ones(1)], betas=(t.tensor(0.9), 0.99)),
    lambda o, t: o.Adam([t.ones(1)], betas=(0.9, float("nan"))),
    lambda o, t: o.RMSprop([t.ones(1)], alpha=-1),
    lambda o, t: o.RMSprop([t.ones(1)], momentum=-1),
    lambda o, t: o.Adadelta([t.ones(1)], rho=2),
    lambda o, t: o.Rprop([t.ones(1)], etas=(1.5, 1.2)),
    lambda o, t: o.NAdam([t.ones(1)], momentum_decay=-1),
    lambda o, t: o.Adagrad([t.ones(1)], lr_decay=-1),
    lambda o, t: o.Adagrad([t.ones(1)], initial_accumulator_value=-1),
] + [
    lambda o, t, name=name, bad=bad: getattr(o, name)([t.ones(1)], **bad)
    for name in NAMES
    for bad in ({"lr": -1}, {"eps": -1}, {"weight_decay": -1}, {"betas": (1.0, 0.9)}, {"betas": (0.9, -0.1)})
]


@pytest.mark.parametrize("make", ERRORS)
def test_errors(make):
    """The same exception types, and texts that begin as PyTorch's do."""
    caught = []
    for library, tensors in ((optim, fb), (torch.optim, torch)):
        try:
            make(library, tensors)
            caught.append(None)
        except Exception as error:
            caught.append(error)
    ours, theirs = caught
    assert type(ours) is type(theirs)
    if theirs is not None and "unexpected keyword" not in str(theirs):
        assert str(ours)[:20] == str(theirs)[:20] or not str(theirs)


def test_duplicate_parameters():
    """They draw a warning, and are updated as often as they are named."""
    results = []
    for library, tensors in ((optim, fb), (torch.optim, torch)):
        weight = tensors.ones(2, requires_grad=True)
        with pytest.warns(UserWarning, match="duplicate parameters"):
            optimizer = library.SGD([weight, weight], lr=0.1, weight_decay=0.5)
        weight.grad = tensors.ones(2)
        optimizer.step()
        results.append(weight.tolist())
    assert results[0] == pytest.approx(results[1], rel=1e-6)


def test_names():
    for library, tensors in ((optim, fb), (torch.optim, torch)):
        named = [("a", tensors.ones(2)), ("b", tensors.ones(1))]
        optimizer = library.SGD(iter(named))
        assert list(optimizer.param_groups[0])[:3] == ["params", "param_names", "lr"]
        assert optimizer.param_groups[0]["param_names"] == ["a", "b"]
        assert all(p is q for p, (_, q) in zip(optimizer.param_groups[0]["params"], named, strict=True))
        assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["a", "b"]
        other = library.SGD([("c", tensors.ones(2)), ("d", tensors.ones(1))])
        unnamed = library.SGD([tensors.ones(2), tensors.ones(1)])
        other.load_state_dict(unnamed.state_dict())
        assert other.param_groups[0]["param_names"] == ["c", "d"]
        other.load_state_dict(optimizer.state_dict())
        unnamed.load_state_dict(optimizer.state_dict())
        assert other.param_groups[0]["param_names"] == unnamed.param_groups[0]["param_names"] == ["a", "b"]


def test_load_state_dict_casts_and_checks():
    for library, tensors in ((optim, fb), (torch.optim, torch)):
        source = tensors.ones(2)
        source.grad = tensors.ones(2)
        first = library.Adam([source])
        first.step()
        target = tensors.ones(2, dtype=tensors.float64)
        second = library.Adam([target], lr=3.0)
        second.load_state_dict(first.state_dict())
        state = second.state[target]
        assert state["exp_avg"].dtype == tensors.float64 and state["step"].dtype == tensors.float32
        assert second.param_groups[0]["lr"] == 1e-3 and second.param_groups[0] is not first.param_groups[0]
        twin = library.Adam([tensors.ones(2)])
        twin.load_state_dict(first.state_dict())
        assert next(iter(twin.state.values()))["exp_avg"] is first.state[source]["exp_avg"]

        extra = first.state_dict()
        extra["state"]["other"] = 5
        second.load_state_dict(extra)
        assert second.state["other"] == 5 and second.state_dict()["state"]["other"] == 5
        for broken, message in (
            (library.SGD([tensors.ones(1), tensors.ones(1)]).state_dict(), "doesn't match the size"),
            (library.SGD([{"params": [tensors.ones(1)]} for _ in range(2)]).state_dict(), "different number of"),
        ):
            before = second.state_dict()
            with pytest.raises(ValueError, match=message):
                second.load_state_dict(broken)
            assert second.state_dict()["param_groups"] == before["param_groups"]
        with pytest.raises(KeyError):
            second.load_state_dict({})


def test_old_checkpoints():
    """Step counts as numbers, absent options, and None for a buffer that is not there yet."""
    results = []
    for library, tensors in ((optim, fb), (torch.optim, torch)):
        weight = tensors.ones(2)
        weight.grad = tensors.ones(2)
        adam = library.Adam([weight])
        adam.step()
        state = adam.state_dict()
        state["state"][0]["step"] = 3
        for name in ("maximize", "foreach", "fused", "capturable", "differentiable"):
            del state["param_groups"][0][name]
        adam.load_state_dict(state)
        adam.step()
        sgd = library.SGD([weight], momentum=0.9)
        state = sgd.state_dict()
        state["state"][0] = {"momentum_buffer": None}
        for name in ("maximize", "nesterov", "fused"):
            del state["param_groups"][0][name]
        sgd.load_state_dict(state)
        sgd.step()
        sgd.state[weight]["momentum_buffer"] = None
        sgd.step()
        results.append(
            (adam.state[weight]["step"].item(), sgd.state[weight]["momentum_buffer"].tolist(), weight.tolist())
        )
    assert results[0][:2] == results[1][:2]
    assert results[0][2] == pytest.approx(results[1][2], rel=1e-6)


@pytest.mark.parametrize("foreach", [None, True])
@pytest.mark.parametrize("name", "Adam NAdam RAdam Adamax Adadelta ASGD RMSprop Rprop".split())
def test_capturable_on_the_cpu_is_refused(name, foreach):
    texts = []
    for library in (fb, torch):
        weight = library.ones(2, requires_grad=True)
        weight.grad = library.ones(2)
        with pytest.raises(AssertionError, match="If capturable=True") as caught:
            getattr(library.optim, name)([weight], capturable=True, foreach=foreach).step()
        texts.append(str(caught.value))
    assert texts[0] == texts[1]


def test_pickle_and_deepcopy():
    weight = fb.ones(3, requires_grad=True)
    weight.grad = fb.ones(3)
    optimizer = optim.Adam([weight], lr=0.1)
    optimizer.register_step_post_hook(print)
    optimizer.step()
    for other in (pickle.loads(pickle.dumps(optimizer)), copy.deepcopy(optimizer)):
        twin = other.param_groups[0]["params"][0]
        assert twin is not weight and list(other.state) == [twin]
        assert repr(other) == repr(optimizer)
        assert not other._optimizer_step_post_hooks
        twin.grad = fb.ones(3)
        other.step()
        assert other.state[twin]["step"].item() == 2.0 and optimizer.state[weight]["step"].item() == 1.0
        assert weight.tolist() == pytest.approx([0.9] * 3) and twin.tolist() == pytest.approx([0.8] * 3, rel=1e-5)


def test_hooks():
    histories = []
    for library, tensors in ((optim, fb), (torch.optim, torch)):
        log = []

        def note(what, log=log):
            return lambda *args: log.append((what, len(args)))

        module = __import__(library.__name__ + ".optimizer", fromlist=["x"])
        weight = tensors.ones(2)
        optimizer = library.SGD([weight])
        handles = [
            module.register_optimizer_step_pre_hook(
                lambda o, args, kwargs, log=log: log.append(("g", len(args), kwargs))
            ),
            module.register_optimizer_step_post_hook(
                lambda o, args, kwargs, log=log: log.append(("h", len(args), kwargs))
            ),
            optimizer.register_step_pre_hook(lambda o, args, kwargs: ((*args, lambda: 7), {})),
            optimizer.register_step_post_hook(lambda o, args, kwargs, log=log: log.append(("p", len(args), kwargs))),
            optimizer.register_state_dict_pre_hook(note("before")),
            optimizer.register_state_dict_post_hook(note("after")),
            optimizer.register_state_dict_post_hook(lambda o, state: dict(state, extra=1), prepend=True),
            optimizer.register_load_state_dict_pre_hook(note("load")),
            optimizer.register_load_state_dict_pre_hook(
                lambda o, state, log=log: log.append(("first", state["extra"])), prepend=True
            ),
            optimizer.register_load_state_dict_post_hook(note("loaded")),
        ]
        assert optimizer.step() == 7
        state = optimizer.state_dict()
        assert state["extra"] == 1
        optimizer.load_state_dict(state)
        for handle in handles:
            handle.remove()
        assert optimizer.step() is None
        assert "extra" not in optimizer.state_dict()
        optimizer.register_step_pre_hook(lambda *_: 5)
        with pytest.raises(RuntimeError, match=r"must return None or a tuple of \(new_args, new_kwargs\), but got 5"):
            optimizer.step()
        histories.append(log)
    assert histories[0] == histories[1]


def test_own_optimizers():
    """Subclasses of Optimizer and of an optimizer, as users write them."""
    for library, tensors in ((optim, fb), (torch.optim, torch)):

        class Signs(library.Optimizer):
            def __init__(self, params, lr=0.1, tensors=tensors):
                self.tensors = tensors
                super().__init__(params, {"lr": lr})

            def step(self, closure=None):
                with self.tensors.no_grad():
                    for group in self.param_groups:
                        for param in group["params"]:
                            param.add_(param.grad.sign(), alpha=-group["lr"])
                            self.state[param]["calls"] = self.state[param].get("calls", 0) + 1

        class Twice(library.SGD):
            def step(self, closure=None):
                super().step(closure)
                return super().step()

        weight = tensors.ones(2, requires_grad=True)
        weight.grad = tensors.tensor([1.0, -2.0])
        calls = []
        optimizer = Signs([weight])
        optimizer.register_step_post_hook(lambda *_, calls=calls: calls.append(1))
        optimizer.step()
        assert weight.tolist() == pytest.approx([0.9, 1.1]) and calls == [1]
        assert optimizer.state_dict()["state"] == {0: {"calls": 1}}
        Twice([weight], lr=0.5).step()
        assert weight.tolist() == pytest.approx([-0.1, 3.1])

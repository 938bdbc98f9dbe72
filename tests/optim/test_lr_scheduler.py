"""Learning rate schedules: the same rates as PyTorch's, to the last bit."""

import copy
import pickle
import warnings

import jax
import numpy as np
import pytest
import torch

import flambeau.optim as optim
from flambeau.core.tensor.tensor import wrap

LIBRARIES = (optim, torch.optim)


def parameter(library):
    if library is torch.optim:
        return torch.nn.Parameter(torch.ones(2))
    return wrap(jax.device_put(np.ones(2, np.float32))).requires_grad_()


def optimizer(library, kind="SGD", groups=2, **options):
    lists = [{"params": [parameter(library)], "lr": 0.1 * (i + 1)} for i in range(groups)]
    if kind == "SGD":
        options.setdefault("momentum", 0.9)
    return getattr(library, kind)(lists, **options)


def watched(opt):
    """What a schedule may change in the groups."""
    return [{k: v for k, v in group.items() if k != "params"} for group in opt.param_groups]


def decay(epoch):
    return 0.95**epoch


class Decay:
    def __init__(self, rate):
        self.rate = rate

    def __call__(self, epoch):
        return self.rate**epoch


CASES = {
    "StepLR": [{"step_size": 3}, {"step_size": 1, "gamma": 0.7}, {"step_size": 4, "gamma": 0}],
    "MultiStepLR": [{"milestones": [3, 5, 5, 9]}, {"milestones": [1, 2], "gamma": 0.3}, {"milestones": []}],
    "ExponentialLR": [{"gamma": 0.9}, {"gamma": 1.1}],
    "CosineAnnealingLR": [
        {"T_max": 5},
        {"T_max": 7, "eta_min": 0.01},
        {"T_max": 1},
        {"T_max": 20, "eta_min": 1.0},
    ],
    "LambdaLR": [{"lr_lambda": decay}, {"lr_lambda": [decay, Decay(0.5)]}],
    "MultiplicativeLR": [{"lr_lambda": decay}, {"lr_lambda": [decay, Decay(0.5)]}],
    "ConstantLR": [{}, {"factor": 0.25, "total_iters": 3}, {"factor": 1, "total_iters": 0}],
    "LinearLR": [
        {},
        {"start_factor": 0.2, "end_factor": 0.9, "total_iters": 7},
        {"start_factor": 1, "end_factor": 0.1},
    ],
    "PolynomialLR": [{}, {"total_iters": 8, "power": 2.5}],
    "CosineAnnealingWarmRestarts": [{"T_0": 3}, {"T_0": 2, "T_mult": 2, "eta_min": 0.01}, {"T_0": 4, "T_mult": 3}],
    "CyclicLR": [
        {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 3},
        {"base_lr": [0.01, 0.02], "max_lr": [0.3, 0.4], "step_size_up": 2, "step_size_down": 5, "mode": "triangular2"},
        {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 3, "mode": "exp_range", "gamma": 0.9},
        {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 3, "scale_fn": decay, "cycle_momentum": False},
        {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 3, "scale_fn": Decay(0.8), "scale_mode": "iterations"},
        {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 3, "base_momentum": [0.1, 0.2], "max_momentum": [0.5, 0.7]},
    ],
    "OneCycleLR": [
        {"max_lr": 1, "total_steps": 20},
        {"max_lr": [0.5, 1.0], "epochs": 4, "steps_per_epoch": 5, "anneal_strategy": "linear"},
        {
            "max_lr": 0.5,
            "total_steps": 20,
            "three_phase": True,
            "pct_start": 0.4,
            "div_factor": 10,
            "final_div_factor": 100,
        },
        {"max_lr": 0.5, "total_steps": 20, "cycle_momentum": False},
        {"max_lr": 0.5, "total_steps": 20, "base_momentum": [0.1, 0.2], "max_momentum": [0.5, 0.6]},
    ],
}
CASES = [(name, options) for name, many in CASES.items() for options in many]


def identify(case):
    return case if isinstance(case, str) else ",".join(case)


@pytest.mark.parametrize("name, options", CASES, ids=identify)
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_rates(name, options, kind):
    """Rates, momenta and the saved state, step by step."""
    pairs = []
    for library in LIBRARIES:
        opt = optimizer(library, kind)
        pairs.append((opt, getattr(library.lr_scheduler, name)(opt, **copy.deepcopy(options))))
    for _ in range(20):
        (ours, mine), (theirs, its) = pairs
        assert watched(ours) == watched(theirs)
        assert mine.get_last_lr() == its.get_last_lr()
        assert mine.state_dict() == its.state_dict()
        for opt, scheduler in pairs:
            opt.step()
            scheduler.step()


@pytest.mark.parametrize("name, options", CASES, ids=identify)
def test_resume(name, options):
    """A schedule that starts at a later epoch, on an optimizer that has been in one before."""
    results = []
    for library in LIBRARIES:
        opt = optimizer(library)
        make = getattr(library.lr_scheduler, name)
        scheduler = make(opt, **copy.deepcopy(options))
        for _ in range(5):
            opt.step()
            scheduler.step()
        rates = []
        for last in (4, 5, 3):
            scheduler = make(opt, **copy.deepcopy(options), last_epoch=last)
            rates.append((scheduler.get_last_lr(), scheduler.state_dict()))
            for _ in range(4):
                scheduler.step()
                rates.append(scheduler.get_last_lr())
        results.append((rates, watched(opt)))
    assert results[0] == results[1]


@pytest.mark.parametrize("name, options", CASES, ids=identify)
@pytest.mark.filterwarnings("ignore:The epoch parameter")
def test_jump(name, options):
    """`step(epoch)`, by the closed form where there is one."""
    results = []
    for library in LIBRARIES:
        opt = optimizer(library)
        scheduler = getattr(library.lr_scheduler, name)(opt, **copy.deepcopy(options))
        opt.step()
        rates = []
        for epoch in (4, None, 2, 0, 11, None, None, 3):
            scheduler.step(epoch)
            rates.append((scheduler.last_epoch, scheduler.get_last_lr()))
        results.append(rates)
    assert results[0] == results[1]


@pytest.mark.parametrize("name, options", CASES, ids=identify)
def test_state_dict_from_pytorch(name, options):
    """A schedule goes on where PyTorch's stood."""
    (ours, mine), (theirs, its) = (
        (opt := optimizer(library), getattr(library.lr_scheduler, name)(opt, **copy.deepcopy(options)))
        for library in LIBRARIES
    )
    ours.step()
    for _ in range(6):
        theirs.step()
        its.step()
    mine.load_state_dict(copy.deepcopy(its.state_dict()))
    for mine_group, its_group in zip(ours.param_groups, theirs.param_groups, strict=True):
        mine_group.update({k: v for k, v in its_group.items() if k != "params"})
    for _ in range(6):
        mine.step()
        its.step()
        assert mine.get_last_lr() == its.get_last_lr()
    assert mine.state_dict() == its.state_dict()


@pytest.mark.parametrize("name, options", CASES, ids=identify)
def test_get_lr_outside_of_step(name, options):
    seen = []
    for library in LIBRARIES:
        scheduler = getattr(library.lr_scheduler, name)(optimizer(library), **copy.deepcopy(options))
        with pytest.warns(UserWarning, match="please use `get_last_lr"):
            seen.append(scheduler.get_lr())
    assert seen[0] == seen[1]


@pytest.mark.parametrize("name, options", CASES, ids=identify)
def test_groups_added_later(name, options):
    results = []
    for library in reversed(LIBRARIES):
        opt = optimizer(library)
        scheduler = getattr(library.lr_scheduler, name)(opt, **copy.deepcopy(options))
        opt.add_param_group({"params": [parameter(library)], "lr": 1.0})
        opt.step()
        try:
            for _ in range(3):
                scheduler.step()
        except (ValueError, KeyError):
            if library is optim:
                raise
            return  # PyTorch does not take it
        results.append((scheduler.get_last_lr(), watched(opt)))
    assert results[0] == results[1]


def test_tensor_rates():
    """A rate that is a tensor stays the same tensor."""
    rates = []
    for library in LIBRARIES:
        made = torch.tensor(0.1) if library is torch.optim else wrap(jax.device_put(np.float32(0.1)))
        opt = library.SGD([parameter(library)], lr=made)
        scheduler = library.lr_scheduler.ExponentialLR(opt, 0.9)
        opt.step()
        scheduler.step()
        assert opt.param_groups[0]["lr"] is made
        assert scheduler.get_last_lr()[0] is not made
        rates.append([float(x) for x in (made, scheduler.base_lrs[0], scheduler.get_last_lr()[0])])
    assert rates[0] == rates[1]


PLATEAUS = [
    {},
    {"mode": "max", "factor": 0.5, "patience": 1},
    {"patience": 0, "threshold": 0.5, "threshold_mode": "abs", "cooldown": 2},
    {"mode": "max", "patience": 2, "threshold": 0.1, "threshold_mode": "abs", "min_lr": [0.05, 0.01]},
    {"patience": 0, "min_lr": 0.02, "eps": 0.03},
]


@pytest.mark.parametrize("options", PLATEAUS, ids=identify)
def test_plateau(options):
    values = np.random.default_rng(0).normal(size=40).cumsum().tolist() + [1.0] * 30 + [float("nan")] * 3
    histories = []
    for library in LIBRARIES:
        opt = optimizer(library)
        scheduler = library.lr_scheduler.ReduceLROnPlateau(opt, **options)
        history = [scheduler.state_dict().copy()]
        for value in values:
            scheduler.step(value)
            history.append((scheduler.state_dict().copy(), watched(opt), scheduler.in_cooldown))
        other = library.lr_scheduler.ReduceLROnPlateau(opt)
        other.load_state_dict(scheduler.state_dict())
        other.step(0.5)
        histories.append([*history, other.state_dict()])
    assert repr(histories[0]) == repr(histories[1])


def sequential(library, opt):
    schedules = library.lr_scheduler
    return schedules.SequentialLR(
        opt, [schedules.ConstantLR(opt, 0.1, 2), schedules.ExponentialLR(opt, 0.9), schedules.StepLR(opt, 2)], [3, 7]
    )


def chained(library, opt):
    schedules = library.lr_scheduler
    return schedules.ChainedScheduler([schedules.ConstantLR(opt, 0.1, 5), schedules.ExponentialLR(opt, 0.9)])


def nested(library, opt):
    schedules = library.lr_scheduler
    both = schedules.ChainedScheduler([schedules.LinearLR(opt), schedules.ExponentialLR(opt, 0.9)], optimizer=opt)
    return schedules.SequentialLR(opt, [both, schedules.CosineAnnealingLR(opt, 4)], [4])


def at_once(library, opt):
    schedules = library.lr_scheduler
    return schedules.SequentialLR(opt, [schedules.ConstantLR(opt, 0.1), schedules.StepLR(opt, 1, 0.9)], [0])


def three(library, opt):
    schedules = library.lr_scheduler
    return schedules.ChainedScheduler(
        [schedules.MultiStepLR(opt, [2, 4]), schedules.CosineAnnealingLR(opt, 6), schedules.PolynomialLR(opt, 9)]
    )


@pytest.mark.parametrize("make", [sequential, chained, three, nested, at_once])
@pytest.mark.filterwarnings("ignore:Detected call of")  # a nested one steps twice while it is made, in PyTorch too
def test_combined(make):
    histories = []
    for library in LIBRARIES:
        opt = optimizer(library)
        scheduler = make(library, opt)
        history = [copy.deepcopy(scheduler.state_dict())]
        for i in range(12):
            opt.step()
            scheduler.step()
            history.append((copy.deepcopy(scheduler.state_dict()), watched(opt), scheduler.get_last_lr()))
            if i == 5:
                other = make(library, optimizer(library))
                other.load_state_dict(copy.deepcopy(scheduler.state_dict()))
                history.append(other.state_dict())
        histories.append(history)
    assert histories[0] == histories[1]


def test_swalr():
    for options in ({"swa_lr": 0.05}, {"swa_lr": [0.05, 0.3], "anneal_strategy": "linear", "anneal_epochs": 4}):
        for extra in ({}, {"anneal_epochs": 0}):
            histories = []
            for library in LIBRARIES:
                opt = optimizer(library)
                scheduler = library.swa_utils.SWALR(opt, **options | extra)
                history = []
                for _ in range(13):
                    opt.step()
                    scheduler.step()
                    history.append((scheduler.get_last_lr(), scheduler.state_dict().get("anneal_epochs")))
                histories.append(history)
            assert histories[0] == histories[1]


ERRORS = [
    lambda s, o: s.StepLR(3, 2),
    lambda s, o: s.StepLR(o(), 2, last_epoch=3),
    lambda s, o: s.LRScheduler(o()),
    lambda s, o: s.LambdaLR(o(), [decay]),
    lambda s, o: s.MultiplicativeLR(o(), [decay]),
    lambda s, o: s.LambdaLR(o(), 3),
    lambda s, o: s.OneCycleLR(o(), 1),
    lambda s, o: s.OneCycleLR(o(), 1, total_steps=-1),
    lambda s, o: s.OneCycleLR(o(), 1, total_steps=2.5),
    lambda s, o: s.OneCycleLR(o(), 1, epochs=2),
    lambda s, o: s.OneCycleLR(o(), 1, epochs=2, steps_per_epoch=0),
    lambda s, o: s.OneCycleLR(o(), 1, epochs=0, steps_per_epoch=2),
    lambda s, o: s.OneCycleLR(o(), 1, total_steps=5, pct_start=2.0),
    lambda s, o: s.OneCycleLR(o(), 1, total_steps=5, anneal_strategy="x"),
    lambda s, o: s.OneCycleLR(o("Adagrad"), 1, total_steps=5),
    lambda s, o: s.OneCycleLR(o(), [1, 2, 3], total_steps=5),
    lambda s, o: s.OneCycleLR(o(), 1, total_steps=5, base_momentum=[1]),
    lambda s, o: s.CyclicLR(o(), [0.1], 0.2),
    lambda s, o: s.CyclicLR(o(), 0.1, 0.2, mode="x"),
    lambda s, o: s.CyclicLR(o("Adagrad"), 0.1, 0.2),
    lambda s, o: s.CyclicLR(3, 0.1, 0.2),
    lambda s, o: s.ReduceLROnPlateau(3),
    lambda s, o: s.ReduceLROnPlateau(o(), factor=1.0),
    lambda s, o: s.ReduceLROnPlateau(o(), min_lr=[1]),
    lambda s, o: s.ReduceLROnPlateau(o(), mode="x"),
    lambda s, o: s.ReduceLROnPlateau(o(), threshold_mode="x"),
    lambda s, o: s.ReduceLROnPlateau(o()).step(),
    lambda s, o: s.ReduceLROnPlateau(o()).get_lr(),
    lambda s, o: s.ConstantLR(o(), factor=2),
    lambda s, o: s.LinearLR(o(), start_factor=0),
    lambda s, o: s.LinearLR(o(), end_factor=2),
    lambda s, o: s.CosineAnnealingWarmRestarts(o(), 0),
    lambda s, o: s.CosineAnnealingWarmRestarts(o(), 1.5),
    lambda s, o: s.CosineAnnealingWarmRestarts(o(), 1, 0),
    lambda s, o: s.CosineAnnealingWarmRestarts(o(), 1, eta_min="a"),
    lambda s, o: s.CosineAnnealingWarmRestarts(o(), 1).step(-1),
    lambda s, o: s.SequentialLR(o(), [], []),
    lambda s, o: s.SequentialLR((p := o()), [s.ExponentialLR(p, 0.9)], [3]),
    lambda s, o: s.SequentialLR((p := o()), [s.ExponentialLR(o(), 0.9), s.ExponentialLR(p, 0.9)], [3]),
    lambda s, o: s.SequentialLR((p := o()), [s.ReduceLROnPlateau(p), s.ExponentialLR(p, 0.9)], [3]),
    lambda s, o: s.SequentialLR((p := o()), [None, s.ExponentialLR(p, 0.9)], [3]),
    lambda s, o: s.ChainedScheduler([]),
    lambda s, o: s.ChainedScheduler([s.ExponentialLR(o(), 0.9), s.ExponentialLR(o(), 0.9)]),
    lambda s, o: s.ChainedScheduler([s.ReduceLROnPlateau(o())]),
]


@pytest.mark.parametrize("make", ERRORS)
def test_errors(make):
    """The same exception types, and texts that begin as PyTorch's do."""
    caught = []
    for library in LIBRARIES:
        with pytest.raises(Exception) as error:
            make(library.lr_scheduler, lambda kind="SGD", library=library: optimizer(library, kind))
        caught.append(error)
    ours, theirs = caught
    assert ours.type is theirs.type
    assert str(ours.value)[:20] == str(theirs.value)[:20] or not str(theirs.value)


def test_warnings():
    for library in LIBRARIES:
        schedules = library.lr_scheduler
        opt = optimizer(library)
        scheduler = schedules.StepLR(opt, 2)
        with pytest.warns(UserWarning, match=r"Detected call of `lr_scheduler.step\(\)` before"):
            scheduler.step()
        scheduler.step()  # said once
        scheduler = schedules.StepLR(opt, 2)
        opt.step = lambda: None
        with pytest.warns(UserWarning, match="has been overridden after"):
            scheduler.step()
        with pytest.warns(UserWarning, match="The epoch parameter in"):
            schedules.ReduceLROnPlateau(opt).step(1.0, epoch=2)
        opt = optimizer(library)
        scheduler = schedules.StepLR(opt, 2)
        opt.step()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            scheduler.step()


def test_pickle_and_copy():
    opt = optimizer(optim)
    scheduler = optim.lr_scheduler.OneCycleLR(opt, 1.0, total_steps=9)
    opt.step()
    scheduler.step()
    assert type(scheduler).__module__ == "flambeau.optim.lr_scheduler"
    for other in (pickle.loads(pickle.dumps(scheduler)), copy.deepcopy(scheduler)):
        assert other.optimizer is not opt
        assert other.state_dict() == scheduler.state_dict()
        other.step()
        assert other.optimizer.param_groups[0]["lr"] == other.get_last_lr()[0] != scheduler.get_last_lr()[0]


def test_an_optimizer_is_not_kept_alive():
    import weakref

    opt = optimizer(optim)
    optim.lr_scheduler.StepLR(opt, 2)
    watch = weakref.ref(opt)
    del opt
    assert watch() is None

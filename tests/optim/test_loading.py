"""`load_state_dict` of optimizers, schedules and scalers takes over all or nothing, and says what is wrong."""

from __future__ import annotations

import copy

import pytest
import torch

import flambeau as fb
from support.values import array, same

OPTIMIZERS = {
    "Adam": {"amsgrad": True}, "AdamW": {}, "SGD": {"momentum": 0.9}, "RMSprop": {"momentum": 0.9, "centered": True},
    "Adagrad": {}, "Adadelta": {}, "Adamax": {}, "NAdam": {}, "RAdam": {}, "ASGD": {}, "Rprop": {},
}  # fmt: skip


def made(t, name: str, steps: int, count: int = 2, **options):
    params = [t.nn.Parameter(t.full((2, 3), i + 1.0, dtype=t.float64)) for i in range(count)]
    optimizer = getattr(t.optim, name)(params, lr=0.1, **(options or OPTIMIZERS[name]))
    step(t, optimizer, params, steps)
    return optimizer, params


def step(t, optimizer, params, steps: int = 1) -> None:
    for _ in range(steps):
        for param in params:
            param.grad = t.full((2, 3), 0.5, dtype=t.float64)
        optimizer.step()


def seen(value):
    """Plain data, with tensors as lists."""
    if isinstance(value, (torch.Tensor, fb.Tensor)):
        return str(value.dtype), array(value).tolist()
    if isinstance(value, dict):
        return {key: seen(one) for key, one in value.items()}
    return [seen(one) for one in value] if isinstance(value, (list, tuple)) else value


def put(*path):
    *path, value = path

    def change(t, state):
        for key in path[:-1]:
            state = state[key]
        state[path[-1]] = value(t) if callable(value) else value

    return change


def drop(*path):
    def change(t, state):
        for key in path[:-1]:
            state = state[key]
        del state[path[-1]]

    return change


ACCEPTED = {
    "as it is": lambda t, state: None,
    "another rate": put("param_groups", 0, "lr", 0.5),
    "a rate that is a tensor": put("param_groups", 0, "lr", lambda t: t.tensor(0.5)),
    "an option of its own": put("param_groups", 0, "note", 3),
    "something beside": put("note", 3),
    "no state": put("state", {}),
    "state of one": drop("state", 1),
    "state of a stranger": put("state", 9, {"a": 1}),
    "state by name": put("state", "x", lambda t: {"a": t.ones(2)}),
    "more in a state": put("state", 0, "note", lambda t: t.ones(7)),
    "no later options": drop("param_groups", 0, "maximize"),
}


def floats(t, state) -> None:
    """Moments in another dtype, counts as numbers."""
    for own in state["state"].values():
        for key, value in own.items():
            own[key] = value.item() if value.ndim == 0 else value.float()


@pytest.mark.parametrize("change", [*ACCEPTED, "floats"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_is_accepted_gives_the_same(name, change):
    results = []
    for t in (torch, fb):
        state = copy.deepcopy(made(t, name, 3)[0].state_dict())
        (floats if change == "floats" else ACCEPTED[change])(t, state)
        if change == "no state" and name == "Adagrad":
            return  # its state is made by the constructor alone
        optimizer, params = made(t, name, 1)
        optimizer.load_state_dict(state)
        step(t, optimizer, params)
        results.append([array(p) for p in params])
        results[-1] += [array(v) for p in params for v in optimizer.state[p].values() if isinstance(v, t.Tensor)]
    assert len(results[0]) == len(results[1])
    for theirs, ours in zip(*results, strict=True):
        assert ours.dtype == theirs.dtype and ours == pytest.approx(theirs, rel=1e-6)


REFUSED = {
    "nothing": (lambda t, state: state.clear(), KeyError, "'param_groups'"),
    "no state": (drop("state"), KeyError, "'state'"),
    "no group": (put("param_groups", []), ValueError, "loaded state dict has a different number of parameter groups"),
    "more groups": (
        lambda t, state: state["param_groups"].append(state["param_groups"][0]),
        ValueError, "loaded state dict has a different number of parameter groups",
    ),
    "more parameters": (
        lambda t, state: state["param_groups"][0]["params"].append(5),
        ValueError, "loaded state dict contains a parameter group that doesn't match the size of optimizer's group",
    ),
    "groups that are none": (put("param_groups", None), TypeError, "object of type 'NoneType' has no len()"),
    "a group that is none": (put("param_groups", 0, None), TypeError, "'NoneType' object is not subscriptable"),
    "no parameters": (drop("param_groups", 0, "params"), KeyError, "'params'"),
    "a state that is none": (put("state", None), AttributeError, "'NoneType' object has no attribute 'items'"),
    "a number that is a list": (put("param_groups", 0, "params", 0, []), TypeError, "unhashable type: 'list'"),
}  # fmt: skip


@pytest.mark.parametrize("change", REFUSED)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_torch_refuses_too(name, change):
    change, kind, text = REFUSED[change]
    for t in (torch, fb):
        state = copy.deepcopy(made(t, name, 3)[0].state_dict())
        change(t, state)
        optimizer, _ = made(t, name, 1)
        before = seen(optimizer.state_dict())
        with pytest.raises(kind) as caught:
            optimizer.load_state_dict(state)
        assert text in str(caught.value)
        assert seen(optimizer.state_dict()) == before


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_that_would_fail_or_lie_at_the_next_step(name):
    optimizer, _ = made(fb, name, 3)
    whole = optimizer.state_dict()
    fresh, others = made(fb, name, 1)
    before = seen(fresh.state_dict())
    changes = [(put("param_groups", 0, option, None), TypeError) for option in type(fresh).scalars]
    changes += [(drop("param_groups", 0, option), KeyError) for option in type(fresh).scalars if option != "momentum"]
    changes += [(put("state", 1, value), TypeError) for value in (5, None, [fb.ones(2, 3)])]
    for key, value in whole["state"][1].items():
        shape = (2, 3) if value.ndim == 0 else (2, 3, 1)
        changes += [(put("state", 1, key, fb.ones(shape)), ValueError), (put("state", 1, key, "a"), TypeError)]
        if name != "SGD":
            changes += [(put("state", 1, key, None), TypeError), (drop("state", 1, key), KeyError)]
    for change, kind in changes:
        state = copy.deepcopy(whole)
        change(fb, state)
        with pytest.raises(kind):
            fresh.load_state_dict(state)
        assert seen(fresh.state_dict()) == before
    fresh.load_state_dict(whole)
    step(fb, fresh, others)


def option_changes(optimizer):
    """What options can't be: they would fail at the next step, in the middle of it."""
    defaults = optimizer.defaults
    several = [fb.ones(2, 3), fb.ones(0), fb.ones(2).to_sparse(), array(fb.ones(2)), 1j]
    for option in type(optimizer).scalars:
        yield from ((put("param_groups", 0, option, value), TypeError) for value in [*several, {}, ()])
        if isinstance(defaults[option], tuple):
            pair = tuple(0.5 for _ in defaults[option])
            wrong = [0.5, (*pair, 0.5), pair[:-1], (*pair[:-1], fb.ones(3)), (*pair[:-1], "a")]
            yield from ((put("param_groups", 0, option, value), TypeError) for value in wrong)
        else:
            yield put("param_groups", 0, option, 10**400), OverflowError
    for option, default in defaults.items():
        if isinstance(default, bool) or option in ("foreach", "fused"):
            yield put("param_groups", 0, option, fb.ones(2)), TypeError


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_options_that_would_fail_at_the_next_step(name):
    optimizer, params = made(fb, name, 1)
    whole = optimizer.state_dict()
    before, values = seen(whole), [array(p).copy() for p in params]
    for change, kind in option_changes(optimizer):
        state = copy.deepcopy(whole)
        change(fb, state)
        with pytest.raises(kind, match="the option '"):
            optimizer.load_state_dict(state)
        assert seen(optimizer.state_dict()) == before
    group, option = optimizer.param_groups[0], type(optimizer).scalars[0]
    good, group[option] = group[option], fb.ones(3)
    with pytest.raises(TypeError, match=f"the option '{option}' should be"):
        step(fb, optimizer, params)
    group[option] = good
    assert all((array(p) == value).all() for p, value in zip(params, values, strict=True))
    step(fb, optimizer, params)


def test_the_form_of_a_state_dict():
    optimizer, _ = made(fb, "Adam", 1)
    before = seen(optimizer.state_dict())
    good = {"lr": 1.0, "params": [0, 1]}
    for state, kind, text in (
        (5, AttributeError, "has no attribute 'copy': the state dict should be a dict"),
        (None, AttributeError, "has no attribute 'copy'"),
        ({"param_groups": [{"lr": 1.0}], "state": {}}, KeyError, "'params' is not in group 0"),
        ({"param_groups": [{**good, "params": "ab"}], "state": {}}, TypeError, "the loaded 'params' of group 0"),
        ({"param_groups": 5, "state": {}}, TypeError, "object of type 'int' has no len.*: the loaded 'param_groups'"),
        ({"param_groups": fb.ones(1), "state": {}}, TypeError, "the loaded 'param_groups' should be a list"),
        ({"param_groups": [fb.ones(1)], "state": {}}, TypeError, "the loaded group 0 should be a dict"),
        ({"param_groups": [good], "state": {0: {}}}, KeyError, "'betas' is not in group 0"),
    ):
        with pytest.raises(kind, match=text):
            optimizer.load_state_dict(state)
        assert seen(optimizer.state_dict()) == before


def minimized(t, steps: int):
    params = [t.nn.Parameter(t.full((2, 3), i + 1.0, dtype=t.float64)) for i in range(2)]
    optimizer = t.optim.LBFGS(params, max_iter=3, history_size=4)

    def closure():
        optimizer.zero_grad()
        loss = sum(((p - 0.3) ** 4).sum() for p in params)
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
    return optimizer, params, closure


def test_the_memory_of_lbfgs():
    whole = minimized(fb, 2)[0].state_dict()
    optimizer, params, closure = minimized(fb, 1)
    before = seen(optimizer.state_dict())
    own, options = ("state", 0), ("param_groups", 0)
    changes = [
        *((put(*own, name, fb.ones(5)), ValueError) for name in ("d", "prev_flat_grad", "t", "H_diag", "prev_loss")),
        *((put(*own, name, "a"), TypeError) for name in ("d", "prev_flat_grad", "t", "ro", "old_dirs", "al", "n_iter")),
        *((put(*own, name, 0, fb.ones(5)), ValueError) for name in ("old_dirs", "old_stps", "ro")),
        *((drop(*own, name, 0), TypeError) for name in ("old_dirs", "old_stps", "al")),
        *((drop(*own, name), KeyError) for name in ("d", "t", "ro", "H_diag", "func_evals")),
        *((drop(*options, name), KeyError) for name in ("lr", "max_iter", "tolerance_change", "history_size")),
        *((put(*options, name, 1.5), TypeError) for name in ("max_iter", "max_eval", "history_size")),
        (put(*options, "line_search_fn", "a"), RuntimeError), (put(*own, 5), TypeError),
    ]  # fmt: skip
    for change, kind in changes:
        state = copy.deepcopy(whole)
        change(fb, state)
        with pytest.raises(kind):
            optimizer.load_state_dict(state)
        assert seen(optimizer.state_dict()) == before
    results = []
    for t in (torch, fb):
        optimizer, params, closure = minimized(t, 1)
        optimizer.load_state_dict(copy.deepcopy(minimized(t, 2)[0].state_dict()))
        optimizer.step(closure)
        results.append([array(p) for p in params])
    assert results[1][0] == pytest.approx(results[0][0], rel=1e-9)


def rows(t, steps: int):
    param = t.nn.Parameter(t.ones(2, 3, dtype=t.float64))
    optimizer = t.optim.SparseAdam([param], lr=0.1)
    for _ in range(steps):
        param.grad = t.full((2, 3), 0.5, dtype=t.float64).to_sparse()
        optimizer.step()
    return optimizer


def test_the_state_of_sparse_adam():
    whole, optimizer = rows(fb, 2).state_dict(), rows(fb, 1)
    before = seen(optimizer.state_dict())
    own, group = ("state", 0), ("param_groups", 0)
    for change, kind in [
        *((put(*own, name, fb.ones(3, 2)), ValueError) for name in ("step", "exp_avg", "exp_avg_sq")),
        *((put(*own, name, "a"), TypeError) for name in ("step", "exp_avg", "exp_avg_sq")),
        *((put(*own, name, fb.ones(2, 3).to_sparse()), TypeError) for name in ("exp_avg", "exp_avg_sq")),
        *((drop(*own, name), KeyError) for name in ("step", "exp_avg", "exp_avg_sq")),
        *((put(*group, name, None), TypeError) for name in ("lr", "betas", "eps")),
        *((drop(*group, name), KeyError) for name in ("lr", "betas", "eps")), (put(*own, 5), TypeError),
    ]:  # fmt: skip
        state = copy.deepcopy(whole)
        change(fb, state)
        with pytest.raises(kind):
            optimizer.load_state_dict(state)
        assert seen(optimizer.state_dict()) == before
    optimizer.load_state_dict(whole)
    assert seen(optimizer.state_dict()) == seen(rows(fb, 2).state_dict())


def test_the_state_of_another_optimizer_or_model():
    with pytest.raises(KeyError, match=r"'betas' is not in group 0 .* which Adam needs"):
        made(fb, "Adam", 1)[0].load_state_dict(made(fb, "SGD", 1)[0].state_dict())
    model, larger = fb.nn.Linear(2, 3), fb.nn.Linear(3, 3)
    optimizers = [fb.optim.Adam(m.parameters()) for m in (model, larger)]
    larger(fb.ones(1, 3)).sum().backward()
    optimizers[1].step()
    with pytest.raises(ValueError, match=r"'exp_avg' of parameter 0 of group 0 has the shape \[3, 3\].*\[3, 2\]"):
        optimizers[0].load_state_dict(optimizers[1].state_dict())
    assert not optimizers[0].state


def test_state_that_is_missing_at_a_step():
    optimizer, params = made(fb, "Adam", 1)
    del optimizer.state[params[0]]["exp_avg"]
    values = [array(p).copy() for p in params]
    with pytest.raises(KeyError, match="'exp_avg' is not in the state"):
        step(fb, optimizer, params)
    assert all((array(p) == value).all() for p, value in zip(params, values, strict=True))
    optimizer, params = made(fb, "Adam", 1)
    optimizer.param_groups[0]["lr"] = None
    with pytest.raises(TypeError, match="'lr' should be a number"):
        step(fb, optimizer, params)


def test_a_class_of_the_users_own_is_restored_when_it_fails():
    class Own(fb.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 1.0})

        def __setstate__(self, state):
            super().__setstate__(state)
            if len(self.state) > 1:
                raise RuntimeError("not mine")

    optimizer = Own([fb.nn.Parameter(fb.ones(2))])
    groups = optimizer.param_groups
    with pytest.raises(RuntimeError, match="not mine"):
        optimizer.load_state_dict({"state": {0: {"a": 1}, 1: {"a": 1}}, "param_groups": [{"lr": 2.0, "params": [0]}]})
    assert optimizer.param_groups is groups and groups[0]["lr"] == 1.0 and not optimizer.state


def test_hooks():
    for t in (torch, fb):
        source, (target, _) = made(t, "Adam", 3)[0], made(t, "Adam", 1)
        calls: list = []
        target.register_load_state_dict_pre_hook(lambda o, s, c=calls: c.append("one"))
        target.register_load_state_dict_pre_hook(lambda o, s: {**s, "state": {}}, prepend=True)
        target.register_load_state_dict_post_hook(lambda o, c=calls: c.append(len(o.state)))
        target.load_state_dict(source.state_dict())
        assert calls == ["one", 0]


# --- schedules and scalers --------------------------------------------------------------------------------------------


class Factor:
    def __init__(self, value):
        self.value = value

    def __call__(self, epoch):
        return self.value**epoch


SCHEDULES = {
    "StepLR": lambda s, o: s.StepLR(o, 2),
    "LambdaLR": lambda s, o: s.LambdaLR(o, Factor(0.9)),
    "MultiplicativeLR": lambda s, o: s.MultiplicativeLR(o, lambda e: 0.9),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, 7),
    "MultiStepLR": lambda s, o: s.MultiStepLR(o, [2, 3]),
    "OneCycleLR": lambda s, o: s.OneCycleLR(o, 0.2, total_steps=20),
    "CyclicLR": lambda s, o: s.CyclicLR(o, 0.1, 0.2, 3, scale_fn=Factor(0.9), cycle_momentum=False),
    "ReduceLROnPlateau": lambda s, o: s.ReduceLROnPlateau(o, patience=1),
    "SequentialLR": lambda s, o: s.SequentialLR(o, [s.ConstantLR(o), s.LambdaLR(o, Factor(0.8))], [2]),
    "ChainedScheduler": lambda s, o: s.ChainedScheduler([s.StepLR(o, 2), s.ExponentialLR(o, 0.9)]),
}


def scheduled(t, name: str, steps: int):
    optimizer = t.optim.SGD([t.nn.Parameter(t.ones(2))], lr=0.1, momentum=0.9)
    schedule = SCHEDULES[name](t.optim.lr_scheduler, optimizer)
    for _ in range(steps):
        optimizer.step()
        schedule.step(*([1.0] if name == "ReduceLROnPlateau" else []))
    return optimizer, schedule


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_go_on(name):
    rates = []
    for t in (torch, fb):
        optimizer, schedule = scheduled(t, name, 3)
        fresh, again = scheduled(t, name, 1)
        again.load_state_dict(copy.deepcopy(schedule.state_dict()))
        fresh.load_state_dict(optimizer.state_dict())
        rates.append([])
        for _ in range(3):
            fresh.step()
            again.step(*([1.0] if name == "ReduceLROnPlateau" else []))
            rates[-1].append(fresh.param_groups[0]["lr"])
    assert rates[1] == pytest.approx(rates[0], rel=1e-12)


BROKEN = [
    ("LambdaLR", lambda s: s.pop("lr_lambdas"), KeyError, "lr_lambdas"),
    ("LambdaLR", lambda s: s["lr_lambdas"].append({"value": 1}), IndexError, "list index out of range"),
    ("LambdaLR", lambda s: s["lr_lambdas"].__setitem__(0, 5), TypeError, "'int' object is not iterable"),
    ("CyclicLR", lambda s: s.clear(), KeyError, "_scale_fn_custom"),
    ("SequentialLR", lambda s: s.pop("_schedulers"), KeyError, "_schedulers"),
    ("SequentialLR", lambda s: s["_schedulers"].append({}), IndexError, "list index out of range"),
    ("SequentialLR", lambda s: s["_schedulers"][1].pop("lr_lambdas"), KeyError, "lr_lambdas"),
    (
        "ChainedScheduler",
        lambda s: s["_schedulers"].__setitem__(1, None),
        TypeError,
        "'NoneType' object is not iterable",
    ),
]


@pytest.mark.parametrize("number", range(len(BROKEN)))
def test_broken_states_of_schedules(number):
    name, change, kind, text = BROKEN[number]
    for t in (torch, fb):
        state = copy.deepcopy(scheduled(t, name, 3)[1].state_dict())
        change(state)
        _, schedule = scheduled(t, name, 1)
        before = copy.deepcopy(schedule.state_dict())
        with pytest.raises(kind) as caught:
            schedule.load_state_dict(state)
        assert text in str(caught.value)
        if t is fb:
            assert repr(schedule.state_dict()) == repr(before)


@pytest.mark.parametrize("name", SCHEDULES)
def test_pieces_that_would_fail_at_the_next_step(name):
    _, schedule = scheduled(fb, name, 1)
    before = repr(schedule.state_dict())
    for piece in ({"optimizer": None}, {"step": 5}, {"last_epoch": "x"}, {"base_lrs": None}, {"_last_lr": ["a"]}):
        if next(iter(piece)) not in {*vars(schedule), "step"}:
            continue
        with pytest.raises(TypeError, match=next(iter(piece))):
            schedule.load_state_dict({**schedule.state_dict(), **piece})
        assert repr(schedule.state_dict()) == before


@pytest.mark.parametrize(
    ("name", "change", "kind"),
    [
        *(("StepLR", put("gamma", value), TypeError) for value in (lambda t: t.ones(2), 1j, None, lambda t: t.ones(0))),
        *(("CosineAnnealingLR", put("base_lrs", [value]), TypeError) for value in (None, lambda t: t.ones(2))),
        ("OneCycleLR", put("_schedule_phases", 0, "start_lr", "a"), KeyError),
        ("OneCycleLR", put("_schedule_phases", 1, "end_step", None), TypeError),
        ("OneCycleLR", drop("_schedule_phases", 1), IndexError),
        ("OneCycleLR", drop("_schedule_phases", 1, "end_lr"), TypeError),
        ("CyclicLR", put("cycle_momentum", True), KeyError),
        ("CyclicLR", put("max_lrs", [0.1, 0.2]), ValueError),
        ("ReduceLROnPlateau", put("mode", None), TypeError),
        ("SequentialLR", put("_schedulers", 1, "base_lrs", []), ValueError),
    ],
)
def test_more_that_would_fail_at_the_next_step(name, change, kind):
    _, schedule = scheduled(fb, name, 1)
    before = repr(schedule.state_dict())
    state = copy.deepcopy(scheduled(fb, name, 3)[1].state_dict())
    change(fb, state)
    if isinstance(state.get("base_lrs"), list) and callable(state["base_lrs"][0]):
        state["base_lrs"] = [state["base_lrs"][0](fb)]
    with pytest.raises(kind):
        schedule.load_state_dict(state)
    assert repr(schedule.state_dict()) == before


def test_pieces_that_may_change():
    """Other milestones, a bound for each group or one for all, a rate in a tensor of one dimension, a user's attribute."""
    for t in (torch, fb):
        s = t.optim.lr_scheduler
        optimizer, schedule = scheduled(t, "MultiStepLR", 1)
        schedule.load_state_dict({**s.MultiStepLR(optimizer, [4, 5]).state_dict(), "gamma": t.full((1,), 0.5)})
        assert dict(schedule.milestones) == {4: 1, 5: 1} and schedule.gamma.item() == 0.5
        for _ in range(5):
            schedule.step()
        assert float(optimizer.param_groups[0]["lr"]) == pytest.approx(0.025)
        schedule = s.ReduceLROnPlateau(optimizer, min_lr=0.1)
        schedule.load_state_dict(s.ReduceLROnPlateau(optimizer, min_lr=[0.1]).state_dict())
        assert schedule.default_min_lr is None

        class Own(s.StepLR):
            best = 3.0

            def __init__(self, optimizer):
                self.mark = 1.0
                super().__init__(optimizer, 2)

        schedule = Own(optimizer)
        schedule.load_state_dict({**schedule.state_dict(), "mark": None})
        assert schedule.mark is None


def test_a_users_schedule_that_refuses():
    class Picky(fb.optim.lr_scheduler.StepLR):
        def load_state_dict(self, state_dict):
            super().load_state_dict(state_dict)
            raise RuntimeError("not mine")

    def made(steps):
        optimizer = fb.optim.SGD([fb.nn.Parameter(fb.ones(2))], lr=0.1)
        s = fb.optim.lr_scheduler
        schedule = s.ChainedScheduler([s.ExponentialLR(optimizer, 0.9), Picky(optimizer, 2)])
        for _ in range(steps):
            optimizer.step()
            schedule.step()
        return schedule

    schedule, state = made(1), made(3).state_dict()
    before = repr(schedule.state_dict())
    with pytest.raises(RuntimeError, match="not mine"):
        schedule.load_state_dict(state)
    assert repr(schedule.state_dict()) == before


def test_scalers():
    good = fb.amp.GradScaler("cpu", init_scale=8.0).state_dict()
    for name in good:
        scaler = fb.amp.GradScaler("cpu", init_scale=2.0)
        before = scaler.state_dict()
        with pytest.raises(KeyError, match=name):
            scaler.load_state_dict({k: v for k, v in good.items() if k != name})
        with pytest.raises((ValueError, TypeError)):
            scaler.load_state_dict({**good, name: "a"})
        assert scaler.state_dict() == before
    scaler.load_state_dict(good)
    assert scaler.state_dict() == good
    assert scaler._get_growth_tracker() == torch.amp.GradScaler("cpu")._get_growth_tracker() == 0


def test_swapped_in():
    """Other parameters and state for a while, with torch's results and refusals."""
    found = []
    for lib in (fb, torch):
        lib.manual_seed(0)
        model = lib.nn.Linear(2, 2).double()
        optimizer = lib.optim.Adam(model.parameters(), lr=0.1)
        swap = lib.optim.swap_in_optimizer_params_and_state
        texts = []

        def use(parameters, state, swap=swap, optimizer=optimizer, texts=texts):
            try:
                with swap(optimizer, parameters, state):
                    optimizer.step()
            except RuntimeError as error:
                texts.append(str(error))

        others = {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters()}
        use(others, optimizer.state_dict())
        model(lib.ones(1, 2, dtype=lib.float64)).sum().backward()
        optimizer.step()
        state = copy.deepcopy(optimizer.state_dict())
        state["param_groups"][0]["lr"] = 0.5
        for p in others.values():
            p.grad = lib.ones_like(p)
        use(others, state)
        use({"weight": others["weight"]}, state)
        use(others, {**state, "param_groups": []})
        use(others, {"param_groups": state["param_groups"]})
        assert optimizer.param_groups[0]["lr"] == 0.1 and optimizer.param_groups[0]["params"][0] is model.weight
        found.append([*others.values(), *model.parameters(), *state["state"][0].values(), texts])
    *ours, our_texts = found[0]
    *theirs, their_texts = found[1]
    assert our_texts == their_texts and len(our_texts) == 4
    for a, b in zip(ours, theirs, strict=True):
        same(a, b)


def test_equal_counts_of_steps_are_one_array_again() -> None:
    """As they are when they begin, so that a resumed run has the same programs."""
    params = [fb.nn.Parameter(fb.ones(n)) for n in (2, 3, 4)]
    first = fb.optim.Adam(params)
    for _ in range(2):
        fb.stack([p.sum() for p in params]).sum().backward()
        first.step()
    other = fb.nn.Parameter(fb.ones(5))
    first.add_param_group({"params": [other]})
    other.grad = fb.ones(5)
    first.step()
    second = fb.optim.Adam([{"params": params}, {"params": [other]}])
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    arrays = [second.state[p]["step"]._array for p in (*params, other)]
    assert arrays[0] is arrays[1] is arrays[2] is not arrays[3]
    assert [float(second.state[p]["step"]) for p in (*params, other)] == [3, 3, 3, 1]
    second.state[params[1]]["step"] += 1
    assert [float(second.state[p]["step"]) for p in params] == [3, 4, 3]

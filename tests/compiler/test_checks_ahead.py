"""Checks of indices that a program is given are made before it runs: torch's errors in torch's order, and nothing has changed."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

import flambeau as fb
import flambeau.library
from flambeau import native
from flambeau.native import reading
from support.process import run_code

pytestmark = pytest.mark.skipif(not native.available(), reason=f"no native kernels: {native.why_not()}")


def raised(call):
    try:
        call()
    except Exception as error:
        return error
    return None


def plan_of(compiled):
    """That of the last program."""
    return [*compiled.programs.values()][-1][-1].plan


def nll(t, f, options=None):
    return lambda x, y: t.nn.functional.nll_loss(x, f(t, y), **(options or {}))


# How the indices come from what is given: values of the right number of elements, and the way
WAYS = {
    "itself": ((8,), "int64", lambda t, y: y),
    "view": ((4, 2), "int64", lambda t, y: y.view(-1)),
    "reshape": ((4, 2), "int64", lambda t, y: y.reshape(8)),
    "flatten": ((2, 2, 2), "int64", lambda t, y: y.flatten()),
    "squeeze": ((8, 1), "int64", lambda t, y: y.squeeze(1)),
    "transposed": ((4, 2), "int64", lambda t, y: y.t().reshape(-1)),
    "a column": ((8, 1), "int64", lambda t, y: y[:, 0]),
    "all but the first": ((2, 5), "int64", lambda t, y: y[:, 1:].reshape(-1)),
    "every other": ((16,), "int64", lambda t, y: y[::2]),
    "expanded": ((1,), "int64", lambda t, y: y.expand(8)),
    "copied": ((8,), "int64", lambda t, y: y.detach().clone().contiguous()),
    "int32": ((8,), "int32", lambda t, y: y.long()),
    "int16": ((4, 2), "int16", lambda t, y: y.reshape(-1).to(t.int64)),
    "int8": ((8,), "int8", lambda t, y: y.long()),
    "uint8": ((8,), "uint8", lambda t, y: y.long()),
}


@pytest.mark.parametrize(("shape", "dtype", "way"), WAYS.values(), ids=WAYS)
def test_what_is_given_is_looked_at_ahead(shape, dtype, way):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 10))
    compiled = fb.compile(nll(fb, way), fullgraph=True)

    def in_all(values):
        made = [
            (t.tensor(x.tolist(), dtype=t.float64), t.tensor(values.tolist(), dtype=getattr(t, dtype)))
            for t in (torch, fb)
        ]
        return made[0], made[1]

    good = rng.integers(0, 10, shape)
    theirs, ours = in_all(good)
    for _ in range(2):
        np.testing.assert_allclose(compiled(*ours).item(), nll(torch, way)(*theirs).item(), rtol=1e-12)
    assert len(plan_of(compiled).ahead) == 1 and plan_of(compiled).word is None
    for places in ([-1], [0], [-2, -1], [good.size // 2, 0]):
        bad = good.copy()
        for place, number in zip(places, (17, 99), strict=False):
            bad.reshape(-1)[place % bad.size] = number
        theirs, ours = in_all(bad)
        expected = raised(lambda: nll(torch, way)(*theirs))  # noqa: B023
        eager, found = raised(lambda: nll(fb, way)(*ours)), raised(lambda: compiled(*ours))  # noqa: B023
        assert type(found) is type(expected) is type(eager) and str(found) == str(eager)
        if expected is not None:
            assert str(expected) in str(found)
        else:  # what is bad is not among the indices
            assert compiled(*ours).item() == pytest.approx(nll(torch, way)(*theirs).item(), rel=1e-12)


@pytest.mark.parametrize("ignored", [-100, 3, 255, -1])
@pytest.mark.parametrize("bad", [-100, -1, 3, 4, 255])
def test_ignore_index(ignored, bad):
    options = {"ignore_index": ignored, "reduction": "sum"}
    compiled = fb.compile(nll(fb, lambda t, y: y, options), fullgraph=True)
    seen = []
    for t, call in ((torch, nll(torch, lambda t, y: y, options)), (fb, compiled)):
        y = t.tensor([0, bad, 1, 2])
        error = raised(lambda: call(t.arange(16.0).reshape(4, 4), y))  # noqa: B023
        seen.append(
            call(t.arange(16.0).reshape(4, 4), y).item() if error is None else (type(error), str(error).split(".")[0])
        )
    assert seen[0] == seen[1]


LOOKS = {
    "gather": (lambda t, x, i: x.gather(0, i), False),
    "x[i]": (lambda t, x, i: x[i], True),
    "take": (lambda t, x, i: x.take(i), True),
    "index_select": (lambda t, x, i: x.index_select(0, i), False),
    "embedding": (lambda t, x, i: t.nn.functional.embedding(i, x[:, None]), False),
    "scatter": (lambda t, x, i: x.scatter(0, i, 1.0), False),
    "index_put": (lambda t, x, i: x.index_put((i,), x[:2]), True),
}


@pytest.mark.parametrize(("f", "negative"), LOOKS.values(), ids=LOOKS)
def test_limits_are_the_operators(f, negative):
    compiled = fb.compile(lambda x, i: f(fb, x, i), fullgraph=True)
    for number in (-4, -3, -1, 0, 2, 3):
        expected = raised(lambda: f(torch, torch.arange(3.0), torch.tensor([0, number])))  # noqa: B023
        found = raised(lambda: compiled(fb.arange(3.0), fb.tensor([0, number])))  # noqa: B023
        assert type(found) is type(expected)
        assert (expected is None) is (number < 3 and number >= (-3 if negative else 0))
    assert plan_of(compiled).ahead and plan_of(compiled).word is None


def test_what_is_computed_is_looked_at_in_the_program():
    compiled = fb.compile(lambda x, i: x[i + 1], fullgraph=True)
    assert compiled(fb.arange(3.0), fb.tensor([0, 1])).tolist() == [1, 2]
    assert not plan_of(compiled).ahead and plan_of(compiled).word is not None
    with pytest.raises(IndexError, match="index 3 is out of bounds"):
        compiled(fb.arange(3.0), fb.tensor([0, 2]))


def test_an_earlier_check_in_the_program_is_not_overtaken():
    def f(x, i, k):
        return x.gather(0, (12 // (k + 1))), x.gather(0, i)

    x, good, bad = fb.arange(5.0), fb.tensor([0, 4]), fb.tensor([0, 7])
    compiled = fb.compile(f, fullgraph=True)
    for i, k in ((good, good), (good, fb.tensor([2, -1])), (bad, fb.tensor([2, -1])), (bad, good)):
        eager, found = raised(lambda: f(x, i, k)), raised(lambda: compiled(x, i, k))  # noqa: B023
        assert type(found) is type(eager) and str(found) == str(eager)
    assert not plan_of(compiled).ahead


def test_the_first_of_those_ahead_and_then_those_in_the_program():
    def f(x, i, j, k):
        noise = fb.rand(1)
        first = x.gather(0, i)
        more = fb.rand(2)
        return first, x[j], noise, more, 12 // (k * 1), fb.rand(3)

    x, ok, beyond, below = fb.arange(5.0), fb.tensor([1, 4]), fb.tensor([7, 1]), fb.tensor([1, -9])
    zero = fb.tensor([2, 0])
    compiled = fb.compile(f, fullgraph=True)
    for i, j, k in (
        (ok, ok, ok), (ok, ok, zero), (ok, below, zero), (beyond, below, zero), (beyond, ok, ok), (ok, below, ok), (ok, ok, ok),
    ):  # fmt: skip
        seen = []
        for call in (f, compiled):
            fb.manual_seed(3)
            error = raised(lambda: call(x, i, j, k))  # noqa: B023
            seen.append((type(error), str(error), fb.get_rng_state().tolist()))
        assert seen[0] == seen[1]
    assert len(plan_of(compiled).ahead) == 2 and plan_of(compiled).word is not None


@pytest.mark.parametrize("width", [3, 200], ids=["packed", "given over"])
@pytest.mark.parametrize("calls", [0, 2])
def test_nothing_has_been_touched(width, calls):
    fb.manual_seed(0)
    net = fb.nn.Sequential(
        fb.nn.Embedding(5, width), fb.nn.Dropout(0.5), fb.nn.Linear(width, width), fb.nn.Linear(width, 4)
    )
    optimizer, seen = fb.optim.AdamW(net.parameters(), lr=0.1), []

    @fb.compile
    def step(x, y):
        optimizer.zero_grad()
        loss = fb.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        seen.append(1)
        return loss

    x, y = fb.tensor([1, 2, 4]), fb.tensor([0, 3, 1])
    for _ in range(calls):
        step(x, y)

    def state():
        tables = [optimizer.state.get(p, {}) for p in net.parameters()]
        values = [
            *net.parameters(),
            *(p.grad for p in net.parameters()),
            *(v for table in tables for v in table.values()),
        ]
        return [None if v is None else v.detach().numpy().copy() for v in values], len(seen)

    before = state()
    for bad in ((fb.tensor([1, 5, 4]), y), (x, fb.tensor([0, -1, 1]))):
        with pytest.raises(
            IndexError, match="index out of range in self" if bad[1] is y else "Target -1 is out of bounds"
        ):
            step(*bad)
        after = state()
        assert after[1] == before[1]
        for one, other in zip(before[0], after[0], strict=True):
            assert (one is None) is (other is None) and (one is None or np.array_equal(one, other))
    assert np.isfinite(step(x, y).item()) and len(seen) == calls + 1


def test_what_an_operator_has_called_back_before_stays_called():
    called = []

    @fb.library.custom_op("ahead::told", mutates_args=())
    def told(x: fb.Tensor) -> fb.Tensor:
        called.append(float(x.numpy().sum()))  # what a trace can't follow
        return x.clone()

    told.register_fake(lambda x: fb.empty_like(x))

    def before(x, i):
        return told(x).gather(0, i)

    def after(x, i):
        return told(x.gather(0, i))

    for f, count in ((before, 1), (after, 0)):
        compiled = fb.compile(f)
        assert compiled(fb.ones(3), fb.tensor([1])).tolist() == [1]
        called.clear()
        for call in (f, compiled):
            with pytest.raises(RuntimeError, match="index 5 is out of bounds"):
                call(fb.ones(3), fb.tensor([5]))
            assert len(called) == count
            called.clear()


def test_state_that_is_an_index():
    buffer, counts, other = fb.tensor([0, 2, 1]), fb.zeros(3, dtype=fb.int64), fb.zeros(3, dtype=fb.int64)

    @fb.compile
    def read(x):
        return x[buffer]

    @fb.compile
    def read_and_written(x):  # the three are packed, but for the one that is looked at
        y = x.gather(0, buffer)
        buffer.add_(1)
        counts.add_(1)
        other.add_(2)
        return y

    x = fb.arange(4.0)
    assert read(x).tolist() == [0, 2, 1] and read_and_written(x).tolist() == [0, 2, 1]
    assert read_and_written(x).tolist() == [1, 3, 2]
    for _ in range(2):
        with pytest.raises(RuntimeError, match="index 4 is out of bounds for dimension 0 with size 4"):
            read_and_written(x)
        with pytest.raises(IndexError, match="index 4 is out of bounds"):
            read(x)
    assert buffer.tolist() == [2, 4, 3] and counts.tolist() == [2, 2, 2] and other.tolist() == [4, 4, 4]
    buffer.copy_(fb.tensor([3, 3, 0]))
    assert read(x).tolist() == [3, 3, 0] and read_and_written(x).tolist() == [3, 3, 0]
    assert len(plan_of(read).ahead) == len(plan_of(read_and_written).ahead) == 1


def test_an_index_that_the_function_has_written_is_looked_at_in_the_program():
    @fb.compile
    def f(x, i):
        i.add_(1)
        return x.gather(0, i)

    i = fb.tensor([0, 1])
    assert f(fb.arange(3.0), i).tolist() == [1, 2]
    with pytest.raises(RuntimeError, match="index 3 is out of bounds"):
        f(fb.arange(3.0), i)


def test_memory_of_numpy_is_looked_at_anew():
    shared = np.array([0, 1, 2])
    y, compiled = fb.from_numpy(shared), fb.compile(lambda x, y: x.gather(0, y))
    assert compiled(fb.arange(3.0), y).tolist() == [0, 1, 2]
    shared[1] = 3
    with pytest.raises(RuntimeError, match="index 3 is out of bounds"):
        compiled(fb.arange(3.0), y)
    shared[1] = 2
    assert compiled(fb.arange(3.0), y).tolist() == [0, 2, 2]


def test_programs_for_several_sizes_look_at_the_rows_that_there_are():
    compiled = fb.compile(lambda w, i: fb.nn.functional.embedding(i, w) * 2, dynamic=True)
    w = fb.arange(6.0).reshape(3, 2)
    for n in (2, 3, 4, 5, 6, 7):
        i = fb.arange(n) % 3
        assert compiled(w, i).equal(w[i] * 2)
        i[-1] = 3
        with pytest.raises(IndexError, match="index out of range in self"):
            compiled(w, i)


def test_what_is_not_at_hand_is_looked_at_all_the_same(monkeypatch):
    monkeypatch.setattr(reading.functions, "looking", lambda looks: lambda *arrays: False)
    compiled = fb.compile(
        lambda x, i, y: (x.gather(0, i[1:]), fb.nn.functional.nll_loss(x[:, None], y)), fullgraph=True
    )
    x, i, y = fb.arange(3.0), fb.tensor([9, 0, 2]), fb.tensor([0, 0, 0])
    assert compiled(x, i, y)[0].tolist() == [0, 2]
    with pytest.raises(RuntimeError, match="index -2 is out of bounds"):
        compiled(x, -i, y)
    with pytest.raises(IndexError, match="Target 1 is out of bounds"):
        compiled(x, i, y + 1)


def test_without_the_library_the_program_looks(monkeypatch):
    monkeypatch.setattr(reading.functions, "looking", None)
    monkeypatch.setattr(reading.functions, "all_inside", reading._nothing)
    compiled = fb.compile(lambda x, i: x.gather(0, i), fullgraph=True)
    assert compiled(fb.arange(3.0), fb.tensor([1])).tolist() == [1]
    assert not plan_of(compiled).ahead and plan_of(compiled).word is not None
    with pytest.raises(RuntimeError, match="index 3 is out of bounds"):
        compiled(fb.arange(3.0), fb.tensor([3]))


def test_an_error_that_the_function_would_catch_runs_uncompiled():
    def f(x, i):
        try:
            return x.gather(0, i)
        except RuntimeError:
            return x[:1] - 1

    compiled = fb.compile(f)
    with pytest.warns(UserWarning, match="would be caught"):
        assert compiled(fb.arange(3.0), fb.tensor([3])).tolist() == [-1]
    assert compiled(fb.arange(3.0), fb.tensor([2])).tolist() == [2]


def test_a_branch_that_is_not_taken_refuses_nothing():
    def f(flag, x, i):
        return fb.cond(flag, lambda x, i: x.gather(0, i), lambda x, i: x[:1] * 2, (x, i))

    compiled = fb.compile(f)
    x = fb.arange(1.0, 4.0)
    with pytest.warns(UserWarning, match="in a control flow operator"):
        assert compiled(fb.tensor(False), x, fb.tensor([5])).tolist() == [2]
    assert compiled(fb.tensor(True), x, fb.tensor([1])).tolist() == [2]


def test_threads():
    compiled = fb.compile(lambda x, i: x.gather(0, i) * 2)
    x, wrong = fb.arange(50.0), []
    compiled(x, fb.tensor([0]))

    def run(number):
        for n in range(200):
            place = number + (100 if n % 3 == 0 else 0)
            error = raised(lambda: wrong.append(place) if compiled(x, fb.tensor([place])).item() != 2 * place else None)  # noqa: B023
            if (error is not None) is not (place >= 50) or (error is not None and f"index {place} " not in str(error)):
                wrong.append((place, error))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def overwritten(y, number):
    y[0] = number


CHANGES = {
    "an element": overwritten,
    "all": lambda y, number: y.fill_(number),
    "in NumPy": lambda y, number: y.numpy().__setitem__(0, number),
    "a view": lambda y, number: y.view(2, 2)[0].mul_(0).add_(number),
    "copy_": lambda y, number: y.copy_(fb.full((4,), number)),
    "set_": lambda y, number: y.set_(fb.full((4,), number)),
    "data": lambda y, number: setattr(y, "data", fb.full((4,), number)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("place", ["argument", "state"])
def test_what_was_seen_and_then_changes_is_looked_at_again(change, place):
    x, y = fb.arange(12.0).reshape(4, 3), fb.tensor([0, 1, 2, 0])
    weight = fb.nn.Parameter(fb.ones(3))

    def step(x, y):
        weight.grad = None
        loss = fb.nn.functional.cross_entropy(x * weight, y)
        loss.backward()
        with fb.no_grad():
            weight.sub_(weight.grad)
        return loss

    compiled = fb.compile(step if place == "argument" else lambda x: step(x, y), fullgraph=True)
    given = (x, y) if place == "argument" else (x,)
    for number in (3, -1, 7):
        for _ in range(3):
            compiled(*given)
        change(y, number)
        before = weight.tolist()
        for _ in range(2):
            with pytest.raises(IndexError, match=f"Target {number} is out of bounds"):
                compiled(*given)
        assert weight.tolist() == before
        change(y, 1)
        compiled(*given)
        assert weight.tolist() != before


def test_what_is_written_through_an_address_is_seen():
    done = run_code(
        """
        import ctypes
        import flambeau as fb

        x, y = fb.arange(3.0), fb.tensor([0, 1, 2])
        compiled = fb.compile(lambda x, i: x.gather(0, i), fullgraph=True)
        for _ in range(3):
            compiled(x, y)
        first = ctypes.c_int64.from_address(y.data_ptr())
        for number in (2, 3, 1, -4):
            first.value = number
            try:
                print(compiled(x, y).tolist(), end=" ")
            except RuntimeError as error:
                print(str(error).split(" is out")[0], end=" ")
        """
    )
    assert done.stdout.strip() == "[2.0, 1.0, 2.0] index 3 [1.0, 1.0, 2.0] index -4"

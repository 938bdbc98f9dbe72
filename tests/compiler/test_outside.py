"""What lies outside of a compiled function's arguments and of the user's objects: settings of the process, files, other threads, the
`__dict__` of an object as a whole, and the library's objects that hold Python's: datasets, distributions, schedules.
"""

from __future__ import annotations

import queue
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as fb

X = fb.arange(1.0, 4.0)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*runs uncompiled")
        warnings.filterwarnings("ignore", message=".*changes nothing here")
        yield


def seen(read: Callable[[], Any], *changes: Callable[[], Any]) -> None:
    """What a compiled function reads is what it is now, after each change."""
    compiled = fb.compile(lambda x: (x + 1, read()))
    found, expected = [compiled(X)[1]], [read()]
    for change in changes:
        change()
        found.append(compiled(X)[1])
        expected.append(read())
    assert [str(value) for value in found] == [str(value) for value in expected]
    assert len({str(value) for value in expected}) > 1, "nothing has changed"


ATTRIBUTES = """
cudnn.allow_tf32 False True | cudnn.benchmark True False | cuda.matmul.allow_tf32 True False | cuda.matmul.fp32_precision tf32 ieee
fp32_precision tf32 ieee none | cudnn.fp32_precision tf32 ieee none | cudnn.conv.fp32_precision ieee tf32 | mkldnn.matmul.fp32_precision bf16 ieee
"""


@pytest.mark.parametrize("text", [part.strip() for part in ATTRIBUTES.replace("\n", "|").split("|") if part.strip()])
def test_switches_of_backends(text: str) -> None:
    path, *values = text.split()
    *homes, name = path.split(".")

    def home() -> Any:
        found: Any = fb.backends
        for part in homes:
            found = getattr(found, part)
        return found

    before = getattr(home(), name)
    try:
        changes = [{"True": True, "False": False}.get(value, value) for value in values]
        seen(lambda: getattr(home(), name), *[lambda value=value: setattr(home(), name, value) for value in changes])
    finally:
        setattr(home(), name, before)


def _switch(enable: Callable[[bool], Any]) -> tuple[Callable[[], Any], ...]:
    return lambda: enable(False), lambda: enable(True)


FUNCTIONS: dict[str, tuple[Callable[[], Any], ...]] = {
    "products": (
        fb.get_float32_matmul_precision,
        lambda: fb.set_float32_matmul_precision("high"),
        lambda: fb.set_float32_matmul_precision("highest"),
    ),
    "autocast's dtype": (
        lambda: fb.get_autocast_dtype("cpu"),
        lambda: fb.set_autocast_dtype("cpu", fb.float16),
        lambda: fb.set_autocast_dtype("cpu", fb.bfloat16),
    ),
    "autocast's cache": (fb.is_autocast_cache_enabled, *_switch(fb.set_autocast_cache_enabled)),
    "attention": (fb.backends.mha.get_fastpath_enabled, *_switch(fb.backends.mha.set_fastpath_enabled)),
    "flash": (fb.backends.cuda.flash_sdp_enabled, *_switch(fb.backends.cuda.enable_flash_sdp)),
    "sparse": (
        fb.sparse.check_sparse_tensor_invariants.is_enabled,
        fb.sparse.check_sparse_tensor_invariants.enable,
        fb.sparse.check_sparse_tensor_invariants.disable,
    ),
    "conversions": (
        fb.__future__.get_overwrite_module_params_on_conversion,
        lambda: fb.__future__.set_overwrite_module_params_on_conversion(True),
        lambda: fb.__future__.set_overwrite_module_params_on_conversion(False),
    ),
    "numpy's errors": (
        lambda: np.geterr()["divide"],
        lambda: np.seterr(divide="raise"),
        lambda: np.seterr(divide="warn"),
    ),
    "numpy's printing": (
        lambda: np.get_printoptions()["precision"],
        lambda: np.set_printoptions(precision=3),
        lambda: np.set_printoptions(precision=8),
    ),
    "the compiler's": (
        lambda: fb._dynamo.config.recompile_limit,
        lambda: setattr(fb._dynamo.config, "recompile_limit", 9),
        lambda: setattr(fb._dynamo.config, "recompile_limit", 8),
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_settings_that_functions_tell(name: str) -> None:
    seen(*FUNCTIONS[name])


def test_autocast_takes_the_dtype_that_is_set_now() -> None:
    layer = fb.nn.Linear(3, 3)

    @fb.compile
    def step(x: Any) -> Any:
        with fb.autocast("cpu"):
            inner = fb.get_autocast_dtype("cpu")
            return layer(x).dtype, inner

    try:
        for dtype in (fb.bfloat16, fb.float16, fb.float16, fb.bfloat16):
            fb.set_autocast_dtype("cpu", dtype)
            assert step(X) == (dtype, dtype)
    finally:
        fb.set_autocast_dtype("cpu", fb.bfloat16)
    assert len(step.programs) == 1
    assert sum(map(len, step.programs.values())) == 2  # one for each dtype, which serves again


def test_settings_that_are_changed_are_changed_at_each_call() -> None:
    matmul = fb.backends.cuda.matmul

    @fb.compile
    def step(x: Any) -> Any:
        matmul.allow_tf32 = True
        return x + 1

    try:
        for _ in range(3):
            matmul.allow_tf32 = False
            step(X)
            assert matmul.allow_tf32
    finally:
        matmul.allow_tf32 = False


READS = {
    "torch.load": (lambda path: fb.load(path), lambda array, path: fb.save(fb.from_numpy(array.copy()), path)),
    "np.load": (lambda path: fb.from_numpy(np.load(path)), lambda array, path: _put(path, lambda f: np.save(f, array))),
    "np.loadtxt": (
        lambda path: fb.from_numpy(np.loadtxt(path, dtype=np.float32)),
        lambda array, path: np.savetxt(path, array),
    ),
    "np.fromfile": (lambda path: fb.from_numpy(np.fromfile(path, np.float32)), lambda array, path: array.tofile(path)),
    "np.memmap": (
        lambda path: fb.from_numpy(np.array(np.memmap(path, np.float32))),
        lambda array, path: array.tofile(path),
    ),
    "from_file": (lambda path: fb.from_file(str(path), size=3), lambda array, path: array.tofile(path)),
}


def _put(path: Path, write: Callable[[Any], Any]) -> None:
    with open(path, "wb") as file:
        write(file)


@pytest.mark.parametrize("name", READS)
def test_files_that_are_read(name: str, tmp_path: Path) -> None:
    read, write = READS[name]
    compiled = fb.compile(lambda x: x * read(tmp_path / "file"))
    for k in range(3):
        write(np.full(3, k, np.float32), tmp_path / "file")
        assert compiled(X).tolist() == (X * k).tolist()


WRITES: dict[str, tuple[Callable[[Any, Path], Any], Callable[[Path], Any]]] = {
    "torch.save": (lambda array, path: fb.save({"n": array.tolist()}, path), lambda path: fb.load(path)["n"]),
    "np.save": (lambda array, path: np.save(path, array), lambda path: np.load(path).tolist()),
    "np.savez": (lambda array, path: np.savez(path, a=array), lambda path: np.load(path)["a"].tolist()),
    "np.savetxt": (lambda array, path: np.savetxt(path, array), lambda path: np.loadtxt(path).tolist()),
    "tofile": (lambda array, path: array.tofile(path), lambda path: np.fromfile(path).tolist()),
}


@pytest.mark.parametrize("name", WRITES)
def test_files_that_are_written(name: str, tmp_path: Path) -> None:
    write, read = WRITES[name]
    path, array = tmp_path / "file.npz", np.zeros(3)
    path = path if name == "np.savez" else path.with_suffix(".npy")

    @fb.compile
    def step(x: Any) -> Any:
        write(array, path)
        return x + 1

    for _ in range(3):
        path.unlink(missing_ok=True)
        array += 1
        step(X)
        assert read(path) == array.tolist()


def test_a_counter_is_saved_as_a_number(tmp_path: Path) -> None:
    state = types.SimpleNamespace(n=0)

    @fb.compile
    def step(x: Any) -> Any:
        state.n += 1
        fb.save({"n": state.n}, tmp_path / "state.pt")
        return x + state.n

    for k in range(4):
        step(X)
        assert fb.load(tmp_path / "state.pt") == {"n": k + 1}


def test_other_threads_are_woken() -> None:
    waiting: queue.Queue[Any] = queue.Queue()
    found = []

    def work() -> None:
        while (value := waiting.get()) is not None:
            found.append(value)
            waiting.task_done()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    state = types.SimpleNamespace(n=0)

    @fb.compile
    def step(x: Any) -> Any:
        state.n += 1
        waiting.put(state.n)
        return x + state.n

    for _ in range(4):
        step(X)
    waiting.put(None)
    thread.join(10)
    assert not thread.is_alive()
    assert found == [1, 2, 3, 4]


def test_whether_a_lock_is_held() -> None:
    lock = threading.Lock()
    seen(lock.locked, lock.acquire, lock.release)


class Thing:
    pass


WHOLE: dict[str, Callable[[Any], Any]] = {
    "len": lambda thing: len(vars(thing)),
    "values": lambda thing: sum(thing.__dict__.values()),
    "in": lambda thing: "z" in vars(thing),
    "item": lambda thing: thing.__dict__.get("k", 0.0),
    "list": lambda thing: list(vars(thing)),
}


@pytest.mark.parametrize("use", WHOLE)
def test_another_dict_of_an_object(use: str) -> None:
    thing = Thing()
    thing.k = 1.0
    seen(
        lambda: WHOLE[use](thing),
        lambda: setattr(thing, "__dict__", {"k": 5.0}),
        lambda: setattr(thing, "__dict__", {"k": 7.0, "z": 1.0}),
        lambda: vars(thing).update(k=0.0),
        lambda: thing.__dict__.clear(),
    )


@pytest.mark.parametrize("use", WHOLE)
def test_each_threads_own_attributes(use: str) -> None:
    local = threading.local()
    local.k = 2.0
    compiled = fb.compile(lambda x: (x + 1, WHOLE[use](local)))
    first, elsewhere = WHOLE[use](local), []
    assert compiled(X)[1] == first

    def work() -> None:
        elsewhere.append((compiled(X)[1], WHOLE[use](local)))
        local.k, local.z = 7.0, 1.0
        elsewhere.append((compiled(X)[1], WHOLE[use](local)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(elsewhere) == 2
    assert all(found == expected for found, expected in elsewhere)
    assert compiled(X)[1] == first


def test_datasets() -> None:
    data = fb.utils.data.TensorDataset(fb.arange(8.0))
    part = fb.utils.data.Subset(data, [0, 1])
    loader = fb.utils.data.DataLoader(data, batch_size=4)
    compiled = fb.compile(lambda x: (x + part[0][0], len(data), len(loader), len(part)))

    def check() -> None:
        total, *lengths = compiled(X)
        assert total.tolist() == (X + part[0][0]).tolist()
        assert lengths == [len(data), len(loader), len(part)]

    check()
    part.indices[0] = 3
    check()
    data.tensors = (fb.arange(40.0) * 2,)
    check()
    part.indices.append(5)
    check()


DRAWN: dict[str, Callable[[Any, Any], Any]] = {
    "random_split": lambda x, given: x[fb.utils.data.random_split(range(3), [2, 1])[0].indices],
    "subset": lambda x, given: x[list(fb.utils.data.SubsetRandomSampler([0, 1, 2]))],
    "subset, generator": lambda x, given: x[list(fb.utils.data.SubsetRandomSampler([0, 1, 2], generator=given))],
    "sampler": lambda x, given: x[list(fb.utils.data.RandomSampler(range(3), generator=given))],
    "replacement": lambda x, given: x[list(fb.utils.data.RandomSampler(range(3), True, 5, generator=given))],
    "loader": lambda x, given: x + sum(fb.utils.data.DataLoader(x.tolist(), shuffle=True)),
}


@pytest.mark.parametrize("name", DRAWN)
def test_orders_that_are_drawn(name: str) -> None:
    found = []
    for function in (DRAWN[name], fb.compile(DRAWN[name])):
        generator = fb.Generator().manual_seed(3)
        fb.manual_seed(0)
        found.append([function(X, generator).tolist() for _ in range(4)])
    assert found[1] == found[0]


Distribution = fb.distributions
LAWS: dict[str, tuple[Callable[[], Any], Callable[[Any, Any], Any], Callable[[Any], Any]]] = {
    "log_prob": (
        lambda: Distribution.Normal(X * 0, X),
        lambda law, x: law.log_prob(x),
        lambda law: setattr(law, "loc", X * 3),
    ),
    "sample": (lambda: Distribution.Normal(X * 0, X), lambda law, x: law.sample(), lambda law: setattr(law, "loc", X)),
    "moments": (
        lambda: Distribution.Uniform(X * 0, X),
        lambda law, x: law.mean + law.variance,
        lambda law: setattr(law, "high", X * 2),
    ),
    "base": (
        lambda: Distribution.LogNormal(X * 0, X),
        lambda law, x: law.log_prob(x),
        lambda law: setattr(law.base_dist, "loc", X),
    ),
    "transforms": (
        lambda: Distribution.TransformedDistribution(
            Distribution.Normal(0.0, 1.0), [Distribution.AffineTransform(1, 2)]
        ),
        lambda law, x: law.log_prob(x),
        lambda law: law.transforms.append(Distribution.ExpTransform()),
    ),
    "a transform": (
        lambda: Distribution.AffineTransform(0.0, 2.0),
        lambda law, x: law(x),
        lambda law: setattr(law, "scale", 3.0),
    ),
    "dimensions": (
        lambda: Distribution.Independent(Distribution.Normal(X * 0, X), 1),
        lambda law, x: law.log_prob(x),
        lambda law: setattr(law, "reinterpreted_batch_ndims", 0),
    ),
}


@pytest.mark.parametrize("name", LAWS)
def test_distributions_that_are_kept(name: str) -> None:
    make, use, change = LAWS[name]
    law = make()
    compiled = fb.compile(lambda x: use(law, x))
    results = []
    for k in range(4):
        if k == 2:
            change(law)
        fb.manual_seed(k)
        found = compiled(X)
        fb.manual_seed(k)
        expected = use(law, X)
        fb.testing.assert_close(found, expected)
        results.append(expected.tolist())
    assert results[0] != results[2]
    assert all(type(program).__name__ == "TracedProgram" for known in compiled.programs.values() for program in known)


def test_rates_of_a_schedule() -> None:
    optimizer = fb.optim.SGD([fb.nn.Parameter(X)], 0.5)
    schedule = fb.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    compiled = fb.compile(lambda x: x * schedule.get_last_lr()[0])
    for _ in range(3):
        assert compiled(X).tolist() == (X * schedule.get_last_lr()[0]).tolist()
        optimizer.step()
        schedule.step()
    state = fb.compile(
        lambda x: x * schedule.state_dict()["last_epoch"] + optimizer.state_dict()["param_groups"][0]["lr"]
    )
    for _ in range(3):
        assert state(X).tolist() == state.function(X).tolist()
        optimizer.step()
        schedule.step()


def test_settings_of_a_scaler_and_a_future() -> None:
    scaler, future = fb.amp.GradScaler("cpu"), fb.futures.Future()
    seen(scaler.get_growth_factor, lambda: scaler.set_growth_factor(5.0))
    seen(scaler.get_growth_interval, lambda: scaler.set_growth_interval(5))
    seen(future.done, lambda: future.set_result(1))

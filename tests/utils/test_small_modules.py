"""Small modules under torch's names: checks, futures, weak keys, decorators that are contexts, pieces of `torch._utils`."""

from __future__ import annotations

import gc
import importlib
import sys
from typing import Any

import pytest
import torch

import flambeau as fb


def outcome(function: Any) -> Any:
    try:
        return function()
    except Exception as error:
        return type(error), str(error)


@pytest.mark.parametrize(
    "call",
    [
        lambda lib: lib._check(True),
        lambda lib: lib._check(False),
        lambda lib: lib._check(False, lambda: "why"),
        lambda lib: lib._check(1),
        lambda lib: lib._check(False, "no function"),
        lambda lib: lib._check_index(False, lambda: "why"),
        lambda lib: lib._check_value(False),
        lambda lib: lib._check_type(False),
        lambda lib: lib._check_not_implemented(False),
        lambda lib: lib._check_with(IndexError, False, lambda: "x"),
        lambda lib: lib._check(lib.tensor(True)),
        lambda lib: lib._check_tensor_all(lib.tensor([True, False])),
        lambda lib: lib._check_tensor_all(lib.tensor([True])),
        lambda lib: lib._check_tensor_all(lib.tensor([1])),
        lambda lib: lib._check_tensor_all(True),
    ],
)
def test_checks(call: Any) -> None:
    assert outcome(lambda: call(fb)) == outcome(lambda: call(torch))


def futures_story(lib: Any) -> list[Any]:
    Future, told = lib.futures.Future, []
    first, second = Future(), Future()
    first.add_done_callback(lambda done: told.append(done.value()))
    later = first.then(lambda done: done.wait() + 1)
    both = lib.futures.collect_all([first, later])
    told.append((first.done(), both.done()))
    first.set_result(3)
    told += [first.done(), first.wait(), first.value(), later.wait(), [f.wait() for f in both.wait()]]
    told.append(outcome(lambda: first.set_result(4)))
    second.set_exception(ValueError("no"))
    told += [outcome(second.wait), outcome(lambda: lib.futures.wait_all([first, second]))]
    told.append(outcome(lambda: second.then(lambda done: done.wait()).wait())[0])
    told.append(outcome(lambda: second.set_exception("text")))
    return told


def test_futures() -> None:
    assert futures_story(fb) == futures_story(torch)


def test_keys_are_objects() -> None:
    for lib in (fb, torch):
        module = importlib.import_module(f"{lib.__name__}.utils.weak")
        held = module.WeakIdKeyDictionary()
        key = lib.ones(2)
        held[key] = "here"
        assert held[key] == "here" and lib.ones(2) not in held and next(iter(held)) is key and len(held) == 1
        del key
        gc.collect()
        assert len(held) == 0


def contexts_story(lib: Any) -> list[Any]:
    base = importlib.import_module(f"{lib.__name__}.utils._contextlib")._DecoratorContextManager
    told: list[Any] = []

    class Around(base):
        def __enter__(self) -> None:
            told.append("in")

        def __exit__(self, *error: object) -> None:
            told.append("out")

    @Around()
    def function() -> int:
        told.append("body")
        return 1

    @Around()
    def steps() -> Any:
        got = yield 1
        told.append(got)
        try:
            yield 2
        except ValueError:
            told.append("caught")
        return 3

    told.append(function())
    run = steps()
    told += [next(run), run.send("sent")]
    try:
        run.throw(ValueError())
    except StopIteration as end:
        told.append(end.value)
    return told


@pytest.mark.filterwarnings(
    "ignore:the .type, exc, tb. signature of throw:DeprecationWarning"
)  # torch's, from Python 3.12
def test_contexts_decorate() -> None:
    ours, theirs = contexts_story(fb), contexts_story(torch)
    assert [x for x in ours if x not in ("in", "out")] == [x for x in theirs if x not in ("in", "out")]
    assert ours[:4] == theirs[:4] == ["in", "body", "out", 1]


def test_vectors_of_tensors() -> None:
    for lib in (fb, torch):
        utils = importlib.import_module(f"{lib.__name__}._utils")
        tensors = [lib.ones(2), lib.zeros(2, 2)]
        flat = utils._flatten_dense_tensors(tensors)
        assert flat.tolist() == [1, 1, 0, 0, 0, 0]
        assert [t.tolist() for t in utils._unflatten_dense_tensors(flat, tensors)] == [t.tolist() for t in tensors]
        assert utils._get_device_index("cuda:1") == 1 and utils._get_device_index(3) == 3
        assert outcome(lambda utils=utils: utils._get_device_index("cpu"))[0] is ValueError


def test_an_exception_from_elsewhere() -> None:
    texts = []
    for lib in (fb, torch):
        wrapper = importlib.import_module(f"{lib.__name__}._utils").ExceptionWrapper
        try:
            {}["key"]
        except KeyError:
            held = wrapper(sys.exc_info(), where="in a worker")
        kind, text = outcome(held.reraise)
        assert kind is KeyError
        texts.append(text.splitlines()[0])
    assert texts[0] == texts[1] == "Caught KeyError in a worker."


def test_settings_of_the_compiler() -> None:
    for lib in (fb, torch):
        config = importlib.import_module(f"{lib.__name__}._dynamo.config")
        before = config.cache_size_limit
        with config.patch(cache_size_limit=3):
            assert config.cache_size_limit == 3
        with config.patch("cache_size_limit", 5):
            assert config.cache_size_limit == 5
        assert config.cache_size_limit == before


def test_what_it_was_built_with() -> None:
    assert "jaxlib" in fb.__config__.show() and str(fb.get_num_threads()) in fb.__config__.parallel_info()
    assert fb.backends.cpu.get_cpu_capability() == torch.backends.cpu.get_cpu_capability()


def test_switches_can_be_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    import flambeau.backends._frozen as frozen

    monkeypatch.setattr(frozen, "_frozen", False)
    backends = fb.backends
    backends.cudnn.benchmark = backends.cudnn.benchmark
    backends.disable_global_flags()
    assert backends.flags_frozen()
    for module, name, called in (
        (backends.cudnn, "benchmark", "torch.backends.cudnn"),
        (backends, "fp32_precision", "torch.backends"),
    ):
        with pytest.raises(RuntimeError, match=f"not allowed to set {called} flags after disable_global_flags"):
            setattr(module, name, getattr(module, name))
    with backends.cudnn.flags(benchmark=True):
        assert backends.cudnn.benchmark
    with getattr(backends, "__allow_nonbracketed_mutation")():
        assert not backends.flags_frozen()
        backends.cudnn.benchmark = False
    assert backends.flags_frozen()

"""Small modules under torch's names: checks, futures, weak keys, decorators that are contexts, pieces of `torch._utils`."""

from __future__ import annotations

import gc
import importlib
import sys
import warnings
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


PRECISIONS = """
lib.backends.fp32_precision = {0!r}
lib.backends.cuda.matmul.fp32_precision = {1!r}
lib.backends.mkldnn.matmul.fp32_precision = {0!r}
lib.backends.cudnn.fp32_precision = {1!r}
lib.backends.cudnn.conv.fp32_precision = {2!r}
lib.backends.cuda.matmul.fp32_precision = "bf16"
lib.backends.cudnn.rnn.fp32_precision = "bf16"
lib.backends.mkldnn.conv.fp32_precision = "bf16"
lib.backends.fp32_precision = "half"
lib.backends.cudnn.fp32_precision = "none"
lib.backends.fp32_precision = "none"
lib.backends.cudnn.conv.fp32_precision = "none"
lib.backends.mkldnn.fp32_precision = {0!r}
lib.backends.mkldnn.fp32_precision = {2!r}
lib.backends.mkldnn.fp32_precision = "none"
lib.backends.cudnn.conv.more
lib.backends.cuda.matmul.more
"""
PLACES = ("", ".cuda.matmul", ".cudnn", ".cudnn.conv", ".cudnn.rnn", ".mkldnn", ".mkldnn.matmul", ".mkldnn.conv")


def _precisions(lib: Any, told: tuple[str, str, str]) -> list[Any]:
    seen: list[Any] = []
    for place in PLACES:
        exec(f"lib.backends{place}.fp32_precision = 'none'", {"lib": lib})
    for line in PRECISIONS.format(*told).strip().splitlines():
        try:
            exec(line, {"lib": lib})
        except Exception as error:
            seen.append((type(error).__name__, str(error)))
        seen.append([eval(f"lib.backends{place}.fp32_precision", {"lib": lib}) for place in PLACES])
    return seen


@pytest.mark.parametrize("told", [("tf32", "ieee", "tf32"), ("ieee", "none", "ieee"), ("none", "tf32", "none")])
def test_precisions_of_float32(told: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's switches hold for the process: they are put back. Its own test databases, once imported, have frozen them."""
    import flambeau.backends._frozen as frozen
    import flambeau.backends._precision as precision

    monkeypatch.setattr(frozen, "_frozen", False)
    monkeypatch.setattr(precision, "_told", {})
    with getattr(torch.backends, "__allow_nonbracketed_mutation")():
        try:
            assert _precisions(fb, told) == _precisions(torch, told)
        finally:
            for place in PLACES:
                at_first = "tf32" if place in (".cudnn.conv", ".cudnn.rnn") else "none"
                exec(f"lib.backends{place}.fp32_precision = {at_first!r}", {"lib": torch})


def test_the_older_switches_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    import flambeau.backends._frozen as frozen
    import flambeau.backends._precision as precision

    monkeypatch.setattr(frozen, "_frozen", False)
    monkeypatch.setattr(precision, "_told", {})
    backends = fb.backends
    assert (backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32) == (False, True)
    backends.cuda.matmul.allow_tf32 = True
    assert backends.cuda.matmul.fp32_precision == "tf32"
    backends.cudnn.allow_tf32 = False
    assert backends.cudnn.conv.fp32_precision == backends.cudnn.rnn.fp32_precision == "ieee"
    with backends.flags(fp32_precision="bf16"), backends.mkldnn.flags(enabled=False, deterministic=True):
        assert backends.mkldnn.conv.fp32_precision == "bf16"
        assert (backends.mkldnn.enabled, backends.mkldnn.deterministic) == (False, True)
    assert (backends.fp32_precision, backends.mkldnn.enabled, backends.mkldnn.deterministic) == ("none", True, False)


def _of_products(lib: Any) -> list[Any]:
    seen: list[Any] = []
    for value in ("high", "medium", "highest", "low", 1, True, False, "high", "highest"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                if isinstance(value, bool):
                    lib.backends.cuda.matmul.allow_tf32 = value
                else:
                    lib.set_float32_matmul_precision(value)
            except RuntimeError as error:
                seen.append(str(error))
        seen.append([str(w.message).partition(" (Trig")[0] for w in caught])
        matmul = lib.backends.cuda.matmul
        seen.append((lib.get_float32_matmul_precision(), matmul.allow_tf32, matmul.fp32_precision))
        seen.append(lib.backends.mkldnn.matmul.fp32_precision)
    return seen


def test_precision_of_products() -> None:
    assert _of_products(fb) == _of_products(torch)
    for lib in (fb, torch):
        for place in ("cuda", "mkldnn"):
            getattr(lib.backends, place).matmul.fp32_precision = "none"

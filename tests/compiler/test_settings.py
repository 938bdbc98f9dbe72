"""Settings of the compiler: PyTorch's names and no others; what has an effect has it, what has none says so."""

from __future__ import annotations

import importlib
import warnings

import pytest
import torch

import flambeau as fb

MODULES = ("compiler.config", "_dynamo.config", "_functorch.config", "_inductor.config", "fx.experimental._config")


def both(name: str):
    return [importlib.import_module(f"{lib.__name__}.{name}") for lib in (torch, fb)]


@pytest.mark.parametrize("name", MODULES)
def test_the_names_are_pytorchs(name: str) -> None:
    theirs, ours = both(name)
    public = {key for key in theirs._config if not key.startswith("_")}
    assert public <= {*dir(ours)}
    for key in public:
        home = ours
        for part in key.split("."):
            home = getattr(home, part)
    texts = []
    for config in (theirs, ours):
        with pytest.raises(AttributeError) as setting:
            config.nonsense = 3
        with pytest.raises(AttributeError) as reading:
            config.nonsense  # noqa: B018
        with pytest.raises(AttributeError) as patching, config.patch(nonsense=3):
            pass
        texts.append([str(e.value) for e in (setting, reading, patching)])
    assert texts[0] == texts[1]


def test_groups_of_settings() -> None:
    theirs, ours = both("_inductor.config")
    texts = []
    for config in (theirs, ours):
        assert config.triton.cudagraphs is False
        with pytest.raises(AttributeError) as error:
            config.triton.nonsense = 3
        texts.append(str(error.value))
    assert texts[0] == texts[1]
    with pytest.warns(UserWarning, match=r"_inductor.config.triton.dense_indexing = True changes nothing"):
        ours.triton.dense_indexing = True
    assert ours.codegen_config() == "torch._inductor.config.triton.dense_indexing = True"
    ours.triton.dense_indexing = False


def test_what_has_no_effect_is_told_and_kept() -> None:
    config = fb._dynamo.config
    with pytest.warns(UserWarning, match=r"torch\._dynamo\.config\.assume_static_by_default = False changes nothing"):
        config.assume_static_by_default = False
    assert config.assume_static_by_default is False
    saved = config.save_config()
    config.assume_static_by_default = True
    config.load_config(saved)
    assert config.assume_static_by_default is False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config.load_config({"assume_static_by_default": True})
        config.suppress_errors = True  # as it is here
        config.suppress_errors = False


def test_limits_of_programs_hold() -> None:
    config, function = fb._dynamo.config, fb.compile(lambda x: x * 2)
    with config.patch(error_on_recompile=True):
        function(fb.ones(2))
        function(fb.ones(2))
        with pytest.raises(fb._dynamo.exc.RecompileError, match="Recompiling function"):
            function(fb.ones(2, 2))
    function(fb.ones(2, 2))
    for name in ("recompile_limit", "cache_size_limit"):
        scale = [1.0]
        counted = fb.compile(lambda x, scale=scale: x.reshape(int(scale[0]), -1))
        with config.patch({name: 2}):
            assert config.recompile_limit == config.cache_size_limit == 2
            with pytest.warns(UserWarning, match="compiled 2 times for the same arguments, and runs uncompiled"):
                for scale[0] in (1.0, 2.0, 4.0):
                    assert counted(fb.ones(4)).shape == (int(scale[0]), 4 // int(scale[0]))
            with (
                fb.compiler.config.patch(fail_on_recompile_limit_hit=True),
                pytest.raises(
                    fb._dynamo.exc.FailOnRecompileLimitHit, match="Hard failure due to fail_on_recompile_limit_hit"
                ),
            ):
                counted(fb.ones(4).clone()) if scale.__setitem__(0, -1.0) is None else None
    assert config.recompile_limit == 8


def test_everything_can_be_disabled() -> None:
    seen = []
    function = fb.compile(lambda x: (seen.append(fb.compiler.is_compiling()), x * 2)[1])
    with fb._dynamo.config.patch(disable=True):
        function(fb.ones(2))
    assert seen == [False]


@pytest.mark.parametrize(
    "choices",
    [
        {"backend": "nonsense"},
        {"mode": "nonsense"},
        {"options": {"nonsense": 1}},
        {"options": {"max_autotune": 1}},
        {"mode": "default", "options": {"max_autotune": True}},
    ],
    ids=str,
)
def test_choices_that_there_are_not(choices: dict) -> None:
    told = []
    for lib in (torch, fb):
        with pytest.raises(RuntimeError) as error:
            lib.compile(lambda x: x, **choices)
        told.append((type(error.value).__name__, str(error.value).split(", known options")[0]))
    assert told[0] == told[1]


def test_a_backend_of_ones_own_is_told_that_it_is_not_asked() -> None:
    def mine(graph, example):
        raise AssertionError("asked")

    fb._dynamo.register_backend(mine, name="my_backend")
    assert "my_backend" in fb._dynamo.list_backends()
    with pytest.warns(UserWarning, match=r"backend=mine\): it is not asked"):
        function = fb.compile(lambda x: x + 1, backend="my_backend")
    assert function(fb.ones(1)).item() == 2.0
    with pytest.warns(UserWarning, match="coordinate_descent_tuning"):
        fb.compile(lambda x: x, options={"coordinate_descent_tuning": True})


def test_codecache_is_a_module_that_holds_nothing() -> None:
    with pytest.raises(ImportError, match="PyCodeCache"):
        exec("from flambeau._inductor import codecache\nfrom flambeau._inductor.codecache import PyCodeCache")

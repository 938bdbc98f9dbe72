"""`torch.utils.benchmark`: measurements and tables print as torch's; timers wait for what they time."""

from __future__ import annotations

import importlib
import pickle
import random
import re
from typing import Any

import numpy as np
import pytest
import torch.utils.benchmark as theirs

import flambeau as fb
from flambeau.utils import benchmark as ours


def measurement(lib: Any, times: list[float], runs: int = 1, **about: Any) -> Any:
    return lib.Measurement(runs, times, lib.TaskSpec(**{"stmt": "x+1", "setup": "pass", **about}))


def printed(measured: Any) -> str:
    return re.sub(r"0x[0-9a-f]+", "0x", repr(measured))


MEASURED: list[tuple[list[float], int, dict[str, Any]]] = [
    ([1.0e-3, 1.1e-3, 1.2e-3, 1.05e-3, 1.02e-3], 1, {}),
    ([1.0], 1, {}),
    ([1e-6, 1.2e-6], 10, {}),
    (
        [1e-5] * 4 + [1.5e-5, 9e-6],
        1,
        {"label": "l", "sub_label": "s", "description": "d", "num_threads": 4, "env": "e"},
    ),
    ([1e-3, 2e-3, 3e-3, 4e-3, 5e-3, 9e-3], 1, {"label": "l"}),
    ([1e-3, 2e-3, 3e-3], 1, {"stmt": "a\nb", "setup": "s\nt"}),
    ([1e-3, 2e-3, 3e-3], 1, {"stmt": "a", "setup": "s\nt"}),
    ([1e-3, 1.05e-3, 1.2e-3, 1.1e-3], 1, {"sub_label": "s"}),
    ([5e-9] * 7, 1, {"setup": "import x"}),
]


@pytest.mark.parametrize("times, runs, about", MEASURED)
def test_measurements_print_as_torchs(times: list[float], runs: int, about: Any) -> None:
    mine, torchs = (measurement(lib, times, runs, **about) for lib in (ours, theirs))
    assert printed(mine) == printed(torchs)
    for (
        name
    ) in "median mean iqr significant_figures has_warnings title as_row_name times label env num_threads".split():
        assert (
            getattr(mine, name) == pytest.approx(getattr(torchs, name))
            if name in ("mean", "median", "iqr")
            else (getattr(mine, name) == getattr(torchs, name))
        ), name
    assert mine.meets_confidence(0.3) == torchs.meets_confidence(0.3)
    assert pickle.loads(pickle.dumps(mine)).times == times or runs > 1


def test_figures_that_mean_something() -> None:
    rng = np.random.RandomState(0)
    for n in (1, 2, 3, 4, 5, 8, 20, 100):
        for spread in (1e-4, 1e-3, 0.01, 0.1, 0.5):
            times = [float(t) for t in np.abs(1 + spread * rng.randn(n)) * 10 ** rng.uniform(-8, 1)]
            mine, torchs = measurement(ours, times), measurement(theirs, times)
            assert mine.significant_figures == torchs.significant_figures, (times, n, spread)
            assert printed(mine) == printed(torchs)


def test_small_functions() -> None:
    for t in (1e-9, 5e-7, 1e-6, 1e-3, 0.5, 1, 100):
        assert ours.select_unit(t) == theirs.select_unit(t)
    for u in ("ns", "us", "ms", "s"):
        assert ours.unit_to_english(u) == theirs.unit_to_english(u)
    for x, n in [(123456, 2), (0.0012345, 3), (99.99, 2), (1.5, 1), (17.3, 2), (0.5, 1)]:
        assert ours.trim_sigfig(x, n) == pytest.approx(theirs.trim_sigfig(x, n), rel=1e-6)
    assert ours.ordered_unique([3, 1, 3, 2]) == theirs.ordered_unique([3, 1, 3, 2])
    before = fb.get_num_threads()
    with ours.set_torch_threads(before + 1):
        assert fb.get_num_threads() == before + 1
    assert fb.get_num_threads() == before


def test_merge() -> None:
    made = []
    for lib in (ours, theirs):
        merged = lib.Measurement.merge(
            [measurement(lib, [1.0]), measurement(lib, [2.0]), measurement(lib, [1.0], label="q")]
        )
        made.append([printed(m) for m in merged])
    assert made[0] == made[1]


def tables(lib: Any, rows: list[Any], change: Any = lambda c: None) -> str:
    compare = lib.Compare([measurement(lib, times, **about) for times, about in rows])
    change(compare)
    return str(compare)


def some_rows(seed: int) -> list[Any]:
    rng, steady = random.Random(seed), seed % 2
    rows = []
    for label in rng.sample(["L", "a long label", "z"], rng.randint(1, 2)):
        envs = rng.choice([[None], ["e1", "environment 2"]])
        for threads in rng.sample([1, 2, 8], rng.randint(1, 2)):
            for env in envs:
                for sub in ("[16]", "[1024]", "x"):
                    for description in ("a", "b long name", "c"):
                        if rng.random() < 0.8:
                            t = 10 ** rng.uniform(-7, -2)
                            noise = 0 if steady else rng.choice([0, 0.01, 0.2])
                            times = [t * (1 + noise * rng.random()) for _ in range(rng.randint(1, 9))]
                            about = {
                                "label": label,
                                "sub_label": sub,
                                "description": description,
                                "num_threads": threads,
                            }
                            rows.append((times, {**about, "env": env}))
    return rows


CHANGES: dict[str, Any] = {
    "plain": lambda c: None,
    "trimmed": lambda c: c.trim_significant_figures(),
    "coloured": lambda c: c.colorize(),
    "by row": lambda c: (c.colorize(rowwise=True), c.trim_significant_figures()),
    "warned": lambda c: (c.highlight_warnings(), c.trim_significant_figures()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_comparisons_are_torchs(change: str) -> None:
    for seed in range(12):
        rows = some_rows(seed)
        assert tables(ours, rows, CHANGES[change]) == tables(theirs, rows, CHANGES[change]), seed


def test_comparing_what_was_not_measured() -> None:
    for lib in (ours, theirs):
        with pytest.raises(ValueError, match=r"Expected an instance of `Measurement`, got <class 'int'> instead."):
            lib.Compare([1])


def test_timers(capsys: Any) -> None:
    timer = ours.Timer("x + y", setup="y = torch.ones(3)", globals={"x": fb.ones(3)}, label="l", num_threads=2)
    once = timer.timeit(20)
    assert (once.number_per_run, len(once.times), once.label, once.num_threads) == (20, 1, "l", 2) and once.median > 0
    seen: list[int] = []
    many = timer.blocked_autorange(callback=lambda n, t: seen.append(n), min_run_time=0.05)
    assert len(many.times) == len(seen) >= 1 and sum(many.raw_times) >= 0.05
    some = timer.adaptive_autorange(min_run_time=0.005, max_run_time=0.05)
    assert len(some.times) >= 1
    ours.Compare([once, many]).print()
    assert "Times are in" in capsys.readouterr().out
    for call in (timer.repeat, timer.autorange):
        with pytest.raises(NotImplementedError, match=r"See `Timer.blocked_autorange.`"):
            call()


def test_statements_of_several_lines() -> None:
    told: list[int] = []
    timer = ours.Timer(
        """
        for i in range(2):
            told.append(i)
        told.append(k)
        """,
        setup="""
        k = 7
        """,
        globals={"told": told},
    )
    timer.timeit(2)
    assert told == [0, 1, 7] * 4


def test_a_timer_waits_for_the_result(monkeypatch: Any) -> None:
    module = importlib.import_module("flambeau.utils.benchmark.utils.timer")
    waited: list[Any] = []
    monkeypatch.setattr(module, "wait", lambda arrays: waited.extend(arrays))
    ours.Timer("x @ x", globals={"x": fb.ones(3, 3)}).timeit(1)
    assert [w.shape for w in waited] == [(3, 3)] * 2


def test_timers_that_can_not_be() -> None:
    for lib in (ours, theirs):
        with pytest.raises(ValueError, match=r"Currently only a `str` stmt is supported."):
            lib.Timer(3)
        with pytest.raises(ValueError, match=r"Invalid language `q`."):
            lib.Timer(language="q")
    with pytest.raises(NotImplementedError, match="libtorch"):
        ours.Timer(language="c++")
    with pytest.raises(NotImplementedError, match="collect_callgrind"):
        ours.Timer().collect_callgrind()
    for kind in (ours.CallgrindStats, ours.FunctionCounts, ours.FuzzedSparseTensor):
        with pytest.raises(NotImplementedError, match=kind.__name__):
            kind()
    with pytest.raises(NameError):
        ours.Timer("unknown").timeit(1)


def fuzzer(lib: Any, seed: int) -> Any:
    return lib.Fuzzer(
        parameters=[
            lib.FuzzedParameter("k0", 4, 64, "loguniform"),
            lib.FuzzedParameter("k1", 2, 9, "uniform"),
            [lib.FuzzedParameter("s", 1, 4, "uniform")],
            lib.FuzzedParameter("f", 0.5, 2.5, "uniform"),
            lib.FuzzedParameter("d", 2, 3, "uniform"),
        ],
        tensors=[
            lib.FuzzedTensor("x", size=("k0", "k1", 2), steps=("s", 1, 1), dim_parameter="d", max_elements=300),
            lib.FuzzedTensor("y", size=("k0", "k1"), probability_contiguous=0.2, min_elements=10),
        ],
        constraints=[lambda p: p["k0"] > p["k1"]],
        seed=seed,
    )


def test_fuzzers_draw_as_torchs_do() -> None:
    for seed in range(4):
        found = []
        for lib in (ours, theirs):
            made = fuzzer(lib, seed)
            found.append(
                [
                    (
                        {k: (tuple(t.shape), t.stride()) for k, t in tensors.items()},
                        {
                            k: (a["numel"], a["order"].tolist(), a["is_contiguous"], a["dtype"])
                            for k, a in about.items()
                        },
                        params,
                    )
                    for tensors, about, params in made.take(5)
                ]
                + [made.rejection_rate]
            )
        assert found[0] == found[1]


def test_distributions_by_probability_and_aliases() -> None:
    made = ours.Fuzzer(
        parameters=[
            ours.FuzzedParameter("k", 4, 64, "loguniform"),
            ours.FuzzedParameter("s", distribution={1: 0.25, 4: 0.75}),
            ours.FuzzedParameter("either", distribution={ours.ParameterAlias("k"): 0.5, 3: 0.5}),
        ],
        tensors=[ours.FuzzedTensor("x", size=("either", 2))],
        seed=0,
    )
    drawn = [(tensors["x"].shape[0], params) for tensors, _, params in made.take(200)]
    assert {p["s"] for _, p in drawn} == {1, 4} and 120 < sum(p["s"] == 4 for _, p in drawn) < 180
    assert all(rows == p["either"] and p["either"] in (3, p["k"]) for rows, p in drawn)
    assert 60 < sum(p["either"] == 3 for _, p in drawn) < 140


def test_fuzzers_that_can_not_be() -> None:
    with pytest.raises(AssertionError, match="Distribution is not normalized"):
        ours.FuzzedParameter("a", distribution={1: 0.5})  # PyTorch 2.13 refuses those that are
    for lib in (ours, theirs):
        with pytest.raises(AssertionError):
            lib.FuzzedParameter("a", 1, 2, "no")
    twice = [ours.FuzzedParameter("a", 1, 2, "uniform"), ours.FuzzedParameter("a", 1, 2, "uniform")]
    with pytest.raises(ValueError, match="must be unique"):
        ours.Fuzzer(twice, [], seed=1)

"""`torch.monitor`, `collect_env`, `ThroughputBenchmark`, `torch.hub` of folders, and what is refused by name."""

from __future__ import annotations

import datetime
import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import flambeau as fb
from flambeau import monitor

REFUSED = {
    "utils.cpp_extension": [
        "load('n', [])", "load_inline('n', [])", "CppExtension('n', [])", "CUDAExtension('n', [])", "BuildExtension()",
        "include_paths()", "library_paths()",
    ],
    "utils.mobile_optimizer": ["optimize_for_mobile(None)", "generate_mobile_module_lints(None)"],
    "utils.backend_registration": ["rename_privateuse1_backend('x')", "generate_methods_for_privateuse1_backend()"],
}  # fmt: skip


@pytest.mark.parametrize("module", REFUSED)
def test_refused_by_name(module: str) -> None:
    home = importlib.import_module(f"flambeau.{module}")
    for call in REFUSED[module]:
        with pytest.raises(NotImplementedError, match=call.partition("(")[0]):
            eval(f"home.{call}", {"home": home})
    theirs = importlib.import_module(f"torch.{module}")
    for name in getattr(theirs, "__all__", None) or [
        n for n, v in vars(theirs).items() if inspect.isclass(v) and v.__module__.startswith(theirs.__name__)
    ]:
        assert hasattr(home, name), name


def test_stats_are_torchs() -> None:
    logged: dict[str, Any] = {}
    for lib in (fb, torch):
        M = lib.monitor
        seen: list[Any] = []
        handle = M.register_event_handler(seen.append)
        every = [M.SUM, M.MEAN, M.COUNT, M.MAX, M.MIN]  # VALUE is left out by PyTorch
        stat = M.Stat("a", every, datetime.timedelta(hours=1), 3)
        states = [(stat.name, stat.count, {a.name: v for a, v in stat.get().items()})]
        for value in (4, 1, 2.5, 7):
            stat.add(value)
            states.append((stat.name, stat.count, {a.name: v for a, v in stat.get().items()}))
        del stat
        M.unregister_event_handler(handle)
        M.log_event(M.Event("late", datetime.datetime.now(), {"x": 1}))
        logged[lib.__name__] = states, [(e.name, e.data) for e in seen]
    assert logged["flambeau"] == logged["torch"]


def test_events() -> None:
    with pytest.raises(TypeError):
        monitor.Event("n", datetime.datetime.now(), {"a": [1]})  # type: ignore[dict-item]

    class Writer:
        def __init__(self) -> None:
            self.written: list[Any] = []

        def add_scalar(self, *args: Any, **kwargs: Any) -> None:
            self.written.append((args, sorted(kwargs)))

    written = []
    for lib in (fb, torch):
        writer = Writer()
        handle = lib.monitor.register_event_handler(lib.monitor.TensorboardEventHandler(writer))
        lib.monitor.log_event(lib.monitor.Event("torch.monitor.Stat", datetime.datetime.now(), {"loss.mean": 2.0}))
        lib.monitor.log_event(lib.monitor.Event("other", datetime.datetime.now(), {"x": 2.0}))
        lib.monitor.unregister_event_handler(handle)
        written.append(writer.written)
    assert written[0] == written[1]


def test_the_environment() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "flambeau.utils.collect_env"], capture_output=True, text=True, timeout=120, check=True
    )
    for text in ("PyTorch version: 2.13.0", "JAX version: ", "Python version: ", "Is CUDA available: ", "jaxlib=="):
        assert text in made.stdout


def test_throughput() -> None:
    bench = fb.utils.ThroughputBenchmark(fb.nn.Linear(3, 4))
    with pytest.raises(RuntimeError, match="no inputs were added"):
        bench.benchmark()
    bench.add_input(fb.ones(2, 3))
    assert bench.run_once(fb.ones(1, 3)).shape == (1, 4)
    stats = bench.benchmark(num_calling_threads=2, num_warmup_iters=2, num_iters=20)
    assert stats.num_iters == 20 and stats.latency_avg_ms > 0
    assert stats.iters_per_second == pytest.approx(2 / (stats.latency_avg_ms / 1000))
    assert "Total number of iterations: 20" in str(stats)
    broken = fb.utils.ThroughputBenchmark(fb.nn.Linear(3, 4))
    broken.add_input(fb.ones(2, 5))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        broken.benchmark(num_calling_threads=2)


HUBCONF = '''
dependencies = ["json"{more}]
import flambeau as torch

def tiny(n=2, **options):
    """Makes a layer."""
    return torch.nn.Linear(n, n, **options)

def _private(): ...
VALUE = 3
'''


def test_models_of_a_folder(tmp_path: Any) -> None:
    (tmp_path / "hubconf.py").write_text(HUBCONF.replace("{more}", ""))
    folder, path = str(tmp_path), list(sys.path)
    made = fb.hub.load(folder, "tiny", source="local", n=3, bias=False)
    assert made.weight.shape == (3, 3) and made.bias is None
    assert fb.hub.list(folder) == ["tiny"] and fb.hub.help(folder, "tiny") == "Makes a layer."
    for arguments, kind, text in (
        ((folder, "nope", "local"), RuntimeError, "Cannot find callable nope in hubconf"),
        ((folder, "VALUE", "local"), RuntimeError, "Cannot find callable VALUE in hubconf"),
        ((folder, "tiny", "x"), ValueError, 'Unknown source: "x". Allowed values: "github" | "local".'),
        ((folder, 3, "local"), ValueError, "Invalid input: model should be a string of function name"),
    ):
        for lib in (fb, torch):
            with pytest.raises(kind) as error:
                lib.hub.load(arguments[0], arguments[1], source=arguments[2])
            assert str(error.value) == text
    with pytest.raises(NotImplementedError, match="GitHub"):
        fb.hub.load("pytorch/vision", "resnet18")
    (tmp_path / "hubconf.py").write_text(HUBCONF.replace("{more}", ', "surely_missing_x"'))
    with pytest.raises(RuntimeError, match="Missing dependencies: surely_missing_x"):
        fb.hub.load(folder, "tiny", source="local")
    assert sys.path == path


def test_memory_that_nobody_wrote() -> None:
    from flambeau.utils import deterministic

    assert deterministic.fill_uninitialized_memory is True
    deterministic.fill_uninitialized_memory = False
    assert deterministic.fill_uninitialized_memory is True and not fb.empty(3).any()
    with pytest.raises(TypeError):
        deterministic.fill_uninitialized_memory = 1


def test_folders_of_extensions_and_names_that_packages_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch.utils.cpp_extension as theirs

    import flambeau.utils.cpp_extension as ours
    from flambeau.optim.swa_utils import _group_tensors_by_device_and_dtype as group

    for variable in ("TORCH_EXTENSIONS_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv("TORCH_EXTENSIONS_DIR", raising=False)
        monkeypatch.setenv(variable, str(tmp_path / variable))
        folder = ours._get_build_directory("kernel", False)
        assert os.path.isdir(folder)
        assert os.path.relpath(folder, tmp_path) == os.path.relpath(
            theirs._get_build_directory("kernel", False), tmp_path
        )
    assert len(group([[fb.ones(2), fb.ones(3, dtype=fb.float64)]])) == 2

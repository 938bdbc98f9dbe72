"""`torch.profiler` and `torch.autograd.profiler`: events, their modules, schedules, tables and traces."""

from __future__ import annotations

import enum
import gc
import gzip
import itertools
import json
import mmap
from pathlib import Path
from typing import Any

import pytest
import torch

import flambeau as fb
from flambeau import profiler as P
from flambeau.core.context.grad_mode import state


def network(lib: Any = fb) -> Any:
    return lib.nn.Sequential(lib.nn.Linear(3, 4), lib.nn.Sequential(lib.nn.ReLU()), lib.nn.Linear(4, 2))


def test_operators_and_gradients_with_their_modules() -> None:
    net = network()
    with P.profile(record_shapes=True) as prof, P.record_function("mine"):
        net(fb.ones(5, 3)).sum().backward()
    events = {(e.name, e.module): e for e in prof.events()}
    assert list(events) == [
        ("mine", ""),
        ("aten::ones", ""),
        ("aten::linear", "Sequential.0"),
        ("aten::relu", "Sequential.1.0"),
        ("aten::linear", "Sequential.2"),
        ("aten::sum", ""),
        ("SumBackward0", ""),
        ("AddmmBackward0", "Sequential.2"),
        ("ReluBackward0", "Sequential.1.0"),
        ("AddmmBackward0", "Sequential.0"),
    ]
    mine = events["mine", ""]
    assert mine.is_user_annotation and len(mine.cpu_children) == 9 and mine.cpu_parent is None
    assert all(e.cpu_parent is mine for e in prof.events()[1:])
    assert events["aten::linear", "Sequential.0"].input_shapes == [[5, 3], [4, 3], [4]]
    times = [e.time_range for e in prof.events()]
    assert all(a.start <= b.start for a, b in itertools.pairwise(times))
    assert mine.time_range.start <= times[1].start and times[-1].end <= mine.time_range.end
    assert sum(e.self_cpu_time_total for e in prof.events()) == pytest.approx(mine.cpu_time_total)
    assert not state.around and state.node_observer is None and not state.watchers


def test_averages_have_torchs_counts_of_calls() -> None:
    found = []
    for lib in (fb, torch):
        net = network(lib)
        with lib.profiler.profile(record_shapes=True) as prof:
            for _ in range(3):
                net(lib.ones(5, 3)) * 2
        counts = {e.key: e.count for e in prof.key_averages()}
        found.append({key: counts[key] for key in ("aten::linear", "aten::relu", "aten::mul", "aten::ones")})
        by_shape = {(e.key, str(e.input_shapes)) for e in prof.key_averages(group_by_input_shape=True)}
        assert {("aten::linear", "[[5, 3], [4, 3], [4]]"), ("aten::linear", "[[5, 4], [2, 4], [2]]")} <= by_shape
    assert found[0] == found[1]


def test_the_table_is_torchs() -> None:
    heads = []
    for lib in (fb, torch):
        with lib.profiler.profile(record_shapes=True, profile_memory=True) as prof:
            lib.ones(4) + 1
        table = prof.key_averages(group_by_input_shape=True).table(sort_by="cpu_time_total", row_limit=1, header="H")
        lines = table.splitlines()
        assert set(lines[0]) == {"="} and lines[1] == "H" and table.endswith("\n")
        rule = next(line for line in lines if line.startswith("--"))
        heads.append(
            (lines[lines.index(rule) + 1].split(), [len(p) for p in rule.split()][1:9], lines[-1].split(": ")[0])
        )
        assert len(lines[lines.index(rule) + 3]) == len(rule)
        first = lines[lines.index(rule) + 3].split()
        assert (
            first[0].startswith("aten::")
            and first[1].endswith("%")
            and first[2].endswith("us") | first[2].endswith("ms")
        )
    assert heads[0] == heads[1]
    with fb.profiler.profile() as prof:
        fb.ones(4) + 1
    with pytest.raises(AttributeError, match="nope"):
        prof.key_averages().table(sort_by="nope")
    assert "0.0" in prof.key_averages().table(time_unit="s")
    assert prof.key_averages().total_average().key == "Total"


def test_flops_memory_modules_and_stacks(tmp_path: Any) -> None:
    net = network()
    options = {"with_flops": True, "profile_memory": True, "with_modules": True, "with_stack": True}
    with P.profile(**options) as prof:
        y = net(fb.ones(5, 3))
        y.view(-1)
        y.sum().backward()
    rows = {(e.key, e.module): e for e in prof.key_averages()}
    assert rows["aten::linear", "Sequential.0"].flops == 120
    assert rows["AddmmBackward0", "Sequential.2"].flops == 160
    assert rows["aten::linear", "Sequential.2"].self_cpu_memory_usage == 40
    assert rows["aten::view", ""].cpu_memory_usage == 0
    table = prof.key_averages(group_by_stack_n=1).table(row_limit=-1)
    assert all(text in table for text in ("Module", "Sequential.2", "Total FLOPs", "120.000", "test_profiler.py("))
    prof.export_stacks(str(tmp_path / "stacks"), "self_cpu_time_total")
    assert all(line.rpartition(" ")[2].isdigit() for line in (tmp_path / "stacks").read_text().splitlines())
    with P.profile() as plain:
        pass
    with pytest.raises(AssertionError, match="with_stack=True"):
        plain.export_stacks(str(tmp_path / "s"))


def test_a_trace_is_json_of_events(tmp_path: Any) -> None:
    with P.profile(record_shapes=True) as prof:
        network()(fb.ones(5, 3))
    prof.add_metadata("who", 'me "too"')
    prof.add_metadata_json("what", '{"n": 1}')
    for name, opened in (("t.json", open), ("t.json.gz", gzip.open)):
        prof.export_chrome_trace(str(tmp_path / name))
        with opened(tmp_path / name, "rt") as file:
            trace = json.load(file)
        assert trace["who"] == 'me "too"' and trace["what"] == {"n": 1} and trace["record_shapes"] == 1
        linear = [e for e in trace["traceEvents"] if e["name"] == "aten::linear"]
        assert [e["args"]["Module"] for e in linear] == ["Sequential.0", "Sequential.2"]
        assert all(e["ph"] == "X" and e["cat"] == "cpu_op" and e["dur"] > 0 for e in linear)
        assert linear[0]["args"]["Input Dims"] == [[5, 3], [4, 3], [4]]


@pytest.mark.parametrize(
    "options",
    [
        {"wait": 1, "warmup": 1, "active": 2, "repeat": 2, "skip_first": 1},
        {"wait": 0, "warmup": 1, "active": 1},
        {"wait": 2, "warmup": 1, "active": 1, "repeat": 1, "skip_first_wait": 1},
    ],
)
def test_schedules(options: Any) -> None:
    ours, theirs = P.schedule(**options), torch.profiler.schedule(**options)
    assert [ours(i).name for i in range(15)] == [theirs(i).name for i in range(15)]
    told = []

    def ready(prof: Any) -> None:
        told.append((prof.step_num, [e.key for e in prof.key_averages() if e.key.startswith("ProfilerStep")]))

    with P.profile(schedule=ours, on_trace_ready=ready) as prof:
        for _ in range(11):
            fb.ones(2) + 1
            prof.step()
    expected, measured = [], []
    for step in range(12):  # a cycle is handed over by the step that ends it, the last one at the end
        action = theirs(step).name
        if action in ("RECORD", "RECORD_AND_SAVE"):
            measured.append(f"ProfilerStep#{step}")
        if action == "RECORD_AND_SAVE" or (step == 11 and measured):
            expected.append((min(step + 1, 11), measured))
            measured = []
    assert told == expected


def test_schedules_that_can_not_be() -> None:
    for options in ({"wait": -1, "warmup": 1, "active": 0}, {"wait": 0, "warmup": 0, "active": 0}):
        with pytest.raises(AssertionError) as theirs:
            torch.profiler.schedule(**options)
        with pytest.raises(AssertionError) as ours:
            P.schedule(**options)
        assert str(ours.value) == str(theirs.value)
    with pytest.warns(UserWarning, match="Profiler won't be using warmup, this can skew profiler results"):
        P.schedule(wait=0, warmup=0, active=1)


def test_handlers_write_traces(tmp_path: Any) -> None:
    handler = P.tensorboard_trace_handler(str(tmp_path / "logs"), worker_name="w", use_gzip=True)
    with P.profile(schedule=P.schedule(wait=0, warmup=1, active=1, repeat=2), on_trace_ready=handler) as prof:
        for _ in range(6):
            fb.ones(2)
            prof.step()
    files = sorted((tmp_path / "logs").iterdir())
    assert len(files) == 2 and all(f.name.startswith("w.") and f.name.endswith(".pt.trace.json.gz") for f in files)


def test_compiled_programs_are_one_event() -> None:
    net = network()

    @fb.compile
    def step(x: Any) -> Any:
        return net(x).sum()

    step(fb.ones(5, 3))
    with P.profile() as prof:
        x = fb.ones(5, 3)
        step(x)
        step(x)
    names = [e.name for e in prof.events()]
    assert len(names) == 3 and all("step" in name for name in names[1:]) and names[1].startswith("CompiledFunction: ")


def test_ranges() -> None:
    @P.record_function("deco")
    def called(x: Any) -> Any:
        return x + 1

    called(fb.ones(1))
    with P.profile() as prof:
        called(fb.ones(1))
        with pytest.raises(ZeroDivisionError), fb.autograd.profiler.record_function("fails"):
            raise ZeroDivisionError
    assert [e.name for e in prof.events()] == ["aten::ones", "deco", "aten::add", "fails"]


def test_what_fails_is_measured_too() -> None:
    with P.profile() as prof:
        with pytest.raises(RuntimeError):
            fb.ones(2, 3) @ fb.ones(2, 3)
        fb.ones(1)
    assert prof.events()[-1].cpu_parent is None and prof.events()[-1].name == "aten::ones"


def test_autograds_own_profile() -> None:
    with fb.autograd.profiler.profile() as prof:
        assert fb.autograd._profiler_enabled()
        assert str(prof) == "<unfinished torch.autograd.profile>"
        fb.ones(3) + 1
    assert not fb.autograd._profiler_enabled()
    assert [e.key for e in prof.key_averages()] == ["aten::ones", "aten::add"]
    assert prof.self_cpu_time_total > 0 and str(prof) == prof.table()
    with pytest.raises(RuntimeError, match="Profiler context manager is not reentrant"), prof:
        pass
    off = fb.autograd.profiler.profile(enabled=False)
    with off:
        pass
    with pytest.raises(RuntimeError):
        off.key_averages()
    with pytest.raises(RuntimeError, match="Can't disable"):
        fb.autograd._disable_profiler()


def test_modes_and_a_second_profile_see_the_same() -> None:
    with P.profile() as outer:
        fb.ones(1)
        with P.profile() as inner:
            fb.ones(1) + 1
    assert [e.name for e in inner.events()] == ["aten::ones", "aten::add"]
    assert [e.name for e in outer.events()] == ["aten::ones", "aten::ones", "aten::add"]
    with P.profile() as prof, fb.utils.flop_counter.FlopCounterMode(display=False) as counter:
        fb.nn.Linear(3, 4)(fb.ones(5, 3)).sum().backward()
    assert counter.get_total_flops() == 240
    assert {"aten::linear", "AddmmBackward0"} <= {e.name for e in prof.events()}


def test_names() -> None:
    for kind in ("ProfilerActivity", "ProfilerAction"):
        ours, theirs = getattr(P, kind), getattr(torch.profiler, kind)
        assert issubclass(ours, enum.Enum)
        assert {m.name: m.value for m in ours}.keys() >= set(theirs.__members__)
    assert fb.profiler.ProfilerActivity.CPU in P.supported_activities()
    for call, text in (
        (lambda p: p.key_averages(), "Profiler must be initialized before getting key averages"),
        (lambda p: p.events(), "Profiler must be initialized before accessing events"),
        (lambda p: p.export_chrome_trace("x"), "Profiler must be initialized before exporting chrome trace"),
    ):
        with pytest.raises(AssertionError, match=text):
            call(P.profile())
    with pytest.raises(AssertionError, match="No valid profiler activities found"):
        P.profile(activities=[])
    assert not P.itt.is_available()
    with pytest.raises(RuntimeError, match="ITT functions not installed"):
        P.itt.mark("x")
    with pytest.raises(NotImplementedError, match="export_memory_timeline"):
        P.profile().export_memory_timeline("x")
    with pytest.raises(RuntimeError, match="NVTX functions not installed"), fb.autograd.profiler.emit_nvtx():
        pass
    assert not state.around


def test_step_counts_are_torchs() -> None:
    from flambeau.autograd.profiler import KinetoStepTracker as ours

    theirs = torch.autograd.profiler.KinetoStepTracker
    start = ours.current_step(), theirs.current_step()
    for tracker in (ours, theirs):
        tracker.init_step_count("a")
        tracker.init_step_count("b")
        tracker.increment_step("a")
        tracker.increment_step("b")
        tracker.increment_step("b")
    assert ours.current_step() - start[0] == theirs.current_step() - start[1] == 2
    assert [(t.erase_step_count("a"), t.erase_step_count("a"), t.erase_step_count("b")) for t in (ours, theirs)] == [
        (True, False, True)
    ] * 2


def test_settings_of_pytorchs_own_recorder_are_told() -> None:
    from flambeau._C._profiler import _ExperimentalConfig

    with fb.profiler.profile(experimental_config=_ExperimentalConfig(verbose=True)):
        fb.ones(2) + 1
    with pytest.warns(UserWarning, match="profiler_metrics, trace_only are not measured here"):
        fb.profiler.profile(experimental_config=_ExperimentalConfig(["x"], trace_only=True))
    with pytest.raises(TypeError, match="incompatible constructor arguments"):
        _ExperimentalConfig(unknown=1)


def test_memory_of_this_process() -> None:
    memory = fb.profiler.memory_allocated
    before = memory()
    held = fb.ones(1000, 250) * 2  # a million bytes
    shared = held[:]
    assert 1_000_000 <= memory() - before < 1_001_000
    assert shared.sum().item() == 500_000
    assert memory() - before < 1_001_000
    stats = fb.profiler.memory_stats()
    assert list(stats) == sorted(stats)
    assert stats["allocation.all.current"] > 0
    del held, shared
    gc.collect()
    assert memory() - before < 1_000
    assert "allocated_bytes.all.current" in fb.profiler.memory_summary()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux")
def test_the_peak_of_memory_begins_anew() -> None:
    fb.profiler.reset_peak_memory_stats()
    before = fb.profiler.max_memory_resident()
    whole = mmap.mmap(-1, 160_000_000)
    whole.write(b"1" * 160_000_000)
    high = fb.profiler.max_memory_resident()
    assert high - before > 150_000_000
    whole.close()
    assert fb.profiler.max_memory_resident() > high - 5_000_000  # the kernel counts in batches
    fb.profiler.reset_peak_memory_stats()
    stats = fb.profiler.memory_stats()
    assert high - stats["resident_bytes.all.peak"] > 150_000_000
    assert abs(stats["resident_bytes.all.peak"] - stats["resident_bytes.all.current"]) < 20_000_000

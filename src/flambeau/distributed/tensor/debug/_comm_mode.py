"""`CommDebugMode`: which collectives ran, counted by module and pass.

Collectives that this package starts tell of themselves (`processes/exchange.py`). Those that XLA places, between the parts of tensors
cut over devices or processes, are read from XLA's own record of what it ran (`jax.profiler`), in which calls of modules and nodes of
the tape leave marks.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax

from .... import library
from ....core.context.grad_mode import state as grad_state
from ....core.dispatch.overloads import ops
from ....nn.modules.module import Module
from ....processes import exchange
from ..dtensor import DTensor

_FUNCTIONAL = {
    "all_reduce": "(Tensor input, str reduce_op, str group_name) -> Tensor",
    "all_gather_into_tensor": "(Tensor input, int group_size, str group_name) -> Tensor",
    "reduce_scatter_tensor": "(Tensor input, str reduce_op, int group_size, str group_name) -> Tensor",
    "all_to_all_single": "(Tensor input, SymInt[] output_split_sizes, SymInt[] input_split_sizes, str group_name) -> Tensor",
    "broadcast": "(Tensor input, int src, str group_name) -> Tensor",
}
_INTO_TENSORS = (
    "allreduce_ _allgather_base_ allgather_ _reduce_scatter_base_ reduce_scatter_ broadcast_ alltoall_base_ alltoall_ gather_ "
    "scatter_ reduce_"
).split()
_OF_XLA = {
    "all-reduce": "all_reduce",
    "all-gather": "all_gather_into_tensor",
    "reduce-scatter": "reduce_scatter_tensor",
    "all-to-all": "all_to_all_single",
    "collective-permute": "all_to_all_single",
    "collective-broadcast": "broadcast",
}
_MARK, _SENT = "flambeau module ", "flambeau sent "
_FORWARD, _BACKWARD = "FORWARD", "BACKWARD"
_OWN = "jit_flambeau_exchange"  # a program of XLA that tells of itself


def _defined() -> None:
    """PyTorch's names for the collectives, as keys of counts: `torch.ops.c10d_functional.all_reduce`."""
    for name, schema in _FUNCTIONAL.items():
        library.define(f"c10d_functional::{name}", schema)
    for name in _INTO_TENSORS:
        library.define(f"c10d::{name}", "(Tensor[] tensors) -> ()")


_defined()


def _packet(qualified: str) -> Any:
    space, name = qualified.split("::")
    return getattr(getattr(ops, space), name)


class _Place(NamedTuple):
    module: str
    phase: str


class CommDebugMode:
    """While entered, counts the collectives that run. RuntimeError where JAX's profiler is on already; NotImplementedError on
    other devices than CPUs, whose record was not looked at.
    """

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self.counts: dict[_Place, Counter[str]] = {}
        self._total: Counter[str] = Counter()
        self._names: dict[int, str] = {}  # of modules, by identity
        self._modules: dict[str, Module] = {}  # those that were called, in their order
        self._nodes: dict[int, tuple[Any, str]] = {}
        self._stack: list[str] = []

    def __enter__(self) -> CommDebugMode:
        if jax.default_backend() != "cpu":
            raise NotImplementedError("CommDebugMode counts on CPUs only: flambeau.parallel.explain(model, step=step)")
        self._clear()
        self._left = contextlib.ExitStack()
        folder = Path(self._left.enter_context(tempfile.TemporaryDirectory()))
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0
        jax.profiler.start_trace(folder, profiler_options=options)
        self._left.callback(self._read, folder)
        self._left.enter_context(self._marks())
        return self

    def __exit__(self, *error: object) -> None:
        self._left.close()
        self._nodes.clear()

    # --- what is noted while it runs ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _marks(self) -> Iterator[None]:
        call, watchers, observer = Module.__call__, grad_state.watchers, grad_state.node_observer
        mode = self

        def called(self: Any, *args: Any, **kwargs: Any) -> Any:
            name = mode._name_of(self)
            mode._modules.setdefault(name, self)
            mode._stack.append(name)
            try:
                with jax.profiler.TraceAnnotation(f"{_MARK}{_FORWARD} {name}"):
                    return call(self, *args, **kwargs)
            finally:
                mode._stack.pop()

        def recorded(node: Any, _: Any) -> None:
            self._nodes[id(node)] = node, self._stack[-1] if self._stack else "Global"

        def run(node: Any, backward: Any) -> Any:
            _, name = self._nodes.get(id(node), (None, "Global"))
            with jax.profiler.TraceAnnotation(f"{_MARK}{_BACKWARD} {name}"):
                return backward() if observer is None else observer(node, backward)

        Module.__call__ = called  # type: ignore[method-assign]
        grad_state.watchers, grad_state.node_observer = (*watchers, recorded), run
        exchange.watchers.append(_told)
        try:
            yield
        finally:
            exchange.watchers.remove(_told)
            grad_state.watchers, grad_state.node_observer = watchers, observer
            Module.__call__ = call  # type: ignore[method-assign]

    def _name_of(self, module: Module) -> str:
        if id(module) not in self._names:
            start = _class_of(module).__name__
            start = start if not self._stack else f"{self._stack[-1]}.{start}"
            for name, part in module.named_modules():
                self._names.setdefault(id(part), f"{start}.{name}" if name else start)
        return self._names[id(module)]

    def _read(self, folder: Path) -> None:
        jax.profiler.stop_trace()
        for file in folder.rglob("*.xplane.pb"):
            data = jax.profiler.ProfileData.from_file(str(file))
            self._count([e for plane in data.planes for line in plane.lines for e in line.events])

    def _count(self, events: list[Any]) -> None:
        marks = sorted((e.start_ns, -e.duration_ns, e.name) for e in events if e.name.startswith(_MARK))
        seen: set[Any] = set()
        for event in events:
            if event.name.startswith(_SENT):
                found = event.name.removeprefix(_SENT)
            else:
                key, found = _of_xla(event)
                if not found or key in seen:
                    continue
                seen.add(key)
            self._total[found] += 1
            self.counts.setdefault(_place(marks, event.start_ns), Counter())[found] += 1

    # --- what it tells --------------------------------------------------------------------------------------------

    def get_total_counts(self) -> int:
        """How many collectives ran."""
        return self._total.total()

    def get_comm_counts(self) -> dict[Any, int]:
        """How many of each, by PyTorch's operators; 0 for others."""
        return Counter({_packet(name): count for name, count in self._total.items()})

    def get_parameter_info(self) -> dict[str, dict[str, Any]]:
        """The parameters of the modules that were called and have some, by name."""
        own = {name: dict(module.named_parameters(recurse=False)) for name, module in self._modules.items()}
        return {name: parameters for name, parameters in own.items() if parameters}

    def get_sharding_info(self) -> dict[str, Any]:
        """How those lie that are DTensors."""
        return {
            f"{module}.{name}": parameter.placements
            for module, parameters in self.get_parameter_info().items()
            for name, parameter in parameters.items()
            if isinstance(parameter, DTensor)
        }

    def get_counts_of(self, module: str, phase: str) -> Counter[str]:
        """The collectives of a module and those within in a pass ("FORWARD" or "BACKWARD"); "Global" has all."""
        found: Counter[str] = Counter()
        for place, counts in self.counts.items():
            inside = place.module == module or place.module.startswith(module + ".")
            if place.phase == phase and (inside or module == "Global"):
                found += counts
        return found

    def generate_comm_debug_tracing_table(self, noise_level: int = 3) -> str:
        """The counts by module. From level 1 on, with types and parameters; operators are not listed."""
        lines: list[str] = []
        for name, module in {"Global": None, **self._modules}.items():
            indent = "" if module is None else "    " * (name.count(".") + 1)
            lines.append(f"{indent}{name}")
            if module is not None and noise_level > 0:
                lines += [f"{indent}{text}" for text in _about(module)]
            for phase in (_FORWARD, _BACKWARD):
                counts = self.get_counts_of(name, phase)
                if counts:
                    lines.append(f"{indent}  {phase} PASS")
                    lines += [_yellow(f"{indent}    *{k.replace('::', '.')}: {n}") for k, n in sorted(counts.items())]
        return "\n".join([*lines, ""])

    def log_comm_debug_tracing_table_to_file(self, file_name: str = "comm_mode_log.txt", noise_level: int = 3) -> None:
        """Write the table to a file, without colours."""
        text = self.generate_comm_debug_tracing_table(noise_level)
        Path(file_name).write_text(text.replace("\033[1;33m", "").replace("\033[0m", ""))

    def generate_json_dump(self, file_name: str = "comm_mode_log.json", noise_level: int = 3) -> None:
        """Refused: it holds PyTorch's operators one by one."""
        raise NotImplementedError("CommDebugMode.generate_json_dump: see generate_comm_debug_tracing_table")


def _class_of(module: Module) -> type:
    """A module's own class, where `fully_shard` has put one over it."""
    kind = type(module)
    return kind.__mro__[2] if kind.__mro__[1].__name__ == "FSDPModule" else kind


def _about(module: Module) -> list[str]:
    kind = _class_of(module)
    lines = [f"*module type: class '{kind.__module__.replace('flambeau', 'torch', 1)}.{kind.__qualname__}'"]
    laid = [(n, p) for n, p in module.named_parameters(recurse=False) if isinstance(p, DTensor)]
    if laid:
        lines += ["*Parameter List", *[f" *{name}: {parameter.placements}" for name, parameter in laid]]
    return lines


def _yellow(text: str) -> str:
    return f"\033[1;33m{text}\033[0m"


def _told(sent: exchange.Sent) -> None:
    if sent.operator:  # else it is in a program of XLA, which is seen there
        with jax.profiler.TraceAnnotation(_SENT + sent.operator):
            pass


def _of_xla(event: Any) -> tuple[Any, str]:
    """Which run of which collective an event tells of (each device of a process tells of it), and its operator; "" for none."""
    kind = next((name for name in _OF_XLA if event.name.startswith(name)), None)
    if kind is None or event.name.startswith(f"{kind}-done"):
        return None, ""
    about = dict(event.stats)
    if "hlo_op" not in about or about.get("hlo_module") == _OWN:
        return None, ""
    return (about.get("run_id"), about["hlo_op"]), f"c10d_functional::{_OF_XLA[kind]}"


def _place(marks: list[tuple[float, float, str]], time: float) -> _Place:
    """The innermost mark around a time; else the pass of the last one before it."""
    found = [(name, start, start - minus) for start, minus, name in marks if start <= time]
    around = [name for name, _, end in found if time <= end]
    if around:
        phase, name = around[-1].removeprefix(_MARK).split(" ", 1)
        return _Place(name, phase)
    last = found[-1][0].removeprefix(_MARK).split(" ", 1)[0] if found else _FORWARD
    return _Place("Global", last)

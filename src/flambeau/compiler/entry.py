"""`compile`, and what there is to ask of a compiled function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from ..core.dispatch.messages import message
from .backends import check_backend
from .compiled import Compiled, _everything
from .controls import tell_of_filter
from .module import OptimizedModule
from .program import TracedProgram
from .settings import check_mode, check_options

_T = TypeVar("_T")


@overload
def compile(
    model: None = None, *, fullgraph: bool = False, dynamic: bool | None = None, backend: Any = None, mode: str | None = None,
    options: Any = None, name: str | None = None, disable: bool = False, recompile_limit: int | None = None,
    isolate_recompiles: bool = False, shapes_spec: Any = None,
) -> Callable[[_T], _T]: ...  # fmt: skip
@overload
def compile(
    model: _T, *, fullgraph: bool = False, dynamic: bool | None = None, backend: Any = None, mode: str | None = None,
    options: Any = None, name: str | None = None, disable: bool = False, recompile_limit: int | None = None,
    isolate_recompiles: bool = False, shapes_spec: Any = None,
) -> _T: ...  # fmt: skip
def compile(
    model: Any = None, *, fullgraph: bool = False, dynamic: bool | None = None, backend: Any = None, mode: str | None = None,
    options: Any = None, name: str | None = None, disable: bool = False, recompile_limit: int | None = None,
    isolate_recompiles: bool = False, shapes_spec: Any = None,
) -> Any:  # fmt: skip
    """A function, or a module, that runs as one XLA program for each signature.

    Whatever it reads and writes (parameters, buffers, gradients, optimizer state, random numbers, Python's own objects) is
    found while it is traced, looked at before each call and left as the uncompiled function would leave it. What needs values
    that only the running program has, or does what a program cannot repeat, runs uncompiled with one warning that names the
    line; with `fullgraph=True` it raises CompileError. Each size of the arguments gets a program; with
    `dynamic=True` one serves all batch sizes up to its own, where that can be (a warning tells where not).
    Deep networks of equal blocks are compiled block by block, which is soon done; with `mode="max-autotune"` all are one program, for a
    quicker step of small blocks (the other modes change nothing). XLA is the only `backend`, with settings of its own: a function of
    the user's as backend and `options` are told that they have no effect. Names that PyTorch does not know are refused
    (InvalidBackend, RuntimeError). Each call of `compile` counts its own programs (`isolate_recompiles` or not); `recompile_limit` bounds
    them, over all signatures: beyond it the function runs uncompiled, with `fullgraph=True` it raises FailOnRecompileLimitHit.
    """
    _check_choices(backend, mode, options)
    _check_spec(shapes_spec)
    if model is None:
        return lambda function: compile(
            function, fullgraph=fullgraph, dynamic=dynamic, mode=mode, name=name, disable=disable, recompile_limit=recompile_limit
        )  # fmt: skip
    whole = mode is not None and mode.startswith("max-autotune")
    settings: dict[str, Any] = {
        "fullgraph": fullgraph, "dynamic": dynamic, "whole": whole, "name": name, "limit": recompile_limit
    }  # fmt: skip
    if disable or getattr(model, "_torchdynamo_disable", False):
        return model
    if hasattr(model, "_parameters") and hasattr(model, "forward"):
        return OptimizedModule(model, **settings)
    if not callable(model):
        raise AssertionError(f"A callable function is expected, but {type(model)} is provided.")
    return Compiled(model, **settings)


def _check_spec(spec: Any) -> None:
    """What PyTorch's programs of several sizes are told of them; here only that nothing is told is taken."""
    if spec is None or (isinstance(spec, dict) and all(value is None for value in spec.values())):
        return
    if not isinstance(spec, dict) and type(spec).__name__ != "ParamsSpec":
        raise TypeError(message("shapes_spec_kind", kind=type(spec).__name__))
    raise NotImplementedError(
        "torch.compile(shapes_spec=...) is not in flambeau: dynamic=True has one program for all batch sizes, "
        "and torch._dynamo.mark_dynamic(x, dim) names another dimension"
    )


def _check_choices(backend: Any, mode: str | None, options: Any) -> None:
    check_backend(backend)
    if mode is not None and options:
        raise RuntimeError("Either mode or options can be specified, but both can't be specified at the same time.")
    if isinstance(options, dict):
        if "guard_filter_fn" in options:
            tell_of_filter()
        if backend in (None, "inductor"):
            check_options({name: value for name, value in options.items() if name != "guard_filter_fn"})
    if backend in (None, "inductor"):
        check_mode(mode)


class Explanation:
    """The programs of a compiled function: why each was traced, how often it ran, what state it reads and writes."""

    def __init__(self, compiled: Compiled):
        self.name: str = compiled.name
        kept = [p for programs in compiled.programs.values() for p in reversed(programs)]
        self.traced: list[TracedProgram] = [p for p in kept if isinstance(p, TracedProgram)]
        first: dict[int, TracedProgram] = {}
        for program in self.traced:  # those of several sizes count once
            first.setdefault(id(program.entry.shared if program.entry else program), program)
        self.programs: list[TracedProgram] = list(first.values())

    def __len__(self) -> int:
        return len(self.programs)

    def __str__(self) -> str:
        lines = [f"{self.name}: {len(self.programs)} program{'s' if len(self.programs) != 1 else ''}"]
        for i, program in enumerate(self.programs):
            counts = ", ".join(f"{count} {what}" for what, count in program.plan.counts.items())
            calls, sizes = program.runs.calls, ""
            if program.entry is not None:
                served = [p for p in self.traced if p.entry and p.entry.shared is program.entry.shared]
                calls = sum(p.runs.calls for p in served)
                sizes = f"for {program.entry}, traced at {len(served)} size{'s' if len(served) != 1 else ''}; "
            lines.append(
                f"  {i}: {sizes}traced because: {program.reason}; called {calls} time{'s' if calls != 1 else ''}; {counts}"
            )
        return "\n".join(lines)

    __repr__ = __str__


def explain(compiled: Any) -> Explanation:
    """What a compiled function or module has been compiled to. Raises TypeError for anything else."""
    found = getattr(compiled, "_compiled", compiled)
    if not isinstance(found, Compiled):
        raise TypeError(f"explain expects what compile() returned, got {type(compiled).__name__}")
    return Explanation(found)


def reset() -> None:
    """Forget all programs of all compiled functions."""
    for compiled in list(_everything):
        compiled.programs.clear()
        compiled._quick = None
        compiled._let_sizes_go()
        compiled.children.clear()


compile.explain = explain  # type: ignore[attr-defined]

"""`freeze` and its like: what PyTorch does to TorchScript graphs before inference. XLA optimizes when it compiles."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterator
from typing import Any

from ..nn.modules.module import Module
from ._script import ScriptModule, no_graph

_onednn = False


def freeze(mod: Any, preserved_attrs: list[str] | None = None, optimize_numerics: bool = True) -> Any:
    """A copy of a scripted module in evaluation mode, whose parameters ask for no gradient.

    PyTorch makes them constants of the graph, so that `state_dict` is empty; here they stay. RuntimeError for what is not
    scripted, or trains.
    """
    if not isinstance(mod, ScriptModule):
        raise RuntimeError(
            "Freezing expects a ScriptModule as input. "
            "Please use torch.jit.script or torch.jit.trace to script your 'nn.Module'."
        )
    if mod.training:
        raise RuntimeError(
            "Freezing is currently only implemented for modules in eval mode. "
            "Please call .eval() on your module before freezing."
        )
    for name in preserved_attrs or ():
        getattr(mod, name)
    return copy.deepcopy(mod).requires_grad_(False)


def run_frozen_optimizations(mod: Any, optimize_numerics: bool = True, preserved_methods: Any = None) -> None:
    """Nothing is to be done: XLA optimizes what it compiles."""


def optimize_for_inference(mod: Any, other_methods: list[str] | None = None) -> Any:
    """The module, frozen if it trains or asks for gradients. RuntimeError for what is not scripted."""
    if not isinstance(mod, ScriptModule):
        raise RuntimeError(
            "optimize_for_inference expects a ScriptModule as input. "
            "Please use torch.jit.script or torch.jit.trace to script your 'nn.Module'."
        )
    if any(p.requires_grad for p in mod.parameters()):
        return freeze(mod.eval(), other_methods)
    return mod


def enable_onednn_fusion(enabled: bool) -> None:
    """Remembered, and means nothing: XLA decides what it fuses."""
    global _onednn
    _onednn = enabled


def onednn_fusion_enabled() -> bool:
    """What `enable_onednn_fusion` was last given."""
    return _onednn


def set_fusion_strategy(strategy: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Remembered, and means nothing. Returns what was set before."""
    global _strategy
    for kind, _ in strategy:
        if kind not in ("STATIC", "DYNAMIC"):
            raise ValueError(f"FusionBehavior only supported 'STATIC' or 'DYNAMIC', got: {kind}")
    before, _strategy = _strategy, list(strategy)
    return before


_strategy: list[tuple[str, int]] = [("STATIC", 2), ("DYNAMIC", 10)]


class strict_fusion:
    """A context in which PyTorch fails where it can't fuse: Python, which runs here, fuses nothing and does not fail."""

    def __enter__(self) -> None:
        warnings.warn("Only works in script mode", stacklevel=2)

    def __exit__(self, *exc: object) -> None:
        return


@contextlib.contextmanager
def optimized_execution(should_optimize: bool) -> Iterator[None]:
    """A context that means nothing here."""
    yield


def last_executed_optimized_graph() -> Any:
    """Refused: it would return a TorchScript graph."""
    raise NotImplementedError(no_graph("torch.jit.last_executed_optimized_graph"))


def export_opnames(m: Any) -> list[str]:
    """The names of the operators that a scripted module calls, as far as `torch.fx` can follow it."""
    from ..fx._names import qualified_name
    from ._serialization import graph_of

    if not isinstance(m, Module):
        raise AttributeError(
            f"{type(m).__name__!r} object has no attribute '_c': torch.jit.script makes a module of it"
        )
    names = {qualified_name(n.target) for n in graph_of(m).graph.nodes if n.op == "call_function"}
    return sorted(names)
